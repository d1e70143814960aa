import dataclasses
import functools
import json
import os
import shutil
import signal
import threading

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.runs import assert_same_run, metrics_lines, stored_checkpoint, trees_equal
from support.tiny_config import tiny_config

from ntm_jax.evaluation import scoring, traces
from ntm_jax.tasks.base import SuccessThresholds, format_size
from ntm_jax.tasks.copy import Copy
from ntm_jax.training import loop, model_factory, run_dir
from ntm_jax.training.checkpoints import Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.restore import load_run
from ntm_jax.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("optax_promotion")


def interrupt_at(step):
    """Returns a callback that sends SIGINT to this process at a step."""

    def on_metrics(completed, metrics):
        if completed == step and "training/sequences_per_second" in metrics:
            os.kill(os.getpid(), signal.SIGINT)

    return on_metrics


def train_once(tmp_path_factory, config):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    with jax.numpy_dtype_promotion("standard"):
        return workdir, loop.train(config, workdir)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An uninterrupted run of one seed: its directory and its summary."""
    return train_once(tmp_path_factory, tiny_config())


@pytest.fixture
def always_solved(monkeypatch):
    monkeypatch.setattr(Copy, "thresholds", SuccessThresholds(np.inf, np.inf, np.inf))


def all_finite(workdir):
    _, items = stored_checkpoint(workdir)
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(items))


def test_run_directory_is_complete(run):
    workdir, summary = run
    assert summary["stop_reason"] == "num_train_steps"
    assert summary == json.loads((workdir / "summary.json").read_text())
    assert (summary["step"], summary["sequences"]) == (12, 48)
    assert {"jax", "flax", "optax"} <= summary["versions"].keys()
    assert run_dir.load_config(workdir) == tiny_config().to_dict()
    steps = {kind: [] for kind in ("training", "evaluation")}
    for line in metrics_lines(workdir):
        steps[line["kind"]].append(line["step"])
    assert steps == {"training": [2, 4, 6, 8, 10, 12], "evaluation": [4, 8, 12]}
    assert Checkpoints(workdir).steps() == [8, 12]
    assert list(workdir.glob("events.out.tfevents.*"))
    assert "all training steps, not solved: step 12" in (workdir / "train.log").read_text()


def test_traces_change_nothing_else(run, tmp_path):
    workdir, _ = run
    loop.train(tiny_config(), tmp_path, trace_every_evals=2)
    assert_same_run(tmp_path, workdir)
    paths = {int(path.stem): path for path in (tmp_path / "traces").glob("*.npz")}
    assert paths.keys() == {8, 12}  # evaluations after 4, 8 and 12 steps
    first, last = (dict(np.load(paths[step])) for step in (8, 12))
    np.testing.assert_array_equal(first["inputs"], last["inputs"])
    assert not np.array_equal(first["outputs"], last["outputs"])
    bias = load_run(tmp_path).first_params["cell"]["output"]["bias"]
    expected = [np.sqrt(np.mean(np.square(bias))), bias.min(), bias.max()]
    np.testing.assert_allclose(last["params/cell/output/bias"], expected, rtol=1e-6)
    examples, norms = traces.load_training(load_run(tmp_path))
    assert [*examples] == [8, 12]
    np.testing.assert_allclose(norms["cell/output/bias"][1], expected[0], rtol=1e-6)
    shutil.copy(paths[12], tmp_path / "traces/16.npz")  # of a training step after the checkpoint
    shutil.copy(paths[12], tmp_path / "traces/12 copy.npz")
    assert traces.load_training(load_run(tmp_path))[0].keys() == {8, 12}
    assert traces.load_training(load_run(workdir)) == ({}, {})


def test_train_builds_task_and_model_once(tmp_path, monkeypatch):
    calls = {"task": 0, "model": 0}

    def count(owner, name, key):
        original = getattr(owner, name)

        @functools.wraps(original)
        def counted(*args, **kwargs):
            calls[key] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)

    count(Copy, "__post_init__", "task")
    count(model_factory, "_make_model", "model")
    loop.train(tiny_config("per_step_dense"), tmp_path)
    assert calls == {"task": 1, "model": 1}


def test_metrics_are_fetched_once_per_log_line(tmp_path, monkeypatch):
    config = tiny_config("per_step_dense")
    config.eval_every_steps = config.checkpoint_every_steps = config.num_train_steps
    fetches, to_host, per_line = [0], loop._to_host, []

    def counted(tree):
        fetches[0] += 1
        return to_host(tree)

    def append(step, metrics):
        if "training/loss" in metrics:
            per_line.append(fetches[0])

    monkeypatch.setattr(loop, "_to_host", counted)
    loop.train(config, tmp_path, on_metrics=append)
    assert per_line == [1, 2, 3, 4, 5, 6]


def test_evaluation_is_compiled_in_a_thread(run, tmp_path, monkeypatch):
    compiled = []
    compile_evaluation = scoring.compile_evaluation

    def record(*args):
        compile_evaluation(*args)
        compiled.extend(args[3])

    monkeypatch.setattr(scoring, "compile_evaluation", record)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    loop.train(tiny_config(), tmp_path)
    assert [format_size(size) for size in compiled] == [*run[1]["bit_errors_per_sequence"]]
    assert_same_run(tmp_path, run[0])


def test_restored_model_repeats_the_evaluation(run):
    workdir, summary = run
    config, trained = run_dir.load_config(workdir), load_run(workdir)
    results = scoring.evaluate(
        trained.model,
        trained.first_params,
        trained.task,
        config["eval_lengths"],
        config["num_eval_sequences"],
        seed=summary["step"],
    )
    errors = {format_size(r.size): r.bit_errors_per_sequence for r in results}
    assert errors == summary["bit_errors_per_sequence"]


def test_averaged_parameters_are_stored(tmp_path, monkeypatch):
    states, to_checkpoint = [], Trainer.to_checkpoint

    def spy(self, state):
        states.append(jax.device_get(state))
        return to_checkpoint(self, state)

    monkeypatch.setattr(Trainer, "to_checkpoint", spy)
    config = tiny_config("per_step_dense")
    config.ema_decay = 0.9
    loop.train(config, tmp_path)
    assert trees_equal(load_run(tmp_path).params, states[-1].ema_params)
    assert not trees_equal(states[-1].ema_params, states[-1].params)


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_resume_is_bit_exact(run, tmp_path, stop_at):
    summary = loop.train(tiny_config(), tmp_path, on_metrics=interrupt_at(stop_at))
    assert (summary["stop_reason"], summary["step"]) == ("SIGINT", stop_at)
    assert loop.train(tiny_config(), tmp_path)["stop_reason"] == "num_train_steps"
    assert_same_run(tmp_path, run[0])


def test_crashed_run_repeats_its_last_steps_once(run, tmp_path):
    def crash(step, metrics):
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_config(), tmp_path, on_metrics=crash)
    assert Checkpoints(tmp_path).steps() == [4]
    loop.train(tiny_config(), tmp_path)
    assert_same_run(tmp_path, run[0])


@pytest.mark.parametrize("stop_at", [4, 6])
def test_restarts_are_bit_exact_when_resumed(tmp_path, stop_at):
    config = tiny_config("per_step_dense")
    config.restart_after_steps = 4
    summary = loop.train(config, tmp_path / "complete")
    lines = metrics_lines(tmp_path / "complete")
    assert [line["step"] for line in lines if line["kind"] == "restarted"] == [4, 8]  # not at 12
    assert summary["restarts"] == 2
    loop.train(config, tmp_path / "resumed", on_metrics=interrupt_at(stop_at))
    assert loop.train(config, tmp_path / "resumed")["restarts"] == 2
    assert_same_run(tmp_path / "resumed", tmp_path / "complete")
    config.restart_after_steps = 0
    loop.train(config, tmp_path / "none")
    checkpoints = (stored_checkpoint(tmp_path / name) for name in ("none", "complete"))
    assert not trees_equal(*checkpoints)


def test_finished_run_does_not_train_further(run):
    workdir, summary = run
    before = metrics_lines(workdir)
    assert loop.train(tiny_config(), workdir) == summary
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert metrics_lines(workdir) == before


@pytest.mark.parametrize("shorter", [8, 5], ids=["evaluated", "between evaluations"])
@pytest.mark.parametrize("changes", [{}, {"restart_after_steps": 4}], ids=["", "restarts"])
def test_more_steps_continue_bit_exactly(tmp_path, shorter, changes):
    config = tiny_config("per_step_dense")
    config.update(changes)
    complete = loop.train(config, tmp_path / "complete")
    config.num_train_steps = shorter
    loop.train(config, tmp_path / "continued")
    config.num_train_steps, config.checkpoint_every_steps = 12, 2
    summary = loop.train(config, tmp_path / "continued")
    checkpoints = (stored_checkpoint(tmp_path / name) for name in ("continued", "complete"))
    assert trees_equal(*checkpoints)
    times = dict.fromkeys(("seconds", "compile_seconds", "date"), 0)
    assert summary | times == complete | times
    assert run_dir.load_config(tmp_path / "continued") == config.to_dict()


def test_fewer_steps_than_trained_raise(run):
    config = tiny_config()
    config.num_train_steps = 10
    message = "a run of 12 training steps: expected num_train_steps of at least that, got 10"
    with pytest.raises(run_dir.RunError, match=message):
        loop.train(config, run[0])
    assert run_dir.load_config(run[0])["num_train_steps"] == 12


def test_solved_run_trains_on(tmp_path, always_solved):
    config = tiny_config("per_step_dense")
    config.solved_patience = 1
    loop.train(config, tmp_path / "continued")
    loop.train(config, tmp_path / "continued")
    hint = "a larger --config.train_steps_after_solved trains on"
    assert (tmp_path / "continued" / "train.log").read_text().endswith(f"{hint}\n")
    config.train_steps_after_solved = 4
    summary = loop.train(config, tmp_path / "continued")
    assert (summary["stop_reason"], summary["step"]) == ("solved", 8)
    loop.train(config, tmp_path / "complete")
    assert_same_run(tmp_path / "continued", tmp_path / "complete")
    config.train_steps_after_solved = 0
    with pytest.raises(run_dir.RunError, match="train_steps_after_solved: 4 stored, 0 given"):
        loop.train(config, tmp_path / "continued")


def test_solved_seeds_stay_while_others_train_on(tmp_path, monkeypatch):
    errors = {(2,): [0.0, 9.0], (5,): [0.0, 9.0]}
    monkeypatch.setattr(loop, "_evaluate", lambda *_: errors)
    config = tiny_config("per_step_dense")
    config.update(num_seeds=2, solved_patience=1, num_train_steps=8)
    loop.train(config, tmp_path)
    config.num_train_steps = 12
    summary = loop.train(config, tmp_path)
    assert [member["step"] for member in summary["members"]] == [4, 12]
    config.train_steps_after_solved = 4
    message = r"since members stopped before step 12 \(seeds 0\), got 4; choose another --workdir"
    with pytest.raises(run_dir.RunError, match=message):
        loop.train(config, tmp_path)


def test_other_config_in_the_directory_raises(run):
    config = tiny_config()
    config.learning_rate = 0.1
    with pytest.raises(run_dir.RunError, match=r"learning_rate: 0\.002 stored, 0\.1 given"):
        loop.train(config, run[0])


@pytest.mark.parametrize(("patience", "step"), [(1, 4), (2, 8)])
def test_training_stops_once_solved(tmp_path, always_solved, patience, step):
    config = tiny_config("per_step_dense")
    config.solved_patience = patience
    summary = loop.train(config, tmp_path)
    assert (summary["stop_reason"], summary["step"], summary["solved"]) == ("solved", step, True)
    assert summary["first_solved_at_step"] == 4
    assert f"solved in {patience} consecutive" in (tmp_path / "train.log").read_text()


def test_training_continues_after_solved(tmp_path, always_solved):
    config = tiny_config("per_step_dense")
    config.solved_patience, config.train_steps_after_solved = 1, 4
    summary = loop.train(config, tmp_path / "four")
    expected = ("solved", 8, 4)
    assert (summary["stop_reason"], summary["step"], summary["solved_at_step"]) == expected
    assert summary["stayed_solved"]
    config.train_steps_after_solved = 1000
    assert loop.train(config, tmp_path / "all")["stop_reason"] == "num_train_steps"


def poison_state(monkeypatch, at_step):
    """Makes all parameters infinite before the training step `at_step`."""
    run_steps = Trainer.run

    def poisoned(self, state, num_steps, active=None):
        if int(state.step[0]) == at_step:
            state = state._replace(params=jax.tree.map(lambda leaf: leaf * np.inf, state.params))
        return run_steps(self, state, num_steps, active)

    monkeypatch.setattr(Trainer, "run", poisoned)


def test_nonfinite_training_stops_with_advice(tmp_path, monkeypatch):
    config = tiny_config("per_step_dense")
    config.max_consecutive_nonfinite = 2
    config.log_every_steps = 4  # the failure is in the middle of a dispatch
    poison_state(monkeypatch, at_step=4)
    with pytest.raises(loop.TrainingError) as error:
        loop.train(config, tmp_path)
    message = str(error.value)
    expected = "step 6: the loss or its gradient was not finite for 2 training steps in a row"
    assert message.startswith(expected)
    assert f"latest checkpoint: {tmp_path / 'checkpoints' / '4'}" in message
    assert "learning_rate" in message
    assert Checkpoints(tmp_path).steps() == [4]


def test_nonfinite_parameters_are_not_stored(tmp_path, monkeypatch):
    """From step 7 on, too late for the seed to fail before the checkpoint at 8."""
    poison_state(monkeypatch, at_step=6)
    with pytest.raises(loop.TrainingError) as error:
        loop.train(tiny_config("per_step_dense"), tmp_path)
    assert str(error.value).startswith("step 8: the parameters are not finite; latest checkpoint")
    assert f"latest checkpoint: {tmp_path / 'checkpoints' / '4'}" in str(error.value)
    assert all_finite(tmp_path)
    assert metrics_lines(tmp_path)[-2]["skipped_steps"] == 2


def test_nonfinite_inputs_are_skipped_and_counted(tmp_path, monkeypatch):
    sample = Copy.sample

    def poisoned(self, key, batch_size, *size_range):
        batch = sample(self, key, batch_size, *size_range)
        bad = jax.random.uniform(jax.random.fold_in(key, 1)) < 0.3
        return batch._replace(inputs=jnp.where(bad, np.nan, batch.inputs))

    monkeypatch.setattr(Copy, "sample", poisoned)
    summary = loop.train(tiny_config("per_step_dense"), tmp_path)
    assert (summary["stop_reason"], summary["step"]) == ("num_train_steps", 12)
    assert 0 < summary["skipped_steps"] < 12
    assert metrics_lines(tmp_path)[-2]["skipped_steps"] == summary["skipped_steps"]
    assert all_finite(tmp_path)


def test_interrupted_run_is_saved_first(tmp_path):
    config = tiny_config("per_step_dense")
    loop.train(config, tmp_path / "stopped", on_metrics=interrupt_at(4))
    assert [line["step"] for line in metrics_lines(tmp_path / "stopped")] == [2, 4]
    loop.train(config, tmp_path / "stopped")
    loop.train(config, tmp_path / "complete")
    assert_same_run(tmp_path / "stopped", tmp_path / "complete")


def test_training_works_outside_the_main_thread(tmp_path):
    config = tiny_config("per_step_dense")
    config.num_train_steps = 2
    steps = []

    def run():
        with jax.numpy_dtype_promotion("standard"):
            steps.append(loop.train(config, tmp_path)["step"])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert steps == [2]


def three_seeds(model="ntm"):
    config = tiny_config(model)
    config.num_seeds = 3
    return config


@pytest.fixture(scope="module")
def ensemble_run(tmp_path_factory):
    return train_once(tmp_path_factory, three_seeds())


def test_ensemble_equals_single_seeds(run, ensemble_run):
    workdir, summary = ensemble_run
    assert [member["seed"] for member in summary["members"]] == [0, 1, 2]
    single, first = run[1], summary["members"][0]
    assert (first["step"], first["sequences"]) == (12, 48)
    assert first["bit_errors_per_sequence"] == pytest.approx(single["bit_errors_per_sequence"])
    for one, many in zip(metrics_lines(run[0]), metrics_lines(workdir), strict=True):
        if one["kind"] == "training":
            assert many["loss"]["members"][0] == pytest.approx(one["loss"], rel=1e-4)
            assert many["loss"]["median"] == np.median(many["loss"]["members"])
    assert "3 seeds" in (workdir / "train.log").read_text()
    assert "solved 0 of 3 (0 %, 95 % interval 0 % to 56 %)" in (workdir / "train.log").read_text()


def test_resumed_ensemble_is_bit_exact(ensemble_run, tmp_path):
    summary = loop.train(three_seeds(), tmp_path, on_metrics=interrupt_at(6))
    assert summary["stop_reason"] == "SIGINT"
    loop.train(three_seeds(), tmp_path)
    assert_same_run(tmp_path, ensemble_run[0])


def test_solved_member_stays_stopped_when_resumed(tmp_path, monkeypatch):
    evaluate = scoring.evaluate_members

    def second_is_solved(*arguments, **options):
        first, second, third = evaluate(*arguments, **options)
        perfect = {"bit_errors_per_sequence": 0.0}
        return [first, [dataclasses.replace(r, metrics=perfect) for r in second], third]

    monkeypatch.setattr(scoring, "evaluate_members", second_is_solved)
    config = three_seeds()
    config.solved_patience = 1
    loop.train(config, tmp_path, on_metrics=interrupt_at(8))
    summary = loop.train(config, tmp_path)
    assert [member["step"] for member in summary["members"]] == [12, 4, 12]
    assert [member["solved_at_step"] for member in summary["members"]] == [None, 4, None]


def test_failed_member_is_reported(tmp_path, monkeypatch):
    config = three_seeds("per_step_dense")
    config.max_consecutive_nonfinite = 3
    init = Trainer.init

    def poisoned(self):
        state = init(self)
        broken = jax.tree.map(lambda leaf: leaf.at[2].mul(np.nan), state.params)
        return state._replace(params=broken)

    monkeypatch.setattr(Trainer, "init", poisoned)
    summary = loop.train(config, tmp_path)
    assert summary["stop_reason"] == "num_train_steps"
    assert [member["skipped_steps"] for member in summary["members"]] == [0, 0, 4]
    message = "seed 2 failed, step 3: the loss or its gradient was not finite for 3 training steps"
    assert message in (tmp_path / "train.log").read_text()
    assert {"kind": "failed", "step": 4, "sequences": 16, "seeds": [2]} in metrics_lines(tmp_path)


@pytest.mark.parametrize(
    ("step", "stop_reason"), [(12, "num_train_steps"), (10, "SIGINT")], ids=["finished", "not yet"]
)
def test_signal_after_the_last_step(tmp_path, step, stop_reason, monkeypatch):
    evaluate = loop._evaluate

    def interrupted_afterwards(experiment, config, state, completed, signals):
        errors = evaluate(experiment, config, state, completed, signals)
        if completed == step:
            os.kill(os.getpid(), signal.SIGINT)
        return errors

    monkeypatch.setattr(loop, "_evaluate", interrupted_afterwards)
    config = tiny_config("per_step_dense")
    config.eval_every_steps = config.checkpoint_every_steps = config.log_every_steps
    summary = loop.train(config, tmp_path)
    assert (summary["stop_reason"], summary["step"]) == (stop_reason, step)


def test_interrupted_last_evaluation_is_repeated(tmp_path):
    config = tiny_config("per_step_dense")
    summary = loop.train(config, tmp_path, on_metrics=interrupt_at(12))
    assert (summary["stop_reason"], summary["step"]) == ("SIGINT", 12)
    assert loop.train(config, tmp_path)["stop_reason"] == "num_train_steps"


def test_init_from_a_run(run, tmp_path):
    config = tiny_config()
    config.update(init_from=str(run[0]), num_train_steps=2, learning_rate=1e-12)
    config.model.num_slots = 16
    loop.train(config, tmp_path)
    trained, source = load_run(tmp_path), load_run(run[0])
    chex.assert_trees_all_close(trained.params, source.params, rtol=1e-6)
    log = (tmp_path / "train.log").read_text()
    assert log.startswith(f"took 342 of 342 parameters from {source.checkpoint}\n")
    assert run_dir.load_config(tmp_path)["init_from"] == str(run[0])


def test_init_from_an_ensemble(tmp_path):
    config = tiny_config("per_step_dense")
    config.num_seeds = 2
    loop.train(config, tmp_path / "two")
    tuned = tiny_config("per_step_dense")
    tuned.update(init_from=str(tmp_path / "two"), num_train_steps=2, learning_rate=1e-12)
    with pytest.raises(ConfigError, match="init_from: expected 1 or 1 seeds, got 2"):
        loop.train(tuned, tmp_path / "one")
    tuned.update(num_seeds=2, seed=5)
    loop.train(tuned, tmp_path / "tuned")
    params = [load_run(tmp_path / name).params for name in ("two", "tuned")]
    chex.assert_trees_all_close(*params, rtol=1e-6)


def test_init_from_names_what_does_not_fit(run, tmp_path):
    config = tiny_config()
    config.update(init_from=str(run[0]), num_train_steps=2)
    config.task.num_bits = 3
    loop.train(config, tmp_path / "wider")
    line, *_ = (tmp_path / "wider" / "train.log").read_text().splitlines()
    assert line.startswith("took 260 of 363 parameters from ")
    assert "cell/output/bias (expected float32[3], got float32[2])" in line
    other = tiny_config("per_step_dense")
    other.update(init_from=str(run[0]), num_train_steps=2)
    message = "init_from: expected at least half of 8 values to fit, got 0: cell/controller/Dense_0"
    with pytest.raises(ConfigError, match=message):
        loop.train(other, tmp_path / "dense")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing", "nothing: expected a run directory with a config.json, got none"),
        ("nothing.npz", "nothing.npz: no such file"),
        ("pretrained:sort", r"name: expected FILE.npz or one of .*, got 'sort'"),
    ],
)
def test_init_from_nothing_raises(tmp_path, source, message):
    config = tiny_config("per_step_dense")
    config.init_from = source
    with pytest.raises(ConfigError, match=f"init_from: {message}"):
        loop.train(config, tmp_path)
    config.init_from = ""  # in the same directory, where no run began
    assert loop.train(config, tmp_path)["step"] == 12
