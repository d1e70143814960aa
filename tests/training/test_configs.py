import importlib

import jax
import jax.numpy as jnp
import pytest
from support.subprocess_utils import ROOT, command

from configs import paper, second_opinion
from ntm_jax import models
from ntm_jax.training import experiment, config

MANY = ("paper", "second_opinion")  # files of many experiments
FILES = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in MANY)


def named(name):
    return importlib.import_module(f"configs.{name}").get_config()


def shapes(settings):
    """Parameters of what the config trains, built but not computed."""
    config.validate(settings)
    task, optimizer = experiment.make_task(settings), experiment.make_optimizer(settings)
    inputs = jnp.zeros((1, 2, task.input_features))
    for model in experiment.make_trained_models(settings):
        params = jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]
    jax.eval_shape(optimizer.init, params)
    return params


@pytest.mark.parametrize("name", FILES)
def test_a_config_is_valid_and_of_the_task_and_model_in_its_name(name):
    settings = named(name)
    shapes(settings)
    task = settings.task.name
    assert name.startswith(f"{task}_")
    model, *_ = name.removeprefix(f"{task}_").split("_keras")
    if model == "lstm":
        assert settings.model.name in ("skip_lstm", "keras_lstm")
    else:
        controller = {"ntm": "feed_forward", "ntm_lstm": "lstm"}[model]
        assert (settings.model.name, settings.model.controller) == ("ntm", controller)


@pytest.mark.parametrize(("task", "model"), paper.ROWS)
def test_a_printed_experiment_is_valid_and_has_the_printed_heads(task, model):
    settings = paper.get_config(f"{task}_{model}")
    assert settings.task.name == task
    params, row = shapes(settings), paper.ROWS[task, model]
    if model != "lstm":
        outputs = params["cell"]["interface"]["kernel"].shape[1]
        # A key of 20, strength, gate, sharpness and 3 shifts; a write head has 20 numbers to erase
        # and 20 to add beside them.
        assert outputs == row.num_heads * (26 + 66)


@pytest.mark.parametrize("task", second_opinion.TASKS)
@pytest.mark.parametrize("model", ["gru", "transformer"])
def test_a_second_opinion_is_as_large_as_the_lstm_and_trained_as_it_is(task, model):
    settings, lstm = second_opinion.get_config(f"{task}_{model}"), named(f"{task}_lstm")
    assert settings.model.name == model
    assert 0.7 < models.num_params(shapes(settings)) / models.num_params(shapes(lstm)) < 1.1
    settings, lstm = config.flat(settings), config.flat(lstm)
    for name, value in lstm.items():
        assert name.startswith("model.") or settings[name] == value


@pytest.mark.parametrize(
    ("file", "first"),
    [("paper", "copy_ntm, repeat_copy_ntm, "), ("second_opinion", "copy_gru, copy_transformer, ")],
)
def test_an_experiment_that_there_is_not_is_one_line_with_those_there_are(file, first, tmp_path):
    done = command(tmp_path, "train.py", f"--config={ROOT / 'configs' / file}.py:sort")
    assert done.returncode == 1
    assert f"expected one of {first}" in done.stderr
    assert done.stderr.count("\n") == 1
