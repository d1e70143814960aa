import json
import math

import jax
import numpy as np
import pytest
from support.runs import flip_bit, trees_equal
from support.tiny_config import tiny_config

from ntm_jax import evaluation
from ntm_jax.evaluation import tables
from ntm_jax.training import run_dir
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.ensemble import summarize_members
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.restore import load_run, restore_ensemble

TRAIN_STATE = {"count": np.zeros((), np.int32)}


def make_run(workdir, config, step=3):
    """Writes a run directory with initial parameters, and returns them with an ensemble axis."""
    run_dir.write_config(workdir, config)
    experiment = Experiment.from_config(config)
    inputs = np.zeros((1, 1, experiment.task.input_features), np.float32)
    init = jax.vmap(lambda key: experiment.model.init(key, inputs)["params"])
    params = init(jax.random.split(jax.random.key(0), config.num_seeds))
    Checkpoints(workdir).save(step, params, TRAIN_STATE)
    return params


def test_run_is_restored(tmp_path):
    params = make_run(tmp_path, tiny_config())
    trained = load_run(tmp_path)
    assert trees_equal(params, trained.params)
    assert trained.num_params == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert (trained.num_slots, list(trained.warnings)) == (8, [])
    assert trained.checkpoint == str(tmp_path / "checkpoints/3")
    assert trained.name == "copy, ntm"


def test_damaged_checkpoint_falls_back(tmp_path):
    params = make_run(tmp_path, tiny_config())
    newer = jax.tree.map(lambda leaf: leaf + 1, params)
    Checkpoints(tmp_path).save(5, newer, TRAIN_STATE)
    flip_bit(tmp_path / "checkpoints/5/state/params/manifest.ocdbt")
    trained = load_run(tmp_path)
    (warning,) = trained.warnings
    assert "params/manifest.ocdbt" in warning
    assert trained.checkpoint == str(tmp_path / "checkpoints/3")
    assert trees_equal(params, trained.params)


@pytest.mark.parametrize("memory_init", ["first_slot_marker", "learned"])
def test_memory_can_be_enlarged(tmp_path, memory_init):
    config = tiny_config()
    config.model.memory_init = memory_init
    if memory_init == "learned":
        config.model.head_init = "learned"
    make_run(tmp_path, config)
    trained = load_run(tmp_path, num_slots=32)
    assert (trained.num_slots, trained.model.cell.num_slots) == (32, 32)
    (result,) = evaluation.evaluate(trained.model, trained.first_params, trained.task, [20], 4)
    assert 0 <= result.bit_accuracy <= 1


def test_missing_checkpoint_raises(tmp_path):
    run_dir.write_config(tmp_path, tiny_config())
    with pytest.raises(CheckpointError, match="expected a checkpoint, got none yet"):
        load_run(tmp_path)


def test_num_slots_without_memory_raises(tmp_path):
    make_run(tmp_path, tiny_config("per_step_dense"))
    assert load_run(tmp_path).num_slots is None
    with pytest.raises(ConfigError, match="slots: expected a model with a memory"):
        load_run(tmp_path, num_slots=16)


def test_slot_warnings(tmp_path):
    make_run(tmp_path / "ntm", tiny_config())
    trained = load_run(tmp_path / "ntm")
    warnings = trained.slot_warnings([(5,), (20,)])
    assert warnings == ["length 20 needs 20 slots, the memory has 8"]
    make_run(tmp_path / "dense", tiny_config("per_step_dense"))
    assert load_run(tmp_path / "dense").slot_warnings([(20,)]) == []


