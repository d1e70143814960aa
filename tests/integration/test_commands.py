"""train.py and eval.py as subprocesses, with a shipped config made smaller by flags."""

import csv
import datetime
import io
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata

import jax
import numpy as np
import pytest
from support.subprocess_utils import ROOT, assert_one_line_error, command

import ntm_jax
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.restore import load_run

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
    assert {"task", "model", "num_params", "num_slots", "checkpoint", "results"} <= output.keys()
    assert (output["seed"], output["command"].split()[:4:3]) == (1, ["python", "3,20"])
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
    assert done.stdout.endswith("a larger --config.num_train_steps trains on\n")


def test_longer_run_is_trained_on(train, tmp_path):
    cwd, _ = train
    shutil.copytree(cwd / "runs/copy_ntm", tmp_path / "run")
    arguments = (COPY_NTM, *SMALL, "--workdir=run")
    done = command(tmp_path, "train.py", *arguments, "--config.num_train_steps=8")
    assert done.returncode == 0, done.stderr
    assert "completed all training steps, not solved: step 8" in done.stdout
    refused = command(tmp_path, "train.py", *arguments, "--config.batch_size=8")
    assert refused.returncode == 1
    assert "batch_size: 4 stored, 8 given" in refused.stderr


def test_exported_model_is_evaluated_and_tuned(train):
    cwd, _ = train
    sizes = ("--lengths=3", "--sequences=4", "--json=-")
    done = command(cwd, "eval.py", *sizes, "--workdir=runs/copy_ntm", "--export=copy.npz")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("wrote copy.npz\n")
    again = command(cwd, "eval.py", *sizes, "--pretrained=copy.npz")
    assert again.returncode == 0, again.stderr
    results = [json.loads(process.stdout)["results"] for process in (done, again)]
    assert results[0] == results[1]
    card = json.loads((cwd / "copy.json").read_text())
    assert card["measured"]["results"] == results[0]
    assert card["training"]["command"].startswith("python ")
    assert (card["training"]["step"], card["config"]["batch_size"]) == (6, 4)
    tune = ("--init_from=copy.npz", "--workdir=tuned", "--config.model.num_slots=16")
    tuned = command(cwd, "train.py", COPY_NTM, *SMALL, *tune)
    assert tuned.returncode == 0, tuned.stderr
    assert re.search(r"^took (\d,\d+) of \1 parameters from copy.npz$", tuned.stdout, re.MULTILINE)


@pytest.fixture(scope="module")
def compared(train):
    """The directory with two runs that differ in the learning rate, and seeds."""
    cwd, _ = train
    changes = ("--config.learning_rate=0.1", "--config.num_seeds=2", "--workdir=runs/fast")
    done = command(cwd, "train.py", "--config=copy_ntm", *SMALL, *changes)  # a config by its name
    assert done.returncode == 0, done.stderr
    return cwd


def test_compare_writes_a_row_per_run(compared):
    done = command(compared, "compare.py", "runs/copy_ntm", "runs/fast", "--format=csv")
    assert done.returncode == 0, done.stderr
    first, second = csv.DictReader(io.StringIO(done.stdout))
    errors = ["bit errors 2", "bit errors 5"]
    settings = ["learning_rate", "num_seeds", "step", "solved", "sequences until solved"]
    assert [*first] == ["run", *settings, *errors, "wall time (s)"]
    assert [first[name] for name in settings] == ["0.002", "1", "6", "0 of 1", ""]
    assert [second[name] for name in settings] == ["0.1", "2", "6", "0 of 2", ""]
    summaries = [
        json.loads((compared / "runs" / name / "summary.json").read_text())
        for name in ("copy_ntm", "fast")
    ]
    members = [[summaries[0]], summaries[1]["members"]]
    for row, runs in zip((first, second), members, strict=True):
        values = [[run["bit_errors_per_sequence"][size] for run in runs] for size in ("2", "5")]
        assert [float(row[name]) for name in errors] == np.median(values, axis=1).tolist()


