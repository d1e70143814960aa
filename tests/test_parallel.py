"""Two CPU devices need a process of their own: their number is fixed before JAX starts."""

import subprocess
import sys

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", {devices})
from tiny import tiny_config
from ntm_jax import parallel
from test_updates import make
config = tiny_config()
config.batch_size, config.num_seeds = {batch}, {seeds}
updates = make(config)
state, measured = updates.run(updates.init(), 4)
whole = jax.jit(updates.devices.shard_batch)(jnp.zeros(({batch}, 3)))
print(updates.devices)
print(len(whole.sharding.device_set), whole.sharding.is_fully_replicated)
print(*np.ravel(measured.loss).tolist())
"""


def run(devices, batch, seeds=1):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(devices=devices, batch=batch, seeds=seeds)],
        cwd=__file__.rpartition("/")[0],
        env={"PYTHONPATH": "..", "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said, split, losses = done.stdout.splitlines()
    return said, split, [float(loss) for loss in losses.split()]


def test_two_devices_split_the_batch_and_learn_what_one_learns():
    one, two, odd = run(1, 4), run(2, 4), run(2, 3)
    assert (one[0], two[0], odd[0]) == ("1 of 1 x cpu", "2 of 2 x cpu", "1 of 2 x cpu")
    assert (two[1], odd[1]) == ("2 False", "1 True")
    for a, b in zip(one[2], two[2], strict=True):
        assert abs(a - b) < 1e-5 * abs(a)


def test_two_devices_split_the_members_before_they_split_a_batch():
    one, two = run(1, 4, seeds=2), run(2, 4, seeds=2)
    assert (one[0], two[0]) == ("1 of 1 x cpu", "2 of 2 x cpu")
    assert two[1] == "2 True"
    for a, b in zip(one[2], two[2], strict=True):
        assert abs(a - b) < 1e-5 * abs(a)
