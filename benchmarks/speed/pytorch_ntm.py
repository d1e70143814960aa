"""loudinthecloud/pytorch-ntm as a candidate, from a checkout."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from benchmarks.speed import workloads
from benchmarks.speed.harness import Candidate
from benchmarks.speed.workloads import LENGTH, NUM_BITS

__all__ = ["SYSTEM", "candidates", "commit", "load"]

SYSTEM = "pytorch-ntm"
_URL = "https://github.com/loudinthecloud/pytorch-ntm"


def load(checkout: str) -> ModuleType:
    """Imports train.py of a checkout, or exits with a message."""
    if not (Path(checkout) / "tasks" / "copytask.py").is_file():
        sys.exit(f"speed: --pytorch_ntm: expected a checkout of {_URL}, got {checkout}")
    sys.path.insert(0, str(Path(checkout).resolve()))
    try:
        attr = importlib.import_module("attr")
        attrib = attr.attrib

        def attrib_with_convert(*args: Any, convert: Any = None, **options: Any) -> Any:
            return attrib(*args, converter=convert, **options)

        # pytorch-ntm uses `convert`, which attrs has removed.
        with mock.patch.object(attr, "attrib", attrib_with_convert):
            return importlib.import_module("train")
    except ImportError as error:
        sys.exit(f"speed: --pytorch_ntm: {error}: pip install torch attrs argcomplete")


def commit(checkout: str) -> str | None:
    """Returns the commit, with "-dirty" if files were changed; None outside a repository."""
    command = ["git", "-C", checkout, "describe", "--always", "--dirty", "--abbrev=40"]
    # Not the commit of a repository that contains the checkout.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(Path(checkout).resolve().parent)}
    described = subprocess.run(
        [*command, "--exclude=*"], capture_output=True, text=True, env=os.environ | ceiling
    )
    return described.stdout.strip() or None


def candidates(train: ModuleType, batch_size: int, num_threads: int) -> list[Candidate]:
    """Returns training and forward passes of pytorch-ntm's own model.

    Args:
      train: its module train.
      batch_size: B.
      num_threads: threads of torch.

    Returns:
      Training: `train_batch` on a batch of its own sampler. Forward: the model on such a batch
      without gradients, as in its `evaluate`, and the bit errors.
    """
    torch = train.torch
    train.init_seed(workloads.SEED)
    make_model, make_params = train.TASKS["copy"]
    settings = dict(batch_size=batch_size, num_batches=10**9, rmsprop_lr=workloads.LEARNING_RATE)
    settings |= dict(sequence_min_len=LENGTH, sequence_max_len=LENGTH, sequence_width=NUM_BITS)
    settings |= dict(controller_size=workloads.HIDDEN_SIZE, controller_layers=1, num_heads=1)
    settings |= dict(memory_n=workloads.NUM_SLOTS, memory_m=workloads.SLOT_WIDTH)
    model = make_model(params=make_params(**settings))
    _, inputs, targets = next(model.dataloader)
    shapes = tuple(inputs.shape), tuple(targets.shape)
    expected = (LENGTH + 1, batch_size, NUM_BITS + 1), (LENGTH, batch_size, NUM_BITS)
    if shapes != expected:
        sys.exit(f"speed: --pytorch_ntm: expected batches of shapes {expected}, got {shapes}")

    def train_step() -> tuple[float, float]:
        torch.set_num_threads(num_threads)
        _, inputs, targets = next(model.dataloader)
        loss, _ = train.train_batch(model.net, model.criterion, model.optimizer, inputs, targets)
        return batch_size, loss

    def forward() -> tuple[float, float]:
        torch.set_num_threads(num_threads)
        _, inputs, targets = next(model.dataloader)
        with torch.no_grad():
            model.net.init_sequence(batch_size)
            for step in inputs:
                model.net(step)
            outputs = torch.stack([model.net()[0] for _ in range(LENGTH)])
            errors = torch.sum((outputs > 0.5) != (targets > 0.5))
        return batch_size, errors.item() / batch_size

    facts = {
        "system": SYSTEM,
        "controller": "lstm",
        "batch_size": batch_size,
        "num_seeds": 1,
        "devices": f"threads: {num_threads}",
        "num_params": model.net.calculate_num_params(),
    }
    name = f"{SYSTEM}, threads {num_threads}, batch {batch_size}"
    return [
        Candidate(f"{name}, {program}", run, facts | {"program": program})
        for program, run in (("training", train_step), ("forward", forward))
    ]
