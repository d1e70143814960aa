import subprocess
import sys

from support import strategies
import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference
from jax.test_util import check_grads

from ntm_jax import cell as cell_module
from ntm_jax import heads
from ntm_jax.cell import NTMCell, NTMState
from ntm_jax.controllers import LSTM, FeedForward, Stack

FEATURES, INPUTS, SLOTS, WIDTH = 3, 4, 5, 2

# A step is some ten sums of a few terms; each equation alone is held to the same.
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


def _started(cell, *batch, seed=0):
    """Parameters, a state in mid-flight, inputs."""
    state = strategies.busy_state(cell, batch, INPUTS, seed)
    inputs = jnp.asarray(strategies.normal(seed + 1, *batch, INPUTS))
    return strategies.parameters(cell, state, inputs, seed=seed + 2), state, inputs


def _apply(cell):
    return jax.jit(lambda params, state, inputs: cell.apply({"params": params}, state, inputs))


def _traced(cell):
    def run(params, state, inputs):
        return cell.apply({"params": params}, state, inputs, mutable=["trace"])

    return jax.jit(run)


def _assert_close(got, want, **tolerance):
    tolerance = tolerance or ROUNDING
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), got, want)


MANY_HEADS = {"max_shift": 2, "num_read_heads": 2, "num_write_heads": 3}
NO_READS = {"max_shift": 3, "num_read_heads": 3, "output_from_reads": False}


@pytest.mark.parametrize(
    ("controller", "oracle", "options"),
    [
        (FeedForward(()), "feed_forward", {"max_shift": 0}),
        (FeedForward((4,)), "feed_forward", NO_READS),
        (FeedForward((4, 3)), "feed_forward", MANY_HEADS),
        (LSTM(4), "lstm", {"max_shift": 1}),
        (LSTM(4), "lstm", MANY_HEADS),
    ],
    ids=["no layer, no shift", "no reads in output", "many heads", "lstm", "lstm, many heads"],
)
def test_a_step_is_the_step_of_the_oracle(controller, oracle, options):
    cell = _cell(controller, **options)
    params, state, inputs = _started(cell)
    got, outputs = _apply(cell)(params, state, inputs)
    want, wanted_outputs = reference.step(
        reference.float64(params),
        reference.float64(tuple(state)),
        np.asarray(inputs),
        controller=getattr(reference, oracle),
        slot_width=WIDTH,
        max_shift=options["max_shift"],
        output_from_reads=options.get("output_from_reads", True),
    )
    np.testing.assert_allclose(outputs, wanted_outputs, **ROUNDING)
    for part, wanted in zip(got[1:], want[1:], strict=True):
        np.testing.assert_allclose(part, np.array(wanted), **ROUNDING)
    _assert_close(got.controller, want[0])


def test_the_cell_is_a_flax_recurrent_cell():
    assert isinstance(_cell(), nn.RNNCellBase)
    assert _cell().num_feature_axes == 1


def test_defaults_are_the_papers_memory_of_128_slots_of_20():
    cell = NTMCell(8, FeedForward())
    assert (cell.num_slots, cell.slot_width) == (128, 20)
    assert (cell.num_read_heads, cell.num_write_heads, cell.max_shift) == (1, 1, 1)


@pytest.mark.parametrize("controller", CONTROLLERS.values(), ids=CONTROLLERS)
def test_any_recurrent_cell_is_a_controller(controller):
    cell = _cell(controller)
    params, state, inputs = _started(cell, 2)
    following, outputs = _apply(cell)(params, state, inputs)
    assert outputs.shape == (2, FEATURES)
    assert strategies.all_finite((following, outputs))
    # The next carry is the last one's like, in structure, shapes and dtypes: scan asks for that.
    assert jax.tree.structure(following) == jax.tree.structure(state)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), following, state)
    assert all(jax.tree.leaves(same))


def test_gradients_reach_every_parameter_and_every_part_of_the_state():
    cell = _cell(Stack((LSTM(3), FeedForward((4,))), skip=True), num_write_heads=2)
    params, state, inputs = _started(cell)

    def squared(params, state):
        following, outputs = cell.apply({"params": params}, state, inputs)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves((following, outputs)))

    gradients = jax.jit(jax.grad(squared, argnums=(0, 1)))(params, state)
    assert strategies.all_finite(gradients)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=["none", "one", "several"])
