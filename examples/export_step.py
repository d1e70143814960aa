"""One step of a trained NTM as a file that runs without this package and without Flax.

`jax.export` serializes the compiled function; the parameters are constants in it. Its arguments
and results are plain arrays, because a process without this package has no `NTMState`. The batch
size is symbolic.

Command: python examples/export_step.py copy_step.npz
    Then: python examples/run_exported_step.py copy_step.npz
Needs: ntm_jax with the extra "train", and flatbuffers for `jax.export`.
Prints: the size of the file, 81 kB.
Wall time: a few seconds on a CPU core.
"""

import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from ntm_jax import load_pretrained

NAME, NUM_SLOTS = "copy_ntm", 64


def main(path: str) -> int:
    """Exports one step of a trained model for copy; returns the size of the file in bytes."""
    model, params = load_pretrained(NAME, num_slots=NUM_SLOTS)
    num_inputs = 9  # 8 bits and the delimiter
    state = model.apply({"params": params}, (num_inputs,), method="make_initial_carry")
    leaves, structure = jax.tree.flatten(state)

    @jax.jit
    def step(inputs: jax.Array, *leaves: jax.Array) -> list[jax.Array]:
        carry = jax.tree.unflatten(structure, leaves)
        carry, outputs = model.cell.apply({"params": params["cell"]}, carry, inputs)
        return [outputs, *jax.tree.leaves(carry)]

    (batch,) = jax.export.symbolic_shape("batch")
    shapes = [(num_inputs,), *(leaf.shape for leaf in leaves)]
    arguments = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]
    exported = jax.export.export(step, platforms=("cpu", "cuda", "tpu"))(*arguments)

    initial = {f"state_{index}": np.asarray(leaf) for index, leaf in enumerate(leaves)}
    np.savez(path, step=np.frombuffer(exported.serialize(), np.uint8), **initial)
    size = Path(path).stat().st_size
    print(f"{path}: {size} bytes")
    return size


if __name__ == "__main__":
    main(sys.argv[1])
