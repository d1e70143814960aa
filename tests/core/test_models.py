import functools

from support import strategies
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference

from ntm_jax import cell as cell_module
from ntm_jax import models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward
from ntm_jax.models import NTM

BATCH, STEPS, INPUTS, FEATURES, SLOTS, WIDTH = 2, 5, 4, 3, 5, 2

# The same sums in another order, a few steps long.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def _cell(controller=None, **options):
    options = {"num_slots": SLOTS, "slot_width": WIDTH, "num_read_heads": 2} | options
    return NTMCell(FEATURES, controller or LSTM(3), **options)


def _inputs(*shape, seed=0):
    return jnp.asarray(strategies.normal(seed, *(shape or (BATCH, STEPS, INPUTS))))


def _state(batch=(BATCH,), **options):
    return strategies.busy_state(_cell(**options), batch, INPUTS)


@functools.cache
def _params(**options):
    return strategies.parameters(NTM(_cell(**options)), _inputs())


def _runner(model):
    def run(params, inputs, mask=None, carry=None):
        return model.apply({"params": params}, inputs, mask, carry, return_carry=True)

    return jax.jit(run)


@functools.cache
def _compiled():
    """The runner that most tests share."""
    return _runner(NTM(_cell()))


def _run(params, inputs, mask=None, carry=None):
    """The usual machine, with the mask and the carry filled in so that a shape compiles once."""
    batch = inputs.shape[:-2]
    if mask is None:
        mask = jnp.ones(inputs.shape[:-1], bool)
    if carry is None:
        carry = _cell().initialize_carry(jax.random.key(0), (*batch, INPUTS))
    return _compiled()(params, inputs, mask, carry)


@functools.cache
def _with_gradients():
    """Loss, (carry, outputs), and gradients by parameters, inputs and carry."""
    model = NTM(_cell())

    def squared(params, inputs, mask, carry):
        carry, outputs = model.apply({"params": params}, inputs, mask, carry, return_carry=True)
        return jnp.sum(outputs**2), (carry, outputs)

    return jax.jit(jax.value_and_grad(squared, argnums=(0, 1, 3), has_aux=True))


@functools.cache
def _stepper():
    return jax.jit(lambda params, carry, x: _cell().apply({"params": params["cell"]}, carry, x))


@functools.cache
def _tracer():
    return jax.jit(functools.partial(models.trace, NTM(_cell())))


def _assert_close(got, want, **tolerance):
    tolerance = tolerance or ROUNDING
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), got, want)


def _assert_same(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


# The sequence as a whole.


@pytest.mark.parametrize(
    ("controller", "oracle"), [(FeedForward((3,)), "feed_forward"), (LSTM(3), "lstm")]
)
def test_a_sequence_is_that_of_the_oracle(controller, oracle):
    cell = _cell(controller, num_write_heads=2, max_shift=2)
    inputs, state = _inputs(STEPS, INPUTS), strategies.busy_state(cell, (), INPUTS)
    params = strategies.parameters(NTM(cell), inputs)
    want, wanted_outputs = reference.sequence(
        reference.float64(params["cell"]),
        reference.float64(tuple(state)),
        np.asarray(inputs),
        controller=getattr(reference, oracle),
        slot_width=WIDTH,
        max_shift=2,
    )
    # In float64, so that nothing but a different equation can make a difference.
    with jax.enable_x64(True):
        params, inputs, state = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), (params, inputs, state)
        )
        got, outputs = _runner(NTM(cell))(params, inputs, None, state)
    np.testing.assert_allclose(outputs, wanted_outputs, rtol=1e-9, atol=1e-9)
    _assert_close(tuple(got[0]), want[0], rtol=1e-9, atol=1e-9)
    for part, wanted in zip(got[1:], want[1:], strict=True):
        np.testing.assert_allclose(part, np.array(wanted), rtol=1e-9, atol=1e-9)


def _loop(params, inputs, kept):
    """Every carry and output of a Python loop over these time steps."""
    carry = _cell().initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    carries, outputs = [], []
    for time in kept:
        carry, output = _stepper()(params, carry, inputs[:, time])
        carries.append(carry)
        outputs.append(output)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves, 1), *carries), jnp.stack(outputs, 1)


