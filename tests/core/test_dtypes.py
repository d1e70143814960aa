"""Outputs promote as those of Flax's layers do, and every carry keeps its dtypes."""

import contextlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import strategies

import ntm_jax
from ntm_jax import addressing
from ntm_jax.baselines import BASELINES
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.models import LEARNED_INITS, NTM
from ntm_jax.rnn import RNN
from ntm_jax.tasks import TASKS

BATCH, STEPS, INPUTS = 2, 3, 4
DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64")


def _ntm_cell(controller, **options):
    return NTMCell(3, controller, num_slots=5, slot_width=2, **options)


CELLS = {
    "feed-forward": FeedForward((4, 3)),
    "lstm": LSTM(4),
    "stack": Stack((LSTM(4), FeedForward((3,)))),
    "stack with skips": Stack((LSTM(4), nn.GRUCell(3)), skip=True),
    "ntm, feed-forward": _ntm_cell(FeedForward((4,)), num_read_heads=2),
    "ntm, no layer": _ntm_cell(FeedForward(()), output_from_reads=False),
    "ntm, lstm": _ntm_cell(LSTM(4)),
    "ntm, gru": _ntm_cell(nn.GRUCell(4)),
}
MODELS = {
    "rnn": RNN(LSTM(4), 3),
    "rnn, learned carry": RNN(Stack((LSTM(4), nn.OptimizedLSTMCell(3)), skip=True), 3, True),
    "ntm": NTM(CELLS["ntm, feed-forward"]),
    "ntm, learned init": NTM(CELLS["ntm, lstm"], learned_init=LEARNED_INITS),
    "ntm, chunks": NTM(CELLS["ntm, gru"], remat=True, remat_chunk_size=2),
    "lstm_skip": BASELINES["lstm_skip"](3, hidden_size=4, num_layers=2),
    "gru": BASELINES["gru"](3, hidden_size=4, num_layers=2),
    "transformer": BASELINES["transformer"](3, d_model=4, num_layers=1, num_heads=2),
    "keras_lstm": BASELINES["keras_lstm"](3, hidden_sizes=(4,)),
    "per_step_dense": BASELINES["per_step_dense"](3),
}


