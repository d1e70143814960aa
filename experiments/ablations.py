"""What one setting does to learning: the same seeds with each of its values.

    python -m benchmarks.variants

Trains by the train command, with other seeds than those of the ensembles. `curricula`: with all of
the task's sizes from the start, with sizes that grow, and with the largest alone. `heads`: priority
sort with one, two and four read heads and as many write heads.

benchmarks/results/<name>.json gets what training said of them; what it has already is left out.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from absl import app, flags

from benchmarks import commands
from benchmarks.members import read
from ntm_jax.training.defaults import CURRICULA

_RUNS = flags.DEFINE_string("runs", None, "Folder to keep runs in; not kept if not given.")

# Without restarts, which would hide how many seeds a value leaves on a plateau.
_SHARED = {"seed": 100, "restart_after": 0}


class Variants(NamedTuple):
    """A setting to be tried.

    Attributes:
      configs: that it is tried on.
      shared: settings of all of its runs.
      values: by their names, the settings that differ.
    """

    configs: tuple[str, ...]
    shared: Mapping[str, Any]
    values: Mapping[str, Mapping[str, Any]]


VARIANTS = {
    "curricula": Variants(
        ("copy_ntm", "associative_recall_ntm"),
        # Updates that are enough for most seeds of the config as it is.
        {"num_seeds": 10, "num_steps": 5000},
        {curriculum: {"curriculum": curriculum} for curriculum in CURRICULA},
    ),
    "heads": Variants(
        ("priority_sort_ntm", "priority_sort_ntm_lstm"),
        {"num_seeds": 4},
        {
            str(heads): {
                "model.num_read_heads": heads,
                "model.num_write_heads": heads,
                "model.content_reads": heads,
            }
            for heads in (1, 2, 4)
        },
    ),
}


def main(argv: list[str]) -> None:
    """Trains what has no result yet, and writes it down."""
    del argv
    for setting, variants in VARIANTS.items():
        document: dict[str, Any] = read(setting) or {}
        for name in variants.configs:
            rows = document.setdefault(name, {})
            for value in variants.values:
                if value in rows:
                    continue
                overrides = {**_SHARED, **variants.shared, **variants.values[value]}
                with commands.run_folder(_RUNS.value) as folder:
                    workdir = folder / f"{name}_{setting}_{value}"
                    rows[value] = {
                        "command": commands.train(commands.config_file(name), overrides, workdir),
                        "machine": commands.machine(),
                        "summary": commands.summary(workdir),
                    }
                commands.write(commands.RESULTS / f"{setting}.json", document)


if __name__ == "__main__":
    app.run(main)
