import functools
import logging

import drawing
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from ntm_jax import fused, heads, memory, models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import LSTM, FeedForward, Stack
from ntm_jax.fused import parts, sequence
from ntm_jax.models import NTM
from ntm_jax.weight_gradients import deferred

BATCH, STEPS, INPUTS, FEATURES = 3, 4, 2, 3

# The same sums in another order.
ROUNDING = 2e-5


def _cell(controller=None, **options):
    return NTMCell(FEATURES, controller or FeedForward((5,)), **{"slot_width": 3} | options)


def _inputs(*shape):
    return jnp.asarray(drawing.normal(0, *(shape or (BATCH, STEPS, INPUTS))))


def _assert_close(got, want):
    """Equal up to `ROUNDING` times the largest number of each leaf."""

    def compare(path, a, b):
        atol = ROUNDING * max(np.max(np.abs(b), initial=0.0), 1e-3)
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=atol, err_msg=name)

    assert jax.tree.structure(got) == jax.tree.structure(want)
    jax.tree_util.tree_map_with_path(compare, got, want)


def _with_gradients(function):
    """Results, and gradients of a sum of them in which each has a weight of its own."""

    def run(*args):
        results, backward = jax.vjp(function, *args)
        weights = [
            jnp.asarray(drawing.normal(seed, *leaf.shape))
            for seed, leaf in enumerate(jax.tree.leaves(results))
        ]
        return results, backward(jax.tree.unflatten(jax.tree.structure(results), weights))

    return jax.jit(run)


def _runner(model):
    def run(params, inputs, carry=None):
        return model.apply({"params": params}, inputs, None, carry, return_carry=True)

    return _with_gradients(run)


# Results and gradients of the scan.


@functools.cache
def _lstm():
    """Two heads of each kind, sizes that are no powers of two, and shifts that wrap."""
    options = {"num_read_heads": 2, "num_write_heads": 2, "max_shift": 2, "num_slots": 5}
    cell = _cell(LSTM(5), output_from_reads=False, output_activation=nn.tanh, **options)
    params = drawing.parameters(NTM(cell), _inputs())
    return cell, params, _runner(NTM(cell, implementation="fused"))


def test_an_lstm_with_several_heads_goes_on_from_a_given_state_as_the_scan():
    cell, params, run = _lstm()
    carry = drawing.busy_state(cell, (BATCH,), INPUTS)
    got, want = (each(params, _inputs(), carry) for each in (run, _runner(NTM(cell))))
    _assert_close(got, want)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(got))


def test_one_sequence_of_sizes_without_padding_is_that_of_the_scan():
    # In two slots a shift of one up is one down.
    cell = _cell(FeedForward((4,)), num_slots=2, slot_width=4)
    inputs = _inputs(STEPS, INPUTS)
    params = drawing.parameters(NTM(cell), inputs)
    got, want = (
        _runner(NTM(cell, implementation=name))(params, inputs) for name in ("fused", "xla")
    )
    _assert_close(got, want)


def test_an_ensemble_with_learned_starts_is_differentiated_as_in_training():
    def run(name):
        model = NTM(_cell(num_slots=6), learn=models.LEARNABLE, implementation=name)
        apply = deferred(model)
        return model, _with_gradients(jax.vmap(lambda params, inputs: apply(params, inputs, {})))

    members = [drawing.parameters(run("xla")[0], _inputs(), seed=seed) for seed in range(2)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    inputs = _inputs(2, BATCH, STEPS, INPUTS)
    got, want = (run(name)[1](params, inputs) for name in ("fused", "xla"))
    _assert_close(got, want)


EXTREME = {"strength": 1e4, "gate": 0.0, "sharpness": 1e3, "shift": 1e4}


@pytest.mark.parametrize("said", [{}, EXTREME, EXTREME | {"gate": -1e3}])
@pytest.mark.parametrize("empty", [[], ["memory"]])
def test_degenerate_points_are_finite(said, empty):
    cell, params, run = _lstm()
    sizes = cell.num_read_heads, cell.num_write_heads, cell.slot_width, cell.max_shift
    kernel = params["cell"]["interface"]["kernel"]
    interface = {"kernel": 0.0 * kernel, "bias": heads.interface_bias(*sizes, **said)}
    params = params | {"cell": params["cell"] | {"interface": interface}}
    carry = drawing.busy_state(cell, (BATCH,), INPUTS)
    carry = carry._replace(**{name: 0.0 * getattr(carry, name) for name in empty})
    assert drawing.all_finite(run(params, _inputs(), carry))


# How it runs.


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        if equation.primitive.name != "pallas_call":
            for inner in jax.tree.leaves(equation.params, is_leaf=_is_jaxpr):
                if _is_jaxpr(inner):
                    yield from _equations(getattr(inner, "jaxpr", inner))


def _is_jaxpr(value):
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


def test_a_gradient_is_two_launches_and_no_loop_between_them():
    model = NTM(_cell(num_slots=4), implementation="fused")
    params = drawing.parameters(model, _inputs())
    gradient = jax.grad(lambda params: jnp.sum(deferred(model)(params, _inputs(), {})))
    names = [
        equation.primitive.name for equation in _equations(jax.make_jaxpr(gradient)(params).jaxpr)
    ]
    assert names.count("pallas_call") == 2
    assert not {"scan", "while"} & set(names)


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="its Triton needs CUDA to lower")
@pytest.mark.parametrize("controller", [FeedForward((100,)), LSTM(100)])
def test_both_kernels_lower_to_triton_at_the_default_size(controller):
    cell = NTMCell(FEATURES, controller, num_read_heads=2, num_slots=100)
    inputs = jax.ShapeDtypeStruct((BATCH, STEPS, INPUTS), jnp.float32)
    params = jax.eval_shape(NTM(cell).init, jax.random.key(0), inputs)["params"]["cell"]
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, INPUTS))

    def loss(params, inputs):
        return jnp.sum(fused.run(cell, params, carry, inputs, interpret=False)[1])

    target = "__gpu$xla.gpu.triton"
    exported = jax.export.export(
        jax.jit(jax.grad(loss)),
        platforms=["cuda"],
        disabled_checks=[jax.export.DisabledSafetyCheck.custom_call(target)],
    )(params, inputs)
    assert exported.mlir_module().count(target) == 2


