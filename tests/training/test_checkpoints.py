import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.subprocess_utils import files_no_larger_than

from ntm_jax.training.checkpoints import CheckpointError, Checkpoints

PARAMS = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3)}}
OPTIMIZER = (jnp.asarray(3, jnp.int32), {"mu": jnp.ones(2)})


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# How a file can be damaged.
WAYS = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip,
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
}


def files(checkpoint):
    """The names of all files of a checkpoint: every run has others."""
    return [path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file()]


def same(one, other):
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_what_is_saved_comes_back(tmp_path):
    Checkpoints(tmp_path).save(7, PARAMS, OPTIMIZER)
    again = Checkpoints(tmp_path)
    assert again.steps() == [7]
    _, params, optimizer, remarks = again.restore(7, PARAMS, OPTIMIZER)
    assert not remarks
    np.testing.assert_array_equal(params["dense"]["kernel"], PARAMS["dense"]["kernel"])
    np.testing.assert_array_equal(optimizer[0], 3)
    np.testing.assert_array_equal(optimizer[1]["mu"], np.ones(2))


def test_parameters_come_back_without_the_optimizer(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    found = checkpoints.restore(1, PARAMS)
    assert found.optimizer_state is None
    np.testing.assert_array_equal(found.params["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_the_newest_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        checkpoints.save(step, PARAMS, OPTIMIZER)
    assert not checkpoints.path(1).exists()
    assert checkpoints.steps() == [2, 3]


def test_saving_the_same_step_again_is_harmless(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    assert checkpoints.steps() == [1]


def test_a_new_folder_has_none(tmp_path):
    assert Checkpoints(tmp_path).steps() == []
    assert Checkpoints(tmp_path).restore_newest(PARAMS) is None


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
    with (
        files_no_larger_than(100),
        pytest.raises(CheckpointError, match=r"2: expected to store .* last good .*/1$"),
    ):
        checkpoints.save(2, PARAMS, OPTIMIZER)
    found = Checkpoints(tmp_path).restore_newest(PARAMS)
    np.testing.assert_array_equal(found.params["dense"]["kernel"], PARAMS["dense"]["kernel"])


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(tmp_path):
    """A byte of a number as well as one of a name; each file in one way here, in all when slow."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    checkpoints.save(2, jax.tree.map(lambda leaf: leaf + 1, PARAMS), OPTIMIZER)
    newest = checkpoints.path(2)
    shutil.copytree(newest, tmp_path / "copy")
    names = files(newest)
    assert len(names) > 10
    for number, name in enumerate(names):
        way = list(WAYS)[number % len(WAYS)]
        WAYS[way](newest / name)
        found = checkpoints.restore_newest(PARAMS, OPTIMIZER)
        assert found.step == 1, (name, way)
        assert same((found.params, found.optimizer_state), (PARAMS, OPTIMIZER))
        (remark,) = found.remarks
        assert remark.startswith(f"{newest}: expected ")
        assert remark.endswith(f"; going back to {checkpoints.path(1)}")
        shutil.rmtree(newest)
        shutil.copytree(tmp_path / "copy", newest)
    assert checkpoints.restore_newest(PARAMS, OPTIMIZER).step == 2


def test_where_no_checkpoint_is_good_it_says_what_can_be_done(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, OPTIMIZER)
        flip(checkpoints.path(step) / "checksums.json")
    with pytest.raises(CheckpointError, match=r"/2: .*; no other is good: put a copy back, or"):
        checkpoints.restore_newest(PARAMS)
    assert checkpoints.steps() == [1, 2]


def test_a_checkpoint_of_an_older_version_is_taken_with_a_word(tmp_path):
    """It lay where its checksums lie now."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, OPTIMIZER)
    (checkpoints.path(1) / "state").rename(tmp_path / "state")
    shutil.rmtree(checkpoints.path(1))
    (tmp_path / "state").rename(checkpoints.path(1))
    found = checkpoints.restore_newest(PARAMS, OPTIMIZER)
    assert same((found.params, found.optimizer_state), (PARAMS, OPTIMIZER))
    assert found.remarks == [
        f"{checkpoints.path(1)}: without checksums, as of an older version; taken unchecked"
    ]


def test_what_a_killed_process_left_of_a_checkpoint_is_no_checkpoint(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, OPTIMIZER)
    unfinished = checkpoints.path(2).rename(checkpoints.path(2).with_suffix(".unfinished"))
    assert checkpoints.steps() == [1]
    checkpoints.remove_after(0)
    assert not unfinished.exists()
    assert checkpoints.steps() == []
