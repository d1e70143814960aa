"""The arithmetic of the benchmarks; what they measure is not tested but measured."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from support.subprocess_utils import ROOT

from benchmarks import countdown, counting
from benchmarks.growth import point, sweeps
from benchmarks.growth import report as growth_report
from benchmarks.growth.picture import picture
from benchmarks.growth.point import Point
from benchmarks.speed import limit, report, rounds, work
from ntm_jax import models
from ntm_jax.training import experiment

# Primitives that compute a number for each number of their result.
_ELEMENTWISE = set(
    "add add_any sub mul div neg exp log log1p tanh logistic sqrt rsqrt max square "  # noqa: SIM905
    "integer_pow".split()
)


def operations(jaxpr):
    """A second count: of products and elementwise operations in the program that JAX traced."""
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        times = equation.params["length"] if name == "scan" else 1
        total += times * sum(map(operations, jaxprs_in_params(equation.params)))
        if not equation.outvars:
            continue
        out = equation.outvars[0].aval
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            products = int(np.prod([shape[axis] for axis in contracted]))
            total += out.size * (2 * products - 1)
        elif name == "reduce_sum":
            total += equation.invars[0].aval.size
        elif name in _ELEMENTWISE and jnp.issubdtype(out.dtype, jnp.floating):
            total += out.size
    return total


def traced(controller, **sizes):
    """Parameters; operations of the forward pass and of its gradient, for two sequences."""
    config = work.settings(controller, 2, 1)
    config.model.update(remat=False, **sizes)
    model = experiment.make_model(config)
    inputs = jax.ShapeDtypeStruct((2, work.STEPS, work.BITS + 1), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]

    def forward(params, inputs):
        return model.apply({"params": params}, inputs)

    def loss(params, inputs):
        return jnp.sum(forward(params, inputs))

    return models.num_params(params), {
        "forward": operations(jax.make_jaxpr(forward)(params, inputs).jaxpr),
        "training": operations(jax.make_jaxpr(jax.grad(loss))(params, inputs).jaxpr),
    }


# What the limit counts, the program does. It does more, up to a fifth where the memory is large:
# it computes the lengths of the slots for the write heads anew, the maxima inside each softmax, the
# ranges of the interface, and in the backward pass sums of gradients as operations of their own.
# Next to no memory leaves the dense layers, which agree within 3 % for the LSTM; the feed-forward
# controller's are so small that the interface's ranges are 12 % of them.
@pytest.mark.parametrize(
    ("controller", "sizes", "more"),
    [
        ("lstm", {"num_slots": 2, "slot_width": 1}, 1.04),
        ("feed_forward", {"num_slots": 2, "slot_width": 1}, 1.15),
        ("lstm", {}, 1.1),
        ("feed_forward", {}, 1.2),
        # Equation 6 brings each number of the memory into range, which the count leaves out.
        ("feed_forward", {"num_slots": 2048}, 1.3),
        ("lstm", {"num_slots": 512, "num_read_heads": 3}, 1.2),
        ("feed_forward", {"num_slots": 512, "num_write_heads": 3}, 1.2),
    ],
)
def test_the_count_of_the_limit_is_a_little_less_than_what_the_program_does(
    controller, sizes, more
):
    names = {"num_slots": "N", "slot_width": "M", "num_read_heads": "R", "num_write_heads": "W"}
    counted = limit.Sizes(controller, 2, **{names[key]: value for key, value in sizes.items()})
    num_params, done = traced(controller, **sizes)
    assert counted.num_params == num_params
    for kind, number in done.items():
        assert 1 <= number / limit.count(counted, kind).operations < more, kind


def test_the_limit_is_the_slower_of_arithmetic_and_memory():
    count = limit.Count(operations=100, bytes=10)
    assert limit.seconds(count, matrix_rate=50, bandwidth=10) == 2
    assert limit.seconds(count, matrix_rate=50, bandwidth=1) == 10


def test_operations_grow_with_seeds_batch_and_steps_and_parameters_are_moved_once_a_seed():
    one = limit.Sizes("lstm", 4)
    for more in (one._replace(E=3), one._replace(B=12), one._replace(T=3 * 41)):
        assert (
            limit.count(more, "training").operations == 3 * limit.count(one, "training").operations
        )
    tripled = limit.count(one._replace(B=12), "training").bytes
    assert tripled < 1.5 * limit.count(one, "training").bytes
    assert (
        limit.count(one._replace(E=3), "training").bytes == 3 * limit.count(one, "training").bytes
    )


class Clock:
    """Time that passes only when a contestant works."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def contestant(self, name, seconds, number=0.0, **facts):
        def advance():
            self.log.append(name)
            self.now += seconds
            return 8, number

        return rounds.Contestant(name, advance, facts)


