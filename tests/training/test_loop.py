import json
import os
import signal
import threading

import jax
import numpy as np
import pytest
from test_train_step import make, same
from support.tiny_config import tiny_config

from ntm_jax.evaluation import scoring
from ntm_jax.training import run_dir, success, loop
from ntm_jax.training.checkpoints import Checkpoints
from ntm_jax.tasks.base import label
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.restore import load_run

pytestmark = pytest.mark.usefixtures("optax_promotion")


def lines(workdir):
    """All metrics but the clock."""
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in run_dir.read_metrics(workdir)
    ]


def stored(workdir):
    """Every array of the newest checkpoint."""
    checkpoints = Checkpoints(workdir)
    updates = make(run_dir.load_config(workdir))
    found = checkpoints.restore_newest(*updates.to_checkpoint(updates.init()))
    return found.step, jax.tree.leaves((found.params, found.optimizer_state))


def test_the_average_is_what_is_evaluated_and_kept(tmp_path, monkeypatch):
    states, save = [], loop._Loop.save

    def spy(self, state, step):
        states.append(jax.device_get(state))
        save(self, state, step)

    monkeypatch.setattr(loop._Loop, "save", spy)
    config = tiny_config()
    config.ema_decay = 0.9
    loop.train(config, tmp_path)
    last, kept = states[-1], load_run(tmp_path)
    assert same(kept.members, last.average)
    assert not same(last.average, last.params)
    (result,) = scoring.evaluate(kept.model, kept.params, kept.task, [5], 8, seed=12)
    evaluated = [line for line in lines(tmp_path) if line["kind"] == "evaluation"][-1]
    assert evaluated["bit_errors_per_sequence"]["5"] == result.bit_errors_per_sequence


def interrupt_at(monkeypatch, stop_at):
    """A real SIGINT after so many updates; until `monkeypatch.undo`."""
    report = loop._Loop.report

    def interrupt(self, state, measured, step):
        report(self, state, measured, step)
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(loop._Loop, "report", interrupt)


