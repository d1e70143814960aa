"""What the study compares, where it keeps its results, and the tables of them."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import commands
from ntm_jax.training.config import flat

RESULTS = commands.ROOT / "studies" / "copy_start" / "results"
CONFIGS = {"feed_forward": "copy_ntm", "lstm": "copy_ntm_lstm"}

Setting = dict[str, Any]

# Every start of the memory with every first weighting.
STARTS: list[Setting] = [
    {**memory, "model.weights_start": weights}
    for memory, weights in itertools.product(
        (
            {"model.memory_start": "marked", "model.memory_scale": 0.1},
            {"model.memory_start": "constant", "model.memory_scale": 1e-6},
            {"model.memory_start": "random", "model.memory_scale": 0.1},
            {"model.memory_start": "learned", "model.memory_scale": 0.1},
        ),
        ("one_hot", "uniform", "learned"),
    )
]
# One thing at a time, changed from the controller's config.
_BOTH: list[Setting] = [
    {},
    *({"model.gate_bias": bias} for bias in (0.0, -1.0, -5.0)),
    *({"model.sharpness_bias": bias} for bias in (0.0, 3.0)),
    # As it is printed, and with a rate as large as Adam's.
    {"optimizer": "graves_rmsprop", "learning_rate": 1e-4, "learning_rate_half_life": 0},
    {"optimizer": "graves_rmsprop", "learning_rate": 1e-3},
    {"clip_norm": 10.0},
    {"clip_norm": 0.0, "clip_value": 10.0},
    {"task.max_length": 10},
    # As many sequences as the default's 20,000, so as many half-lives; then twice as many.
    {
        "batch_size": 1,
        "num_steps": 20_000,
        "eval_every": 2000,
        "learning_rate_half_life": 16_000,
    },
    {"batch_size": 16, "num_steps": 2500, "eval_every": 200},
    {"batch_size": 100, "num_steps": 400, "eval_every": 100},
    *({"model.strength_bias": bias} for bias in (0.0, 3.0)),
    {"model.head_noise": 0.0},
    {"task.blank_rate": 0.0},
    {"adam_eps": 1e-8},
    {"ema_decay": 0.0},
    {"model.dtype": "bfloat16"},
]
FACTORS: dict[str, list[Setting]] = {
    "feed_forward": [
        *_BOTH,
        *({"model.train_slots": sizes} for sizes in ((22,), ())),
        {"model.shift_bias": 0.0},
        {"learning_rate_half_life": 0},
    ],
    "lstm": [
        *_BOTH,
        *({"model.forget_bias": bias} for bias in (0.0, 1.0)),
        {"model.controller_start": "zero"},
        {"learning_rate": 1e-3},
    ],
}


def path_of(controller: str, setting: Setting) -> Path:
    """The file of a setting's result.

    Args:
      controller: a name out of CONFIGS.
      setting: what is set; a name that is as in the controller's config does not count.
    """
    words = []
    for key, value in _changes(controller, setting):
        shown = "-".join(map(str, value)) or "none" if isinstance(value, tuple) else value
        words.append(f"{key.split('.')[-1]}={shown}")
    return RESULTS / controller / f"{'_'.join(words) or 'default'}.json"


def table(controller: str, settings: list[Setting]) -> str:
    """A row for each setting that has a result.

    Args:
      controller: a name out of CONFIGS.
      settings: in the order of the rows.
    """
    lines = [
        "| changed from the default | learned | after sequences | solved "
        "| wrong bits a sequence at 120 | at 300, 512 slots |",
        "|---|---|---|---|---|---|",
    ]
    for setting in settings:
        path = path_of(controller, setting)
        if path.exists():
            changes = _changes(controller, setting)
            named = ", ".join(f"{key} = {value}" for key, value in changes) or "nothing"
            lines.append(f"| {named} | {' | '.join(_cells(json.loads(path.read_text())))} |")
    return "\n".join(lines)


def _changes(controller: str, setting: Setting) -> list[tuple[str, Any]]:
    """What a setting has that the controller's config has not."""
    config = flat(commands.load_config(commands.config_file(CONFIGS[controller])))
    return [(key, value) for key, value in setting.items() if config[key] != value]


def _cells(result: dict[str, Any]) -> list[str]:
    """How many seeds learned the trained lengths, when, and how they generalise: medians."""
    trained = result["summary"]["members"]
    evaluated = result["evaluation"]["members"]
    batch_size = trained[0]["sequences"] // trained[0]["step"]
    learned = [one["learned_at_step"] for one in trained if one["learned_at_step"] is not None]
    errors = [
        {one["length"]: one["bit_errors_per_sequence"] for one in member["results"]}
        for member in evaluated
    ]
    far = [
        member["results"][0]["bit_errors_per_sequence"] for member in result["enlarged"]["members"]
    ]
    return [
        f"{len(learned)} of {len(trained)}",
        f"{np.median(learned) * batch_size:,.0f}" if learned else "",
        f"{sum(member['solved'] for member in evaluated)} of {len(evaluated)}",
        f"{np.median([one[120] for one in errors]):.3g}",
        f"{np.median(far):.3g}",
    ]