def test_contestants_take_turns_and_each_turn_lasts_long_enough():
    clock = Clock()
    fast, slow = clock.contestant("fast", 1.0), clock.contestant("slow", 5.0)
    rates = rounds.interleave([fast, slow], rounds=2, seconds=2.0, clock=clock)
    assert clock.log == ["fast", "slow", *2 * ["fast", "fast", "slow"]]
    assert rates == {"fast": [8.0, 8.0], "slow": [1.6, 1.6]}


def test_a_number_that_is_not_finite_is_named():
    clock = Clock()
    with pytest.raises(FloatingPointError, match="bad: expected a finite number, got nan"):
        rounds.interleave([clock.contestant("bad", 1.0, math.nan)], 1, 1.0, clock)


def test_two_contestants_of_one_name_are_refused():
    clock = Clock()
    with pytest.raises(ValueError, match="different names"):
        rounds.interleave(2 * [clock.contestant("same", 1.0)], 1, 1.0, clock)


def test_ratios_are_within_rounds_and_to_the_faster_peer():
    clock = Clock()
    same = {"work": "training", "batch_size": 2, "num_seeds": 1}
    contestants = [
        clock.contestant(name, 1.0, system=system, controller="lstm", devices=name, **same)
        for name, system in (
            ("ours", work.OURS),
            ("one", report.PEER),
            ("two", report.PEER),
            ("plain", work.PLAIN),
        )
    ]
    count = limit.count(limit.Sizes("lstm", 2), "training")
    rates = {
        **{"ours": [40.0, 60.0, 80.0], "one": [1.0, 9.0, 1.0], "two": [4.0, 2.0, 4.0]},
        "plain": [80.0, 240.0, 80.0],
        limit.MATRIX_RATE: 3 * [count.operations * 100.0],
        limit.BANDWIDTH: 3 * [math.inf],
    }
    ours, *others = report.rows(contestants, rates)
    assert ours["sequences_per_second"]["median"] == 60
    assert ours["times_peer"]["rounds"] == [10, 30, 20]
    assert ours["times_peer"]["compared_with"] == "two"
    assert ours["cost_in_plain_lstms"]["rounds"] == [2, 4, 1]
    assert ours["of_limit"]["rounds"] == pytest.approx([0.2, 0.3, 0.4])
    assert not any("times_peer" in other for other in others)


@pytest.mark.parametrize(
    ("module", "flag", "said"),
    [
        (
            "speed",
            "--batch_sizes=1,many",
            "speed: --batch_sizes: expected whole numbers greater than 0, got 1,many",
        ),
        (
            "speed",
            "--pytorch_ntm=nowhere",
            "speed: --pytorch_ntm: expected a checkout of "
            "https://github.com/loudinthecloud/pytorch-ntm, got nowhere",
        ),
        (
            "growth",
            "--sweeps=slots,width",
            "growth: --sweeps: expected some of slots,steps,batch,seeds,long, got width",
        ),
    ],
)
def test_a_wrong_flag_is_one_line(module, flag, said):
    words = [sys.executable, "-m", f"benchmarks.{module}", flag]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{said}\n")


def test_the_exponent_is_that_of_the_power_law():
    sizes = [1024, 2048, 4096, 65536]
    assert sweeps.exponent(sizes, [3.0 * size**1.7 for size in sizes]) == pytest.approx(1.7)
    assert sweeps.exponent(sizes, [5.0] * 4) == pytest.approx(0.0)


