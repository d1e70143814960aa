import doctest
import functools
import re
import subprocess
import sys

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from support import reference, strategies

from ntm_jax import cell as cell_module
from ntm_jax.cell import NTMCell, NTMState
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.initializers import first_slot_marker

FEATURES, INPUTS, SLOTS, WIDTH = 3, 4, 5, 2

# About ten sums of a few terms each; the tests of each equation have the same tolerance.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}

CONTROLLERS = {
    "feed-forward, none": FeedForward(()),
    "feed-forward, one": FeedForward((4,)),
    "feed-forward, two": FeedForward((4, 3)),
    "lstm": LSTM(4),
    "stack": Stack((LSTM(3), LSTM(4))),
    "stack with skips": Stack((LSTM(3), nn.GRUCell(4)), skip=True),
    "flax gru": nn.GRUCell(4),
    "flax lstm": nn.OptimizedLSTMCell(4),
    "flax plain lstm": nn.LSTMCell(4),
}


def _cell(controller=None, **options):
    return NTMCell(
        FEATURES, controller or FeedForward((4,)), num_slots=SLOTS, slot_width=WIDTH, **options
    )


def _init(cell, *batch, seed=0):
    """Random parameters, a random state and inputs."""
    state = strategies.random_state(cell, batch, INPUTS, seed)
    inputs = jnp.asarray(strategies.normal(seed + 1, *batch, INPUTS))
    return strategies.init_random_params(cell, state, inputs, seed=seed + 2), state, inputs


def _apply(cell):
    return jax.jit(lambda params, state, inputs: cell.apply({"params": params}, state, inputs))


def _apply_with_trace(cell):
    def apply(params, state, inputs):
        return cell.apply({"params": params}, state, inputs, mutable=["trace"])

    return jax.jit(apply)


def _interface(cell, params, state, inputs):
    return _apply_with_trace(cell)(params, state, inputs)[1]["trace"]["step"].interface


def _assert_close(got, want, **tolerance):
    tolerance = tolerance or ROUNDING
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), got, want)


MANY_HEADS = {"max_shift": 2, "num_read_heads": 2, "num_write_heads": 3}
NO_READS = {"max_shift": 3, "num_read_heads": 3, "output_from_reads": False}


@pytest.mark.parametrize(
    ("controller", "reference_name", "options"),
    [
        (FeedForward(()), "feed_forward", {"max_shift": 0}),
        (FeedForward((4,)), "feed_forward", NO_READS),
        (FeedForward((4, 3)), "feed_forward", MANY_HEADS),
        (LSTM(4), "lstm", {"max_shift": 1}),
        (LSTM(4), "lstm", MANY_HEADS),
    ],
    ids=["no layer, no shift", "no reads in output", "many heads", "lstm", "lstm, many heads"],
)
def test_step_matches_reference(controller, reference_name, options):
    cell = _cell(controller, **options)
    params, state, inputs = _init(cell)
    got, outputs = _apply(cell)(params, state, inputs)
    want, want_outputs = reference.step(
        reference.float64(params),
        reference.float64(tuple(state)),
        np.asarray(inputs),
        controller=getattr(reference, reference_name),
        slot_width=WIDTH,
        max_shift=options["max_shift"],
        output_from_reads=options.get("output_from_reads", True),
    )
    np.testing.assert_allclose(outputs, want_outputs, **ROUNDING)
    for got_part, want_part in zip(got[1:5], want[1:], strict=True):
        np.testing.assert_allclose(got_part, np.array(want_part), **ROUNDING)
    _assert_close(got.controller, want[0])


def test_cell_is_a_flax_rnn_cell():
    assert isinstance(_cell(), nn.RNNCellBase)
    assert _cell().num_feature_axes == 1


def test_docstring_example_runs():
    [example] = doctest.DocTestFinder(recurse=False).find(NTMCell, "NTMCell")
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_default_sizes_are_those_of_the_paper():
    cell = NTMCell(8, FeedForward())
    assert (cell.num_slots, cell.slot_width) == (128, 20)
    assert (cell.num_read_heads, cell.num_write_heads, cell.max_shift) == (1, 1, 1)


