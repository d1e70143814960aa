"""Tables that compare our results with published ones.

published.jsonl has one line per published model, or per task of the Chomsky hierarchy. Its numbers
were copied from the linked source; those of the paper and of pytorch-ntm were read off curves.
"""

import statistics

from experiments.markdown import link, median_range, number, table
from experiments.results import MODELS, ROOT, Row, find, groups, read
from experiments.task_tables import COLUMNS

__all__ = ["chomsky", "comparison"]

_PUBLISHED = ROOT / "experiments" / "published.jsonl"
# By task: the sizes, and the start of the heading of the first size.
_SIZES = {
    "copy": ((10, 20, 30, 40, 50, 80, 120), "bit error rate (%) at "),
    "associative_recall": ((6, 10, 15, 20), "bits per sequence at "),
}


def comparison(task: str) -> str:
    """Returns a row for each model of a task: ours, as medians over seeds, then published ones."""
    sizes, heading = _SIZES[task]
    rows = [_ours(task, model) for model in ("ntm", "ntm_lstm", "lstm")]
    for line in find(_PUBLISHED, task=task):
        cells = [line["source"], MODELS[line["model"]], line["learned"], line["sequences"]]
        results = [line["results"].get(str(size), "") for size in sizes]
        rows.append([*cells, *results, line["training_time"]])
    headings = ["source", "model", "seeds that learned", "training sequences until learned"]
    headings += [heading + str(sizes[0]), *map(str, sizes[1:]), "training time"]
    return table(" | ".join(headings), rows)


def chomsky() -> str:
    """Returns a row for each task of the Chomsky hierarchy: published accuracies, then ours."""
    models = ("RNN", "Stack-RNN", "Tape-RNN", "Transformer", "LSTM")
    published = {line["name"]: line["results"] for line in find(_PUBLISHED, task="chomsky")}
    rows = []
    for line in read("chomsky"):
        accuracies = [100 * statistics.fmean(seed) for seed in line["accuracy"]]
        sequences = [member["sequences"] for member in line["summary"]["members"]]
        rows.append(
            [
                line["name"].replace("_", " "),
                *(published.get(line["name"], {}).get(model, "") for model in models),
                f"{statistics.median(accuracies):.1f}",
                f"{max(accuracies):.1f}",
                f"{min(accuracies):.1f}",
                median_range(sequences),
            ]
        )
    headings = ["task", *models, "NTM, median", "best", "worst", "training sequences"]
    return table(" | ".join(headings), rows)


def _ours(task: str, model: str) -> list[object]:
    name = f"{task}_{model}"
    group = groups("ensembles")[name]
    learned = [
        COLUMNS[heading](group) for heading in ("learned", "training sequences until learned")
    ]
    results = []
    for size in _SIZES[task][0]:
        values = [_value(task, seed[size,]) for seed in group.results if (size,) in seed]
        results.append(number(statistics.median(values), 2) if values else "")
    minutes = f"{COLUMNS['wall time (min)'](group)} min for all seeds, 1 CPU core"
    return [link(name).replace(name, "ours", 1), MODELS[model], *learned, *results, minutes]


def _value(task: str, row: Row) -> float:
    return 100 * (1 - row["bit_accuracy"]) if task == "copy" else row["bits_per_sequence"]
