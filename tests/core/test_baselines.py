from support import strategies
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference

from ntm_jax import baselines
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import FeedForward
from ntm_jax.models import NTM

BATCH, STEPS, INPUTS, FEATURES = 2, 5, 4, 3

# The same sums in another order, a few steps long.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def _inputs():
    return jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))


def _runner(model):
    return jax.jit(
        lambda params, inputs: model.apply({"params": params}, inputs, return_carry=True)
    )


def _count(model, input_features):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2, input_features)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


def test_a_learned_carry_is_a_set_of_parameters_with_gradients():
    model = baselines.skip_lstm(FEATURES, hidden_size=2, num_layers=2)
    params = strategies.parameters(model, _inputs())
    initial = [name for name in params if name.startswith("initial_carry")]
    assert len(initial) == 2 * 2
    grads = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))(
        params, _inputs()
    )
    assert all(np.abs(grads[name]).max() > 0 for name in initial)


def test_dense_sees_every_step_alone():
    model = baselines.dense(FEATURES)
    params = strategies.parameters(model, _inputs())
    _, outputs = _runner(model)(params, _inputs())
    want = [[reference.dense(x, params["output"]) for x in row] for row in np.asarray(_inputs())]
    np.testing.assert_allclose(outputs, want, **ROUNDING)


def test_keras_lstm_has_the_last_cells_h_as_its_logits():
    model = baselines.keras_lstm(FEATURES, (4,))
    params = strategies.parameters(model, _inputs())
    carry, outputs = _runner(model)(params, 100.0 * _inputs())
    np.testing.assert_array_equal(outputs[:, -1], carry[-1][1])
    assert (np.abs(outputs) <= 1).all()


NTM_KERAS = {"features": 8, "output_from_reads": False}


@pytest.mark.parametrize(
    ("model", "input_features", "expected"),
    [
        (NTM(NTMCell(controller=FeedForward(()), **NTM_KERAS)), 10, 3_100),
        (NTM(NTMCell(controller=FeedForward((150,)), **NTM_KERAS)), 10, 19_750),
        (baselines.keras_lstm(), 10, 807_200),
        (baselines.dense(), 10, 88),
        (baselines.skip_lstm(), 10, 1_352_969),
        (baselines.skip_lstm(7, 512), 8, 5_312_007),
        (baselines.skip_lstm(6, 256), 8, 1_344_518),
        (baselines.skip_lstm(1, 128), 1, 331_905),
    ],
    ids=[
        "ntm_keras dense",
        "ntm_keras double_dense",
        "ntm_keras lstm",
        "ntm_keras stateless",
        "table 3 copy",
        "table 3 repeat copy",
        "table 3 recall",
        "table 3 n-grams",
    ],
)
def test_published_networks_have_the_published_number_of_parameters(
    model, input_features, expected
):
    assert _count(model, input_features) == expected


@pytest.mark.parametrize(("a", "b", "h"), [(10, 9, 256), (8, 7, 512), (8, 6, 256), (1, 1, 128)])
def test_the_skip_lstm_counts_as_its_docstring_says(a, b, h):
    expected = 4 * h * (a + h + 1) + 8 * h * (a + 2 * h + 1) + b * (3 * h + 1) + 6 * h
    assert _count(baselines.skip_lstm(b, h), a) == expected


SMALL = {
    "gru": baselines.gru(FEATURES, hidden_size=4, num_layers=2),
    "transformer": baselines.Transformer(FEATURES, width=8, num_layers=2, num_heads=2),
    "skip_lstm": baselines.skip_lstm(FEATURES, hidden_size=4, num_layers=2),
}


@pytest.mark.parametrize("name", SMALL)
def test_no_output_sees_a_later_input_and_every_one_all_before_it(name):
    model = SMALL[name]
    params = strategies.parameters(model, _inputs())
    depends = jax.jit(jax.jacobian(lambda x: model.apply({"params": params}, x)))(_inputs()[0])
    sees = np.abs(depends).max(axis=(1, 3)) > 0  # [T of outputs, T of inputs]
    np.testing.assert_array_equal(sees, np.tri(STEPS, dtype=bool))


def test_a_transformer_tells_equal_inputs_apart_by_their_position():
    model = SMALL["transformer"]
    params = strategies.parameters(model, _inputs())
    outputs = model.apply({"params": params}, jnp.ones((3 * STEPS, INPUTS)))
    assert outputs.shape == (3 * STEPS, FEATURES)
    assert len(np.unique(np.asarray(outputs).round(4), axis=0)) == 3 * STEPS


def test_a_transformer_batch_is_its_examples_one_by_one():
    model = SMALL["transformer"]
    params = strategies.parameters(model, _inputs())
    whole = model.apply({"params": params}, _inputs())
    alone = [model.apply({"params": params}, example) for example in _inputs()]
    np.testing.assert_allclose(whole, alone, **ROUNDING)


def test_a_width_that_the_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"width: expected .* num_heads \(3\), got 8"):
        baselines.Transformer(width=8, num_heads=3)


@pytest.mark.parametrize("model", [baselines.gru(), baselines.Transformer()])
def test_a_second_opinion_is_about_as_large_as_the_lstm_of_table_3(model):
    assert 0.7 < _count(model, 10) / 1_352_969 < 1.3
