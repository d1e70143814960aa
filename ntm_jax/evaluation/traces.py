"""The trace of one example, and an analysis of its heads.

T is the number of time steps, H of read or write heads, N of memory slots.
"""

import collections
import functools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntm_jax import addressing, models
from ntm_jax.addressing import AddressParameters
from ntm_jax.cell import NTMState, StepTrace
from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.heads import Interface
from ntm_jax.models import NTM
from ntm_jax.runtime import files
from ntm_jax.tasks.base import Size, Task

__all__ = [
    "ExampleTrace",
    "HeadAnalysis",
    "analyze_heads",
    "as_arrays",
    "circular_mean",
    "entropy_bits",
    "load_trace",
    "load_training",
    "save_trace",
    "trace_example",
    "traced_size",
]

_STATE_FIELDS = ("memory", "read_weights", "write_weights", "read_vectors")
_MAX_TRACE_STEPS = 60  # longer sequences have steps too narrow to tell apart


class ExampleTrace(NamedTuple):
    """One example, the outputs of a model, and its memory access.

    Attributes:
      inputs: [T, I].
      targets: [T, O].
      mask: [T], true at the steps whose outputs are scored.
      outputs: [T, O], probabilities.
      steps: the memory access, leaves [T, ...].
      initial: the state before the first step, without a batch axis.
    """

    inputs: jax.Array
    targets: jax.Array
    mask: jax.Array
    outputs: jax.Array
    steps: StepTrace
    initial: NTMState

    @property
    def first_scored_step(self) -> int:
        """The first step whose outputs are scored."""
        return int(np.argmax(self.mask))


class HeadAnalysis(NamedTuple):
    """Analysis of the weightings of the read heads or of the write heads.

    Attributes:
      content_weights: w_c, the content weighting of equation 5, [T, H, N].
      entropy: of the weighting, in bits, [T, H]; 0 for one slot, log2(N) for all equally.
      position: circular center of mass of the weighting, in slots, in [0, N), [T, H].
      movement: change of the position since the previous step, or since the initial weighting, in
        slots, in [-N / 2, N / 2), [T, H].
      content_share: share of the weighting that came from the content weighting and not from the
        previous one, in [0, 1], [T, H]: sum_i w(i) r(i), where r(i) is the part of w~(i) in
        equation 8 that comes from g w_c.
    """

    content_weights: jax.Array
    entropy: jax.Array
    position: jax.Array
    movement: jax.Array
    content_share: jax.Array


def trace_example(model: NTM, params: Any, task: Task, size: Size, seed: int) -> ExampleTrace:
    """Runs an NTM on one example of a size.

    Args:
      model: the NTM.
      params: the parameters of `model`.
      task: the task of the example.
      size: the size of the example.
      seed: seed of the example.

    Returns:
      The trace, without a batch axis.

    Raises:
      TypeError: the model is no NTM.
    """
    key = functools.reduce(jax.random.fold_in, size, jax.random.key(seed))
    return _trace_example(model, task, size, params, key)


# One program, which compiles faster than its operations one by one.
@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _trace_example(model: NTM, task: Task, size: Size, params: Any, key: jax.Array) -> ExampleTrace:
    inputs, targets, mask = (array[0] for array in task.sample_size(key, 1, *size))
    logits, steps = models.trace(model, params, inputs)
    initial: Any = model.apply({"params": params}, inputs.shape[-1:], method="make_initial_carry")
    return ExampleTrace(inputs, targets, mask, task.probabilities(logits), steps, initial)


def traced_size(task: Task, sizes: Sequence[Size]) -> Size:
    """Returns the largest of the sizes with at most 60 steps, or else the smallest size."""
    sample, key = task.sample_size, jax.random.key(0)
    steps = {
        size: jax.eval_shape(functools.partial(sample, key, 1, *size)).inputs.shape[1]
        for size in sizes
    }
    short = [size for size in sizes if steps[size] <= _MAX_TRACE_STEPS]
    return max(short, key=steps.__getitem__) if short else min(sizes, key=steps.__getitem__)


@jax.jit  # compiles faster than its operations one by one
def analyze_heads(example: ExampleTrace) -> dict[str, HeadAnalysis]:
    """Returns the analysis of the "read" and of the "write" heads; needs no controller's carry."""
    steps, initial = example.steps, example.initial
    heads = steps.interface
    # Write heads address the memory before writing, read heads the memory after writing.
    before = jnp.concatenate([initial.memory[None], steps.memory[:-1]])
    return {
        "read": _analyze(steps.memory, heads.read, initial.read_weights, steps.read_weights),
        "write": _analyze(before, heads.write, initial.write_weights, steps.write_weights),
    }


