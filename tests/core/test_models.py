import doctest
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import reference, strategies
from support.runs import trees_equal

from ntm_jax import initializers, models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.models import NTM, find_traces, trace
from ntm_jax.tasks import losses
from ntm_jax.tasks.copy import Copy

BATCH, STEPS, INPUTS, FEATURES, SLOTS, WIDTH = 2, 5, 4, 3, 5, 2

# The same sums in a different order, over a few steps.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}

TRACED = ("memory", "read_weights", "write_weights", "read_vectors")


def _cell(controller=None, **fields):
    fields = {"num_slots": SLOTS, "slot_width": WIDTH, "num_read_heads": 2} | fields
    return NTMCell(FEATURES, controller or LSTM(3), **fields)


def _inputs(*shape, seed=0):
    return jnp.asarray(strategies.normal(seed, *(shape or (BATCH, STEPS, INPUTS))))


def _state(batch=(BATCH,)):
    return strategies.random_state(_cell(), batch, INPUTS)


def _initial_state(batch=(BATCH,)):
    return _cell().initialize_carry(jax.random.key(0), (*batch, INPUTS))


@functools.cache
def _params():
    return strategies.init_random_params(NTM(_cell()), _inputs())


def _init_shapes(model):
    return jax.eval_shape(model.init, jax.random.key(0), _inputs())


def _jit_apply(model):
    def apply(params, inputs, mask=None, carry=None):
        return model.apply({"params": params}, inputs, mask, carry, return_carry=True)

    return jax.jit(apply)


@functools.cache
def _jitted():
    return _jit_apply(NTM(_cell()))


def _run(params, inputs, mask=None, carry=None):
    """Applies the default model; with an explicit mask and carry each shape compiles once."""
    if mask is None:
        mask = jnp.ones(inputs.shape[:-1], bool)
    if carry is None:
        carry = _initial_state(inputs.shape[:-2])
    return _jitted()(params, inputs, mask, carry)


def _squared_loss(model):
    """Loss, (carry, outputs), and the gradients by parameters, inputs and carry."""

    def loss(params, inputs, mask, carry):
        carry, outputs = model.apply({"params": params}, inputs, mask, carry, return_carry=True)
        return jnp.sum(outputs**2) + jnp.sum(carry.memory**2), (carry, outputs)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 3), has_aux=True))


@functools.cache
def _value_and_grad():
    return _squared_loss(NTM(_cell()))


@functools.cache
def _trace():
    return jax.jit(functools.partial(models.trace, NTM(_cell())))


def _param_gradients(model, params):
    loss = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))
    return loss(params, _inputs())


def _assert_close(actual, expected, **tolerance):
    tolerance = tolerance or ROUNDING
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), actual, expected)


def _assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


# The scan over the cell.


@pytest.mark.parametrize(
    ("controller", "name"), [(FeedForward((3,)), "feed_forward"), (LSTM(3), "lstm")]
)
def test_sequence_matches_reference(controller, name):
    cell = _cell(controller, num_write_heads=2, max_shift=2)
    inputs, state = _inputs(STEPS, INPUTS), strategies.random_state(cell, (), INPUTS)
    params = strategies.init_random_params(NTM(cell), inputs)
    expected, expected_outputs = reference.sequence(
        reference.float64(params["cell"]),
        reference.float64(tuple(state)),
        np.asarray(inputs),
        controller=getattr(reference, name),
        slot_width=WIDTH,
        max_shift=2,
    )
    # In float64 only a different equation could cause a difference.
    with jax.enable_x64(True):
        params, inputs, state = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), (params, inputs, state)
        )
        final, outputs = _jit_apply(NTM(cell))(params, inputs, None, state)
    _assert_close(outputs, expected_outputs, rtol=1e-9, atol=1e-9)
    _assert_close(tuple(final[0]), expected[0], rtol=1e-9, atol=1e-9)
    for actual, wanted in zip(final[1:5], expected[1:], strict=True):
        np.testing.assert_allclose(actual, np.array(wanted), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("unmasked", [range(STEPS), (0, 2, 3)], ids=["no mask", "mask"])
def test_scan_and_trace_match_a_python_loop(unmasked):
    params, inputs, unmasked = _params(), _inputs(), np.array(unmasked)
    apply_cell = jax.jit(functools.partial(_cell().apply, {"params": params["cell"]}))
    carry, steps = _initial_state(), []
    for time in unmasked:
        carry, output = apply_cell(carry, inputs[:, time])
        steps.append((carry, output))
    carries, expected = jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *steps)
    mask = jnp.zeros((BATCH, STEPS), bool).at[:, unmasked].set(True)
    final, outputs = _run(params, inputs, mask)
    _assert_close(outputs[:, unmasked], expected)
    _assert_close(final, carry)
    traced_outputs, trace = _trace()(params, inputs, mask)
    _assert_close(traced_outputs, outputs)
    for name in TRACED:
        _assert_close(getattr(trace, name)[:, unmasked], getattr(carries, name))


