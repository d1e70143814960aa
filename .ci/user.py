"""A user's file: it passes mypy --strict with the installed library, and runs."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ntm_jax import (
    LSTM,
    NTM,
    RNN,
    FeedForward,
    NTMCell,
    NTMState,
    ResetCell,
    Stack,
    enlarge_memory,
    load_pretrained,
    select_carry,
    trace,
    with_memory,
)
from ntm_jax.cell import StepTrace
from ntm_jax.evaluation import Result, evaluate
from ntm_jax.initializers import Initializer, uniform_weighting
from ntm_jax.tasks.copy import Copy

head_init: Initializer = uniform_weighting
cell = NTMCell(
    features=8,
    controller=FeedForward((100,), activation=nn.relu),
    num_slots=16,
    memory_init=nn.initializers.constant(1e-6),
    head_init=head_init,
)
inputs = jnp.zeros((2, 5, 9))
carry: NTMState = cell.initialize_carry(jax.random.key(0), (2, 9))
variables = cell.init(jax.random.key(0), carry, inputs[:, 0])
carry = enlarge_memory(with_memory(carry, jnp.ones((16, 20))), num_slots=32)
carry = select_carry(jnp.array([True, False]), carry, carry)

model = NTM(cell, learned_init=("memory",), addressing_noise_std=0.1, deterministic=True)
params = model.init(jax.random.key(0), inputs)["params"]
steps: StepTrace
outputs, steps = trace(model, params, inputs)
weights: jax.Array = steps.read_weights

mask = jnp.ones((2, 5), bool)
rnn = RNN(Stack((LSTM(10, forget_bias=1.0), nn.GRUCell(10)), skip=True), features=8)
final_carry, outputs = rnn.init_with_output(
    jax.random.key(0), inputs, mask, return_carry=True, reset=~mask
)[0]
resettable = nn.RNN(ResetCell(LSTM(10)))


def copied(name: str, length: int) -> bool:
    """Returns whether a trained model copies without errors."""
    trained, trained_params = load_pretrained(name, num_slots=64)
    results: list[Result] = evaluate(trained, trained_params, Copy(), [length], num_sequences=8)
    return results[0].bit_errors_per_sequence == 0


assert outputs.shape == (2, 5, 8)
assert copied("copy_ntm", length=10)
