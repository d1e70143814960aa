import pytest

from ntm_jax.training import success

TRAINED, LIMITS = (20,), success.Limits(trained=0.01, beyond=0.1, collapsed=1.0)
GOOD = {(10,): 0.01, (20,): 0.0, (40,): 0.1, (120,): 0.0}
BAD = {**GOOD, (20,): 0.02}
LOST = {**GOOD, (120,): 1.01}


def test_solved_is_a_limit_for_trained_sizes_and_one_beyond():
    assert success.is_solved(GOOD, TRAINED, LIMITS)
    for errors in (BAD, {**GOOD, (80,): 0.11}, {(10,): float("nan")}):
        assert not success.is_solved(errors, TRAINED, LIMITS)


def test_a_size_is_trained_if_it_is_on_every_axis():
    for size, solved in (((10, 10), False), ((10, 20), True), ((20, 10), True)):
        assert success.is_solved({size: 0.05}, (10, 10), LIMITS) == solved


def test_the_trained_sizes_are_learned_before_those_beyond():
    record = success.Record(TRAINED, LIMITS, in_a_row=2)
    for step, errors in enumerate((BAD, LOST, GOOD, BAD)):
        record.add(step, errors)
    assert (record.learned_at_step, record.first_solved_at_step) == (1, 2)
    record = success.Record(TRAINED, LIMITS, in_a_row=2)
    record.add(0, {(40,): 0.0})
    assert record.learned_at_step is None


def test_learning_has_begun_when_trained_sizes_are_less_wrong_than_a_collapse():
    record = success.Record(TRAINED, LIMITS, in_a_row=2)
    for errors, begun in (
        ({**GOOD, (20,): 1.01}, False),
        ({(40,): 0.0}, False),  # says nothing of the trained sizes
        ({**LOST, (20,): 1.0}, True),
        ({**GOOD, (20,): 1.01}, True),
    ):
        record.add(0, errors)
        assert record.begun == begun


@pytest.mark.parametrize(
    ("evaluations", "first", "solved_at", "held", "collapsed"),
    [
        ([BAD, BAD, BAD], None, None, None, None),
        ([GOOD, BAD, GOOD], 0, None, None, None),
        ([BAD, GOOD, GOOD], 1, 2, True, False),
        ([GOOD, GOOD, GOOD, GOOD], 0, 1, True, False),
        ([GOOD, BAD, GOOD, GOOD, BAD, GOOD], 0, 3, False, False),
        ([GOOD, GOOD, LOST, GOOD], 0, 1, False, True),
        ([LOST, GOOD, GOOD], 1, 2, True, False),
    ],
)
def test_a_machine_is_solved_after_a_row_and_held_or_not(
    evaluations, first, solved_at, held, collapsed
):
    record = success.Record(TRAINED, LIMITS, in_a_row=2)
    for step, errors in enumerate(evaluations):
        record.add(step, errors)
    assert record.first_solved_at_step == first
    assert record.solved_at_step == solved_at
    assert (record.held, record.collapsed) == (held, collapsed)
    assert record.solved == (evaluations[-1] == GOOD)
    assert record.errors == evaluations[-1]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe (1998), table I, method 3 (Wilson, no continuity correction).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(successes, trials, low, high):
    assert success.wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_is_the_same_for_failures():
    low, high = success.wilson_interval(27, 30)
    assert success.wilson_interval(3, 30) == pytest.approx((1 - high, 1 - low))
    assert success.wilson_interval(30, 30)[1] == 1.0
    assert success.rate(15, 30) == "15 of 30 (50 %, interval 33 % to 67 %)"


@pytest.mark.parametrize(("successes", "trials"), [(2, 1), (-1, 3), (0, 0)])
def test_a_rate_of_nothing_is_refused(successes, trials):
    with pytest.raises(ValueError, match="expected 0 <= successes <= trials"):
        success.wilson_interval(successes, trials)
