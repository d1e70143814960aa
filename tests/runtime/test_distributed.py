import shutil

import jax
import numpy as np
import pytest
from support.multiprocess import ALONE, ARGUMENTS, run_pair
from support.subprocess_utils import command
from test_loop import lines

from ntm_jax.runtime import distributed
from ntm_jax.training.checkpoints import Checkpoints
from ntm_jax.runtime.last_words import last_words

# What JAX says and does where process 0 is killed.
OF_JAX = """\
E1123 02:53:06.272963   10681 coordination_service_agent.cc:289] Polled an error from coordination \
service (this can be an error from this or another task).
F1123 02:53:06.273010   10681 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to coordination service.
Additional GRPC error information from remote target coordination_service:
:UNKNOWN:Error received from peer  {grpc_message:"Socket closed", grpc_status:14}
*** Check failure stack trace: ***
    @     0x7f1aaaa18634  absl::lts_20260107::log_internal::LogMessage::SendToLog()
"""


def said(text):
    return "".join(last_words(text.splitlines(keepends=True), "gone"))


def test_what_jax_says_of_a_lost_process_becomes_one_line():
    assert said(OF_JAX) == "train.py: gone\n"


def test_what_gloo_says_at_the_start_is_left_out():
    greeting = "[Gloo] Rank 0 is connected to 1 peer ranks. Expected number of connected peer ranks"
    assert said(f"{greeting} is : 1\na warning\n") == "a warning\n"


def test_our_own_words_are_the_last_ones():
    words = "train.py: another config:\n  seed: 0 there, 5 now\n"
    assert said(words + OF_JAX) == words
    assert said(f"train.py: full\n{OF_JAX}") == "train.py: full\n"
    first, _, rest = OF_JAX.partition("\n")
    assert said(f"{first}\nof several\nlines\ntrain.py: full\n{rest}") == "train.py: full\n"


def test_anything_else_passes():
    text = (
        "a warning\n"
        "W1123 02:53:06.272963   10681 cpu_client.cc:3] of the device\nand more of it\n"
        "F1123 02:53:06.272963   10681 cpu_client.cc:3] another end\n"
    )
    assert said(text) == text
    first, _, _ = OF_JAX.partition("\n")
    trace = "Traceback (most recent call last):\n  ...\nKeyError: 3\n"
    assert said(f"{first}\n{trace}") == trace


def test_one_process_alone_reads_and_writes_and_decides():
    assert (distributed.count(), distributed.is_first()) == (1, True)
    assert distributed.by_first(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        distributed.by_first(divmod, 7, 0)
    written = []
    distributed.first_only(written.append)(3)
    assert written == [3]
    assert distributed.agreed([]) is None
    assert distributed.agreed(["SIGTERM", "SIGINT"]) == "SIGTERM"
    tree = {"a": jax.numpy.ones(3), "b": np.zeros(2)}
    assert distributed.whole(tree)["a"] is tree["a"]
    assert distributed.of_first(tree) is tree
    distributed.leave(1)
    distributed.start(None, None, None)
    assert not jax.distributed.is_initialized()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("h:1", 2, None), "--process_id: expected with --coordinator, --num_processes, got none"),
        ((None, None, 1), "--coordinator, --num_processes: expected with --process_id, got none"),
        (("h:1", 2, 0, True), "--distributed: expected it alone, got --coordinator, --num_pro"),
        (("host", 2, 0), "--coordinator: expected host:port, such as 10.0.0.1:1234, got 'host'"),
        (("h:99999", 2, 0), "--coordinator: expected host:port, such as 10.0.0.1:1234, got"),
        (("h:1", 0, 0), "--num_processes: expected at least 1, got 0"),
        (("h:1", 2, 2), "--process_id: expected one from 0 to 1, got 2"),
        (("h:1", 2, -1), "--process_id: expected one from 0 to 1, got -1"),
    ],
)
def test_flags_that_do_not_fit_together_are_named(arguments, message):
    with pytest.raises(distributed.ProcessesError) as raised:
        distributed.start(*arguments)
    assert str(raised.value).startswith(message)
    assert not jax.distributed.is_initialized()


def assert_alike(some, others):
    """The same lines, up to the order in which numbers are added."""
    assert jax.tree.structure(some) == jax.tree.structure(others)
    for (path, value), other in zip(
        jax.tree.leaves_with_path(some), jax.tree.leaves(others), strict=True
    ):
        expected = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        assert other == expected, jax.tree_util.keystr(path)


def test_two_processes_learn_what_one_learns_and_one_of_them_writes(tmp_path):
    alone = command(tmp_path, *ARGUMENTS, **ALONE)
    assert (alone.returncode, alone.stderr) == (0, "")
    first, second = run_pair(tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert "2 of 2 x cpu, 2 processes" in first.stdout
    assert list((tmp_path / "1").iterdir()) == []
    run, whole = tmp_path / "0/run", lines(tmp_path / "run")
    assert Checkpoints(run).steps() == [8, 12]
    assert len(list(run.glob("events.out.*"))) == 1
    assert_alike(lines(run), whole)
    # One goes on where two were.
    shutil.rmtree(run / "checkpoints/12")
    resumed = command(tmp_path / "0", *ARGUMENTS, **ALONE)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert "resumed after 8 updates" in resumed.stdout
    assert_alike(lines(run), whole)


@pytest.mark.slow
def test_two_processes_train_the_members_that_one_trains_and_begin_the_same_ones_anew(tmp_path):
    more = ("--config.num_seeds=4", "--config.restart_after=4", "--config.learning_rate=1e-9")
    alone = command(tmp_path, *ARGUMENTS, *more, **ALONE)
    assert (alone.returncode, alone.stderr) == (0, "")
    for done in run_pair(tmp_path, *more):
        assert (done.returncode, done.stderr) == (0, "")
    expected = lines(tmp_path / "run")
    assert [line["seeds"] for line in expected if line["kind"] == "restarted"] == 2 * [[0, 1, 2, 3]]
    assert_alike(lines(tmp_path / "0/run"), expected)
