"""All cores and devices of one machine, by splitting the batch over them."""

import os
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["describe_devices", "over_batch", "replicate", "shard_batch", "use_all_cores"]


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


def over_batch(function: Callable[[Any, jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    """The function with every device running it whole on its share of the batch.

    Left to XLA, the devices would add up their gradients in every time step of the backward pass;
    so they do it once, after the last.

    Args:
      function: from anything (parameters) and a batch, [B, ...], to results, [B, ...].

    Returns:
      The same function.
    """

    def split(params: Any, batch: jax.Array) -> jax.Array:
        shared = jax.shard_map(
            function,
            mesh=_sharding(len(batch)).mesh,
            in_specs=(jax.P(), jax.P("batch")),
            out_specs=jax.P("batch"),
            # It would have every initial state marked as one that differs between devices.
            check_vma=False,
        )
        return shared(params, batch)

    return split


def replicate(tree: Any, batch_size: int) -> Any:
    """Puts a copy of every leaf on every device that a batch of this size is split over."""
    return jax.device_put(tree, _sharding(batch_size))


def describe_devices(batch_size: int) -> str:
    """Which devices a batch of this size is split over, such as "2 of 2 x cpu"."""
    devices = jax.local_devices()
    return f"{_share(batch_size)} of {len(devices)} x {devices[0].device_kind}"


def _share(batch_size: int) -> int:
    """The most local devices that divide the batch."""
    return max(n for n in range(1, jax.local_device_count() + 1) if batch_size % n == 0)


def _sharding(batch_size: int, *axes: str) -> jax.NamedSharding:
    devices = jax.local_devices()[: _share(batch_size)]
    # Auto: XLA splits what follows from the batch, and adds up gradients.
    auto = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((len(devices),), ("batch",), axis_types=auto, devices=devices)
    return jax.NamedSharding(mesh, jax.P(*axes))
