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


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    runs.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        runs.write_json(path, {"new": object()})
    assert path.read_text() == '{\n  "old": 1\n}\n'
