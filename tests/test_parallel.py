"""Several CPU devices need a process of their own: their number is fixed before JAX starts."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import parallel

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from tiny import tiny_config
from ntm_jax import parallel
from test_updates import make
parallel._AT_ONCE_ON_CPU = 2
for model, batch, seeds, num_updates in json.loads(sys.argv[1]):
    config = tiny_config(model)
    config.batch_size, config.num_seeds = batch, seeds
    updates = make(config)
    state, measured = updates.run(updates.init(), num_updates)
    whole = jax.jit(updates.devices.shard_batch)(jnp.zeros((batch, 3)))
    split = len(whole.sharding.device_set), whole.sharding.is_fully_replicated
    print(json.dumps([str(updates.devices), split, np.ravel(measured.loss).tolist()]))
"""

# Model, batch size, seeds, updates.
FOR_TWO = [("ntm", 4, 1, 4), ("dense", 3, 1, 4), ("dense", 4, 2, 4), ("dense", 4, 12, 4)]
FOR_EIGHT = [("ntm", 8, 1, 12), ("dense", 3, 8, 12), ("dense", 8, 2, 12)]


def run(devices, cases):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(cases)],
        cwd=__file__.rpartition("/")[0],
        env={"PYTHONPATH": "..", "PATH": "", "JAX_NUM_CPU_DEVICES": str(devices)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("members", "groups"), [(1, 1), (3, 1), (8, 1), (12, 2), (30, 5), (13, 13)]
)
def test_groups_of_members_are_all_of_them_in_their_order(members, groups):
    devices = parallel.Devices(members, batch_size=1)
    if jax.device_count() == 1:
        assert devices._groups == (1, groups, members // groups)

    def function(own, shared):
        return {"sum": own["a"] + shared, "key": jax.random.key_data(own["key"])}

    own = {"a": jnp.arange(2.0 * members).reshape(members, 2)}
    own["key"] = jax.vmap(jax.random.key)(jnp.arange(members))
    shared = jnp.array([1.0, 3.0])
    got = jax.jit(devices.over_members(function, (0, None)))(own, shared)
    np.testing.assert_array_equal(got["sum"], own["a"] + shared)
    np.testing.assert_array_equal(got["key"], jax.random.key_data(own["key"]))


def test_two_devices_learn_what_one_learns():
    one, two = run(1, FOR_TWO), run(2, FOR_TWO)
    assert {said for said, _, _ in one} == {"1 of 1 x cpu"}
    # A batch that two cannot share stays on one; members are split before a batch is.
    assert [said for said, _, _ in two] == ["2 of 2 x cpu", "1 of 2 x cpu"] + 2 * ["2 of 2 x cpu"]
    assert [split for _, split, _ in two] == [[2, False], [1, True], [2, True], [2, True]]
    for (_, _, expected), (_, _, losses) in zip(one, two, strict=True):
        assert losses == pytest.approx(expected, rel=1e-5)


def test_eight_devices_learn_what_one_learns():
    one, eight = run(1, FOR_EIGHT), run(8, FOR_EIGHT)
    assert [said for said, _, _ in eight] == 3 * ["8 of 8 x cpu"]
    # A batch in eight parts; eight members, each with its whole batch; two with four parts each.
    assert [split for _, split, _ in eight] == [[8, False], [8, True], [8, False]]
    for (_, _, expected), (_, _, losses) in zip(one, eight, strict=True):
        assert losses == pytest.approx(expected, rel=1e-5)


def test_numbers_that_leave_a_process_without_work_are_refused():
    class Device:
        def __init__(self, process_index):
            self.process_index = process_index

    with pytest.raises(ValueError) as raised:
        parallel.Devices(1, 3, [Device(0), Device(1)])
    assert str(raised.value) == (
        "batch_size: expected one, or a num_seeds, that 2 processes with 2 devices can share, got "
        "3 and 1"
    )
