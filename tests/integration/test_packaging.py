"""The version, the extras and the documentation site, whose reference has all public names."""

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
import types
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ntm_jax

ROOT = Path(__file__).parents[2]
METHODS = (types.FunctionType, property, classmethod, staticmethod)


def public_modules() -> Iterator[Any]:
    names = [m.name for m in pkgutil.walk_packages(ntm_jax.__path__, "ntm_jax.")]
    # Two commands have flags of the same name, so that one process imports one of them.
    public = [n for n in ["ntm_jax", *names] if "._" not in n and ".commands." not in n]
    yield from map(importlib.import_module, public)


def public_names() -> Iterator[tuple[str, Any]]:
    """Yields the full name and the object of each name in `__all__`, and of public methods."""
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                name = f"{value.__module__}.{value.__qualname__}"  # where a re-export is defined
            else:
                name = f"{module.__name__}.{name}"
            yield name, value
            if inspect.isclass(value):
                yield from ((f"{name}.{method}", member) for method, member in methods(value))


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    fields = inspect.get_annotations(cls)  # a field's default can be a function
    for name, member in vars(cls).items():
        if isinstance(member, METHODS) and not name.startswith("_") and name not in fields:
            yield name, member


def requirements(lines: list[str]) -> set[str]:
    """Returns the normalized names of the packages."""
    names = {re.split(r"[^\w.-]", line)[0] for line in lines if line[:1].isalpha()}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


@pytest.fixture(scope="module")
def inventory(tmp_path_factory) -> set[str]:
    """Builds the site and returns the full names of everything that has a place in it."""
    site = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *_, compressed = (site / "objects.inv").read_bytes().split(b"\n", 4)  # a header of four lines
    return {line.split()[0] for line in zlib.decompress(compressed).decode().splitlines()}


def test_documents_have_the_version():
    found = {
        "CITATION.cff": r"^version: (.+)$",
        "README.md": r"^ *version *= \{(.+)\},$",
        "CHANGELOG.md": r"^## (?!Unreleased)\[?([\w.]+)",
    }
    for name, pattern in found.items():
        match = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert match and match[1] == ntm_jax.__version__, name


def test_requirements_pin_all_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    used = requirements([*project["dependencies"], *extras["train"], *extras["plots"]])
    assert used == requirements((ROOT / "requirements.txt").read_text().splitlines())
    used = requirements([*extras["docs"], *extras["dev"]]) - {"ntm-jax"}
    assert used == requirements((ROOT / "requirements-dev.txt").read_text().splitlines())


def test_public_names_have_docstrings():
    documented = (type, *METHODS)
    found = {name for name, v in public_names() if isinstance(v, documented) and not v.__doc__}
    assert not found


def test_reference_has_all_public_names(inventory):
    assert {name for name, _ in public_names()} <= inventory
