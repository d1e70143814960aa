"""Tables of the benchmarks, from the files in benchmarks/results."""

import itertools
import json
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.cli import ROOT
from experiments.markdown import Form, median_range, number, table
from experiments.results import Row, read

__all__ = [
    "SWEEPS",
    "cell_cost",
    "ensemble_vs_sequential",
    "gpu_ensemble",
    "gpu_fused",
    "gpu_speed",
    "scaling_devices",
    "scaling_size_exponents",
    "scaling_size_host",
    "scaling_size_points",
    "speed",
    "speed_environment",
    "speed_summary",
    "startup",
    "tracing",
]

_RESULTS = ROOT / "benchmarks" / "results"
# The sweeps of benchmarks/scaling_size.py: key of the size, its label, and the smallest size that
# exponents are fitted to, since the fixed cost of a step hides the scaling at smaller sizes.
SWEEPS = {
    "slots": ("num_slots", "memory slots N", 1024),
    "steps": ("num_time_steps", "time steps T", 1024),
    "batch": ("batch_size", "batch size B", 32),
    "seeds": ("num_seeds", "ensemble members E", 8),
}


def speed_summary() -> str:
    """Returns the training speed at batch 32 with an LSTM controller, and that of pytorch-ntm."""
    rows = []
    for row in _read("speed")["rows"]:
        measured = (row["program"], row["batch_size"], row["num_seeds"], row["controller"])
        if measured == ("training", 32, 1, "lstm") and row["system"] != "ntm_jax (bfloat16)":
            name = f"{row['system']}, {row['devices']}"
            rows.append((name, _rounds(row, "sequences_per_second", "{:,.1f}")))
            if "speedup_vs_pytorch_ntm" in row:
                ratio = "ratio", _rounds(row, "speedup_vs_pytorch_ntm", "{:.1f}")
    return table(" | sequences per second", [*rows, ratio])


def speed(program: str) -> str:
    """Returns a row for each candidate: its speed in training or in forward passes."""
    rows = []
    for row in _read("speed")["rows"]:
        if row["program"] == program:
            rate, sequences = row["sequences_per_second"], row["batch_size"] * row["num_seeds"]
            rows.append(
                (
                    row["system"],
                    row["controller"] or "",
                    row["batch_size"],
                    row["num_seeds"],
                    row["devices"],
                    _rounds(row, "sequences_per_second", lambda value: number(value, 4)),
                    number(1000 * sequences / rate["median"]),
                    f"{row['compile_seconds']:.1f}" if "compile_seconds" in row else "",
                    _rounds(row, "roofline_fraction", "{:.1%}"),
                    _rounds(row, "speedup_vs_pytorch_ntm", "{:.1f}"),
                    _rounds(row, "slowdown_vs_lstm", "{:.1f}"),
                )
            )
    header = "system | controller | batch | seeds | devices | sequences per second | ms per batch"
    header += " | compile time (s) | % of roofline | speedup vs. pytorch-ntm | slowdown vs. LSTM"
    return table(header, rows)


def speed_environment() -> str:
    """Returns the host, the versions, the flags and the measured peak rates."""
    document = _read("speed")
    host, load = document["host"], document["other_load"]
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    flags = " ".join(
        f"--{name}={item}"
        for name, value in document["flags"].items()
        for item in (value if isinstance(value, list) else [value])
    )
    rows = [
        ("host", f"{host['processor']}, {host['cores']} cores"),
        ("versions", f"Python {host['python']}, {versions}"),
        ("flags", f"`{flags}`"),
        ("load of other processes", "unknown" if load is None else f"{load:.1%}"),
        ("matrix product, GFLOP/s", _rounds(document, "matrix_rate", _giga)),
        ("memory bandwidth, GB/s", _rounds(document, "memory_bandwidth", _giga)),
    ]
    return table(" | ", rows)


def startup() -> str:
    """Returns a row for each config, with and without the fast compile flags."""
    rows = [
        (
            row["config"],
            "XLA's defaults" if row["XLA_FLAGS"] else "fast compile",
            median_range(row["cold_cache_seconds"], "{:.1f}"),
            median_range(row["warm_cache_seconds"], "{:.1f}"),
        )
        for row in _read("startup")["rows"]
    ]
    return table("config | XLA flags | cold cache (s) | warm cache (s)", rows)


