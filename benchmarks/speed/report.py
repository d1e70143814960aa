"""From the rounds of all contestants to rows, and from rows to tables."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed import limit
from benchmarks.speed.peer import SYSTEM as PEER
from benchmarks.speed.rounds import Contestant, divided, summary
from benchmarks.speed.work import OURS, PLAIN

__all__ = ["WORK", "beside_peer", "conditions", "rows", "table"]

WORK = ("training", "forward")


def rows(
    contestants: Sequence[Contestant], rates: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    """What was measured of each contestant.

    Args:
      contestants: without the probes of the limit.
      rates: what each did a second, by name: contestants sequences, and the two probes.

    Returns:
      The facts of each, its sequences a second, and of ntm_jax: `limit`, its operations, bytes and
      sequences a second; `of_limit`; `times_peer`, how many times as fast as the peer at its better
      number of threads; `cost_in_plain_lstms`. The last two where the same work was measured.
    """
    made = []
    for one in contestants:
        row = one.facts | {"sequences_per_second": summary(rates[one.name])}
        if one.facts["system"] == OURS:
            row |= _against_limit(one, rates)
            peers = _same(one, contestants, PEER)
            if peers and one.facts["controller"] == "lstm":
                best = max(peers, key=lambda peer: statistics.median(rates[peer.name]))
                ratio = divided(rates[one.name], rates[best.name])
                row["times_peer"] = ratio | {"compared_with": best.facts["devices"]}
            for plain in _same(one, contestants, PLAIN):
                row["cost_in_plain_lstms"] = divided(rates[plain.name], rates[one.name])
        made.append(row)
    return made


def _same(one: Contestant, contestants: Sequence[Contestant], system: str) -> list[Contestant]:
    """Those of a system that do the same work."""
    keys = ("work", "batch_size", "num_seeds")
    return [
        other
        for other in contestants
        if other.facts["system"] == system
        and all(other.facts[key] == one.facts[key] for key in keys)
    ]


def _against_limit(one: Contestant, rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    facts = one.facts
    sizes = limit.Sizes(facts["controller"], facts["batch_size"], facts["num_seeds"])
    needed, sequences = limit.count(sizes, facts["work"]), sizes.B * sizes.E
    highest = [
        sequences / limit.seconds(needed, matrix_rate, bandwidth)
        for matrix_rate, bandwidth in zip(
            rates[limit.MATRIX_RATE], rates[limit.BANDWIDTH], strict=True
        )
    ]
    told = {**needed._asdict(), "sequences_per_second": summary(highest)}
    return {"limit": told, "of_limit": divided(rates[one.name], highest)}


def table(document: Mapping[str, Any], work: str) -> str:
    """A line for each contestant, of training or of forward passes."""
    lines = [
        "| | controller | batch | seeds | on | sequences a second | ms a batch | compiled in s "
        "| of the limit | times pytorch-ntm | cost in plain LSTMs |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        if row["work"] != work:
            continue
        rate = row["sequences_per_second"]
        sequences = row["batch_size"] * row["num_seeds"]
        cells = (
            row["system"],
            row["controller"] or "",
            row["batch_size"],
            row["num_seeds"],
            row["devices"],
            _spread(rate, "{:,.4g}"),
            f"{1000 * sequences / rate['median']:.3g}",
            f"{row['compile_seconds']:.1f}" if "compile_seconds" in row else "",
            _spread(row["of_limit"], "{:.1%}") if "of_limit" in row else "",
            _spread(row["times_peer"], "{:.1f}") if "times_peer" in row else "",
            _spread(row["cost_in_plain_lstms"], "{:.1f}") if "cost_in_plain_lstms" in row else "",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def conditions(document: Mapping[str, Any]) -> str:
    """The machine, whether it was shared, and its two rates."""
    machine, shared = document["machine"], document["cores_shared"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    used = {None: "not known", False: "no", True: f"yes, {document['others_share'] or 0:.0%}"}
    flags = " ".join(
        f"--{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in document["flags"].items()
        if value is not None
    )
    lines = [
        "| | |",
        "|---|---|",
        f"| machine | {machine['processor']}, {machine['cores']} cores |",
        f"| versions | Python {machine['python']}, {versions} |",
        f"| flags | `{flags}` |",
        f"| cores shared with others | {used[shared]} |",
    ]
    for name, unit in ((limit.MATRIX_RATE, "GFLOP/s"), (limit.BANDWIDTH, "GB/s")):
        values = {key: document[name][key] / 1e9 for key in ("median", "min", "max")}
        lines.append(f"| {name}, {unit} | {_spread(values, '{:,.4g}')} |")
    return "\n".join(lines)


def beside_peer(document: Mapping[str, Any]) -> str:
    """Training with a batch of 32 and an LSTM controller, beside the peer's."""
    lines = ["| | sequences per second, median (smallest to largest) |", "|---|---|"]
    ratios = []
    for row in document["rows"]:
        fits = row["work"] == "training" and (row["batch_size"], row["num_seeds"]) == (32, 1)
        if fits and row["controller"] == "lstm" and row["system"] in (OURS, PEER):
            rate = _spread(row["sequences_per_second"], "{:.1f}")
            lines.append(f"| {row['system']}, {row['devices']} | {rate} |")
            ratios += [_spread(row["times_peer"], "{:.1f}")] if "times_peer" in row else []
    return "\n".join([*lines, *(f"| ratio | {ratio} |" for ratio in ratios)])


def _spread(values: Mapping[str, Any], form: str) -> str:
    middle, low, high = (form.format(values[key]) for key in ("median", "min", "max"))
    return f"{middle} ({low} to {high})"
