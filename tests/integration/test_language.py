"""Refused words, the first word of function docstrings, and the length of test names."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = {".cff", ".md", ".py", ".toml", ".txt", ""}  # suffixes; data and pictures have others
DOCUMENTED = (
    "ntm_jax/",
    "configs/",
    "experiments/",
    "benchmarks/",
    "train.py",
    "eval.py",
    "compare.py",
)
REFUSED = (
    "anew",
    "at the most",
    "begun",
    "by turns",
    "likewise",
    "so many",
    "speaks",
    "take turns",
    "takes turns",
    "tells",
    "walks",
)
MAX_TEST_NAME = 45


def repository_files() -> list[Path]:
    """Lists the files under version control and new ones, without those that git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def location(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_no_refused_words():
    # A word ends at an underscore too; a phrase may wrap inside a comment.
    phrases = "|".join(r"[\s_#]+".join(phrase.split()) for phrase in REFUSED)
    pattern = re.compile(rf"(?<![a-z])(?:{phrases})(?![a-z])", re.IGNORECASE)
    found = []
    for path in repository_files():
        if path.suffix in TEXT and path.name != "LICENSE" and path != Path(__file__):
            text = path.read_text()
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{location(path, line)}: {match[0]!r}")
    assert not found, "\n" + "\n".join(found)


def test_function_docstrings_start_with_a_verb():
    # The third person ends in "s": "Returns", "Computes". A property reads like an attribute, so
    # its docstring starts with a noun.
    found = []
    for path in repository_files():
        if path.suffix == ".py" and str(path.relative_to(ROOT)).startswith(DOCUMENTED):
            for function in functions(path):
                docstring = ast.get_docstring(function)
                first = docstring.split(maxsplit=1)[0] if docstring else ""
                is_verb = re.fullmatch(r"[A-Z][a-z-]{2,}s", first)
                valid = first != "Returns" if is_property(function) else is_verb or not first
                if not valid:
                    found.append(f"{location(path, function.lineno)}: {first!r}")
    assert not found, "\n" + "\n".join(found)


def test_test_names_are_short():
    found = [
        f"{location(path, function.lineno)}: {function.name}"
        for path in repository_files()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "tests")
        for function in functions(path)
        if function.name.startswith("test_") and len(function.name) > MAX_TEST_NAME
    ]
    assert not found, "\n" + "\n".join(found)
