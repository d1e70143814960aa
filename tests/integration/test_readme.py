"""The documents: README code runs, links resolve, and tables match the result files."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "RESULTS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "experiments/README.md",
    "benchmarks/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]


def headings(page: str) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def code_blocks(document: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert blocks
    return "\n".join(blocks)


@pytest.mark.parametrize(
    "name", ["addressing", "debugging", "memory", "pictures", "tasks", "training"]
)
def test_document_code_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = f"docs/{name}.md"
    exec(code_blocks(document), {})


@pytest.mark.usefixtures("optax_promotion")
def test_readme_code_runs():
    code = code_blocks("README.md")
    assert "range(6000)" in code
    namespace = {}
    lengths = "[10, 20, 40, 80, 120]"
    assert lengths in code
    exec(code.replace("range(6000)", "range(2)").replace(lengths, "[10]"), namespace)
    assert namespace["result"].size == (10,)


@pytest.mark.slow
@pytest.mark.usefixtures("optax_promotion")
def test_readme_code_learns_to_copy():
    namespace = {}
    exec(code_blocks("README.md"), namespace)
    results = namespace["evaluation"].evaluate(
        namespace["NTM"](namespace["cell"]), namespace["params"], namespace["task"], [10, 20, 120]
    )
    errors = [result.bit_errors_per_sequence for result in results]
    assert max(errors[:2]) <= 0.01
    assert errors[2] <= 0.1


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_pictures_exist(document):
    page = ROOT / document
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        assert not anchor or anchor in headings(linked.read_text()), target


def test_tables_match_result_files():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.tables", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_config_headers_name_their_command():
    for path in (ROOT / "configs").glob("*.py"):
        header = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert f"python train.py --config=configs/{path.name}" in header, path.name
