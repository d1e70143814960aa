"""loudinthecloud/pytorch-ntm as a contestant, from a checkout of it."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from benchmarks.speed.rounds import Contestant
from benchmarks.speed.work import BITS, LEARNING_RATE, LENGTH, SEED, SLOTS, UNITS, WIDTH

__all__ = ["commit", "contestants", "load"]

SYSTEM = "pytorch-ntm"
_URL = "https://github.com/loudinthecloud/pytorch-ntm"


def load(program: str, checkout: str | None) -> ModuleType:
    """Imports the peer's train.py; ends the program with one line where that cannot be.

    Args:
      program: that asks, for the line.
      checkout: its folder.

    Returns:
      The module.
    """
    if checkout is None or not (Path(checkout) / "tasks" / "copytask.py").is_file():
        sys.exit(f"{program}: --pytorch_ntm: expected a checkout of {_URL}, got {checkout}")
    sys.path.insert(0, str(Path(checkout).resolve()))
    try:
        attr = importlib.import_module("attr")
        original = attr.attrib

        def attrib(*args: Any, convert: Any = None, **options: Any) -> Any:
            return original(*args, converter=convert, **options)

        # The peer says `convert`, which attrs has since removed.
        with mock.patch.object(attr, "attrib", attrib):
            return importlib.import_module("train")
    except ImportError as error:
        sys.exit(f"{program}: --pytorch_ntm: {error}: pip install torch attrs argcomplete")


def commit(checkout: str) -> str | None:
    """The commit, with "-dirty" behind it if files were changed; None if git cannot tell."""
    command = ["git", "-C", checkout, "describe", "--always", "--dirty", "--abbrev=40"]
    # Not the commit of a repository that the checkout happens to lie in.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(Path(checkout).resolve().parent)}
    told = subprocess.run(
        [*command, "--exclude=*"], capture_output=True, text=True, env=os.environ | ceiling
    )
    return told.stdout.strip() or None


def contestants(train: ModuleType, batch_size: int, threads: int) -> list[Contestant]:
    """Its training and its forward pass, wired by its own training model.

    Args:
      train: its train.py.
      batch_size: B.
      threads: that torch may use.

    Returns:
      Training: the peer's `train_batch` on a batch of its own sampler. Forward: the network over
      such a batch, as its `evaluate` runs it, whose own last lines no longer run; without
      gradients, and the wrong bits counted.
    """
    torch = train.torch
    train.init_seed(SEED)
    make_model, make_params = train.TASKS["copy"]
    settings = dict(batch_size=batch_size, num_batches=10**9, rmsprop_lr=LEARNING_RATE)
    settings |= dict(sequence_min_len=LENGTH, sequence_max_len=LENGTH, sequence_width=BITS)
    settings |= dict(controller_size=UNITS, controller_layers=1, num_heads=1)
    settings |= dict(memory_n=SLOTS, memory_m=WIDTH)
    model = make_model(params=make_params(**settings))
    _, shown, answer = next(model.dataloader)
    _expect("inputs", tuple(shown.shape), (LENGTH + 1, batch_size, BITS + 1))
    _expect("answers", tuple(answer.shape), (LENGTH, batch_size, BITS))

    def training() -> tuple[float, float]:
        torch.set_num_threads(threads)
        _, shown, answer = next(model.dataloader)
        loss, _ = train.train_batch(model.net, model.criterion, model.optimizer, shown, answer)
        return batch_size, loss

    def forward() -> tuple[float, float]:
        torch.set_num_threads(threads)
        _, shown, answer = next(model.dataloader)
        with torch.no_grad():
            model.net.init_sequence(batch_size)
            for step in shown:
                model.net(step)
            said = torch.stack([model.net()[0] for _ in range(LENGTH)])
            wrong = torch.sum((said > 0.5) != (answer > 0.5))
        return batch_size, wrong.item() / batch_size

    facts = {
        "system": SYSTEM,
        "controller": "lstm",
        "batch_size": batch_size,
        "num_seeds": 1,
        "devices": f"threads: {threads}",
        "num_params": model.net.calculate_num_params(),
        "settings": vars(model.params),
    }
    name = f"{SYSTEM}, threads {threads}, batch {batch_size}"
    return [
        Contestant(f"{name}, {work}", advance, facts | {"work": work})
        for work, advance in (("training", training), ("forward", forward))
    ]


def _expect(what: str, got: Any, expected: Any) -> None:
    if got != expected:
        sys.exit(f"speed: --pytorch_ntm: {what}: expected {expected}, got {got}")
