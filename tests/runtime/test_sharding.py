"""Several CPU devices need a process of their own: their number is fixed before JAX starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.runtime import sharding

PROGRAM = """
import json, re, sys
import jax, jax.numpy as jnp, numpy as np
from support.tiny_config import tiny_config
from ntm_jax.runtime import sharding
from test_train_step import make
sharding._AT_ONCE_ON_CPU = 2
for model, batch, seeds, num_updates in json.loads(sys.argv[1]):
    config = tiny_config(model)
    config.batch_size, config.num_seeds = batch, seeds
    updates = make(config)
    state, measured = updates.run(updates.init(), num_updates)
    whole = jax.jit(updates.devices.shard_batch)(jnp.zeros((batch, 3)))
    split = len(whole.sharding.device_set), whole.sharding.is_fully_replicated
    program = updates._compiled[num_updates].as_text()
    sums = re.findall(r"= (.*) all-reduce(?:-start)?\\(", program)
    # But for the loss and the like, which are single numbers.
    arrays = re.findall(r"\\w\\[(?!1\\])\\d[\\d,]*\\]", " ".join(sums))
    print(json.dumps([str(updates.devices), split, len(arrays), np.ravel(measured.loss).tolist()]))
"""

# Model, batch size, seeds, updates. Of the devices of each, on two and on eight: how many have a
# part of the batch or of its members, and whether every one of them has the whole batch.
CASES = {
    ("ntm", 8, 1, 12): {2: [2, False], 8: [8, False]},
    ("dense", 3, 1, 4): {2: [1, True], 8: [3, False]},  # a batch that not all can share
    ("dense", 8, 2, 12): {2: [2, True], 8: [8, False]},  # members are split before a batch is
    ("dense", 3, 24, 4): {2: [2, True], 8: [8, True]},
}


def start(devices):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([*CASES])],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": "..", "JAX_NUM_CPU_DEVICES": str(devices)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(process):
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("members", "groups"), [(1, 1), (3, 1), (8, 1), (12, 2), (30, 5), (13, 13)]
)
def test_groups_of_members_are_all_of_them_in_their_order(members, groups):
    devices = sharding.Devices(members, batch_size=1)
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


def test_many_devices_learn_what_one_learns():
    processes = {devices: start(devices) for devices in (1, 2, 8)}  # side by side: they compile
    measured = {devices: results(process) for devices, process in processes.items()}
    for index, expected in enumerate(CASES.values()):
        said, _, _, alone = measured[1][index]
        assert said == "1 of 1 x cpu"
        for devices, split in expected.items():
            said, sharded, summed, losses = measured[devices][index]
            assert sharded == split
            assert summed == 1  # the gradient, as one vector, after the last time step
            assert said == f"{split[0]} of {devices} x cpu"
            assert losses == pytest.approx(alone, rel=1e-5)


def test_numbers_that_leave_a_process_without_work_are_refused():
    class Device:
        def __init__(self, process_index):
            self.process_index = process_index

    with pytest.raises(ValueError) as raised:
        sharding.Devices(1, 3, [Device(0), Device(1)])
    assert str(raised.value) == (
        "batch_size: expected one, or a num_seeds, that 2 processes with 2 devices can share, got "
        "3 and 1"
    )
