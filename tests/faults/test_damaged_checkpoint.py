"""A damaged checkpoint gives one warning and the previous one, or one line and nothing else."""

import shutil

import pytest
from support.runs import (
    DAMAGES,
    assert_same_run,
    checkpoint_files,
    flip_bit,
    stored_checkpoint,
    trees_equal,
)
from support.subprocess_utils import ONE_DEVICE, TINY_CONFIG, assert_one_line_error, command
from support.tiny_config import tiny_config

from ntm_jax.training import loop
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.restore import load_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

TRAIN = ("train.py", TINY_CONFIG, "--workdir=run")
EVAL = ("eval.py", "--workdir=run", "--lengths=3", "--sequences=4")


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damaged_file_is_detected(complete_run, copy_run, damage, capsys):
    names = checkpoint_files(complete_run / "checkpoints/12")
    assert len(names) > 10
    workdir = copy_run()
    shutil.rmtree(workdir / "checkpoints/12")
    previous_params = load_run(workdir).params
    for name in names:
        workdir = copy_run()
        DAMAGES[damage](workdir / "checkpoints/12" / name)
        trained = load_run(workdir)
        assert trained.checkpoint == str(workdir / "checkpoints/8"), name
        (warning,) = trained.warnings
        assert warning.startswith(f"{workdir}/checkpoints/12: ")
        assert warning.endswith("; using step 8 instead")
        assert trees_equal(trained.params, previous_params)
        capsys.readouterr()
        loop.train(tiny_config("per_step_dense"), workdir)
        out, err = capsys.readouterr()
        assert err == ""
        assert warning in out
        assert "resumed at step 8" in out
        assert_same_run(workdir, complete_run)


@pytest.mark.parametrize("damage", DAMAGES)
def test_scripts_use_previous_checkpoint(complete_run, copy_run, damage):
    workdir = copy_run()
    (name,) = (
        name
        for name in checkpoint_files(workdir / "checkpoints/12")
        if name.match("state/params/d/*")
    )
    DAMAGES[damage](workdir / "checkpoints/12" / name)
    warning = f"the checksum of params/d/{name.name} does not match; using step 8 instead"
    done = command(workdir.parent, *EVAL)
    assert done.returncode == 0
    assert done.stderr.startswith("eval.py: ")
    assert warning in done.stderr
    assert done.stderr.count("\n") == 1
    assert f"{workdir}/checkpoints/8: copy, per_step_dense" in done.stdout
    assert Checkpoints(workdir).steps() == [8, 12]  # an evaluation removes nothing
    done = command(workdir.parent, *TRAIN, **ONE_DEVICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert warning in done.stdout
    assert trees_equal(stored_checkpoint(workdir), stored_checkpoint(complete_run))


def test_no_valid_checkpoint_is_an_error(copy_run):
    workdir = copy_run()
    for step in (8, 12):
        flip_bit(workdir / f"checkpoints/{step}/state/optimizer_state/manifest.ocdbt")
    with pytest.raises(CheckpointError):
        load_run(workdir)
    for arguments in (TRAIN, EVAL):
        done = command(workdir.parent, *arguments)
        message = f"{workdir}/checkpoints/12: the checksum of optimizer_state/manifest.ocdbt does"
        assert_one_line_error(done, arguments[0], message)
        assert "; there is no other valid checkpoint: " in done.stderr
    assert Checkpoints(workdir).steps() == [8, 12]
