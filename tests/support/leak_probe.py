"""Trains a tiny NTM and records memory, open files and compilations at every line of metrics.

python tests/support/leak_probe.py NUM_STEPS NUM_LINES NUM_EVALUATIONS NUM_CHECKPOINTS
"""

import ctypes
import gc
import json
import os
import sys
from pathlib import Path

import jax
import numpy as np
from support.subprocess_utils import ROOT, start, wait
from support.tiny_config import tiny_config

from ntm_jax.training.loop import train

MIB = 1 << 20
_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"  # cache hits count too


def record_run(cwd, num_steps, num_lines, num_evaluations, num_checkpoints):
    """Trains in a subprocess; returns one record per line of metrics."""
    counts = map(str, (num_steps, num_lines, num_evaluations, num_checkpoints))
    path = f"{ROOT}:{ROOT / 'tests'}"
    process = start(cwd, "tests/support/leak_probe.py", *counts, PYTHONPATH=path)
    done = wait(process, timeout=None)
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in (cwd / "records.jsonl").read_text().splitlines()]
    assert len(records) == num_lines
    assert records[-1]["step"] == num_steps
    return records


def assert_steady(records, mib):
    """Asserts that after the first fifth of the run nothing grows, memory by less than `mib`.

    Memory is compared between the medians of the first and the last ten records, because a
    checkpoint that is being written adds to it. Returns its growth in MiB.
    """
    records = records[len(records) // 5 :]
    first, last = (
        np.median([record["memory"] for record in part]) for part in (records[:10], records[-10:])
    )
    growth = (last - first) / MIB
    for name in ("compilations", "files"):
        assert {record[name] for record in records} == {records[0][name]}
    assert growth < mib, f"{growth:.1f} MiB more after {records[-1]['step']} training steps"
    return growth


def _resident_bytes():
    # Without file-backed pages, which the kernel may drop at any time.
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("RssAnon:")
    )
    return 1024 * int(line.split()[1])


def _main(num_steps, num_lines, num_evaluations, num_checkpoints):
    config = tiny_config("ntm")
    config.num_train_steps = num_steps
    config.log_every_steps = num_steps // num_lines
    config.eval_every_steps = num_steps // num_evaluations
    config.checkpoint_every_steps = num_steps // num_checkpoints
    config.train_steps_after_solved = num_steps  # it must not stop early
    compilations = []

    def listen(event, seconds, **_):
        if event == _COMPILE_EVENT:
            compilations.append(seconds)

    def record(step, metrics):
        if "training/sequences_per_second" not in metrics:
            return
        if step % (num_steps // 10) == 0:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)  # returns freed memory to the kernel
        files = len(os.listdir("/proc/self/fd"))
        values = dict(
            step=step, memory=_resident_bytes(), files=files, compilations=len(compilations)
        )
        with Path("records.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")

    jax.monitoring.register_event_duration_secs_listener(listen)
    train(config, Path("run"), on_metrics=record)


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:]))