def row(slots, seconds, planned_bytes):
    fields = Point("training", num_slots=slots)._asdict()
    measured = {"seconds": rounds.summary([seconds]), "planned_bytes": planned_bytes}
    measured |= {"peak_bytes": 2**20 * slots, "others_share": slots / 2**20}
    return {"sweep": "slots", **fields, **measured}


def test_exponents_are_fitted_to_the_large_sizes_alone():
    rows = [row(slots, max(1.0, slots / 1024), 100 * slots) for slots in (128, 512, 1024, 4096)]
    assert sweeps.exponents(rows) == []  # two points from 1,024 up
    (fit,) = sweeps.exponents([*rows, row(65536, 64.0, 6_553_600)])
    assert (fit["work"], fit["from"], fit["to"], fit["points"]) == ("training", 1024, 65536, 3)
    assert fit["seconds"] == pytest.approx(1.0)
    assert fit["planned_bytes"] == pytest.approx(1.0)
    assert fit["memory_ratio"] == pytest.approx(64)


def test_growth_is_shown_as_tables_and_a_picture(tmp_path):
    rows = [row(slots, slots / 1024, 100 * slots) for slots in (1024, 4096, 65536)]
    document = {"rows": rows, "exponents": sweeps.exponents(rows), "baselines": {}}
    document["machine"] = {"processor": "Abacus", "cores": 2}
    said = growth_report.conditions(document).splitlines()[0]
    assert said == "Measured on Abacus, 2 cores; others used up to 6% of its cores' time."
    document["baselines"]["training"] = {"peak_bytes": 2**20 * 24}
    line = "| memory slots N | training | 1,024 | 65,536 | 1.00 | 1.00 | 64 |"
    assert growth_report.exponents(document).splitlines()[-1] == line
    assert growth_report.points(document).splitlines()[-2:] == [
        "| training | 1,024 | 21 | 1 | 1 | 1 | 0.1 | 1000 |",
        "| training | 65,536 | 21 | 1 | 1 | 64 | 6.2 | 65512 |",
    ]
    picture(document).savefig(tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("work", ["training in segments", "evaluation"])
def test_a_point_is_measured(work, optax_promotion):
    measured = point.measure(Point(work, num_slots=8, length=2, batch_size=2), 2, 0.001)
    assert measured["seconds"]["median"] > 0
    assert len(measured["seconds"]["rounds"]) == 2
    assert 0 < measured["planned_bytes"] < measured["peak_bytes"]


def test_repeats_are_counted_up_to_the_first_end_marker():
    ends = np.zeros((3, 3, 12), bool)
    ends[0, 0, [6, 9]] = ends[0, 1, 2] = ends[0, 2, 9] = True  # after 3, 1 and 4.5 repeats of 2
    ends[1, 0, 0] = True  # and never in the two others
    ends[2, :2, 4] = True
    assert counting.repeats_said(ends, 2) == [3.0, None, 2.0]


def test_a_number_that_is_not_ended_is_a_gap_in_the_picture():
    said = {"repeat_copy_ntm": [[1.0, None, 3.0]], "repeat_copy_ntm_lstm": [[1.0, 2.0, 2.5]]}
    panels = counting.draw({"asked": [1, 2, 3], "said": said}).axes
    shown = [panel.lines[1].get_ydata() for panel in panels]
    np.testing.assert_array_equal(shown, [[1.0, np.nan, 3.0], [1.0, 2.0, 2.5]])


def test_a_countdown_is_found_among_the_numbers_of_a_memory():
    rng = np.random.default_rng(0)
    memories = {asked: rng.normal(size=(asked, 3, 4)) for asked in range(2, 11)}
    for asked, memory in memories.items():
        memory[:, 1, 2] = 7 - 3 * np.arange(asked - 1, -1, -1)  # falls by 3 for each that is left
        memory[:, 2, 0] = np.arange(asked)  # goes with those said, whatever was asked for
        memory[-1] = 1e6  # the last counts for nothing
    slot, column, correlation = countdown.most_like_a_countdown(memories)
    assert (slot, column) == (1, 2)
    assert correlation == pytest.approx(-1)
