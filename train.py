"""Trains the model of a config: python train.py --config=configs/copy_ntm.py."""

import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from ntm_jax import compilation, parallel, signals
from ntm_jax.checkpoints import CheckpointError
from ntm_jax.config import ConfigError, flat, unknown_setting
from ntm_jax.runs import RunError
from ntm_jax.training import TrainingError, train

_CONFIG = config_flags.DEFINE_config_file("config", None, "File that makes the config.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given.")
flags.mark_flag_as_required("config")

_SECONDS_TO_SAVE = 8.0  # after Ctrl-C or SIGTERM; a machine that is shut down allows ten


def _parse_flags(argv: list[str]) -> list[str]:
    """As absl does, but a setting that does not exist is one line with those that do."""
    try:
        return app.parse_flags_with_usage(argv)
    except AttributeError as error:
        words = [word.lstrip("-").split("=")[0] for word in argv]
        overrides = [word.removeprefix("config.") for word in words if word.startswith("config.")]
        # The file again, without what was to be changed in it.
        alone = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=[])
        alone([argv[0], *(word for word in argv if word.lstrip("-").startswith("config="))])
        unknown = [name for name in overrides if name not in flat(alone.config or {})]
        if not unknown or alone.config is None:
            sys.exit(f"train.py: --config: {error}")
        sys.exit(f"train.py: --config.{unknown_setting(unknown[0], alone.config)}")


def main(argv: list[str]) -> None:
    """Flags in, one library call."""
    if len(argv) > 1:
        sys.exit(f"train.py: expected flags alone, got {' '.join(argv[1:])}")
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = Path(_WORKDIR.value or f"runs/{name}")
    # What orbax logs as an error it raises too.
    logging.set_verbosity(logging.FATAL)
    compilation.use_cache()
    parallel.use_all_cores()
    signals.leave_within(
        _SECONDS_TO_SAVE,
        "train.py: stopped before the run was saved; the same command goes on from the newest "
        f"checkpoint in {workdir / 'checkpoints'}, or from the start",
    )
    try:
        summary = train(_CONFIG.value, workdir)
    except (CheckpointError, ConfigError, RunError, TrainingError) as error:
        sys.exit(f"train.py: {error}")
    except KeyboardInterrupt:  # the second one
        sys.exit(130)
    if summary["stopped"] == "SIGINT":
        sys.exit(130)


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
