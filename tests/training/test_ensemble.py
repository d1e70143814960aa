import numpy as np
import pytest

from ntm_jax.tasks.base import SuccessThresholds
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.repeat_copy import RepeatCopy
from ntm_jax.training.ensemble import (
    Ensemble,
    SuccessTracker,
    member_values,
    summarize_members,
)

GOOD, BAD = 0.0, 3.0


def make_ensemble(**overrides):
    options = dict(
        batch_size=4,
        solved_patience=2,
        train_steps_after_solved=0,
        restart_after_steps=0,
        max_consecutive_nonfinite=2,
    )
    return Ensemble(Copy(max_length=3, num_bits=2), range(7, 10), **{**options, **overrides})


def update(ensemble, step, *errors):
    ensemble.update(step, {(2,): errors, (5,): errors})


def test_single_value_stays_a_number():
    assert summarize_members([0.5]) == 0.5


def test_several_values_get_finite_quartiles():
    several = summarize_members([1.0, None, 3.0, float("inf"), 2.0])
    assert several["members"] == [1.0, None, 3.0, float("inf"), 2.0]
    assert [several[n] for n in ("lower_quartile", "median", "upper_quartile")] == [1.5, 2.0, 2.5]
    assert summarize_members([None, None])["median"] is None


@pytest.mark.parametrize("values", [[0.5], [None], [1.0, None, 2.0]])
def test_member_values_inverts_summarize_members(values):
    assert member_values(summarize_members(values)) == values


def test_solved_member_stops():
    ensemble = make_ensemble()
    update(ensemble, 0, BAD, GOOD, GOOD)
    update(ensemble, 4, GOOD, GOOD, BAD)
    assert ensemble.active == [True, False, True]
    assert ensemble.stop_reason is None
    update(ensemble, 8, GOOD, BAD, GOOD)  # does not count for the second member
    update(ensemble, 12, GOOD, BAD, GOOD)
    assert ensemble.stop_reason == "solved"
    assert [tracker.solved_at_step for tracker in ensemble.trackers] == [8, 4, 12]
    assert ensemble.trackers[1].stayed_solved
    assert ensemble.success_rate().startswith("3 of 3 (100 %")
    summaries = ensemble.summaries([8, 4, 12], [0, 0, 1])
    assert [summary["seed"] for summary in summaries] == [7, 8, 9]
    assert [summary["sequences"] for summary in summaries] == [32, 16, 48]
    assert [summary["skipped_steps"] for summary in summaries] == [0, 0, 1]
    assert summaries[1]["bit_errors_per_sequence"] == {"2": GOOD, "5": GOOD}


def test_solved_member_trains_for_further_steps():
    ensemble = make_ensemble(train_steps_after_solved=8)
    for step in (0, 4, 8):
        update(ensemble, step, GOOD, GOOD, BAD)
    assert ensemble.active == [True, True, True]
    update(ensemble, 12, GOOD, BAD, BAD)
    assert ensemble.active == [False, False, True]
    assert [tracker.stayed_solved for tracker in ensemble.trackers] == [True, False, None]
    assert [tracker.collapsed for tracker in ensemble.trackers] == [False, True, None]


def test_failed_member_stops_alone():
    ensemble = make_ensemble()
    assert ensemble.mark_failed(np.array([[0, 0, 1], [1, 0, 2], [0, 0, 3]])) == {9: 1}
    assert ensemble.active == [True, True, False]
    assert ensemble.mark_failed(np.array([[0, 0, 4]])) == {}
    for step in (0, 4):
        update(ensemble, step, GOOD, GOOD, GOOD)
    assert ensemble.stop_reason == "not finite"
    assert not ensemble.all_failed
    assert ensemble.success_rate().startswith("2 of 3")


def test_all_members_failed():
    ensemble = make_ensemble()
    assert len(ensemble.mark_failed(np.full((1, 3), 2))) == 3
    assert ensemble.all_failed


def test_stalled_members_are_restarted():
    ensemble = make_ensemble(restart_after_steps=8)
    update(ensemble, 4, BAD, GOOD, BAD)
    assert ensemble.stalled(4) == []
    update(ensemble, 8, BAD, BAD, BAD)
    assert ensemble.stalled(8) == [7, 9]  # the second has started learning
    ensemble.mark_restarted(8, [7])
    assert ensemble.stalled(8) == [9]
    assert [s["restarts"] for s in ensemble.summaries([8] * 3, [0] * 3)] == [1, 0, 0]


def test_updates_count_from_the_restart():
    ensemble = make_ensemble(restart_after_steps=8)
    ensemble.mark_restarted(8, [9])
    assert ensemble.num_updates(20, [0, 3, 1]) == [20, 17, 11]


