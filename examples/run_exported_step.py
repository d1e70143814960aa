"""Runs the file of export_step.py on copy.

Command: python examples/run_exported_step.py copy_step.npz
Needs: JAX, NumPy and flatbuffers.
Prints: the bit errors per sequence, 0, and that neither Flax nor ntm_jax was imported.
Wall time: a few seconds on a CPU core.
"""

import sys
from collections.abc import Callable

import jax.export
import jax.numpy as jnp
import numpy as np


def load(path: str) -> tuple[Callable, list[np.ndarray]]:
    """Returns the step function, and the arrays of the state before the first step."""
    with np.load(path) as arrays:
        step = jax.export.deserialize(bytearray(arrays["step"].tobytes())).call
        return step, [arrays[name] for name in sorted(arrays.files) if name.startswith("state_")]


def main(path: str, num_sequences: int = 16, length: int = 20) -> np.ndarray:
    """Copies random bits; returns the logits, [length, num_sequences, 8]."""
    step, initial = load(path)
    state = [jnp.broadcast_to(leaf, (num_sequences, *leaf.shape)) for leaf in initial]
    bits = np.random.default_rng(0).integers(0, 2, (length, num_sequences, 8))
    inputs = np.zeros((2 * length + 1, num_sequences, 9), np.float32)
    inputs[:length, :, :8] = bits
    inputs[length, :, 8] = 1.0  # the delimiter

    logits = []
    for x in inputs:
        outputs, *state = step(x, *state)
        logits.append(outputs)
    logits = np.asarray(logits[length + 1 :])
    errors = np.sum((logits > 0) != bits) / num_sequences
    print(f"{errors:.2f} of {8 * length} bits wrong per sequence")
    print(f"imported: Flax {'flax' in sys.modules}, ntm_jax {'ntm_jax' in sys.modules}")
    return logits


if __name__ == "__main__":
    main(sys.argv[1])
