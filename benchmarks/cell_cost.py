"""Measures what the cell costs in a loop of one's own, as ratios within one process.

    python -m benchmarks.cell_cost

The gradient of copy through `flax.linen.RNN` and `NTM`, and one jitted step at batch 1 of the NTM
and of Flax's LSTM cell with 100 features. Candidates alternate in each round. Run it on an idle
host. results/cell_cost.json gets the milliseconds of each round.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from absl import app, flags

from benchmarks import environment
from benchmarks.speed.harness import Candidate, time_interleaved
from ntm_jax import NTM, FeedForward, NTMCell
from ntm_jax.runtime import compilation_cache
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.losses import bit_cross_entropy
from ntm_jax.training.run_dir import write_json

_ROUNDS = flags.DEFINE_integer("rounds", 21, "Number of rounds.", lower_bound=1)
_SECONDS = 0.2  # of a candidate in a round

CELL = NTMCell(8, FeedForward((100,)))


def gradients() -> dict[str, Callable[[], Any]]:
    """Returns the gradient of a batch of copy, through each class."""
    batch = Copy().sample(jax.random.key(0), 4)
    models = {"flax.linen.RNN": nn.RNN(CELL), "NTM": NTM(CELL)}

    def make(model: nn.Module) -> Callable[[], Any]:
        variables = model.init(jax.random.key(1), batch.inputs)

        @jax.jit
        def grad(variables: Any) -> Any:
            def loss_fn(variables: Any) -> jax.Array:
                logits = model.apply(variables, batch.inputs)
                return bit_cross_entropy(logits, batch.targets, batch.mask)

            return jax.grad(loss_fn)(variables)

        return lambda: grad(variables)

    return {name: make(model) for name, model in models.items()}


def steps() -> dict[str, Callable[[], Any]]:
    """Returns one step at batch 1 of each cell, which continues from the previous state."""

    def make(cell: nn.RNNCellBase) -> Callable[[], Any]:
        inputs = jnp.ones((1, 9))
        carry = cell.initialize_carry(jax.random.key(0), inputs.shape)
        variables = cell.init(jax.random.key(1), carry, inputs)
        step, states = jax.jit(cell.apply, donate_argnums=1), [carry]

        def run() -> Any:
            states[0], outputs = step(variables, states[0], inputs)
            return outputs

        return run

    return {"OptimizedLSTMCell": make(nn.OptimizedLSTMCell(100)), "NTMCell": make(CELL)}


def measure(calls: Mapping[str, Callable[[], Any]], per_run: int) -> dict[str, list[float]]:
    """Returns the milliseconds per call of each candidate, for each round."""

    def make(call: Callable[[], Any]) -> Callable[[], tuple[float, float]]:
        def run() -> tuple[float, float]:
            for _ in range(per_run):
                result = call()
            return per_run, float(jnp.sum(jax.tree.leaves(result)[0]))

        return run

    candidates = [Candidate(name, make(call), {}) for name, call in calls.items()]
    rates = time_interleaved(candidates, _ROUNDS.value, _SECONDS)
    return {name: [round(1000 / rate, 4) for rate in rounds] for name, rounds in rates.items()}


def main(argv: list[str]) -> None:
    """Measures both comparisons and writes the times."""
    del argv
    compilation_cache.set_fast_compile_flags()
    with environment.record("python -m benchmarks.cell_cost", (_ROUNDS,)) as document:
        milliseconds = {
            "gradient": measure(gradients(), 20),
            "step": measure(steps(), 2000),
        }
    write_json(environment.RESULTS / "cell_cost.json", {**document, "milliseconds": milliseconds})


if __name__ == "__main__":
    app.run(main)