def test_compare_prints_and_draws(compared):
    arguments = ("runs/copy_ntm", "runs/fast", "--format=markdown", "--plot=curves.png")
    done = command(compared, "compare.py", *arguments)
    assert done.returncode == 0, done.stderr
    header, _, first, second = done.stdout.splitlines()
    assert header.startswith("| run | learning_rate | num_seeds | step | solved | ")
    assert first.startswith("| runs/copy_ntm | 0.002 | 1 | 6 | 0 of 1 | ")
    assert second.startswith("| runs/fast | 0.1 | 2 | 6 | 0 of 2 | ")
    assert (compared / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected run directories, such as runs/*, got none"),
        (["nothing"], "nothing: expected a run directory with a config.json, got none"),
        (["runs/fast", "--plot=c.abc"], "--plot: Format 'abc' is not supported"),
        (["runs/fast", "--formt=csv"], "--formt: unknown flag; did you mean --format?"),
    ],
)
def test_compare_with_a_mistake(compared, arguments, message):
    assert_one_line_error(command(compared, "compare.py", *arguments), "compare.py", message)


def test_missing_package_is_one_line(tmp_path):
    program = "import sys; sys.modules['ml_collections'] = None; sys.argv = ['/bin/ntm-train']; "
    program += "from ntm_jax.commands import run_train; run_train()"
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ntm-train: expected ml_collections, got no such package; pip")
    assert done.stderr.count("\n") == 1


def test_sequences_of_a_file(train):
    cwd, _ = train
    batch = Copy(max_length=3).sample(jax.random.key(0), 6)
    np.savez(cwd / "mine.npz", **{k: np.asarray(v) for k, v in batch._asdict().items()})
    data = ("--workdir=runs/copy_ntm", "--data=mine.npz")
    done = command(cwd, "eval.py", *data, "--plots=own", "--json=own.json")
    assert done.returncode == 0, done.stderr
    trained = load_run(cwd / "runs/copy_ntm")
    logits = trained.model.apply({"params": trained.first_params}, batch.inputs)
    errors = trained.task.metrics(logits, batch)["bit_errors_per_sequence"]
    (result,) = json.loads((cwd / "own.json").read_text())["results"]
    assert result["sequences"] == 6
    assert result["bit_errors_per_sequence"] == pytest.approx(float(errors.mean()), abs=1e-6)
    assert (cwd / "own/copy_ntm_step6_predictions.png").exists()
    refused = command(cwd, "eval.py", *data, "--lengths=3")
    assert_one_line_error(refused, "eval.py", "--lengths: cannot be combined with --data")


def test_training_on_sequences_of_a_file(train):
    cwd, _ = train
    batch = Copy(max_length=3).sample(jax.random.key(0), 6)
    np.savez(cwd / "train.npz", **{k: np.asarray(v) for k, v in batch._asdict().items()})
    (cwd / "own.py").write_text(
        "from ntm_jax.training.config import default\n\n\n"
        "def get_config():\n"
        '    config = default("ntm_jax.tasks.sequences:Sequences", "ntm")\n'
        '    config.task.path = "train.npz"\n'
        "    return config\n"
    )
    small = [flag for flag in SMALL if "eval_lengths" not in flag and "task" not in flag]
    done = command(cwd, "train.py", "--config=own.py", *small)
    assert done.returncode == 0, done.stderr
    assert "bit errors by size  all: " in done.stdout
    resumed = command(cwd, "train.py", "--config=own.py", *small)
    assert "resumed at step 6" in resumed.stdout
    evaluated = command(cwd, "eval.py", "--workdir=runs/own", "--sequences=4")
    assert evaluated.returncode == 0, evaluated.stderr


def test_provenance_of_a_run(train):
    cwd, _ = train
    summary = json.loads((cwd / "runs/copy_ntm/summary.json").read_text())
    assert shlex.split(summary["command"])[2:] == [COPY_NTM, *SMALL]
    versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax")}
    versions |= {"python": platform.python_version(), "ntm_jax": ntm_jax.__version__}
    assert summary["versions"].items() >= versions.items()
    date = datetime.datetime.fromisoformat(summary["date"])
    age = datetime.datetime.now(datetime.UTC) - date
    assert datetime.timedelta() <= age < datetime.timedelta(hours=1)
    assert platform.node() in summary["host"]
    git = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    assert summary["git"]["commit"] == commit


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