def test_any_leading_batch_axes_give_each_example_what_it_gets_alone(batch):
    cell = _cell(LSTM(4), num_read_heads=2)
    params, state, inputs = _started(cell, *batch)
    following, outputs = _apply(cell)(params, state, inputs)
    assert outputs.shape == (*batch, FEATURES)
    assert following.memory.shape == (*batch, SLOTS, WIDTH)
    assert following.read_weights.shape == (*batch, 2, SLOTS)
    alone = _apply(cell)
    for index in np.ndindex(*batch):
        one = jax.tree.map(lambda leaf, index=index: leaf[index], (state, inputs))
        got = jax.tree.map(lambda leaf, index=index: leaf[index], (following, outputs))
        _assert_close(got, alone(params, *one))


def test_vmap_over_a_batch_is_the_batch():
    cell = _cell(num_write_heads=2)
    params, state, inputs = _started(cell, 3)
    mapped = jax.jit(jax.vmap(_apply(cell), in_axes=(None, 0, 0)))(params, state, inputs)
    _assert_close(mapped, _apply(cell)(params, state, inputs))


def test_jit_is_eager():
    cell = _cell(LSTM(4))
    params, state, inputs = _started(cell, 2)
    eager = cell.apply({"params": params}, state, inputs)
    _assert_close(_apply(cell)(params, state, inputs), eager)


@pytest.mark.parametrize("controller", [FeedForward((3,)), LSTM(3)], ids=["ff", "lstm"])
def test_gradients_are_those_of_finite_differences(controller):
    cell = _cell(controller)
    with jax.enable_x64(True):
        arguments = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), _started(cell))
        check_grads(_apply(cell), arguments, order=1, modes=["rev"])


def test_weightings_stay_on_the_simplex_over_many_steps():
    cell = _cell(LSTM(4), num_read_heads=2, max_shift=2)
    params, state, inputs = _started(cell, 2)
    apply = _apply(cell)
    for _ in range(50):
        state, _ = apply(params, state, inputs)
    for weights in (state.read_weights, state.write_weights):
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)


def test_read_heads_see_what_was_written_in_the_same_step():
    """A machine that writes its bias to slot 0 and reads slot 0 outputs that bias at once."""
    cell = _cell(FeedForward(()), max_shift=0)
    _, state, inputs = _started(cell)
    params = jax.tree.map(jnp.zeros_like, strategies.parameters(cell, state, inputs))
    sizes = 1, 1, WIDTH, 0
    bias = heads.interface_bias(*sizes, gate=-100.0, sharpness=0.0)
    bias[-2 * WIDTH :] = [100.0, 100.0, 7.0, -8.0]  # erase everything, add (7, -8)
    params["interface"]["bias"] = jnp.asarray(bias)
    at_zero = jnp.asarray(np.eye(1, SLOTS, dtype=np.float32))
    state = state._replace(read_weights=at_zero, write_weights=at_zero)
    following, _ = _apply(cell)(params, state, inputs)
    np.testing.assert_allclose(following.read_vectors, [[7.0, -8.0]], atol=1e-5)
    np.testing.assert_allclose(following.memory[1:], state.memory[1:], atol=1e-5)


@pytest.mark.parametrize(
    "biases",
    [
        {},
        {"strength_bias": 2.0, "gate_bias": 1.5, "sharpness_bias": -1.0, "shift_bias": 3.0},
    ],
    ids=["default", "chosen"],
)
def test_initial_biases_set_what_the_heads_do_before_learning(biases):
    cell = _cell(num_read_heads=2, max_shift=2, **biases)
    state = strategies.busy_state(cell, (), INPUTS)
    params = jax.jit(cell.init)(jax.random.key(0), state, jnp.ones(INPUTS))["params"]
    recorded = _traced(cell)(params, state, jnp.ones(INPUTS))[1]
    interface = recorded["trace"]["step"].interface
    for emitted in (interface.read, interface.write):
        gate = reference.sigmoid(np.float64(cell.gate_bias))
        shift = reference.softmax([0, 0, 0, cell.shift_bias, 0])
        np.testing.assert_allclose(emitted.gate, np.full_like(emitted.gate, gate), rtol=1e-6)
        np.testing.assert_allclose(emitted.strength, reference.softplus(cell.strength_bias), 1e-6)
        sharpness = 1.0 + reference.softplus(cell.sharpness_bias)
        np.testing.assert_allclose(emitted.sharpness, sharpness, rtol=1e-6)
        want = np.broadcast_to(shift, emitted.shift.shape)
        np.testing.assert_allclose(emitted.shift, want, rtol=1e-6)
        assert np.all(emitted.key != 0.0)  # what a head looks for does hang on what it sees