def test_member_is_selected(tmp_path):
    config = tiny_config()
    config.seed, config.num_seeds = 4, 3
    params = make_run(tmp_path, config, step=4)
    for step, errors in ((0, [0.0, 9.0, 0.0]), (4, [9.0, 0.0, 0.0])):
        values = {"2": summarize_members(errors), "5": summarize_members(errors)}
        line = {"kind": "evaluation", "step": step, "bit_errors_per_sequence": values}
        run_dir.append_metrics(tmp_path, line)
    ensemble, second = load_run(tmp_path), load_run(tmp_path, member=1)
    assert (list(ensemble.seeds), list(second.seeds)) == ([4, 5, 6], [5])
    num_params = sum(leaf[0].size for leaf in jax.tree.leaves(params))
    assert ensemble.num_params == second.num_params == num_params
    task = ensemble.task
    results = evaluation.evaluate_members(ensemble.model, ensemble.params, task, [5], 8)
    assert evaluation.evaluate(second.model, second.first_params, task, [5], 8) == results[1]
    rows = tables.ensemble_table(ensemble, results).splitlines()[3:6]
    assert [row.split()[:2] for row in rows] == [[str(seed), "never"] for seed in (4, 5, 6)]
    assert tables.as_json(second, results[1:2])["results"][0]["length"] == 5
    with pytest.raises(ConfigError, match="member: expected an index from 0 to 2, got 3"):
        load_run(tmp_path, member=3)


def make_ensemble_run(workdir, not_finite):
    """Writes a run of seeds 4 to 6, some of them with a NaN or infinity."""
    config = tiny_config()
    config.seed, config.num_seeds = 4, 3
    params = make_run(workdir, config)
    params = jax.tree.map(np.array, params)
    leaves = jax.tree.leaves(params)
    for number, member in enumerate(not_finite):
        leaves[number][member].flat[-1] = [np.nan, -np.inf, np.inf][number]
    Checkpoints(workdir).save(4, params, TRAIN_STATE)


def test_not_finite_members_give_a_warning(tmp_path):
    make_ensemble_run(tmp_path, [2, 0])
    message = "parameters: expected finite numbers, got NaN or infinity"
    line = f"{tmp_path}/checkpoints/4: {message}"
    trained = load_run(tmp_path)
    assert trained.warnings == (f"{line} for seed 4, 6",)
    assert (
        len(evaluation.evaluate_members(trained.model, trained.params, trained.task, [5], 4)) == 3
    )
    assert list(load_run(tmp_path, member=1).warnings) == []
    with pytest.raises(CheckpointError) as error:
        load_run(tmp_path, member=2)
    assert str(error.value) == line


def test_no_finite_member_raises(tmp_path):
    make_ensemble_run(tmp_path, [0, 1, 2])
    with pytest.raises(CheckpointError) as error:
        load_run(tmp_path)
    message = "checkpoints/4: parameters: expected finite numbers, got NaN or infinity"
    assert str(error.value) == f"{tmp_path}/{message}"


def test_missing_checkpoints_are_named(tmp_path):
    run_dir.write_config(tmp_path, tiny_config())
    with pytest.raises(CheckpointError) as error:
        load_run(tmp_path)
    assert str(error.value) == f"{tmp_path}/checkpoints: expected a checkpoint, got none yet"


def test_impossible_config_names_the_file(tmp_path):
    """Valid types, and values that do not fit each other."""
    config = tiny_config()
    make_run(tmp_path, config)
    values = {**config.to_dict(), "model": {**config.model.to_dict(), "train_num_slots": [1, 8]}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(run_dir.RunError) as error:
        load_run(tmp_path)
    message = "config.json: model.train_num_slots: expected at least 3 for length 3, got (1, 8)"
    assert str(error.value) == f"{tmp_path}/{message}"


def test_other_config_than_checkpoint_raises(tmp_path):
    config = tiny_config()
    make_run(tmp_path, config)
    config.model.slot_width = 5
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(CheckpointError) as error:
        load_run(tmp_path)
    start = f"{tmp_path}/checkpoints/3: expected a checkpoint that fits config.json; params/cell/"
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)


