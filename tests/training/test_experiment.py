import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import experiment
from ntm_jax.training import config as configs


def settings(**overrides):
    config = configs.default("copy", "ntm")
    config.update_from_flattened_dict(overrides)
    return config


@pytest.mark.parametrize("model", ["ntm", "skip_lstm", "gru", "transformer", "keras_lstm", "dense"])
def test_every_default_is_valid_and_builds(model):
    config = configs.default("copy", model)
    configs.validate(config)
    task = experiment.make_task(config)
    inputs = jax.ShapeDtypeStruct((2, 5, task.input_features), jnp.float32)
    network = experiment.make_model(config)
    outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), inputs)
    assert outputs.shape == (2, 5, task.output_features)


@pytest.mark.parametrize("controller", ["feed_forward", "lstm", "gru"])
@pytest.mark.parametrize("start", ["learned", "fixed"])
def test_every_controller_and_start_trains(controller, start):
    config = tiny_config()
    config.model.controller = controller
    config.model.hidden_sizes = (8, 4)
    if start == "learned":
        config.model.memory_start = "learned"
        config.model.weights_start = "learned"
        config.model.controller_start = "learned"
    configs.validate(config)
    inputs = jnp.ones((1, 4, experiment.make_task(config).input_features))
    model = experiment.make_model(config)
    params = model.init(jax.random.key(0), inputs)["params"]
    gradient = jax.grad(lambda p: jnp.sum(model.apply({"params": p}, inputs)))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    learned = [name for name in params if name.startswith("initial")]
    assert bool(learned) == (start == "learned")


@pytest.mark.parametrize(
    ("start", "slots"),
    [("marked", [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]), ("constant", [[0.5, 0.5]] * 3)],
)
def test_the_first_memory_is_the_one_the_config_names(start, slots):
    sizes = {"model.num_slots": 3, "model.slot_width": 2}
    config = settings(**sizes, **{"model.memory_start": start, "model.memory_scale": 0.5})
    state = experiment.make_model(config).cell.initialize_carry(jax.random.key(0), (4,))
    np.testing.assert_array_equal(state.memory, slots)


def test_the_model_has_what_the_config_says():
    config = settings(
        **{
            "model.num_slots": 16,
            "model.slot_width": 5,
            "model.num_read_heads": 2,
            "model.num_write_heads": 3,
            "model.max_shift": 2,
            "model.gate_bias": -1.5,
            "model.sharpness_bias": 0.5,
            "model.forget_bias": -2.0,
            "model.controller": "lstm",
            "model.hidden_sizes": (7,),
            "model.dtype": "bfloat16",
        }
    )
    cell = experiment.make_model(config).cell
    assert (cell.num_slots, cell.slot_width) == (16, 5)
    assert (cell.num_read_heads, cell.num_write_heads, cell.max_shift) == (2, 3, 2)
    assert (cell.gate_bias, cell.sharpness_bias) == (-1.5, 0.5)
    assert (cell.controller.features, cell.controller.forget_bias) == (7, -2.0)
    assert cell.dtype == jnp.bfloat16


def test_slots_of_a_model_without_memory_are_refused():
    with pytest.raises(configs.ConfigError, match="slots: expected a model with a memory"):
        experiment.make_model(configs.default("copy", "dense"), num_slots=64)