@pytest.mark.parametrize("batch", [(), (BATCH,)])
def test_trace_stacks_steps_along_the_time_axis(batch):
    outputs, trace = jax.eval_shape(_trace(), _params(), _inputs(*batch, STEPS, INPUTS))
    assert outputs.shape == (*batch, STEPS, FEATURES)
    for array, shape in [
        (trace.memory, (SLOTS, WIDTH)),
        (trace.read_weights, (2, SLOTS)),
        (trace.write_weights, (1, SLOTS)),
        (trace.interface.read.key, (2, WIDTH)),
        (trace.interface.read.gate, (2,)),
        (trace.interface.write.shift, (1, 3)),
        (trace.interface.erase, (1, WIDTH)),
    ]:
        assert array.shape == (*batch, STEPS, *shape)


def test_jit_and_default_arguments():
    expected = _run(_params(), _inputs())
    _assert_close(_jitted()(_params(), _inputs()), expected)
    _assert_close(NTM(_cell()).apply({"params": _params()}, _inputs()), expected[1])
    different_carry = _run(_params(), _inputs(), carry=_state())
    assert (np.abs(different_carry[1] - expected[1]) > 1e-3).any()


def test_flax_rnn_matches_with_the_same_params():
    rnn, params = nn.RNN(_cell(), return_carry=True), _params()
    assert jax.tree.map(jnp.shape, _init_shapes(rnn)["params"]) == jax.tree.map(jnp.shape, params)
    expected = jax.jit(lambda p, x: rnn.apply({"params": p}, x))(params, _inputs())
    _assert_close(_run(params, _inputs()), expected)


def test_init_returns_params_only():
    assert set(_init_shapes(NTM(_cell()))) == {"params"}


def test_batch_matches_single_sequences_and_vmap():
    params, inputs = _params(), _inputs()
    batch = _run(params, inputs)
    for example in range(BATCH):
        single = _run(params, inputs[example])
        _assert_close(jax.tree.map(lambda leaf, i=example: leaf[i], batch), single)
    _assert_close(jax.jit(jax.vmap(_run, in_axes=(None, 0)))(params, inputs), batch)


def test_sequence_in_parts_matches_whole_sequence():
    params, inputs = _params(), _inputs()
    expected_carry, expected = _run(params, inputs)
    middle, first = _run(params, inputs[:, :2])
    final, second = _run(params, inputs[:, 2:], None, middle)
    _assert_close(jnp.concatenate([first, second], 1), expected)
    _assert_close(final, expected_carry)


def test_random_initial_memory_is_reproducible():
    model = NTM(_cell(memory_init=nn.initializers.normal(1.0)))
    first, second = (_initial_carry(model, _params(), _inputs(seed=seed)) for seed in (0, 1))
    _assert_equal(first, second)
    np.testing.assert_array_equal(first.memory[0], first.memory[1])
    assert np.std(first.memory) > 0.3


# Masks.


def test_masks_are_separate_for_each_example():
    state, mask = _state(), jnp.array([[True] * STEPS, [False] * STEPS])
    final, outputs = _run(_params(), _inputs(), mask, state)
    unmasked = _run(_params(), _inputs(), None, state)
    _assert_close(*(jax.tree.map(lambda x: x[0], tree) for tree in ((final, outputs), unmasked)))
    _assert_equal(*(jax.tree.map(lambda x: x[1], tree) for tree in (final, state)))
    np.testing.assert_array_equal(outputs[1], 0.0)


