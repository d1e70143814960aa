import importlib

import jax
import jax.numpy as jnp
import pytest
from support.subprocess_utils import ROOT, command

from configs import baselines, chomsky, paper
from ntm_jax import models
from ntm_jax.training.config import flatten
from ntm_jax.training.experiment import Experiment

# Files of one config each; the others have several.
SEVERAL = {"baselines", "chomsky", "paper"}
NAMES = sorted({path.stem for path in (ROOT / "configs").glob("*.py")} - SEVERAL)


def load(name):
    return importlib.import_module(f"configs.{name}").get_config()


def param_shapes(config):
    """Returns the parameter shapes of a config, after building everything that it describes."""
    experiment = Experiment.from_config(config)
    inputs = jnp.zeros((1, 2, experiment.task.input_features))
    for model in experiment.train_models:
        params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    jax.eval_shape(experiment.optimizer.init, params)
    return params


@pytest.mark.parametrize("name", NAMES)
def test_file_name_is_task_and_model(name):
    config = load(name)
    param_shapes(config)
    task = config.task.name
    assert name.startswith(f"{task}_")
    model, *_ = name.removeprefix(f"{task}_").split("_keras")
    if model == "lstm":
        assert config.model.name in ("lstm_skip", "keras_lstm")
    else:
        controller = {"ntm": "feed_forward", "ntm_lstm": "lstm"}[model]
        assert (config.model.name, config.model.controller) == ("ntm", controller)


@pytest.mark.parametrize("task", chomsky.TASKS)
def test_chomsky_config_of_every_task(task):
    config = chomsky.get_config(task)
    param_shapes(config)
    assert config.task.name == f"experiments.chomsky_tasks:{chomsky.TASKS[task]}"
    assert (config.task.min_length, config.task.max_length) == (1, 40)


def test_unknown_chomsky_task_raises():
    with pytest.raises(LookupError, match="expected one of .*, got 'sorting'"):
        chomsky.get_config("sorting")


@pytest.mark.parametrize(("task", "model"), paper.ROWS)
def test_paper_configs_have_printed_heads(task, model):
    config = paper.get_config(f"{task}_{model}")
    assert config.task.name == task
    params, row = param_shapes(config), paper.ROWS[task, model]
    if model != "lstm":
        interface_size = params["cell"]["interface"]["kernel"].shape[1]
        # A read head has a key of 20, strength, gate, sharpness and 3 shifts; a write head also an
        # erase vector and an add vector of 20.
        assert interface_size == row.num_heads * (26 + 66)


@pytest.mark.parametrize("task", baselines.TASKS)
@pytest.mark.parametrize("model", ["gru", "transformer"])
def test_baselines_resemble_lstm(task, model):
    config, lstm = baselines.get_config(f"{task}_{model}"), load(f"{task}_lstm")
    assert config.model.name == model
    ratio = models.num_params(param_shapes(config)) / models.num_params(param_shapes(lstm))
    assert 0.7 < ratio < 1.1
    settings = flatten(config)
    for key, value in flatten(lstm).items():
        assert key.startswith("model.") or settings[key] == value


@pytest.mark.parametrize(
    ("file", "first"),
    [("paper", "copy_ntm, repeat_copy_ntm, "), ("baselines", "copy_gru, copy_transformer, ")],
)
def test_unknown_experiment_lists_experiments(file, first, tmp_path):
    done = command(tmp_path, "train.py", f"--config={ROOT / 'configs' / file}.py:sort")
    assert done.returncode == 1
    assert f"expected one of {first}" in done.stderr
    assert done.stderr.count("\n") == 1