def evaluation_line(errors, **changes):
    """A line of metrics.jsonl after 3 steps, with the same errors at both sizes."""
    values = {"2": errors, "5": errors}
    return {"kind": "evaluation", "step": 3, "bit_errors_per_sequence": values, **changes}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (evaluation_line([0.0, 0.0]), "expected a number per seed, got [[0.0, 0.0]] at 2"),
        (evaluation_line(0.0), "expected a number per seed, got [0.0] at 2"),
        (evaluation_line({"members": [0.0]}), "expected a number per seed, got [0.0] at 2"),
        (
            evaluation_line({"members": 3 * [0.0]}),
            "expected a number per seed, got [0.0, 0.0, 0.0]",
        ),
        (evaluation_line({"members": [0.0, "0"]}), "expected a number per seed, got [0.0, '0']"),
        (evaluation_line({"members": [0.0, True]}), "expected a number per seed, got [0.0, True]"),
        (evaluation_line({"members": [0.0, [1]]}), "expected a number per seed, got [0.0, [1]]"),
        (evaluation_line({"median": 0.0}), "members"),
        (evaluation_line({"members": None}), "NoneType"),
        (evaluation_line(0, bit_errors_per_sequence={}), "expected other sizes, got"),
        (evaluation_line(0, bit_errors_per_sequence={"a": 1}), "'a'"),
        (evaluation_line(0, bit_errors_per_sequence={"2": {"members": [0, 0]}}), "sizes, got 2"),
        (evaluation_line(0, bit_errors_per_sequence=[1]), "list"),
        (evaluation_line(0, bit_errors_per_sequence=None), "NoneType"),
        ({"kind": "evaluation", "step": 3}, "bit_errors_per_sequence"),
        ({"kind": "failed", "step": 3}, "seeds"),
        (
            {"kind": "failed", "step": 3, "seeds": [4, 9]},
            "expected some of range(4, 6), got [4, 9]",
        ),
        ({"kind": "failed", "step": 3, "seeds": "4"}, "expected some of range(4, 6), got 4"),
        ({"kind": "restarted", "step": 3, "seeds": None}, "NoneType"),
        ({"kind": "restarted", "step": 3, "seeds": [True]}, "range(4, 6), got [True]"),
        ({"kind": "evaluatoin", "step": 3}, "expected training or evaluation, got evaluatoin"),
    ],
)
def test_invalid_metrics_name_the_file(tmp_path, line, reason):
    config = tiny_config("per_step_dense")
    config.log_every_steps = config.eval_every_steps = config.checkpoint_every_steps = 3
    config.seed, config.num_seeds = 4, 2
    make_run(tmp_path, config)
    run_dir.append_metrics(tmp_path, line)
    with pytest.raises(run_dir.RunError) as error:
        load_run(tmp_path)
    message = "metrics.jsonl: expected lines as this version writes them, got another at step 3 ("
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert reason in str(error.value)
    assert str(error.value).endswith("); restore the file, or train again in another --workdir")
    assert "\n" not in str(error.value)


def test_metrics_before_the_checkpoint_raise(tmp_path):
    make_run(tmp_path, tiny_config("per_step_dense"))
    run_dir.append_metrics(tmp_path, {"kind": "training", "step": 2})
    with pytest.raises(
        run_dir.RunError, match="lines up to step 3 of the checkpoint, got none aft"
    ):
        load_run(tmp_path)


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity"])
def test_not_finite_error_is_replayed(tmp_path, value):
    """As null, and as older versions wrote it."""
    config = tiny_config("per_step_dense")
    config.log_every_steps = config.eval_every_steps = config.checkpoint_every_steps = 3
    text = json.dumps(evaluation_line("VALUE")).replace('"VALUE"', value)
    (tmp_path / "metrics.jsonl").write_text(text + "\n")
    history = run_dir.read_metrics(tmp_path)
    (tracker,) = restore_ensemble(Experiment.from_config(config), history).trackers
    expected = math.inf if value == "Infinity" else math.nan
    np.testing.assert_equal(tracker.errors, {(2,): expected, (5,): expected})
    assert not tracker.solved
