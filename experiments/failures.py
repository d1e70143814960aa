"""Trains a model that learns copy and four that do not, and records what their traces show.

    python -m experiments.failures

failures.jsonl gets one line per model: for each seed the bit errors, the signs of the heads, and
the change of the outputs when the memory is replaced before the answer; and the trace of the seed
with the most bit errors. All but the bit errors are measured at the longest training length. A
model that has a line is not trained again. docs/failures.png shows the traces, docs/debugging.md
has the table.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from experiments import cli, own_loop, results
from ntm_jax import LSTM, NTM, FeedForward, NTMCell
from ntm_jax.cell import uniform_weighting
from ntm_jax.evaluation import plots, scoring, traces
from ntm_jax.runtime import compilation_cache
from ntm_jax.tasks.copy import Copy

_NAMES = flags.DEFINE_list("models", None, "Models to train; all if not given.")

LENGTHS = (10, 20, 40, 120)
_NUM_SEEDS = 3


class Setting(NamedTuple):
    """A model; the defaults are those of the loop in README.md."""

    title: str
    change: str = "none"
    cell: Mapping[str, Any] = MappingProxyType({})
    recipe: own_loop.Recipe = own_loop.README
    max_length: int = 20
    sequences: int = 16_000


# All slots are equal, and stay equal.
_UNIFORM = {"memory_init": nn.initializers.constant(1e-6), "head_init": uniform_weighting}
_SMALL = dataclasses.replace(
    own_loop.NAIVE, batch_size=16, learning_rate=2e-3, max_grad_norm=1.0, num_slots=(16,)
)
SETTINGS = {
    "working": Setting("working model"),
    "fixed": Setting("fixed heads", "max_shift = 0", {"max_shift": 0}),
    "blurred": Setting("blurred heads", "constant memory, uniform weightings", _UNIFORM),
    "unused": Setting(
        "unused memory",
        "constant memory, uniform weightings, LSTM controller, lengths 1 to 3",
        {"controller": LSTM(256)} | _UNIFORM,
        _SMALL,
        max_length=3,
        sequences=48_000,
    ),
    "plateau": Setting("plateau", "naive loop", recipe=own_loop.NAIVE),
}


def main(argv: list[str]) -> None:
    """Trains the models that have no stored line, and draws docs/failures.png."""
    del argv
    compilation_cache.set_fast_compile_flags()
    for name in _NAMES.value or SETTINGS:
        if not results.find("failures", name=name):
            results.append("failures", train(name, SETTINGS[name], _NUM_SEEDS))
    draw(results.read("failures")).savefig(cli.ROOT / "docs" / "failures.png")


def train(name: str, setting: Setting, seeds: int) -> dict[str, Any]:
    """Trains and evaluates the seeds of a model."""
    start, task = time.monotonic(), Copy(max_length=setting.max_length)
    cell = NTMCell(**{"features": 8, "controller": FeedForward((100,)), **setting.cell})
    *_, (steps, all_params) = own_loop.train_seeds(
        cell, task, setting.recipe, seeds, setting.sequences
    )
    model, lengths = NTM(cell), sorted({setting.max_length, *LENGTHS})
    members = scoring.evaluate_members(model, all_params, task, lengths, seed=cli.SEED)
    last = lengths.index(setting.max_length)
    worst = int(np.argmax([member[last].bit_errors_per_sequence for member in members]))
    models = [jax.tree.map(lambda leaf, i=i: leaf[i], all_params) for i in range(seeds)]
    size = (setting.max_length,)
    examples = [traces.trace_example(model, params, task, size, cli.SEED) for params in models]
    return {
        "name": name,
        **{key: getattr(setting, key) for key in ("title", "change", "max_length")},
        "recipe": dataclasses.asdict(setting.recipe),
        "seeds": seeds,
        "sequences": steps * setting.recipe.batch_size,
        "bit_errors": own_loop.bit_errors(members),
        "cost": [
            round(member[last].bits_per_sequence / (8 * setting.max_length), 4)
            for member in members
        ],
        "heads": [*map(head_signs, examples)],
        "changed_outputs": [replace_memory(model, params, task) for params in models],
        "worst_seed": worst,
        "trace": _percent(examples[worst]),
        "seconds": round(time.monotonic() - start, 1),
        "host": cli.host(),
    }


def head_signs(example: traces.ExampleTrace) -> dict[str, dict[str, float]]:
    """Returns the signs of the first "read" and "write" head.

    "movement" (absolute, in slots per step), "entropy" (in bits), "gate" and "content_share" are
    means over the steps of the input and of the answer; "gate_at_delimiter" is the gate between.
    """
    first = example.first_scored_step
    phases = {"input": slice(0, first - 1), "answer": slice(first, None)}
    signs: dict[str, dict[str, float]] = {}
    for kind, analysis in traces.analyze_heads(example).items():
        gate = getattr(example.steps.interface, kind).gate
        values = {
            "movement": jnp.abs(analysis.movement),
            "entropy": analysis.entropy,
            "gate": gate,
            "content_share": analysis.content_share,
        }
        signs[kind] = {"gate_at_delimiter": round(float(gate[first - 1, 0]), 4)} | {
            f"{sign}_{phase}": round(float(jnp.mean(value[steps, 0])), 4)
            for sign, value in values.items()
            for phase, steps in phases.items()
        }
    return signs


def replace_memory(model: NTM, params: Any, task: Copy) -> float:
    """Returns the mean change of the outputs if the memory is replaced before the answer.

    Each of the 64 sequences gets the memory of another one.
    """
    batch = task.sample_size(jax.random.key(cli.SEED), 64, task.max_length)
    variables, first = {"params": params}, task.max_length + 1
    state, _ = model.apply(variables, batch.inputs[:, :first], return_carry=True)
    own, other = (
        jax.nn.sigmoid(
            model.apply(
                variables, batch.inputs[:, first:], initial_carry=state._replace(memory=memory)
            )
        )
        for memory in (state.memory, jnp.roll(state.memory, 1, axis=0))
    )
    return round(float(jnp.mean(jnp.abs(own - other))), 4)


def _percent(example: traces.ExampleTrace) -> dict[str, Any]:
    """Returns what the figure shows, in percent: arrays [T, slots] and, at scored steps, [L, O]."""
    write, read = example.steps.write_weights, example.steps.read_weights
    start, stop = plots.used_slots(np.concatenate([write, read], axis=1))
    slots = np.arange(start, stop) % write.shape[-1]
    arrays = {
        "write": write[:, 0, slots],
        "read": read[:, 0, slots],
        "targets": example.targets[example.mask],
        "outputs": example.outputs[example.mask],
    }
    return {"first_slot": int(start)} | {
        name: np.round(100 * np.asarray(array)).astype(int).tolist()
        for name, array in arrays.items()
    }


def draw(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws a row for each model: the weightings of its worst seed, targets and outputs."""
    figure = Figure((9, 0.5 + 1.5 * len(lines)), dpi=110, layout="constrained")
    panels = figure.subplots(len(lines), 4, squeeze=False, width_ratios=[2, 2, 1, 1])
    weighting, bits = ("viridis", PowerNorm(0.5, 0, 1)), ("gray", Normalize(0, 1))
    for line, row in zip(lines, panels, strict=True):
        shown, length = line["trace"], line["max_length"]
        slots, scored = (*weighting, shown["first_slot"], 0), (*bits, 0, length + 1)
        columns = {"write": slots, "read": slots, "targets": scored, "outputs": scored}
        for axes, (key, style) in zip(row, columns.items(), strict=True):
            plots.imshow(axes, np.array(shown[key]) / 100, *style)
            axes.tick_params(labelsize=8)
            axes.locator_params(integer=True, nbins=4)
            axes.set_title(key if style is scored else f"{key} weighting", fontsize=9)
        for axes in row[:2]:
            plots.number_slots(axes, 128)
            axes.axvline(length + 0.5, color="red", linewidth=1, linestyle="--")
        row[0].set_ylabel(f"{line['title']}\nslot", fontsize=9)
        row[2].set_ylabel("bit", fontsize=9)
        wrong = (np.array(shown["outputs"]) > 50) != (np.array(shown["targets"]) > 50)
        row[3].set_title(f"outputs, {wrong.sum()} wrong", fontsize=9)
    figure.colorbar(panels[0, 1].images[0], ax=panels[:, 1], label="weight", pad=0.01)
    figure.supxlabel("time step (dashed line: first scored step)", fontsize=9)
    return figure


if __name__ == "__main__":
    app.run(main)
