"""Trains the model that a config describes.

    python train.py --config=configs/copy_ntm.py
    python train.py --config=configs/copy_ntm.py --config.model.num_slots=256 --workdir=runs/large
    python train.py --config=runs/copy_ntm/config.json --config.seed=1 --workdir=runs/second
    python train.py --config=configs/copy_ntm.py --init_from=runs/copy_ntm --workdir=runs/tuned

The folder configs/ has the settings of every published result. TASK is one of copy, repeat_copy,
associative_recall, ngrams, priority_sort:

    configs/TASK_ntm.py            NTM with a feed-forward controller
    configs/TASK_ntm_lstm.py       NTM with an LSTM controller
    configs/TASK_lstm.py           LSTM baseline
    configs/baselines.py:TASK_gru, configs/baselines.py:TASK_transformer
    configs/paper.py:TASK_MODEL    settings of the paper
    configs/copy_ntm_keras.py, configs/copy_lstm_keras.py    settings of flomlo/ntm_keras

The config.json of a run is a config as well. Its default run directory is runs/NAME for
NAME/config.json: without overrides, the same run is resumed.

--config.KEY=VALUE overrides a key of the config, such as --config.seed=7, --config.num_seeds=10,
--config.learning_rate=3e-4, --config.task.max_length=30 or --config.model.controller=lstm.

The same command resumes an interrupted run; with a larger --config.num_train_steps, or a larger
--config.train_steps_after_solved, it trains a finished one on. SIGINT (Ctrl-C), SIGTERM, SIGHUP and
SIGUSR1 store a checkpoint first, and exit with status 128 plus the number of the signal.
"""

import inspect
import re
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import ConfigDict, config_flags

from ntm_jax.runtime import command_line, compilation_cache, distributed, sharding
from ntm_jax.training.checkpoints import CheckpointError
from ntm_jax.training.config import ConfigError, flatten, unknown_key_message
from ntm_jax.training.loop import TrainingError, train
from ntm_jax.training.run_dir import RunError, load_config

_PACKAGE = Path(__file__).parents[1]
# In a checkout, they are next to the package.
_CONFIGS = next(d for d in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if d.is_dir())

