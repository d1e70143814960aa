import json
import os

import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import run_dir


def test_a_config_comes_back_as_it_was(tmp_path):
    config = tiny_config()
    run_dir.open_run(tmp_path / "run", config)
    assert run_dir.load_config(tmp_path / "run").to_dict() == config.to_dict()
    run_dir.open_run(tmp_path / "run", config)


def test_another_config_is_refused_with_the_difference(tmp_path):
    run_dir.open_run(tmp_path, tiny_config())
    other = tiny_config()
    other.learning_rate = 0.5
    other.model.num_slots = 64
    with pytest.raises(run_dir.RunError) as error:
        run_dir.open_run(tmp_path, other)
    assert "learning_rate: 0.002 there, 0.5 now" in str(error.value)
    assert "model.num_slots: 8 there, 64 now" in str(error.value)
    assert "batch_size" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_broken_config_is_one_clear_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(run_dir.RunError, match=r"config\.json: expected a config as JSON, got"):
        run_dir.load_config(tmp_path)


def test_a_config_without_settings_that_came_later_means_what_it_did(tmp_path):
    """No clipping of single numbers, one memory: not what these settings are by default."""
    config = tiny_config()
    run_dir.open_run(tmp_path, config)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["clip_value"], stored["model"]["train_slots"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert run_dir.load_config(tmp_path).to_dict() == config.to_dict()
    run_dir.open_run(tmp_path, config)
    config.clip_value = 10.0
    with pytest.raises(run_dir.RunError, match=r"clip_value: 0\.0 there, 10\.0 now"):
        run_dir.open_run(tmp_path, config)


def test_a_config_that_cannot_be_run_says_in_which_file_and_what_to_do(tmp_path):
    run_dir.open_run(tmp_path, tiny_config())
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["adam_b2"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    said = (
        r"config\.json: adam_b2: expected a value such as 0\.9, got none; a run of another version"
    )
    with pytest.raises(run_dir.RunError, match=said):
        run_dir.load_config(tmp_path)


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    with run_dir.locked(tmp_path / "run"):
        with pytest.raises(run_dir.RunError, match="got one in which another process does"):
            run_dir.locked(tmp_path / "run").__enter__()
        with run_dir.locked(tmp_path / "other"):
            pass
    with run_dir.locked(tmp_path / "run"):
        pass


def test_a_summary_of_the_same_end_keeps_how_it_got_there(tmp_path):
    first = {"stopped": "solved", "step": 8, "seconds": 5.0, "devices": "2 of 2 x cpu"}
    assert run_dir.write_summary(tmp_path, first) == first
    assert run_dir.write_summary(tmp_path, {**first, "seconds": 0.1, "devices": "1"}) == first
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    other = {**first, "step": 12, "seconds": 7.0}
    assert run_dir.write_summary(tmp_path, other) == other
    assert json.loads((tmp_path / "summary.json").read_text()) == other
    (tmp_path / "summary.json").write_text("{")
    assert run_dir.write_summary(tmp_path, first) == first


def test_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(run_dir.RunError, match="expected a run folder with a config.json, got none"):
        run_dir.load_config(tmp_path)
    with pytest.raises(run_dir.RunError, match=r"expected a run folder, got none; train one with"):
        run_dir.newest_run(tmp_path / "runs")


def test_the_newest_run_is_the_one_whose_metrics_changed_last(tmp_path):
    for age, name in enumerate(["new", "old", "older"]):
        run_dir.open_run(tmp_path / name, tiny_config())
        run_dir.append_metrics(tmp_path / name, {"step": 1})
        os.utime(tmp_path / name / "metrics.jsonl", (1e9 - age, 1e9 - age))
    (tmp_path / "no_run").mkdir()
    assert run_dir.newest_run(tmp_path) == tmp_path / "new"


def test_metrics_after_a_step_are_taken_back_torn_lines_too(tmp_path):
    for step in (2, 4, 6):
        run_dir.append_metrics(tmp_path, {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert run_dir.keep_metrics_until(tmp_path, 4) == [{"step": 2}, {"step": 4}]
    assert run_dir.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_metrics_that_end_before_the_checkpoint_are_not_trained_on(tmp_path):
    assert run_dir.keep_metrics_until(tmp_path, 0) == []
    for step in (2, 4):
        run_dir.append_metrics(tmp_path, {"step": step})
    with pytest.raises(run_dir.RunError, match="expected lines up to update 6, .* got none after 4"):
        run_dir.keep_metrics_until(tmp_path, 6)
    assert run_dir.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    run_dir.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        run_dir.write_json(path, {"new": object()})
    assert path.read_text() == '{\n  "old": 1\n}\n'
