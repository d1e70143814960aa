import numpy as np
import pytest

from experiments import repeat_copy_countdown, repeat_copy_counts


def test_repeats_are_counted_up_to_the_marker():
    ends = np.zeros((3, 3, 12), bool)
    ends[0, 0, [6, 9]] = ends[0, 1, 2] = ends[0, 2, 9] = True  # after 3, 1 and 4.5 repeats of 2
    ends[1, 0, 0] = True  # no marker in the two others
    ends[2, :2, 4] = True
    assert repeat_copy_counts.count_repeats(ends, 2) == [3.0, None, 2.0]


def test_missing_marker_is_a_gap():
    names, produced = [*repeat_copy_counts.RUNS][::2], ([1.0, None, 3.0], [1.0, 2.0, 2.5])
    lines = [
        {"name": name, "requested": [1, 2, 3], "produced": [model]}
        for name, model in zip(names, produced, strict=True)
    ]
    panels = repeat_copy_counts.draw(lines).axes
    drawn = [panel.lines[1].get_ydata() for panel in panels]
    np.testing.assert_array_equal(drawn, [[1.0, np.nan, 3.0], [1.0, 2.0, 2.5]])


def test_countdown_is_found_in_a_memory():
    rng = np.random.default_rng(0)
    memories = {requested: rng.normal(size=(requested, 3, 4)) for requested in range(2, 11)}
    for requested, memory in memories.items():
        memory[:, 1, 2] = 7 - 3 * np.arange(requested - 1, -1, -1)  # linear in remaining repeats
        memory[:, 2, 0] = np.arange(requested)  # linear in the repeats produced
        memory[-1] = 1e6  # the last repeat is ignored
    slot, column, correlation = repeat_copy_countdown.find_countdown(memories)
    assert (slot, column) == (1, 2)
    assert correlation == pytest.approx(-1)
