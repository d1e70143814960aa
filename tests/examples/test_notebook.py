import json
import subprocess
import sys

from support.examples import EXAMPLES
from support.subprocess_utils import environment


def test_notebook_runs_from_top_to_bottom(tmp_path):
    path = tmp_path / "trained_model.ipynb"
    path.write_text((EXAMPLES / path.name).read_text())
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--inplace", str(path)],
        env=environment(JUPYTER_RUNTIME_DIR=str(tmp_path), IPYTHONDIR=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads(path.read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    text = "".join(line for output in outputs for line in output.get("text", []))
    assert "length 120: 0.0 bit errors per sequence" in text
    assert "memory kept: 0 of 160 bits wrong" in text
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
