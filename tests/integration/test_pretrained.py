import json
import shutil

import jax
import numpy as np
import pytest
from support.runs import flip_bit, trees_equal

import ntm_jax
from ntm_jax import evaluation, pretrained
from ntm_jax.tasks import TASKS
from ntm_jax.training import config as configs

# Sizes and slots of the evaluations on a card.
MEASURED = {
    "copy": [*((n, 128) for n in (10, 20, 40, 80, 120)), (300, 512), (1000, 2048)],
    "associative_recall": [(2, 128), (6, 128), (12, 128), (20, 128)],
    "ngrams": [(200, 200)],
    "repeat_copy": [(length, repeats, 128) for length in (10, 20) for repeats in (10, 20)],
}
# Tasks whose model is solved at in-distribution sizes alone.
IN_DISTRIBUTION = ("repeat_copy",)


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_pretrained_model_is_solved(name):
    trained = pretrained.restore_pretrained(name)
    task, config = trained.task, trained.config
    in_distribution = config["task"]["name"] in IN_DISTRIBUTION
    sizes = [task.max_train_size] if in_distribution else configs.eval_sizes(config)
    results = evaluation.evaluate(
        trained.model, trained.first_params, task, sizes, num_sequences=64, seed=123
    )
    assert trained.is_solved(results)


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_card_describes_model(name):
    card, trained = pretrained.load_card(name), pretrained.restore_pretrained(name)
    config, training = card["config"], card["training"]
    assert training["num_params"] == trained.num_params
    assert training["seed"] == config["seed"]
    assert list(trained.seeds) == [config["seed"]]
    task_name = config["task"]["name"]
    if task_name in IN_DISTRIBUTION:
        assert 0 < training["learned_at_step"] <= training["step"]
        assert trained.sequences_to_solve == [None]
    else:
        assert training["solved_at_step"] == training["step"]
        assert trained.sequences_to_solve == [training["sequences"]]
    assert {"jax", "flax"} <= training["versions"].keys()
    assert card["command"].startswith(f"python train.py --config=configs/{name}.py --config.seed=")
    axes = TASKS[task_name].size_axes
    measured = [(*(row[axis] for axis in axes), row["num_slots"]) for row in card["measured"]]
    assert measured == MEASURED[task_name]


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_stored_config_has_current_keys(name):
    stored = json.loads((pretrained._DIRECTORY / f"{name}.json").read_text())["config"]
    task, model = stored["task"]["name"], stored["model"]["name"]
    expected = configs.flatten(configs.default(task, model))
    assert configs.flatten(stored).keys() <= expected.keys()


def test_memory_can_be_enlarged():
    model, params = ntm_jax.load_pretrained("copy_ntm", num_slots=256)
    assert model.cell.num_slots == 256
    logits = model.apply({"params": params}, np.zeros((2, 5, 9), np.float32))
    assert logits.shape == (2, 5, 8)


def test_unknown_name_raises():
    expected = r"name: expected one of \('associative_recall_ntm', 'copy_ntm'"
    with pytest.raises(configs.ConfigError, match=expected):
        ntm_jax.load_pretrained("sort")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def add_unknown_key(path):
    card = json.loads(path.read_text())
    card["config"]["model"]["num_tapes"] = 2
    path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("copy_ntm.npz", truncate),
        ("copy_ntm.npz", flip_bit),
        ("copy_ntm.npz", lambda path: path.write_bytes(b"")),
        ("copy_ntm.json", truncate),
        ("copy_ntm.json", lambda path: path.write_text("[1]")),
        ("copy_ntm.json", add_unknown_key),
        ("copy_ntm.json", lambda path: path.unlink()),
    ],
)
def test_damaged_file_raises(file, damage, tmp_path, monkeypatch):
    directory = shutil.copytree(pretrained._DIRECTORY, tmp_path / "pretrained")
    monkeypatch.setattr(pretrained, "_DIRECTORY", directory)
    pretrained.load_pretrained("copy_ntm")
    damage(directory / file)
    with pytest.raises(configs.ConfigError, match=f"{file} is damaged: ") as error:
        pretrained.load_pretrained("copy_ntm")
    assert "\n" not in str(error.value)


def test_saved_model_is_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_DIRECTORY", tmp_path)
    params = {"cell": {"dense": {"kernel": np.arange(6.0).reshape(2, 3)}}, "initial": np.ones(2)}
    config = configs.default("copy", "ntm").to_dict()
    card = {"config": config, "training": {"solved_at_step": 100}}
    pretrained.save_pretrained("mine", params, card)
    assert pretrained.list_pretrained() == ["mine"]
    assert pretrained.load_card("mine")["config"] == config
    trained = pretrained.restore_pretrained("mine")
    assert trees_equal(trained.first_params, params)
    assert jax.tree.structure(trained.first_params) == jax.tree.structure(params)
    assert trained.sequences_to_solve == [400]
