"""A training run as it is typed, noting at every line of its log what the process holds on to.

python tests/watched.py NOTES train.py --config=...
"""

import json
import os
import runpy
import sys
from pathlib import Path

import jax
import numpy as np
from support.subprocess_utils import ROOT, start

from ntm_jax.training import loop

MIB = 1 << 20
_COMPILED = "/jax/core/compile/backend_compile_duration"  # what comes from the cache counts too


def watch(cwd, updates, lines, due, **changes):
    """What a tiny machine's run of so many updates noted; it has so many lines of its log.

    `due` of them have an evaluation and a checkpoint.
    """
    process = start(
        cwd,
        "tests/watched.py",
        "notes",
        str(ROOT / "train.py"),
        f"--config={ROOT / 'tests/support/tiny_config.py'}:ntm",
        f"--config.num_steps={updates}",
        f"--config.log_every={updates // lines}",
        f"--config.eval_every={updates // due}",
        f"--config.checkpoint_every={updates // due}",
        f"--config.updates_after_solved={updates}",  # solved or not, it goes on to the end
        "--workdir=run",
        **changes,
    )
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    notes = [json.loads(line) for line in (cwd / "notes").read_text().splitlines()]
    assert len(notes) == lines
    assert notes[-1]["step"] == updates
    return notes


def assert_steady(notes, mib):
    """After a fifth of the run nothing grows: no file, no compilation, memory by less than `mib`.

    Memory is compared between the medians of ten lines: a checkpoint on its way counts for nothing.
    """
    warm = notes[len(notes) // 5 :]
    first, last = ([note["resident"] for note in part] for part in (warm[:10], warm[-10:]))
    grown = (np.median(last) - np.median(first)) / MIB
    assert {note["compiled"] for note in warm} == {warm[0]["compiled"]}
    assert {note["files"] for note in warm} == {warm[0]["files"]}
    assert grown < mib, f"{grown:.1f} MiB more after {warm[-1]['step']} updates"
    return grown


def _resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def _main(notes, script, *arguments):
    compiled, report = [], loop._Loop.report

    def listen(event, seconds, **_):
        if event == _COMPILED:
            compiled.append(seconds)

    def noted(self, state, measured, step):
        report(self, state, measured, step)
        files = len(os.listdir("/proc/self/fd"))
        line = dict(step=step, resident=_resident(), files=files, compiled=len(compiled))
        with Path(notes).open("a") as file:
            file.write(json.dumps(line) + "\n")

    jax.monitoring.register_event_duration_secs_listener(listen)
    loop._Loop.report = noted
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