def tracing() -> str:
    """Returns what a trace during training costs."""
    seconds = _read("tracing")["seconds"]
    first, *later = seconds["with_trace"]
    without, with_trace = statistics.median(seconds["without"]), statistics.median(later)
    return table(
        "500 training steps and an evaluation (s) | with a trace (s) | with the first trace (s) | "
        "ratio with a trace per five evaluations",
        [
            (
                median_range(seconds["without"], "{:.2f}"),
                median_range(later, "{:.2f}"),
                f"{first:.2f}",
                f"{1 + (with_trace - without) / (5 * without):.3f}",
            )
        ],
    )


def cell_cost() -> str:
    """Returns the time of each candidate, and the median over rounds of its ratio to the first."""
    rows = []
    for name, times in _read("cell_cost")["milliseconds"].items():
        first = next(iter(times.values()))
        for candidate, milliseconds in times.items():
            ratios = [one / other for one, other in zip(milliseconds, first, strict=True)]
            time = median_range(milliseconds, number)
            rows.append((name, candidate, time, f"{statistics.median(ratios):.2f}"))
    return table("measured | candidate | time (ms) | ratio", rows)


def ensemble_vs_sequential() -> str:
    """Returns the time of seeds trained as one ensemble, and one after the other."""
    document = _read("ensemble_vs_sequential")
    sequential, ensemble = document["sequential"], [document["ensemble"]]
    seeds = f"{len(sequential)} seeds"
    rows: list[tuple[str, ...]] = []
    for name, runs in ((f"{seeds}, sequential", sequential), (f"{seeds}, ensemble", ensemble)):
        times = (sum(run[key] for run in runs) for key in ("wall_seconds", "compile_seconds"))
        rows.append((name, *(f"{seconds:.0f}" for seconds in times)))
    rows.append(("ratio", f"{document['ratio']:.2f}", ""))
    return table(" | wall time (s) | compile time (s)", rows)


def gpu_speed() -> str:
    """Returns the speed of training and of forward passes on a GPU."""
    groups: dict[tuple[Any, ...], dict[str, tuple[str, str]]] = {}
    for row in _read("gpu")["speed"]:
        rate = row["sequences_per_second"]["median"]
        sequences, option = row["batch_size"] * row["num_seeds"], row["XLA_FLAGS"]
        buffers = "kernels and loops" if "WHILE" in option else "nothing" if option else "kernels"
        key = row["controller"], row["num_seeds"], row["batch_size"], buffers
        cells = number(1000 * sequences / rate), number(rate, 4)
        groups.setdefault(key, {})[row["program"]] = cells
    rows = [(*key, *group["training"], *group["forward"]) for key, group in groups.items()]
    header = "controller | members | batch | command buffers hold | training step (ms)"
    return table(f"{header} | sequences per second | forward (ms) | sequences per second", rows)


