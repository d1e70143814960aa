import errno
import gc
import os
import shutil
from pathlib import Path

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


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dense": {"kernel": np.zeros((5, 3), np.float32)}}, "expected float32[5,3], got"),
        ({"dense": {"kernel": np.zeros((2, 3), np.int32)}}, "expected int32[2,3], got"),
        ({"dense": {"kernel": np.zeros(6, np.float32)}}, "expected float32[6], got"),
    ],
)
def test_metadata_is_compared_before_reading(tmp_path, monkeypatch, params, message):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    monkeypatch.setattr(checkpoints._checkpointer, "restore", None)
    with pytest.raises(CheckpointError) as error:
        checkpoints.restore(1, params)
    assert str(error.value) == (
        f"{tmp_path}/checkpoints/1: expected a checkpoint that fits config.json; "
        f"params/dense/kernel: {message} float32[2,3]"
    )


def test_other_structure_names_the_array(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    start = f"{tmp_path}/checkpoints/1: expected a checkpoint that fits config.json; "
    with pytest.raises(CheckpointError) as error:
        checkpoints.restore(1, {"dense": {**PARAMS["dense"], "bias": jnp.zeros(3)}})
    assert str(error.value) == f"{start}params/dense/bias: expected float32[3], got none"
    with pytest.raises(CheckpointError) as error:
        checkpoints.restore(1, PARAMS, (TRAIN_STATE[0], {}))
    assert str(error.value) == f"{start}optimizer_state/1/mu: expected none, got float32[2]"


def test_other_config_deletes_nothing(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    with pytest.raises(CheckpointError, match=r"/2: expected a checkpoint that fits config\.json"):
        checkpoints.restore_latest({"dense": {"kernel": jnp.zeros((5, 3))}})
    assert checkpoints.steps() == [1, 2]


def test_not_finite_arrays_round_trip(tmp_path):
    values = np.array([np.nan, -np.nan, np.inf, -0.0, 0], np.float32)
    values.view(np.uint32)[4] = 0x7FC12345  # a NaN with another payload
    Checkpoints(tmp_path).save(1, {"a": values}, TRAIN_STATE)
    found = Checkpoints(tmp_path).restore(1, {"a": values}, TRAIN_STATE)
    assert found.params["a"].tobytes() == values.tobytes()


@pytest.mark.parametrize("change", [0.0, np.nan])
def test_checkpoint_is_read_back(tmp_path, monkeypatch, change):
    """A save that loses the last value is an error, and leaves the older checkpoint alone."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    restore = checkpoints._checkpointer.restore

    def damaged(*arguments):
        restored = dict(restore(*arguments))
        kernel = np.array(restored["params"]["dense"]["kernel"])
        kernel[1, 2] = change
        return {**restored, "params": {"dense": {"kernel": kernel}}}

    monkeypatch.setattr(checkpoints._checkpointer, "restore", damaged)
    with pytest.raises(CheckpointError) as error:
        checkpoints.save(2, PARAMS, TRAIN_STATE)
    assert str(error.value) == (
        f"{tmp_path}/checkpoints/2: the checkpoint could not be stored: the stored arrays differ "
        f"from those in memory; latest checkpoint: {tmp_path}/checkpoints/1"
    )
    assert os.listdir(tmp_path / "checkpoints") == ["1"]


# A future of orbax also reports the error when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_checkpoint_without_arrays_is_an_error(tmp_path, monkeypatch):
    """orbax only logs a warning when it cannot merge the files of its processes."""
    checkpoints = Checkpoints(tmp_path)
    save = checkpoints._checkpointer.save

    def save_without_arrays(state, args):
        save(state, args)
        for path in state.rglob("d"):
            shutil.rmtree(path)

    monkeypatch.setattr(checkpoints._checkpointer, "save", save_without_arrays)
    with pytest.raises(CheckpointError, match="/1: the checkpoint could not be stored: ") as error:
        checkpoints.save(1, PARAMS, TRAIN_STATE)
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path / "checkpoints") == []
    del error
    gc.collect()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_unreadable_file_stops(tmp_path, monkeypatch, number):
    """Which file cannot be read does not matter, and nothing is deleted."""
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    read_bytes = Path.read_bytes
    names = checkpoint_files(checkpoints.path(2))
    unreadable = None

    def read(path):
        if path == unreadable:
            raise OSError(number, os.strerror(number), str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    for name in names:
        unreadable = checkpoints.path(2) / name
        with pytest.raises(CheckpointError) as error:
            checkpoints.restore_latest(PARAMS, TRAIN_STATE)
        assert str(error.value) == (
            f"{checkpoints.path(2)}: expected a readable checkpoint; [Errno {number}] "
            f"{os.strerror(number)}: '{unreadable}'"
        )
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert checkpoints.steps() == [1, 2]
    assert checkpoint_files(checkpoints.path(2)) == names


def test_error_of_orbax_stops(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)

    def restore(*_):
        raise ValueError("PERMISSION_DENIED: Error opening\n  local file")

    monkeypatch.setattr(checkpoints._checkpointer, "restore", restore)
    with pytest.raises(CheckpointError) as error:
        checkpoints.restore_latest(PARAMS, TRAIN_STATE)
    assert str(error.value) == (
        f"{checkpoints.path(2)}: expected a readable checkpoint; PERMISSION_DENIED: Error opening "
        "local file"
    )


def test_unreadable_directory_raises(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)

    def scandir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    message = f"{tmp_path}/checkpoints: expected a readable directory, got: Permission denied"
    for method in (
        checkpoints.steps,
        lambda: checkpoints.restore_latest(PARAMS),
        lambda: checkpoints.save(2, PARAMS, TRAIN_STATE),
        lambda: checkpoints.remove_after(0),
    ):
        with pytest.raises(CheckpointError) as error:
            method()
        assert str(error.value) == message
    assert checkpoints.latest_checkpoint_message() == "latest checkpoint: unknown"


def test_file_instead_of_directory_raises(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(CheckpointError) as error:
        Checkpoints(tmp_path).steps()
    message = "checkpoints: expected a readable directory, got: Not a directory"
    assert str(error.value) == f"{tmp_path}/{message}"


def test_stray_entries_are_ignored(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, PARAMS, TRAIN_STATE)
    for name in (".DS_Store", "12.tmp", "8", "9.unfinished"):
        (checkpoints.directory / name).write_text("stray")
    for name in (
        "007",
        "\u0663",
        "\u00b2",
        "12a",
        "-5",
        " 6",
        "+7",
        "1_0",
        "a.unfinished",
        "5.old",
    ):
        (checkpoints.directory / name).mkdir()
    names = sorted(os.listdir(checkpoints.directory))
    assert checkpoints.steps() == [3]
    assert checkpoints.restore_latest(PARAMS, TRAIN_STATE).step == 3
    checkpoints.remove_after(3)
    assert sorted(os.listdir(checkpoints.directory)) == names
    for step in (4, 5):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    assert sorted({*os.listdir(checkpoints.directory)} - {*names}) == ["4", "5"]


def test_additional_file_is_no_damage(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, PARAMS, TRAIN_STATE)
    (checkpoints.path(1) / "state/.DS_Store").write_text("stray")
    (checkpoints.path(1) / "Thumbs.db").write_text("stray")
    found = checkpoints.restore_latest(PARAMS, TRAIN_STATE)
    assert (found.step, found.warnings) == (1, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "the checksum of checksums.json does not match"),
        (b"[1]", "expected checksums in checksums.json, got a list"),
        (b'{"a": 1}', "the checksum of a does not match"),
        (b'{"params": null}', None),
        (b"[" * 10**5, "expected checksums in checksums.json, got: "),
        (
            b"\xff",
            "expected checksums in checksums.json, got: 'utf-8' codec can't decode byte 0xff",
        ),
    ],
)
def test_damaged_checksums_fall_back(tmp_path, content, message):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    (checkpoints.path(2) / "checksums.json").write_bytes(content)
    if message is None:  # a directory in place of a file proves no damage
        with pytest.raises(
            CheckpointError, match="/2: expected a readable checkpoint; .* Is a dir"
        ):
            checkpoints.restore_latest(PARAMS, TRAIN_STATE)
        return
    found = checkpoints.restore_latest(PARAMS, TRAIN_STATE)
    assert found.step == 1
    (warning,) = found.warnings
    assert warning.startswith(f"{checkpoints.path(2)}: {message}")
    assert warning.endswith("; using step 1 instead")


@pytest.mark.parametrize("kept", [[], ["checksums.json"], ["state"]])
def test_incomplete_checkpoint_falls_back(tmp_path, kept):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, PARAMS, TRAIN_STATE)
    newest = checkpoints.path(2).rename(tmp_path / "newest")
    checkpoints.path(2).mkdir()
    for name in kept:
        (newest / name).rename(checkpoints.path(2) / name)
    found = checkpoints.restore_latest(PARAMS, TRAIN_STATE)
    assert found.step == 1
    (warning,) = found.warnings
    assert warning.startswith(f"{checkpoints.path(2)}: ")
    missing = "the checksum of " if kept == ["checksums.json"] else "No such file or directory"
    assert missing in warning


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
