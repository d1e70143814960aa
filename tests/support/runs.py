"""Makes trainers; reads, compares and damages run directories."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ntm_jax.training import run_dir
from ntm_jax.training.config import member_seeds
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.trainer import Trainer


def make_trainer(config, **changes):
    """Returns the trainer of a config; `changes` replace its arguments, such as `task`."""
    experiment = Experiment.from_config(config)
    arguments = {
        "models": experiment.train_models,
        "task": experiment.task,
        "optimizer": experiment.optimizer,
        "batch_size": config.batch_size,
        "seeds": member_seeds(config),
        "ema_decay": config.ema_decay,
        "curriculum": experiment.curriculum,
    }
    return Trainer(**{**arguments, **changes})


def metrics_lines(workdir):
    """Returns all lines of metrics.jsonl without their wall time."""
    return [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in run_dir.read_metrics(workdir)
    ]


def stored_checkpoint(workdir):
    """Returns the step and the arrays of the newest checkpoint, by the name of each item.

    Reads the files with orbax alone, so that it does not depend on the code under test.
    """
    checkpoints = (workdir / "checkpoints").absolute()
    step = max(int(path.name) for path in checkpoints.iterdir() if path.name.isdecimal())
    items = [path for path in (checkpoints / str(step) / "state").iterdir() if path.is_dir()]
    restore = ocp.StandardCheckpointer().restore
    return step, {item.name: restore(item) for item in items}


def trees_equal(tree, other):
    """Returns whether all leaves are equal bit for bit; raises if their numbers differ."""
    pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
    arrays = ((np.asarray(one), np.asarray(two)) for one, two in pairs)
    return all(
        (one.shape, one.dtype, one.tobytes()) == (two.shape, two.dtype, two.tobytes())
        for one, two in arrays
    )


def assert_same_run(workdir, expected):
    """Asserts that two runs have the same metrics and newest checkpoint, bit for bit."""
    assert metrics_lines(workdir) == metrics_lines(expected)
    assert trees_equal(stored_checkpoint(workdir), stored_checkpoint(expected))


def assert_metrics_close(lines, expected):
    """Asserts that two runs have the same metrics, up to the order of floating-point sums."""
    assert jax.tree.structure(lines) == jax.tree.structure(expected)
    for (path, value), other in zip(
        jax.tree.leaves_with_path(expected), jax.tree.leaves(lines), strict=True
    ):
        close = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        assert other == close, jax.tree_util.keystr(path)


def checkpoint_files(checkpoint):
    """Returns the relative paths of all files of a checkpoint; they differ between runs."""
    return [path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file()]


def flip_bit(path):
    """Flips a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# Ways to damage a file.
DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip_bit,
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
}
