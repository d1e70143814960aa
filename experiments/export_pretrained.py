"""Adds a trained model to the package: its parameters, and a model card with its evaluations.

python -m experiments.export_pretrained --run=runs/copy_ntm --name=copy_ntm
"""

from pathlib import Path

from absl import app, flags, logging

from experiments import cli
from ntm_jax.pretrained import save_pretrained
from ntm_jax.tasks import TASKS
from ntm_jax.training.config import eval_key
from ntm_jax.training.restore import load_run

_RUN = flags.DEFINE_string("run", None, "Run directory of a single seed.", required=True)
_NAME = flags.DEFINE_string("name", None, "Name of the config and of the model.", required=True)


def main(argv: list[str]) -> None:
    """Evaluates the model and writes its files."""
    del argv
    logging.set_verbosity(logging.WARNING)
    workdir = Path(_RUN.value).absolute()
    trained = load_run(workdir)
    config, task = trained.config, trained.config["task"]["name"]
    sizes = {axis: config[eval_key(axis)] for axis in TASKS[task].size_axes}
    evaluations = [cli.evaluate(workdir, sizes), *cli.evaluate_enlarged(workdir, task)]
    card = {
        "command": f"python train.py --config={cli.config_path(_NAME.value)} "
        f"--config.seed={config['seed']}",
        "config": dict(config),
        "training": cli.load_summary(workdir),
        "measured": [
            {"num_slots": evaluation["num_slots"], **row}
            for evaluation in evaluations
            for row in evaluation["results"]
        ],
    }
    save_pretrained(_NAME.value, trained.first_params, card)


if __name__ == "__main__":
    app.run(main)
