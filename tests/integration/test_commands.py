"""train.py and eval.py as subprocesses, with a shipped config made smaller by flags."""

import json

import numpy as np
import pytest
from support.subprocess_utils import ROOT, assert_one_line_error, command

COPY_NTM = f"--config={ROOT / 'configs/copy_ntm.py'}"
SMALL = [
    "--config.num_train_steps=6",
    "--config.batch_size=4",
    "--config.log_every_steps=2",
    "--config.eval_every_steps=4",
    "--config.checkpoint_every_steps=4",
    "--config.eval_lengths=(2,5)",
    "--config.num_eval_sequences=8",
    "--config.task.max_length=3",
    "--config.model.num_slots=8",
    "--config.model.train_num_slots=(3,5)",
    "--config.model.hidden_sizes=(8,)",
]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """The directory in which train.py ran, and its output."""
    cwd = tmp_path_factory.mktemp("user")
    return cwd, command(cwd, "train.py", COPY_NTM, *SMALL)


def test_train_writes_summary_and_log(train):
    cwd, done = train
    assert (done.returncode, done.stderr) == (0, "")
    assert (cwd / "runs/copy_ntm/summary.json").exists()
    assert "completed all training steps, not solved: step 6" in done.stdout
    assert "bit errors by length  2:" in done.stdout


def test_eval_writes_table_and_files(train):
    cwd, _ = train
    done = command(
        cwd,
        "eval.py",
        *("--lengths", "3,20", "--slots", "16", "--sequences", "4", "--per_step"),
        *("--json", "out.json", "--plots", "plots", "--trace", "trace.npz"),
        *("--html", "page.html", "--animate", "steps.gif"),
    )
    assert done.returncode == 0, done.stderr
    assert "runs/copy_ntm/checkpoints/6: copy, ntm" in done.stdout
    assert "length 3, bit accuracy by time step" in done.stdout
    assert "warning: length 20 needs 20 slots, the memory has 16" in done.stderr
    output = json.loads((cwd / "out.json").read_text())
    assert list(output) == ["task", "model", "num_params", "num_slots", "checkpoint", "results"]
    assert (output["task"], output["model"], output["num_slots"]) == ("copy", "ntm", 16)
    columns = [
        "length",
        "sequences",
        "bit_errors_per_sequence",
        "bits_per_sequence",
        "excess_bits_per_sequence",
        "bit_accuracy",
        "perfect_sequences",
    ]
    assert [list(row) for row in output["results"]] == [columns] * 2
    assert [row["length"] for row in output["results"]] == [3, 20]
    for kind in ("predictions", "memory_access", "heads", "memory"):
        path = cwd / f"plots/copy_ntm_step6_{kind}.png"
        assert path.read_bytes().startswith(b"\x89PNG")
    assert (cwd / "steps.gif").read_bytes().startswith(b"GIF")
    assert (cwd / "page.html").read_text().startswith("<!DOCTYPE html>")
    with np.load(cwd / "trace.npz") as trace:
        assert trace["write_weights"].shape == (41, 1, 16)  # 20 vectors, 16 slots


def test_completed_run_is_not_trained_again(train):
    cwd, _ = train
    done = command(cwd, "train.py", COPY_NTM, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "resumed at step 6" in done.stdout
    assert "completed all training steps" in done.stdout


def test_config_mismatch_is_an_error(train):
    cwd, _ = train
    done = command(cwd, "train.py", COPY_NTM, *SMALL, "--config.seed=5")
    assert done.returncode == 1
    assert "seed: 0 stored, 5 given" in done.stderr
    assert "Traceback" not in done.stderr


def test_size_of_another_task_is_an_error(tmp_path):
    done = command(tmp_path, "eval.py", "--pretrained=copy_ntm", "--items=3")
    assert_one_line_error(done, "eval.py", "--items: not a size axis of copy; use --lengths")


def test_eval_without_run_uses_pretrained_model(tmp_path):
    done = command(tmp_path, "eval.py", "--lengths=10", "--sequences=8")
    assert done.returncode == 0
    assert "`python train.py --config=configs/copy_ntm.py`" in done.stderr
    assert "evaluating the pretrained copy_ntm" in done.stderr
    assert done.stdout.splitlines()[-1].split()[-3:] == ["100.0000%", "100.00%", "8"]


def test_missing_run_directory_is_an_error(tmp_path):
    done = command(tmp_path, "eval.py", "--workdir=nothing")
    assert_one_line_error(done, "eval.py", "nothing: expected a run directory with a config.json")


def test_ensemble(tmp_path):
    done = command(tmp_path, "train.py", COPY_NTM, *SMALL, "--config.num_seeds=3")
    assert done.returncode == 0, done.stderr
    assert "solved 0 of 3" in done.stdout
    evaluate = ("eval.py", "--lengths=3", "--sequences=4")
    ensemble = command(tmp_path, *evaluate, "--json=out.json")
    assert ensemble.returncode == 0, ensemble.stderr
    assert "3 seeds" in ensemble.stdout
    assert "solved at these sizes: 0 of 3 (0 %, 95 % interval 0 % to 56 %)" in ensemble.stdout
    errors = [
        member["results"][0]["bit_errors_per_sequence"]
        for member in json.loads((tmp_path / "out.json").read_text())["members"]
    ]
    second = command(tmp_path, *evaluate, "--member=1")
    assert float(second.stdout.splitlines()[-1].split()[1]) == pytest.approx(errors[1], rel=1e-3)
    missing = command(tmp_path, *evaluate, "--member=3")
    assert_one_line_error(missing, "eval.py", "member: expected an index from 0 to 2, got 3")


@pytest.mark.parametrize(
    ("flag", "messages"),
    [
        ("--config.lerning_rate=3e-4", ["lerning_rate", "learning_rate"]),
        ("--config.model.num_slot=3", ["num_slot", "num_slots"]),
        ("--config.batch_size=big", ["batch_size", "big"]),
        ("--config.batch_size=0", ["batch_size: expected at least 1, got 0"]),
        ("extra", ["expected flags only, got extra"]),
        ("--process_id=1", ["--coordinator, --num_processes: expected with --process_id"]),
    ],
)
def test_invalid_flag_is_an_error(tmp_path, flag, messages):
    done = command(tmp_path, "train.py", COPY_NTM, flag)
    assert done.returncode not in (0, None)
    for message in messages:
        assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_invalid_workdir_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    done = command(tmp_path, "train.py", COPY_NTM, "--workdir=file/run")
    assert_one_line_error(done, "train.py", "file/run")
