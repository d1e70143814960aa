import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import addressing
from ntm_jax import memory as memory_ops
from ntm_jax._shapes import check_shapes
from ntm_jax.cell import access_memory
from ntm_jax.evaluation import scoring
from ntm_jax.heads import InterfaceSpec
from ntm_jax.tasks import TASKS, losses


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"a": ((2, 3), "AB"), "b": ((3,), "B")}, None),
        ({"a": ((), ""), "b": ((4, 0), "AB")}, None),
        ({"a": ((2, 3), "AB"), "b": ((4,), "B")}, r"b: expected shape \(3,\), got \(4,\)"),
        ({"a": ((0,), "A"), "b": ((4,), "A")}, r"b: expected shape \(0,\), got \(4,\)"),
        ({"a": ((2, 3), "A")}, r"a: expected shape \(A,\), got \(2, 3\)"),
        ({"a": ((1,), "")}, r"a: expected shape \(\), got \(1,\)"),
        ({"a": ((2,), "A"), "b": ((1, 5), "AB")}, r"b: expected shape \(2, B\), got \(1, 5\)"),
    ],
)
def test_each_letter_has_one_size(shapes, message):
    arguments = {name: (np.zeros(shape), letters) for name, (shape, letters) in shapes.items()}
    if message is None:
        check_shapes(**arguments)
        return
    with pytest.raises(AssertionError, match=f"^{message}$"):
        check_shapes(**arguments)


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (addressing.cosine_similarity, [(3,), (5, 4)], "memory: expected shape (N, 3), got (5, 4)"),
        (addressing.content_weights, [(5, 3), (3,), (1,)], "strength: expected shape (), got (1,)"),
        (addressing.sharpen, [(5,), (4,)], "sharpness: expected shape (), got (4,)"),
        (addressing.shift, [(2, 5), (3,)], "weights: expected shape (N,), got (2, 5)"),
        (memory_ops.read, [(4, 3), (5,)], "weights: expected shape (4,), got (5,)"),
        (memory_ops.add, [(4, 3), (4,), (4,)], "add_vector: expected shape (3,), got (4,)"),
        (
            memory_ops.write,
            [(4, 3), (2, 4), (2, 3), (1, 3)],
            "add_vectors: expected shape (2, 3), got (1, 3)",
        ),
        (losses.bit_errors, [(2, 3, 4), (2, 3, 4), (3,)], "mask: expected shape (2, 3), got (3,)"),
    ],
)
def test_message_names_argument_and_sizes(function, shapes, message):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    assert str(error.value) == message


def test_access_memory_names_argument_and_sizes():
    spec = InterfaceSpec(1, 2, 3, 1)
    memory, read_weights = jnp.zeros((5, 3)), jnp.zeros((1, 5))
    interface = spec.split(jnp.zeros(spec.size))
    message = r"write_weights: expected shape \(W, 5\), got \(2, 4\)"
    with pytest.raises(AssertionError, match=message):
        access_memory(memory, read_weights, jnp.zeros((2, 4)), interface)
    message = r"write_keys: expected shape \(1, 3\), got \(2, 3\)"
    with pytest.raises(AssertionError, match=message):
        access_memory(memory, read_weights, jnp.zeros((1, 5)), interface)


def test_evaluate_names_the_size_axes():
    message = r"size: expected a number for each of \('length', 'repeats'\), got \(3,\)"
    with pytest.raises(ValueError, match=message):
        scoring.evaluate(None, {}, TASKS["repeat_copy"](), [3])
