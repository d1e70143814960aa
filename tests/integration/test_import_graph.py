"""Imports point one way, and importing the library loads no package that only an extra installs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "ntm_jax"

LIBRARY_PACKAGES = {
    "ntm_jax",
    "core",
    "runtime",
    "tasks",
    "evaluation",
    "training",
    "pretrained",
    "commands",
}
# Each package, and the packages that it may import besides itself. "core" is the modules that lie
# directly in ntm_jax; "ntm_jax" is ntm_jax/__init__.py.
ALLOWED = {
    "core": set(),
    "runtime": set(),
    "tasks": {"core"},
    "evaluation": {"core", "tasks", "runtime"},
    "training": {"core", "tasks", "runtime", "evaluation"},
    "pretrained": {"core", "tasks", "runtime", "evaluation", "training"},
    "ntm_jax": {"core", "pretrained"},
    "configs": {"training"},
    "commands": {"core", "runtime", "tasks", "evaluation", "training", "pretrained"},
    "train": {"commands"},
    "eval": {"commands"},
    "compare": {"commands"},
    "experiments": LIBRARY_PACKAGES | {"configs"},
    "benchmarks": LIBRARY_PACKAGES | {"configs", "experiments"},
}
# The modules of the core. Each imports only from the lines above its own.
CORE = (
    {"_checks", "_dtypes", "_renamed", "_shapes"},
    {"memory", "addressing", "initializers", "optimizers", "state"},
    {"heads"},
    {"controllers"},
    {"cell"},
    {"rnn"},
    {"models"},
    {"baselines"},
)


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def package_of(module: str) -> str:
    top, _, rest = module.partition(".")
    name = rest.partition(".")[0]
    if top != "ntm_jax":
        return top
    if name and (LIBRARY / name).is_dir():
        return name
    return "core" if name and (LIBRARY / f"{name}.py").exists() else "ntm_jax"


def files() -> list[Path]:
    folders = (LIBRARY, ROOT / "configs", ROOT / "experiments", ROOT / "benchmarks")
    scripts = [ROOT / "train.py", ROOT / "eval.py", ROOT / "compare.py"]
    return scripts + [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the line and the full name of every import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: expected an absolute import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def test_imports_point_one_way():
    found = set()
    for path in files():
        package = package_of(module_name(path))
        for line, module in imports(path):
            imported = package_of(module)
            if imported in ALLOWED and imported not in ALLOWED[package] | {package}:
                where = f"{path.relative_to(ROOT)}:{line}"
                found.add(f"{where}: {package} may not import {imported}")
    assert not found, "\n" + "\n".join(sorted(found))


def test_core_modules_are_ordered():
    order = {name: index for index, line in enumerate(CORE) for name in line}
    paths = [path for path in sorted(LIBRARY.glob("*.py")) if path.stem != "__init__"]
    assert order.keys() == {path.stem for path in paths}
    found = []
    for path in paths:
        for line, module in imports(path):
            if package_of(module) == "core":
                imported = module.split(".")[1]
                if order[imported] >= order[path.stem]:
                    found.append(f"ntm_jax/{path.name}:{line}: may not import {imported}")
    assert not found, "\n" + "\n".join(found)


def test_tests_do_not_import_tests():
    paths = sorted((ROOT / "tests").rglob("*.py"))
    tests = {path.stem for path in paths if path.stem.startswith("test_")}
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        for line, module in imports(path)
        if tests.intersection(module.split("."))
    }
    assert not found, "\n" + "\n".join(sorted(found))


@pytest.mark.parametrize(
    ("module", "refused"),
    [
        (
            "ntm_jax.cell",
            {"ntm_jax.training", "absl", "matplotlib", "ml_collections", "orbax", "tensorboardX"},
        ),
        ("ntm_jax.pretrained", {"absl", "matplotlib", "ml_collections", "orbax", "tensorboardX"}),
    ],
)
def test_import_loads_no_extra(module, refused):
    # Flax and chex import parts of absl themselves, so only what comes with the module counts.
    program = f"""
import sys
import chex, flax.linen, jax, optax
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = run.stdout.split()
    assert module in loaded
    assert not [name for name in loaded if any(f"{name}.".startswith(f"{x}.") for x in refused)]
