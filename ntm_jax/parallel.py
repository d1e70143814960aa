"""All cores and devices of one machine, by splitting the batch over them."""

import os
from typing import Any

import jax

__all__ = ["describe_devices", "replicate", "shard_batch", "use_all_cores"]


def use_all_cores() -> None:
    """Makes every CPU core a JAX device. Call it before anything else of JAX runs.

    The operations of a machine's step are too small for XLA to split over threads, so that one
    CPU device leaves all cores but one idle. `JAX_NUM_CPU_DEVICES` in the environment wins.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def shard_batch(batch: Any) -> Any:
    """Inside jit: splits the leading axis of every leaf over the local devices.

    A batch that they do not divide stays whole, which every device then computes for itself.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    if size % jax.local_device_count():
        return batch
    return jax.lax.with_sharding_constraint(batch, _sharding("batch"))


def replicate(tree: Any) -> Any:
    """Puts a copy of every leaf on every local device."""
    return jax.device_put(tree, _sharding())


def describe_devices() -> str:
    """One line for logs, such as "2 x cpu"."""
    devices = jax.local_devices()
    return f"{len(devices)} x {devices[0].device_kind}"


def _sharding(*axes: str) -> jax.NamedSharding:
    devices = jax.local_devices()
    mesh = jax.make_mesh(
        (len(devices),), ("batch",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices
    )
    return jax.NamedSharding(mesh, jax.P(*axes))
