"""An example with its trace."""

import jax
import jax.numpy as jnp
from support import strategies

from ntm_jax import FeedForward, NTMCell, models
from ntm_jax.evaluation.traces import ExampleTrace


def random_example(num_slots=6, num_steps=5):
    """Returns an example of a random model with two read heads and one write head."""
    cell = NTMCell(2, FeedForward((4,)), num_slots, slot_width=3, num_read_heads=2, max_shift=2)
    model = models.NTM(cell)
    inputs = jnp.asarray(strategies.normal(1, num_steps, 3))
    params = strategies.init_random_params(model, inputs, seed=2)
    initial = model.apply({"params": params}, (3,), method="make_initial_carry")
    logits, steps = models.trace(model, params, inputs)
    targets, mask = jnp.zeros((num_steps, 2)), jnp.ones(num_steps, bool)
    return ExampleTrace(inputs, targets, mask, jax.nn.sigmoid(logits), steps, initial)