def _analyze(
    memory: jax.Array, heads: AddressParameters, initial: jax.Array, weights: jax.Array
) -> HeadAnalysis:
    """Analyzes heads, [T, H], that address a memory, [T, N, M]."""

    def content(memory: jax.Array, previous: jax.Array, head: AddressParameters) -> Any:
        content = addressing.content_weights(memory, head.key, head.strength)
        gated = addressing.interpolate(content, previous, head.gate)
        shifted = addressing.shift(head.gate * content, head.shift)
        return content, shifted / jnp.maximum(addressing.shift(gated, head.shift), 1e-30)

    weightings, half = jnp.concatenate([initial[None], weights]), weights.shape[-1] / 2
    per_head = jax.vmap(jax.vmap(content, (None, 0, 0)))
    content_weights, shares = per_head(memory, weightings[:-1], heads)
    position = circular_mean(weightings)
    movement = (jnp.diff(position, axis=0) + half) % (2 * half) - half
    share = jnp.sum(weights * shares, axis=-1)
    return HeadAnalysis(content_weights, entropy_bits(weights), position[1:], movement, share)


def entropy_bits(weights: jax.Array) -> jax.Array:
    """Returns the entropy in bits of weightings, [..., N]: -sum_i w(i) log2 w(i)."""
    return -jnp.sum(weights * jnp.log2(jnp.where(weights > 0, weights, 1.0)), axis=-1)


def circular_mean(weights: jax.Array) -> jax.Array:
    """Returns the circular center of mass in slots of weightings, [..., N], in [0, N).

    The slots lie on a circle; the center is the angle of sum_i w(i) exp(2 pi j i / N). It is not
    meaningful if the entropy is near log2(N).
    """
    num_slots = weights.shape[-1]
    angles = jnp.arange(num_slots, dtype=jnp.float32) * (2 * jnp.pi / num_slots)
    angle = jnp.arctan2(weights @ jnp.sin(angles), weights @ jnp.cos(angles))
    return angle / (2 * jnp.pi) * num_slots % num_slots


def as_arrays(example: ExampleTrace) -> dict[str, jax.Array]:
    """Returns all arrays of an example, by name.

    Head parameters and the initial state have a prefix: "read_gate", [T, R]; "initial_memory".
    """
    interface = example.steps.interface
    arrays = {**example._asdict(), **example.steps._asdict(), **interface._asdict()}
    arrays = {name: array for name, array in arrays.items() if not isinstance(array, tuple)}
    arrays |= {f"initial_{name}": getattr(example.initial, name) for name in _STATE_FIELDS}
    for kind in ("read", "write"):
        parameters = getattr(interface, kind)._asdict()
        arrays |= {f"{kind}_{name}": value for name, value in parameters.items()}
    return arrays


def save_trace(example: ExampleTrace, path: Path) -> None:
    """Writes an example and the analysis of its heads to a compressed .npz file.

    `numpy.load` reads it without pickle. The names are those of `as_arrays`, and the fields of
    `HeadAnalysis` after "read_" and "write_".

    Raises:
      OSError: the file cannot be written.
    """
    arrays = as_arrays(example)
    for kind, analysis in analyze_heads(example).items():
        arrays |= {f"{kind}_{name}": value for name, value in analysis._asdict().items()}
    files.write_npz(path, arrays)


def load_trace(path: Path) -> ExampleTrace:
    """Reads a trace written by `save_trace` or by training with `trace_every_evals`.

    Returns:
      NumPy arrays. The controller's carry in the initial state is not stored: it is `()`.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is not a trace.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[ExampleTrace, dict[str, np.ndarray]]:
    """Reads a trace, and returns with it all arrays of the file."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path}: expected a trace of an example, got no .npz file")
    try:
        with np.load(path) as archive:
            arrays = dict(archive)
        initial = NTMState((), *(arrays[f"initial_{name}"] for name in _STATE_FIELDS))
        read, write = (
            AddressParameters(*(arrays[f"{kind}_{name}"] for name in AddressParameters._fields))
            for kind in ("read", "write")
        )
        interface = Interface(read, write, arrays["erase"], arrays["add"])
        steps = StepTrace(interface, *(arrays[name] for name in StepTrace._fields[1:]))
        inputs, targets, mask, outputs = (arrays[name] for name in ExampleTrace._fields[:4])
        return ExampleTrace(inputs, targets, mask, outputs, steps, initial), arrays
    except OSError:
        raise
    except Exception as error:  # NumPy raises errors of many kinds for a damaged file
        detail = files.one_line(error)
        raise ValueError(f"{path}: expected a trace of an example, got: {detail}") from error


def load_training(
    trained: TrainedModel,
) -> tuple[dict[int, ExampleTrace], dict[str, list[float]]]:
    """Reads the traces of a model in training, which `train.py --trace_every_evals` writes.

    Args:
      trained: the model; training traces the first member of an ensemble alone.

    Returns:
      The traces, by completed training steps, and the root mean square of each parameter after
      these steps, by name; both are empty if there are no traces of the first member.

    Raises:
      OSError: a file cannot be read.
      ValueError: a file is not a trace.
    """
    examples, params = {}, collections.defaultdict(list)
    if trained.workdir is not None and trained.seeds[0] == trained.config["seed"]:
        paths = (trained.workdir / "traces").glob("*.npz")
        steps = {int(path.stem): path for path in paths if path.stem.isdigit()}
        for step, path in sorted(steps.items()):
            if step > int(Path(trained.checkpoint).name):
                break  # written after the checkpoint
            examples[step], arrays = _load(path)
            for name, values in arrays.items():
                if name.startswith("params/"):
                    params[name.removeprefix("params/")].append(float(values[0]))
    return examples, dict(params)
