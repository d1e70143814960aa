import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import reference, strategies

from ntm_jax import baselines, models
from ntm_jax.cell import NTMCell
from ntm_jax.controllers import FeedForward
from ntm_jax.models import NTM

BATCH, STEPS, INPUTS, FEATURES = 2, 5, 4, 3

# The same sums in a different order, over a few steps.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}

SMALL_MODELS = {
    "gru": baselines.gru(FEATURES, hidden_size=4, num_layers=2),
    "transformer": baselines.Transformer(FEATURES, d_model=8, num_layers=2, num_heads=2),
    "lstm_skip": baselines.lstm_skip(FEATURES, hidden_size=4, num_layers=2),
}


def _inputs():
    return jnp.asarray(strategies.normal(0, BATCH, STEPS, INPUTS))


def _num_params(model, input_features):
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2, input_features)))
    return models.num_params(shapes["params"])


def test_learned_carry_receives_gradients():
    model = SMALL_MODELS["lstm_skip"]
    params = strategies.init_random_params(model, _inputs())
    names = [name for name in params if name.startswith("initial_carry")]
    assert len(names) == 2 * 2
    grads = jax.jit(jax.grad(lambda p, x: jnp.sum(model.apply({"params": p}, x) ** 2)))(
        params, _inputs()
    )
    assert all(np.abs(grads[name]).max() > 0 for name in names)


def test_per_step_dense_is_one_dense_layer():
    model = baselines.per_step_dense(FEATURES)
    params = strategies.init_random_params(model, _inputs())
    outputs = model.apply({"params": params}, _inputs())
    expected = [[reference.dense(x, params["output"]) for x in sequence] for sequence in _inputs()]
    np.testing.assert_allclose(outputs, expected, **ROUNDING)


def test_keras_lstm_outputs_the_last_h():
    model = baselines.keras_lstm(FEATURES, (4,))
    params = strategies.init_random_params(model, _inputs())
    carry, outputs = model.apply({"params": params}, 100.0 * _inputs(), return_carry=True)
    np.testing.assert_array_equal(outputs[:, -1], carry[-1][1])
    assert (np.abs(outputs) <= 1).all()


NTM_KERAS = {"features": 8, "output_from_reads": False}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (NTM(NTMCell(controller=FeedForward(()), **NTM_KERAS)), 3_100),
        (NTM(NTMCell(controller=FeedForward((150,)), **NTM_KERAS)), 19_750),
        (baselines.keras_lstm(), 807_200),
        (baselines.per_step_dense(), 88),
    ],
    ids=["dense", "double_dense", "lstm", "stateless"],
)
def test_param_counts_match_ntm_keras(model, expected):
    assert _num_params(model, 10) == expected


@pytest.mark.parametrize(
    ("i", "o", "h", "expected"),
    [
        (10, 9, 256, 1_352_969),
        (8, 7, 512, 5_312_007),
        (8, 6, 256, 1_344_518),
        (1, 1, 128, 331_905),
    ],
    ids=["copy", "repeat copy", "associative recall", "n-grams"],
)
def test_lstm_param_counts_match_table_3(i, o, h, expected):
    assert _num_params(baselines.lstm_skip(o, h), i) == expected
    # The formula of the docstring.
    assert 4 * h * (i + h + 1) + 8 * h * (i + 2 * h + 1) + o * (3 * h + 1) + 6 * h == expected


@pytest.mark.parametrize("model", [baselines.gru(), baselines.Transformer()])
def test_baselines_are_about_as_large_as_the_lstm(model):
    assert 0.7 < _num_params(model, 10) / 1_352_969 < 1.3


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_outputs_depend_on_earlier_inputs_only(name):
    model = SMALL_MODELS[name]
    params = strategies.init_random_params(model, _inputs())
    jacobian = jax.jit(jax.jacobian(lambda x: model.apply({"params": params}, x)))(_inputs()[0])
    depends = np.abs(jacobian).max(axis=(1, 3)) > 0  # [T of outputs, T of inputs]
    np.testing.assert_array_equal(depends, np.tri(STEPS, dtype=bool))


def test_transformer_positions_differ():
    model = SMALL_MODELS["transformer"]
    params = strategies.init_random_params(model, _inputs())
    outputs = model.apply({"params": params}, jnp.ones((3 * STEPS, INPUTS)))
    assert outputs.shape == (3 * STEPS, FEATURES)
    assert len(np.unique(np.asarray(outputs).round(4), axis=0)) == 3 * STEPS


def test_transformer_batch_matches_examples():
    model = SMALL_MODELS["transformer"]
    params = strategies.init_random_params(model, _inputs())
    outputs = model.apply({"params": params}, _inputs())
    expected = [model.apply({"params": params}, example) for example in _inputs()]
    np.testing.assert_allclose(outputs, expected, **ROUNDING)


@pytest.mark.parametrize(
    ("builder", "fields", "message"),
    [
        ("Transformer", {"d_model": 8, "num_heads": 3}, r"d_model: .* num_heads \(3\), got 8"),
        ("Transformer", {"num_layers": 0}, "num_layers: expected at least 1, got 0"),
        ("Transformer", {"num_heads": 0}, "num_heads: expected at least 1, got 0"),
        ("Transformer", {"d_model": 0}, "d_model: expected at least 1, got 0"),
        ("lstm_skip", {"hidden_size": 0}, "hidden_size: expected at least 1, got 0"),
        ("lstm_skip", {"num_layers": 0}, "num_layers: expected at least 1, got 0"),
        ("gru", {"hidden_size": -1}, "hidden_size: expected at least 1, got -1"),
        ("gru", {"num_layers": 0}, "num_layers: expected at least 1, got 0"),
        (
            "keras_lstm",
            {"hidden_sizes": (4, 0)},
            r"hidden_sizes: expected at least 1, got \(4, 0\)",
        ),
        ("per_step_dense", {"features": 0}, "features: expected at least 1, got 0"),
    ],
)
def test_invalid_sizes_raise(builder, fields, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        getattr(baselines, builder)(**fields)
