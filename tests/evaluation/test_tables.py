import json
import math

import flax.linen as nn
import numpy as np
import pytest

from ntm_jax.evaluation import Result, TrainedModel, tables
from ntm_jax.evaluation.scoring import AccuracyBreakdown
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.ngrams import Ngrams

METRICS = (
    "bit_errors_per_sequence",
    "bits_per_sequence",
    "excess_bits_per_sequence",
    "bit_accuracy",
    "perfect_sequences",
)


def trained_model(num_members):
    """A copy model that needs 4,000 training sequences, or in member 0 was not solved."""
    return TrainedModel(
        model=nn.Dense(8),
        params={"kernel": np.zeros((num_members, 9, 8))},
        task=Copy(),
        config={"task": {"name": "copy"}, "model": {"name": "ntm"}},
        seeds=range(4, 4 + num_members),
        sequences_to_solve=[None, 4000, 4000][:num_members],
        num_slots=128,
        checkpoint="runs/copy/checkpoints/3",
    )


def result(size, sequences, *metrics):
    """A result of a task of bits, with its five metrics in order."""
    return Result(size, sequences, dict(zip(METRICS, metrics, strict=True)))


def copy_results(errors):
    """Results at length 10 without errors, and at length 120 with `errors` bit errors."""
    return [
        result((10,), 256, 0.0, 0.01, 0.01, 1.0, 1.0),
        result((120,), 32, errors, 7.0, 7.0, 0.998, 0.25),
    ]


def test_description_of_model_and_ensemble():
    expected = "runs/copy/checkpoints/3: copy, ntm, 72 parameters, 128 slots"
    assert tables.describe(trained_model(1)) == expected
    assert "72 parameters, 3 seeds, 128 slots" in tables.describe(trained_model(3))


def test_results_table_has_line_per_size():
    lines = tables.results_table(Copy(), copy_results(1.5)).splitlines()
    assert lines[2].split() == ["10", "0", "0.01", "100.0000%", "100.00%", "256"]
    assert lines[3].split() == ["120", "1.5", "7", "99.8000%", "25.00%", "32"]
    assert len({len(line) for line in lines} - {len(lines[1])}) == 1


def test_optimal_cost_adds_a_column():
    results = [result((200,), 256, 44.0, 127.1, 1.2, 0.77, 0.0)]
    table = tables.results_table(Ngrams(), results)
    assert table.splitlines()[2].split()[:4] == ["200", "44", "127.1", "1.2"]
    assert "optimum" in table
    assert "optimum" not in tables.results_table(Copy(), copy_results(0.0))


def test_ensemble_table_has_line_per_member():
    results = [copy_results(errors) for errors in (9.0, 0.1, 0.0)]
    lines = tables.ensemble_table(trained_model(3), results).splitlines()
    assert lines[0] == "bit errors per sequence, by length:"
    assert [line.split() for line in lines[3:]][:4] == [
        ["4", "never", "0", "9"],
        ["5", "4,000", "0", "0.1"],
        ["6", "4,000", "0", "0"],
        ["median", "0", "0.1"],
    ]
    rate = "2 of 3 (67 %, 95 % interval 21 % to 94 %)"
    assert lines[-1] == f"solved at these sizes: {rate}"


def test_accuracy_table_keeps_order():
    accuracy = AccuracyBreakdown(np.array([1.0, 0.5]), np.array([0.25]))
    table = tables.accuracy_table(Copy(), (2,), accuracy)
    assert table.split("%")[0].endswith("100.00")
    assert table.index("50.00%") < table.index("by bit") < table.index("25.00%")


def test_json_of_model_and_ensemble():
    model = tables.as_json(trained_model(1), [copy_results(0.0)])
    assert list(model) == ["task", "model", "num_params", "num_slots", "checkpoint", "results"]
    assert (model["task"], model["num_params"], model["num_slots"]) == ("copy", 72, 128)
    assert list(model["results"][1]) == ["length", "sequences", *METRICS]
    assert [row["length"] for row in model["results"]] == [10, 120]
    ensemble = tables.as_json(trained_model(3), [copy_results(e) for e in (9.0, 0.1, 0.0)])
    assert [list(member) for member in ensemble["members"]] == [
        ["seed", "sequences_to_solve", "solved", "results"]
    ] * 3
    assert [member["seed"] for member in ensemble["members"]] == [4, 5, 6]
    assert [member["sequences_to_solve"] for member in ensemble["members"]] == [None, 4000, 4000]
    assert [member["solved"] for member in ensemble["members"]] == [False, True, True]


def test_json_has_null_for_not_finite():
    results = [[result((10,), 256, math.nan, math.inf, -math.inf, 1.0, 1.0)]]
    document = tables.as_json(trained_model(1), results)
    text = json.dumps(document, allow_nan=False)
    (row,) = json.loads(text)["results"]
    assert row["bit_errors_per_sequence"] is None
    assert row["bits_per_sequence"] is None
    assert row["excess_bits_per_sequence"] is None
    assert (row["length"], row["bit_accuracy"]) == (10, 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # Newcombe (1998), table I, method 3: 0.2553 to 0.3662, 0.0624 to 0.1605, 0 to 0.1611, and
        # 0.0061 to 0.1718.
        (81, 263, "31 %, 95 % interval 26 % to 37 %"),
        (15, 148, "10 %, 95 % interval 6 % to 16 %"),
        (0, 20, "0 %, 95 % interval 0 % to 16 %"),
        (1, 29, "3 %, 95 % interval 1 % to 17 %"),
        (15, 30, "50 %, 95 % interval 33 % to 67 %"),
        # The interval of the failures, mirrored.
        (3, 30, "10 %, 95 % interval 3 % to 26 %"),
        (27, 30, "90 %, 95 % interval 74 % to 97 %"),
        (30, 30, "100 %, 95 % interval 89 % to 100 %"),
    ],
)
def test_success_rate_has_wilson_interval(successes, trials, expected):
    assert tables.success_rate(successes, trials) == f"{successes} of {trials} ({expected})"


@pytest.mark.parametrize(("successes", "trials"), [(2, 1), (-1, 3), (0, 0)])
def test_invalid_success_counts_raise(successes, trials):
    with pytest.raises(ValueError, match="^successes: expected 0 to trials"):
        tables.success_rate(successes, trials)
