import numpy as np
import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import experiment
from ntm_jax.training.ensemble import Members, packed, unpacked

GOOD, BAD = 0.0, 3.0


def members(**overrides):
    config = tiny_config()
    config.update(seed=7, num_seeds=3, solved_in_a_row=2, max_skipped=2, **overrides)
    return Members(config, experiment.make_task(config))


def note(of, step, *errors):
    of.note(step, {"2": packed(list(errors)), "5": packed(list(errors))})


def test_one_number_stays_one_and_several_get_quartiles():
    assert packed([0.5]) == 0.5
    several = packed([1.0, None, 3.0, float("inf"), 2.0])
    assert several["members"] == [1.0, None, 3.0, float("inf"), 2.0]
    assert [several[n] for n in ("lower_quartile", "median", "upper_quartile")] == [1.5, 2.0, 2.5]
    assert packed([None, None])["median"] is None


@pytest.mark.parametrize("values", [[0.5], [None], [1.0, None, 2.0]])
def test_what_is_packed_is_unpacked(values):
    assert unpacked(packed(values)) == values


def test_a_member_ends_when_it_is_solved_and_the_run_when_all_are():
    run = members()
    note(run, 0, BAD, GOOD, GOOD)
    note(run, 4, GOOD, GOOD, BAD)
    assert run.going_on == [True, False, True]
    assert run.stopped is None
    note(run, 8, GOOD, BAD, GOOD)  # the second has ended: this is not its evaluation
    note(run, 12, GOOD, BAD, GOOD)
    assert run.stopped == "solved"
    assert [record.solved_at_step for record in run.records] == [8, 4, 12]
    assert run.records[1].held
    assert run.counted().startswith("3 of 3 (100 %")
    summaries = run.summaries([8, 4, 12], [0, 0, 1])
    assert [one["seed"] for one in summaries] == [7, 8, 9]
    assert [one["sequences"] for one in summaries] == [32, 16, 48]
    assert summaries[1]["bit_errors_per_sequence"] == {"2": GOOD, "5": GOOD}


def test_a_member_goes_on_after_it_is_solved_for_as_long_as_wanted():
    run = members(updates_after_solved=8)
    for step in (0, 4, 8):
        note(run, step, GOOD, GOOD, BAD)
    assert run.going_on == [True, True, True]
    note(run, 12, GOOD, BAD, BAD)
    assert run.going_on == [False, False, True]
    assert [record.held for record in run.records] == [True, False, None]
    assert [record.collapsed for record in run.records] == [False, True, None]


def test_a_member_that_is_never_finite_is_lost_alone():
    run = members()
    lost = run.lose(np.array([[0, 0, 1], [1, 0, 2], [0, 0, 3]]))
    assert lost == [(9, 1)]
    assert run.going_on == [True, True, False]
    assert run.lose(np.array([[0, 0, 4]])) == []  # once is enough
    for step in (0, 4):
        note(run, step, GOOD, GOOD, GOOD)
    assert run.stopped == "not finite"
    assert not run.failed
    assert run.counted().startswith("2 of 3")


def test_members_go_on_from_the_metrics_as_they_were():
    run = members()
    history = []
    for step, errors in ((0, (GOOD, BAD, BAD)), (4, (GOOD, BAD, GOOD)), (8, (BAD, GOOD, BAD))):
        line = {"2": packed(list(errors)), "5": packed(list(errors))}
        history.append({"kind": "evaluation", "step": step, "bit_errors_per_sequence": line})
        run.note(step, line)
        if step == 4:
            ((seed, _),) = run.lose(np.array([[0, 2, 0]]))
            history.append({"kind": "lost", "step": step, "seeds": [seed]})
    again = Members(run._config, experiment.make_task(run._config), history)
    assert again.going_on == run.going_on == [False, False, True]
    assert again.summaries([4, 4, 8], [0, 2, 0]) == run.summaries([4, 4, 8], [0, 2, 0])
    assert again.evaluated_at == 8
    assert again.stopped is None


def test_a_run_has_failed_when_all_are_lost():
    run = members()
    assert len(run.lose(np.full((1, 3), 2))) == 3
    assert run.failed
