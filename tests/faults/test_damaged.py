"""Each file of the newest checkpoint damaged in each way: never a wrong number, nor a traceback."""

import shutil

import pytest
from support.subprocess_utils import DENSE, command
from test_checkpoints import WAYS, files, flip, same
from test_loop import lines, stored
from support.tiny_config import tiny_config

from ntm_jax.training import loop
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.restore import load_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("optax_promotion")]

TRAIN = ("train.py", DENSE, "--workdir=run")
EVAL = ("eval.py", "--workdir=run", "--lengths=3", "--sequences=4")


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_leads_to_the_checkpoint_before_it(whole, copy, way, capsys):
    """In this process: `loop.train`, and what eval.py loads."""
    names = files(whole / "checkpoints/12")
    assert len(names) > 10
    workdir = copy()
    shutil.rmtree(workdir / "checkpoints/12")
    earlier = load_run(workdir).members
    for name in names:
        workdir = copy()
        WAYS[way](workdir / "checkpoints/12" / name)
        trained = load_run(workdir)
        assert trained.checkpoint.name == "8", name
        assert len(trained.remarks) == 1
        assert same(trained.members, earlier)
        capsys.readouterr()
        loop.train(tiny_config("dense"), workdir)
        out, err = capsys.readouterr()
        assert err == ""
        assert f"/12: expected {trained.remarks[0].partition(': expected ')[2]}" in out
        assert "resumed after 8 updates" in out
        assert lines(workdir) == lines(whole)
        assert same(stored(workdir), stored(whole))


@pytest.mark.parametrize("way", WAYS)
def test_the_commands_go_back_and_say_so(whole, copy, way):
    workdir = copy()
    (name,) = (name for name in files(workdir / "checkpoints/12") if name.match("state/params/d/*"))
    WAYS[way](workdir / "checkpoints/12" / name)
    done = command(workdir.parent, *EVAL)
    assert done.returncode == 0
    assert f"got a damaged params/d/{name.name}; going back to" in done.stderr
    assert done.stderr.startswith("eval.py: ")
    assert done.stderr.count("\n") == 1
    assert f"{workdir}/checkpoints/8: copy, dense" in done.stdout
    assert Checkpoints(workdir).steps() == [8, 12]  # an evaluation changes nothing
    done = command(workdir.parent, *TRAIN, JAX_NUM_CPU_DEVICES="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"got a damaged params/d/{name.name}; going back to" in done.stdout
    assert same(stored(workdir), stored(whole))


def test_where_no_checkpoint_is_good_the_commands_stop_with_one_line(copy):
    workdir = copy()
    for step in (8, 12):
        flip(workdir / f"checkpoints/{step}/state/optimizer_state/manifest.ocdbt")
    with pytest.raises(CheckpointError):
        load_run(workdir)
    for arguments in (TRAIN, EVAL):
        done = command(workdir.parent, *arguments)
        assert done.returncode == 1
        assert done.stderr.startswith(f"{arguments[0]}: {workdir}/checkpoints/12: expected files")
        assert "; no other is good: put a copy back, or train anew" in done.stderr
        assert done.stderr.count("\n") == 1
    assert Checkpoints(workdir).steps() == [8, 12]
