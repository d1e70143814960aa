"""What others published of the paper's tasks, and ours beside it.

Each number was read in the place that its row names; those of the paper's figures are read off
curves, and so are pytorch-ntm's.
"""

import statistics
from collections.abc import Callable, Mapping
from typing import NamedTuple

from benchmarks.commands import config_file
from benchmarks.members import MODELS, Member, Row, members, read, sequences
from benchmarks.task_tables import head, line

__all__ = ["COMPARISONS", "beside"]

_PAPER = "[the paper](https://arxiv.org/abs/1410.5401)"
_NTM_KERAS = "[ntm_keras](https://github.com/flomlo/ntm_keras)"
_PYTORCH_NTM = "[pytorch-ntm](https://github.com/loudinthecloud/pytorch-ntm)"
_MGUPTA = "[mgupta8143](https://github.com/mgupta8143/neural-turing-machines)"
_FEED_FORWARD, _LSTM_CONTROLLER, _LSTM = (MODELS[model] for model in ("ntm", "ntm_lstm", "lstm"))


class Published(NamedTuple):
    """What one source says of one model.

    Attributes:
      source: a link.
      model: as `members.MODELS` names it.
      seeds: of those run, how many learned; what is not known is left out.
      sequences: until it learned.
      results: by size, as the source words them.
      took: the training.
    """

    source: str
    model: str
    seeds: str = ""
    sequences: str = ""
    results: Mapping[int, str] = {}
    took: str = ""


class Comparison(NamedTuple):
    """A task's table.

    Attributes:
      unit: of the numbers.
      sizes: a column of them each.
      ours: the same number in a row of our own evaluations.
      published: what there is beside it.
    """

    unit: str
    sizes: tuple[int, ...]
    ours: Callable[[Row], float]
    published: tuple[Published, ...]


COMPARISONS = {
    "copy": Comparison(
        "% of bits wrong at",
        (10, 20, 30, 40, 50, 80, 120),
        lambda row: 100 * (1 - row["bit_accuracy"]),
        (
            Published(
                _NTM_KERAS,
                _FEED_FORWARD,
                "about 20 of 30",
                "1,000,000",
                {10: "0", 20: "0", 40: "0", 80: "0"},
                "100 min, GTX 1050 Ti",
            ),
            Published(
                _NTM_KERAS,
                _LSTM,
                "0 of 1",
                "never",
                {10: "0", 20: "6", 40: "50", 80: "50"},
                "60 min, GTX 1050 Ti",
            ),
            Published(_PYTORCH_NTM, _LSTM_CONTROLLER, "4 of 4", "17,000"),
            Published(
                _MGUPTA,
                _FEED_FORWARD,
                "1 of 1",
                "5,000",
                dict.fromkeys((10, 20, 30, 50, 80, 120), "0"),
                "70 min, A10G",
            ),
            Published(
                _MGUPTA,
                _LSTM_CONTROLLER,
                "1 of 1",
                "10,000",
                dict.fromkeys((10, 20, 30, 50, 80, 120), "0"),
                "70 min, A10G",
            ),
            Published(
                _MGUPTA,
                _LSTM,
                "0 of 1",
                "never",
                {10: "0", 20: "3.1", 30: "22.9", 50: "40.0", 80: "46.4", 120: "48.0"},
            ),
        ),
    ),
    "associative_recall": Comparison(
        "bits with",
        (6, 10, 15, 20),
        lambda row: row["bits_per_sequence"],
        (
            Published(
                _PAPER, _FEED_FORWARD, "", "30,000", {6: "0.05", 10: "0.1", 15: "1.3", 20: "7.8"}
            ),
            Published(
                _PAPER, _LSTM_CONTROLLER, "", "", {6: "0.1", 10: "1.7", 15: "4.5", 20: "6.8"}
            ),
            Published(_PAPER, _LSTM, "", "never"),
            Published(
                _MGUPTA,
                _FEED_FORWARD,
                "1 of 1",
                "39,000",
                {6: "0", 10: "0", 15: "0.10", 20: "2.33"},
            ),
            Published(
                _MGUPTA,
                _LSTM_CONTROLLER,
                "1 of 1",
                "22,000",
                {6: "0", 10: "0", 15: "0", 20: "0.97"},
            ),
            Published(
                _MGUPTA,
                _LSTM,
                "0 of 1",
                "never",
                {6: "15.05", 10: "18.43", 15: "19.39", 20: "20.34"},
            ),
        ),
    ),
}


def beside(task: str) -> str:
    """A row for each model of a task, ours first, which are medians over seeds."""
    unit, sizes, *_ = COMPARISONS[task]
    columns = [f"{unit} {sizes[0]}", *map(str, sizes[1:])]
    lines = head("", "model", "seeds that learned", "after sequences", *columns, "training took")
    lines += [line(*_ours(task, model)) for model in ("ntm", "ntm_lstm", "lstm")]
    for row in COMPARISONS[task].published:
        cells = (row.results.get(size, "") for size in sizes)
        lines.append(line(row.source, row.model, row.seeds, row.sequences, *cells, row.took))
    return "\n".join(lines)


def _ours(task: str, model: str) -> list[str]:
    name = f"{task}_{model}"
    some, document = members(name), read(f"ensembles/{name}")
    learned = sum(one.summary["learned_at_step"] is not None for one in some)
    return [
        f"[ours]({config_file(name)})",
        MODELS[model],
        f"{learned} of {len(some)}",
        sequences((one.summary for one in some), "learned_at_step"),
        *(_median(task, some, size) for size in COMPARISONS[task].sizes),
        f"{document['summary']['seconds'] / 60:.0f} min for all, 1 CPU core",
    ]


def _median(task: str, some: list[Member], size: int) -> str:
    # Lengths that some configs were not measured at stay empty.
    values = [COMPARISONS[task].ours(one.results[size,]) for one in some if (size,) in one.results]
    return f"{statistics.median(values):.2g}" if values else ""