def test_masked_steps_are_skipped():
    steps = np.array([[0, 2, 4], [1, 2, 3]])
    mask = np.zeros((BATCH, STEPS), bool)
    np.put_along_axis(mask, steps, True, 1)
    inputs, state = _inputs(), _state()
    final, outputs = _run(_params(), inputs, mask, state)
    unmasked_inputs = np.take_along_axis(np.asarray(inputs), steps[..., None], 1)
    expected_carry, expected = _run(_params(), unmasked_inputs, None, state)
    _assert_close(final, expected_carry)
    _assert_close(np.take_along_axis(np.asarray(outputs), steps[..., None], 1), expected)
    np.testing.assert_array_equal(outputs[~mask], 0.0)


@pytest.mark.parametrize("garbage", [0.0, -1e3, 1e30])
def test_masked_inputs_have_no_effect_or_gradient(garbage):
    mask = jnp.array([[True, False, True, True, False], [False, True, True, False, True]])
    inputs = jnp.where(mask[..., None], _inputs(), garbage)
    _assert_equal(*(_run(_params(), x, mask) for x in (inputs, _inputs())))
    actual, expected = (
        _value_and_grad()(_params(), x, mask, _state())[1] for x in (inputs, _inputs())
    )
    _assert_equal((actual[0], actual[2]), (expected[0], expected[2]))
    np.testing.assert_array_equal(actual[1][~mask], 0.0)


# Scan options.


@functools.cache
def _gradients(masked, **fields):
    mask = jnp.array([[True, False, True, True, True], [False, True, True, False, False]])
    loss = _squared_loss(NTM(_cell(), **fields))
    return loss(_params(), _inputs(), mask if masked else None, _state())


@pytest.mark.parametrize(
    ("masked", "fields"),
    [
        (True, {"unroll": 2}),
        (True, {"remat": True}),
        *((True, {"remat": True, "remat_chunk_size": n}) for n in (1, 2, 3, STEPS, STEPS + 2)),
        (False, {"remat": True, "remat_chunk_size": 2}),
    ],
    ids=str,
)
def test_scan_options_change_no_results(masked, fields):
    _assert_close(_gradients(masked, **fields), _gradients(masked))


def test_chunks_reduce_the_memory_of_gradients():
    num_steps = 400
    inputs = _inputs(num_steps, INPUTS)

    def temporary_bytes(chunk_size):
        model = NTM(_cell(num_slots=200), remat_chunk_size=chunk_size, remat=True)
        loss = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))
        return loss.lower(_params(), inputs).compile().memory_analysis().temp_size_in_bytes

    assert temporary_bytes(0) > num_steps * 4 * 200 * WIDTH  # the memories of all steps
    # 20 chunks of 20 steps store 40 carries instead of 400, plus a constant.
    assert temporary_bytes(20) < temporary_bytes(0) / 4


def test_chunks_do_not_change_the_trace():
    model = NTM(_cell())
    _assert_equal(
        *(models.trace(model.clone(remat_chunk_size=size), _params(), _inputs()) for size in (0, 2))
    )


# Initial states and larger memories.


def _initial_carry(model, params, inputs=None):
    """The final carry of a sequence whose steps are all masked."""
    inputs = _inputs() if inputs is None else inputs
    return _jit_apply(model)(params, inputs, jnp.zeros(inputs.shape[:-1], bool))[0]


def test_larger_memory_uses_the_same_params():
    small, large = NTM(_cell()), NTM(_cell(num_slots=40))
    assert _init_shapes(small) == _init_shapes(large)
    final, outputs = _jit_apply(large)(_params(), _inputs())
    assert final.memory.shape == (BATCH, 40, WIDTH)
    assert strategies.all_finite((final, outputs))


@functools.cache
def _learned():
    model = NTM(_cell(), learned_init=models.LEARNED_INITS)
    return model, strategies.init_random_params(model, _inputs())


def test_learned_init_is_shared_by_the_batch():
    model, params = _learned()
    initial = _initial_carry(model, params)
    for example in range(BATCH):
        np.testing.assert_array_equal(initial.memory[example], params["initial_memory"])
        for part in ("read_weights", "write_weights"):
            expected = [reference.softmax(row) for row in params[f"initial_{part}"]]
            np.testing.assert_allclose(getattr(initial, part)[example], expected, atol=1e-6)
        for index, leaf in enumerate(initial.controller):
            np.testing.assert_array_equal(leaf[example], params[f"initial_controller_{index}"])
        for head in range(2):
            expected = reference.read(params["initial_memory"], initial.read_weights[example, head])
            np.testing.assert_allclose(initial.read_vectors[example, head], expected, atol=1e-6)


