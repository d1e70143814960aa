"""A page that runs a trained NTM in the browser: one file, without a network.

The page has the parameters, and computes the model itself, so that the reader can change the
sequence, its length and the number of slots. page.html is its template.
"""

import base64
import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.evaluation.trained_model import TrainedModel
from ntm_jax.models import NTM
from ntm_jax.runtime import files
from ntm_jax.tasks.base import Size

__all__ = ["write_page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_MAX_SLOTS = 512  # of the control in the page
_ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "sigmoid": nn.sigmoid}
_TITLES = {"ngrams": "dynamic N-grams"}
_DESCRIPTIONS = {
    "copy": "reads a sequence of bits, and then repeats it from its memory",
    "repeat_copy": "reads a sequence of bits and a number, and repeats the sequence that often",
    "associative_recall": "reads a list of items, then one of them again, and answers with the "
    "item that followed it",
    "ngrams": "reads random bits, and predicts each bit from those before it",
    "priority_sort": "reads vectors with priorities, and answers with the vectors in order",
}


def write_page(trained: TrainedModel, size: Size, path: Path, seed: int) -> None:
    """Writes a page that runs the first member of a trained NTM.

    Args:
      trained: the model.
      size: the size of the sequence that the page shows first.
      path: the file.
      seed: seed of that sequence.

    Raises:
      ValueError: the model is no NTM, or the page cannot compute its controller or its outputs.
      OSError: the file cannot be written.
    """
    model, task = trained.model, trained.task
    if not isinstance(model, NTM):
        raise ValueError(f"expected a model with a memory, got {trained.config['model']['name']}")
    if task.unit != "bit":
        raise ValueError(f"expected a task whose targets are bits, got {trained.name}")
    cell, params = model.cell, trained.first_params
    if type(cell) is not NTMCell or cell.output_activation is not None:
        raise ValueError(
            "expected an NTMCell without output_activation, which the page computes, got another "
            "cell or an activation"
        )
    key = functools.reduce(jax.random.fold_in, size, jax.random.key(seed))
    batch = task.sample_size(key, 1, *size)
    state, slots_change = _initial_state(model, params, task.input_features)
    arrays = {**traverse_util.flatten_dict(params["cell"], sep="/"), **state}
    blob, layout = _pack(arrays)
    name = trained.config["task"]["name"]
    data = {
        "task": {"name": name, **dataclasses.asdict(task)},  # type: ignore[call-overload]
        "size": dict(zip(task.size_axes, size, strict=True)),
        "example": {
            field: np.asarray(value[0]).tolist() for field, value in batch._asdict().items()
        },
        "random": name == "ngrams",
        "controller": _controller(cell.controller),
        "read_heads": cell.num_read_heads,
        "write_heads": cell.num_write_heads,
        "slot_width": cell.slot_width,
        "max_shift": cell.max_shift,
        "slots": cell.num_slots,
        "slots_change": slots_change,
        "output_from_reads": cell.output_from_reads,
        "arrays": layout,
        "floats": base64.b64encode(blob).decode(),
    }
    replacements = {
        "title": f"Neural Turing Machine: {_TITLES.get(name, name.replace('_', ' '))}",
        "description": _DESCRIPTIONS.get(name, f"was trained on the task {name}"),
        "data": json.dumps(data).replace("<", "\\u003c"),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    for placeholder, text in replacements.items():
        page = page.replace("{{" + placeholder + "}}", text)
    files.write_file(path, page)


def _initial_state(
    model: NTM, params: Any, input_features: int
) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the state before the first step, and whether the page can change the slots.

    It can if a larger memory only adds equal slots with weight zero.
    """

    def state(num_slots: int) -> Any:
        sized = model.clone(cell=model.cell.clone(num_slots=num_slots))
        carry = sized.apply({"params": params}, (input_features,), method="make_initial_carry")
        return jax.tree.map(np.asarray, carry)

    own, large = state(model.cell.num_slots), state(max(_MAX_SLOTS, model.cell.num_slots))
    slots = model.cell.num_slots
    changes = np.array_equal(large.memory[:slots], own.memory) and all(
        np.array_equal(getattr(large, name)[:, :slots], getattr(own, name))
        for name in ("read_weights", "write_weights")
    )
    changes = changes and bool((large.memory[slots - 1 :] == large.memory[-1]).all())
    arrays = {name: getattr(own, name) for name in ("memory", "read_weights", "write_weights")}
    carry = {f"carry_{i}": leaf for i, leaf in enumerate(jax.tree.leaves(own.controller))}
    return {**arrays, **carry}, changes


def _controller(controller: nn.RNNCellBase) -> dict[str, Any]:
    if type(controller) is LSTM:
        return {"kind": "lstm", "size": controller.features}
    if type(controller) is FeedForward:
        # "linear" is a function of the trainer, which is found by what it computes.
        x = jnp.linspace(-2.0, 2.0, 5)
        activations = {**_ACTIVATIONS, "linear": lambda x: x}
        for name, function in activations.items():
            if np.array_equal(controller.activation(x), function(x)):
                layers = len(controller.hidden_sizes)
                return {"kind": "feed_forward", "layers": layers, "activation": name}
        raise ValueError(f"expected an activation out of {', '.join(activations)}, got another one")
    raise ValueError(
        f"expected a controller FeedForward or LSTM for the page, got {type(controller).__name__}"
    )


def _pack(arrays: Mapping[str, Any]) -> tuple[bytes, dict[str, list[int]]]:
    """Returns all arrays as float32, and for each its offset in values and its shape."""
    layout, parts, offset = {}, [], 0
    for name, array in arrays.items():
        values = np.asarray(array, "<f4")
        layout[name] = [offset, *values.shape]
        offset += values.size
        parts.append(values.tobytes())
    return b"".join(parts), layout
