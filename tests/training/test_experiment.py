import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.tiny_config import tiny_config

from ntm_jax.cell import NTMCell
from ntm_jax.runtime import memory_estimate
from ntm_jax.training import config as configs
from ntm_jax.training.experiment import Experiment


def changed(**overrides):
    config = configs.default("copy", "ntm")
    config.update_from_flattened_dict(overrides)
    return config


@pytest.mark.parametrize(
    "model", ["ntm", "lstm_skip", "gru", "transformer", "keras_lstm", "per_step_dense"]
)
def test_every_default_config_builds(model):
    config = configs.default("copy", model)
    experiment = Experiment.from_config(config)
    inputs = jax.ShapeDtypeStruct((2, 5, experiment.task.input_features), jnp.float32)
    init = experiment.model.init_with_output
    outputs, _ = jax.eval_shape(init, jax.random.key(0), inputs)
    assert outputs.shape == (2, 5, experiment.task.output_features)


@pytest.mark.parametrize(
    ("controller", "init"),
    [("feed_forward", "learned"), ("lstm", "learned"), ("gru", "learned"), ("lstm", "fixed")],
)
def test_every_controller_has_gradients(controller, init):
    config = tiny_config()
    config.model.controller = controller
    config.model.hidden_sizes = (8, 4)
    if init == "learned":
        config.model.memory_init = "learned"
        config.model.head_init = "learned"
        config.model.controller_init = "learned"
    experiment = Experiment.from_config(config)
    inputs = jnp.ones((1, 4, experiment.task.input_features))
    model = experiment.model
    params = jax.jit(model.init)(jax.random.key(0), inputs)["params"]
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(model.apply({"params": p}, inputs))))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    learned = [name for name in params if name.startswith("initial")]
    assert bool(learned) == (init == "learned")


@pytest.mark.parametrize(
    ("init", "memory"),
    [("first_slot_marker", [[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]]), ("constant", [[0.5, 0.5]] * 3)],
)
def test_memory_init_sets_the_initial_memory(init, memory):
    sizes = {"model.num_slots": 3, "model.slot_width": 2, "model.train_num_slots": (22,)}
    config = changed(**sizes, **{"model.memory_init": init, "model.memory_init_scale": 0.5})
    cell = Experiment.from_config(config).model.cell
    state = cell.initialize_carry(jax.random.key(0), (4,))
    np.testing.assert_array_equal(state.memory, memory)


def test_model_keys_reach_the_model():
    config = changed(
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
    cell = Experiment.from_config(config).model.cell
    assert (cell.num_slots, cell.slot_width) == (16, 5)
    assert (cell.num_read_heads, cell.num_write_heads, cell.max_shift) == (2, 3, 2)
    assert (cell.gate_bias, cell.sharpness_bias) == (-1.5, 0.5)
    assert (cell.controller.features, cell.controller.forget_bias) == (7, -2.0)
    assert cell.dtype == jnp.bfloat16


PLAIN_FIELDS = [
    (field.name, field.default)
    for field in dataclasses.fields(NTMCell)
    if isinstance(field.default, bool | int | float | str)
]


@pytest.mark.parametrize(("name", "default"), PLAIN_FIELDS)
def test_cell_fields_are_config_keys(name, default):
    """An option of the cell needs no other file."""
    config = changed()
    assert config.model[name] == default
    config.model[name] = (not default) if isinstance(default, bool) else default + 1
    config.model.num_read_heads = max(config.model.num_read_heads, 2)
    assert getattr(Experiment.from_config(config).model.cell, name) == config.model[name]


def test_num_slots_without_a_memory_raises():
    with pytest.raises(configs.ConfigError, match="slots: expected a model with a memory"):
        Experiment.from_config(configs.default("copy", "per_step_dense"), num_slots=64)


def test_rmsprop_matches_graves_2013():
    """Graves (2013), equations 38 to 41, by hand in NumPy."""
    config = changed(
        optimizer="rmsprop_graves2013",
        learning_rate=1e-3,
        learning_rate_half_life=0,
        max_grad_norm=1e9,
    )
    optimizer = Experiment.from_config(config).optimizer
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
def test_single_gradient_moves_as_adam_predicts(optax_promotion, adam_b2, adam_eps, learning_rates):
    """In all: sum over t of (1 - b1) b1^t / (sqrt((1 - b2) b2^t) + eps), after nothing."""
    config = changed(adam_b2=adam_b2, learning_rate=0.5, learning_rate_half_life=0)
    config.adam_eps = adam_eps
    optimizer = Experiment.from_config(config).optimizer

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
        ({"model.train_num_slots": (64, 24)}, [24, 64]),
        ({"model.train_num_slots": (), "model.num_slots": 32}, [32]),
    ],
)
def test_train_num_slots_sets_the_train_models(overrides, sizes):
    config = changed(**overrides)
    assert [m.cell.num_slots for m in Experiment.from_config(config).train_models] == sizes


def test_model_without_a_memory_trains_itself():
    experiment = Experiment.from_config(configs.default("copy", "per_step_dense"))
    assert experiment.train_models == [experiment.model]
    assert experiment.num_slots is None


