import json
import os

import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import run_dir


def test_config_round_trip(tmp_path):
    config = tiny_config()
    run_dir.create_or_validate(tmp_path / "run", config)
    assert run_dir.load_config(tmp_path / "run") == config.to_dict()
    run_dir.create_or_validate(tmp_path / "run", config)


def test_other_config_raises_with_the_difference(tmp_path):
    run_dir.create_or_validate(tmp_path, tiny_config())
    other = tiny_config()
    other.learning_rate = 0.5
    other.model.num_slots = 64
    with pytest.raises(run_dir.RunError) as error:
        run_dir.create_or_validate(tmp_path, other)
    assert "learning_rate: 0.002 stored, 0.5 given" in str(error.value)
    assert "model.num_slots: 8 stored, 64 given" in str(error.value)
    assert "batch_size" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_damaged_config_raises(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(run_dir.RunError, match=r"config\.json: expected a config in JSON, got"):
        run_dir.load_config(tmp_path)


def test_missing_keys_keep_the_old_behaviour(tmp_path):
    config = tiny_config()
    run_dir.create_or_validate(tmp_path, config)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["max_grad_value"], stored["model"]["train_num_slots"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert run_dir.load_config(tmp_path) == config.to_dict()
    run_dir.create_or_validate(tmp_path, config)
    config.max_grad_value = 10.0
    with pytest.raises(run_dir.RunError, match=r"max_grad_value: 0\.0 stored, 10\.0 given"):
        run_dir.create_or_validate(tmp_path, config)


def test_invalid_config_names_the_file(tmp_path):
    run_dir.create_or_validate(tmp_path, tiny_config())
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["adam_b2"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    message = (
        r"config\.json: adam_b2: expected a value such as 0\.9, got none; a run of another version"
    )
    with pytest.raises(run_dir.RunError, match=message):
        run_dir.load_config(tmp_path)


def test_only_one_process_locks_the_directory(tmp_path):
    with run_dir.lock(tmp_path / "run"):
        with pytest.raises(
            run_dir.RunError, match=rf"is locked by another training process \(pid {os.getpid()}\)"
        ):
            run_dir.lock(tmp_path / "run").__enter__()
        with run_dir.lock(tmp_path / "other"):
            pass
    with run_dir.lock(tmp_path / "run"):
        pass


def test_summary_of_the_same_results_is_kept(tmp_path):
    first = {"stop_reason": "solved", "step": 8, "seconds": 5.0, "devices": "2 of 2 x cpu"}
    assert run_dir.write_summary(tmp_path, first) == first
    assert run_dir.write_summary(tmp_path, {**first, "seconds": 0.1, "devices": "1"}) == first
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    other = {**first, "step": 12, "seconds": 7.0}
    assert run_dir.write_summary(tmp_path, other) == other
    assert json.loads((tmp_path / "summary.json").read_text()) == other
    (tmp_path / "summary.json").write_text("{")
    assert run_dir.write_summary(tmp_path, first) == first


def test_missing_run_raises(tmp_path):
    with pytest.raises(
        run_dir.RunError, match="expected a run directory with a config.json, got none"
    ):
        run_dir.load_config(tmp_path)
    with pytest.raises(
        run_dir.RunError, match=r"expected a run directory, got none; train a model with"
    ):
        run_dir.latest_run(tmp_path / "runs")


def test_latest_run_changed_last(tmp_path):
    for age, name in enumerate(["new", "old", "older"]):
        run_dir.create_or_validate(tmp_path / name, tiny_config())
        run_dir.append_metrics(tmp_path / name, {"step": 1})
        os.utime(tmp_path / name / "metrics.jsonl", (1e9 - age, 1e9 - age))
    (tmp_path / "no_run").mkdir()
    assert run_dir.latest_run(tmp_path) == tmp_path / "new"


def test_truncate_removes_later_and_torn_lines(tmp_path):
    for step in (2, 4, 6):
        run_dir.append_metrics(tmp_path, {"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert run_dir.truncate_metrics(tmp_path, 4) == [{"step": 2}, {"step": 4}]
    assert run_dir.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_metrics_older_than_the_checkpoint_raise(tmp_path):
    assert run_dir.truncate_metrics(tmp_path, 0) == []
    for step in (2, 4):
        run_dir.append_metrics(tmp_path, {"step": step})
    with pytest.raises(run_dir.RunError, match="expected lines up to step 6 .* got none after 4"):
        run_dir.truncate_metrics(tmp_path, 6)
    assert run_dir.read_metrics(tmp_path) == [{"step": 2}, {"step": 4}]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    run_dir.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        run_dir.write_json(path, {"new": object()})
    assert path.read_text() == '{\n  "old": 1\n}\n'