def test_the_scan_is_a_loop_over_the_cell_and_the_trace_shows_it():
    params, inputs = _params(), _inputs()
    carries, outputs = _loop(params, inputs, range(STEPS))
    final, got = _run(params, inputs)
    _assert_close(got, outputs)
    _assert_close(final, jax.tree.map(lambda leaf: leaf[:, -1], carries))
    traced, record = _tracer()(params, inputs, jnp.ones((BATCH, STEPS), bool))
    _assert_close(traced, got)
    for name in ("memory", "read_weights", "write_weights", "read_vectors"):
        _assert_close(getattr(record, name), getattr(carries, name))
    assert record.memory.shape == (BATCH, STEPS, SLOTS, WIDTH)
    assert record.read_weights.shape == (BATCH, STEPS, 2, SLOTS)
    assert record.write_weights.shape == (BATCH, STEPS, 1, SLOTS)
    assert record.interface.read.gate.shape == (BATCH, STEPS, 2)
    assert record.interface.write.shift.shape == (BATCH, STEPS, 1, 3)
    assert record.interface.erase.shape == (BATCH, STEPS, 1, WIDTH)


def test_the_trace_of_one_sequence_has_time_in_front():
    outputs, record = jax.eval_shape(_tracer(), _params(), _inputs(STEPS, INPUTS))
    assert outputs.shape == (STEPS, FEATURES)
    assert record.memory.shape == (STEPS, SLOTS, WIDTH)
    assert record.interface.read.key.shape == (STEPS, 2, WIDTH)


def test_a_trace_with_a_mask_holds_the_memory_of_the_steps_that_count():
    kept = np.array([0, 2, 3])
    mask = jnp.zeros((BATCH, STEPS), bool).at[:, kept].set(True)
    _, record = _tracer()(_params(), _inputs(), mask)
    want, _ = _loop(_params(), _inputs(), kept)
    for name in ("memory", "read_weights", "write_weights", "read_vectors"):
        _assert_close(getattr(record, name)[:, kept], getattr(want, name))


def test_jit_is_eager():
    eager = NTM(_cell()).apply({"params": _params()}, _inputs(), return_carry=True)
    _assert_close(_compiled()(_params(), _inputs()), eager)


def test_flaxs_own_rnn_drives_the_cell_with_the_same_parameters():
    rnn, params = nn.RNN(_cell(), return_carry=True), _params()
    shapes = jax.eval_shape(nn.RNN(_cell()).init, jax.random.key(0), _inputs())["params"]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, params)
    theirs = jax.jit(lambda p, x: rnn.apply({"params": p}, x))(params, _inputs())
    _assert_close(_run(params, _inputs()), theirs)


def test_init_hands_out_parameters_and_nothing_else():
    assert set(jax.eval_shape(NTM(_cell()).init, jax.random.key(0), _inputs())) == {"params"}


def test_one_sequence_a_batch_and_a_vmap_agree():
    params, inputs = _params(), _inputs()
    carry, outputs = _run(params, inputs)
    for example in range(BATCH):
        alone = _run(params, inputs[example])
        _assert_close(jax.tree.map(lambda x, i=example: x[i], (carry, outputs)), alone)
    mapped = jax.jit(jax.vmap(_run, in_axes=(None, 0)))(params, inputs)
    _assert_close(mapped, (carry, outputs))


def test_outputs_come_alone_unless_the_carry_is_asked_for():
    apply = functools.partial(NTM(_cell()).apply, {"params": _params()})
    assert jax.eval_shape(apply, _inputs()).shape == (BATCH, STEPS, FEATURES)


def test_a_stream_in_pieces_is_the_stream_at_once():
    params, inputs = _params(), _inputs()
    carry, outputs = _run(params, inputs)
    middle, first = _run(params, inputs[:, :2])
    final, second = _run(params, inputs[:, 2:], None, middle)
    _assert_close(jnp.concatenate([first, second], 1), outputs)
    _assert_close(final, carry)


def test_without_a_mask_and_a_carry_all_steps_count_and_the_model_starts_as_its_cell():
    got, want = _compiled()(_params(), _inputs()), _run(_params(), _inputs())
    _assert_close(got, want)
    other = _run(_params(), _inputs(), carry=_state())
    assert (np.abs(other[1] - want[1]) > 1e-3).any()


