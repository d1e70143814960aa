import io
import json
import re
import struct
import sys
import threading

import numpy as np
import pytest
from support.subprocess_utils import files_no_larger_than
from support.traces import random_example
from tensorboardX.proto.event_pb2 import Event

from ntm_jax.tasks.copy import Copy
from ntm_jax.training import metrics_logger
from ntm_jax.training.metrics_logger import MetricsLogger
from ntm_jax.training.train_step import TrainMetrics

HEAD_PARAMETERS = ("gate", "strength", "sharpness")


def make_logger(workdir, step=0):
    return MetricsLogger(workdir, step, num_train_steps=10, batch_size=4, start_time=0.0)


def metrics(loss, consecutive_nonfinite):
    loss = np.asarray(loss, np.float32)
    return TrainMetrics(loss, 8 * loss, loss, np.asarray(consecutive_nonfinite), 0 * loss)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_lines_go_to_the_log_and_the_console(tmp_path, capsys):
    line = "a line [with brackets], " + "long " * 40
    with make_logger(tmp_path) as logger:
        logger.log(line)
    assert (tmp_path / "train.log").read_text() == line + "\n"
    assert capsys.readouterr().out == line + "\n"


class _FullStream(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")

    def isatty(self):
        return True


@pytest.mark.parametrize("stream", ["full terminal", "closed", None])
def test_console_that_cannot_be_written_to(tmp_path, monkeypatch, stream):
    streams = {"full terminal": _FullStream(), "closed": io.StringIO(), None: None}
    streams["closed"].close()
    monkeypatch.setattr(sys, "stdout", streams[stream])
    with make_logger(tmp_path) as logger:
        logger.log_failed(2, [0])
        logger.log("a line")
    assert (tmp_path / "train.log").read_text() == "a line\n"
    assert [line["step"] for line in lines(tmp_path)] == [2]


def test_log_keeps_any_file_name(tmp_path, capsys):
    with make_logger(tmp_path) as logger:
        logger.log("runs/\udcff")  # a name that is not UTF-8
    assert (tmp_path / "train.log").read_text() == "runs/\\udcff\n"
    capsys.readouterr()


def test_resumed_run_appends_to_its_log(tmp_path):
    for step in (0, 5):
        with make_logger(tmp_path, step) as logger:
            logger.log(f"from {step}")
    assert (tmp_path / "train.log").read_text() == "from 0\nfrom 5\n"


def test_training_metrics_skip_nonfinite_steps(tmp_path):
    with make_logger(tmp_path) as logger:
        logger.log_training(2, metrics([[1.0], [3.0]], [[0], [0]]), [0], [True])
        logger.log_training(4, metrics([[5.0], [np.nan]], [[0], [1]]), [1], [True], ("grad_norm",))
        logger.log_training(6, metrics([[np.nan], [np.nan]], [[2], [3]]), [3], [True])
    first, second, third = lines(tmp_path)
    assert (first["kind"], first["step"], first["sequences"]) == ("training", 2, 8)
    assert (first["loss"], first["bits_per_sequence"], first["grad_norm"]) == (2.0, 16.0, 2.0)
    assert (second["loss"], second["skipped_steps"]) == (5.0, 1)
    assert "grad_norm" not in second
    assert third["loss"] is None


def test_stopped_member_has_no_training_metrics(tmp_path):
    values = metrics([[1.0, 9.0, 2.0], [3.0, 9.0, 4.0]], np.zeros((2, 3), int))
    with make_logger(tmp_path) as logger:
        logger.log_training(2, values, [0, 5, 1], [True, False, True])
    (line,) = lines(tmp_path)
    assert line["loss"]["members"] == [2.0, None, 3.0]
    assert line["loss"]["median"] == 2.5
    assert line["skipped_steps"]["members"] == [0, None, 1]
    assert b"training/loss/members/1" not in next(tmp_path.glob("events.*")).read_bytes()


def test_evaluations_are_written_by_size(tmp_path, capsys):
    with make_logger(tmp_path) as logger:
        errors = {(10,): [0.0, 4.0, 1.0], (20,): [0.0, 8.0, 2.0]}
        solved = [True, False, False]
        logger.log_evaluation(4, Copy(), errors, solved)
    (line,) = lines(tmp_path)
    assert line["bit_errors_per_sequence"]["20"]["members"] == [0.0, 8.0, 2.0]
    assert line["bit_errors_per_sequence"]["20"]["median"] == 2.0
    assert line["solved"] == solved
    out = capsys.readouterr().out
    assert "bit errors by length  10: 1  20: 2  (medians)  1 of 3 solved" in out


def test_tensorboard_gets_nested_numbers(tmp_path):
    with make_logger(tmp_path) as logger:
        logger.log_evaluation(5, Copy(), {(10,): [1.5]}, [False])
        logger.log_training(6, metrics([[np.nan]], [[1]]), [1], [True])
    (events,) = tmp_path.glob("events.out.tfevents.*")
    content = events.read_bytes()
    assert b"evaluation/bit_errors_per_sequence/10" in content
    assert b"evaluation/solved" in content
    assert b"training/skipped_steps" in content
    assert b"training/loss" not in content  # no finite value


def read_events(workdir):
    """The events of the only TensorBoard file: records of length, checksum, data, checksum."""
    (path,) = workdir.glob("events.out.tfevents.*")
    content, events = path.read_bytes(), []
    while content:
        (size,) = struct.unpack("<Q", content[:8])
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def test_rates_are_not_in_the_file(tmp_path):
    rates = {"sequences_per_second": 250.0, "learning_rate": {"members": [0.5, None]}}
    with make_logger(tmp_path) as logger:
        logger.log_training(4, metrics([[1.0]], [[0]]), [0], [True], rates=rates)
    values = {v.tag: v.simple_value for e in read_events(tmp_path) for v in e.summary.value}
    assert values["training/sequences_per_second"] == 250.0
    assert values["training/learning_rate/members/0"] == 0.5
    assert "training/learning_rate/members/1" not in values
    (line,) = lines(tmp_path)
    assert not rates.keys() & line.keys()


def test_callback_gets_numbers_by_name(tmp_path):
    calls = []
    logger = MetricsLogger(tmp_path, 0, 12, 4, 0.0, lambda *call: calls.append(call))
    with logger:
        logger.log_training(4, metrics([[0.5]], [[0]]), [0], [True], rates={"learning_rate": 0.1})
        logger.log_evaluation(4, Copy(), {(10,): [1.5]}, [False])
    (step, training), (_, evaluation) = calls
    assert step == 4
    assert training.items() >= {"training/loss": 0.5, "training/learning_rate": 0.1}.items()
    assert evaluation == {"evaluation/bit_errors_per_sequence/10": 1.5, "evaluation/solved": 0.0}


def test_tensorboard_gets_text(tmp_path):
    value = {"model": {"name": "ntm"}, "loss": float("nan")}
    with make_logger(tmp_path) as logger:
        logger.log_json(3, "config", value)
    event = read_events(tmp_path)[-1]
    (text,) = event.summary.value
    assert (event.step, text.metadata.plugin_data.plugin_name) == (3, "text")
    content = text.tensor.string_val[0].decode()
    json_text = content.removeprefix("```json\n").removesuffix("\n```")
    assert json.loads(json_text) == {"model": {"name": "ntm"}, "loss": None}


def test_tensorboard_gets_heads_and_figure(tmp_path):
    example = random_example()
    with make_logger(tmp_path) as logger:
        for step in (8, 12):
            logger.log_trace(step, example, {"cell": {"bias": np.float32([3.0, -4.0])}})
    figures = [e for e in read_events(tmp_path) for v in e.summary.value if "access" in v.tag]
    assert [event.step for event in figures] == [8, 12]
    values = {v.tag: v for e in read_events(tmp_path) for v in e.summary.value if e.step == 8}
    kinds = [f"{kind}_heads/{name}" for kind in ("read", "write") for name in HEAD_PARAMETERS]
    assert sorted(values) == sorted([*kinds, "memory_access"])
    gates = np.asarray(example.steps.interface.read.gate)
    histogram = values["read_heads/gate"].histo
    assert (histogram.num, histogram.max) == (gates.size, pytest.approx(gates.max()))
    assert values["memory_access"].image.encoded_image_string.startswith(b"\x89PNG")
    with np.load(tmp_path / "traces/8.npz") as trace:
        np.testing.assert_array_equal(trace["read_gate"], gates)
        np.testing.assert_allclose(trace["params/cell/bias"], [12.5**0.5, -4.0, 3.0])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    example = random_example()
    heads = example.steps.interface.read
    gate = np.array(heads.gate)
    gate[0], strength = np.nan, np.full_like(heads.strength, np.inf)
    interface = example.steps.interface._replace(read=heads._replace(gate=gate, strength=strength))
    example = example._replace(steps=example.steps._replace(interface=interface))
    with make_logger(tmp_path) as logger:
        logger.log_trace(8, example, {})
    values = {v.tag: v for e in read_events(tmp_path) for v in e.summary.value}
    assert values["read_heads/gate"].histo.num == gate[1:].size
    assert "read_heads/strength" not in values


def test_failure_to_draw_is_logged(tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("no font")

    monkeypatch.setattr(metrics_logger, "_draw", fail)
    with make_logger(tmp_path) as logger:
        for step in (8, 12):
            logger.log_trace(step, random_example(), {})
    log = (tmp_path / "train.log").read_text()
    assert log.count("cannot draw the memory access: no font") == 2


def test_bar_shows_losses_and_time(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with make_logger(tmp_path) as logger:
        for step in (2, 4):
            logger.log_training(step, metrics([[0.5]], [[0]]), [0], [True])
            logger._progress.refresh()
        bounded = terminal.getvalue()
        logger.expect_last_step(8)
        logger._progress.refresh()
    assert "loss 0.5, 4 bits/sequence" in bounded
    assert re.search(r"4/10.*at most \d+:\d\d left", bounded)
    assert re.search(r"4/10.*about \d+:\d\d left", terminal.getvalue())


def test_log_is_complete_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), make_logger(tmp_path) as logger:
        logger.log("before")
        raise ZeroDivisionError
    assert (tmp_path / "train.log").read_text() == "before\n"


def test_full_disk_raises_where_it_is_written(tmp_path, capsys):
    """A thread would print a traceback and block the end of the process."""
    threads = threading.active_count()
    with (
        files_no_larger_than(1000),
        pytest.raises(OSError, match="File too large"),
        make_logger(tmp_path) as logger,
    ):
        for step in range(100):
            logger.log_training(step, metrics([[1.0]], [[0]]), [0], [True])
            assert threading.active_count() == threads
        logger.flush()
    assert capsys.readouterr() == ("", "")
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert 0 < events.stat().st_size <= 1000
