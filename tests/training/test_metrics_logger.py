import threading

import pytest
from support.subprocess_utils import files_no_larger_than

from ntm_jax.training.progress import Progress


def test_lines_go_to_the_log_and_to_standard_output_whole(tmp_path, capsys):
    line = "a line [with brackets], " + "long " * 40
    with Progress(tmp_path, total=10, step=0) as progress:
        progress.say(line)
        progress.advance(5)
    assert (tmp_path / "train.log").read_text() == line + "\n"
    assert capsys.readouterr().out == line + "\n"


def test_a_resumed_run_appends_to_its_log(tmp_path):
    for step in (0, 5):
        with Progress(tmp_path, total=10, step=step) as progress:
            progress.say(f"from {step}")
    assert (tmp_path / "train.log").read_text() == "from 0\nfrom 5\n"


def test_numbers_go_to_tensorboard_nested_ones_too(tmp_path):
    with Progress(tmp_path, total=10, step=0) as progress:
        progress.scalars(5, "evaluation", {"errors": {"10": 1.5}, "solved": False, "none": None})
    (events,) = tmp_path.glob("events.out.tfevents.*")
    content = events.read_bytes()
    assert b"evaluation/errors/10" in content
    assert b"evaluation/solved" in content
    assert b"none" not in content


def test_an_error_passes_through_and_the_log_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), Progress(tmp_path, total=1, step=0) as progress:
        progress.say("before")
        raise ZeroDivisionError
    assert (tmp_path / "train.log").read_text() == "before\n"


def test_a_full_disk_is_an_error_where_it_is_written_to(tmp_path, capsys):
    """Not a traceback in a thread, and a wait without an end."""
    threads = threading.active_count()
    with (
        files_no_larger_than(1000),
        pytest.raises(OSError, match="File too large"),
        Progress(tmp_path, total=10, step=0) as progress,
    ):
        for step in range(100):
            progress.scalars(step, "training", {"loss": 1.0})
            assert threading.active_count() == threads
        progress.flush()
    assert capsys.readouterr() == ("", "")
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert 0 < events.stat().st_size <= 1000