def test_a_random_start_is_drawn_once_and_is_the_same_in_every_call_and_example():
    model = NTM(_cell(memory_init=nn.initializers.normal(1.0)))
    run, nothing = _runner(model), jnp.zeros((BATCH, STEPS), bool)
    first, _ = run(_params(), _inputs(), nothing)
    again, _ = run(_params(), _inputs(seed=1), nothing)
    _assert_same(first, again)
    np.testing.assert_array_equal(first.memory[0], first.memory[1])
    assert np.std(first.memory) > 0.3


# Masks.


def test_a_masked_step_leaves_every_part_of_the_carry_bit_for_bit_and_outputs_zero():
    state = _state()
    final, outputs = _run(_params(), _inputs(), jnp.zeros((BATCH, STEPS), bool), state)
    _assert_same(final, state)
    np.testing.assert_array_equal(outputs, 0.0)


def test_a_mask_is_for_each_example_its_own():
    state, mask = _state(), jnp.array([[True] * STEPS, [False] * STEPS])
    final, outputs = _run(_params(), _inputs(), mask, state)
    full, wanted = _run(_params(), _inputs(), None, state)
    _assert_close(
        jax.tree.map(lambda x: x[0], (final, outputs)), jax.tree.map(lambda x: x[0], (full, wanted))
    )
    _assert_same(jax.tree.map(lambda x: x[1], final), jax.tree.map(lambda x: x[1], state))


def test_masked_steps_in_the_middle_are_steps_that_never_were():
    steps = np.array([[0, 2, 4], [1, 2, 3]])
    mask = np.zeros((BATCH, STEPS), bool)
    np.put_along_axis(mask, steps, True, 1)
    inputs, state = _inputs(), _state()
    final, outputs = _run(_params(), inputs, mask, state)
    short = np.take_along_axis(np.asarray(inputs), steps[..., None], 1)
    want, wanted_outputs = _run(_params(), short, None, state)
    _assert_close(final, want)
    _assert_close(np.take_along_axis(np.asarray(outputs), steps[..., None], 1), wanted_outputs)
    np.testing.assert_array_equal(outputs[~mask], 0.0)


def test_padding_under_the_mask_changes_nothing():
    inputs = _inputs()
    padded = jnp.concatenate([inputs, 9.0 * _inputs(BATCH, 3, INPUTS, seed=5)], axis=1)
    mask = jnp.arange(STEPS + 3)[None] < jnp.full((BATCH, 1), STEPS)
    final, outputs = _run(_params(), padded, mask)
    want, wanted_outputs = _run(_params(), inputs)
    _assert_close(final, want)
    _assert_close(outputs[:, :STEPS], wanted_outputs)
    np.testing.assert_array_equal(outputs[:, STEPS:], 0.0)


@pytest.mark.parametrize("garbage", [0.0, -1e3, 1e30])
def test_what_stands_under_the_mask_does_not_matter_and_gets_no_gradient(garbage):
    mask = jnp.array([[True, False, True, True, False], [False, True, True, False, True]])
    inputs = _inputs()
    other = jnp.where(mask[..., None], inputs, garbage)
    _assert_same(_run(_params(), other, mask), _run(_params(), inputs, mask))
    carry = _state()
    _, got = _with_gradients()(_params(), other, mask, carry)
    _, want = _with_gradients()(_params(), inputs, mask, carry)
    _assert_same((got[0], got[2]), (want[0], want[2]))
    np.testing.assert_array_equal(got[1][~mask], 0.0)


@functools.cache
def _small_with_gradients(**options):
    """Results and gradients of the smallest machine, over four steps."""
    cell = _cell(FeedForward(()), num_read_heads=1)
    model, inputs = NTM(cell, **options), _inputs(BATCH, 4, INPUTS)
    mask = jnp.array([[True, False, True, True], [False, True, True, False]])

    def squared(params, inputs, carry):
        carry, outputs = model.apply({"params": params}, inputs, mask, carry, return_carry=True)
        return jnp.sum(outputs**2), (carry, outputs)

    differentiated = jax.jit(jax.value_and_grad(squared, argnums=(0, 1, 2), has_aux=True))
    params = strategies.parameters(NTM(cell), inputs)
    return differentiated(params, inputs, strategies.busy_state(cell, (BATCH,), INPUTS))


