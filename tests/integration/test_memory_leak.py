"""A run of many updates in short; tests/faults has it at length, with `-m slow`."""

import pytest
from support.leak_probe import MIB, assert_steady, watch


def test_a_run_holds_on_to_nothing(tmp_path):
    assert_steady(watch(tmp_path, updates=2000, lines=100, due=20), mib=8)


@pytest.mark.parametrize("grows", ["resident", "files", "compiled"])
def test_what_a_run_holds_on_to_is_noticed(grows):
    steady = [dict(step=step, resident=400 * MIB, files=11, compiled=9) for step in range(100)]
    assert_steady(steady, mib=1)
    # A fifth of the lines are warming up.
    warming = [note if note["step"] else {**note, grows: 0} for note in steady]
    assert_steady(warming, mib=1)
    by = MIB // 10 if grows == "resident" else 1
    leaking = [{**note, grows: note[grows] + by * (note["step"] // 20)} for note in steady]
    with pytest.raises(AssertionError):
        assert_steady(leaking, mib=0.2)
