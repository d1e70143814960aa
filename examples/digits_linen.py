"""Handwritten digits as sequences in Flax Linen: an NTM and an LSTM in the same classifier.

The digits are scikit-learn's 1,797 images of 8 x 8 pixels, read row by row in 8 steps. The two
models differ in one line, the cell.

Command: python examples/digits_linen.py
Prints: the test accuracy of both models, 0.961 (LSTM) and 0.942 (NTM, half the parameters).
Wall time: half a minute on a CPU core.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits

from ntm_jax import FeedForward, NTMCell

CELLS = {
    "LSTM": nn.OptimizedLSTMCell(64),
    "NTM": NTMCell(features=64, controller=FeedForward((64,)), num_slots=16, slot_width=8),
}
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3, b2=0.9))
NUM_TEST, BATCH_SIZE = 360, 32


class Classifier(nn.Module):
    """Classifies a sequence from the last output of a recurrent cell.

    Attributes:
      cell: the recurrent cell.
    """

    cell: nn.RNNCellBase

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps inputs [B, T, I] to logits [B, 10]."""
        return nn.Dense(10)(nn.RNN(self.cell)(inputs)[:, -1])


def load() -> tuple[jax.Array, jax.Array]:
    """Returns the images in random order, as sequences of rows [1797, 8, 8], and the digits."""
    images, digits = load_digits(return_X_y=True)
    order = jax.random.permutation(jax.random.key(0), len(images))
    inputs = jnp.asarray(images / 16.0, jnp.float32).reshape(-1, 8, 8)
    return inputs[order], jnp.asarray(digits)[order]


@functools.partial(jax.jit, static_argnums=0)
def train_epoch(model, params, opt_state, inputs, digits, key):
    """Returns the parameters and the optimizer state after one pass over the training images."""
    num_batches = len(inputs) // BATCH_SIZE
    order = jax.random.permutation(key, len(inputs))[: num_batches * BATCH_SIZE]

    def train_step(state, indices):
        params, opt_state = state

        def loss_fn(params):
            logits = model.apply({"params": params}, inputs[indices])
            return optax.softmax_cross_entropy_with_integer_labels(logits, digits[indices]).mean()

        updates, opt_state = OPTIMIZER.update(jax.grad(loss_fn)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    batches = order.reshape(num_batches, BATCH_SIZE)
    return jax.lax.scan(train_step, (params, opt_state), batches)[0]


def main(epochs: int = 30) -> dict[str, float]:
    """Trains both models; returns their test accuracy."""
    inputs, digits = load()
    accuracies = {}
    for name, cell in CELLS.items():
        model = Classifier(cell)
        params = model.init(jax.random.key(0), inputs[:1])["params"]
        opt_state = OPTIMIZER.init(params)
        for epoch in range(epochs):
            params, opt_state = train_epoch(
                model,
                params,
                opt_state,
                inputs[NUM_TEST:],
                digits[NUM_TEST:],
                jax.random.key(epoch),
            )
        logits = model.apply({"params": params}, inputs[:NUM_TEST])
        accuracies[name] = float(jnp.mean(jnp.argmax(logits, axis=-1) == digits[:NUM_TEST]))
        num_params = sum(leaf.size for leaf in jax.tree.leaves(params))
        print(f"{name}, {num_params} parameters: test accuracy {accuracies[name]:.3f}")
    return accuracies


if __name__ == "__main__":
    main()