def test_last_step_is_expected_once_solved():
    ensemble = make_ensemble(solved_patience=3, train_steps_after_solved=6)
    assert ensemble.expected_last_step(4) is None  # not evaluated yet
    update(ensemble, 4, GOOD, GOOD, BAD)
    assert ensemble.expected_last_step(4) is None  # the last member may take any time
    update(ensemble, 8, GOOD, GOOD, GOOD)
    assert ensemble.expected_last_step(4) == 16 + 6  # the last member is solved at 8, 12, 16
    update(ensemble, 12, GOOD, GOOD, GOOD)
    assert ensemble.expected_last_step(4) == 16 + 6
    update(ensemble, 16, GOOD, GOOD, GOOD)
    update(ensemble, 20, BAD, BAD, BAD)  # the first two end at 18, the last one at 22
    assert ensemble.active == [False, False, True]
    assert ensemble.expected_last_step(4) == 22


def test_replay_repeats_all_decisions():
    ensemble = make_ensemble(restart_after_steps=4)
    history = []
    for step, errors in ((0, (GOOD, BAD, BAD)), (4, (GOOD, BAD, GOOD)), (8, (BAD, GOOD, BAD))):
        line = {"2": summarize_members(errors), "5": summarize_members(errors)}
        history.append({"kind": "evaluation", "step": step, "bit_errors_per_sequence": line})
        update(ensemble, step, *errors)
        if step == 4:
            (seed,) = ensemble.mark_failed(np.array([[0, 2, 0]]))
            ensemble.mark_restarted(step, [9])
            history.append({"kind": "failed", "step": step, "seeds": [seed]})
            history.append({"kind": "restarted", "step": step, "seeds": [9]})
    again = make_ensemble(restart_after_steps=4)
    for line in history:
        again.replay(line, [(2,), (5,)])
    assert again.active == ensemble.active == [False, False, True]
    assert again.summaries([4, 4, 8], [0, 2, 0]) == ensemble.summaries([4, 4, 8], [0, 2, 0])
    assert again.evaluated_at_step == 8
    assert again.stop_reason is None


# Copy trains on lengths up to 20 here.
SOLVED = {(10,): 0.01, (20,): 0.0, (40,): 0.1, (120,): 0.0}
UNSOLVED = {**SOLVED, (20,): 0.02}
COLLAPSED = {**SOLVED, (120,): 1.01}


@pytest.fixture
def tracker():
    assert Copy.thresholds == SuccessThresholds(0.01, 0.1, 1.0)
    return SuccessTracker(Copy(), patience=2)


def test_thresholds_differ_by_distribution():
    assert Copy().is_solved(SOLVED)
    for errors in (UNSOLVED, {**SOLVED, (80,): 0.11}, {(10,): float("nan")}):
        assert not Copy().is_solved(errors)


def test_size_is_in_distribution_on_every_axis():
    task = RepeatCopy()
    for size, expected in (((10, 10), True), ((10, 20), False), ((20, 10), False)):
        assert task.is_in_distribution(size) == expected
        assert task.is_solved({size: 0.15}) == (not expected)


def test_in_distribution_sizes_are_learned_first(tracker):
    for step, errors in enumerate((UNSOLVED, COLLAPSED, SOLVED, UNSOLVED)):
        tracker.update(step, errors)
    assert (tracker.learned_at_step, tracker.first_solved_at_step) == (1, 2)


def test_longer_sizes_alone_are_not_learning(tracker):
    tracker.update(0, {(40,): 0.0})
    assert tracker.learned_at_step is None
    assert not tracker.started_learning


def test_learning_starts_below_collapse(tracker):
    for errors, started in (
        ({**SOLVED, (20,): 1.01}, False),
        ({**COLLAPSED, (20,): 1.0}, True),
        ({**SOLVED, (20,): 1.01}, True),
    ):
        tracker.update(0, errors)
        assert tracker.started_learning == started


@pytest.mark.parametrize(
    ("evaluations", "first", "solved_at", "stayed", "collapsed"),
    [
        ([UNSOLVED, UNSOLVED, UNSOLVED], None, None, None, None),
        ([SOLVED, UNSOLVED, SOLVED], 0, None, None, None),
        ([UNSOLVED, SOLVED, SOLVED], 1, 2, True, False),
        ([SOLVED, SOLVED, SOLVED, SOLVED], 0, 1, True, False),
        ([SOLVED, UNSOLVED, SOLVED, SOLVED, UNSOLVED, SOLVED], 0, 3, False, False),
        ([SOLVED, SOLVED, COLLAPSED, SOLVED], 0, 1, False, True),
        ([COLLAPSED, SOLVED, SOLVED], 1, 2, True, False),
    ],
)
def test_solved_after_consecutive_evaluations(
    tracker, evaluations, first, solved_at, stayed, collapsed
):
    for step, errors in enumerate(evaluations):
        tracker.update(step, errors)
    assert tracker.first_solved_at_step == first
    assert tracker.solved_at_step == solved_at
    assert (tracker.stayed_solved, tracker.collapsed) == (stayed, collapsed)
    assert tracker.solved == (evaluations[-1] == SOLVED)
    assert tracker.errors == evaluations[-1]
