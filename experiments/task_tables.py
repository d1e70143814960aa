"""Tables of trained models: convergence, generalization, ablations and training cost."""

import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from experiments.markdown import Form, link, median_range, number, table
from experiments.results import Group, Row, read
from ntm_jax.evaluation.tables import success_rate
from ntm_jax.tasks.base import Size
from ntm_jax.tasks.copy import Copy

__all__ = [
    "COLUMNS",
    "by_size",
    "failures",
    "own_loop",
    "plateaus",
    "priority_sort_gaps",
    "priority_sort_order",
    "readme",
    "repeat_copy_countdown",
    "repeat_copy_counts",
    "trained",
]

Column = Callable[[Group], object]
_BIT_ERRORS, _BITS = "bit_errors_per_sequence", "bits_per_sequence"


def trained(header: str, groups: Iterable[Group]) -> str:
    """Returns a table with a row for each group.

    Args:
      header: headings out of COLUMNS, separated by " | ".
      groups: the rows.
    """
    columns = [COLUMNS[heading] for heading in header.split(" | ")]
    return table(header, ([column(group) for column in columns] for group in groups))


def by_size(groups: Iterable[Group], sizes: Sequence[Size], key: str, form: Form = number) -> str:
    """Returns a table with a row for each group: the median over seeds of one number, by size."""
    columns = [COLUMNS["config"], COLUMNS["seeds"], *(_median(size, key, form) for size in sizes)]
    header = " | ".join(["config", "seeds", *(" x ".join(map(str, size)) for size in sizes)])
    return table(header, ([column(group) for column in columns] for group in groups))


def _median(size: Size, key: str = _BIT_ERRORS, form: Form = number) -> Column:
    """Returns the column of a median; it is empty for a group without an evaluation at `size`."""

    def cell(group: Group) -> str:
        values = [seed[size][key] for seed in group.results if size in seed]
        return form(statistics.median(values)) if values else ""

    return cell


def _enlarged(length: int, num_slots: int, key: str, form: Callable[..., object]) -> Column:
    """Returns a column of one number in evaluations in a larger memory."""

    def cell(group: Group) -> object:
        size = (length,), num_slots
        values = [seed[size][key] for seed in group.enlarged if size in seed]
        return form(values) if values else ""

    return cell


