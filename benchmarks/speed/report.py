"""Compares the measured candidates with the roofline, with pytorch-ntm and with an LSTM."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.speed import pytorch_ntm, roofline, workloads
from benchmarks.speed.harness import Candidate, ratio, summarize

__all__ = ["rows"]


def rows(
    candidates: Sequence[Candidate], rates: Mapping[str, Sequence[float]]
) -> list[dict[str, Any]]:
    """Returns the results of each candidate.

    Args:
      candidates: the candidates, without the probes of the roofline.
      rates: by name, sequences per second of the candidates, and the rates of the probes.

    Returns:
      The facts and the sequences per second of each candidate; for ntm_jax also the roofline and,
      where the same program was measured, the ratios to the faster pytorch-ntm and to the LSTM.
    """
    results = []
    for candidate in candidates:
        own = rates[candidate.name]
        row = candidate.facts | {"sequences_per_second": summarize(own)}
        if row["system"] == workloads.NTM:
            row["roofline"] = _roofline(row, rates)
            row["roofline_fraction"] = ratio(own, row["roofline"]["sequences_per_second"]["rounds"])
            others = _same_program(row, candidates, pytorch_ntm.SYSTEM)
            if others and row["controller"] == "lstm":
                best = max(others, key=lambda other: statistics.median(rates[other.name]))
                compared = {"compared_with": best.facts["devices"]}
                row["speedup_vs_pytorch_ntm"] = ratio(own, rates[best.name]) | compared
            for lstm in _same_program(row, candidates, workloads.LSTM):
                row["slowdown_vs_lstm"] = ratio(rates[lstm.name], own)
        results.append(row)
    return results


def _same_program(
    row: Mapping[str, Any], candidates: Sequence[Candidate], system: str
) -> list[Candidate]:
    keys = ("program", "batch_size", "num_seeds")
    return [
        other
        for other in candidates
        if other.facts["system"] == system and all(other.facts[key] == row[key] for key in keys)
    ]


def _roofline(row: Mapping[str, Any], rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    sizes = roofline.Sizes(row["controller"], row["batch_size"], row["num_seeds"])
    count = roofline.count(sizes, row["program"])
    peaks = zip(rates[roofline.MATRIX_RATE], rates[roofline.BANDWIDTH], strict=True)
    highest = [sizes.B * sizes.E / roofline.seconds(count, *peak) for peak in peaks]
    return {**count._asdict(), "sequences_per_second": summarize(highest)}
