"""Machines without devices, a home directory or output streams; signals that end a run."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import jax
import pytest
from support.subprocess_utils import (
    ROOT,
    TINY_CONFIG,
    assert_one_line_error,
    command,
    environment,
    start,
)
from support.tiny_config import tiny_config

from ntm_jax.runtime.command_line import SafeStream
from ntm_jax.training import loop
from ntm_jax.training.restore import load_run

TRAIN = ("train.py", TINY_CONFIG, "--workdir=run")
EVAL = ("eval.py", "--pretrained=copy_ntm", "--lengths=3,5,3", "--sequences=2")


def shell(cwd, redirection, script, *arguments):
    """Runs a script in a shell that redirects its streams, and returns its status and output."""
    arguments = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
    )


class _FailingStream(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize(
    "stream",
    [None, _FailingStream(BrokenPipeError()), _FailingStream(ValueError("closed file"))],
    ids=["none", "closed pipe", "closed file"],
)
def test_safe_stream_drops_text(stream):
    safe = SafeStream(stream)
    print("text", file=safe, flush=True)
    assert not safe.isatty()


def test_safe_stream_writes_text(capsys):
    print("text", file=SafeStream(sys.stdout), flush=True)
    assert capsys.readouterr().out == "text\n"


def test_closed_pipe_does_not_stop_training(tmp_path):
    done = shell(tmp_path, "| head -1; exit ${PIPESTATUS[0]}", *TRAIN)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("copy, per_step_dense: ")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["stop_reason"], summary["step"]) == ("num_train_steps", 12)


def test_full_output_loses_no_results(tmp_path):
    done = shell(tmp_path, ">/dev/full", *EVAL, "--json=out.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads((tmp_path / "out.json").read_text())["results"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">/dev/full 2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_streams(tmp_path, redirection):
    trained = shell(tmp_path, redirection, *TRAIN)
    evaluated = shell(tmp_path, redirection, *EVAL, "--json=out.json")
    for done in (trained, evaluated):
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "run/summary.json").read_text())["step"] == 12
    assert len(json.loads((tmp_path / "out.json").read_text())["results"]) == 2
    for directory in (tmp_path / "run", tmp_path):  # no output went to the files of the run
        for path in directory.glob("*.json"):
            json.loads(path.read_text())
    failed = shell(tmp_path, redirection, *TRAIN, "--config.batch_size=0")
    assert (failed.returncode, failed.stderr) == (1, "")


def test_json_alone_on_standard_output(tmp_path):
    """A terminal on standard error shows the progress."""
    terminal, stderr = os.openpty()
    done = subprocess.run(
        [sys.executable, str(ROOT / EVAL[0]), *EVAL[1:], "--json=-"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert done.returncode == 0, shown
    assert [row["length"] for row in json.loads(done.stdout)["results"]] == [3, 5]
    assert "\r\033[Klength 3 (1 of 2)\r\033[Klength 5 (2 of 2)\r\033[K" in shown
    assert "perfect" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("platform", "script"), [("cuda", TRAIN), ("cpuu", EVAL)])
def test_missing_platform_is_an_error(tmp_path, platform, script):
    if platform == "cuda" and jax.default_backend() != "cpu":
        pytest.skip("there is a GPU")
    done = command(tmp_path, *script, JAX_PLATFORMS=platform)
    message = (
        f"JAX_PLATFORMS: expected a platform with a device, got '{platform}'; set JAX_PLATFORMS=cpu"
    )
    assert_one_line_error(done, script[0], message)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the flag is for CPUs")
def test_xla_flag_sets_number_of_devices(tmp_path):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=3"
    done = command(tmp_path, *TRAIN, "--config.batch_size=3", XLA_FLAGS=flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "parameters, 3 of 3 x cpu, run" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("optax_promotion")
def test_training_and_evaluation_without_jit(tmp_path):
    config = tiny_config("per_step_dense")
    config.num_train_steps = config.log_every_steps = 1
    config.eval_every_steps = config.checkpoint_every_steps = 1
    config.num_eval_sequences = 2
    config.eval_lengths = (2,)
    with jax.disable_jit():
        summary = loop.train(config, tmp_path)
        assert load_run(tmp_path).num_params == summary["num_params"]
    assert (summary["stop_reason"], summary["step"]) == ("num_train_steps", 1)


# Runs a script as a user without an entry in the passwd file.
WITHOUT_PASSWD_ENTRY = """
import pwd, runpy, sys
def getpwuid(uid):
    raise KeyError(uid)
pwd.getpwuid = getpwuid
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_user_without_a_home(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PASSWD_ENTRY, str(ROOT / TRAIN[0]), *TRAIN[1:]],
        cwd=tmp_path,
        env=environment(HOME=None, XDG_CACHE_HOME=None, JAX_COMPILATION_CACHE_DIR=None),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (
        0,
        "train.py: warning: no compilation cache: Could not determine home directory; set "
        "XDG_CACHE_HOME\n",
    )


LONG_RUN = (*TRAIN, "--config.num_train_steps=1000000")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGUSR1", "SIGTERM"])
def test_signal_sets_exit_status(tmp_path, name):
    process = start(tmp_path, *LONG_RUN)
    process.stdout.readline()
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.Signals[name], "")
    assert f"interrupted by {name}; the same command resumes" in out
    assert json.loads((tmp_path / "run/summary.json").read_text())["stop_reason"] == name


@pytest.mark.slow
def test_nohup_ignores_sighup(tmp_path):
    process = subprocess.Popen(
        ["nohup", sys.executable, str(ROOT / TRAIN[0]), *LONG_RUN[1:]],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "interrupted by SIGTERM" in out


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_interrupted_evaluation(tmp_path, seconds):
    """While modules are imported, and later."""
    # Small calls: Python handles a signal after the call of a compiled program.
    sizes = ("--lengths=3", "--slots=8", "--sequences=1000000")
    process = start(tmp_path, "eval.py", "--pretrained=copy_ntm", *sizes)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")


@pytest.mark.slow
@pytest.mark.parametrize("workdir", ["/proc/run", "file", "file/run"])
def test_directory_that_cannot_be_created(tmp_path, workdir):
    (tmp_path / "file").write_text("")
    done = command(tmp_path, "train.py", TINY_CONFIG, f"--workdir={workdir}")
    assert_one_line_error(done, "train.py", f"{workdir}: cannot write to the run directory: ")