def _until(event: str) -> Column:
    """Returns the column of the training sequences until an event, of the seeds that had it."""

    def cell(group: Group) -> str:
        reached = [one for one in group.summaries if one[event] is not None]
        counts = [one[event] * (one["sequences"] // one["step"]) for one in reached]
        return median_range(counts, "{:,.0f}") or "never"

    return cell


def _range(key: str, form: str) -> Column:
    """Returns the column of one number in the summaries."""
    return lambda group: median_range([one[key] for one in group.summaries], form)


def _count(values: Iterable[object]) -> str:
    values = [*values]
    return f"{sum(map(bool, values))} of {len(values)}"


def _count_perfect(fractions: list[float]) -> str:
    return _count(fraction == 1 for fraction in fractions)


def _solved(group: Group) -> list[Row]:
    """Returns the summaries of the seeds that were solved in training."""
    return [one for one in group.summaries if one["solved_at_step"] is not None]


def _num_solved(group: Group) -> int:
    return sum(map(group.task.is_solved, group.errors))


def _optimal(group: Group) -> float:
    """Returns the Bayes-optimal cost; all seeds are evaluated on the same sequences."""
    row = group.results[0][group.task.max_train_size]
    return row[_BITS] - row["excess_bits_per_sequence"]


def _bits(group: Group) -> str:
    form = "{:.1f}".format if _optimal(group) else lambda value: number(value, 2)
    return median_range([seed[group.task.max_train_size][_BITS] for seed in group.results], form)


def _errors(group: Group) -> str:
    """Returns the bit errors at length 20, and at 120 or at the longest length below it."""
    longest = max(size for size in group.results[0] if size <= (120,))
    cell = f"{_median((20,))(group)} / {_median(longest)(group)}"
    return cell if longest == (120,) else f"{cell} ({longest[0]})"


def _change(group: Group) -> str:
    changes = (f"{key} = {value}" for key, value in group.line["setting"].items())
    return ", ".join(changes) or "none"


def _heads(group: Group) -> str:
    kinds = ("model.num_read_heads", "model.num_write_heads")
    return " + ".join(str(group.line["setting"][kind]) for kind in kinds)


COLUMNS: Mapping[str, Column] = {
    "config": lambda group: link(group.line["name"]),
    "parameters": lambda group: f"{group.line['summary']['num_params']:,}",
    "seeds": lambda group: len(group.summaries),
    "learned": lambda group: _count(one["learned_at_step"] is not None for one in group.summaries),
    "training sequences until learned": _until("learned_at_step"),
    "solved": lambda group: f"{_num_solved(group)} of {len(group.errors)}",
    "training sequences until solved": _until("solved_at_step"),
    # Ensembles that were trained before there were restarts lack the key.
    "restarts": lambda group: sum(one.get("restarts", 0) > 0 for one in group.summaries),
    "solved in training": lambda group: f"{len(_solved(group))} of {len(group.summaries)}",
    "stayed solved": lambda group: sum(one["stayed_solved"] for one in _solved(group)),
    "collapsed": lambda group: sum(one["collapsed"] for one in _solved(group)),
    "solved at the end": lambda group: success_rate(_num_solved(group), len(group.errors)),
    # Bit errors and cost.
    **{str(length): _median((length,)) for length in (10, 20, 30, 50, 80, 120)},
    "models with zero errors": lambda group: _count(not any(e.values()) for e in group.errors),
    "300, 512 slots": _enlarged(300, 512, "perfect_sequences", _count_perfect),
    "1,000, 2,048 slots": _enlarged(1000, 2048, "perfect_sequences", _count_perfect),
    "bit errors per sequence at 20 / 120": _errors,
    "bit errors per sequence at 120": lambda group: median_range(
        [seed[120,][_BIT_ERRORS] for seed in group.results]
    ),
    "at 300, 512 slots": _enlarged(300, 512, _BIT_ERRORS, median_range),
    "bits per sequence at the largest training size": _bits,
    "Bayes-optimal cost": lambda group: f"{_optimal(group):.1f}" if _optimal(group) else 0,
    # Training cost.
    "training sequences per seed": _range("sequences", "{:,.0f}"),
    "training steps": _range("step", "{:,.0f}"),
    "wall time (s)": _range("wall_seconds", "{:.0f}"),
    "compile time (s)": _range("compile_seconds", "{:.0f}"),
    "wall time (min)": lambda group: f"{group.line['summary']['seconds'] / 60:.0f}",
    "host": lambda group: "{cores} core of {processor}".format(**group.line["host"]),
    # Ablations.
    "change": _change,
    "curriculum": lambda group: group.line["setting"]["curriculum"],
    "read + write heads": _heads,
    # In the last evaluation of training, of a task with a single size.
    "bit errors per sequence": lambda group: median_range(
        [next(iter(one[_BIT_ERRORS].values())) for one in group.summaries], "{:.1f}"
    ),
}


def priority_sort_gaps() -> str:
    """Returns a row for each config and count: bit errors by the smallest gap in a sequence."""
    rows, header = [], ""
    for line in read("priority_sort_analysis"):
        edges = line["edges"]
        header = " | ".join(
            ["config", "vectors", f"gap below {edges[1]:g}"]
            + [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges[1:-1])]
            + [f"above {edges[-2]:g}"]
        )
        for count, members in line["bit_errors"].items():
            medians = map(statistics.median, zip(*members, strict=True))
            rows.append((link(line["name"]), count, *map(number, medians)))
    return table(header, rows)


def priority_sort_order() -> str:
    """Returns a row for each config: how often the heads visit the next vector in order."""
    rows = [
        (
            link(line["name"]),
            *(
                median_range([seed[kind] for seed in line["in_order"]], "{:.1%}")
                for kind in ("read", "write")
            ),
        )
        for line in read("priority_sort_analysis")
    ]
    return table("config | steps with a read head there | a write head one step later", rows)


def repeat_copy_counts() -> str:
    """Returns a row for each config: the largest exact count, and repeats produced for 20."""
    rows = []
    for line in read("repeat_copy_counts"):
        pairs = (zip(line["requested"], model, strict=True) for model in line["produced"])
        exact = [
            sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], model))
            for model in pairs
        ]
        last = [model[-1] for model in line["produced"] if model[-1] is not None]
        name, comma, change = line["name"].partition(", ")
        rows.append((link(name) + comma + change, median_range(exact), median_range(last)))
    return table("config | counts correctly up to | repeats produced (20 requested)", rows)


def repeat_copy_countdown() -> str:
    """Returns a row for each number of repeats requested: a memory value after each repeat."""
    (line,) = read("repeat_copy_countdown")
    columns = (line[key] for key in ("requested", "produced", "after_each_repeat"))
    rows = []
    for requested, produced, values in zip(*columns, strict=True):
        if requested % 5 == 0:
            shown = ", ".join(f"{x:.1f}" for x in values[: int(produced or requested)])
            rows.append((requested, number(produced) if produced else "no end marker", shown))
    position = f"slot {line['slot']}, column {line['column']}"
    header = f"repeats requested | repeats produced | memory at {position}, after each repeat"
    return table(header, rows)


def own_loop(group: str) -> str:
    """Returns the table of a group of settings of own_loop.jsonl."""
    header = "setting | learned | training sequences until learned | solved | bit errors at 40 | 80"
    rows = (_own_loop_row(line) for line in read("own_loop") if line["group"] == group)
    return table(f"{header} | 120", rows)


