"""Measures training and forward passes on a GPU; the programs are those of benchmarks/speed.

    python -m benchmarks.gpu FILE lstm:32:1:1 lstm:4:64:1

Each argument is a controller, a batch size, a number of ensemble members, and the number of time
steps that the scan unrolls. `XLA_FLAGS` apply to all. FILE gets one more JSON line per program, and
one with the number of kernels in each loop of the first training program.
"""

import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from benchmarks.environment import versions
from benchmarks.speed import workloads
from benchmarks.speed.harness import Candidate, summarize, time_interleaved
from ntm_jax.training.experiment import Experiment

_ROUNDS, _SECONDS = 3, 0.3
_COMPILE_THREADS = 8
# Operations that are not kernels.
_NO_KERNEL = ("get-tuple-element", "tuple", "parameter", "constant", "bitcast", "while", "call")


def main() -> None:
    """Compiles all programs in parallel, and times them in alternation."""
    file, *specs = sys.argv[1:]
    with ThreadPoolExecutor(_COMPILE_THREADS) as executor:
        groups = executor.map(_candidates, specs)
        hlo = executor.submit(_training_hlo, specs[0])
        candidates = [candidate for group in groups for candidate in group]
    rates = time_interleaved(candidates, _ROUNDS, _SECONDS)
    common = {
        "device": jax.devices()[0].device_kind,
        "versions": versions(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }
    with Path(file).open("a") as lines:
        counts = kernels_per_iteration(hlo.result())
        kernels = {"program": specs[0], "kernels_per_iteration": counts}
        lines.write(json.dumps(kernels | common) + "\n")
        print(kernels)
        for candidate in candidates:
            rate = summarize(rates[candidate.name])
            row = candidate.facts | common | {"sequences_per_second": rate}
            lines.write(json.dumps(row) + "\n")
            print(candidate.name, common["XLA_FLAGS"], f"{rate['median']:.4g}", flush=True)


def _candidates(spec: str) -> list[Candidate]:
    experiment, config, unroll = _experiment(spec)
    facts = {"system": workloads.NTM, "controller": config.model.controller, "unroll": unroll}
    model = experiment.model.clone(unroll=unroll)
    return [
        candidate._replace(name=f"{candidate.name}, unroll {unroll}")
        for candidate in workloads.candidates(model, experiment, config, facts)
    ]


def _experiment(spec: str) -> tuple[Experiment, Any, int]:
    controller, *numbers = spec.split(":")
    batch_size, num_seeds, unroll = map(int, numbers)
    config = workloads.make_config(controller, batch_size, num_seeds)
    return Experiment.from_config(config), config, unroll


def _training_hlo(spec: str) -> str:
    """Returns the compiled program of a training step, as text."""
    experiment, _, _ = _experiment(spec)
    trainer = experiment.make_trainer()
    return trainer.compile(trainer.init(), 1).as_text() or ""


def kernels_per_iteration(hlo: str) -> list[int]:
    """Counts the kernels in the body of each loop of a compiled program, without inner loops."""
    computations = dict(re.findall(r"^(?:ENTRY )?(%?\S+) \([^\n]*\{\n(.*?)^\}", hlo, re.M | re.S))

    def count(name: str) -> int:
        total = 0
        for line in computations[name].splitlines():
            operation = re.search(r" = .*? ([a-z][a-z0-9-]*)\(", line)
            if operation and operation[1] == "call":
                total += count(re.search(r"to_apply=(%?\S+?)[,\s]", line + " ")[1])
            elif operation and operation[1] not in _NO_KERNEL:
                total += 1
        return total

    return [count(name) for name in re.findall(r" while\(.*?body=(%?[^\s,]+)", hlo)]


if __name__ == "__main__":
    main()
