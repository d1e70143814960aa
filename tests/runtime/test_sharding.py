"""The number of CPU devices is fixed before JAX starts: several devices need a subprocess."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.subprocess_utils import ROOT

from ntm_jax.runtime import sharding

PROGRAM = """
import json, re, sys
import jax, jax.numpy as jnp, numpy as np
from support.runs import make_trainer
from support.tiny_config import tiny_config
from ntm_jax.runtime import sharding
sharding._MAX_VMAP_ON_CPU = 2
for model, batch_size, num_seeds, num_steps in json.loads(sys.argv[1]):
    config = tiny_config(model)
    config.batch_size, config.num_seeds = batch_size, num_seeds
    trainer = make_trainer(config)
    state = trainer.init()
    program = trainer.compile(state, num_steps).as_text()
    state, metrics = trainer.run(state, num_steps)
    batch = jax.jit(trainer.mesh.shard_batch)(jnp.zeros((batch_size, 3)))
    layout = len(batch.sharding.device_set), batch.sharding.is_fully_replicated
    reduced = re.findall(r"= (.*) all-reduce(?:-start)?\\(", program)
    # Without the loss and other scalars.
    arrays = re.findall(r"\\w\\[(?!1\\])\\d[\\d,]*\\]", " ".join(reduced))
    print(json.dumps([str(trainer.mesh), layout, len(arrays), np.ravel(metrics.loss).tolist()]))
"""

# Model, batch size, seeds, steps. By the number of available devices: how many are used, and
# whether each has the whole batch.
CASES = {
    ("ntm", 8, 1, 12): {8: [8, False]},
    ("per_step_dense", 3, 1, 4): {2: [1, True], 8: [3, False]},  # an indivisible batch
    ("per_step_dense", 8, 2, 12): {2: [2, True], 8: [8, False]},  # members are split first
    ("per_step_dense", 3, 24, 4): {8: [8, True]},
}


def start_training(num_devices, cases):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(cases)],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
            "JAX_NUM_CPU_DEVICES": str(num_devices),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def results(process):
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


def test_losses_match_single_device():
    cases = {1: [*CASES]}
    cases |= {n: [case for case, expected in CASES.items() if n in expected] for n in (2, 8)}
    processes = {devices: start_training(devices, cases[devices]) for devices in cases}
    by_devices = {
        devices: dict(zip(cases[devices], results(process), strict=True))
        for devices, process in processes.items()
    }
    for case, expected in CASES.items():
        mesh, _, _, single_device_losses = by_devices[1][case]
        assert mesh == "1 of 1 x cpu"
        for devices, expected_layout in expected.items():
            mesh, layout, num_reduced, losses = by_devices[devices][case]
            assert layout == expected_layout
            assert num_reduced == 1  # the gradient, once per step, as one vector
            assert mesh == f"{layout[0]} of {devices} x cpu"
            assert losses == pytest.approx(single_device_losses, rel=1e-5)


@pytest.mark.parametrize(
    ("members", "groups"), [(1, 1), (3, 1), (8, 1), (12, 2), (30, 5), (13, 13)]
)
def test_groups_keep_member_order(members, groups):
    mesh = sharding.EnsembleMesh(members, batch_size=1)
    if jax.device_count() == 1:
        assert mesh._groups == (1, groups, members // groups)

    def function(member, shared):
        return {"sum": member["a"] + shared, "key": jax.random.key_data(member["key"])}

    tree = {"a": jnp.arange(2.0 * members).reshape(members, 2)}
    tree["key"] = jax.vmap(jax.random.key)(jnp.arange(members))
    shared = jnp.array([1.0, 3.0])
    outputs = jax.jit(mesh.vmap_members(function, (0, None)))(tree, shared)
    np.testing.assert_array_equal(outputs["sum"], tree["a"] + shared)
    np.testing.assert_array_equal(outputs["key"], jax.random.key_data(tree["key"]))


@pytest.mark.parametrize(
    ("variables", "affinity", "updates"),
    [
        ({}, {0, 1, 2}, [3]),
        ({}, None, [5]),  # macOS
        ({"JAX_NUM_CPU_DEVICES": "2"}, {0}, []),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, {0}, []),
    ],
    ids=["affinity", "no affinity", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS"],
)
def test_number_of_cpu_devices(monkeypatch, variables, affinity, updates):
    for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    if affinity is None:
        monkeypatch.delattr(os, "sched_getaffinity")
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: affinity)
    given = []
    monkeypatch.setattr(jax.config, "update", lambda name, value: given.append(value))
    sharding.use_all_cores()
    assert given == updates


def test_process_without_work_raises():
    class Device:
        def __init__(self, process_index):
            self.process_index = process_index

    with pytest.raises(ValueError) as raised:
        sharding.EnsembleMesh(1, 3, [Device(0), Device(1)])
    assert str(raised.value) == (
        "batch_size: expected a batch_size or num_seeds that 2 processes with 2 devices can share, "
        "got 3 and 1"
    )
