"""Trains the model of a config: python train.py --config=configs/copy_ntm.py."""

import itertools
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from ntm_jax.runtime import compilation_cache, sharding, distributed, preemption
from ntm_jax.training.checkpoints import CheckpointError
from ntm_jax.training.config import ConfigError, flat, unknown_setting
from ntm_jax.runtime.distributed import ProcessesError
from ntm_jax.training.run_dir import RunError
from ntm_jax.training.loop import TrainingError, train

_CONFIG = config_flags.DEFINE_config_file("config", None, "File that makes the config.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config name> if not given.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes, as SLURM or Kubernetes says which."
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "host:port of process 0 of several.")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes there are.")
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.")
flags.mark_flag_as_required("config")

_SECONDS_TO_SAVE = 8.0  # after Ctrl-C or SIGTERM; a machine that is shut down allows ten


# What absl and ml_collections raise for settings and files that they cannot make a config of.
_MISTAKES = (AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError)


def _parse_flags(argv: list[str]) -> list[str]:
    """As absl does, but a mistake in a setting or in the file's name is one line."""
    try:
        rest = app.parse_flags_with_usage(argv)
        flat(_CONFIG.value)  # one that could not be read says so only now
    except _MISTAKES as error:
        sys.exit(f"train.py: {_mistake(argv, error)}")
    return rest


def _mistake(argv: list[str], error: Exception) -> str:
    """What was wrong: the file, a setting that does not exist, or a value."""
    words = [word.lstrip("-") for word in argv]
    files = [word.removeprefix("config=") for word in words if word.startswith("config=")]
    files += [after for word, after in itertools.pairwise(words) if word == "config"]
    for file in files:
        if not Path(file.partition(":")[0]).is_file():  # what absl says of it is long
            return f"--config: no such file: {file or 'its name is empty'}"
    try:
        # The file again, without what was to be changed in it.
        alone = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=[])
        alone([argv[0], *(f"--config={file}" for file in files)])
        known = flat(alone.config)
    except (*_MISTAKES, flags.Error) as of_file:
        return f"--config: expected a file that makes a config, got: {_in_one_line(of_file)}"
    changed = [word.removeprefix("config.") for word in words if word.startswith("config.")]
    for name in (change.split("=")[0] for change in changed):
        if name not in known:
            return f"--config.{unknown_setting(name, alone.config)}"
    return f"--config: {_in_one_line(error)}"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main(argv: list[str]) -> None:
    """Flags in, one library call."""
    if len(argv) > 1:
        sys.exit(f"train.py: expected flags alone, got {' '.join(argv[1:])}")
    # A file may be given a word: configs/paper.py:copy_ntm.
    file, _, word = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    name = "_".join(filter(None, (Path(file).stem, word)))
    workdir = Path(_WORKDIR.value or f"runs/{name}")
    # What orbax logs as an error it raises too.
    logging.set_verbosity(logging.FATAL)
    compilation_cache.use_cache()
    compilation_cache.use_quick_compiler()
    sharding.use_all_cores()
    preemption.leave_within(
        _SECONDS_TO_SAVE,
        "train.py: stopped before the run was saved; the same command goes on from the newest "
        f"checkpoint in {workdir / 'checkpoints'}, or from the start",
    )
    try:
        distributed.start(
            _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _DISTRIBUTED.value
        )
    except ProcessesError as error:
        sys.exit(f"train.py: {error}")
    status: int | str = 0
    try:
        if train(_CONFIG.value, workdir)["stopped"] == "SIGINT":
            status = 130
    except (CheckpointError, ConfigError, RunError, TrainingError) as error:
        status = f"train.py: {error}"
    except KeyboardInterrupt:  # the second one
        status = 130
    distributed.leave(status)
    sys.exit(status)


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
