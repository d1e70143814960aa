import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.runs import DAMAGES, checkpoint_files, flip_bit, trees_equal
from support.subprocess_utils import files_no_larger_than

from ntm_jax.training.checkpoints import CheckpointError, Checkpoints

PARAMS = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
TRAIN_STATE = (jnp.asarray(3, jnp.int32), {"mu": jnp.ones(2)})


def test_checkpoint_round_trip(tmp_path):
    Checkpoints(tmp_path).save(7, PARAMS, TRAIN_STATE)
    again = Checkpoints(tmp_path)
    assert again.steps() == [7]
    _, params, train_state, warnings = again.restore(7, PARAMS, TRAIN_STATE)
    assert not warnings
    np.testing.assert_array_equal(params["dense"]["kernel"], PARAMS["dense"]["kernel"])
    np.testing.assert_array_equal(train_state[0], 3)
    np.testing.assert_array_equal(train_state[1]["mu"], np.ones(2))


def test_parameters_alone_are_restored(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    found = checkpoints.restore(1, PARAMS)
    assert found.train_state is None
    np.testing.assert_array_equal(found.params["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_two_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    assert not checkpoints.path(1).exists()
    assert checkpoints.steps() == [2, 3]


def test_saving_the_same_step_twice(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    assert checkpoints.steps() == [1]


def test_new_directory_has_no_checkpoint(tmp_path):
    assert Checkpoints(tmp_path).steps() == []
    assert Checkpoints(tmp_path).restore_latest(PARAMS) is None


def test_other_shapes_raise(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    with pytest.raises(CheckpointError, match="expected a checkpoint that fits"):
        checkpoints.restore(1, {"dense": {"kernel": jnp.zeros((5, 3))}})
    with pytest.raises(CheckpointError, match="expected a checkpoint that fits"):
        checkpoints.restore(1, {"other": jnp.zeros(2)})


def test_full_disk_keeps_the_older_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    with (
        files_no_larger_than(100),
        pytest.raises(CheckpointError, match=r"2: the checkpoint could not be stored: .*/1$"),
    ):
        checkpoints.save(2, PARAMS, TRAIN_STATE)
    found = Checkpoints(tmp_path).restore_latest(PARAMS)
    np.testing.assert_array_equal(found.params["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_damaged_checkpoint_falls_back(tmp_path):
    """Each file in one way; tests/faults damages each in all ways."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    checkpoints.save(2, jax.tree.map(lambda leaf: leaf + 1, PARAMS), TRAIN_STATE)
    newest = checkpoints.path(2)
    shutil.copytree(newest, tmp_path / "copy")
    names = checkpoint_files(newest)
    assert len(names) > 10
    for number, name in enumerate(names):
        way = list(DAMAGES)[number % len(DAMAGES)]
        DAMAGES[way](newest / name)
        found = checkpoints.restore_latest(PARAMS, TRAIN_STATE)
        assert found.step == 1, (name, way)
        assert trees_equal((found.params, found.train_state), (PARAMS, TRAIN_STATE))
        (warning,) = found.warnings
        assert warning.startswith(f"{newest}: ")
        assert warning.endswith("; using step 1 instead")
        shutil.rmtree(newest)
        shutil.copytree(tmp_path / "copy", newest)
    assert checkpoints.restore_latest(PARAMS, TRAIN_STATE).step == 2


def test_all_checkpoints_damaged_raises(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
        flip_bit(checkpoints.path(step) / "checksums.json")
    with pytest.raises(
        CheckpointError, match=r"/2: .*; there is no other valid checkpoint: restore"
    ):
        checkpoints.restore_latest(PARAMS)
    assert checkpoints.steps() == [1, 2]


def test_checkpoint_without_checksums_warns(tmp_path):
    """Older versions stored the arrays one directory higher."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    (checkpoints.path(1) / "state").rename(tmp_path / "state")
    shutil.rmtree(checkpoints.path(1))
    (tmp_path / "state").rename(checkpoints.path(1))
    found = checkpoints.restore_latest(PARAMS, TRAIN_STATE)
    assert trees_equal((found.params, found.train_state), (PARAMS, TRAIN_STATE))
    assert found.warnings == [
        f"{checkpoints.path(1)}: no checksums (written by an older version); not verified"
    ]


def test_unfinished_checkpoint_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    unfinished = checkpoints.path(2).rename(checkpoints.path(2).with_suffix(".unfinished"))
    assert checkpoints.steps() == [1]
    checkpoints.remove_after(0)
    assert not unfinished.exists()
    assert checkpoints.steps() == []
