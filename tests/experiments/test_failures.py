import json

import numpy as np
import pytest

from experiments import failures, own_loop


@pytest.mark.usefixtures("optax_promotion")
def test_failure_is_recorded_and_drawn(monkeypatch, tmp_path):
    monkeypatch.setattr(own_loop, "_EVAL_EVERY", 8)
    monkeypatch.setattr(failures, "LENGTHS", (4,))
    setting = failures.SETTINGS["fixed"]._replace(max_length=3, sequences=8)
    line = json.loads(json.dumps(failures.train("fixed", setting, seeds=1)))
    assert line["sequences"] == 8
    assert list(line["bit_errors"]) == ["3", "4"]
    assert len(line["heads"]) == len(line["changed_outputs"]) == 1
    for signs in line["heads"][0].values():
        assert signs["movement_input"] < 0.1  # a shift of 0 is the only one
    assert np.shape(line["trace"]["read"])[0] == 7
    assert np.shape(line["trace"]["outputs"]) == (3, 8)
    path = tmp_path / "failures.png"
    failures.draw([line, line]).savefig(path)
    assert path.stat().st_size
