"""Errors of train.py and eval.py that only the whole command can raise: one line each."""

import json

import pytest
from support.subprocess_utils import ROOT, TINY_CONFIG, assert_one_line_error, command
from support.tiny_config import tiny_config

from ntm_jax.training.loop import train


@pytest.mark.parametrize(
    ("config", "override", "message"),
    [
        ("missing.py", None, "--config: no such file: missing.py"),
        (str(ROOT / "README.md"), None, "--config: the file does not return a config: "),
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
    line = json.dumps({"step": 2, "kind": "evaluation"}).encode()
    (tmp_path / "run/metrics.jsonl").write_bytes(line + b'\n\xff{"st')
    done = command(tmp_path, "eval.py", "--workdir=run", "--sequences=2", "--lengths=3")
    assert_one_line_error(
        done, "eval.py", "metrics.jsonl: expected lines as this version writes them, got"
    )
