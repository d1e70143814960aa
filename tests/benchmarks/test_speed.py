import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from benchmarks.speed import pytorch_ntm, report, roofline, workloads
from benchmarks.speed.harness import Candidate, time_interleaved
from ntm_jax import models
from ntm_jax.training.experiment import Experiment

# Primitives that compute a number for each number of their result.
ELEMENTWISE = set(
    "add add_any sub mul div neg exp log log1p tanh logistic sqrt rsqrt max square "  # noqa: SIM905
    "integer_pow".split()
)


def count_operations(jaxpr):
    """Counts products and elementwise operations of a traced program."""
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        repeats = equation.params["length"] if name == "scan" else 1
        total += repeats * sum(map(count_operations, jaxprs_in_params(equation.params)))
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
        elif name in ELEMENTWISE and jnp.issubdtype(out.dtype, jnp.floating):
            total += out.size
    return total


def trace_model(controller, **sizes):
    """Returns the parameters and the operations of both programs, for two sequences."""
    config = workloads.make_config(controller, 2, 1)
    config.model.update(remat=False, **sizes)
    model = Experiment.from_config(config).model
    shape = (2, workloads.NUM_TIME_STEPS, workloads.NUM_BITS + 1)
    inputs = jax.ShapeDtypeStruct(shape, jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]

    def forward(params, inputs):
        return model.apply({"params": params}, inputs)

    def loss(params, inputs):
        return jnp.sum(forward(params, inputs))

    return models.num_params(params), {
        "forward": count_operations(jax.make_jaxpr(forward)(params, inputs).jaxpr),
        "training": count_operations(jax.make_jaxpr(jax.grad(loss))(params, inputs).jaxpr),
    }


# The roofline counts a lower bound. The program computes more, up to a fifth with a large memory:
# the norms of the slots twice, the maxima in softmax, the activations of head parameters, and sums
# of gradients. With almost no memory the dense layers remain, which agree within 3 % for the LSTM.
@pytest.mark.parametrize(
    ("controller", "sizes", "largest_ratio"),
    [
        ("lstm", {"num_slots": 22, "slot_width": 1}, 1.04),
        ("feed_forward", {"num_slots": 22, "slot_width": 1}, 1.15),
        ("lstm", {}, 1.1),
        ("feed_forward", {}, 1.2),
        # The cell also scales the memory for equation 6, which the count leaves out.
        ("feed_forward", {"num_slots": 2048}, 1.3),
        ("lstm", {"num_slots": 512, "num_read_heads": 3}, 1.2),
        ("feed_forward", {"num_slots": 512, "num_write_heads": 3}, 1.2),
    ],
)
def test_roofline_counts_a_lower_bound(controller, sizes, largest_ratio):
    letters = {"num_slots": "N", "slot_width": "M", "num_read_heads": "R", "num_write_heads": "W"}
    counted = roofline.Sizes(controller, 2, **{letters[key]: n for key, n in sizes.items()})
    num_params, operations = trace_model(controller, **sizes)
    assert counted.num_params == num_params
    for program, number in operations.items():
        assert 1 <= number / roofline.count(counted, program).operations < largest_ratio, program


def test_roofline_is_the_larger_time():
    count = roofline.Count(operations=100, bytes=10)
    assert roofline.seconds(count, matrix_rate=50, bandwidth=10) == 2
    assert roofline.seconds(count, matrix_rate=50, bandwidth=1) == 10


def test_counts_scale_with_sizes():
    sizes = roofline.Sizes("lstm", 4)
    one = roofline.count(sizes, "training")
    for larger in (sizes._replace(E=3), sizes._replace(B=12), sizes._replace(T=3 * 41)):
        assert roofline.count(larger, "training").operations == 3 * one.operations
    # Members have their own parameters; sequences of a batch share them.
    assert roofline.count(sizes._replace(E=3), "training").bytes == 3 * one.bytes
    assert roofline.count(sizes._replace(B=12), "training").bytes < 1.5 * one.bytes


class Clock:
    """Time that passes only while a candidate runs."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def __call__(self):
        return self.now

    def candidate(self, name, seconds, value=0.0, **facts):
        def run():
            self.log.append(name)
            self.now += seconds
            return 8, value

        return Candidate(name, run, facts)


def test_candidates_alternate():
    clock = Clock()
    candidates = [clock.candidate("fast", 1.0), clock.candidate("slow", 5.0)]
    rates = time_interleaved(candidates, rounds=2, seconds=2.0, clock=clock)
    assert clock.log == ["fast", "slow", *2 * ["fast", "fast", "slow"]]
    assert rates == {"fast": [8.0, 8.0], "slow": [1.6, 1.6]}


def test_invalid_candidates_raise():
    clock = Clock()
    with pytest.raises(FloatingPointError, match="bad: expected a finite result, got nan"):
        time_interleaved([clock.candidate("bad", 1.0, math.nan)], 1, 1.0, clock)
    with pytest.raises(ValueError, match="expected different names"):
        time_interleaved(2 * [clock.candidate("same", 1.0)], 1, 1.0, clock)


def test_ratios_are_within_rounds():
    clock = Clock()
    same = {"program": "training", "batch_size": 2, "num_seeds": 1, "controller": "lstm"}
    candidates = [
        clock.candidate(name, 1.0, system=system, devices=name, **same)
        for name, system in (
            ("ntm", workloads.NTM),
            ("one", pytorch_ntm.SYSTEM),
            ("two", pytorch_ntm.SYSTEM),
            ("lstm", workloads.LSTM),
        )
    ]
    operations = roofline.count(roofline.Sizes("lstm", 2), "training").operations
    rates = {
        "ntm": [40.0, 60.0, 80.0],
        "one": [1.0, 9.0, 1.0],
        "two": [4.0, 2.0, 4.0],  # the faster one, by its median
        "lstm": [80.0, 240.0, 80.0],
        roofline.MATRIX_RATE: 3 * [operations * 100.0],
        roofline.BANDWIDTH: 3 * [math.inf],
    }
    ntm, *others = report.rows(candidates, rates)
    assert ntm["sequences_per_second"]["median"] == 60
    assert ntm["speedup_vs_pytorch_ntm"]["rounds"] == [10, 30, 20]
    assert ntm["speedup_vs_pytorch_ntm"]["compared_with"] == "two"
    assert ntm["slowdown_vs_lstm"]["rounds"] == [2, 4, 1]
    assert ntm["roofline_fraction"]["rounds"] == pytest.approx([0.2, 0.3, 0.4])
    assert not any("speedup_vs_pytorch_ntm" in other for other in others)


def test_candidates_run(optax_promotion):
    for candidate in (*workloads.ntm("feed_forward", 2), *workloads.flax_lstm(2)):
        sequences, value = candidate.run()
        batches = candidate.facts["batches_per_dispatch"]
        assert (sequences, math.isfinite(value)) == (2 * batches, True), candidate.name


def test_checkout_of_pytorch_ntm_is_checked(tmp_path):
    path = list(sys.path)
    with pytest.raises(SystemExit, match="--pytorch_ntm: expected a checkout of https://"):
        pytorch_ntm.load(str(tmp_path))
    assert sys.path == path
