import jax
import numpy as np
import pytest
from test_checkpoints import flip, same
from support.tiny_config import tiny_config

from ntm_jax.evaluation import scoring, tables
from ntm_jax.training import experiment, run_dir
from ntm_jax.training import config as configs
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.evaluation.scoring import Accuracy, Result
from ntm_jax.training.ensemble import packed
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.restore import load_run


def make_run(workdir, config):
    """A run folder with fresh parameters, as if trained."""
    run_dir.open_run(workdir, config)
    inputs = np.zeros((1, 1, experiment.make_task(config).input_features), np.float32)
    params = experiment.make_model(config).init(jax.random.key(0), inputs)["params"]
    members = jax.tree.map(lambda leaf: leaf[None], params)
    Checkpoints(workdir).save(3, members, {"count": np.zeros((), np.int32)})
    return params


def test_a_run_is_loaded_with_its_own_parameters(tmp_path):
    params = make_run(tmp_path, tiny_config())
    trained = load_run(tmp_path)
    assert trained.num_params == sum(leaf.size for leaf in jax.tree.leaves(params))
    assert (trained.num_slots, trained.checkpoint.name) == (8, "3")
    assert same(params, trained.params)


def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_is_loaded(tmp_path):
    params = make_run(tmp_path, tiny_config())
    other = jax.tree.map(lambda leaf: leaf[None] + 1, params)
    Checkpoints(tmp_path).save(5, other, {"count": np.zeros((), np.int32)})
    flip(tmp_path / "checkpoints/5/state/params/manifest.ocdbt")
    trained = load_run(tmp_path)
    (remark,) = trained.remarks
    assert "got a damaged params/manifest.ocdbt; going back to" in remark
    assert trained.checkpoint.name == "3"
    assert same(params, trained.params)


@pytest.mark.parametrize("start", ["marked", "learned"])
def test_a_larger_memory_takes_the_trained_parameters(tmp_path, start):
    config = tiny_config()
    config.model.memory_start = start
    if start == "learned":
        config.model.weights_start = "learned"
    make_run(tmp_path, config)
    trained = load_run(tmp_path, num_slots=32)
    assert trained.model.cell.num_slots == 32
    (result,) = scoring.evaluate(trained.model, trained.params, trained.task, [20], 4)
    assert 0 <= result.bit_accuracy <= 1


def test_a_run_without_a_checkpoint_is_one_clear_line(tmp_path):
    run_dir.open_run(tmp_path, tiny_config())
    with pytest.raises(CheckpointError, match="expected a checkpoint, got none yet"):
        load_run(tmp_path)


def test_slots_of_a_model_without_memory_are_refused(tmp_path):
    make_run(tmp_path, tiny_config("dense"))
    with pytest.raises(configs.ConfigError, match="slots: expected a model with a memory"):
        load_run(tmp_path, num_slots=16)


def test_the_table_has_a_line_for_each_size():
    results = [
        Result((10,), 256, 0.0, 0.01, 0.01, 1.0, 1.0),
        Result((120,), 32, 1.5, 7.0, 7.0, 0.998, 0.25),
    ]
    lines = tables.table(Copy(), results).splitlines()
    assert lines[2].split() == ["10", "0", "0.01", "100.0000%", "100.00%", "256"]
    assert lines[3].split() == ["120", "1.5", "7", "99.8000%", "25.00%", "32"]
    assert len({len(line) for line in lines if line.strip()} - {len(lines[1])}) == 1


def test_accuracy_by_step_is_shown_in_order():
    shown = tables.step_table("length 2", Accuracy(np.array([1.0, 0.5]), np.array([0.25])))
    assert shown.split("%")[0].endswith("100.00")
    assert shown.index("50.00%") < shown.index("by bit") < shown.index("25.00%")


def test_a_model_without_memory_has_no_picture_of_it(tmp_path):
    make_run(tmp_path / "run", tiny_config("dense"))
    trained = load_run(tmp_path / "run")
    written = tables.save_plots(trained, [(2,)], tmp_path / "pictures", seed=0)
    assert [path.name for path in written] == ["answers.png"]


def test_a_member_is_taken_out_of_an_ensemble(tmp_path):
    config = tiny_config()
    config.seed, config.num_seeds = 4, 3
    run_dir.open_run(tmp_path, config)
    model, task = experiment.make_model(config), experiment.make_task(config)
    inputs = np.zeros((1, 1, task.input_features), np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    members = jax.vmap(lambda key: model.init(key, inputs)["params"])(keys)
    Checkpoints(tmp_path).save(4, members, {"count": np.zeros((), np.int32)})
    for step, errors in ((0, [0.0, 9.0, 0.0]), (4, [9.0, 0.0, 0.0])):
        line = {"2": packed(errors), "5": packed(errors)}
        metrics = {"kind": "evaluation", "step": step, "bit_errors_per_sequence": line}
        run_dir.append_metrics(tmp_path, metrics)
    whole, second = load_run(tmp_path), load_run(tmp_path, member=1)
    assert (list(whole.seeds), list(second.seeds)) == ([4, 5, 6], [5])
    assert (
        whole.num_params
        == second.num_params
        == sum(leaf[0].size for leaf in jax.tree.leaves(members))
    )
    results = scoring.evaluate_members(whole.model, whole.members, task, [2, 5], 8)
    assert scoring.evaluate(second.model, second.params, task, [2, 5], 8) == results[1]
    shown = tables.members_table(whole, results).splitlines()
    assert [line.split()[:2] for line in shown[2:5]] == [[str(n), "never"] for n in (4, 5, 6)]
    assert shown[-1].startswith("solved at these sizes: 0 of 3 (0 %, interval 0 % to 56 %)")
    assert [one["seed"] for one in tables.as_json(whole, results)["members"]] == [4, 5, 6]
    assert tables.as_json(second, results[1:2])["results"][1]["length"] == 5
    with pytest.raises(configs.ConfigError, match="member: expected one from 0 to 2, got 3"):
        load_run(tmp_path, member=3)
