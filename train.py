"""Trains the model of a config: python train.py --config=configs/copy_ntm.py."""

import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from ntm_jax import parallel
from ntm_jax.checkpoints import CheckpointError
from ntm_jax.config import ConfigError
from ntm_jax.runs import RunError
from ntm_jax.training import TrainingError, train

_CONFIG = config_flags.DEFINE_config_file("config", None, "File that makes the config.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given.")
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    """Flags in, one library call."""
    if len(argv) > 1:
        sys.exit(f"train.py: expected flags alone, got {' '.join(argv[1:])}")
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    parallel.use_all_cores()
    try:
        summary = train(_CONFIG.value, Path(_WORKDIR.value or f"runs/{name}"))
    except (CheckpointError, ConfigError, RunError, TrainingError, OSError) as error:
        sys.exit(f"train.py: {error}")
    if summary["stopped"] == "SIGINT":
        sys.exit(130)


if __name__ == "__main__":
    app.run(main)