def test_learned_carry_can_be_made_alone():
    model, params = _learned()
    shape = (BATCH, _inputs().shape[-1])
    carry = model.apply({"params": params}, shape, method="make_initial_carry")
    _assert_close(carry, _initial_carry(model, params))


def test_learned_init_receives_gradients():
    grads = _param_gradients(*_learned())
    for name in ("memory", "read_weights", "write_weights", "controller_0", "controller_1"):
        gradient = grads[f"initial_{name}"]
        assert strategies.all_finite(gradient)
        assert np.abs(gradient).max() > 0, name


MEMORY_INITS = {
    "marker": initializers.first_slot_marker(),
    "zeros": nn.initializers.zeros,
    "1e-6": nn.initializers.constant(1e-6),
    "1e-3": nn.initializers.constant(1e-3),
    "normal, 1e-4": nn.initializers.normal(1e-4),
    "normal, 0.1": nn.initializers.normal(0.1),
    "normal, 100": nn.initializers.normal(100.0),
}


@pytest.mark.parametrize("learned", [("memory",), models.LEARNED_INITS], ids=["memory", "all"])
def test_gradient_of_initial_memory_is_bounded(learned):
    """Clipping by the global norm must not wipe out the gradients of all other parameters."""
    model = NTM(_cell(num_slots=128, slot_width=20), learned_init=learned)
    params = jax.jit(model.init)(jax.random.key(0), _inputs())["params"]
    ratios = {}
    for name, init in MEMORY_INITS.items():
        memory = init(jax.random.key(1), (128, 20), jnp.float32)
        gradient = _copy_gradient(model, params | {"initial_memory": memory})
        own = optax.tree.norm(gradient.pop("initial_memory"))
        ratios[name] = own / optax.tree.norm(gradient)
    assert min(ratios.values()) > 0
    assert max(ratios.values()) < 10, ratios


@functools.partial(jax.jit, static_argnums=0)
def _copy_gradient(model, params):
    batch = Copy(num_bits=INPUTS - 1, max_length=8).sample(jax.random.key(2), 4)

    def loss(params):
        logits = model.apply({"params": params}, batch.inputs)
        return losses.bit_cross_entropy(logits, batch.targets, batch.mask.astype(jnp.float32))

    return jax.grad(loss)(params)


@pytest.mark.parametrize("equal", [True, False], ids=["equal logits", "initial logits"])
def test_equal_learned_logits_get_no_gradient(equal):
    model = NTM(_cell(memory_init=nn.initializers.constant(0.5)), learned_init=("head",))
    params = jax.jit(model.init)(jax.random.key(0), _inputs())["params"]
    names = ["initial_read_weights", "initial_write_weights"]
    if equal:
        params = params | {name: jnp.zeros_like(params[name]) for name in names}
    grads = _param_gradients(model, params)
    for name in names:
        assert np.allclose(grads[name], 0.0, atol=1e-6) == equal


def test_learned_init_starts_at_the_cells_state():
    model = NTM(_cell(), learned_init=("controller", "memory"))
    params = jax.jit(model.init)(jax.random.key(0), _inputs())["params"]
    _assert_close(_initial_carry(model, params), _initial_state())


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("controller", {"initial_controller_0", "initial_controller_1"}),
        ("memory", {"initial_memory"}),
        ("head", {"initial_read_weights", "initial_write_weights"}),
    ],
)
def test_only_the_given_parts_are_learned(part, names):
    shapes = _init_shapes(NTM(_cell(), learned_init=(part,)))["params"]
    assert set(shapes) == {"cell"} | names


def test_learned_init_fits_a_larger_memory():
    model, params = _learned()
    large = model.clone(cell=_cell(num_slots=8))
    initial, expected = _initial_carry(large, params), _initial_carry(model, params)
    np.testing.assert_array_equal(initial.memory[:, :SLOTS], expected.memory)
    np.testing.assert_array_equal(initial.memory[:, SLOTS:], 0.0)
    for part in ("read_weights", "write_weights"):
        weighting = getattr(initial, part)
        np.testing.assert_allclose(weighting[..., :SLOTS], getattr(expected, part), atol=1e-6)
        np.testing.assert_array_equal(weighting[..., SLOTS:], 0.0)
    assert strategies.all_finite(_jit_apply(large)(params, _inputs()))


def test_learned_init_in_smaller_memory_raises():
    model, params = _learned()
    small = model.clone(cell=_cell(num_slots=SLOTS - 1))
    with pytest.raises(ValueError, match="num_slots: expected at least 5, .* initial_memory .* 4"):
        small.apply({"params": params}, _inputs())