@pytest.mark.parametrize("controller", CONTROLLERS.values(), ids=CONTROLLERS)
def test_any_rnn_cell_is_a_controller(controller):
    cell = _cell(controller)
    params, state, inputs = _init(cell, 2)
    new_state, outputs = _apply(cell)(params, state, inputs)
    assert outputs.shape == (2, FEATURES)
    assert strategies.all_finite((new_state, outputs))
    # A scan needs a carry of constant structure, shapes and dtypes.
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), new_state, state)
    assert all(jax.tree.leaves(same))


def test_gradients_reach_all_parameters_and_state():
    cell = _cell(Stack((LSTM(3), FeedForward((4,))), skip=True), num_write_heads=2)
    params, state, inputs = _init(cell)

    def loss(params, state):
        results = cell.apply({"params": params}, state, inputs)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(results))

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, state)
    assert strategies.all_finite(gradients)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=["none", "one", "several"])
def test_batch_equals_loop_over_examples(batch):
    cell = _cell(LSTM(4), num_read_heads=2)
    params, state, inputs = _init(cell, *batch)
    apply = _apply(cell)
    new_state, outputs = apply(params, state, inputs)
    assert outputs.shape == (*batch, FEATURES)
    assert new_state.memory.shape == (*batch, SLOTS, WIDTH)
    assert new_state.read_weights.shape == (*batch, 2, SLOTS)
    for index in np.ndindex(*batch):
        example = jax.tree.map(lambda leaf, index=index: leaf[index], (state, inputs))
        got = jax.tree.map(lambda leaf, index=index: leaf[index], (new_state, outputs))
        _assert_close(got, apply(params, *example))


def test_vmap_equals_batch():
    cell = _cell(num_write_heads=2)
    params, state, inputs = _init(cell, 3)
    vmapped = jax.jit(jax.vmap(_apply(cell), in_axes=(None, 0, 0)))(params, state, inputs)
    _assert_close(vmapped, _apply(cell)(params, state, inputs))


def test_jit_equals_eager():
    cell = _cell(LSTM(4))
    params, state, inputs = _init(cell, 2)
    eager = cell.apply({"params": params}, state, inputs)
    _assert_close(_apply(cell)(params, state, inputs), eager)


@pytest.mark.parametrize("controller", [FeedForward((3,)), LSTM(3)], ids=["ff", "lstm"])
def test_gradients_match_finite_differences(controller):
    cell = _cell(controller)
    with jax.enable_x64(True):
        arguments = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), _init(cell))
        check_grads(_apply(cell), arguments, order=1, modes=["rev"])


def test_weightings_stay_on_simplex_for_50_steps():
    cell = _cell(LSTM(4), num_read_heads=2, max_shift=2)
    params, state, inputs = _init(cell, 2)
    apply = _apply(cell)
    for _ in range(50):
        state, _ = apply(params, state, inputs)
    for weights in (state.read_weights, state.write_weights):
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)


def test_read_heads_read_the_written_memory():
    """With erase 1 and add (7, -8) at slot 0, the read vector of the same step is (7, -8)."""
    cell = _cell(FeedForward(()), max_shift=0)
    _, state, inputs = _init(cell)
    params = jax.tree.map(jnp.zeros_like, strategies.init_random_params(cell, state, inputs))
    bias = cell.interface_spec.initial_bias(gate=-100.0)
    bias[-2 * WIDTH :] = [100.0, 100.0, 7.0, -8.0]  # erase vector, add vector
    params["interface"]["bias"] = jnp.asarray(bias)
    slot_0 = jnp.asarray(np.eye(1, SLOTS, dtype=np.float32))
    state = state._replace(read_weights=slot_0, write_weights=slot_0)
    new_state, _ = _apply(cell)(params, state, inputs)
    np.testing.assert_allclose(new_state.read_vectors, [[7.0, -8.0]], atol=1e-5)
    np.testing.assert_allclose(new_state.memory[1:], state.memory[1:], atol=1e-5)


