"""Trains the model that a config describes.

    python train.py --config=configs/copy_ntm.py
    python train.py --config=configs/copy_ntm.py --config.model.num_slots=256 --workdir=runs/large

The folder configs/ has the settings of every published result. TASK is one of copy, repeat_copy,
associative_recall, ngrams, priority_sort:

    configs/TASK_ntm.py            NTM with a feed-forward controller
    configs/TASK_ntm_lstm.py       NTM with an LSTM controller
    configs/TASK_lstm.py           LSTM baseline
    configs/baselines.py:TASK_gru, configs/baselines.py:TASK_transformer
    configs/paper.py:TASK_MODEL    settings of the paper
    configs/copy_ntm_keras.py, configs/copy_lstm_keras.py    settings of flomlo/ntm_keras

--config.KEY=VALUE overrides a key of the config, such as --config.seed=7, --config.num_seeds=10,
--config.learning_rate=3e-4, --config.task.max_length=30 or --config.model.controller=lstm. A
mistyped key lists all keys.

The same command resumes an interrupted run. Ctrl-C stores a checkpoint first.
"""

import itertools
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from ntm_jax.runtime import compilation_cache, distributed, sharding
from ntm_jax.training.checkpoints import CheckpointError
from ntm_jax.training.config import ConfigError, flatten, unknown_key_message
from ntm_jax.training.loop import TrainingError, train
from ntm_jax.training.run_dir import RunError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Python file with a get_config() function, such as configs/copy_ntm.py."
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Run directory, created or resumed. Default: runs/NAME for configs/NAME.py."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Call jax.distributed.initialize() in a SLURM or Kubernetes cluster."
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, for several processes without a cluster manager."
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes; together with --coordinator."
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Index of this process, from 0; together with --coordinator."
)
flags.mark_flag_as_required("config")

# What absl and ml_collections raise for a flag or file that does not make a config.
_PARSE_ERRORS = (AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError)


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses flags as absl does, with one line for a wrong key or file."""
    try:
        rest = app.parse_flags_with_usage(argv)
        flatten(_CONFIG.value)  # raises here if the file could not be read
    except _PARSE_ERRORS as error:
        sys.exit(f"train.py: {_parse_error_message(argv, error)}")
    return rest


def _parse_error_message(argv: list[str], error: Exception) -> str:
    """Returns which file, key or value is wrong."""
    words = [word.lstrip("-") for word in argv]
    files = [word.removeprefix("config=") for word in words if word.startswith("config=")]
    files += [after for word, after in itertools.pairwise(words) if word == "config"]
    for file in files:
        if not Path(file.partition(":")[0]).is_file():
            return f"--config: no such file: {file or '(empty name)'}"
    try:
        # The file alone, without overrides.
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=[])
        values([argv[0], *(f"--config={file}" for file in files)])
        known = flatten(values.config)
    except (*_PARSE_ERRORS, flags.Error) as file_error:
        return f"--config: the file does not return a config: {_one_line(file_error)}"
    overrides = [word.removeprefix("config.") for word in words if word.startswith("config.")]
    for key in (override.split("=")[0] for override in overrides):
        if key not in known:
            return f"--config.{unknown_key_message(key, values.config)}"
    return f"--config: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main(argv: list[str]) -> None:
    """Calls `train` with the config and the run directory."""
    if len(argv) > 1:
        sys.exit(f"train.py: expected flags only, got {' '.join(argv[1:])}")
    # configs/paper.py:copy_ntm trains in runs/paper_copy_ntm.
    file, _, word = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    name = "_".join(filter(None, (Path(file).stem, word)))
    logging.set_verbosity(logging.FATAL)  # orbax also raises what it logs as errors
    compilation_cache.enable_compilation_cache()
    compilation_cache.set_fast_compile_flags()
    sharding.use_all_cores()
    try:
        distributed.initialize(
            _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _DISTRIBUTED.value
        )
    except distributed.DistributedError as error:
        sys.exit(f"train.py: {error}")
    status: int | str = 0
    try:
        summary = train(_CONFIG.value, Path(_WORKDIR.value or f"runs/{name}"))
        status = 130 if summary["stop_reason"] == "SIGINT" else 0
    except (CheckpointError, ConfigError, RunError, TrainingError) as error:
        status = f"train.py: {error}"
    except KeyboardInterrupt:  # the second Ctrl-C
        status = 130
    distributed.shutdown_and_exit(status)


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
