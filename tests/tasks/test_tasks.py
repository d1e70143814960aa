import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.training import experiment
from ntm_jax.training import config as configs
from ntm_jax.tasks import TASKS
from ntm_jax.tasks.base import describe, draw, label, size_of

every_task = pytest.mark.parametrize("name", TASKS)


@every_task
def test_the_default_config_of_every_task_is_valid_and_builds_what_it_trains(name):
    config = configs.default(name, "ntm")
    configs.validate(config)
    task, models = experiment.make_task(config), experiment.make_trained_models(config)
    batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), 3))
    for model in models:
        outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), batch.inputs)
        assert outputs.shape == batch.targets.shape
    assert dict(config.task) == {"name": name, **dataclasses.asdict(task)}


@every_task
def test_every_size_that_is_evaluated_fits_the_trained_steps_in_all_but_time(name):
    task = TASKS[name]()
    trained = jax.eval_shape(lambda: task.sample(jax.random.key(0), 3))
    steps = trained.inputs.shape[1]
    for size in [*configs.eval_sizes(configs.default(name)), task.trained_size]:
        batch = jax.eval_shape(lambda size=size: task.sample_at(jax.random.key(0), 3, *size))
        steps_at = batch.inputs.shape[1]
        assert batch.inputs.shape == (3, steps_at, task.input_features)
        assert batch.targets.shape == (3, steps_at, task.output_features)
        assert batch.mask.shape == (3, steps_at)
        assert [leaf.dtype for leaf in batch] == [jnp.float32, jnp.float32, jnp.bool]
    assert steps_at == steps  # the largest that is trained has no padding


@every_task
def test_a_batch_is_decided_by_its_key(name):
    sample = jax.jit(TASKS[name]().sample, static_argnums=1)
    one, same, other = (sample(jax.random.key(key), 4) for key in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    assert not np.array_equal(one.inputs, other.inputs)
    assert not np.array_equal(one.inputs[0], one.inputs[1])


@pytest.mark.parametrize("name", [name for name in TASKS if name != "ngrams"])
def test_the_best_predictor_pays_nothing_where_the_answer_is_certain(name):
    task = TASKS[name]()
    batch = task.sample_at(jax.random.key(0), 2, *task.trained_size)
    np.testing.assert_array_equal(task.optimal_bits(batch), [0.0, 0.0])


def test_a_size_is_named_and_found_again():
    for size in ((10,), (10, 20)):
        assert size_of(label(size)) == size
    assert label((10, 20)) == "10x20"
    assert describe(TASKS["repeat_copy"](), (10, 20)) == "length 10, repeats 20"


def test_sizes_are_every_number_of_one_axis_with_every_one_of_the_others():
    config = configs.default("repeat_copy")
    config.eval_lengths, config.eval_repeats = (10, 20), (3,)
    assert configs.eval_sizes(config) == [(10, 3), (20, 3)]
    config.eval_repeats = ()
    with pytest.raises(configs.ConfigError, match="eval_repeats: expected one or more whole"):
        configs.validate(config)


def test_a_part_of_a_range_is_drawn_evenly_with_both_its_ends():
    """Of 3..13 the part from 0.2 to 0.5 is 5..8; each is drawn a quarter of the times."""
    drawn = np.asarray(draw(jax.random.key(0), (4000,), 3, 13, (0.2, 0.5)))
    numbers, counts = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == [5, 6, 7, 8]
    assert (np.abs(counts - 1000) < 150).all()  # five standard deviations
    assert np.unique(draw(jax.random.key(0), (4000,), 3, 13)).tolist() == [*range(3, 14)]


@pytest.mark.parametrize(
    ("curriculum", "shortest", "longest"),
    [("none", 20, 20), ("uniform", 1, 20), ("growing", 1, 1)],
)
def test_a_curriculum_says_how_long_sequences_are_at_first(curriculum, shortest, longest):
    config = configs.default()
    config.curriculum = curriculum
    task, sizes = experiment.make_task(config), experiment.make_curriculum(config)

    def drawn(grown):
        lengths = task.sample(jax.random.key(1), 400, (sizes.least, grown)).mask.sum(1)
        return lengths.min(), lengths.max()

    assert drawn(sizes.first) == (shortest, longest)
    assert drawn(1.0) == (shortest, 20)
    if curriculum == "growing":
        assert drawn(90 / 190) == (1, 10)


@pytest.mark.parametrize("name", ["ngrams", "priority_sort"])
def test_a_curriculum_of_one_size_is_refused(name):
    config = configs.default(name)
    config.curriculum = "growing"
    with pytest.raises(configs.ConfigError, match="^curriculum: expected 'uniform' for " + name):
        experiment.make_curriculum(config)


def test_a_setting_of_another_task_is_unknown():
    config = configs.default("associative_recall")
    config.unlock()
    config.task.max_length = 3
    with pytest.raises(configs.ConfigError, match="task.max_length: no such setting"):
        configs.validate(config)
    with pytest.raises(configs.ConfigError, match=r"task.name: expected one of \('copy', 'repeat"):
        configs.default("sort")