@pytest.mark.parametrize(
    "biases",
    [
        {},
        {
            "strength_bias": 2.0,
            "gate_bias": 1.5,
            "sharpness_bias": -1.0,
            "shift_bias": 3.0,
            "erase_bias": -60.0,
        },
    ],
    ids=["default", "chosen"],
)
def test_biases_set_initial_head_parameters(biases):
    cell = _cell(num_read_heads=2, max_shift=2, **biases)
    state = strategies.random_state(cell, (), INPUTS)
    params = jax.jit(cell.init)(jax.random.key(0), state, jnp.ones(INPUTS))["params"]
    interface = _interface(cell, params, state, jnp.ones(INPUTS))
    gate = reference.sigmoid(np.float64(cell.gate_bias))
    strength = reference.softplus(cell.strength_bias)
    sharpness = 1.0 + reference.softplus(cell.sharpness_bias)
    shift = reference.softmax([0, 0, 0, cell.shift_bias, 0])
    assert np.all((interface.erase < 1e-6) == bool(biases))  # the kernel of erase is not zero
    for parameters in (interface.read, interface.write):
        np.testing.assert_allclose(parameters.gate, np.full_like(parameters.gate, gate), rtol=1e-6)
        np.testing.assert_allclose(parameters.strength, strength, rtol=1e-6)
        np.testing.assert_allclose(parameters.sharpness, sharpness, rtol=1e-6)
        want = np.broadcast_to(shift, parameters.shift.shape)
        np.testing.assert_allclose(parameters.shift, want, rtol=1e-6)
        assert np.all(parameters.key != 0.0)  # the kernel of the keys is not zero


def test_default_biases_close_gates_and_sharpen():
    cell = _cell()
    assert reference.sigmoid(np.float64(cell.gate_bias)) < 0.05
    assert 1.0 + reference.softplus(cell.sharpness_bias) > 2.0


