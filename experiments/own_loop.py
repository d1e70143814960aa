"""Trains NTMs on copy in a loop of a few lines, with and without each setting of the recipe.

    python -m experiments.own_loop --groups=ladder,without,controllers,formats
    python -m experiments.own_loop --readme=0,1,2

The loop is the one of docs/training.md: it uses cells, tasks and scores of the package, and nothing
of its trainer. Ten seeds train side by side for 40,000 sequences, and are evaluated with 128 slots
after every 2,000. own_loop.jsonl gets one line per setting, which is not trained again. With
--readme, the code of README.md itself runs with these seeds; readme.jsonl gets one line per seed.
"""

import dataclasses
import functools
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from absl import app, flags

from experiments import cli, results
from ntm_jax import LSTM, NTM, FeedForward, NTMCell, optimizers, trace
from ntm_jax.evaluation import scoring
from ntm_jax.runtime import compilation_cache
from ntm_jax.tasks import losses
from ntm_jax.tasks.base import FULL_RANGE, Batch, SizeRange
from ntm_jax.tasks.copy import Copy

_GROUPS = flags.DEFINE_list("groups", ["ladder"], "Groups of settings to train.")
_SEEDS = flags.DEFINE_integer("seeds", 10, "Number of seeds.")
_SEQUENCES = flags.DEFINE_integer("sequences", 40_000, "Training sequences.")

_README = flags.DEFINE_list("readme", [], "Seeds for the code of README.md.")

_EVAL_EVERY = 2000  # sequences
_LENGTHS = (10, 20, 40, 80, 120)
_EVAL_SLOTS = 128
_SEEDS_AT_ONCE = 2  # few, so that their parameters stay in the cache of a CPU core

