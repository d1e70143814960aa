"""Errors of train.py and eval.py that only the whole command can raise: one line each."""

import io
import json
import subprocess
import sys

import hypothesis
import jax
import pytest
from hypothesis import strategies as st
from support.subprocess_utils import (
    ROOT,
    TINY_CONFIG,
    assert_one_line_error,
    command,
    environment,
)
from support.tiny_config import tiny_config

from ntm_jax.pretrained import list_pretrained
from ntm_jax.runtime import command_line
from ntm_jax.training.config import default, flatten
from ntm_jax.training.loop import train


@pytest.mark.parametrize(
    ("config", "override", "message"),
    [
        ("missing.py", None, "--config: no such file: missing.py"),
        (str(ROOT / "README.md"), None, f"--config: {ROOT / 'README.md'}:3: SyntaxError: "),
        (None, "--config.num_steps=5", "--config.num_steps: renamed to num_train_steps"),
    ],
)
def test_config_that_is_not_one(tmp_path, config, override, message):
    arguments = [TINY_CONFIG if config is None else f"--config={config}"]
    if override is not None:
        arguments.append(override)
    assert_one_line_error(command(tmp_path, "train.py", *arguments), "train.py", message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--workdir=run", "--workdir: cannot be combined with --pretrained"),
        ("--lengths=1000000000", "--lengths: expected a value that fits into"),
    ],
)
def test_pretrained_with_an_invalid_flag(tmp_path, flag, message):
    done = command(tmp_path, "eval.py", "--pretrained=copy_ntm", flag)
    assert_one_line_error(done, "eval.py", message)


@pytest.mark.usefixtures("optax_promotion")
def test_torn_metrics(tmp_path):
    train(tiny_config("per_step_dense"), tmp_path / "run")
    line = json.dumps({"step": 4, "kind": "evaluation"}).encode()
    (tmp_path / "run/metrics.jsonl").write_bytes(line + b'\n\xff{"st')
    done = command(tmp_path, "eval.py", "--workdir=run", "--sequences=2", "--lengths=3")
    assert_one_line_error(
        done, "eval.py", "metrics.jsonl: expected lines as this version writes them, got"
    )


@pytest.mark.usefixtures("optax_promotion")
def test_trace_needs_a_memory(tmp_path):
    train(tiny_config("per_step_dense"), tmp_path / "run")
    done = command(tmp_path, "eval.py", "--workdir=run", "--trace=trace.npz")
    message = "--trace: expected a model with a memory, got per_step_dense"
    assert_one_line_error(done, "eval.py", message)
    assert not (tmp_path / "trace.npz").exists()


@pytest.mark.usefixtures("optax_promotion")
def test_damaged_traces_of_training(tmp_path):
    train(tiny_config(), tmp_path / "run")
    (tmp_path / "run/traces").mkdir()
    (tmp_path / "run/traces/4.npz").write_bytes(b"junk")
    done = command(tmp_path, "eval.py", "--workdir=run", "--animate_training=a.gif")
    message = "run/traces/4.npz: expected a trace of an example, got no .npz file"
    assert_one_line_error(done, "eval.py", message)


def test_training_animation_needs_traces(tmp_path):
    done = command(tmp_path, "eval.py", "--pretrained=copy_ntm", "--animate_training=a.gif")
    message = (
        "--animate_training: expected the first member of a run of train.py --trace_every_evals"
    )
    assert_one_line_error(done, "eval.py", message)
    assert not (tmp_path / "a.gif").exists()


# Runs `main` of a script once per list of arguments in one process. In place of training, a run
# stops for the reason that its directory is named after; nothing is evaluated.
BATCH_PROGRAM = """
import importlib, json, sys
from absl import app, flags
from ntm_jax.runtime import command_line
script = sys.argv[1]
module = importlib.import_module("ntm_jax.commands." + script.removesuffix(".py"))
parse_flags = getattr(module, "_parse_flags", command_line.parse_flags)
module.train = lambda config, workdir, **options: print(
    json.dumps([str(workdir), config.to_dict()])
) or {"stop_reason": workdir.name}
module._evaluate = lambda *arguments: None
app.define_help_flags()
sys.argv = [script]
for arguments in json.load(sys.stdin):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        module.main(parse_flags([script, *arguments]))
    except SystemExit as error:
        print(json.dumps(error.code), file=sys.stderr)
    else:
        print("null", file=sys.stderr)
"""


