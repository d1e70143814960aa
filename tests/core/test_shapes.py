import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax import addressing, heads, memory
from ntm_jax.evaluation import scoring
from ntm_jax.tasks import losses
from ntm_jax.cell import NTMCell, machine_step
from ntm_jax.controllers import FeedForward
from ntm_jax._shapes import check_shapes
from ntm_jax.tasks import TASKS


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"one": ((2, 3), "AB"), "other": ((3,), "B")}, None),
        ({"one": ((), ""), "other": ((4, 0), "AB")}, None),
        (
            {"one": ((2, 3), "AB"), "other": ((4,), "B")},
            r"other: expected shape \(3,\), got \(4,\)",
        ),
        ({"one": ((2, 3), "A")}, r"one: expected shape \(A,\), got \(2, 3\)"),
        ({"one": ((1,), "")}, r"one: expected shape \(\), got \(1,\)"),
        (
            {"one": ((2,), "A"), "other": ((1, 5), "AB")},
            r"other: expected shape \(2, B\), got \(1, 5\)",
        ),
    ],
)
def test_a_letter_is_one_size(shapes, said):
    arguments = {name: (np.zeros(shape), letters) for name, (shape, letters) in shapes.items()}
    if said is None:
        check_shapes(**arguments)
        return
    with pytest.raises(AssertionError, match=f"^{said}$"):
        check_shapes(**arguments)


@pytest.mark.parametrize(
    ("function", "shapes", "said"),
    [
        (addressing.cosine_similarity, [(3,), (5, 4)], "memory: expected shape (N, 3), got (5, 4)"),
        (addressing.content_weights, [(5, 3), (3,), (1,)], "strength: expected shape (), got (1,)"),
        (addressing.sharpen, [(5,), (), (4,)], "slots: expected shape (5,), got (4,)"),
        (addressing.shift, [(2, 5), (3,)], "weights: expected shape (N,), got (2, 5)"),
        (memory.read, [(4, 3), (5,)], "weights: expected shape (4,), got (5,)"),
        (memory.add, [(4, 3), (4,), (4,)], "add_vector: expected shape (3,), got (4,)"),
        (
            memory.write,
            [(4, 3), (2, 4), (2, 3), (1, 3)],
            "add_vectors: expected shape (2, 3), got (1, 3)",
        ),
        (losses.bit_errors, [(2, 3, 4), (2, 3, 4), (3,)], "mask: expected shape (2, 3), got (3,)"),
    ],
)
def test_public_functions_name_the_argument_and_the_sizes(function, shapes, said):
    with pytest.raises(AssertionError) as error:
        function(*map(jnp.zeros, shapes))
    assert str(error.value) == said


def test_a_machines_step_names_the_argument_and_the_sizes():
    interface = heads.split_interface(jnp.zeros(heads.interface_size(1, 2, 3, 1)), 1, 2, 3, 1)
    with pytest.raises(
        AssertionError, match=r"write_weights: expected shape \(W, 5\), got \(2, 4\)"
    ):
        machine_step(jnp.zeros((5, 3)), jnp.zeros((1, 5)), jnp.zeros((2, 4)), interface)
    with pytest.raises(AssertionError, match=r"write_keys: expected shape \(1, 3\), got \(2, 3\)"):
        machine_step(jnp.zeros((5, 3)), jnp.zeros((1, 5)), jnp.zeros((1, 5)), interface)


def test_a_carry_of_another_batch_is_named():
    cell = NTMCell(2, FeedForward((4,)), num_slots=5, slot_width=3)
    carry = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (7, 4)))
    carry = carry._replace(memory=jax.ShapeDtypeStruct((6, 5, 3), jnp.float32))
    with pytest.raises(ValueError, match=r"carry: expected memory with the batch axes \(7,\)"):
        jax.eval_shape(cell.init, jax.random.key(0), carry, jnp.zeros((7, 4)))


def test_a_size_with_numbers_for_other_axes_is_named():
    said = r"size: expected a number for each of \('length', 'repeats'\), got \(3,\)"
    with pytest.raises(ValueError, match=said):
        scoring.evaluate(None, {}, TASKS["repeat_copy"](), [3])
