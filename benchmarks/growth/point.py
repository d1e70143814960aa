"""One point of a sweep, in a process of its own: python -m benchmarks.growth.point JSON.

Prints what was measured as one line of JSON. On one device, so that a batch is not split from some
size on; alone in its process, because a process does not forget the most memory that it ever had.
"""

import json
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.speed import rounds
from ntm_jax import build, compilation, evaluation
from ntm_jax import config as configs
from ntm_jax.updates import Updates

__all__ = ["WORK", "Point", "measure"]

WORK = ("training", "training in segments", "evaluation")


class Point(NamedTuple):
    """What is run.

    Attributes:
      work: one of WORK; an update, one whose backward pass keeps the state every square root of T
        steps alone, or all of an evaluation.
      num_slots: N.
      length: of the sequences to copy; T = 2 length + 1.
      batch_size: B; in an evaluation, how many sequences it has.
      num_seeds: E.
    """

    work: str
    num_slots: int = 128
    length: int = 10
    batch_size: int = 1
    num_seeds: int = 1

    @property
    def steps(self) -> int:
        """T."""
        return 2 * self.length + 1


def measure(point: Point, repeats: int, seconds: float) -> dict[str, Any]:
    """Compiles a point's program and runs it.

    Args:
      point: what.
      repeats: how often the time is taken.
      seconds: for how long at least, each time.

    Returns:
      `seconds` of one run, with their spread; `compile_seconds`; `planned_bytes`, which XLA lays
      out for the program: arguments, results and all between; and `peak_bytes`, the most memory
      that the process ever had, Python, JAX and the compiler included.
    """
    config = configs.default("copy", "ntm")
    config.update(seed=0, num_seeds=point.num_seeds, batch_size=point.batch_size)
    config.task.update(min_length=point.length, max_length=point.length)
    segment = math.isqrt(point.steps) if point.work == "training in segments" else 0
    config.model.update(num_slots=point.num_slots, train_slots=(), segment=segment)
    make = _evaluation if point.work == "evaluation" else _training
    run, compile_seconds, planned = make(config, point)

    def advance() -> tuple[float, float]:
        return 1.0, run()

    one = rounds.Contestant(point.work, advance, {})
    rates = rounds.interleave([one], repeats, seconds)[one.name]
    return {
        "seconds": rounds.summary([1.0 / rate for rate in rates]),
        "compile_seconds": compile_seconds,
        "planned_bytes": _bytes(planned),
        "peak_bytes": _peak_bytes(),
    }


_Made = tuple[Callable[[], float], float, Any]


def _training(config: Any, point: Point) -> _Made:
    """An update, the seconds of compiling it, and the compiled program."""
    task, optimizer = build.make_task(config), build.make_optimizer(config)
    seeds = configs.seeds(config)
    updates = Updates(
        [build.make_model(config)], task, optimizer, point.batch_size, seeds, config.ema_decay
    )
    state = updates.init()
    began = time.perf_counter()
    updates.compile(state, 1)
    compile_seconds = time.perf_counter() - began

    def run() -> float:
        nonlocal state
        state, measured = updates.run(state, 1)
        return float(np.mean(jax.device_get(measured).loss))

    return run, compile_seconds, updates._compiled[1]


def _evaluation(config: Any, point: Point) -> _Made:
    """An evaluation, the seconds of its first run, and the program of its largest batch."""
    model, task = build.make_model(config), build.make_task(config)
    keys = jax.vmap(jax.random.key)(np.arange(point.num_seeds))
    inputs = np.zeros((1, 1, task.input_features), np.float32)
    params = jax.jit(jax.vmap(lambda key: model.init(key, inputs)["params"]))(keys)
    size = (point.length,)

    def run() -> float:
        members = evaluation.evaluate_members(model, params, task, [size], point.batch_size)
        return members[0][0].bits_per_sequence

    began = time.perf_counter()
    run()
    compile_seconds = time.perf_counter() - began
    # What evaluate_members dispatches: what it takes is known to its compiled program alone.
    count, key = evaluation._chunks(task, size, point.batch_size, 0)[0]
    return (
        run,
        compile_seconds,
        evaluation._scores.lower(model, task, size, count, params, key).compile(),
    )


def _bytes(program: Any) -> int:
    planned = program.memory_analysis()
    return (
        planned.argument_size_in_bytes
        + planned.output_size_in_bytes
        - planned.alias_size_in_bytes
        + planned.temp_size_in_bytes
    )


def _peak_bytes() -> int:
    # Not ru_maxrss, in which a child begins with what its parent has.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", status)[1])


def main() -> None:
    """A point in, a line out."""
    jax.config.update("jax_platforms", "cpu")
    compilation.use_quick_compiler()
    request = json.loads(sys.argv[1])
    repeats, seconds = request.pop("repeats"), request.pop("seconds")
    print(json.dumps(measure(Point(**request), repeats, seconds)))


if __name__ == "__main__":
    main()
