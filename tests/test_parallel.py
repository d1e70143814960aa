"""Two CPU devices need a process of their own: their number is fixed before JAX starts."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", {devices})
from tiny import tiny_config
from ntm_jax import parallel
from test_updates import make
for batch, seeds in ((4, 1), (3, 1), (4, 2)):
    config = tiny_config()
    config.batch_size, config.num_seeds = batch, seeds
    updates = make(config)
    state, measured = updates.run(updates.init(), 4)
    whole = jax.jit(updates.devices.shard_batch)(jnp.zeros((batch, 3)))
    split = len(whole.sharding.device_set), whole.sharding.is_fully_replicated
    print(json.dumps([str(updates.devices), split, np.ravel(measured.loss).tolist()]))
"""


def run(devices):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(devices=devices)],
        cwd=__file__.rpartition("/")[0],
        env={"PYTHONPATH": "..", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_devices_learn_what_one_learns():
    one, two = run(1), run(2)
    assert {said for said, _, _ in one} == {"1 of 1 x cpu"}
    # A batch that two cannot share stays on one; members are split before a batch is.
    assert [said for said, _, _ in two] == ["2 of 2 x cpu", "1 of 2 x cpu", "2 of 2 x cpu"]
    assert [split for _, split, _ in two] == [[2, False], [1, True], [2, True]]
    for (_, _, expected), (_, _, losses) in zip(one, two, strict=True):
        assert losses == pytest.approx(expected, rel=1e-5)