@pytest.mark.parametrize("options", [{"unroll": 2}, {"remat": True}], ids=["unroll", "remat"])
def test_unroll_and_remat_change_neither_numbers_nor_gradients(options):
    _assert_close(_small_with_gradients(**options), _small_with_gradients(), rtol=1e-4, atol=1e-5)


# Starts that are learned, and memories that grow.


def _start(model, params, inputs=None):
    """The state before the first step: that after steps that are all masked."""
    inputs = _inputs() if inputs is None else inputs
    return _runner(model)(params, inputs, jnp.zeros(inputs.shape[:-1], bool))[0]


def test_a_larger_memory_takes_the_same_parameters():
    small, large = NTM(_cell()), NTM(_cell(num_slots=40))
    shapes = [
        jax.tree.map(jnp.shape, jax.eval_shape(model.init, jax.random.key(0), _inputs())["params"])
        for model in (small, large)
    ]
    assert shapes[0] == shapes[1]
    final, outputs = _runner(large)(_params(), _inputs())  # trained with 5 slots
    assert final.memory.shape == (BATCH, 40, WIDTH)
    assert strategies.all_finite((final, outputs))


@functools.cache
def _learned():
    model = NTM(_cell(), learn=("controller", "memory", "weights"))
    return model, strategies.parameters(model, _inputs())


def test_learned_starts_are_parameters_shared_by_the_batch():
    model, params = _learned()
    start = _start(model, params)
    for example in range(BATCH):
        np.testing.assert_array_equal(start.memory[example], params["initial_memory"])
        for part in ("read_weights", "write_weights"):
            want = [reference.softmax(row) for row in params[f"initial_{part}"]]
            np.testing.assert_allclose(getattr(start, part)[example], want, atol=1e-6)
        for leaf, name in zip(start.controller, ("controller_0", "controller_1"), strict=True):
            np.testing.assert_array_equal(leaf[example], params[f"initial_{name}"])
        for head in range(2):
            want = reference.read(params["initial_memory"], start.read_weights[example, head])
            np.testing.assert_allclose(start.read_vectors[example, head], want, atol=1e-6)


def test_learned_starts_receive_gradients():
    model, params = _learned()
    grads = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))(
        params, _inputs()
    )
    names = ["memory", "read_weights", "write_weights", "controller_0", "controller_1"]
    for name in names:
        gradient = grads[f"initial_{name}"]
        assert strategies.all_finite(gradient)
        assert np.abs(gradient).max() > 0, name


@pytest.mark.parametrize("equal", [True, False], ids=["equal logits", "as they start"])
def test_learned_weightings_over_a_constant_memory_have_a_gradient_only_if_they_differ(equal):
    """If they are equal nothing says which slot is which, so no slot's weight can grow."""
    model = NTM(_cell(memory_init=nn.initializers.constant(0.5)), learn=("weights",))
    params = jax.jit(model.init)(jax.random.key(0), _inputs())["params"]
    names = ["initial_read_weights", "initial_write_weights"]
    if equal:
        params = params | {name: jnp.zeros_like(params[name]) for name in names}
    grads = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))(
        params, _inputs()
    )
    for name in names:
        assert np.allclose(grads[name], 0.0, atol=1e-6) == equal


def test_learned_starts_begin_where_the_cell_starts():
    model = NTM(_cell(), learn=("controller", "memory"))
    params = jax.jit(model.init)(jax.random.key(0), _inputs())["params"]
    own = _cell().initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    _assert_close(_start(model, params), own)


def test_only_the_parts_asked_for_are_learned():
    for part, names in {
        "controller": {"initial_controller_0", "initial_controller_1"},
        "memory": {"initial_memory"},
        "weights": {"initial_read_weights", "initial_write_weights"},
    }.items():
        model = NTM(_cell(), learn=(part,))
        shapes = jax.eval_shape(model.init, jax.random.key(0), _inputs())["params"]
        assert set(shapes) == {"cell"} | names