def test_the_heads_start_by_keeping_their_place_as_the_docstring_says():
    cell = _cell()
    assert reference.sigmoid(np.float64(cell.gate_bias)) < 0.05
    assert 1.0 + reference.softplus(cell.sharpness_bias) > 2.0


@pytest.mark.parametrize(("heads", "by_content"), [((1, 1), 1), ((2, 3), 2), ((3, 1), 1)])
def test_read_heads_that_start_by_content_look_for_what_is_written_now(heads, by_content):
    cell = _cell(num_read_heads=heads[0], num_write_heads=heads[1], content_reads=by_content)
    _, state, inputs = _started(cell, 4)
    params = jax.jit(cell.init)(jax.random.key(0), state, inputs)["params"]
    interface = _traced(cell)(params, state, inputs)[1]["trace"]["step"].interface
    for head in range(heads[0]):
        alike = np.allclose(interface.read.key[:, head], interface.add[:, 0], rtol=1e-5, atol=0.0)
        assert alike == (head < by_content)
    assert np.abs(interface.add[0] - interface.add[1]).max() > 0.01  # another input, another key
    assert (interface.read.gate[:, :by_content] > 0.5).all()
    gate = reference.sigmoid(np.float64(cell.gate_bias))
    for others in (interface.read.gate[:, by_content:], interface.write.gate):
        np.testing.assert_allclose(others, np.full_like(others, gate), 1e-5)


def test_no_more_read_heads_start_by_content_than_there_are():
    with pytest.raises(ValueError, match="content_reads: expected 0 to 2, .*, got 3"):
        _cell(num_read_heads=2, content_reads=3)


@pytest.mark.parametrize(
    ("weights_init", "alike"),
    [(cell_module.uniform_weights, True), (cell_module.one_hot_weights, False)],
)
def test_a_constant_memory_under_uniform_weightings_stays_one_slot(weights_init, alike):
    """What is the same in every slot gets the same weight, and so it is for ever."""
    cell = _cell(memory_init=nn.initializers.constant(1e-6), weights_init=weights_init)
    params, _, inputs = _started(cell)
    state = cell.initialize_carry(jax.random.key(0), (INPUTS,))
    step = _apply(cell)
    for _ in range(5):
        state, _ = step(params, state, inputs)
    rows = np.asarray(state.memory)
    assert np.abs(rows).max() > 0.5  # something was written
    assert np.allclose(rows, rows[0], atol=1e-5) == alike


def test_output_activation_is_applied_to_the_logits():
    params, state, inputs = _started(_cell(), 2)
    _, logits = _apply(_cell())(params, state, inputs)
    _, outputs = _apply(_cell(output_activation=nn.sigmoid))(params, state, inputs)
    np.testing.assert_allclose(outputs, reference.sigmoid(logits), rtol=1e-5)


def test_without_output_from_reads_this_steps_reads_cannot_reach_the_output():
    cell = _cell(output_from_reads=False)
    params, state, inputs = _started(cell)
    assert params["output"]["kernel"].shape == (4, FEATURES)
    apply = _apply(cell)
    other = state._replace(memory=state.memory + 1.0)
    np.testing.assert_array_equal(apply(params, state, inputs)[1], apply(params, other, inputs)[1])
    seen = _cell()
    params, *_ = _started(seen)
    assert params["output"]["kernel"].shape == (4 + WIDTH, FEATURES)
    apply = _apply(seen)
    assert (apply(params, state, inputs)[1] != apply(params, other, inputs)[1]).any()


def test_the_controller_sees_the_last_read_vectors():
    cell = _cell(output_from_reads=False)
    params, state, inputs = _started(cell)
    other = state._replace(read_vectors=state.read_vectors + 1.0)
    apply = _apply(cell)
    assert (apply(params, state, inputs)[1] != apply(params, other, inputs)[1]).any()


def test_no_parameters_shape_depends_on_the_number_of_slots():
    shapes = []
    for size in (5, 1000):
        cell = _cell(LSTM(4)).clone(num_slots=size)
        params, *_ = _started(cell)
        shapes.append(jax.tree.map(jnp.shape, params))
    assert shapes[0] == shapes[1]


def test_init_hands_out_parameters_and_nothing_else_as_every_flax_cell_does():
    cell = _cell()
    _, state, inputs = _started(cell)
    assert set(jax.eval_shape(cell.init, jax.random.key(0), state, inputs)) == {"params"}