_CONFIG = flags.DEFINE_string(
    "config",
    None,
    "Name of a config of this package, such as copy_ntm, Python file with a get_config() function, "
    "or the config.json of a run. --config.KEY=VALUE overrides a key.",
)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Run directory, created or resumed. Default: runs/NAME for NAME.py or NAME/config.json.",
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "Run directory, FILE.npz or pretrained:NAME: take the first parameters from this model, as far "
    "as names and shapes agree. The same as --config.init_from.",
)
_TRACE_EVERY_EVALS = flags.DEFINE_integer(
    "trace_every_evals",
    0,
    "Number of evaluations from one trace to the next: the memory access of an NTM in one sequence "
    "is stored in WORKDIR/traces and drawn in TensorBoard. The last evaluation has one too. 0 "
    "stores none. It may change when a run resumes.",
    0,
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


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses flags, and returns those that override keys of the config, after argv[0]."""
    try:
        script, *arguments = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
    except flags.Error as error:
        command_line.fail(f"--flagfile: {str(error).removeprefix('ERROR:: ')}")
    others, overrides, may_be_value = [script], [script], False
    for argument in arguments:
        is_override = re.match(r"--?(no)?config\.", argument)
        is_value = may_be_value and not re.match("-[-a-zA-Z?]", argument)
        (overrides if is_override or is_value else others).append(argument)
        may_be_value = bool(is_override) and "=" not in argument  # --config.KEY VALUE
    command_line.parse_flags(others)
    return overrides


def _override(config: ConfigDict, argv: Sequence[str]) -> None:
    """Sets the keys of a config that --config.KEY=VALUE overrides; exits for a wrong one."""
    known = flatten(config)
    for argument in argv[1:]:
        match = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if match and match[1] not in known:
            command_line.fail(f"--config.{unknown_key_message(match[1], known)}")
    values = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=[*argv])
    command_line.parse_flags(argv, values)


def _load_config(argument: str) -> tuple[ConfigDict, str]:
    """Returns the config of a file, and the name of its runs; exits if there is none."""
    command_line.local_path("config", argument)
    file, colon, variant = argument.partition(":")
    path = Path(file).expanduser()
    if path.parts == (file,) and not path.exists() and (_CONFIGS / f"{file}.py").exists():
        path = _CONFIGS / f"{file}.py"
    if path.is_dir():
        hint = f"; use {path / 'config.json'}" if (path / "config.json").exists() else ""
        command_line.fail(f"--config: expected a file, got the directory {file}{hint}")
    if not path.is_file():
        command_line.fail(f"--config: no such file: {file}")
    if path.name == "config.json":
        config = ConfigDict(load_config(path.parent))
        return config.lock(), path.resolve().parent.name
    try:
        get_config = runpy.run_path(str(path)).get("get_config")
        if not callable(get_config):
            command_line.fail(f"--config: expected a function get_config in {file}, got none")
        try:
            call = inspect.signature(get_config).bind(*([variant] if colon else []))
        except TypeError:
            expected = "no name after a colon" if colon else f"a name after a colon, {file}:NAME"
            command_line.fail(f"--config: expected {expected}, got {argument}")
        config = get_config(*call.args)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        message = str(error)
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines, message = [error.lineno], error.msg
        at = f":{lines[-1]}" if lines else ""
        kind = "" if type(error) in (ConfigError, LookupError) else f"{type(error).__name__}: "
        command_line.fail(f"--config: {file}{at}: {kind}{' '.join(message.split())}")
    if not isinstance(config, ConfigDict):
        got = "None" if config is None else f"a {type(config).__name__}"
        command_line.fail(f"--config: expected a ConfigDict from get_config in {file}, got {got}")
    # configs/paper.py:copy_ntm trains in runs/paper_copy_ntm.
    return config.lock(), "_".join(filter(None, (path.stem, variant)))


def _usage() -> str:
    script = command_line.script_name()
    command = f"python {script}" if script.endswith(".py") else script
    configs = sorted(path.stem for path in _CONFIGS.glob("*.py"))
    return (
        f"usage: {command} --config=NAME [--config.KEY=VALUE ...] [--workdir=...]\n"
        f"configs: {', '.join(configs)}; or a file\n"
        f"{command} --help describes all flags"
    )


def main(overrides: Sequence[str]) -> None:
    """Calls `train` with the config and the run directory."""
    if _CONFIG.value is None:
        sys.exit(_usage())
    logging.set_verbosity(logging.WARNING)
    # orbax also raises what it logs as errors.
    logging.get_absl_logger().addFilter(lambda record: record.levelname != "ERROR")
    try:
        config, name = _load_config(_CONFIG.value)
        _override(config, overrides)
        if _INIT_FROM.value is not None:
            config.init_from = _INIT_FROM.value
    except RunError as error:
        command_line.fail(f"--config: {error}")
    workdir = f"runs/{name}" if _WORKDIR.value is None else _WORKDIR.value
    path = command_line.local_path("workdir", workdir)
    compilation_cache.enable_compilation_cache()
    compilation_cache.set_fast_compile_flags()
    sharding.use_all_cores()
    try:
        distributed.initialize(
            _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _DISTRIBUTED.value
        )
        distributed.check_devices()
    except distributed.DistributedError as error:
        command_line.fail(error)
    status: int | str = 0
    try:
        summary = train(config, path, trace_every_evals=_TRACE_EVERY_EVALS.value)
        stop_reason = summary["stop_reason"]
        if stop_reason in signal.Signals.__members__:
            status = 128 + signal.Signals[stop_reason]
    except (CheckpointError, ConfigError, RunError, TrainingError) as error:
        status = f"{command_line.script_name()}: {error}"
    except KeyboardInterrupt:  # the second Ctrl-C
        status = 130
    distributed.shutdown_and_exit(status)


def run() -> None:
    """Runs the command."""
    command_line.run(main, _parse_flags, __name__)