def test_further_slots_of_a_learned_start_begin_as_the_cell_says_with_no_weight():
    model, params = _learned()
    large = NTM(_cell(num_slots=8), learn=model.learn)
    start, usual = _start(large, params), _start(model, params)
    for example in range(BATCH):
        np.testing.assert_array_equal(start.memory[example, :SLOTS], params["initial_memory"])
        np.testing.assert_array_equal(start.memory[example, SLOTS:], 0.0)
    for part in ("read_weights", "write_weights"):
        got = getattr(start, part)
        np.testing.assert_allclose(got[..., :SLOTS], getattr(usual, part), atol=1e-6)
        np.testing.assert_array_equal(got[..., SLOTS:], 0.0)
    assert strategies.all_finite(_runner(large)(params, _inputs()))


def test_a_part_that_cannot_be_learned_is_refused_by_name():
    model = NTM(_cell(), learn=("memory", "heads"))
    with pytest.raises(ValueError, match=r"learn: expected .*'controller'.*got \['heads'\]"):
        jax.eval_shape(model.init, jax.random.key(0), _inputs())


# Where NaN would enter.

NOWHERE = jnp.zeros((BATCH, 2, SLOTS))
POINTS = {
    "the cell's own start": ({}, {}),
    "zero memory": ({}, {"memory": jnp.zeros((BATCH, SLOTS, WIDTH))}),
    "constant memory": ({}, {"memory": jnp.ones((BATCH, SLOTS, WIDTH))}),
    "weights that are all zero": ({}, {"read_weights": NOWHERE, "write_weights": NOWHERE[:, :1]}),
    "strength 10000": ({"strength": 1e4, "gate": 0.0}, {}),
    "strength 10000, content alone": ({"strength": 1e4, "gate": 1e3}, {}),
    "sharpness 1000": ({"sharpness": 1e3, "gate": 0.0}, {}),
    "sharpness 1000, previous alone": ({"sharpness": 1e3, "gate": -1e3}, {}),
    "one-hot shift": ({"shift": 1e4, "gate": -1e3}, {}),
    "all of them": ({"strength": 1e4, "gate": -1e3, "sharpness": 1e3, "shift": 1e4}, {}),
    "all of them, zero memory": (
        {"strength": 1e4, "gate": 0.0, "sharpness": 1e3},
        {"memory": jnp.zeros((BATCH, SLOTS, WIDTH))},
    ),
}


ALL = jnp.ones((BATCH, STEPS), bool)


@pytest.mark.parametrize("kernel", [0.0, 1.0], ids=["heads say their bias", "heads say anything"])
@pytest.mark.parametrize("point", POINTS)
def test_degenerate_points_are_finite_through_a_sequence_and_its_gradient(point, kernel):
    biases, parts = POINTS[point]
    params = jax.tree.map(lambda leaf: leaf, _params())
    bias = cell_module.heads.interface_bias(2, 1, WIDTH, 1, **biases)
    params["cell"]["interface"] = {
        "kernel": kernel * params["cell"]["interface"]["kernel"],
        "bias": jnp.asarray(bias),
    }
    carry = _cell().initialize_carry(jax.random.key(0), (BATCH, INPUTS))._replace(**parts)
    assert strategies.all_finite(_with_gradients()(params, _inputs(), ALL, carry))


@pytest.mark.parametrize("size", [0.0, 1e4, 1e8])
def test_inputs_of_any_size_are_finite_through_a_sequence_and_its_gradient(size):
    carry = _cell().initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    assert strategies.all_finite(_with_gradients()(_params(), size * _inputs(), ALL, carry))


# Options of the cell, through the scan.