def run_batch(cwd, script, cases):
    """Returns for each list of arguments what the script exits with, and its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", BATCH_PROGRAM, script],
        input=json.dumps(cases),
        cwd=cwd,
        env=environment(HOME="/home/someone"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codes = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(codes) == len(cases), done.stderr
    return codes, [json.loads(line) for line in done.stdout.splitlines() if line[0] == "["]


CONFIG_FILES = {
    "none.py": "def get_config():\n    return None\n",
    "dict.py": "def get_config():\n    return {'seed': 1}\n",
    "syntax.py": "import os\ndef get_config(:\n",
    "module.py": "import no_such_module\n",
    "argument.py": "def get_config(name):\n    return name\n",
    "raises.py": "def get_config():\n    x = 1\n    return x / 0\n",
    "no_function.py": "x = 1\n",
    "binary.py": "\0\1",
}
COPY = f"--config={ROOT / 'configs/copy_ntm.py'}"
RUN = "--config=old/run/config.json"
LONG_NAME = "x" * 300
# Arguments of train.py, and its whole error message.
TRAIN_ERRORS = [
    (["--config=none.py"], "--config: expected a ConfigDict from get_config in none.py, got None"),
    (
        ["--config=dict.py"],
        "--config: expected a ConfigDict from get_config in dict.py, got a dict",
    ),
    (["--config=syntax.py"], "--config: syntax.py:2: SyntaxError: invalid syntax"),
    (
        ["--config=module.py"],
        "--config: module.py:1: ModuleNotFoundError: No module named 'no_such_module'",
    ),
    (
        ["--config=argument.py"],
        "--config: expected a name after a colon, argument.py:NAME, got argument.py",
    ),
    (["--config=none.py:x"], "--config: expected no name after a colon, got none.py:x"),
    (["--config", "raises.py"], "--config: raises.py:3: ZeroDivisionError: division by zero"),
    (
        ["--config=no_function.py"],
        "--config: expected a function get_config in no_function.py, got none",
    ),
    (
        ["--config=binary.py"],
        "--config: binary.py: SyntaxError: source code string cannot contain null bytes",
    ),
    (["--config=old"], "--config: expected a file, got the directory old"),
    (
        ["--config=old/run"],
        "--config: expected a file, got the directory old/run; use old/run/config.json",
    ),
    (["--config="], "--config: expected a local path, got '' (not a path)"),
    (["--config=gs://a/b.py"], "--config: expected a local path, got 'gs://a/b.py' (not a path)"),
    ([COPY, "--config.sed"], "--config.sed: unknown key; did you mean seed?"),
    (
        [COPY, "--config.num_slots=3"],
        "--config.num_slots: unknown key; did you mean model.num_slots?",
    ),
    ([COPY, "--config.seed"], "--config.seed: expected a value, got none"),
    ([COPY, "--config.seed=ten"], "--config.seed: expected an integer, got ten"),
    ([COPY, "--config.seed=1.5"], "--config.seed: expected an integer, got 1.5"),
    ([COPY, "--config.learning_rate", "a"], "--config.learning_rate: expected a number, got a"),
    ([COPY, "--config.model.remat=2"], "--config.model.remat: expected true or false, got 2"),
    ([COPY, "--config.eval_lengths=(2,"], "--config.eval_lengths: expected a tuple, got (2,"),
    ([COPY, "--config.task={}"], "--config.task: unknown key; did you mean task.name?"),
    ([RUN, "--config.num_steps=5"], "--config.num_steps: renamed to num_train_steps"),
    ([COPY, "--worldir=a"], "--worldir: unknown flag; did you mean --workdir?"),
    ([COPY, "--num_processes=x"], "--num_processes: expected an integer, got x"),
    ([COPY, "--distributed=maybe"], "--distributed: expected true or false, got maybe"),
    ([COPY, "--workdir"], "--workdir: expected a value, got none"),
    ([COPY, "extra", "more"], "expected flags only, got extra more"),
    (
        ["--flagfile=missing"],
        "--flagfile: Unable to open flagfile: [Errno 2] No such file or directory: 'missing'",
    ),
    ([COPY, "--workdir="], "--workdir: expected a local path, got '' (not a path)"),
    (
        [COPY, "--workdir=gs://a/b"],
        "--workdir: expected a local path, got 'gs://a/b' (not a path)",
    ),
    ([COPY, "--workdir=a\0b"], "--workdir: expected a local path, got 'a\\x00b' (not a path)"),
    (
        [COPY, f"--workdir=a/{LONG_NAME}"],
        f"--workdir: expected a local path, got 'a/{LONG_NAME[:194]}... (File name too long)",
    ),
    (
        [COPY, "--workdir=~nobody_here/a"],
        "--workdir: expected a local path, got '~nobody_here/a' (Could not determine home "
        "directory)",
    ),
]
# Arguments of train.py; what it trains: the run directory, and some keys of the config.
TRAIN_CONFIGS = [
    ([RUN], "runs/run", {"seed": 3, "num_train_steps": 7}),
    ([RUN, "--config.seed=5", "--workdir=~/a"], "/home/someone/a", {"seed": 5}),
    (
        ["--config.seed", "-1", COPY, "--workdir=b", "--config.learning_rate=3e-4"],
        "b",
        {"seed": -1, "learning_rate": 3e-4},
    ),
    (
        [COPY, "--noconfig.model.remat", "--config.eval_lengths=2,5", "--config.max_grad_norm=2"],
        "runs/copy_ntm",
        {"eval_lengths": [2, 5], "max_grad_norm": 2.0},
    ),
]
EXIT_STATUS = {
    "SIGHUP": 129,
    "SIGINT": 130,
    "SIGUSR1": 138,
    "SIGTERM": 143,
    "solved": 0,
    "num_train_steps": 0,
    "not finite": 0,
}
LENGTHS = "--lengths: expected comma-separated positive integers, got"
EVAL_ERRORS = [
    *(
        (["--lengths=" + value], f"{LENGTHS} '{value}'")
        for value in ("0", "ten", "-3", "10,,20", "")
    ),
    (["--slots=0"], "--slots: expected an integer from 1 to 1000000000, got 0"),
    (["--member=-1"], "--member: expected a non-negative integer, got -1"),
    (["--sequences=x"], "--sequences: expected an integer from 1 to 1000000, got x"),
    (
        ["--pretrained=foo"],
        f"--pretrained: expected FILE.npz or one of {(*list_pretrained(),)}, got 'foo'",
    ),
    (["--per_step=maybe"], "--per_step: expected true or false, got maybe"),
    (["--lenghts=3"], "--lenghts: unknown flag; did you mean --lengths?"),
    (["x"], "expected flags only, got x"),
    (["--workdir="], "--workdir: expected a local path, got '' (not a path)"),
    (["--workdir=s3://a"], "--workdir: expected a local path, got 's3://a' (not a path)"),
    (["--json=old"], "--json: expected a file, or - to print it, got old"),
    (["--json=/dev/null"], "--json: expected a file, or - to print it, got /dev/null"),
    (["--json=missing/a.json"], "--json: no such directory: missing"),
    (["--json=~/a.json"], "--json: no such directory: /home/someone"),
    (["--trace=old"], "--trace: expected a file, got old"),
    (["--html=missing/a.html"], "--html: no such directory: missing"),
    (["--trace=missing/a.npz"], "--trace: no such directory: missing"),
    (["--trace=gs://a"], "--trace: expected a local path, got 'gs://a' (not a path)"),
    (["--plots=none.py"], "--plots: expected a directory, got none.py"),
    (["--plots=none.py/a"], "--plots: expected a directory, got none.py/a"),
    (["--plots=gs://a"], "--plots: expected a local path, got 'gs://a' (not a path)"),
]


@pytest.fixture(scope="module")
def config_directory(tmp_path_factory):
    """A directory with config files, and a run with a config of old names."""
    cwd = tmp_path_factory.mktemp("configs")
    for name, content in CONFIG_FILES.items():
        (cwd / name).write_text(content)
    config = default().to_dict() | {"seed": 3, "num_steps": 7}
    del config["num_train_steps"]
    (cwd / "old/run").mkdir(parents=True)
    (cwd / "old/run/config.json").write_text(json.dumps(config))
    return cwd


def test_train_flag_errors_are_one_line(config_directory):
    cases = [arguments for arguments, _ in TRAIN_ERRORS]
    codes, trained = run_batch(config_directory, "train.py", cases)
    assert codes == [f"train.py: {message}" for _, message in TRAIN_ERRORS]
    assert trained == []
    assert not (config_directory / "runs").exists()


def test_configs_and_exit_status(config_directory):
    cases = [[], *(arguments for arguments, *_ in TRAIN_CONFIGS)]
    cases += [[COPY, f"--workdir={stop_reason}"] for stop_reason in EXIT_STATUS]
    (usage, *codes), trained = run_batch(config_directory, "train.py", cases)
    assert codes == [0] * len(TRAIN_CONFIGS) + [*EXIT_STATUS.values()]
    for (_, workdir, keys), (trained_in, config) in zip(TRAIN_CONFIGS, trained, strict=False):
        assert trained_in == workdir
        assert {key: config[key] for key in keys} == keys
    assert trained[len(TRAIN_CONFIGS) - 1][1]["model"]["remat"] is False
    assert usage.startswith("usage: python train.py --config=NAME ")
    assert "\nconfigs: associative_recall_lstm, " in usage


def test_eval_flag_errors_are_one_line(config_directory):
    codes, _ = run_batch(config_directory, "eval.py", [arguments for arguments, _ in EVAL_ERRORS])
    assert codes == [f"eval.py: {message}" for _, message in EVAL_ERRORS]


WORDS = ("", "0", "1", "-1", "3,5", "x", "1e3", "nan", "None", "true", "()", "(1,)", "[2]", "{}")
WORDS += (
    "9" * 30,
    "\n",
    "'",
    "\N{SNOWMAN}",
    "a/b",
    "gs://b",
    "none.py",
    "old/run",
    "old/run/config.json",
)
CONFIG_KEYS = (*flatten(default()), "sed", "model", "task", "model.num_slot")
FLAGS = {
    "train.py": (
        *("workdir", "distributed", "process_id", "config", "confg", "v", "flagfile"),
        *(f"config.{key}" for key in CONFIG_KEYS),
    ),
    "eval.py": (
        *("workdir", "lengths", "items", "slots", "member", "sequences", "seed", "per_step"),
        *("json", "plots", "pretrained", "leng", "xyz", "config", "flagfile"),
    ),
}


@pytest.mark.parametrize("script", FLAGS)
def test_drawn_flags_are_right_or_one_line(config_directory, script):
    first = COPY if script == "train.py" else "--pretrained=copy_ntm"
    flag = st.builds(
        lambda dashes, name, equals, word: f"{dashes}{name}{equals}{word}",
        st.sampled_from(["--", "--", "--", "-", "--no", ""]),
        st.sampled_from(FLAGS[script]),
        st.sampled_from(["=", "=", "=", " ", ""]),
        st.sampled_from(WORDS),
    )
    cases = []

    @hypothesis.settings(max_examples=150)
    @hypothesis.given(st.lists(flag, min_size=1, max_size=2))
    def draw(arguments):
        cases.append([first, *arguments])

    draw()
    codes, _ = run_batch(config_directory, script, cases)
    for arguments, code in zip(cases, codes, strict=True):
        assert code is None or code == 0 or (code.startswith(f"{script}: ") and "\n" not in code), (
            arguments,
            code,
        )
    assert 10 < sum(isinstance(code, str) for code in codes) < len(codes)


def test_unknown_flag_lists_flags(tmp_path):
    done = command(tmp_path, "eval.py", "--zzz")
    assert_one_line_error(done, "eval.py", "--zzz: unknown flag; valid flags: --lengths, --repeats")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (MemoryError(), "eval.py: out of memory: try smaller sizes"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating 1 GiB"),
            "eval.py: out of memory: RESOURCE_EXHAUSTED: Out of memory allocating 1 GiB",
        ),
    ],
)
def test_errors_while_running(monkeypatch, error, status):
    def raise_error(main, flags_parser):
        raise error

    monkeypatch.setattr(command_line.app, "run", raise_error)
    monkeypatch.setattr(sys, "argv", ["/path/eval.py"])
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.StringIO())
    with pytest.raises(SystemExit) as raised:
        command_line.run(print, print, __name__)
    assert raised.value.code == status