@pytest.mark.parametrize(
    ("num_read_heads", "num_write_heads", "num_content"), [(1, 1, 1), (2, 3, 2), (3, 1, 1)]
)
def test_content_read_heads_use_the_add_vector(num_read_heads, num_write_heads, num_content):
    cell = _cell(
        num_read_heads=num_read_heads,
        num_write_heads=num_write_heads,
        num_content_read_heads=num_content,
    )
    _, state, inputs = _init(cell, 4)
    params = jax.jit(cell.init)(jax.random.key(0), state, inputs)["params"]
    interface = _interface(cell, params, state, inputs)
    for head in range(num_read_heads):
        key = interface.read.key[:, head]
        equal = np.allclose(key, interface.add[:, 0], rtol=1e-5, atol=0.0)
        assert equal == (head < num_content)
    assert np.abs(interface.add[0] - interface.add[1]).max() > 0.01  # depends on the input
    assert (interface.read.gate[:, :num_content] > 0.5).all()
    gate = reference.sigmoid(np.float64(cell.gate_bias))
    for gates in (interface.read.gate[:, num_content:], interface.write.gate):
        np.testing.assert_allclose(gates, np.full_like(gates, gate), 1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_slots": 0}, "num_slots: expected at least 1, got 0"),
        ({"num_write_heads": -1}, "num_write_heads: expected at least 1, got -1"),
        ({"max_shift": -1}, "max_shift: expected at least 0, got -1"),
        ({"gate_bias": np.nan}, "gate_bias: expected a finite number, got nan"),
        (
            {"num_read_heads": 2, "num_content_read_heads": 3},
            "num_content_read_heads: expected 0 to 2, the number of read heads, got 3",
        ),
    ],
)
def test_values_out_of_range_raise(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        NTMCell(FEATURES, FeedForward(), **options)


@pytest.mark.parametrize(
    ("head_init", "equal"),
    [(cell_module.uniform_weighting, True), (cell_module.one_hot_weighting, False)],
)
def test_uniform_weightings_keep_all_slots_equal(head_init, equal):
    """Equal slots get equal weights: with uniform weightings, a constant memory stays constant."""
    cell = _cell(memory_init=nn.initializers.constant(1e-6), head_init=head_init)
    params, _, inputs = _init(cell)
    state = cell.initialize_carry(jax.random.key(0), (INPUTS,))
    apply = _apply(cell)
    for _ in range(5):
        state, _ = apply(params, state, inputs)
    memory = np.asarray(state.memory)
    assert np.abs(memory).max() > 0.5  # something was written
    assert np.allclose(memory, memory[0], atol=1e-5) == equal


def test_output_activation_is_applied():
    params, state, inputs = _init(_cell(), 2)
    _, logits = _apply(_cell())(params, state, inputs)
    _, outputs = _apply(_cell(output_activation=nn.sigmoid))(params, state, inputs)
    np.testing.assert_allclose(outputs, reference.sigmoid(logits), rtol=1e-5)


@pytest.mark.parametrize("output_from_reads", [False, True])
def test_output_from_reads(output_from_reads):
    cell = _cell(output_from_reads=output_from_reads)
    params, state, inputs = _init(cell)
    assert params["output"]["kernel"].shape == (4 + WIDTH * output_from_reads, FEATURES)
    apply = _apply(cell)
    outputs = apply(params, state, inputs)[1]
    changed_outputs = apply(params, state._replace(memory=state.memory + 1.0), inputs)[1]
    assert (outputs != changed_outputs).any() == output_from_reads


def test_controller_uses_previous_read_vectors():
    cell = _cell(output_from_reads=False)
    params, state, inputs = _init(cell)
    changed = state._replace(read_vectors=state.read_vectors + 1.0)
    apply = _apply(cell)
    assert (apply(params, state, inputs)[1] != apply(params, changed, inputs)[1]).any()


def test_param_shapes_do_not_depend_on_num_slots():
    shapes = []
    for num_slots in (5, 1000):
        params, *_ = _init(_cell(LSTM(4)).clone(num_slots=num_slots))
        shapes.append(jax.tree.map(jnp.shape, params))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("build", ["outside", "setup", "compact"])
def test_controller_params_belong_to_the_cell(build):
    class Compact(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            cell = NTMCell(FEATURES, FeedForward((4,), parent=None), SLOTS, WIDTH, name="cell")
            return nn.RNN(cell)(inputs)

    class Setup(nn.Module):
        def setup(self):
            self.rnn = nn.RNN(_cell())

        def __call__(self, inputs):
            return self.rnn(inputs)

    model = {"outside": nn.RNN(_cell()), "setup": Setup(), "compact": Compact()}[build]
    params = model.init(jax.random.key(0), jnp.zeros((2, 3, INPUTS)))["params"]
    params = params["rnn"] if build == "setup" else params
    assert params.keys() == {"cell"}
    assert params["cell"].keys() == {"controller", "interface", "output"}


def test_equal_cells_compile_once():
    num_traces = 0

    @functools.partial(jax.jit, static_argnums=0)
    def features(cell):
        nonlocal num_traces
        num_traces += 1
        return jnp.zeros(cell.features)

    for value in (0.1, 0.1, 0.2):
        features(_cell(memory_init=first_slot_marker(value)))
    features(_cell())  # 0.1 is the default
    assert num_traces == 2


def test_init_returns_only_params():
    cell = _cell()
    _, state, inputs = _init(cell)
    assert set(jax.eval_shape(cell.init, jax.random.key(0), state, inputs)) == {"params"}


def test_default_initial_state():
    cell = _cell(num_read_heads=2, num_write_heads=3)
    state = cell.initialize_carry(jax.random.key(0), (INPUTS,))
    assert isinstance(state, NTMState)
    np.testing.assert_array_equal(state.memory[0], np.full(WIDTH, np.float32(0.1)))
    np.testing.assert_array_equal(state.memory[1:], np.zeros((SLOTS - 1, WIDTH)))
    np.testing.assert_array_equal(state.read_weights, np.eye(1, SLOTS).repeat(2, 0))
    np.testing.assert_array_equal(state.write_weights, np.eye(1, SLOTS).repeat(3, 0))
    np.testing.assert_array_equal(state.read_vectors, np.full((2, WIDTH), np.float32(0.1)))
    assert state.controller == ()


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=["none", "one", "several"])
def test_initial_state_is_equal_in_all_examples(batch):
    cell = _cell(
        LSTM(4),
        num_read_heads=2,
        memory_init=nn.initializers.normal(1.0),
        head_init=cell_module.uniform_weighting,
    )
    initialize_carry = jax.jit(cell.initialize_carry, static_argnums=1)
    state = initialize_carry(jax.random.key(0), (*batch, INPUTS))
    example = initialize_carry(jax.random.key(0), (INPUTS,))
    for leaf, want in zip(jax.tree.leaves(state), jax.tree.leaves(example), strict=True):
        np.testing.assert_array_equal(leaf, np.broadcast_to(want, (*batch, *want.shape)))
    np.testing.assert_array_equal(example.read_weights, np.full((2, SLOTS), np.float32(1 / SLOTS)))
    for weights, read_vector in zip(example.read_weights, example.read_vectors, strict=True):
        want = reference.read(np.asarray(example.memory), np.asarray(weights))
        np.testing.assert_allclose(read_vector, want, atol=1e-6)
    other_key = initialize_carry(jax.random.key(1), (INPUTS,))
    assert (other_key.memory != example.memory).all()


def test_bfloat16_keeps_params_and_memory_float32():
    cell = _cell(FeedForward((4,), dtype=jnp.bfloat16), dtype=jnp.bfloat16)
    params, state, inputs = _init(cell, 2)
    new_state, outputs = _apply(cell)(params, state, inputs)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((params, new_state))} == {jnp.dtype("float32")}
    # bfloat16 has 8 bits of precision: errors of values below 4 are about 0.02, and a few add up.
    want = _apply(_cell(FeedForward((4,))))(params, state, inputs)
    _assert_close((new_state, outputs.astype(jnp.float32)), want, atol=0.2)


