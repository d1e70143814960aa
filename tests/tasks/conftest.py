"""Fixtures of the task tests."""

import jax
import numpy as np
import pytest


@pytest.fixture
def sample():
    """Samples a training batch of a task as NumPy arrays: sample(task, batch_size)."""

    def sample(task, batch_size):
        batch = jax.jit(task.sample, static_argnums=1)(jax.random.key(0), batch_size)
        return jax.tree.map(np.asarray, batch)

    return sample


@pytest.fixture
def assert_sampled(sample):
    """Asserts that a worked example is in a batch: assert_sampled(task, batch_size, example)."""

    def assert_sampled(task, batch_size, example):
        batch = sample(task, batch_size)
        matches = (batch.inputs == np.float32(example["inputs"])).all(axis=(1, 2))
        assert matches.any()
        for index in np.flatnonzero(matches):
            np.testing.assert_array_equal(batch.targets[index], example["targets"])
            np.testing.assert_array_equal(batch.mask[index], example["mask"])

    return assert_sampled