def test_dropout_works_inside_the_machine():
    model = NTM(_cell(FeedForward((8,), dropout_rate=0.5)))
    params = strategies.parameters(model, _inputs())
    run = jax.jit(lambda p, x, rngs: model.apply({"params": p}, x, rngs=rngs))
    noisy = [run(params, _inputs(), {"dropout": jax.random.key(seed)}) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any()
    assert (noisy[0] != run(params, _inputs(), {})).any()


def test_head_noise_moves_the_heads_only_with_a_key_and_all_of_a_batch_alike():
    model = NTM(_cell(), head_noise=1.0)
    params = _params()
    same = jnp.broadcast_to(_inputs()[:1], _inputs().shape)

    def emitted(rngs):
        variables = {"params": params}
        _, recorded = model.apply(variables, same, rngs=rngs, mutable=["trace"])
        return recorded["trace"]["cell"]["step"].interface

    def first(leaf):  # the step that no earlier noise has touched
        return np.asarray(leaf)[:, 0]

    quiet, noisy = emitted({}), emitted({"dropout": jax.random.key(0)})
    for before, after in ((quiet.read, noisy.read), (quiet.write, noisy.write)):
        np.testing.assert_array_equal(first(after.key), first(before.key))
        for name in ("strength", "gate", "shift", "sharpness"):
            assert (first(getattr(after, name)) != first(getattr(before, name))).all()
    np.testing.assert_array_equal(first(noisy.add), first(quiet.add))
    np.testing.assert_array_equal(first(noisy.erase), first(quiet.erase))
    for leaf in jax.tree.leaves(noisy):
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))
    again = emitted({"dropout": jax.random.key(1)})
    assert (first(again.read.gate) != first(noisy.read.gate)).all()
    assert len(np.unique(np.asarray(noisy.read.gate)[0] - np.asarray(quiet.read.gate)[0])) > 1


def test_bfloat16_goes_through_the_scan_with_the_memory_in_float32():
    model = NTM(_cell(LSTM(3, dtype=jnp.bfloat16), dtype=jnp.bfloat16))
    mask = jnp.arange(STEPS) < jnp.array([[STEPS], [2]])
    final, outputs = _runner(model)(_params(), _inputs(), mask)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(final)} == {jnp.dtype("float32")}
    want = _run(_params(), _inputs(), mask)[1]
    # Eight bits a number, compounded over five steps of outputs of size 1 to 3.
    np.testing.assert_allclose(outputs.astype(jnp.float32), want, atol=0.3)


# Segments, for long sequences.


@pytest.mark.parametrize("segment", [1, 2, 3, STEPS, STEPS + 2])
@pytest.mark.parametrize("masked", [False, True])
def test_segments_change_neither_the_outputs_nor_the_gradients(segment, masked):
    mask = jnp.arange(STEPS) < jnp.array([[STEPS], [2]]) if masked else None

    def loss(params, inputs, model):
        carry, outputs = model.apply({"params": params}, inputs, mask, return_carry=True)
        return jnp.sum(outputs**2) + jnp.sum(carry.memory**2), (carry, outputs)

    def run(segment):
        model = NTM(_cell(), segment=segment, remat=True)
        gradient = jax.grad(loss, (0, 1), has_aux=True)
        return jax.jit(gradient, static_argnums=2)(_params(), _inputs(), model)

    _assert_close(run(segment), run(0))


def test_segments_keep_less_for_the_backward_pass():
    steps = 400
    inputs = _inputs(steps, INPUTS)

    def kept(segment):
        model = NTM(_cell(num_slots=200), segment=segment, remat=True)
        loss = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))
        return loss.lower(_params(), inputs).compile().memory_analysis().temp_size_in_bytes

    memory = 4 * 200 * WIDTH  # of one step
    assert kept(0) > steps * memory
    # Forty steps in place of four hundred, and what does not depend on their number.
    assert kept(20) < kept(0) / 4


def test_segments_leave_the_trace_as_it_is():
    model = NTM(_cell())
    whole, split = (models.trace(m, _params(), _inputs()) for m in (model, model.clone(segment=2)))
    jax.tree.map(np.testing.assert_array_equal, whole, split)


# What does not fit.


@pytest.mark.parametrize("shape", [(INPUTS,), ()])
def test_inputs_without_a_time_axis_are_refused(shape):
    with pytest.raises(ValueError, match=r"inputs: expected \[B, T, I\] or \[T, I\], got shape"):
        NTM(_cell()).apply({"params": _params()}, jnp.zeros(shape))


@pytest.mark.parametrize("shape", [(STEPS,), (BATCH, STEPS + 1), (BATCH, 1), (BATCH, STEPS, 1)])
def test_a_mask_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 5\), got \(") as error:
        NTM(_cell()).apply({"params": _params()}, _inputs(), jnp.ones(shape, bool))
    assert str(shape) in str(error.value)


def test_a_carry_of_another_batch_is_refused_by_both_sizes():
    with pytest.raises((ValueError, TypeError, AssertionError), match=r"13.*\b2\b|\b2\b.*13"):
        _run(_params(), _inputs(), None, _state((13,)))
