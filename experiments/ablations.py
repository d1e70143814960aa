"""Trains the same seeds with different settings, and appends a line for each to ablations.jsonl.

    python -m experiments.ablations
    python -m experiments.ablations --ablations=one_factor --configs=copy_ntm_lstm

Ablations:
  initialization: every initial memory of the copy models with every initial weighting.
  one_factor: one setting of the copy models changed at a time.
  curriculum: sizes drawn from all of the training range, from a growing part, or the largest alone.
  num_heads: priority sort with 1, 2 and 4 read heads, and as many write heads.
  erase_bias: repeat copy with erase vectors that are close to 0 at first.

Except for erase_bias, the seeds differ from those of the ensembles, on which defaults were chosen.
A setting with a stored line is not trained again; with --runs, an interrupted run is resumed.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import app, flags

from experiments import cli, results

_ABLATIONS = flags.DEFINE_list("ablations", None, "Names of ablations; all if not given.")
_CONFIGS = flags.DEFINE_list("configs", None, "Names of configs; all if not given.")

Setting = Mapping[str, Any]


class Ablation(NamedTuple):
    """Settings to compare.

    Attributes:
      shared: config values of all runs. No seed is restarted, so that failures are counted.
      settings: by the name of a config, what each run changes.
      evaluated: whether the trained models are evaluated on longer sequences.
    """

    shared: Setting
    settings: Mapping[str, Sequence[Setting]]
    evaluated: bool = False


_SHARED = {"seed": 100, "num_seeds": 10, "num_train_steps": 5000, "restart_after_steps": 0}
# Fewer training steps than the configs have, which is enough to compare settings.
_COPY = {**_SHARED, "num_eval_sequences": 64}

_INITIALIZATION: list[Setting] = [
    {**memory, **weightings}
    for memory, weightings in itertools.product(
        (
            {},
            {"model.memory_init": "constant", "model.memory_init_scale": 1e-6},
            {"model.memory_init": "random"},
            {"model.memory_init": "learned"},
        ),
        ({}, {"model.head_init": "uniform"}, {"model.head_init": "learned"}),
    )
]
_ONE_FACTOR: list[Setting] = [
    *({"model.gate_bias": bias} for bias in (0.0, -1.0, -5.0)),
    *({"model.sharpness_bias": bias} for bias in (0.0, 3.0)),
    # With the paper's learning rate, and with one as large as Adam's.
    {"optimizer": "rmsprop_graves2013", "learning_rate": 1e-4, "learning_rate_half_life": 0},
    {"optimizer": "rmsprop_graves2013", "learning_rate": 1e-3},
    {"max_grad_norm": 10.0},
    {"max_grad_norm": 0.0, "max_grad_value": 10.0},
    {"task.max_length": 10},
    # As many sequences as the default, then twice as many; the half-life in sequences is kept.
    {
        "batch_size": 1,
        "num_train_steps": 20_000,
        "eval_every_steps": 2000,
        "learning_rate_half_life": 16_000,
    },
    {"batch_size": 16, "num_train_steps": 2500, "eval_every_steps": 200},
    {"batch_size": 100, "num_train_steps": 400, "eval_every_steps": 100},
    *({"model.strength_bias": bias} for bias in (0.0, 3.0)),
    {"model.addressing_noise_std": 0.0},
    {"task.zero_vector_prob": 0.0},
    {"adam_eps": 1e-8},
    {"ema_decay": 0.0},
    {"model.dtype": "bfloat16"},
]
_CURRICULA: list[Setting] = [{"curriculum": name} for name in ("max_size", "uniform", "growing")]
_ERASE_BIAS: list[Setting] = [{"model.erase_bias": -5.0}]
# Priority sort as in the paper, with settings of before those of the configs were found.
_TWENTY_VECTORS = {
    "task.min_vectors": 20,
    "num_train_steps": 12_000,
    "learning_rate_half_life": 4000,
    "model.gate_bias": -3.0,
    "model.num_slots": 32,
    "model.train_num_slots": (),
}
_NUM_HEADS: list[Setting] = [
    dict.fromkeys(
        ("model.num_read_heads", "model.num_write_heads", "model.num_content_read_heads"), heads
    )
    for heads in (1, 2, 4)
]

ABLATIONS = {
    "initialization": Ablation(
        _COPY, dict.fromkeys(("copy_ntm", "copy_ntm_lstm"), _INITIALIZATION), evaluated=True
    ),
    "one_factor": Ablation(
        _COPY,
        {
            "copy_ntm": [
                *_ONE_FACTOR,
                *({"model.train_num_slots": sizes} for sizes in ((22,), ())),
                {"model.shift_bias": 0.0},
                {"learning_rate_half_life": 0},
            ],
            "copy_ntm_lstm": [
                *_ONE_FACTOR,
                *({"model.forget_bias": bias} for bias in (0.0, 1.0)),
                {"model.controller_init": "zero"},
                {"learning_rate": 1e-3},
            ],
        },
        evaluated=True,
    ),
    "curriculum": Ablation(
        _SHARED, dict.fromkeys(("associative_recall_ntm", "copy_ntm"), _CURRICULA)
    ),
    "erase_bias": Ablation(
        {"num_seeds": 10},
        dict.fromkeys(("repeat_copy_ntm", "repeat_copy_ntm_lstm"), _ERASE_BIAS),
    ),
    "num_heads": Ablation(
        {"seed": 100, "num_seeds": 4, "restart_after_steps": 0, **_TWENTY_VECTORS},
        dict.fromkeys(("priority_sort_ntm", "priority_sort_ntm_lstm"), _NUM_HEADS),
    ),
}


def main(argv: list[str]) -> None:
    """Trains the settings that have no stored line."""
    del argv
    for ablation in _ABLATIONS.value or ABLATIONS:
        for name in ABLATIONS[ablation].settings:
            if name in (_CONFIGS.value or [name]):
                for index, setting in enumerate(ABLATIONS[ablation].settings[name]):
                    key = {"ablation": ablation, "name": name, "setting": setting}
                    if not results.find("ablations", **key):
                        line = _train(ablation, name, index)
                        results.append("ablations", key | line)


def _train(ablation: str, name: str, index: int) -> dict[str, Any]:
    shared, settings, evaluated = ABLATIONS[ablation]
    with cli.runs_dir() as runs:
        workdir = runs / f"{ablation}_{name}_{index}"
        line = {
            "command": cli.train(
                cli.config_path(name), {**shared, **settings[name][index]}, workdir
            ),
            "host": cli.host(),
            "summary": cli.load_summary(workdir),
        }
        if evaluated:
            line["evaluation"] = cli.evaluate(workdir, {"length": (10, 20, 40, 80, 120)}, None, 64)
            line["enlarged"] = [cli.evaluate(workdir, {"length": (300,)}, 512, 64)]
    return line


if __name__ == "__main__":
    app.run(main)