CONTROLLERS = {
    "feed_forward": lambda: FeedForward((100,)),
    "lstm": lambda: LSTM(100),
    "flax_lstm": lambda: nn.OptimizedLSTMCell(100),
    "flax_gru": lambda: nn.GRUCell(100),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of the loop; the defaults are what one writes without thinking about them."""

    batch_size: int = 32
    learning_rate: float = 1e-3
    half_life: int = 0  # training steps; 0 keeps the rate constant
    b2: float = 0.999
    eps: float = 1e-8
    max_grad_norm: float = 0.0  # 0 disables clipping
    num_slots: tuple[int, ...] = (128,)  # training alternates between them
    addressing_noise_std: float = 0.0
    zero_vector_prob: float = 0.0
    ema_decay: float = 0.0  # 0 evaluates the parameters of the last step


# Each row of the ladder adds one setting to the rows above.
LADDER = {
    "batch_size": {"batch_size": 4},
    "max_grad_norm": {"max_grad_norm": 1.0},
    "learning_rate": {"learning_rate": 2e-3},
    "b2": {"b2": 0.9},
    "half_life": {"half_life": 4000},
    "num_slots": {"num_slots": (22, 64)},
    "addressing_noise_std": {"addressing_noise_std": 1.0},
    "eps": {"eps": 1e-4},
    "zero_vector_prob": {"zero_vector_prob": 0.1},
    "ema_decay": {"ema_decay": 0.998},
}
NAIVE = Recipe()
FULL = Recipe(**{key: value for change in LADDER.values() for key, value in change.items()})
README = dataclasses.replace(FULL, zero_vector_prob=0.0, ema_decay=0.0)


@dataclasses.dataclass(frozen=True)
class CollierCopy(Copy):
    """Copy as in MarkPKCollier/NeuralTuringMachine: a delimiter of ones, one length per batch."""

    def sample(self, key: jax.Array, batch_size: int, size_range: SizeRange = FULL_RANGE) -> Batch:
        """Samples sequences of one random length, padded to the steps of `max_length`."""
        length_key, bits_key = jax.random.split(key)
        length = jax.random.randint(length_key, (1,), self.min_length, self.max_length + 1)
        lengths = jnp.broadcast_to(length, (batch_size,))
        batch = self._batch(bits_key, lengths, self.max_length, self.zero_vector_prob)
        return _with_ones_delimiter(batch)

    def sample_size(self, key: jax.Array, batch_size: int, length: int) -> Batch:
        """Samples sequences of one length."""
        return _with_ones_delimiter(super().sample_size(key, batch_size, length))


def _with_ones_delimiter(batch: Batch) -> Batch:
    return batch._replace(inputs=jnp.maximum(batch.inputs, batch.inputs[..., -1:]))


FORMATS = {
    "default": Copy,
    "ntm_keras": functools.partial(Copy, min_length=5, format="ntm_keras"),
    "collier": CollierCopy,
}


class Setting(NamedTuple):
    """One row of a table."""

    name: str
    recipe: Recipe
    controller: str = "feed_forward"
    format: str = "default"


def settings(group: str) -> Iterator[Setting]:
    """Yields the settings of a group."""
    if group == "ladder":
        recipe = NAIVE
        yield Setting("naive", recipe)
        for key, change in LADDER.items():
            recipe = dataclasses.replace(recipe, **change)
            yield Setting(f"+ {key}", recipe)
    elif group == "without":
        for key, change in LADDER.items():
            naive = {name: getattr(NAIVE, name) for name in change}
            yield Setting(f"full without {key}", dataclasses.replace(FULL, **naive))
    elif group == "controllers":
        for controller in list(CONTROLLERS)[1:]:
            yield Setting(f"full, {controller}", FULL, controller)
            yield Setting(f"naive, {controller}", NAIVE, controller)
            yield Setting(f"README, {controller}", README, controller)
    elif group == "formats":
        for name in list(FORMATS)[1:]:
            yield Setting(f"full, {name}", FULL, format=name)
            yield Setting(f"naive, {name}", NAIVE, format=name)
    else:
        raise app.UsageError(f"--groups: unknown group {group!r}")


def train(group: str, setting: Setting, seeds: int, sequences: int) -> dict[str, Any]:
    """Trains and evaluates the seeds of a setting."""
    recipe, start = setting.recipe, time.monotonic()
    task = FORMATS[setting.format]()
    cell = NTMCell(task.output_features, CONTROLLERS[setting.controller](), _EVAL_SLOTS)
    eval_model, evaluations, params = NTM(cell), [], None
    for steps, params in train_seeds(cell, task, recipe, seeds, sequences):
        members = scoring.evaluate_members(eval_model, params, task, _LENGTHS, 64, seed=steps)
        errors = bit_errors(members)
        evaluations.append({"sequences": steps * recipe.batch_size, "bit_errors": errors})
        print(setting.name, steps * recipe.batch_size, errors["20"], errors["120"], flush=True)
    return {
        "group": group,
        **setting._asdict(),
        "recipe": dataclasses.asdict(recipe),
        "seeds": seeds,
        "eval_slots": _EVAL_SLOTS,
        "evaluations": evaluations,
        "heads": [
            read_head(eval_model, jax.tree.map(lambda leaf, i=i: leaf[i], params), task)
            for i in range(seeds)
        ],
        "seconds": round(time.monotonic() - start, 1),
        "host": cli.host(),
    }


def bit_errors(members: Sequence[Sequence[scoring.Result]]) -> dict[str, list[float]]:
    """Returns the bit errors per sequence of all members, by length."""
    return {
        str(results[0].size[0]): [round(result.bit_errors_per_sequence, 4) for result in results]
        for results in zip(*members, strict=True)
    }


def train_seeds(
    cell: NTMCell, task: Copy, recipe: Recipe, seeds: int, sequences: int
) -> Iterator[tuple[int, Any]]:
    """Trains seeds, and yields their parameters after every 2,000 sequences.

    Args:
      cell: the cell; the recipe has the numbers of slots in training.
      task: the task; the recipe has the probability of zero vectors in training.
      recipe: settings of the loop.
      seeds: number of seeds.
      sequences: number of training sequences per seed.

    Yields:
      The number of training steps, and the parameters to evaluate, with a leading axis of seeds.
    """
    train_task = dataclasses.replace(task, zero_vector_prob=recipe.zero_vector_prob)
    models = [
        NTM(
            cell.clone(num_slots=num_slots),
            remat=True,  # faster on a CPU, with the same gradient
            addressing_noise_std=recipe.addressing_noise_std,
            deterministic=False,
        )
        for num_slots in recipe.num_slots
    ]
    optimizer = optimizers.adam(
        recipe.learning_rate, recipe.half_life, recipe.b2, recipe.eps, recipe.max_grad_norm
    )

    def init(key: jax.Array) -> Any:
        params = NTM(cell).init(key, jnp.zeros((1, 1, task.input_features)))["params"]
        return params, params, optimizer.init(params)

    def step(model: NTM, state: Any, key: jax.Array, index: jax.Array) -> Any:
        params, average, optimizer_state = state
        batch_key, noise_key = jax.random.split(jax.random.fold_in(key, index))
        batch = train_task.sample(batch_key, recipe.batch_size)
        weights = jnp.where(batch.mask, 1.0, task.unmasked_weight)

        def loss_fn(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, batch.inputs, rngs={"dropout": noise_key})
            return losses.bit_cross_entropy(logits, batch.targets, weights)

        grads = jax.grad(loss_fn)(params)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, params)
        params = optax.apply_updates(params, updates)
        weight = (1 - recipe.ema_decay) / (1 - recipe.ema_decay ** (index + 1))
        average = optax.incremental_update(params, average, weight)
        return params, average, optimizer_state

    num_models = len(models)
    num_steps = _EVAL_EVERY // recipe.batch_size // num_models * num_models

    @jax.jit
    def run(states: Any, keys: jax.Array, start: jax.Array) -> Any:
        def one_seed(state_and_key: tuple[Any, jax.Array]) -> Any:
            state, key = state_and_key

            def body(state: Any, index: jax.Array) -> Any:
                for offset, model in enumerate(models):
                    state = step(model, state, key, index + offset)
                return state, None

            indices = start + jnp.arange(0, num_steps, num_models)
            return jax.lax.scan(body, state, indices)[0]

        return jax.lax.map(one_seed, (states, keys), batch_size=_SEEDS_AT_ONCE)

    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    states = jax.vmap(init)(jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys))
    for index in range(0, sequences // recipe.batch_size - num_steps + 1, num_steps):
        states = run(states, keys, index)
        yield index + num_steps, states[1]


def read_head(model: NTM, params: Any, task: Copy) -> dict[str, dict[str, float]]:
    """Returns what the first read head does at lengths 20 and 120, as means over 16 sequences.

    "gate" is the gate at the step before the answer, at which the head has to find the start of the
    sequence; "shift" is the mean shift before that step, in slots per step.
    """
    result = {}
    for length in (20, 120):
        batch = task.sample_size(jax.random.key(cli.SEED), 16, length)
        heads = trace(model, params, batch.inputs)[1].interface.read
        last = int(jnp.argmax(batch.mask[0])) - 1
        shifts = heads.shift[:, :last, 0] @ jnp.arange(-1, 2)
        gate = float(jnp.mean(heads.gate[:, last, 0]))
        result[str(length)] = {"gate": round(gate, 4), "shift": round(float(shifts.mean()), 4)}
    return result


def run_readme(seed: int) -> dict[str, Any]:
    """Runs the code of README.md with a seed, and evaluates its parameters on other sequences."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", (cli.ROOT / "README.md").read_text(), re.S))
    code, count = re.subn(r"jax\.random\.key\([01]\)", f"jax.random.key({seed})", code)
    if count != 3:
        raise ValueError(f"README.md: expected 3 random keys, got {count}")
    start, names = time.monotonic(), {}
    exec(code, names)
    seconds = round(time.monotonic() - start, 1)
    model, lengths = names["NTM"](names["cell"]), list(_LENGTHS)
    scores = scoring.evaluate(model, names["params"], names["task"], lengths, seed=cli.SEED)
    errors = {str(score.size[0]): score.bit_errors_per_sequence for score in scores}
    return {"seed": seed, "bit_errors": errors, "seconds": seconds, "host": cli.host()}


def main(argv: list[str]) -> None:
    """Trains the settings that have no stored line."""
    del argv
    for seed in map(int, _README.value):
        if not results.find("readme", seed=seed):
            results.append("readme", run_readme(seed))
    compilation_cache.set_fast_compile_flags()
    for group in () if _README.value else _GROUPS.value:
        for setting in settings(group):
            if not results.find("own_loop", name=setting.name):
                results.append("own_loop", train(group, setting, _SEEDS.value, _SEQUENCES.value))


if __name__ == "__main__":
    app.run(main)
