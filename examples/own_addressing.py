"""Two rules of memory access in place of the NTM's, which work wherever `NTMCell` does.

    python examples/own_addressing.py

It prints the loss of each on a short copy task before and after training, in about a minute.
`ContentCell` has content addressing alone. `LRUCell` has the least-recently-used access of Santoro
et al. (2016), https://arxiv.org/abs/1605.06065.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from ntm_jax import NTM, FeedForward, NTMCell, NTMState, addressing, memory, optimizers
from ntm_jax.cell import access_memory
from ntm_jax.heads import Interface
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.losses import bit_cross_entropy


class ContentCell(NTMCell):
    """An NTM whose heads use content addressing alone, equation 5, and no location addressing."""

    @nn.nowrap
    def access(self, state: NTMState, interface: Interface) -> NTMState:
        """Writes to the memory and reads from it, for one example."""

        def address(memory, previous, parameters):
            return addressing.content_weights(memory, parameters.key, parameters.strength)

        weightings = state.read_weights, state.write_weights
        step = access_memory(state.memory, *weightings, interface, address)
        return NTMState((), *step[1:])


class LRUCell(NTMCell):
    """An NTM whose heads write where they read last, or to the least recently used slots.

    Section 3.2 of the paper. `extra` is the usage of the slots, w^u, [N]. The gate of a write head
    is the paper's sigmoid(alpha); the add vector is written where the paper writes the key.
    """

    usage_decay: float = 0.95

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> NTMState:
        """Returns the state before the first step: no slot is in use."""
        state = super().initialize_carry(rng, input_shape)
        return state._replace(extra=jnp.zeros((*input_shape[:-1], self.num_slots)))

    @nn.nowrap
    def access(self, state: NTMState, interface: Interface) -> NTMState:
        """Writes to the memory and reads from it, for one example."""
        write, read, usage = interface.write, interface.read, state.extra
        num_writes = self.num_write_heads
        # The least used slots, as many as there are write heads, one for each.
        _, slots = jax.lax.top_k(-usage, num_writes)
        least_used = jax.nn.one_hot(slots, len(usage))
        last_read = state.read_weights[jnp.arange(num_writes) % self.num_read_heads]
        gate = write.gate[:, None]
        write_weights = gate * last_read + (1.0 - gate) * least_used
        erased = state.memory * (1.0 - least_used.sum(0))[:, None]
        written = erased + write_weights.T @ interface.add
        content = jax.vmap(addressing.content_weights, (None, 0, 0))
        read_weights = content(written, read.key, read.strength)
        usage = self.usage_decay * usage + read_weights.sum(0) + write_weights.sum(0)
        read_vectors = jax.vmap(memory.read, (None, 0))(written, read_weights)
        return NTMState((), written, read_weights, write_weights, read_vectors, usage)


def train(cell_class: type[NTMCell], num_steps: int = 1000) -> tuple[float, float]:
    """Returns the loss, in nats per bit, before and after training on copying 1 to 5 vectors."""
    task = Copy(max_length=5, num_bits=4)
    model = NTM(cell_class(4, FeedForward((32,)), num_slots=16, slot_width=8))
    optimizer = optimizers.adam()
    params = model.init(jax.random.key(0), jnp.zeros((1, 1, 5)))["params"]

    def loss_fn(params, key):
        batch = task.sample(key, 8)
        logits = model.apply({"params": params}, batch.inputs)
        return bit_cross_entropy(logits, batch.targets, batch.mask)

    @jax.jit
    def train_step(state, key):
        params, optimizer_state = state
        updates, optimizer_state = optimizer.update(jax.grad(loss_fn)(params, key), optimizer_state)
        return (optax.apply_updates(params, updates), optimizer_state), None

    keys = jax.random.split(jax.random.key(1), num_steps)
    state, _ = jax.lax.scan(train_step, (params, optimizer.init(params)), keys)
    test_loss = jax.jit(functools.partial(loss_fn, key=jax.random.key(2)))
    return float(test_loss(params)), float(test_loss(state[0]))


if __name__ == "__main__":
    for cell in (ContentCell, LRUCell):
        before, after = train(cell)
        print(f"{cell.__name__}: loss {before:.3f} before and {after:.3f} after training")
