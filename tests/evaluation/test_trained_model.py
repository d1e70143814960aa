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
from ntm_jax.training.restore import load_run

TRAIN_STATE = {"count": np.zeros((), np.int32)}


def make_run(workdir, config, step=3):
    """Writes a run directory with initial parameters, and returns them with an ensemble axis."""
    run_dir.create_or_validate(workdir, config)
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
    run_dir.create_or_validate(tmp_path, tiny_config())
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
