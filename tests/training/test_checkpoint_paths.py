"""Run directories of any name: a checkpoint is restored bit for bit, or the path is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from support.runs import assert_same_run, trees_equal
from support.tiny_config import tiny_config

from ntm_jax.training import loop
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.restore import load_run

PARAMS = {"dense": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
TRAIN_STATE = (np.int32(3), {"mu": np.ones(2, np.float32)})
VALID = (
    "a b",
    " a",
    "a ",
    "a\nb",
    "a\tb",
    "\x01",
    "'a'",
    '"a"',
    "a#b",
    "%20",
    "a%2Fb",
    "a:b",
    "C:",
    "s3:",
    "file:",
    "a=b,c",
    "{a}",
    "(a)",
    "~a",
    "~",
    "-a",
    "a.",
    "...",
    ".a",
    "$HOME",
    "${HOME}",
    "a;b",
    "a&b",
    "a|b",
    "<a>",
    "`a`",
    "!",
    "^",
    "a]",
    "\u00fcn\u00ef\u4e2d",
    "e\u0301",
    "\u0663",
    "\U0001f600",
    "x" * 255,
    "\u00e9" * 127,
    "1",
    "8.unfinished",
    "ocdbt.process_0",
    "a/../b",
    "../outer/a",
    "a//b/./c",
)
REFUSED = {
    "[a]": "[",
    "a[b": "[",
    "[": "[",
    "*": "*",
    "a*b": "*",
    "a?": "?",
    "a\\b": "\\\\",
    "gs:": "/gs:/",
    "[a]/b": "[",
    "\udcff": "\\udcff",
}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """The current directory, which a relative path can leave."""
    (tmp_path / "outer").mkdir()
    monkeypatch.chdir(tmp_path / "outer")
    return tmp_path / "outer"


def assert_round_trip(workdir):
    checkpoints = Checkpoints(workdir)
    checkpoints.save(8, PARAMS, TRAIN_STATE)
    assert Checkpoints(workdir).steps() == [8]
    found = Checkpoints(workdir).restore_latest(PARAMS, TRAIN_STATE)
    assert trees_equal((found.params, found.train_state), (PARAMS, TRAIN_STATE))
    assert found.warnings == []
    assert (workdir / "checkpoints/8/checksums.json").is_file()


@pytest.mark.parametrize("name", VALID, ids=ascii)
def test_checkpoint_in_any_path(directory, name):
    for part in ("a", "b"):
        (directory / part).mkdir()
    assert_round_trip(Path(name))


@pytest.fixture(scope="module")
def complete_run(tmp_path_factory):
    """The directory of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("complete") / "run"
    loop.train(tiny_config("per_step_dense"), workdir)
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("name", VALID, ids=ascii)
def test_run_in_any_path_is_resumed(directory, complete_run, name):
    def crash(step, metrics):
        if step == 6:
            raise KeyboardInterrupt

    for part in ("a", "b"):
        (directory / part).mkdir()
    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_config("per_step_dense"), Path(name), on_metrics=crash)
    assert loop.train(tiny_config("per_step_dense"), Path(name))["step"] == 12
    assert_same_run(Path(name), complete_run)
    assert trees_equal(load_run(Path(name)).params, load_run(complete_run).params)


def test_checkpoint_below_a_link(directory):
    (directory / "[real]").mkdir()
    (directory / "link").symlink_to(directory / "[real]")
    assert_round_trip(Path("link/run"))
    assert (directory / "[real]/run/checkpoints/8").is_dir()


def test_parent_of_a_link_is_its_target(directory):
    """As in open(): "link/../run" lies beside the target, not beside the link."""
    (directory / "other/target").mkdir(parents=True)
    (directory / "link").symlink_to(directory / "other/target")
    assert_round_trip(Path("link/../run"))
    assert (directory / "other/run/checkpoints/8").is_dir()
    assert not (directory / "run").exists()


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_refused_path_names_the_character(directory, name):
    with pytest.raises(CheckpointError) as error:
        Checkpoints(Path(name))
    assert str(error.value) == (
        f"{name}: expected a path in which orbax can store checkpoints, got '{REFUSED[name]}' in "
        "it; choose another --workdir"
    )
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("root", ["gs", "s3", "az", "hf"])
def test_path_that_means_a_bucket_is_refused(root):
    with pytest.raises(CheckpointError, match=re.escape(f"/{root}/run: expected a path in which")):
        Checkpoints(Path(f"/{root}/run"))