@pytest.mark.parametrize(
    ("overrides", "clipped"),
    [
        ({"max_grad_norm": 0.5}, [0.3, 0.4]),
        ({"max_grad_norm": 0.0}, [3.0, 4.0]),
        ({"max_grad_norm": 0.0, "max_grad_value": 3.5}, [3.0, 3.5]),
    ],
)
def test_gradients_are_clipped(optax_promotion, overrides, clipped):
    optimizer = Experiment.from_config(changed(learning_rate=1.0, **overrides)).optimizer
    # Adam's first step does not depend on the size of the gradient; its first moment does.
    _, state = optimizer.update(jnp.array([3.0, 4.0]), optimizer.init(jnp.zeros(2)))
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    np.testing.assert_allclose(moments[0], 0.1 * np.array(clipped), rtol=1e-5)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task.min_length", 0, "task.min_length, task.max_length: expected 1 <="),
        ("task.format", "mine", "task.format: expected one of ('default', "),
        ("model.hidden_sizes", (), "model.hidden_sizes: expected at least one"),
        ("model.train_num_slots", (9,), "model.train_num_slots: expected at least 20"),
    ],
)
def test_invalid_combinations_raise(key, value, message):
    config = changed(**{"model.controller": "lstm", key: value})
    with pytest.raises(configs.ConfigError, match="^" + re.escape(message)):
        Experiment.from_config(config)


def test_memory_too_small_for_the_task_raises():
    config = changed(**{"model.train_num_slots": (), "model.num_slots": 19})
    with pytest.raises(configs.ConfigError, match="model.num_slots: expected at least 20 for"):
        Experiment.from_config(config)


def test_fewer_slots_than_learned_raise():
    learned = {"model.memory_init": "learned", "model.num_slots": 21}
    with pytest.raises(configs.ConfigError, match="model.num_slots: expected at least the 22"):
        Experiment.from_config(changed(**learned))
    with pytest.raises(configs.ConfigError, match="slots: expected at least the 22 .*, got 20"):
        Experiment.from_config(changed(**learned), num_slots=20)


def test_fixed_size_task_allows_no_curriculum():
    config = configs.default("ngrams", "ntm")
    config.curriculum = "growing"
    with pytest.raises(configs.ConfigError, match="^curriculum: expected 'uniform' for ngrams"):
        Experiment.from_config(config)


@pytest.mark.parametrize(
    ("curriculum", "expected"),
    [("uniform", (0.0, 1.0, 0.0)), ("max_size", (1.0, 1.0, 0.0)), ("growing", (0.0, 0.0, 0.25))],
)
def test_curriculum_sets_the_size_range(curriculum, expected):
    config = changed(curriculum=curriculum, curriculum_steps=4)
    assert Experiment.from_config(config).curriculum[:3] == expected


def test_given_num_slots_beyond_the_memory_raise():
    experiment = Experiment.from_config(tiny_config(), num_slots=10**9)
    with pytest.raises(configs.ConfigError, match=r"^model\.num_slots: .* got 1000000000; "):
        experiment.check_evaluation_memory([(3,)], num_members=100)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.num_slots", 10**9),
        ("model.hidden_sizes", (10**8, 10**8)),
        ("batch_size", 10**9),
        ("num_seeds", 10_000),
        ("task.num_bits", 10**9),
        ("eval_lengths", (3, 10**9)),
    ],
)
def test_sizes_beyond_the_memory_raise(key, value, monkeypatch):
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: 2**20)

    def check(config):
        experiment = Experiment.from_config(config)
        experiment.check_training_memory()
        experiment.check_evaluation_memory(experiment.eval_sizes, config.num_seeds)

    config = tiny_config()
    check(config)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(configs.ConfigError, match=f"^{key}: expected a value that fits into"):
        check(config)


def test_large_integers_are_floats(optax_promotion):
    config = tiny_config().to_dict()
    config["max_grad_norm"] = config["max_grad_value"] = 10**10
    config["model"]["memory_init_scale"] = 10**10
    trainer = Experiment.from_config(config).make_trainer()
    trainer.compile(trainer.init(), 1)


def test_learning_rate_halves(optax_promotion):
    config = changed(learning_rate=0.5, learning_rate_half_life=2, max_grad_norm=1e9)
    optimizer = Experiment.from_config(config).optimizer
    state = optimizer.init(jnp.zeros(1))
    sizes = []
    for _ in range(5):
        change, state = optimizer.update(jnp.ones(1), state)
        sizes.append(abs(float(change[0])))
    # Adam moves by the rate where the gradient never changes.
    np.testing.assert_allclose(sizes, 0.5 * 0.5 ** (np.arange(5) / 2), rtol=1e-4)


@pytest.mark.parametrize(("half_life", "rates"), [(4, [2.0, 1.0, 0.5]), (0, [2.0, 2.0, 2.0])])
def test_learning_rates_follow_the_updates(half_life, rates):
    config = tiny_config()
    config.learning_rate, config.learning_rate_half_life = 2.0, half_life
    assert Experiment.from_config(config).learning_rates([0, 4, 8]) == pytest.approx(rates)
