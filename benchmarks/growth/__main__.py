"""How time and memory grow with slots, steps, batch and seeds: python -m benchmarks.growth.

The machine of configs/copy_ntm.py, with a feed-forward controller, on one device of the CPU. Each
point is a process of its own. benchmarks/results/growth.json gets the points, and the exponents of
power laws fitted to them; docs/growth.png the picture. With --resume, points that are in the file
already are kept as they are.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from absl import app, flags

from benchmarks import commands, conditions
from benchmarks.growth import report, sweeps
from benchmarks.growth.picture import picture
from benchmarks.growth.point import WORK, Point

_NAMES = [*sweeps.SWEEPS, "long"]
_SWEEPS = flags.DEFINE_list("sweeps", _NAMES, "Which.")
_LARGEST = flags.DEFINE_integer("largest", None, "Leave out points with a larger size.", 1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Times that each point is timed.", 1)
_SECONDS = flags.DEFINE_float("seconds", 0.5, "Of each of them, at least.", 0.001)
_RESUME = flags.DEFINE_bool("resume", False, "Keep the points that the file has.")
_JSON = flags.DEFINE_string("json", str(commands.RESULTS / "growth.json"), "File for the result.")
_PICTURE = flags.DEFINE_string("picture", str(commands.ROOT / "docs/growth.png"), "And its graph.")


def main(argv: list[str]) -> None:
    """Measures what is missing, writing after every point."""
    if len(argv) > 1:
        sys.exit(f"growth: expected flags alone, got {' '.join(argv[1:])}")
    if unknown := [name for name in _SWEEPS.value if name not in _NAMES]:
        sys.exit(f"growth: --sweeps: expected some of {','.join(_NAMES)}, got {','.join(unknown)}")
    path = Path(_JSON.value)
    kept = json.loads(path.read_text()) if _RESUME.value and path.exists() else {}
    rows, baselines = kept.get("rows", []), kept.get("baselines", {})
    used = {flag.name: flag.value for flag in (_SWEEPS, _LARGEST, _REPEATS, _SECONDS, _RESUME)}
    about = {"machine": commands.machine(), "versions": conditions.versions(), "flags": used}

    def write() -> None:
        fitted = {"baselines": baselines, "exponents": sweeps.exponents(rows), "rows": rows}
        commands.write(path, about | fitted)

    for work in WORK:
        if work not in baselines and (measured := _measure(Point(work, num_slots=22))):
            baselines[work] = measured
    for name in _SWEEPS.value:
        for point in sweeps.LONG if name == "long" else sweeps.SWEEPS[name].points:
            if max(point[1:]) > (_LARGEST.value or max(point[1:])) or _has(rows, name, point):
                continue
            if measured := _measure(point):
                rows.append({"sweep": name, **measured})
                write()
    write()
    picture({"rows": rows}).savefig(_PICTURE.value)
    print(report.exponents(json.loads(path.read_text())))
    print(f"\nwritten: {path}, {_PICTURE.value}")


def _has(rows: list[dict[str, Any]], name: str, point: Point) -> bool:
    fields = {"sweep": name, **point._asdict()}
    return any(all(row[key] == value for key, value in fields.items()) for row in rows)


def _measure(point: Point) -> dict[str, Any] | None:
    """A point with what was measured of it; None, and a line, if its process failed."""
    request = {**point._asdict(), "repeats": _REPEATS.value, "seconds": _SECONDS.value}
    command = [sys.executable, "-m", "benchmarks.growth.point", json.dumps(request)]
    with conditions.noted({}) as noted:
        done = subprocess.run(command, capture_output=True, text=True, cwd=commands.ROOT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"growth: {point}: ended with {done.returncode}: {last}", file=sys.stderr)
        return None
    measured = json.loads(done.stdout.splitlines()[-1])
    keys = ("load_average_before", "others_share", "cores_shared")
    print(f"{point}: {measured['seconds']['median']:.3g} s", flush=True)
    return {**point._asdict(), **measured, **{key: noted[key] for key in keys}}


if __name__ == "__main__":
    app.run(main)
