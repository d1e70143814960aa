"""All cores and devices, by splitting ensembles and batches over them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.flatten_util

from ntm_jax.runtime import distributed

# Members that a CPU device runs at once, at the most: so few that a step finds their parameters in
# the core's own cache. Thirty machines with an LSTM controller train twice as fast in groups of
# five or six as all at once.
_AT_ONCE_ON_CPU = 8

__all__ = ["Devices", "use_all_cores"]


def use_all_cores() -> None:
    """Makes every CPU core a JAX device. Call it before anything else of JAX runs.

    The operations of a machine's step are too small for XLA to split over threads, so that one
    CPU device leaves all cores but one idle. `JAX_NUM_CPU_DEVICES` in the environment wins.
    """
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


class Devices:
    """The devices that E members, each with a batch of B, share evenly.

    As many as can be; and as few of them as can be share a member, whose gradients they then have
    to add up. `str` says which, such as "2 of 2 x cpu".

    Args:
      num_members: E.
      batch_size: B.
      devices: to choose from; None for those of all processes.

    Raises:
      ValueError: E and B leave a process without work.
    """

    def __init__(
        self, num_members: int, batch_size: int, devices: Sequence[jax.Device] | None = None
    ) -> None:
        self._num_members, devices = num_members, list(devices or jax.devices())
        members, batch = max(
            (
                (e, b)
                for e in range(1, len(devices) + 1)
                for b in range(1, len(devices) // e + 1)
                if num_members % e == 0 and batch_size % b == 0
            ),
            key=lambda shares: (shares[0] * shares[1], shares[0]),
        )
        owners = {device.process_index for device in devices}
        if owners != {device.process_index for device in devices[: members * batch]}:
            raise ValueError(
                f"batch_size: expected one, or a num_seeds, that {len(owners)} processes with "
                f"{len(devices)} devices can share, got {batch_size} and {num_members}"
            )
        self._mesh = jax.make_mesh(
            (members, batch),
            ("member", "batch"),
            # Auto: XLA splits what follows from the members and the batch, and adds up gradients.
            axis_types=2 * (jax.sharding.AxisType.Auto,),
            devices=devices[: members * batch],
        )
        self._shown = f"{members * batch} of {len(devices)} x {devices[0].device_kind}"
        if len(owners) > 1:
            self._shown += f", {len(owners)} processes"
        on_each = num_members // members
        limit = _AT_ONCE_ON_CPU if devices[0].platform == "cpu" else on_each
        at_once = max(n for n in range(1, min(limit, on_each) + 1) if on_each % n == 0)
        # How the axis of members is split: devices, groups one after the other, members at once.
        self._groups = members, on_each // at_once, at_once

    def __str__(self) -> str:
        return self._shown

    def put_members(self, tree: Any) -> Any:
        """Puts every member, on the leading axis of all leaves, on the devices that share it."""
        return distributed.put(tree, jax.NamedSharding(self._mesh, jax.P("member")))

    def over_members(
        self, function: Callable[..., Any], in_axes: Sequence[int | None]
    ) -> Callable[..., Any]:
        """`jax.vmap` over members, each on its own devices; on a CPU, a group after the other.

        Args:
          function: of one member.
          in_axes: for each argument 0, or None if it is the same for all members.

        Returns:
          The function of all members.
        """
        if self._num_members > 1:
            devices, groups, at_once = self._groups
            together = jax.vmap(
                function, in_axes, axis_size=devices * at_once, spmd_axis_name="member"
            )
            return together if groups == 1 else self._in_groups(together, in_axes)

        # Without the axis of one, over which XLA does not fuse as well.
        def alone(*arguments: Any) -> Any:
            own = [
                argument if axis is None else jax.tree.map(lambda leaf: leaf[0], argument)
                for argument, axis in zip(arguments, in_axes, strict=True)
            ]
            return jax.tree.map(lambda leaf: leaf[None], function(*own))

        return alone

    def _in_groups(
        self, function: Callable[..., Any], in_axes: Sequence[int | None]
    ) -> Callable[..., Any]:
        """The function of all members, by one of a group of them."""
        devices, groups, at_once = self._groups

        def split(leaf: jax.Array) -> jax.Array:
            leaf = leaf.reshape(devices, groups, at_once, *leaf.shape[1:]).swapaxes(0, 1)
            return leaf.reshape(groups, devices * at_once, *leaf.shape[3:])

        def join(leaf: jax.Array) -> jax.Array:
            leaf = leaf.reshape(groups, devices, at_once, *leaf.shape[2:]).swapaxes(0, 1)
            return leaf.reshape(self._num_members, *leaf.shape[3:])

        def in_groups(*arguments: Any) -> Any:
            own = [
                jax.tree.map(split, argument) if axis == 0 else None
                for argument, axis in zip(arguments, in_axes, strict=True)
            ]

            def of_group(own: list[Any]) -> Any:
                triples = zip(own, arguments, in_axes, strict=True)
                return function(*(mine if axis == 0 else same for mine, same, axis in triples))

            return jax.tree.map(join, jax.lax.map(of_group, own))

        return in_groups

    def shard_batch(self, batch: Any) -> Any:
        """Inside jit: splits the leading axis of every leaf over the devices of its member."""
        sharding = jax.NamedSharding(self._mesh, jax.P("batch"))
        return jax.lax.with_sharding_constraint(batch, sharding)

    def over_batch(
        self, function: Callable[[Any, jax.Array], jax.Array]
    ) -> Callable[[Any, jax.Array], jax.Array]:
        """The function with every device running it whole on its share of the batch.

        Left to XLA, the devices would add up their gradients in every time step of the backward
        pass, and each leaf in a message of its own; so they do it once, after the last, as one
        vector: between processes a message takes longer than what is in it.

        Args:
          function: from a tree of floating-point arrays (parameters) and a batch, [B, ...], to
            results, [B, ...].

        Returns:
          The same function.
        """

        def split(tree: Any, batch: jax.Array) -> jax.Array:
            flat, unravel = jax.flatten_util.ravel_pytree(tree)
            return jax.shard_map(
                lambda flat, batch: function(unravel(flat), batch),
                mesh=self._mesh,
                in_specs=(jax.P(), jax.P("batch")),
                out_specs=jax.P("batch"),
                # It would have every initial state marked as one that differs between devices.
                check_vma=False,
            )(flat, batch)

        return split