def gpu_ensemble() -> str:
    """Returns the times of training the seeds of copy_ntm as one ensemble on a GPU."""
    run = _read("gpu")["copy_ntm"]
    lines = run["lines"]
    steps = [
        1000 * (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in itertools.pairwise(lines)
        if before["kind"] == after["kind"] == "training"
    ]
    index = [line["kind"] for line in lines].index("evaluation")
    evaluation = lines[index]["seconds"] - lines[index - 1]["seconds"]
    rows = [
        ("solved", f"{run['solved']} of {run['num_seeds']}"),
        ("training steps", f"{lines[-1]['step']:,}"),
        ("seconds until the end", f"{run['summary']['seconds']:.0f}"),
        ("of these: until the first 100 training steps are done", f"{lines[0]['seconds']:.0f}"),
        ("of these: the first evaluation", f"{evaluation:.1f}"),
        ("ms per training step of all seeds", median_range(steps, "{:.2f}")),
        ("seconds of compilation of the training step", f"{run['summary']['compile_seconds']:.0f}"),
        ("the same with a filled cache", f"{run['with_cache']['compile_seconds']:.0f}"),
    ]
    return table(" | ", rows)


def gpu_fused() -> str:
    """Returns the times of the fused kernels and of the scan on a GPU."""
    rows = []
    for row in _read("gpu")["fused"]["rows"]:
        times = [[1000 * each for each in row[key]] for key in ("scan_seconds", "fused_seconds")]
        speedup = statistics.median(times[0]) / statistics.median(times[1])
        difference = row.get("relative_difference")
        cells = [median_range(each, number) for each in times]
        cells += [f"{speedup:.1f}", "" if difference is None else f"{difference:.0e}"]
        rows.append((row["controller"], row["program"], row["batch_size"], *cells))
    header = "controller | program | batch | scan (ms) | fused (ms) | speedup"
    return table(f"{header} | relative difference", rows)


def scaling_devices() -> str:
    """Returns the training speed on one core, on two devices, and in two processes."""
    rows = []
    for row in _read("scaling_devices")["rows"]:
        rates = row["steps_per_second"]
        cells = [row["batch_size"], row["num_seeds"], median_range(rates["one_core"], "{:.1f}")]
        for setup in ("two_devices", "two_processes"):
            speedup = statistics.median(rates[setup]) / statistics.median(rates["one_core"])
            cells += [median_range(rates[setup], "{:.1f}"), f"{speedup / 2:.2f}"]
        rows.append(cells)
    header = "batch | seeds | one core | two devices | efficiency | two processes | efficiency"
    return table(header, rows)


def scaling_size_exponents() -> str:
    """Returns a row for each sweep and program: exponents of time and of memory."""
    rows = []
    for sweep, (key, label, fit_from) in SWEEPS.items():
        for program, points in _programs(sweep):
            fitted = [point for point in points if point[key] >= fit_from]
            sizes = [point[key] for point in fitted]
            time = exponent(sizes, [point["seconds"]["median"] for point in fitted])
            bytes_ = [point["planned_bytes"] for point in fitted]
            exponents = f"{time:.2f}", f"{exponent(sizes, bytes_):.2f}"
            ends = f"{sizes[0]:,}", f"{sizes[-1]:,}"
            rows.append((label, program, *ends, *exponents, number(bytes_[-1] / bytes_[0])))
    header = "size | program | from | to | time exponent | memory exponent | memory ratio"
    return table(header, rows)


def scaling_size_points() -> str:
    """Returns the smallest and the largest point of each sweep, and the long sequences."""
    baseline = {program: points[0]["peak_bytes"] for program, points in _programs("baseline")}
    rows = []
    for sweep in (*SWEEPS, "long"):
        for program, points in _programs(sweep):
            for index in sorted({0, len(points) - 1}):
                row = points[index]
                more = (row["peak_bytes"] - baseline[program]) / 2**20
                sizes = (row["num_slots"], row["num_time_steps"], row["batch_size"])
                cells = (number(row["seconds"]["median"]), f"{row['planned_bytes'] / 2**20:,.1f}")
                sizes = [f"{size:,}" for size in (*sizes, row["num_seeds"])]
                rows.append((program, *sizes, *cells, f"{more:.0f}"))
    header = "program | slots N | time steps T | batch B | members E | seconds"
    return table(f"{header} | planned memory (MiB) | process memory (MiB)", rows)


def scaling_size_host() -> str:
    """Returns the host of the measurements, and the largest load of other processes."""
    lines = read(_RESULTS / "scaling_size.jsonl")
    host, load = lines[0]["host"], max(line["other_load"] or 0 for line in lines)
    cores = f"{host['processor']}, {host['cores']} cores"
    return f"Measured on {cores}; other processes used up to {load:.0%} of their time."


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Returns the exponent of the power law fitted by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _programs(sweep: str) -> list[tuple[str, list[Row]]]:
    """Returns the programs of a sweep, each with its points by increasing size."""
    points = [row for row in read(_RESULTS / "scaling_size.jsonl") if row["sweep"] == sweep]
    if sweep in SWEEPS:
        points.sort(key=lambda row: row[SWEEPS[sweep][0]])
    programs = dict.fromkeys(row["program"] for row in points)
    return [(name, [row for row in points if row["program"] == name]) for name in programs]


def _read(name: str) -> dict[str, Any]:
    return json.loads((_RESULTS / f"{name}.json").read_text())


def _rounds(row: Row, key: str, form: Form | str) -> str:
    return median_range(row[key]["rounds"], form) if key in row else ""


def _giga(value: float) -> str:
    return number(value / 1e9, 4)