def readme() -> str:
    """Returns the table of the seeds of readme.jsonl."""
    seeds = read("readme")
    lengths = ("10", "20", "40", "80", "120")
    solved = _count(
        Copy().is_solved({(int(n),): seed["bit_errors"][n] for n in lengths}) for seed in seeds
    )
    errors = (median_range([seed["bit_errors"][n] for seed in seeds]) for n in lengths)
    seconds = median_range([seed["seconds"] for seed in seeds], "{:.0f}")
    header = f"solved | {' | '.join(f'bit errors at {n}' for n in lengths)} | wall time (s)"
    return table(header, [[solved, *errors, seconds]])


def plateaus() -> str:
    """Returns what the read heads do in own_loop.jsonl, by what the seeds have learned."""
    outcomes, forms = ("not learned", "fails at 120", "solved"), [number, number, *["{:.2f}"] * 3]
    rows = []
    for line in read("own_loop"):
        if line["name"] not in ("naive", "+ learning_rate", "+ num_slots") or "heads" not in line:
            continue
        errors, seeds = line["evaluations"][-1]["bit_errors"], {name: [] for name in outcomes}
        for seed, heads in enumerate(line["heads"]):
            short, long = errors["20"][seed], errors["120"][seed]
            outcome = outcomes[0 if short > 0.01 else 1 if long > 0.1 else 2]
            gates = (heads[length]["gate"] for length in ("20", "120"))
            seeds[outcome].append([short, long, *gates, heads["20"]["shift"]])
        for outcome, values in seeds.items():
            ranges = map(median_range, zip(*values, strict=True), forms)
            rows.append([_name(line), outcome, len(values), *ranges])
    header = "setting | outcome | seeds | bit errors at 20 | 120 | gate at 20 | 120 | shift"
    return table(header, (row for row in rows if row[2]))


def failures() -> str:
    """Returns a column for each model of failures.jsonl, with the signs of the worst seed."""
    lines = read("failures")

    def row(label: str, cell: Callable[[Row], object]) -> list[object]:
        return [label, *map(cell, lines)]

    def signs(kind: str, sign: str, names: Sequence[str]) -> list[object]:
        def cell(line: Row) -> str:
            head = line["heads"][line["worst_seed"]][kind]
            # The position of a weighting over nearly all 128 slots, 7 bits, means nothing.
            unknown = {f"movement_{p}" for p in ("input", "answer") if head[f"entropy_{p}"] > 6}
            return " / ".join("none" if n in unknown else f"{head[n]:.2f}" for n in names)

        return row(f"{kind} head: {sign}", cell)

    def both(sign: str) -> list[str]:
        return [f"{sign}_input", f"{sign}_answer"]

    gates = ["gate_input", "gate_at_delimiter", "gate_answer"]
    names = {"movement": both("movement"), "entropy": both("entropy"), "gate": gates}
    names["content share"] = both("content_share")
    rows = [
        row("change", lambda line: line["change"]),
        row("training lengths", lambda line: f"1 to {line['max_length']}"),
        row("training sequences", lambda line: f"{line['sequences']:,}"),
        *(
            row(
                f"bit errors at {length}",
                lambda line, n=length: ", ".join(map(number, line["bit_errors"].get(n, ()))),
            )
            for length in ("3", "10", "20", "40", "120")
        ),
        row("cost", lambda line: f"{line['cost'][line['worst_seed']]:.2f}"),
        row("change of the outputs", lambda line: ", ".join(map(number, line["changed_outputs"]))),
        *(signs(kind, sign, names[sign]) for kind in ("write", "read") for sign in names),
    ]
    return table(" | ".join(["", *(line["title"] for line in lines)]), rows)


def _own_loop_row(line: Row) -> list[object]:
    """Returns the setting, and what its seeds learned."""
    task, evaluations = Copy(), line["evaluations"]

    def passed(evaluation: Row, seed: int, lengths: Sequence[int]) -> bool:
        errors = {(n,): evaluation["bit_errors"][str(n)][seed] for n in lengths}
        return task.is_solved(errors)

    learned = [
        next((e["sequences"] for e in evaluations if passed(e, seed, (10, 20))), None)
        for seed in range(line["seeds"])
    ]
    last = evaluations[-1]
    return [
        _name(line),
        _count(n is not None for n in learned),
        median_range([n for n in learned if n is not None], "{:,.0f}") or "never",
        _count(passed(last, seed, (10, 20, 40, 80, 120)) for seed in range(line["seeds"])),
        *(median_range(last["bit_errors"][n]) for n in ("40", "80", "120")),
    ]


def _name(line: Row) -> str:
    """Returns the name of a setting, with the value of what it adds."""
    key = line["name"].split()[-1]
    return line["name"] + (f" = {line['recipe'][key]}" if key in line["recipe"] else "")
