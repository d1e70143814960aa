import numpy as np

from experiments import priority_sort_analysis


def test_errors_are_binned_by_gap():
    edges = priority_sort_analysis.EDGES
    gaps = np.array([0.0, edges[1] / 2, edges[1], 1.0, *edges[2:5]])
    errors = np.array([1.0, 2.0, 30.0, 7.0, 4.0, 5.0, 9.0])
    assert priority_sort_analysis.errors_by_gap(gaps, errors) == [1.5, 30.0, 4.0, 5.0, 8.0]


def test_visits_are_counted_with_their_delay():
    slots = np.array([[4, 0, 2], [1, 3, 0]])
    first = np.eye(5)[[[4, 0, 2], [1, 3, 3]]]  # one step is on another slot
    second = np.eye(5)[[[1, 4, 0], [0, 1, 3]]]  # one step later than the first
    weights = np.stack([first, second], axis=2)
    visits = priority_sort_analysis.visits_in_order
    np.testing.assert_allclose(visits(weights, slots, 0), [5 / 6, 0])
    np.testing.assert_allclose(visits(weights, slots, 1), [1 / 4, 1])
