"""Measures time and memory against memory slots, time steps, batch size and ensemble members.

    python -m benchmarks.scaling_size                  # measures what is missing, draws the figure
    python -m benchmarks.scaling_size --sweeps=batch

The NTM of configs/copy_ntm.py with a feed-forward controller, on one CPU device. Each point is
measured in its own process, whose peak memory is that of the point. results/scaling_size.jsonl gets
a line per point, and docs/scaling.png shows them. A point with a stored line is not measured again.
"""

import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags
from matplotlib.figure import Figure

from benchmarks import environment
from benchmarks.speed.harness import Candidate, summarize, time_interleaved
from experiments import results
from experiments.benchmark_tables import SWEEPS
from experiments.cli import ROOT
from ntm_jax.evaluation import scoring
from ntm_jax.runtime import compilation_cache
from ntm_jax.tasks.copy import Copy
from ntm_jax.training.config import default
from ntm_jax.training.experiment import Experiment
from ntm_jax.training.trainer import Trainer

_RESULTS = environment.RESULTS / "scaling_size.jsonl"
_COMMAND = "python -m benchmarks.scaling_size"
TRAINING, CHUNKED, EVALUATION = "training", "training, chunked remat", "evaluation"
_COLORS = {TRAINING: "C0", CHUNKED: "C2", EVALUATION: "C1"}


class Point(NamedTuple):
    """A program and its sizes.

    Attributes:
      program: TRAINING, a training step; CHUNKED, a training step with a `remat_chunk_size` of the
        square root of T; or EVALUATION, all calls of an evaluation.
      num_slots: N.
      length: length of the sequences; T = 2 length + 1.
      batch_size: B; in an evaluation the number of sequences.
      num_seeds: E.
    """

    program: str
    num_slots: int = 128
    length: int = 10
    batch_size: int = 1
    num_seeds: int = 1


def _points(field: str, sizes: list[int], *programs: str, **fixed: int) -> list[Point]:
    return [Point(program, **{field: size, **fixed}) for size in sizes for program in programs]


_BOTH = TRAINING, EVALUATION
_LENGTHS = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000]
POINTS = {
    "baseline": [Point(program, num_slots=22) for program in (TRAINING, CHUNKED, EVALUATION)],
    "slots": _points("num_slots", [2**power for power in range(7, 17)], *_BOTH),
    "steps": [
        *_points("length", _LENGTHS, TRAINING, CHUNKED),
        # With 512 sequences an evaluation takes several calls from 1,281 time steps on.
        *_points("length", _LENGTHS, EVALUATION, batch_size=512),
    ],
    "batch": _points("batch_size", [2**power for power in range(10)], *_BOTH, length=20),
    "seeds": _points(
        "num_seeds", [2**power for power in range(7)], *_BOTH, length=20, batch_size=4
    ),
    "long": _points("length", [5000], TRAINING, CHUNKED, num_slots=1024),
}

_SWEEPS = flags.DEFINE_multi_enum("sweeps", list(POINTS), list(POINTS), "Sweeps to measure.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of timings of each point.", 1)
_SECONDS = flags.DEFINE_float("seconds", 0.5, "Time of each timing.", 0.001)
_POINT = flags.DEFINE_string("point", None, "Measure this point, as JSON, in this process.")


def main(argv: list[str]) -> None:
    """Measures the points that have no stored line, and draws the figure."""
    del argv
    if _POINT.value:
        jax.config.update("jax_platforms", "cpu")
        compilation_cache.set_fast_compile_flags()
        point = Point(*json.loads(_POINT.value))
        print(json.dumps(measure(point, _REPEATS.value, _SECONDS.value)))
        return
    for sweep in _SWEEPS.value:
        for point in POINTS[sweep]:
            if not results.find(_RESULTS, sweep=sweep, **point._asdict()):
                _measure_in_process(sweep, point)
    draw(results.read(_RESULTS)).savefig(ROOT / "docs" / "scaling.png")


def measure(point: Point, repeats: int, seconds: float) -> dict[str, Any]:
    """Compiles and times a point.

    Args:
      point: the program and its sizes.
      repeats: number of timings.
      seconds: smallest time of a timing.

    Returns:
      `seconds` of one run; `compile_seconds`; `planned_bytes`, the arguments, results and
      temporaries of the program as planned by XLA; `peak_bytes`, the peak memory of the process.
    """
    config = default("copy", "ntm")
    chunk_size = math.isqrt(2 * point.length + 1) if point.program == CHUNKED else 0
    config.model.update(num_slots=point.num_slots, train_num_slots=(), remat_chunk_size=chunk_size)
    experiment = Experiment.from_config(config)
    task = Copy(min_length=point.length, max_length=point.length)
    program = _evaluation if point.program == EVALUATION else _training
    run, compile_seconds, compiled = program(experiment, task, point, config.ema_decay)
    candidate = Candidate(point.program, lambda: (1.0, run()), {})
    rates = time_interleaved([candidate], repeats, seconds)[point.program]
    plan = compiled.memory_analysis()
    planned = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    # Not ru_maxrss, which a child process inherits from its parent.
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return {
        "seconds": summarize([1.0 / rate for rate in rates]),
        "compile_seconds": compile_seconds,
        "planned_bytes": planned - plan.alias_size_in_bytes,
        "peak_bytes": 1024 * int(peak[1]),
    }


