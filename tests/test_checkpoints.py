import resource

import jax.numpy as jnp
import numpy as np
import pytest

from ntm_jax.checkpoints import CheckpointError, Checkpoints

PARAMS = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
OPTIMIZER = (jnp.asarray(3, jnp.int32), {"mu": jnp.ones(2)})


def test_what_is_saved_comes_back(tmp_path):
    Checkpoints(tmp_path).save(7, PARAMS, OPTIMIZER)
    again = Checkpoints(tmp_path)
    assert again.latest_step() == 7
    params, optimizer = again.restore(7, PARAMS, OPTIMIZER)
    np.testing.assert_array_equal(params["dense"]["kernel"], PARAMS["dense"]["kernel"])
    np.testing.assert_array_equal(optimizer[0], 3)
    np.testing.assert_array_equal(optimizer[1]["mu"], np.ones(2))


def test_parameters_come_back_without_the_optimizer(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    params, optimizer = checkpoints.restore(1, PARAMS)
    assert optimizer is None
    np.testing.assert_array_equal(params["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_the_newest_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, PARAMS, OPTIMIZER)
    assert not checkpoints.path(1).exists()
    assert checkpoints.path(2).exists()
    assert checkpoints.latest_step() == 3


def test_saving_the_same_step_again_is_harmless(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    assert checkpoints.latest_step() == 1


def test_a_new_folder_has_none(tmp_path):
    assert Checkpoints(tmp_path).latest_step() is None


def test_other_shapes_are_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    with pytest.raises(CheckpointError, match="expected a checkpoint that fits"):
        checkpoints.restore(1, {"dense": {"kernel": jnp.zeros((5, 3))}})
    with pytest.raises(CheckpointError, match="expected a checkpoint that fits"):
        checkpoints.restore(1, {"other": jnp.zeros(2)})


def test_a_disk_that_takes_no_more_is_told_and_the_older_checkpoint_stays(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes in a file
    try:
        with pytest.raises(CheckpointError, match=r"2: expected to store .* last good one is .*1$"):
            checkpoints.save(2, PARAMS, OPTIMIZER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    params, _ = Checkpoints(tmp_path).restore(1, PARAMS)
    np.testing.assert_array_equal(params["dense"]["kernel"], PARAMS["dense"]["kernel"])
