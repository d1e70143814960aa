"""What the curriculum does to learning: the same seeds with each.

    python -m benchmarks.curricula

Trains ten seeds of a config of three tasks by the train command, other seeds than those of the
ensembles, with all of the task's sizes from the start, with sizes that grow, and with the largest
alone. benchmarks/results/curricula.json gets what training said of them; what it has already is
left out.
"""

from typing import Any

from absl import app, flags

from benchmarks import commands
from benchmarks.members import read
from ntm_jax.defaults import CURRICULA

_RUNS = flags.DEFINE_string("runs", None, "Folder to keep runs in; not kept if not given.")

# With the updates that are enough for most seeds of the config as it is.
UPDATES = {"copy_ntm": 5000, "repeat_copy_ntm_lstm": 9000, "associative_recall_ntm": 5000}
# Without restarts, which would hide how many seeds a curriculum leaves on a plateau.
_SHARED = {"seed": 100, "num_seeds": 10, "restart_after": 0}


def main(argv: list[str]) -> None:
    """Trains what has no result yet, and writes it down."""
    del argv
    document: dict[str, Any] = read("curricula") or {}
    for name, updates in UPDATES.items():
        rows = document.setdefault(name, {})
        for curriculum in CURRICULA:
            if curriculum in rows:
                continue
            overrides = {**_SHARED, "num_steps": updates, "curriculum": curriculum}
            with commands.run_folder(_RUNS.value) as folder:
                workdir = folder / f"{name}_{curriculum}"
                rows[curriculum] = {
                    "command": commands.train(commands.config_file(name), overrides, workdir),
                    "machine": commands.machine(),
                    "summary": commands.summary(workdir),
                }
            commands.write(commands.RESULTS / "curricula.json", document)


if __name__ == "__main__":
    app.run(main)
