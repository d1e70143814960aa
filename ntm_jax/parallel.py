"""All cores and devices of one machine, by splitting the batch over them."""

import os
from typing import Any

import jax

__all__ = ["describe_devices", "replicate", "shard_batch", "use_all_cores"]


# Examples a device. With batches of 4, two cores were no faster than one: 18 and 19 ms an update of
# the whole run (benchmarks/results/copy_ntm_split_batch.json, copy_ntm_alone.json). Between 4 and
# 16 a device the limit is a guess.
_WORTH = 8


def use_all_cores() -> None:
    """Makes every CPU core a JAX device. Call it before anything else of JAX runs.

    The operations of a machine's step are too small for XLA to split over threads, so that one
    CPU device leaves all cores but one idle. `JAX_NUM_CPU_DEVICES` in the environment wins.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def shard_batch(batch: Any) -> Any:
    """Inside jit: splits the leading axis of every leaf over the devices that share it evenly."""
    size = jax.tree.leaves(batch)[0].shape[0]
    return jax.lax.with_sharding_constraint(batch, _sharding(size, "batch"))


def replicate(tree: Any, batch_size: int) -> Any:
    """Puts a copy of every leaf on every device that a batch of this size is split over."""
    return jax.device_put(tree, _sharding(batch_size))


def describe_devices(batch_size: int) -> str:
    """Which devices a batch of this size is split over, such as "2 of 2 x cpu"."""
    devices = jax.local_devices()
    return f"{_share(batch_size)} of {len(devices)} x {devices[0].device_kind}"


def _share(batch_size: int) -> int:
    """The most local devices that divide the batch and have enough of it each."""
    shares = range(1, jax.local_device_count() + 1)
    return max(n for n in shares if n == 1 or (batch_size % n == 0 and batch_size // n >= _WORTH))


def _sharding(batch_size: int, *axes: str) -> jax.NamedSharding:
    devices = jax.local_devices()[: _share(batch_size)]
    # Auto: XLA splits what follows from the batch, and adds up gradients.
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=auto, devices=devices)
    return jax.NamedSharding(mesh, jax.P(*axes))
