"""The programs of ntm_jax to time, on the copy task at one length."""

import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.speed.harness import Candidate
from ntm_jax import models
from ntm_jax.tasks import losses
from ntm_jax.training import config as configs
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.trainer import Trainer

__all__ = [
    "BFLOAT16",
    "CONTROLLERS",
    "LSTM",
    "NTM",
    "candidates",
    "flax_lstm",
    "make_config",
    "ntm",
]

NTM, BFLOAT16 = "ntm_jax", "ntm_jax (bfloat16)"
LSTM = "flax RNN(OptimizedLSTMCell)"
CONTROLLERS = ("feed_forward", "lstm")
SEED, LEARNING_RATE = 1, 1e-4
LENGTH, NUM_BITS, HIDDEN_SIZE, NUM_SLOTS, SLOT_WIDTH = 20, 8, 100, 128, 20
NUM_TIME_STEPS = 2 * LENGTH + 1
# Sequences per dispatch of training, so that its overhead is small and a dispatch is short.
_SEQUENCES_PER_DISPATCH = 512

Run = Callable[[], tuple[float, float]]


class LSTMBaseline(nn.Module):
    """Flax's LSTM and a dense layer, from inputs [B, T, I] to logits [B, T, O].

    Attributes:
      features: O.
    """

    features: int

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Returns the logits."""
        hidden = nn.RNN(nn.OptimizedLSTMCell(HIDDEN_SIZE))(inputs)
        return nn.Dense(self.features)(hidden)


def make_config(controller: str, batch_size: int, num_seeds: int) -> ConfigDict:
    """Returns the config of a candidate, close to what pytorch-ntm does."""
    config = configs.default("copy", "ntm")
    config.update(seed=SEED, num_seeds=num_seeds, batch_size=batch_size)
    config.update(optimizer="rmsprop_graves2013", learning_rate=LEARNING_RATE)
    config.update(learning_rate_half_life=0, ema_decay=0.0)
    config.task.update(min_length=LENGTH, max_length=LENGTH, num_bits=NUM_BITS)
    config.model.update(controller=controller, hidden_sizes=(HIDDEN_SIZE,))
    config.model.controller_init = "learned" if controller == "lstm" else "zero"
    config.model.update(num_slots=NUM_SLOTS, train_num_slots=(), slot_width=SLOT_WIDTH)
    config.model.update(num_read_heads=1, num_write_heads=1)
    return config


def ntm(
    controller: str, batch_size: int, num_seeds: int = 1, dtype: str = "float32"
) -> list[Candidate]:
    """Returns training and forward passes of an NTM, compiled."""
    config = make_config(controller, batch_size, num_seeds)
    config.model.dtype = dtype
    experiment = Experiment.from_config(config)
    facts = {"system": NTM if dtype == "float32" else BFLOAT16, "controller": controller}
    return candidates(experiment.model, experiment, config, facts)


def flax_lstm(batch_size: int) -> list[Candidate]:
    """Returns training and forward passes of an LSTM, compiled."""
    config = make_config("lstm", batch_size, 1)
    experiment = Experiment.from_config(config)
    model = LSTMBaseline(experiment.task.output_features)
    return candidates(model, experiment, config, {"system": LSTM, "controller": None})


def candidates(
    model: nn.Module, experiment: Experiment, config: ConfigDict, facts: dict[str, Any]
) -> list[Candidate]:
    """Returns training and forward passes of a model, compiled; `facts` describe it."""
    batch_size, num_seeds = config.batch_size, config.num_seeds
    seeds = configs.member_seeds(config)
    trainer = Trainer([model], experiment.task, experiment.optimizer, batch_size, seeds)
    state = trainer.init()
    facts = facts | {
        "batch_size": batch_size,
        "num_seeds": num_seeds,
        "devices": str(trainer.mesh),
        "num_params": models.num_params(state.params) // num_seeds,
    }
    name = f"{facts['system']}, {facts['controller']}, batch {batch_size}, seeds {num_seeds}"
    params = jax.tree.map(jnp.copy, state.params)  # training donates its state
    programs = {
        "training": _training(trainer, state, batch_size * num_seeds),
        "forward": _forward(model, trainer, params, batch_size),
    }
    return [
        Candidate(f"{name}, {program}", run, facts | more | {"program": program})
        for program, (run, more) in programs.items()
    ]


def _training(trainer: Trainer, state: Any, sequences: int) -> tuple[Run, dict[str, Any]]:
    """Returns training steps, and what describes them; `sequences` are those of one step."""
    num_steps = max(1, min(100, _SEQUENCES_PER_DISPATCH // sequences))
    start = time.perf_counter()
    trainer.compile(state, num_steps)
    compile_seconds = time.perf_counter() - start

    def run() -> tuple[float, float]:
        nonlocal state
        state, metrics = trainer.run(state, num_steps)
        return num_steps * sequences, float(np.mean(jax.device_get(metrics).loss[-1]))

    return run, {"compile_seconds": compile_seconds, "batches_per_dispatch": num_steps}


def _forward(
    model: nn.Module, trainer: Trainer, params: Any, batch_size: int
) -> tuple[Run, dict[str, Any]]:
    """Returns forward passes as in `scoring`: all members on one sampled batch, errors counted."""
    mesh, key, task = trainer.mesh, jax.random.key(SEED), trainer.setup.task
    num_seeds = len(jax.tree.leaves(params)[0])

    def apply(params: Any, inputs: jax.Array) -> jax.Array:
        return model.apply({"params": params}, inputs)

    def forward(params: Any, index: jax.Array) -> jax.Array:
        sampled = task.sample_size(jax.random.fold_in(key, index), batch_size, LENGTH)
        batch = mesh.shard_batch(sampled)
        logits = mesh.vmap_members(mesh.shard_map_batch(apply), (0, None))(params, batch.inputs)
        errors = jax.vmap(losses.bit_errors, (0, None, None))(logits, batch.targets, batch.mask)
        return jnp.mean(errors)

    start = time.perf_counter()
    compiled = jax.jit(forward).lower(params, np.int32(0)).compile()
    compile_seconds = time.perf_counter() - start
    index = 0

    def run() -> tuple[float, float]:
        nonlocal index
        index += 1
        errors = jax.device_get(compiled(params, np.int32(index)))
        return batch_size * num_seeds, float(errors)

    return run, {"compile_seconds": compile_seconds, "batches_per_dispatch": 1}
