"""Sharding of ensemble members and batches over devices."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.flatten_util

from ntm_jax.runtime import distributed

__all__ = ["EnsembleMesh", "use_all_cores"]

# Members vmapped at once on a CPU device: few enough that their parameters stay in its cache. For
# 30 NTMs with an LSTM controller, groups of five or six train twice as fast as one group of 30.
_MAX_VMAP_ON_CPU = 8


def use_all_cores() -> None:
    """Makes every CPU core a JAX device. Call it before any other JAX function.

    The operations of an NTM step are too small for XLA's own multithreading. The environment
    variable `JAX_NUM_CPU_DEVICES`, and the number of host devices in `XLA_FLAGS`, take precedence.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
        cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", cores)


class EnsembleMesh:
    """A mesh of the devices that train E members with a batch of B each.

    It uses as many devices as can share the work evenly. Members are split before batches, because
    devices that share a batch have to add up its gradients. `str(mesh)` describes the devices, such
    as "2 of 2 x cpu".

    Args:
      num_members: E.
      batch_size: B.
      devices: the devices to choose from; None for all devices of all processes.

    Raises:
      ValueError: E and B leave a process without work.
    """

    def __init__(
        self, num_members: int, batch_size: int, devices: Sequence[jax.Device] | None = None
    ) -> None:
        self._num_members, devices = num_members, list(devices or jax.devices())
        member_shards, batch_shards = max(
            (
                (m, b)
                for m in range(1, len(devices) + 1)
                for b in range(1, len(devices) // m + 1)
                if num_members % m == 0 and batch_size % b == 0
            ),
            key=lambda shards: (shards[0] * shards[1], shards[0]),
        )
        used = devices[: member_shards * batch_shards]
        processes = {device.process_index for device in devices}
        if processes != {device.process_index for device in used}:
            raise ValueError(
                f"batch_size: expected a batch_size or num_seeds that {len(processes)} processes "
                f"with {len(devices)} devices can share, got {batch_size} and {num_members}"
            )
        self._mesh = jax.make_mesh(
            (member_shards, batch_shards),
            ("member", "batch"),
            # Auto: XLA propagates the shardings and adds up the gradients.
            axis_types=2 * (jax.sharding.AxisType.Auto,),
            devices=used,
        )
        self._description = f"{len(used)} of {len(devices)} x {devices[0].device_kind}"
        if len(processes) > 1:
            self._description += f", {len(processes)} processes"
        per_device = num_members // member_shards
        limit = _MAX_VMAP_ON_CPU if devices[0].platform == "cpu" else per_device
        group_size = max(n for n in range(1, min(limit, per_device) + 1) if per_device % n == 0)
        # The member axis is split into devices, sequential groups, and vmapped members.
        self._groups = member_shards, per_device // group_size, group_size

    def __str__(self) -> str:
        return self._description

    def shard_members(self, tree: Any) -> Any:
        """Splits the leading axis of every leaf, E, over the devices."""
        return distributed.put_on_devices(tree, jax.NamedSharding(self._mesh, jax.P("member")))

    def vmap_members(
        self, function: Callable[..., Any], in_axes: Sequence[int | None]
    ) -> Callable[..., Any]:
        """Returns `jax.vmap` of a function over members, each on its own devices.

        On CPU, `jax.lax.map` loops over groups of members.

        Args:
          function: a function of one member.
          in_axes: for each argument 0, or None if it has no member axis.
        """
        devices, groups, group_size = self._groups
        if self._num_members > 1:
            vmapped = jax.vmap(
                function, in_axes, axis_size=devices * group_size, spmd_axis_name="member"
            )
            return vmapped if groups == 1 else self._map_groups(vmapped, in_axes)

        # Without the axis of size 1, with which XLA fuses less.
        def single_member(*args: Any) -> Any:
            args = tuple(
                arg if axis is None else jax.tree.map(lambda leaf: leaf[0], arg)
                for arg, axis in zip(args, in_axes, strict=True)
            )
            return jax.tree.map(lambda leaf: leaf[None], function(*args))

        return single_member

    def _map_groups(
        self, function: Callable[..., Any], in_axes: Sequence[int | None]
    ) -> Callable[..., Any]:
        """Extends a function of one group of members to all members."""
        devices, groups, group_size = self._groups

        def split(leaf: jax.Array) -> jax.Array:
            leaf = leaf.reshape(devices, groups, group_size, *leaf.shape[1:]).swapaxes(0, 1)
            return leaf.reshape(groups, devices * group_size, *leaf.shape[3:])

        def join(leaf: jax.Array) -> jax.Array:
            leaf = leaf.reshape(groups, devices, group_size, *leaf.shape[2:]).swapaxes(0, 1)
            return leaf.reshape(self._num_members, *leaf.shape[3:])

        def all_members(*args: Any) -> Any:
            split_args = [
                jax.tree.map(split, arg) if axis == 0 else None
                for arg, axis in zip(args, in_axes, strict=True)
            ]

            def one_group(group_args: list[Any]) -> Any:
                triples = zip(group_args, args, in_axes, strict=True)
                return function(*(group if axis == 0 else arg for group, arg, axis in triples))

            return jax.tree.map(join, jax.lax.map(one_group, split_args))

        return all_members

    def shard_batch(self, batch: Any) -> Any:
        """Splits the leading axis of every leaf, B, over the devices of a member, inside jit."""
        sharding = jax.NamedSharding(self._mesh, jax.P("batch"))
        return jax.lax.with_sharding_constraint(batch, sharding)

    def shard_map_batch(
        self, function: Callable[[Any, jax.Array], jax.Array]
    ) -> Callable[[Any, jax.Array], jax.Array]:
        """Returns `jax.shard_map` of a function over the batch.

        The gradients of the parameters are added up once per batch, as one vector. XLA's automatic
        partitioning would add them up in every time step of the backward pass, leaf by leaf, which
        is slow between processes.

        Args:
          function: maps parameters (a tree of floating-point arrays) and a batch [B, ...] to
            outputs [B, ...].
        """

        def sharded(params: Any, batch: jax.Array) -> jax.Array:
            flat, unravel = jax.flatten_util.ravel_pytree(params)
            return jax.shard_map(
                lambda flat, batch: function(unravel(flat), batch),
                mesh=self._mesh,
                in_specs=(jax.P(), jax.P("batch")),
                out_specs=jax.P("batch"),
                # The check would require every initial carry to be marked as device-varying.
                check_vma=False,
            )(flat, batch)

        return sharded