def test_the_first_state_is_a_marked_memory_one_hot_weights_and_what_they_read():
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
def test_every_example_of_a_batch_starts_alike_from_the_starts_chosen(batch):
    cell = _cell(
        LSTM(4),
        num_read_heads=2,
        memory_init=nn.initializers.normal(1.0),
        weights_init=cell_module.uniform_weights,
    )
    start = jax.jit(cell.initialize_carry, static_argnums=1)
    state = start(jax.random.key(0), (*batch, INPUTS))
    alone = start(jax.random.key(0), (INPUTS,))
    for leaf, one in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(leaf, np.broadcast_to(one, (*batch, *one.shape)))
    np.testing.assert_array_equal(alone.read_weights, np.full((2, SLOTS), np.float32(1 / SLOTS)))
    for head in range(2):
        want = reference.read(np.asarray(alone.memory), np.asarray(alone.read_weights[head]))
        np.testing.assert_allclose(alone.read_vectors[head], want, atol=1e-6)
    other = start(jax.random.key(1), (INPUTS,))
    assert (other.memory != alone.memory).all()


def test_bfloat16_leaves_parameters_and_memory_float32():
    exact = _cell(FeedForward((4,)))
    cell = _cell(FeedForward((4,), dtype=jnp.bfloat16), dtype=jnp.bfloat16)
    params, state, inputs = _started(cell, 2)
    following, outputs = _apply(cell)(params, state, inputs)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((params, following))} == {jnp.dtype("float32")}
    # bfloat16 keeps 8 bits: values below 4 are known to about 0.02, and a few add up.
    _assert_close(
        (following, outputs.astype(jnp.float32)), _apply(exact)(params, state, inputs), atol=0.2
    )


def test_bfloat16_inputs_are_taken():
    cell = _cell(LSTM(4, dtype=jnp.bfloat16), dtype=jnp.bfloat16)
    params, state, inputs = _started(cell, 2)
    following, _ = _apply(cell)(params, state, inputs.astype(jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(following)} == {jnp.dtype("float32")}


def test_the_trace_is_the_step_and_is_there_only_when_asked_for():
    cell = _cell(num_read_heads=2, num_write_heads=3)
    params, state, inputs = _started(cell, 4)
    (following, outputs), recorded = _traced(cell)(params, state, inputs)
    step = recorded["trace"]["step"]
    assert step.interface.read.key.shape == (4, 2, WIDTH)
    assert step.interface.read.gate.shape == (4, 2)
    assert step.interface.write.shift.shape == (4, 3, 3)
    assert step.interface.erase.shape == step.interface.add.shape == (4, 3, WIDTH)
    for name in ("memory", "read_weights", "write_weights", "read_vectors"):
        np.testing.assert_array_equal(getattr(step, name), getattr(following, name))
    quiet = _apply(cell)(params, state, inputs)
    assert len(quiet) == 2
    np.testing.assert_array_equal(outputs, quiet[1])


def test_states_that_do_not_fit_are_refused_by_their_sizes():
    cell = _cell()
    params, state, inputs = _started(cell)
    apply = _apply(cell)
    with pytest.raises(AssertionError, match=r"5.*6|6.*5"):
        apply(params, state._replace(memory=jnp.zeros((6, WIDTH))), inputs)
    with pytest.raises(AssertionError, match=r"2.*7|7.*2"):
        apply(params, state._replace(memory=jnp.zeros((SLOTS, 7))), inputs)
    with pytest.raises(flax.errors.ScopeParamShapeError, match=f"{10 + WIDTH}.*{INPUTS + WIDTH}"):
        apply(params, state, jnp.zeros(10))


def test_a_batch_of_another_size_than_the_carrys_is_refused_by_both_sizes():
    cell = _cell()
    params, state, _ = _started(cell, 13)
    with pytest.raises((ValueError, TypeError, AssertionError), match=r"13.*\b2\b|\b2\b.*13"):
        _apply(cell)(params, state, jnp.zeros((2, INPUTS)))


def test_importing_the_cell_brings_in_nothing_that_trains_or_draws():
    # Flax itself imports absl flags, so that what counts is what is there beyond flax.linen and
    # the libraries of the functions.
    program = """
import sys
import chex, flax.linen, jax
before = set(sys.modules)
import ntm_jax.cell
print(*sorted(set(sys.modules) - before))
print(*sorted(sys.modules))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    added, everything = (line.split() for line in run.stdout.splitlines())
    assert "ntm_jax.cell" in added
    assert {name.split(".")[0] for name in added} == {"ntm_jax"}
    assert not {"orbax", "matplotlib", "tensorboardX"} & set(everything)