def test_graves_rmsprop_is_his_equations():
    """Graves (2013), equations 38 to 41, by hand in NumPy."""
    config = settings(
        optimizer="graves_rmsprop", learning_rate=1e-3, learning_rate_half_life=0, clip_norm=1e9
    )
    optimizer = experiment.make_optimizer(config)
    weights = jnp.zeros(2)
    state = optimizer.init(weights)
    n, g, delta = np.zeros(2), np.zeros(2), np.zeros(2)
    expected = np.zeros(2)
    for step in range(5):
        epsilon = np.array([0.5, -2.0]) * (step + 1)
        n = 0.95 * n + 0.05 * epsilon**2
        g = 0.95 * g + 0.05 * epsilon
        delta = 0.9 * delta - 1e-3 * epsilon / np.sqrt(n - g**2 + 1e-4)
        expected += delta
        change, state = optimizer.update(jnp.asarray(epsilon, jnp.float32), state, weights)
        weights = optax.apply_updates(weights, change)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("adam_b2", "adam_eps", "learning_rates"),
    [(0.9, 1e-8, 6.2), (0.99, 1e-8, 10.5), (0.999, 1e-8, 31.8), (0.9, 1.0, 0.826)],
)
def test_a_lone_gradient_moves_by_what_adam_allows(
    optax_promotion, adam_b2, adam_eps, learning_rates
):
    """In all: sum over t of (1 - b1) b1^t / (sqrt((1 - b2) b2^t) + eps), after nothing."""
    config = settings(adam_b2=adam_b2, learning_rate=0.5, learning_rate_half_life=0)
    config.adam_eps = adam_eps
    optimizer = experiment.make_optimizer(config)

    def update(step, carry):
        gradient = jnp.where(step == 10_000, jnp.ones(1), jnp.zeros(1))
        change, state = optimizer.update(gradient, carry[1])
        return carry[0] + change, state

    start = (jnp.zeros(1), optimizer.init(jnp.zeros(1)))
    moved, _ = jax.lax.fori_loop(0, 11_000, update, start)
    np.testing.assert_allclose(moved, -0.5 * learning_rates, rtol=0.01)


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        ({"model.train_slots": (64, 24)}, [24, 64]),
        ({"model.train_slots": (), "model.num_slots": 32}, [32]),
    ],
)
def test_training_has_the_memories_that_the_config_names(overrides, sizes):
    config = settings(**overrides)
    assert [model.cell.num_slots for model in experiment.make_trained_models(config)] == sizes


def test_a_model_without_a_memory_trains_as_it_is():
    config = configs.default("copy", "dense")
    assert experiment.make_trained_models(config) == [experiment.make_model(config)]


@pytest.mark.parametrize(
    ("overrides", "clipped"),
    [
        ({"clip_norm": 0.5}, [0.3, 0.4]),
        ({"clip_norm": 0.0}, [3.0, 4.0]),
        ({"clip_norm": 0.0, "clip_value": 3.5}, [3.0, 3.5]),
    ],
)
def test_clipping_is_by_global_norm_or_by_value(optax_promotion, overrides, clipped):
    optimizer = experiment.make_optimizer(settings(learning_rate=1.0, **overrides))
    # Adam's first step has length one whatever the gradient, so look at its first moment.
    _, state = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(jnp.zeros(2)))
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    np.testing.assert_allclose(moments[0], 0.1 * np.array(clipped), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "name", "value", "said"),
    [
        (experiment.make_task, "task.min_length", 0, "task.min_length, task.max_length: expected 1 <="),
        (experiment.make_task, "task.format", "mine", "task.format: expected one of ('default', "),
        (experiment.make_model, "model.hidden_sizes", (), "model.hidden_sizes: expected at least one"),
        (experiment.make_trained_models, "model.train_slots", (9,), "model.train_slots: expected 20"),
        (experiment.make_task, "eval_lengths", (0, 3), "eval_lengths: expected at least 1, got 0"),
    ],
)
def test_what_only_shows_in_building_is_named_as_well(make, name, value, said):
    config = settings(**{"model.controller": "lstm", name: value})
    with pytest.raises(configs.ConfigError, match="^" + re.escape(said)):
        make(config)


def test_a_memory_too_small_for_the_task_is_refused():
    config = settings(**{"model.train_slots": (), "model.num_slots": 19})
    with pytest.raises(configs.ConfigError, match="model.num_slots: expected 20 or more for copy"):
        experiment.make_trained_models(config)


def test_a_memory_with_fewer_slots_than_its_start_is_learned_for_is_refused():
    learned = {"model.memory_start": "learned", "model.num_slots": 21}
    with pytest.raises(configs.ConfigError, match="model.num_slots: expected at least the 22"):
        experiment.make_model(settings(**learned))
    with pytest.raises(configs.ConfigError, match="slots: expected at least the 22 .*, got 20"):
        experiment.make_model(settings(**learned), num_slots=20)


def test_the_learning_rate_halves_in_its_half_life(optax_promotion):
    config = settings(learning_rate=0.5, learning_rate_half_life=2, clip_norm=1e9)
    optimizer = experiment.make_optimizer(config)
    state = optimizer.init(jnp.zeros(1))
    sizes = []
    for _ in range(5):
        change, state = optimizer.update(jnp.ones(1), state)
        sizes.append(abs(float(change[0])))
    # Adam moves by the rate where the gradient never changes.
    np.testing.assert_allclose(sizes, 0.5 * 0.5 ** (np.arange(5) / 2), rtol=1e-4)
