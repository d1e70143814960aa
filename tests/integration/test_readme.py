import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    exec("\n".join(blocks), {})


def test_the_tables_are_those_of_the_files():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_tree_names_every_module():
    modules = {path.relative_to(ROOT / "ntm_jax") for path in (ROOT / "ntm_jax").rglob("*.py")}
    left_out = [
        str(path)
        for path in modules
        if path.name not in ("__init__.py", "base.py") and path.name not in README
    ]
    assert not left_out


def headings(page: str) -> set[str]:
    """The anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_every_link_and_picture_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        page = ROOT / path if path else ROOT / "README.md"
        assert page.exists(), target
        assert not anchor or anchor in headings(page.read_text()), target


def test_every_config_says_what_it_claims():
    for path in (ROOT / "configs").glob("*.py"):
        assert f"python train.py --config=configs/{path.name}" in path.read_text()