# Degenerate parameters, states and inputs.

ZERO_WEIGHTS = jnp.zeros((BATCH, 2, SLOTS))
DEGENERATE = {
    "initial state": ({}, {}),
    "zero memory": ({}, {"memory": jnp.zeros((BATCH, SLOTS, WIDTH))}),
    "constant memory": ({}, {"memory": jnp.ones((BATCH, SLOTS, WIDTH))}),
    "zero weights": ({}, {"read_weights": ZERO_WEIGHTS, "write_weights": ZERO_WEIGHTS[:, :1]}),
    "strength 10000": ({"strength": 1e4, "gate": 0.0}, {}),
    "strength 10000, gate 1": ({"strength": 1e4, "gate": 1e3}, {}),
    "sharpness 1000": ({"sharpness": 1e3, "gate": 0.0}, {}),
    "sharpness 1000, gate 0": ({"sharpness": 1e3, "gate": -1e3}, {}),
    "one-hot shift": ({"shift": 1e4, "gate": -1e3}, {}),
    "all biases": ({"strength": 1e4, "gate": -1e3, "sharpness": 1e3, "shift": 1e4}, {}),
    "all biases, zero memory": (
        {"strength": 1e4, "gate": 0.0, "sharpness": 1e3},
        {"memory": jnp.zeros((BATCH, SLOTS, WIDTH))},
    ),
}
UNMASKED = jnp.ones((BATCH, STEPS), bool)


@pytest.mark.parametrize("kernel_scale", [0.0, 1.0], ids=["zero kernel", "random kernel"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_points_have_finite_gradients(name, kernel_scale):
    biases, state = DEGENERATE[name]
    interface = {
        "kernel": kernel_scale * _params()["cell"]["interface"]["kernel"],
        "bias": jnp.asarray(_cell().interface_spec.initial_bias(**biases)),
    }
    params = {"cell": _params()["cell"] | {"interface": interface}}
    carry = _initial_state()._replace(**state)
    assert strategies.all_finite(_value_and_grad()(params, _inputs(), UNMASKED, carry))


@pytest.mark.parametrize("scale", [0.0, 1e4, 1e8])
def test_any_input_scale_has_finite_gradients(scale):
    result = _value_and_grad()(_params(), scale * _inputs(), UNMASKED, _initial_state())
    assert strategies.all_finite(result)


# Dropout, addressing noise and dtypes.


def test_controller_dropout_depends_on_the_key():
    model = NTM(_cell(FeedForward((8,), dropout_rate=0.5, deterministic=False)))
    params = strategies.init_random_params(model, _inputs())
    apply = jax.jit(lambda rngs: model.apply({"params": params}, _inputs(), rngs=rngs))
    first, same, other = (apply({"dropout": jax.random.key(seed)}) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_noise_spares_the_content_values():
    model = NTM(_cell(), addressing_noise_std=1.0, deterministic=False)
    inputs = jnp.broadcast_to(_inputs()[:1], _inputs().shape)

    def interface(rngs):
        noisy = model.clone(deterministic=not rngs)
        _, variables = noisy.apply({"params": _params()}, inputs, rngs=rngs, mutable=["trace"])
        return jax.tree.map(np.asarray, variables["trace"]["cell"]["step"].interface)

    quiet, noisy, other = (
        interface(rngs) for rngs in ({}, *({"dropout": jax.random.key(seed)} for seed in (0, 1)))
    )
    # Later steps differ in their content values too, because the states differ.
    for before, after in ((quiet.read, noisy.read), (quiet.write, noisy.write)):
        np.testing.assert_array_equal(after.key[:, 0], before.key[:, 0])
        for name in ("strength", "gate", "shift", "sharpness"):
            assert (getattr(after, name)[:, 0] != getattr(before, name)[:, 0]).all()
    np.testing.assert_array_equal(noisy.add[:, 0], quiet.add[:, 0])
    np.testing.assert_array_equal(noisy.erase[:, 0], quiet.erase[:, 0])
    for leaf in jax.tree.leaves(noisy):  # the same for the whole batch
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    assert (other.read.gate[:, 0] != noisy.read.gate[:, 0]).all()
    assert len(np.unique(noisy.read.gate[0] - quiet.read.gate[0])) > 1


def test_bfloat16_keeps_the_carry_float32():
    model = NTM(_cell(LSTM(3, dtype=jnp.bfloat16), dtype=jnp.bfloat16))
    mask = jnp.arange(STEPS) < jnp.array([[STEPS], [2]])
    final, outputs = _jit_apply(model)(_params(), _inputs(), mask)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(final)} == {jnp.dtype("float32")}
    expected = _run(_params(), _inputs(), mask)[1]
    # 8 bits per value, compounded over five steps of outputs of size 1 to 3.
    np.testing.assert_allclose(outputs.astype(jnp.float32), expected, atol=0.3)


# Errors and documentation.


@pytest.mark.parametrize("shape", [(INPUTS,), ()])
def test_inputs_without_time_axis_raise(shape):
    with pytest.raises(ValueError, match=r"inputs: expected \[B, T, I\] or \[T, I\], got shape"):
        NTM(_cell()).apply({"params": _params()}, jnp.zeros(shape))


@pytest.mark.parametrize("shape", [(STEPS,), (BATCH, STEPS + 1), (BATCH, 1), (BATCH, STEPS, 1)])
def test_mask_of_wrong_shape_raises(shape):
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 5\), got \(") as error:
        NTM(_cell()).apply({"params": _params()}, _inputs(), jnp.ones(shape, bool))
    assert str(shape) in str(error.value)


def test_carry_of_wrong_batch_size_raises():
    with pytest.raises((ValueError, TypeError, AssertionError), match=r"13.*\b2\b|\b2\b.*13"):
        _run(_params(), _inputs(), None, _state((13,)))


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"learned_init": ("memory", "heads")},
            ValueError,
            r"learned_init: .*'head'.* \['heads'\]",
        ),
        (
            {"learn_carry": True},
            ValueError,
            "learn_carry: expected False, .*learned_init, got True",
        ),
        ({"addressing_noise_std": -0.1}, ValueError, "addressing_noise_std: .* 0 to 100, got -0.1"),
        ({"addressing_noise_std": 101}, ValueError, "addressing_noise_std: .* 0 to 100, got 101"),
        ({"head_noise": 0.1}, TypeError, "head_noise: renamed to addressing_noise_std"),
        ({"segment": 4}, TypeError, "segment: renamed to remat_chunk_size"),
    ],
)
def test_invalid_fields_raise(fields, error, message):
    with pytest.raises(error, match=message):
        NTM(_cell(), **fields)