def run_whole(tmp_path_factory, config):
    """The folder and the summary of a run from beginning to end."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    with jax.numpy_dtype_promotion("standard"):
        return workdir, loop.train(config, workdir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run_whole(tmp_path_factory, tiny_config())


def test_a_run_leaves_what_it_promises(whole):
    workdir, summary = whole
    assert summary["stopped"] == "num_steps"
    assert summary == json.loads((workdir / "summary.json").read_text())
    assert summary["step"] == 12
    assert summary["sequences"] == 48
    assert {"jax", "flax", "optax"} <= summary["versions"].keys()
    assert run_dir.load_config(workdir).to_dict() == tiny_config().to_dict()
    steps = {kind: [] for kind in ("training", "evaluation")}
    for line in lines(workdir):
        steps[line["kind"]].append(line["step"])
    assert steps == {"training": [2, 4, 6, 8, 10, 12], "evaluation": [4, 8, 12]}
    assert Checkpoints(workdir).steps() == [8, 12]
    assert list(workdir.glob("events.out.tfevents.*"))
    assert "all updates done, not solved: 12 updates" in (workdir / "train.log").read_text()


def test_evaluation_of_the_run_is_what_training_measured(whole):
    workdir, summary = whole
    config = run_dir.load_config(workdir)
    trained = load_run(workdir)
    results = scoring.evaluate(
        trained.model,
        trained.params,
        trained.task,
        config.eval_lengths,
        config.eval_sequences,
        seed=summary["step"],
    )
    found = {label(r.size): r.bit_errors_per_sequence for r in results}
    assert found == summary["bit_errors_per_sequence"]


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole, tmp_path, monkeypatch, stop_at):
    """A real SIGINT, between two checkpoints or at one; then the same call again."""
    interrupt_at(monkeypatch, stop_at)
    summary = loop.train(tiny_config(), tmp_path)
    assert (summary["stopped"], summary["step"]) == ("SIGINT", stop_at)
    monkeypatch.undo()
    assert loop.train(tiny_config(), tmp_path)["stopped"] == "num_steps"
    assert lines(tmp_path) == lines(whole[0])
    (step, arrays), (whole_step, whole_arrays) = stored(tmp_path), stored(whole[0])
    assert step == whole_step
    for one, other in zip(arrays, whole_arrays, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_that_lost_its_last_steps_writes_them_again_once(whole, tmp_path, monkeypatch):
    """A crash after metrics were written and before the next checkpoint."""

    def crash(self, state, measured, step):
        report(self, state, measured, step)
        if step == 6:
            raise KeyboardInterrupt

    report = loop._Loop.report
    monkeypatch.setattr(loop._Loop, "report", crash)
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_config(), tmp_path)
    monkeypatch.undo()
    assert Checkpoints(tmp_path).steps() == [4]
    loop.train(tiny_config(), tmp_path)
    assert lines(tmp_path) == lines(whole[0])


@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_machine_that_learns_nothing_begins_anew_also_when_resumed(
    tmp_path, monkeypatch, stop_at
):
    config = tiny_config("dense")
    config.restart_after = 4
    summary = loop.train(config, tmp_path / "whole")
    restarts = [line["step"] for line in lines(tmp_path / "whole") if line["kind"] == "restarted"]
    assert restarts == [4, 8]  # not at the end, 12
    assert summary["restarts"] == 2
    interrupt_at(monkeypatch, stop_at)
    loop.train(config, tmp_path / "resumed")
    monkeypatch.undo()
    assert loop.train(config, tmp_path / "resumed")["restarts"] == 2
    assert lines(tmp_path / "resumed") == lines(tmp_path / "whole")
    assert same(stored(tmp_path / "resumed"), stored(tmp_path / "whole"))
    config.restart_after = 0
    loop.train(config, tmp_path / "left")
    assert not same(stored(tmp_path / "left"), stored(tmp_path / "whole"))


def test_a_finished_run_trains_no_further(whole, capsys):
    workdir, summary = whole
    before = lines(workdir)
    assert loop.train(tiny_config(), workdir) == summary
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert lines(workdir) == before


def test_another_config_in_the_folder_is_refused(whole):
    config = tiny_config()
    config.learning_rate = 0.1
    with pytest.raises(run_dir.RunError, match=r"learning_rate: 0\.002 there, 0\.1 now"):
        loop.train(config, whole[0])


@pytest.mark.parametrize(("wanted", "step"), [(1, 4), (2, 8)])
def test_it_stops_once_solved_for_as_long_as_wanted(tmp_path, monkeypatch, wanted, step):
    monkeypatch.setattr(success, "is_solved", lambda *_: True)
    config = tiny_config()
    config.solved_in_a_row = wanted
    summary = loop.train(config, tmp_path)
    assert (summary["stopped"], summary["step"], summary["solved"]) == ("solved", step, True)
    assert summary["first_solved_at_step"] == 4
    assert "solved at" in (tmp_path / "train.log").read_text()


def test_it_trains_on_after_it_is_solved_for_as_long_as_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(success, "is_solved", lambda *_: True)
    config = tiny_config()
    config.solved_in_a_row, config.updates_after_solved = 1, 4
    summary = loop.train(config, tmp_path / "four")
    assert (summary["stopped"], summary["step"], summary["solved_at_step"]) == ("solved", 8, 4)
    assert summary["held"]
    config.updates_after_solved = 1000
    assert loop.train(config, tmp_path / "all")["stopped"] == "num_steps"


def test_values_that_are_never_finite_stop_the_run_with_advice(tmp_path, monkeypatch):
    config = tiny_config()
    config.max_skipped = 3
    training_sample = loop.Updates._update

    def poisoned(self, state, *others, **model):
        params = jax.tree.map(lambda leaf: leaf * np.inf, state.params)
        bad = state._replace(
            params=jax.tree.map(
                lambda good, worse: jax.lax.select(
                    jax.numpy.broadcast_to(state.step >= 5, good.shape), worse, good
                ),
                state.params,
                params,
            )
        )
        return training_sample(self, bad, *others, **model)

    monkeypatch.setattr(loop.Updates, "_update", poisoned)
    with pytest.raises(loop.TrainingError) as error:
        loop.train(config, tmp_path)
    message = str(error.value)
    assert message.startswith("update 8: the loss or its gradient was not finite for 3 updates")
    assert f"last good checkpoint: {tmp_path / 'checkpoints' / '4'}" in message
    assert "learning_rate" in message
    assert Checkpoints(tmp_path).steps() == [4]


def test_parameters_that_are_not_finite_are_not_stored(tmp_path, monkeypatch):
    """From update 7 on, which is too late to give up before the checkpoint at 8."""
    run = loop.Updates.run

    def poisoned(self, state, num_updates, going_on):
        state, measured = run(self, state, num_updates, going_on)
        if int(state.step[0]) == 6:
            state = state._replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))
        return state, measured

    monkeypatch.setattr(loop.Updates, "run", poisoned)
    with pytest.raises(loop.TrainingError) as error:
        loop.train(tiny_config("dense"), tmp_path)
    assert str(error.value).startswith("update 8: expected finite parameters, got others; last go")
    assert f"last good checkpoint: {tmp_path / 'checkpoints' / '4'}" in str(error.value)
    assert all(np.isfinite(leaf).all() for leaf in stored(tmp_path)[1])
    assert lines(tmp_path)[-2]["skipped"] == 2


def test_an_input_that_is_not_finite_is_skipped_and_counted(tmp_path, monkeypatch):
    sample = Copy.sample

    def poisoned(self, key, batch_size, *span):
        batch = sample(self, key, batch_size, *span)
        bad = jax.random.uniform(jax.random.fold_in(key, 1)) < 0.3
        return batch._replace(inputs=jax.numpy.where(bad, np.nan, batch.inputs))

    monkeypatch.setattr(Copy, "sample", poisoned)
    summary = loop.train(tiny_config("dense"), tmp_path)
    assert (summary["stopped"], summary["step"]) == ("num_steps", 12)
    assert 0 < summary["skipped_updates"] < 12
    assert lines(tmp_path)[-2]["skipped"] == summary["skipped_updates"]
    assert all(np.isfinite(leaf).all() for leaf in stored(tmp_path)[1])


def test_an_interrupted_run_is_saved_before_it_is_evaluated(tmp_path, monkeypatch):
    config = tiny_config("dense")
    interrupt_at(monkeypatch, 4)
    loop.train(config, tmp_path / "stopped")
    monkeypatch.undo()
    assert [line["step"] for line in lines(tmp_path / "stopped")] == [2, 4]
    loop.train(config, tmp_path / "stopped")
    loop.train(config, tmp_path / "whole")
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


def test_training_off_the_main_thread_works(tmp_path):
    config = tiny_config()
    config.num_steps = 2
    found = []

    def run():
        with jax.numpy_dtype_promotion("standard"):
            found.append(loop.train(config, tmp_path)["step"])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [2]


def ensemble():
    config = tiny_config()
    config.num_seeds = 3
    return config


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return run_whole(tmp_path_factory, ensemble())


def test_an_ensemble_is_each_seed_trained_alone(whole, three):
    workdir, summary = three
    assert [member["seed"] for member in summary["members"]] == [0, 1, 2]
    alone, first = whole[1], summary["members"][0]
    assert (first["step"], first["sequences"]) == (12, 48)
    assert first["bit_errors_per_sequence"] == pytest.approx(alone["bit_errors_per_sequence"])
    for one, many in zip(lines(whole[0]), lines(workdir), strict=True):
        if one["kind"] == "training":
            assert many["loss"]["members"][0] == pytest.approx(one["loss"], rel=1e-4)
            assert many["loss"]["median"] == np.median(many["loss"]["members"])
    assert "3 seeds" in (workdir / "train.log").read_text()
    assert "solved 0 of 3 (0 %, interval 0 % to 56 %)" in (workdir / "train.log").read_text()


def test_a_resumed_ensemble_is_the_uninterrupted_one(three, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 6)
    assert loop.train(ensemble(), tmp_path)["stopped"] == "SIGINT"
    monkeypatch.undo()
    loop.train(ensemble(), tmp_path)
    assert lines(tmp_path) == lines(three[0])
    for one, other in zip(stored(tmp_path)[1], stored(three[0])[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_solved_member_waits_for_the_others_also_when_resumed(tmp_path, monkeypatch):
    """The second passes at once; the others never do."""
    evaluate = scoring.evaluate_members

    def second_right(*arguments, **options):
        first, second, third = evaluate(*arguments, **options)
        return [first, [r._replace(bit_errors_per_sequence=0.0) for r in second], third]

    monkeypatch.setattr(evaluation, "evaluate_members", second_right)
    config = ensemble()
    config.solved_in_a_row = 1
    interrupt_at(monkeypatch, 8)
    loop.train(config, tmp_path)
    # Past its step: the run that is resumed is not interrupted again.
    summary = loop.train(config, tmp_path)
    assert [member["step"] for member in summary["members"]] == [12, 4, 12]
    assert [member["solved_at_step"] for member in summary["members"]] == [None, 4, None]


def test_a_lost_member_is_told_of_and_the_others_go_on(tmp_path, monkeypatch):
    config = ensemble()
    config.max_skipped = 3
    init = loop.Updates.init

    def poisoned(self):
        state = init(self)
        broken = jax.tree.map(lambda leaf: leaf.at[2].mul(np.nan), state.params)
        return state._replace(params=broken)

    monkeypatch.setattr(loop.Updates, "init", poisoned)
    summary = loop.train(config, tmp_path)
    assert summary["stopped"] == "num_steps"
    assert [member["skipped_updates"] for member in summary["members"]] == [0, 0, 4]
    assert (
        "seed 2, update 3: the loss or its gradient was not finite for 3 updates in a row"
        in (tmp_path / "train.log").read_text()
    )
