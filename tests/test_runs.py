import json
import os

import pytest
from tiny import tiny_config

from ntm_jax import runs


def test_a_config_comes_back_as_it_was(tmp_path):
    config = tiny_config()
    runs.open_run(tmp_path / "run", config)
    assert runs.load_config(tmp_path / "run").to_dict() == config.to_dict()
    runs.open_run(tmp_path / "run", config)


def test_another_config_is_refused_with_the_difference(tmp_path):
    runs.open_run(tmp_path, tiny_config())
    other = tiny_config()
    other.learning_rate = 0.5
    other.model.num_slots = 64
    with pytest.raises(runs.RunError) as error:
        runs.open_run(tmp_path, other)
    assert "learning_rate: 0.002 there, 0.5 now" in str(error.value)
    assert "model.num_slots: 8 there, 64 now" in str(error.value)
    assert "batch_size" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_broken_config_is_one_clear_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(runs.RunError, match=r"config\.json: expected a config as JSON, got"):
        runs.load_config(tmp_path)


def test_a_config_without_settings_that_came_later_means_what_it_did(tmp_path):
    """No clipping of single numbers, one memory: not what these settings are by default."""
    config = tiny_config()
    runs.open_run(tmp_path, config)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["clip_value"], stored["model"]["train_slots"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert runs.load_config(tmp_path).to_dict() == config.to_dict()
    runs.open_run(tmp_path, config)
    config.clip_value = 10.0
    with pytest.raises(runs.RunError, match=r"clip_value: 0\.0 there, 10\.0 now"):
        runs.open_run(tmp_path, config)


def test_a_config_that_cannot_be_run_says_in_which_file_and_what_to_do(tmp_path):
    runs.open_run(tmp_path, tiny_config())
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["adam_b2"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    said = (
        r"config\.json: adam_b2: expected a value such as 0\.9, got none; a run of another version"
    )
    with pytest.raises(runs.RunError, match=said):
        runs.load_config(tmp_path)


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    with runs.locked(tmp_path / "run"):
        with pytest.raises(runs.RunError, match="got one in which another process does"):
            runs.locked(tmp_path / "run").__enter__()
        with runs.locked(tmp_path / "other"):
            pass
    with runs.locked(tmp_path / "run"):
        pass


def test_a_summary_of_the_same_end_keeps_how_it_got_there(tmp_path):
    first = {"stopped": "solved", "step": 8, "seconds": 5.0, "devices": "2 of 2 x cpu"}
    assert runs.write_summary(tmp_path, first) == first
    assert runs.write_summary(tmp_path, {**first, "seconds": 0.1, "devices": "1"}) == first
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    other = {**first, "step": 12, "seconds": 7.0}
    assert runs.write_summary(tmp_path, other) == other
    assert json.loads((tmp_path / "summary.json").read_text()) == other
    (tmp_path / "summary.json").write_text("{")
    assert runs.write_summary(tmp_path, first) == first


def test_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(runs.RunError, match="expected a run folder with a config.json, got none"):
        runs.load_config(tmp_path)
    with pytest.raises(runs.RunError, match=r"expected a run folder, got none; train one with"):
        runs.newest_run(tmp_path / "runs")


def test_the_newest_run_is_the_one_whose_metrics_changed_last(tmp_path):
    for age, name in enumerate(["new", "old", "older"]):
        runs.open_run(tmp_path / name, tiny_config())
        runs.append_metrics(tmp_path / name, {"step": 1})
        os.utime(tmp_path / name / "metrics.jsonl", (1e9 - age, 1e9 - age))
    (tmp_path / "no_run").mkdir()
    assert runs.newest_run(tmp_path) == tmp_path / "new"


def test_metrics_after_a_step_are_taken_back_torn_lines_too(tmp_path):
    for step in (2, 4, 6):
        runs.append_metrics(tmp_path, {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert runs.keep_metrics_until(tmp_path, 4) == [{"step": 2}, {"step": 4}]
    assert runs.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_metrics_that_end_before_the_checkpoint_are_not_trained_on(tmp_path):
    assert runs.keep_metrics_until(tmp_path, 0) == []
    for step in (2, 4):
        runs.append_metrics(tmp_path, {"step": step})
    with pytest.raises(runs.RunError, match="expected lines up to update 6, .* got none after 4"):
        runs.keep_metrics_until(tmp_path, 6)
    assert runs.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    runs.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        runs.write_json(path, {"new": object()})
    assert path.read_text() == '{\n  "old": 1\n}\n'
