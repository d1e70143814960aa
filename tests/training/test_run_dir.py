import errno
import fcntl
import json
import math
import os
import threading

import pytest
from support.tiny_config import tiny_config

from ntm_jax.training import run_dir


def line(step):
    return {"kind": "training", "step": step, "seconds": 0.5}


def test_config_round_trip(tmp_path):
    config = tiny_config()
    run_dir.write_config(tmp_path / "run", config)
    assert run_dir.load_config(tmp_path / "run") == config.to_dict()
    assert run_dir.check_config(tmp_path / "run", config) == []


def test_other_config_raises_with_the_difference(tmp_path):
    run_dir.write_config(tmp_path, tiny_config())
    other = tiny_config()
    other.learning_rate = 0.5
    other.model.num_slots = 64
    with pytest.raises(run_dir.RunError) as error:
        run_dir.check_config(tmp_path, other)
    assert "learning_rate: 0.002 stored, 0.5 given" in str(error.value)
    assert "model.num_slots: 8 stored, 64 given" in str(error.value)
    assert "batch_size" not in str(error.value)


def test_checkpoints_without_a_config_raise(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(run_dir.RunError, match="expected the config of the checkpoints, got none"):
        run_dir.check_config(tmp_path, tiny_config())


NESTED = '{"task": ' + 5000 * '{"a": ' + "1" + 5001 * "}"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", "\xff", "null", "\0", "[" * 10**5, NESTED, "9" * 5000],
)
def test_damaged_config_raises(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    message = r"config\.json: expected a config in JSON, got"
    with pytest.raises(run_dir.RunError, match=message) as error:
        run_dir.load_config(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/config.json: ")
    assert "\n" not in str(error.value)


def test_deeply_nested_config_raises(tmp_path):
    """JSON accepts this depth, and functions that call themselves for each level would not."""
    (tmp_path / "config.json").write_text('{"task": ' + 300 * '{"a": ' + "1" + 301 * "}")
    with pytest.raises(run_dir.RunError) as error:
        run_dir.load_config(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/config.json: expected a config in JSON, got: values nested deeper than 32; "
        "restore the file, or choose another --workdir"
    )


def test_config_with_bom_is_read(tmp_path):
    config = tiny_config()
    text = json.dumps(config.to_dict())
    (tmp_path / "config.json").write_text(text, encoding="utf-8-sig")
    assert run_dir.load_config(tmp_path) == config.to_dict()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("task", [1], "task.name: expected the name of a task, got none"),
        ("model", None, "model.name: expected the name of a model, got none"),
        ("batch_size", "4", "batch_size: expected "),
        ("batch_size", {"a": 4}, "batch_size.a: unknown key; did you mean batch_size?"),
        (
            "eval_lengths",
            [[2]],
            "eval_lengths: expected integers from 1 to 1000000000, got ((2,),)",
        ),
    ],
)
def test_mistyped_config_names_file_and_key(tmp_path, key, value, message):
    values = {**tiny_config().to_dict(), key: value}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(run_dir.RunError) as error:
        run_dir.load_config(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/config.json: {message}")
    assert "\n" not in str(error.value)


def test_missing_keys_keep_the_old_behaviour(tmp_path):
    config = tiny_config()
    run_dir.write_config(tmp_path, config)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["max_grad_value"], stored["model"]["train_num_slots"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert run_dir.load_config(tmp_path) == config.to_dict()
    assert run_dir.check_config(tmp_path, config) == []
    config.max_grad_value = 10.0
    with pytest.raises(run_dir.RunError, match=r"max_grad_value: 0\.0 stored, 10\.0 given"):
        run_dir.check_config(tmp_path, config)


def test_invalid_config_names_the_file(tmp_path):
    run_dir.write_config(tmp_path, tiny_config())
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["adam_b2"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    message = (
        r"config\.json: adam_b2: expected a value such as 0\.9, got none; a run of another version"
    )
    with pytest.raises(run_dir.RunError, match=message):
        run_dir.load_config(tmp_path)


def test_only_one_process_locks_the_directory(tmp_path):
    with run_dir.lock(tmp_path / "run"):
        with pytest.raises(
            run_dir.RunError, match=rf"is locked by another training process \(pid {os.getpid()}\)"
        ):
            run_dir.lock(tmp_path / "run").__enter__()
        with run_dir.lock(tmp_path / "other"):
            pass
    with run_dir.lock(tmp_path / "run"):
        pass


def test_summary_of_the_same_results_is_kept(tmp_path):
    first = {"stop_reason": "solved", "step": 8, "seconds": 5.0, "devices": "2 of 2 x cpu"}
    assert run_dir.write_summary(tmp_path, first) == first
    assert run_dir.write_summary(tmp_path, {**first, "seconds": 0.1, "devices": "1"}) == first
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    other = {**first, "step": 12, "seconds": 7.0}
    assert run_dir.write_summary(tmp_path, other) == other
    assert json.loads((tmp_path / "summary.json").read_text()) == other
    (tmp_path / "summary.json").write_text("{")
    assert run_dir.write_summary(tmp_path, first) == first


def test_missing_run_raises(tmp_path):
    with pytest.raises(
        run_dir.RunError, match="expected a run directory with a config.json, got none"
    ):
        run_dir.load_config(tmp_path)
    with pytest.raises(
        run_dir.RunError, match=r"expected a run directory, got none; train a model with"
    ):
        run_dir.latest_run(tmp_path / "runs")


def test_latest_run_changed_last(tmp_path):
    for age, name in enumerate(["new", "old", "older"]):
        run_dir.write_config(tmp_path / name, tiny_config())
        run_dir.append_metrics(tmp_path / name, line(1))
        os.utime(tmp_path / name / "metrics.jsonl", (1e9 - age, 1e9 - age))
    (tmp_path / "no_run").mkdir()
    assert run_dir.latest_run(tmp_path) == tmp_path / "new"


def test_truncate_removes_later_and_torn_lines(tmp_path):
    for step in (2, 4, 6):
        run_dir.append_metrics(tmp_path, line(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    assert run_dir.truncate_metrics(tmp_path, 4) == [line(2), line(4)]
    assert run_dir.read_metrics(tmp_path) == [line(2), line(4)]


def test_metrics_older_than_the_checkpoint_raise(tmp_path):
    assert run_dir.truncate_metrics(tmp_path, 0) == []
    for step in (2, 4):
        run_dir.append_metrics(tmp_path, line(step))
    with pytest.raises(run_dir.RunError, match="expected lines up to step 6 .* got none after 4"):
        run_dir.truncate_metrics(tmp_path, 6)
    assert run_dir.read_metrics(tmp_path) == [line(2), line(4)]


@pytest.mark.parametrize(
    "text",
    [
        b"[2]",
        b"\xff",
        b"\0\0\0",
        b'{"kind": "training"}',
        b'{"step": 3}',
        b'{"kind": 1, "step": 3}',
        b'{"kind": "training", "step": "3"}',
        b'{"kind": "training", "step": true}',
        b'{"kind": "training", "step": 3.0}',
        b"[" * 100_000,
        b'{"kind": "training", "step": 3, "loss": ' + 40 * b"[" + 40 * b"]" + b"}",
    ],
)
def test_invalid_line_ends_the_metrics(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(json.dumps(line(2)).encode() + b"\n" + text + b"\n")
    run_dir.append_metrics(tmp_path, line(4))
    before = path.read_bytes()
    assert run_dir.read_metrics(tmp_path) == [line(2)]
    with pytest.raises(run_dir.RunError) as error:
        run_dir.truncate_metrics(tmp_path, 4)
    assert str(error.value) == (
        f"{path}: expected lines up to step 4 of the checkpoint, got none after 2; restore the "
        "file, or train again in another --workdir"
    )
    assert path.read_bytes() == before


def test_blank_lines_and_bom_are_skipped(tmp_path):
    text = "\ufeff" + "\n \n\r\n\n".join(json.dumps(line(step)) for step in (2, 4)) + "\n\n"
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    assert run_dir.truncate_metrics(tmp_path, 4) == [line(2), line(4)]
    assert run_dir.read_metrics(tmp_path) == [line(2), line(4)]


@pytest.mark.parametrize("seconds", [None, "5", [1.0]])
def test_invalid_wall_time_raises(tmp_path, seconds):
    run_dir.append_metrics(tmp_path, {**line(2), "seconds": seconds})
    with pytest.raises(run_dir.RunError) as error:
        run_dir.truncate_metrics(tmp_path, 2)
    assert str(error.value) == (
        f"{tmp_path}/metrics.jsonl: expected seconds as a number, got {seconds!r}"
    )


@pytest.mark.parametrize("read", [run_dir.read_metrics, run_dir.load_config])
def test_unreadable_file_raises(tmp_path, read):
    for name in ("metrics.jsonl", "config.json"):
        (tmp_path / name).mkdir()
    with pytest.raises(run_dir.RunError) as error:
        read(tmp_path)
    name = "metrics.jsonl" if read is run_dir.read_metrics else "config.json"
    message = f"{tmp_path}/{name}: expected a readable file, got: Is a directory"
    assert str(error.value) == message


def test_not_finite_numbers_become_null(tmp_path):
    values = {"nan": math.nan, "list": [1.5, -math.inf], "tuple": ({"inf": math.inf},)}
    stored = {"nan": None, "list": [1.5, None], "tuple": [{"inf": None}]}
    run_dir.append_metrics(tmp_path, {**line(2), **values})
    assert run_dir.read_metrics(tmp_path) == [{**line(2), **stored}]
    run_dir.write_json(tmp_path / "values.json", values)
    assert json.loads((tmp_path / "values.json").read_text()) == stored
    first = {**values, "seconds": 5.0}
    assert run_dir.write_summary(tmp_path, first) == {**stored, "seconds": 5.0}
    assert run_dir.write_summary(tmp_path, {**first, "seconds": 1.0})["seconds"] == 5.0


def test_old_files_with_nan_are_read(tmp_path):
    text = '{"kind": "training", "step": 2, "seconds": 1.0, "loss": NaN}\n'
    (tmp_path / "metrics.jsonl").write_text(text)
    (read,) = run_dir.read_metrics(tmp_path)
    assert math.isnan(read["loss"])
    run_dir.truncate_metrics(tmp_path, 2)
    assert '"loss": null' in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    "text", ["[1]", '{"stop_reason": "solved", "seconds": "5"}', '{"seconds": 5.0}', "[" * 10**5]
)
def test_invalid_summary_is_replaced(tmp_path, text):
    (tmp_path / "summary.json").write_text(text)
    summary = {"stop_reason": "solved", "seconds": 2.0}
    assert run_dir.write_summary(tmp_path, summary) == summary
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_pipe_is_written_in_place(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    received = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_text()))
    reader.start()
    run_dir.write_json(tmp_path / "pipe", {"a": 1})
    reader.join(timeout=10)
    assert received == ['{\n  "a": 1\n}\n']
    assert (tmp_path / "pipe").is_fifo()
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]


def test_device_is_written_in_place(tmp_path):
    (tmp_path / "device").symlink_to("/dev/null")
    run_dir.write_json(tmp_path / "device", {"a": 1})
    assert (tmp_path / "device").readlink() == (type(tmp_path))("/dev/null")
    assert (tmp_path / "device").is_char_device()


def test_standard_output_keeps_its_order(capsys):
    print("before")
    run_dir.write_json(run_dir.Path("/dev/stdout"), {"a": 1})
    print("after")
    assert capsys.readouterr().out == 'before\n{\n  "a": 1\n}\nafter\n'


def test_link_to_a_file_stays_a_link(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    run_dir.write_json(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "file").read_text()) == {"a": 1}


def test_directory_is_not_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError) as error:
        run_dir.write_json(tmp_path / "out", {"a": 1})
    assert str(error.value) == f"{tmp_path}/out: expected a file, got a directory"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_warns(tmp_path, monkeypatch, capsys, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_dir.lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert capsys.readouterr().err == (
        f"warning: {tmp_path} cannot be locked ({os.strerror(number)}); no other process may train "
        "in it\n"
    )


def test_other_lock_error_is_raised(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"):
        run_dir.lock(tmp_path).__enter__()


def test_damaged_lock_file_is_replaced(tmp_path):
    (tmp_path / "lock").write_bytes(b"\xff\nx\n")
    with run_dir.lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "summary.json"
    run_dir.write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        run_dir.write_json(path, {"new": object()})
    assert path.read_text() == '{\n  "old": 1\n}\n'