def test_docstring_example_runs():
    (example,) = doctest.DocTestFinder(recurse=False).find(NTM, "NTM", globs={})
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


class TwoNTMs(nn.Module):
    """A larger model with one NTM under `RNN` and one under `flax.linen.RNN`."""

    first: nn.Module
    second: nn.Module

    def __call__(self, inputs):
        return self.second(self.first(inputs))


def test_find_traces_in_a_larger_model():
    inputs = jax.random.normal(jax.random.key(1), (2, 7, 3))
    cell, other = (NTMCell(3, FeedForward((5,)), num_slots=6, slot_width=4) for _ in range(2))
    model = TwoNTMs(NTM(cell), nn.RNN(other, variable_axes={"trace": 1}))
    params = model.init(jax.random.key(0), inputs)["params"]
    _, variables = model.apply({"params": params}, inputs, mutable=["trace"])
    traces = find_traces(variables)
    assert list(traces) == ["first/cell", "second/cell"]
    hidden, step = trace(NTM(cell), params["first"], inputs)
    assert trees_equal(traces["first/cell"], step)
    _, step = trace(NTM(cell), params["second"], hidden)
    assert trees_equal(traces["second/cell"], step)


@pytest.mark.parametrize("mutable", [["trace"], ["other"]])
def test_missing_trace_raises(mutable):
    model, inputs = nn.RNN(NTMCell(3, FeedForward((5,)), num_slots=6)), jnp.ones((2, 7, 3))
    variables = model.init(jax.random.key(0), inputs)
    _, variables = model.apply(variables, inputs, mutable=mutable)
    with pytest.raises(ValueError, match="variables: expected a trace, got none; use mutable="):
        find_traces(variables)


def test_tabulate_gives_no_warning():
    model = NTM(NTMCell(3, FeedForward((5,)), num_slots=6))
    table = nn.tabulate(model, jax.random.key(0), console_kwargs={"width": 200})(
        jnp.ones((2, 7, 3))
    )
    assert "cell/interface" in table