def draw(lines: list[dict[str, Any]]) -> Figure:
    """Draws time and memory by size, with a column for each sweep and logarithmic axes."""
    figure = Figure((13.0, 6.5), dpi=110, layout="constrained")
    axes = figure.subplots(2, len(SWEEPS), sharex="col", squeeze=False)
    for column, (sweep, (key, label, _)) in zip(axes.T, SWEEPS.items(), strict=True):
        for program in dict.fromkeys(point.program for point in POINTS[sweep]):
            rows = [row for row in lines if (row["sweep"], row["program"]) == (sweep, program)]
            rows.sort(key=lambda row, key=key: row[key])
            sizes = [row[key] for row in rows]
            seconds = [row["seconds"]["median"] for row in rows]
            memory = [row["planned_bytes"] / 2**20 for row in rows]
            for panel, values in zip(column, (seconds, memory), strict=True):
                proportional = [values[-1] * size / sizes[-1] for size in (sizes[0], sizes[-1])]
                panel.plot([sizes[0], sizes[-1]], proportional, "0.85", linewidth=1, zorder=0)
                style = {"color": _COLORS[program], "marker": "o", "markersize": 3.5}
                panel.plot(sizes, values, label=program, **style)
                panel.set(xscale="log", yscale="log")
        column[0].legend(frameon=False, fontsize="small")
        column[1].set(xlabel=label)
    axes[0, 0].set(ylabel="time of a training step or evaluation (s)")
    axes[1, 0].set(ylabel="memory planned by XLA (MiB)")
    figure.suptitle("Scaling of time and memory; gray: linear scaling")
    return figure


def _measure_in_process(sweep: str, point: Point) -> None:
    timings = [f"--repeats={_REPEATS.value}", f"--seconds={_SECONDS.value}"]
    words = ["-m", "benchmarks.scaling_size", f"--point={json.dumps(point)}", *timings]
    with environment.record(_COMMAND) as record:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        print(f"scaling_size: {point}: exit code {done.returncode}: {last}", file=sys.stderr)
        return
    line = {"sweep": sweep, **point._asdict(), "num_time_steps": 2 * point.length + 1}
    line |= json.loads(done.stdout.splitlines()[-1])
    keys = ("load_average_before", "other_load", "command", "host", "versions")
    results.append(_RESULTS, line | {key: record[key] for key in keys})
    print(f"{sweep}, {point}: {line['seconds']['median']:.3g} s", flush=True)


_Program = tuple[Callable[[], float], float, Any]


def _training(experiment: Experiment, task: Copy, point: Point, ema_decay: float) -> _Program:
    """Returns a training step, its compile time and its compiled program."""
    trainer = Trainer(
        experiment.train_models,
        task,
        experiment.optimizer,
        point.batch_size,
        range(point.num_seeds),
        ema_decay,
    )
    state = trainer.init()
    start = time.perf_counter()
    program = trainer.compile(state, 1)
    compile_seconds = time.perf_counter() - start

    def run() -> float:
        nonlocal state
        state, metrics = trainer.run(state, 1)
        return float(np.mean(jax.device_get(metrics).loss))

    return run, compile_seconds, program


def _evaluation(experiment: Experiment, task: Copy, point: Point, ema_decay: float) -> _Program:
    """Returns an evaluation, the time of its first run and the program of its largest call."""
    del ema_decay
    model, size = experiment.model, (point.length,)
    keys = jax.vmap(jax.random.key)(np.arange(point.num_seeds))
    inputs = np.zeros((1, 1, task.input_features), np.float32)
    params = jax.jit(jax.vmap(lambda key: model.init(key, inputs)["params"]))(keys)

    def run() -> float:
        members = scoring.evaluate_members(model, params, task, [size], point.batch_size)
        return members[0][0].bits_per_sequence

    start = time.perf_counter()
    run()
    compile_seconds = time.perf_counter() - start
    batch_size, key = scoring._split(task, size, point.batch_size, 0)[0]
    lowered = scoring._scores.lower(model, task, size, batch_size, params, key)
    return run, compile_seconds, lowered.compile()


if __name__ == "__main__":
    app.run(main)
