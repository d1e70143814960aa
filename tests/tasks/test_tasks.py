import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import describe_size, format_size, parse_size, sample_uniform_int
from ntm_jax.training import config as configs
from ntm_jax.training.experiment import Experiment

every_task = pytest.mark.parametrize("name", TASKS)


@every_task
def test_default_config_builds(name):
    config = configs.default(name, "ntm")
    experiment = Experiment.from_config(config)
    batch = jax.eval_shape(lambda: experiment.task.sample(jax.random.key(0), 3))
    for model in experiment.train_models:
        outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), batch.inputs)
        assert outputs.shape == batch.targets.shape
    assert dict(config.task) == {"name": name, **dataclasses.asdict(experiment.task)}


@every_task
def test_sizes_differ_only_in_num_steps(name):
    task = TASKS[name]()
    train_batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), 3))
    for size in [*configs.eval_sizes(configs.default(name)), task.max_train_size]:
        batch = jax.eval_shape(lambda size=size: task.sample_size(jax.random.key(0), 3, *size))
        num_steps = batch.inputs.shape[1]
        assert batch.inputs.shape == (3, num_steps, task.input_features)
        assert batch.targets.shape == (3, num_steps, task.output_features)
        assert batch.mask.shape == (3, num_steps)
        assert [leaf.dtype for leaf in batch] == [jnp.float32, jnp.float32, jnp.bool]
    assert num_steps == train_batch.inputs.shape[1]  # the largest training size has no padding


@every_task
def test_key_determines_batch(name):
    sample = jax.jit(TASKS[name]().sample, static_argnums=1)
    batch, same, other = (sample(jax.random.key(seed), 4) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, batch, same)
    assert not np.array_equal(batch.inputs, other.inputs)
    assert not np.array_equal(batch.inputs[0], batch.inputs[1])


@pytest.mark.parametrize("name", [name for name in TASKS if name != "ngrams"])
def test_optimal_bits_of_certain_targets(name):
    task = TASKS[name]()
    batch = task.sample_size(jax.random.key(0), 2, *task.max_train_size)
    np.testing.assert_array_equal(task.optimal_bits(batch), [0.0, 0.0])


def test_size_names():
    for size in ((10,), (10, 20)):
        assert parse_size(format_size(size)) == size
    assert format_size((10, 20)) == "10x20"
    assert describe_size(TASKS["repeat_copy"](), (10, 20)) == "length 10, repeats 20"


def test_wrong_number_of_axes_raises():
    with pytest.raises(ValueError, match=r"size: expected a number for each of \('length',\)"):
        TASKS["copy"]().check_size(10, 20)


def test_is_solved_uses_both_thresholds():
    task = TASKS["copy"]()  # 0.01 up to length 20, 0.1 for longer sequences
    solved = {(10,): 0.01, (20,): 0.0, (40,): 0.1, (120,): 0.0}
    assert task.is_solved(solved)
    for size, error in (((20,), 0.02), ((80,), 0.11), ((10,), float("nan"))):
        assert not task.is_solved({**solved, size: error})


def test_in_distribution_requires_every_axis():
    task = TASKS["repeat_copy"]()  # 0.1 up to 10 x 10, 0.2 for larger sizes
    for size, in_distribution in (((10, 10), True), ((10, 20), False), ((20, 10), False)):
        assert task.is_in_distribution(size) == in_distribution
        assert task.is_solved({size: 0.15}) != in_distribution


def test_eval_sizes_are_a_product():
    config = configs.default("repeat_copy")
    config.eval_lengths, config.eval_repeats = (10, 20), (3,)
    assert configs.eval_sizes(config) == [(10, 3), (20, 3)]
    config.eval_repeats = ()
    with pytest.raises(configs.ConfigError, match="^eval_repeats: expected at least one"):
        configs.validate(config)


def test_size_range_is_sampled_uniformly():
    # The part of 3..13 from 0.2 to 0.5 is 5..8.
    integers = np.asarray(sample_uniform_int(jax.random.key(0), (4000,), 3, 13, (0.2, 0.5)))
    values, counts = np.unique(integers, return_counts=True)
    assert values.tolist() == [5, 6, 7, 8]
    assert (np.abs(counts - 1000) < 150).all()  # five standard deviations
    full_range = sample_uniform_int(jax.random.key(0), (4000,), 3, 13)
    assert np.unique(full_range).tolist() == [*range(3, 14)]


def test_fixed_size_task_rejects_curricula():
    config = configs.default("ngrams")
    config.curriculum = "growing"
    with pytest.raises(configs.ConfigError, match="^curriculum: expected 'uniform' for ngrams"):
        Experiment.from_config(config)


def test_keys_of_other_tasks_are_unknown():
    config = configs.default("associative_recall")
    config.unlock()
    config.task.max_length = 3
    with pytest.raises(configs.ConfigError, match="^task.max_length: unknown key"):
        configs.validate(config)
    with pytest.raises(configs.ConfigError, match=r"task.name: expected one of \('copy', 'repeat"):
        configs.default("sort")