def test_bfloat16_inputs():
    cell = _cell(LSTM(4, dtype=jnp.bfloat16), dtype=jnp.bfloat16)
    params, state, inputs = _init(cell, 2)
    new_state, _ = _apply(cell)(params, state, inputs.astype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(new_state)} == {jnp.dtype("float32")}


def test_trace_is_optional_and_matches_the_state():
    cell = _cell(num_read_heads=2, num_write_heads=3)
    params, state, inputs = _init(cell, 4)
    (new_state, outputs), variables = _apply_with_trace(cell)(params, state, inputs)
    step = variables["trace"]["step"]
    assert step.interface.read.key.shape == (4, 2, WIDTH)
    assert step.interface.read.gate.shape == (4, 2)
    assert step.interface.write.shift.shape == (4, 3, 3)
    assert step.interface.erase.shape == step.interface.add.shape == (4, 3, WIDTH)
    for name in ("memory", "read_weights", "write_weights", "read_vectors"):
        np.testing.assert_array_equal(getattr(step, name), getattr(new_state, name))
    without_trace = _apply(cell)(params, state, inputs)
    assert len(without_trace) == 2
    np.testing.assert_array_equal(outputs, without_trace[1])


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("memory", (7, 6, WIDTH), "read_weights: expected shape (7, 1, 6), got (7, 1, 5)"),
        ("memory", (7, SLOTS, 3), "memory: expected shape (7, 5, 2), got (7, 5, 3)"),
        ("memory", (6, SLOTS, WIDTH), "memory: expected shape (7, 5, 2), got (6, 5, 2)"),
        ("memory", (SLOTS, WIDTH), "memory: expected shape (7, 5, 2), got (5, 2)"),
        ("read_weights", (7, 2, SLOTS), "read_weights: expected shape (7, 1, 5), got (7, 2, 5)"),
        ("write_weights", (SLOTS,), "write_weights: expected shape (7, 1, 5), got (5,)"),
        ("read_vectors", (7, 2, 1), "read_vectors: expected shape (7, 1, 2), got (7, 2, 1)"),
    ],
)
def test_carry_of_other_shape_raises(name, shape, expected):
    cell = _cell()
    state = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), (7, INPUTS)))
    state = state._replace(**{name: jax.ShapeDtypeStruct(shape, jnp.float32)})
    with pytest.raises(ValueError, match=re.escape(f"carry.{expected}")):
        jax.eval_shape(cell.init, jax.random.key(0), state, jnp.zeros((7, INPUTS)))


def test_inputs_of_other_size_or_batch_raise():
    cell = _cell()
    params, state, _ = _init(cell, 13)
    with pytest.raises(flax.errors.ScopeParamShapeError, match=f"{10 + WIDTH}.*{INPUTS + WIDTH}"):
        _apply(cell)(params, state, jnp.zeros((13, 10)))
    with pytest.raises(ValueError, match=r"carry.memory: expected shape \(2, 5, 2\), got \(13,"):
        _apply(cell)(params, state, jnp.zeros((2, INPUTS)))


def test_import_needs_no_training_libraries():
    # Flax itself imports absl flags, so only modules beyond chex, flax.linen and jax count.
    program = """
import sys
import chex, flax.linen, jax
before = set(sys.modules)
import ntm_jax.cell
print(*sorted(set(sys.modules) - before))
print(*sorted(sys.modules))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    added, imported = (line.split() for line in result.stdout.splitlines())
    assert "ntm_jax.cell" in added
    assert {name.split(".")[0] for name in added} == {"ntm_jax"}
    assert not {"orbax", "matplotlib", "tensorboardX"} & set(imported)
