"""The NTM in Flax NNX: `nnx.bridge.ToNNX`, `nnx.Optimizer` and `nnx.jit`.

Command: python examples/nnx.py
Prints: the loss on copy, and the bit errors per sequence at length 40 with 128 slots.
Wall time: 45 s on a CPU core, half of it compile time.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from ntm_jax import NTM, FeedForward, NTMCell, optimizers
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.losses import bit_cross_entropy, bit_errors

TASK = Copy()
NUM_SLOTS = (22, 64)  # training alternates between two sizes of the memory
CELL = NTMCell(features=TASK.output_features, controller=FeedForward((100,)))


def ntm(num_slots: int) -> NTM:
    """Returns the Linen module; its parameters fit any number of slots."""
    return NTM(CELL.clone(num_slots=num_slots))


@nnx.jit
def train_step(model: nnx.Module, optimizer: nnx.Optimizer, key: jax.Array) -> jax.Array:
    """Updates the model and the optimizer in place, and returns the loss."""
    batch = TASK.sample(key, batch_size=4)

    def loss_fn(model: nnx.Module) -> jax.Array:
        return bit_cross_entropy(model(batch.inputs), batch.targets, batch.mask)

    loss, grads = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, grads)
    return loss


def main(steps: int = 2000) -> tuple[list[float], float]:
    """Trains on copy; returns the loss of each step, and the bit errors at length 40."""
    model = nnx.bridge.ToNNX(ntm(NUM_SLOTS[0]), rngs=nnx.Rngs(0))
    model.lazy_init(jnp.zeros((1, 1, TASK.input_features)))
    num_params = sum(param.size for param in jax.tree.leaves(nnx.state(model, nnx.Param)))
    print(f"{num_params} parameters")
    optimizer = nnx.Optimizer(
        model,
        optimizers.adam(half_life=0),
        wrt=nnx.Param,
    )
    losses = []
    for step in range(steps):
        model.to_nnx__module = ntm(NUM_SLOTS[step % 2])  # nnx.jit compiles each of the two once
        losses.append(float(train_step(model, optimizer, jax.random.key(step))))
        if (step + 1) % 500 == 0:
            print(f"step {step + 1}: loss {sum(losses[-100:]) / 100:.4f}")

    batch = TASK.sample_size(jax.random.key(1), 64, 40)
    model.to_nnx__module = ntm(128)
    logits = nnx.jit(lambda model, inputs: model(inputs))(model, batch.inputs)
    errors = float(bit_errors(logits, batch.targets, batch.mask).mean())
    print(f"length 40, 128 slots: {errors:.2f} of 320 bits wrong per sequence")
    return losses, errors


if __name__ == "__main__":
    main()
