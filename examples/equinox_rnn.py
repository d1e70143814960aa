"""The NTM cell inside an Equinox module: `eqx.filter_jit` and `eqx.filter_value_and_grad`.

Command: python examples/equinox_rnn.py
Prints: the loss on copy, and the bit errors per sequence at length 40 with 128 slots.
Wall time: 45 s on a CPU core, half of it compile time.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntm_jax import FeedForward, NTMCell, optimizers
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.losses import bit_cross_entropy, bit_errors

TASK = Copy()
NUM_SLOTS = (22, 64)  # training alternates between two sizes of the memory
OPTIMIZER = optimizers.adam(half_life=0)


class RNN(eqx.Module):
    """An NTM cell over one sequence.

    Attributes:
      params: the parameters of the cell.
      cell: the cell.
      step_shape: shape of the inputs of one step.
    """

    params: Any
    cell: NTMCell = eqx.field(static=True)
    step_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, cell: NTMCell, input_features: int, *, key: jax.Array):
        self.cell, self.step_shape = cell, (input_features,)
        carry = cell.initialize_carry(key, self.step_shape)
        self.params = cell.init(key, carry, jnp.zeros(self.step_shape))["params"]

    def __call__(self, inputs: jax.Array, num_slots: int) -> jax.Array:
        """Maps inputs [T, I] to outputs [T, O]; the parameters fit any number of slots."""
        cell = self.cell.clone(num_slots=num_slots)

        def step(carry: Any, x: jax.Array) -> tuple[Any, jax.Array]:
            return cell.apply({"params": self.params}, carry, x)

        carry = cell.initialize_carry(jax.random.key(0), self.step_shape)
        return jax.lax.scan(step, carry, inputs)[1]


@eqx.filter_jit
def train_step(
    model: RNN, opt_state: Any, key: jax.Array, num_slots: int
) -> tuple[RNN, Any, jax.Array]:
    """Returns the model, the optimizer state and the loss of one training step."""
    batch = TASK.sample(key, batch_size=4)

    @eqx.filter_value_and_grad
    def loss_and_grads(model: RNN) -> jax.Array:
        logits = jax.vmap(model, (0, None))(batch.inputs, num_slots)
        return bit_cross_entropy(logits, batch.targets, batch.mask)

    loss, grads = loss_and_grads(model)
    updates, opt_state = OPTIMIZER.update(grads, opt_state)
    return eqx.apply_updates(model, updates), opt_state, loss


def main(steps: int = 2000) -> tuple[list[float], float]:
    """Trains on copy; returns the loss of each step, and the bit errors at length 40."""
    cell = NTMCell(features=TASK.output_features, controller=FeedForward((100,)))
    model = RNN(cell, TASK.input_features, key=jax.random.key(0))
    opt_state = OPTIMIZER.init(eqx.filter(model, eqx.is_array))
    losses = []
    for step in range(steps):
        num_slots = NUM_SLOTS[step % 2]  # eqx.filter_jit compiles each of the two once
        model, opt_state, loss = train_step(model, opt_state, jax.random.key(step), num_slots)
        losses.append(float(loss))
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}: loss {sum(losses[-100:]) / 100:.4f}")

    batch = TASK.sample_size(jax.random.key(1), 64, 40)
    logits = jax.vmap(model, (0, None))(batch.inputs, 128)
    errors = float(bit_errors(logits, batch.targets, batch.mask).mean())
    print(f"length 40, 128 slots: {errors:.2f} of 320 bits wrong per sequence")
    return losses, errors


if __name__ == "__main__":
    main()
