"""Ships a trained machine with the package: python -m benchmarks.ship --run=FOLDER --name=copy_ntm.

Its card gets the config, the command, what training said, and what evaluations on sequences that
training did not use say: in its own memory, and in larger ones.
"""

from pathlib import Path

from absl import app, flags, logging

from benchmarks import commands, sizes
from ntm_jax import pretrained
from ntm_jax.training import run_dir
from ntm_jax.training.config import eval_name
from ntm_jax.tasks import TASKS
from ntm_jax.training.restore import load_run

_RUN = flags.DEFINE_string("run", None, "Run folder of a single machine.", required=True)
_NAME = flags.DEFINE_string("name", None, "That it gets; also of its config.", required=True)


def main(argv: list[str]) -> None:
    """Measures and writes."""
    del argv
    logging.set_verbosity(logging.WARNING)
    workdir = Path(_RUN.value).absolute()
    config = run_dir.load_config(workdir)
    own = {axis: config[eval_name(axis)] for axis in TASKS[config.task.name].axes}
    evaluations = [
        commands.evaluate(workdir, own),
        *(
            commands.evaluate(workdir, far.numbers, far.sequences, far.slots)
            for far in sizes.ENLARGED.get(config.task.name, ())
        ),
    ]
    measured = [{"slots": one["slots"], **row} for one in evaluations for row in one["results"]]
    card = {
        "command": f"python train.py --config=configs/{_NAME.value}.py --config.seed={config.seed}",
        "config": config.to_dict(),
        "training": commands.summary(workdir),
        "measured": measured,
    }
    pretrained.write(_NAME.value, load_run(workdir).params, card)


if __name__ == "__main__":
    app.run(main)
