import shutil

import jax
import numpy as np
import pytest
from support.multiprocess import ARGUMENTS, run_pair, without_gloo
from support.runs import assert_metrics_close, metrics_lines
from support.subprocess_utils import ONE_DEVICE, assert_one_line_error, command

from ntm_jax.runtime import distributed
from ntm_jax.training.checkpoints import Checkpoints


def test_single_process():
    assert (distributed.process_count(), distributed.is_process_0()) == (1, True)
    assert distributed.run_on_process_0(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        distributed.run_on_process_0(divmod, 7, 0)
    assert distributed.sync_signal([]) is None
    assert distributed.sync_signal(["SIGTERM", "SIGINT"]) == "SIGTERM"
    tree = {"a": jax.numpy.ones(3), "b": np.zeros(2)}
    assert distributed.fetch_to_host(tree)["a"] is tree["a"]
    assert distributed.broadcast_from_process_0(tree) is tree
    assert not distributed.is_lost_process_error(jax.errors.JaxRuntimeError("UNKNOWN: NCCL"))
    distributed.initialize()
    assert not jax.distributed.is_initialized()
    with pytest.raises(SystemExit) as raised:
        distributed.shutdown_and_exit(130)
    assert raised.value.code == 130


def test_lost_process_errors(monkeypatch):
    monkeypatch.setattr(distributed, "process_count", lambda: 2)
    is_lost = distributed.is_lost_process_error
    assert is_lost(jax.errors.JaxRuntimeError("INTERNAL: NCCL operation failed"))
    assert is_lost(ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer"))
    assert not is_lost(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
    assert not is_lost(ValueError("another error"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("h:1", 2, None), "--process_id: expected with --coordinator, --num_processes, got none"),
        ((None, None, 1), "--coordinator, --num_processes: expected with --process_id, got none"),
        (
            ("h:1", 2, 0, True),
            "--distributed: expected without --coordinator, --num_processes, --process_id, got",
        ),
        (("host", 2, 0), "--coordinator: expected host:port, such as 10.0.0.1:1234, got 'host'"),
        (("", 2, 0), "--coordinator: expected host:port, such as 10.0.0.1:1234, got ''"),
        (("h:99999", 2, 0), "--coordinator: expected host:port, such as 10.0.0.1:1234, got"),
    ],
)
def test_invalid_flags_raise(arguments, message):
    with pytest.raises(distributed.DistributedError) as raised:
        distributed.initialize(*arguments)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AssertionError(), ""),  # as JAX raises without a GPU
        (RuntimeError("Unable to\ninitialize"), " (Unable to initialize)"),
    ],
)
def test_missing_platform_is_named(monkeypatch, error, reason):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(distributed.DistributedError) as raised:
        distributed.check_devices()
    assert str(raised.value) == (
        f"JAX_PLATFORMS: expected a platform with a device, got {jax.config.jax_platforms!r}; set "
        f"JAX_PLATFORMS=cpu, or install the platform, such as jax[cuda13] for cuda{reason}"
    )


@pytest.mark.parametrize(("num_processes", "process_id"), [(0, 0), (2, 2), (2, -1)])
def test_invalid_process_id_is_an_error(tmp_path, num_processes, process_id):
    flags = ("--coordinator=h:1", f"--num_processes={num_processes}", f"--process_id={process_id}")
    done = command(tmp_path, *ARGUMENTS, *flags)
    message = f"with process_id < num_processes. Got process_id={process_id}, num_processes="
    assert_one_line_error(done, "train.py", message)


def test_two_processes_match_one(tmp_path):
    single = command(tmp_path, *ARGUMENTS, **ONE_DEVICE)
    assert (single.returncode, single.stderr) == (0, "")
    expected = metrics_lines(tmp_path / "run")
    first, second = run_pair(tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stderr) == (0, "")
    assert "2 of 2 x cpu, 2 processes" in first.stdout
    # Process 0 alone writes.
    assert without_gloo(second.stdout) == ""
    assert list((tmp_path / "1").iterdir()) == []
    workdir = tmp_path / "0/run"
    assert Checkpoints(workdir).steps() == [8, 12]
    assert len(list(workdir.glob("events.out.*"))) == 1
    assert_metrics_close(metrics_lines(workdir), expected)
    # One process resumes the run of two.
    shutil.rmtree(workdir / "checkpoints/12")
    resumed = command(tmp_path / "0", *ARGUMENTS, **ONE_DEVICE)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "resumed at step 8" in resumed.stdout
    assert_metrics_close(metrics_lines(workdir), expected)


@pytest.mark.slow
def test_two_processes_restart_same_members(tmp_path):
    flags = (
        "--config.num_seeds=4",
        "--config.restart_after_steps=4",
        "--config.learning_rate=1e-9",
    )
    single = command(tmp_path, *ARGUMENTS, *flags, **ONE_DEVICE)
    assert (single.returncode, single.stderr) == (0, "")
    for done in run_pair(tmp_path, *flags):
        assert (done.returncode, done.stderr) == (0, "")
    expected = metrics_lines(tmp_path / "run")
    restarted = [line["seeds"] for line in expected if line["kind"] == "restarted"]
    assert restarted == 2 * [[0, 1, 2, 3]]
    assert_metrics_close(metrics_lines(tmp_path / "0/run"), expected)