def test_products_as_sums_are_the_products():
    slots, vector = drawing.normal(0, 5, 3), drawing.normal(1, 3)
    weights = drawing.normal(2, 5)
    for function, args in (
        (memory.read, (slots, weights)),
        (memory.erase, (slots, weights, vector)),
        (jnp.matmul, (slots, vector)),
    ):
        summed = parts.sums(function)
        assert "dot_general" not in str(jax.make_jaxpr(summed)(*args))
        _assert_close(summed(*args), function(*args))


# What it is not written for.

FITS = _cell(num_slots=4)
MISFITS = {
    "controller: expected FeedForward or LSTM, got GRUCell": FITS.clone(controller=nn.GRUCell(4)),
    "controller: expected FeedForward or LSTM, got Stack": FITS.clone(
        controller=Stack((LSTM(4), LSTM(4)))
    ),
    "controller: expected one hidden layer with tanh and no dropout": FITS.clone(
        controller=FeedForward((4,), activation=nn.relu)
    ),
    "controller's features: expected at most 128 numbers in powers of two, got 256": FITS.clone(
        controller=LSTM(129)
    ),
    "memory: expected at most 16384 numbers in powers of two, got 32768": FITS.clone(
        num_slots=513, slot_width=20
    ),
    "interface: expected at most 512 numbers": FITS.clone(num_read_heads=60),
    "dtype: expected None, got ": FITS.clone(dtype=jnp.bfloat16),
}


def _shape(model, inputs, *args, **options):
    variables = jax.eval_shape(model.init, jax.random.key(0), inputs)
    return jax.eval_shape(
        lambda variables, inputs: model.apply(variables, inputs, *args, **options),
        variables,
        inputs,
    )


@pytest.mark.parametrize("said", MISFITS)
def test_a_machine_that_does_not_fit_is_refused_or_scanned(said, caplog, monkeypatch):
    with pytest.raises(ValueError) as error:
        _shape(NTM(MISFITS[said], implementation="fused"), _inputs())
    assert str(error.value).startswith(f"implementation 'fused': {said}")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    outputs = _shape(NTM(MISFITS[said], implementation="auto"), _inputs())
    assert outputs.shape == (BATCH, STEPS, FEATURES)
    assert f"implementation 'auto' runs the scan: {said}" in caplog.text


@pytest.mark.parametrize(
    ("said", "inputs", "mask", "mutable"),
    [
        ("mask: expected None", _inputs(), jnp.ones((BATCH, STEPS), bool), False),
        ("trace: expected that it is not asked for", _inputs(), None, ["trace"]),
        ("inputs: expected at least one step, got shape", _inputs(BATCH, 0, INPUTS), None, False),
    ],
)
def test_a_call_that_does_not_fit_is_refused(said, inputs, mask, mutable):
    with pytest.raises(ValueError, match=f"^implementation 'fused': {said}"):
        _shape(NTM(FITS, implementation="fused"), inputs, mask, mutable=mutable)


def test_noise_on_the_heads_is_refused_in_training_alone():
    model = NTM(FITS, head_noise=1.0, implementation="fused")
    assert _shape(model, _inputs()).shape == (BATCH, STEPS, FEATURES)
    said = "head_noise: expected 0 in training, got more"
    with pytest.raises(ValueError, match=f"^implementation 'fused': {said}"):
        _shape(model, _inputs(), rngs={"dropout": jax.random.key(0)})


def test_other_numbers_than_float32_are_refused():
    carry = FITS.initialize_carry(jax.random.key(0), (BATCH, INPUTS))
    said = r"inputs and carry: expected float32, got \['bfloat16', 'float32'\]"
    with pytest.raises(ValueError, match=f"^implementation 'fused': {said}"):
        fused.fits("fused", FITS, carry, _inputs().astype(jnp.bfloat16))


def test_auto_scans_where_there_is_no_gpu_and_says_so_once(caplog):
    sequence._say.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            outputs = _shape(NTM(FITS, implementation="auto"), _inputs())
    assert outputs.shape == (BATCH, STEPS, FEATURES)
    assert caplog.messages == [
        "implementation 'auto' runs the scan: device: expected one of ('gpu',), got 'cpu'"
    ]


def test_other_devices_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(ValueError, match=r"device: expected one of \('gpu', 'cpu'\), got 'tpu'"):
        _shape(NTM(FITS, implementation="fused"), _inputs())


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"implementation: expected one of .*, got 'cuda'"):
        NTM(FITS, implementation="cuda")