@pytest.fixture(autouse=True)
def standard_promotion():
    """Flax's layers promote integers only if implicit promotion is allowed."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def precision(dtype):
    """Returns a context in which the dtype exists."""
    return jax.enable_x64(True) if "64" in dtype else contextlib.nullcontext()


def call(module):
    """Returns a function of inputs: the outputs, and the carries before and after, if any."""
    if module in MODELS.values():
        params = strategies.init_random_params(module, jnp.zeros((BATCH, STEPS, INPUTS)))
        return lambda inputs: (module.apply({"params": params}, inputs), (), ())
    carry = module.initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    params = strategies.init_random_params(module, carry, jnp.zeros((BATCH, INPUTS)))

    def apply(inputs):
        new_carry, outputs = module.apply({"params": params}, carry, inputs[:, 0])
        return outputs, carry, new_carry

    return apply


def dtypes_of(tree):
    return [leaf.dtype for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("module", [*CELLS.values(), *MODELS.values()], ids=[*CELLS, *MODELS])
def test_every_dtype_promotes_as_in_flax(module):
    apply, dense = call(module), nn.Dense(3)
    differences = []
    for dtype in DTYPES:
        with precision(dtype):
            inputs = jax.ShapeDtypeStruct((BATCH, STEPS, INPUTS), dtype)
            expected = jax.eval_shape(
                lambda x: dense.init_with_output(jax.random.key(0), x)[0], inputs
            )
            outputs, carry, new_carry = jax.eval_shape(apply, inputs)
        if outputs.dtype != expected.dtype or dtypes_of(carry) != dtypes_of(new_carry):
            differences.append((dtype, outputs.dtype, expected.dtype))
    assert differences == []
    # The numbers 0 and 1 have the same outputs, whatever their dtype.
    bits = jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS) > 0)
    half, integers, floats = jax.jit(
        lambda x: [apply(x.astype(d))[0] for d in ("float16", "int32", "float32")]
    )(bits)
    np.testing.assert_array_equal(integers, floats)
    np.testing.assert_array_equal(half, floats)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["lstm", "stack with skips", "ntm, feed-forward", "ntm, lstm"])
def test_carry_of_any_dtype_keeps_it(name, dtype):
    cell, inputs = CELLS[name], jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    params = strategies.init_random_params(cell, carry, inputs[:, 0])

    def run(carry):
        model = RNN(cell)
        return model.apply({"params": {"cell": params}}, inputs, None, carry, return_carry=True)

    expected_carry, expected = run(carry)
    with precision(dtype):
        carry = jax.tree.map(lambda leaf: leaf.astype(dtype), carry)
        final, outputs = run(carry)
        assert set(dtypes_of(final)) == {jnp.dtype(dtype)}
        assert outputs.dtype == jnp.promote_types(dtype, "float32")
    # Three steps whose carries are rounded to 8 bits.
    np.testing.assert_allclose(np.float32(outputs), expected, atol=0.2)
    for a, b in zip(jax.tree.leaves(final), jax.tree.leaves(expected_carry), strict=True):
        np.testing.assert_allclose(np.float32(a), b, atol=0.2)


def test_integer_carry_raises():
    for cell in (CELLS["lstm"], CELLS["ntm, lstm"]):
        carry = cell.initialize_carry(jax.random.key(0), (BATCH, INPUTS))
        carry = jax.tree.map(lambda leaf: leaf.astype(int), carry)
        with pytest.raises(ValueError, match="^carry: expected floating-point numbers, got int32"):
            cell.init(jax.random.key(0), carry, jnp.zeros((BATCH, INPUTS)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "bfloat16", "float32"])
def test_pretrained_model_copies_any_dtype(dtype):
    model, params = ntm_jax.load_pretrained("copy_ntm")
    batch = TASKS["copy"]().sample_size(jax.random.key(0), 8, 20)
    logits = model.apply({"params": params}, batch.inputs.astype(dtype))
    assert logits.dtype == jnp.float32
    assert int(((logits > 0) != (batch.targets > 0.5))[batch.mask].sum()) == 0


def test_float16_addressing_is_finite():
    key, strength, gate, sharpness = (np.float16(x) for x in (0.0, 10.0, 0.5, 3.0))
    parameters = addressing.AddressParameters(
        jnp.full(2, key), strength, gate, jnp.asarray([0, 1, 0], jnp.float16), sharpness
    )
    memory, previous = jnp.zeros((4, 2), jnp.float16), jnp.asarray(np.eye(4)[0], jnp.float16)
    weighting = addressing.address(memory, previous, parameters)
    assert weighting.dtype == jnp.float16
    # Equal content weights of 1/4, gated to 5/8 and 1/8, and cubed: 125 to 1.
    np.testing.assert_allclose(weighting, np.array([125, 1, 1, 1]) / 128, rtol=0.01)


@pytest.mark.parametrize("name", TASKS)
def test_64_bit_jax_changes_no_dtypes(name):
    task = TASKS[name]()
    expected = jax.eval_shape(lambda: task.sample(jax.random.key(0), BATCH))
    with jax.enable_x64(True):
        batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), BATCH))
    assert batch == expected


def test_no_array_is_promoted_to_a_higher_rank():
    with jax.numpy_rank_promotion("raise"):
        for name in TASKS:
            task = TASKS[name]()
            batch = jax.eval_shape(lambda task=task: task.sample(jax.random.key(0), BATCH))
            jax.eval_shape(task.optimal_bits, batch)
        for model in MODELS.values():
            inputs = jax.ShapeDtypeStruct((BATCH, STEPS, INPUTS), jnp.float32)
            jax.eval_shape(model.init_with_output, jax.random.key(0), inputs)


@pytest.mark.parametrize("module", [*CELLS.values(), *MODELS.values()], ids=[*CELLS, *MODELS])
def test_64_bit_jax_keeps_parameters_float32(module):
    with jax.enable_x64(True):
        if module in MODELS.values():
            arguments = (jnp.zeros((BATCH, STEPS, INPUTS), jnp.float32),)
        else:
            arguments = (
                module.initialize_carry(jax.random.key(0), (BATCH, INPUTS)),
                jnp.zeros((BATCH, INPUTS), jnp.float32),
            )
        results = jax.eval_shape(module.init_with_output, jax.random.key(0), *arguments)
    assert set(dtypes_of((arguments, results))) == {jnp.dtype("float32")}


@pytest.mark.parametrize("module", CELLS.values(), ids=CELLS)
def test_initial_carry_can_be_donated(module):
    for shape in ((INPUTS,), (BATCH, INPUTS)):
        carry = module.initialize_carry(jax.random.key(0), shape)
        pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(carry)]
        assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("module", [*CELLS.values(), *MODELS.values()], ids=[*CELLS, *MODELS])
@pytest.mark.parametrize(("batch", "steps"), [(0, STEPS), (BATCH, 0)])
def test_empty_inputs_have_empty_outputs(module, batch, steps):
    if module in MODELS.values():
        inputs = jax.ShapeDtypeStruct((batch, steps, INPUTS), jnp.float32)
        outputs, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), inputs)
        assert outputs.shape == (batch, steps, 3)
    elif batch == 0:
        carry = module.initialize_carry(jax.random.key(0), (0, INPUTS))
        inputs = jnp.zeros((0, INPUTS))
        (new_carry, outputs), _ = module.init_with_output(jax.random.key(0), carry, inputs)
        assert outputs.shape[0] == 0
        assert jax.tree.map(jnp.shape, new_carry) == jax.tree.map(jnp.shape, carry)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("make_controller", [FeedForward, LSTM])
def test_param_dtype_sets_parameters_and_carry(make_controller, dtype):
    sizes = (4,) if make_controller is LSTM else ((4,),)
    cell = _ntm_cell(make_controller(*sizes, param_dtype=dtype), param_dtype=dtype)
    model, inputs = NTM(cell, learned_init=LEARNED_INITS), jnp.ones((BATCH, STEPS, INPUTS), dtype)
    variables = model.init(jax.random.key(0), inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(dtype)}
    carry, outputs = model.apply(variables, inputs, return_carry=True)
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, outputs))} == {jnp.dtype(dtype)}
    # The outputs are those of float32, up to rounding.
    plain = NTM(_ntm_cell(make_controller(*sizes)), learned_init=LEARNED_INITS)
    float32 = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), variables)
    expected = plain.apply(float32, inputs.astype(jnp.float32))
    np.testing.assert_allclose(outputs.astype(jnp.float32), expected, atol=0.05)
