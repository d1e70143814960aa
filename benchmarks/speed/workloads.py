"""The work that all contestants do: the copy task at one length, and who of ours does it."""

import time
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.speed.rounds import Contestant
from ntm_jax import models
from ntm_jax.tasks import losses
from ntm_jax.training import experiment
from ntm_jax.training import config as configs
from ntm_jax.tasks.base import Task
from ntm_jax.training.train_step import Updates

__all__ = ["PlainLSTM", "ntm", "plain_lstm"]

OURS, OURS_IN_BFLOAT16 = "ntm_jax", "ntm_jax in bfloat16"
PLAIN = "flax RNN(OptimizedLSTMCell)"
CONTROLLERS = ("feed_forward", "lstm")
SEED, LEARNING_RATE = 1, 1e-4
LENGTH, BITS, UNITS, SLOTS, WIDTH = 20, 8, 100, 128, 20
STEPS = 2 * LENGTH + 1
# In one dispatch of training: enough that starting it does not count, few enough that a turn ends.
_SEQUENCES = 512


class PlainLSTM(nn.Module):
    """Flax's own LSTM over a sequence [B, T, I], and a dense layer: logits [B, T, O].

    Attributes:
      features: O.
      units: H.
    """

    features: int
    units: int = UNITS

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Runs the sequence."""
        hidden = nn.RNN(nn.OptimizedLSTMCell(self.units))(inputs)
        return nn.Dense(self.features)(hidden)


def settings(controller: str, batch_size: int, num_seeds: int) -> ConfigDict:
    """The config of a contestant of ours; its task and its optimizer are those of all."""
    config = configs.default("copy", "ntm")
    config.update(seed=SEED, num_seeds=num_seeds, batch_size=batch_size)
    # Of what the peer can do, what is nearest to it; the average of the parameters is not.
    config.update(optimizer="graves_rmsprop", learning_rate=LEARNING_RATE)
    config.update(learning_rate_half_life=0, ema_decay=0.0)
    config.task.update(min_length=LENGTH, max_length=LENGTH, num_bits=BITS)
    config.model.update(controller=controller, hidden_sizes=(UNITS,))
    config.model.controller_start = "learned" if controller == "lstm" else "zero"
    config.model.update(num_slots=SLOTS, train_slots=(), slot_width=WIDTH)
    config.model.update(num_read_heads=1, num_write_heads=1)
    configs.validate(config)
    return config


def ntm(
    controller: str, batch_size: int, num_seeds: int = 1, dtype: str = "float32"
) -> list[Contestant]:
    """ntm_jax, training and forward, made from a config as training makes it, and compiled."""
    config = settings(controller, batch_size, num_seeds)
    config.model.dtype = dtype
    system = OURS if dtype == "float32" else OURS_IN_BFLOAT16
    facts = {"system": system, "controller": controller, "settings": config.to_dict()}
    return _contestants(experiment.make_model(config), config, facts)


def plain_lstm(batch_size: int) -> list[Contestant]:
    """Flax's LSTM, training and forward, in place of the machine: what a plain cell costs."""
    config = settings("lstm", batch_size, 1)
    facts = {"system": PLAIN, "controller": None}
    return _contestants(PlainLSTM(experiment.make_task(config).output_features), config, facts)


def _contestants(model: nn.Module, config: ConfigDict, facts: dict[str, Any]) -> list[Contestant]:
    batch_size, num_seeds = config.batch_size, config.num_seeds
    task, optimizer = experiment.make_task(config), experiment.make_optimizer(config)
    updates = Updates([model], task, optimizer, batch_size, configs.seeds(config))
    state = updates.init()
    facts = facts | {
        "batch_size": batch_size,
        "num_seeds": num_seeds,
        "devices": str(updates.devices),
        "num_params": models.num_params(state.params) // num_seeds,
    }
    names = (facts["system"], facts["controller"], f"batch {batch_size}", f"seeds {num_seeds}")
    name = ", ".join(word for word in names if word)
    # Before training, which uses the state up.
    forward = _forward(model, task, updates, batch_size, jax.tree.map(jnp.copy, state.params))
    advances = {"training": _training(updates, state, batch_size * num_seeds), "forward": forward}
    return [
        Contestant(f"{name}, {work}", advance, facts | more | {"work": work})
        for work, (advance, more) in advances.items()
    ]


def _training(updates: Updates, state: Any, sequences: int) -> tuple[Any, dict[str, Any]]:
    num_updates = max(1, min(100, _SEQUENCES // sequences))
    began = time.perf_counter()
    updates.compile(state, num_updates)
    compile_seconds = time.perf_counter() - began

    def advance() -> tuple[float, float]:
        nonlocal state
        state, measured = updates.run(state, num_updates)
        return num_updates * sequences, float(np.mean(jax.device_get(measured).loss[-1]))

    return advance, {"compile_seconds": compile_seconds, "batches_in_a_dispatch": num_updates}


def _forward(
    model: nn.Module, task: Task, updates: Updates, batch_size: int, params: Any
) -> tuple[Any, dict[str, Any]]:
    """As `ntm_jax.evaluation` runs it: sampling, all members on one batch, wrong bits counted."""
    devices, key = updates.devices, jax.random.key(SEED)
    num_seeds = len(jax.tree.leaves(params)[0])

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        return model.apply({"params": params}, inputs)

    def run(params: Any, count: jax.Array) -> jax.Array:
        sampled = task.sample_at(jax.random.fold_in(key, count), batch_size, LENGTH)
        batch = devices.shard_batch(sampled)
        logits = devices.over_members(devices.over_batch(apply), (0, None))(params, batch.inputs)
        errors = jax.vmap(losses.bit_errors, (0, None, None))(logits, batch.targets, batch.mask)
        return jnp.mean(errors)

    began = time.perf_counter()
    compiled = jax.jit(run).lower(params, np.int32(0)).compile()
    compile_seconds = time.perf_counter() - began
    count = 0

    def advance() -> tuple[float, float]:
        nonlocal count
        count += 1
        errors = jax.device_get(compiled(params, np.int32(count)))
        return batch_size * num_seeds, float(errors)

    return advance, {"compile_seconds": compile_seconds, "batches_in_a_dispatch": 1}
