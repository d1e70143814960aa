"""The commands: one module each, which defines its flags when it is imported."""

import importlib

from ntm_jax.runtime import command_line


def run_train() -> None:
    """Runs `ntm-train`, or `python train.py`."""
    _run("train")


def run_eval() -> None:
    """Runs `ntm-eval`, or `python eval.py`."""
    _run("eval")


def run_compare() -> None:
    """Runs `ntm-compare`."""
    _run("compare")


def _run(name: str) -> None:
    try:
        module = importlib.import_module(f"ntm_jax.commands.{name}")
    except ModuleNotFoundError as error:
        install = "pip install -r requirements.txt, or pip install 'ntm_jax[train]'"
        command_line.fail(f"expected {error.name}, got no such package; {install}")
    module.run()
