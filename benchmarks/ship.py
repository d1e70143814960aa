"""Ships a trained machine with the package: python -m benchmarks.ship --run=FOLDER --name=copy_ntm.

Its card gets the config, the command, what training said, and what evaluations on sequences that
training did not use say: in its own memory, and in larger ones.
"""

import itertools
from pathlib import Path

from absl import app, flags, logging

from benchmarks import commands, sizes
from ntm_jax import compilation, evaluation, parallel, pretrained, reports, runs
from ntm_jax import config as configs
from ntm_jax.trained import load_run

_RUN = flags.DEFINE_string("run", None, "Run folder of a single solved machine.", required=True)
_NAME = flags.DEFINE_string("name", None, "That it gets; also of its config.", required=True)


def main(argv: list[str]) -> None:
    """Measures and writes."""
    del argv
    logging.set_verbosity(logging.WARNING)
    compilation.use_quick_compiler()
    parallel.use_all_cores()
    workdir = Path(_RUN.value)
    config = runs.load_config(workdir)
    measured = []
    memories = [
        (None, 256, configs.eval_sizes(config)),
        *(
            (far.slots, far.sequences, list(itertools.product(*far.numbers.values())))
            for far in sizes.ENLARGED.get(config.task.name, ())
        ),
    ]
    for slots, sequences, of in memories:
        trained = load_run(workdir, slots)
        results = evaluation.evaluate(
            trained.model, trained.params, trained.task, of, sequences, commands.SEED
        )
        measured += [
            {"slots": trained.num_slots, **reports.row(trained.task, result)} for result in results
        ]
    card = {
        "command": f"python train.py --config=configs/{_NAME.value}.py --config.seed={config.seed}",
        "config": config.to_dict(),
        "training": commands.summary(workdir),
        "measured": measured,
    }
    pretrained.write(_NAME.value, trained.params, card)


if __name__ == "__main__":
    app.run(main)
