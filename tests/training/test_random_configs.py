"""Every config either builds, or is refused in one line that names a key."""

import hypothesis
import jax
import numpy as np
import pytest
from support import random_configs

from ntm_jax.training.config import ConfigError
from ntm_jax.training.experiment import Experiment

pytestmark = pytest.mark.usefixtures("optax_promotion")

# Many drawn configs do not build, and some are slow to draw.
SLOW = {"suppress_health_check": list(hypothesis.HealthCheck)}


def build(config):
    """Returns the experiment of a config, or None if it is refused as it should be."""
    try:
        experiment = Experiment.from_config(config)
        experiment.check_training_memory()
        experiment.check_evaluation_memory(experiment.eval_sizes, config.num_seeds)
    except ConfigError as error:
        random_configs.assert_names_a_key(error, config)
        return None
    return experiment


def assert_output_shapes(config):
    experiment = build(config)
    if experiment is None:
        return
    sample = experiment.task.sample
    batch = jax.eval_shape(lambda: sample(jax.random.key(0), config.batch_size))
    for model in (experiment.model, *experiment.train_models):
        outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), batch.inputs)
        assert outputs.shape == batch.targets.shape


@hypothesis.settings(max_examples=40)
@hypothesis.given(random_configs.configs())
def test_random_config_builds_or_is_refused(config):
    assert_output_shapes(config)


@pytest.mark.slow
@hypothesis.settings(max_examples=100, **SLOW)
@hypothesis.given(random_configs.configs())
def test_hundred_configs_build_or_are_refused(config):
    assert_output_shapes(config)


@pytest.mark.slow
def test_ten_valid_random_configs_train():
    trained = []

    @hypothesis.settings(max_examples=400, **SLOW)
    @hypothesis.given(random_configs.configs())
    def train(config):
        experiment = build(config) if len(trained) < 10 else None
        if experiment is None or config.batch_size > 9 or config.num_seeds > 3:
            return
        trainer = experiment.make_trainer()
        state, metrics = trainer.run(trainer.init(), 1)
        assert np.shape(metrics.loss) == (1, config.num_seeds)
        assert state.step.tolist() == [1] * config.num_seeds
        trained.append(config)

    train()
    assert len(trained) == 10
