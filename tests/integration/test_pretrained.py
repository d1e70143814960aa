import json
import shutil

import jax
import numpy as np
import pytest

import ntm_jax
from ntm_jax.training import config as configs
from ntm_jax import models, pretrained
from ntm_jax.evaluation import scoring
from ntm_jax.tasks import TASKS
from ntm_jax.training.restore import load_pretrained

# Sizes and slots of the evaluations on a card.
MEASURED = {
    "copy": [*((n, 128) for n in (10, 20, 40, 80, 120)), (300, 512), (1000, 2048)],
    "associative_recall": [(2, 128), (6, 128), (12, 128), (20, 128)],
    "ngrams": [(200, 200)],
    "repeat_copy": [(length, repeats, 128) for length in (10, 20) for repeats in (10, 20)],
}
# No machine counts as far as would be solved: it is learned, which is right at the trained size.
LEARNED = ("repeat_copy",)


@pytest.mark.parametrize("name", pretrained.names())
def test_a_machine_that_ships_is_solved(name):
    trained = load_pretrained(name)
    learned = trained.config.task.name in LEARNED
    results = scoring.evaluate(
        trained.model,
        trained.params,
        trained.task,
        [trained.task.trained_size] if learned else configs.eval_sizes(trained.config),
        num_sequences=64,
        seed=123,
    )
    assert trained.solved(results)


@pytest.mark.parametrize("name", pretrained.names())
def test_its_card_tells_what_it_is(name):
    config, params, card, _ = pretrained.read(name)
    assert card["training"]["num_params"] == models.num_params(params)
    if config.task.name in LEARNED:
        assert 0 < card["training"]["learned_at_step"] <= card["training"]["step"]
    else:
        assert card["training"]["solved_at_step"] == card["training"]["step"]
    assert card["training"]["seed"] == card["config"]["seed"]
    assert {"jax", "flax"} <= card["training"]["versions"].keys()
    assert card["command"].startswith(f"python train.py --config=configs/{name}.py --config.seed=")
    axes = TASKS[config.task.name].axes
    measured = [(*(one[axis] for axis in axes), one["slots"]) for one in card["measured"]]
    assert measured == MEASURED[config.task.name]


def test_its_memory_can_be_enlarged():
    model, params = ntm_jax.load_pretrained("copy_ntm", num_slots=256)
    assert model.cell.num_slots == 256
    logits = model.apply({"params": params}, np.zeros((2, 5, 9), np.float32))
    assert logits.shape == (2, 5, 8)


def test_an_unknown_machine_is_one_line_with_those_there_are():
    with pytest.raises(
        configs.ConfigError,
        match=r"pretrained: expected one of \('associative_recall_ntm', 'copy_ntm'",
    ):
        ntm_jax.load_pretrained("sort")


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _add_setting(path):
    card = json.loads(path.read_text())
    card["config"]["model"]["num_tapes"] = 2
    path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("copy_ntm.npz", _truncate),
        ("copy_ntm.npz", _flip),
        ("copy_ntm.npz", lambda path: path.write_bytes(b"")),
        ("copy_ntm.json", _truncate),
        ("copy_ntm.json", lambda path: path.write_text("[1]")),
        ("copy_ntm.json", _add_setting),
        ("copy_ntm.json", lambda path: path.unlink()),
    ],
)
def test_a_damaged_machine_is_one_line_with_its_file(name, damage, tmp_path, monkeypatch):
    folder = shutil.copytree(pretrained._folder(), tmp_path / "machines")
    monkeypatch.setattr(pretrained, "_folder", lambda: folder)
    pretrained.read("copy_ntm")
    damage(folder / name)
    said = f"{name}: expected a machine as it ships, got a file that is not: "
    with pytest.raises(configs.ConfigError, match=said) as error:
        pretrained.read("copy_ntm")
    assert "\n" not in str(error.value)


def test_what_is_written_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_folder", lambda: tmp_path)
    params = {"cell": {"dense": {"kernel": np.arange(6.0).reshape(2, 3)}}, "start": np.ones(2)}
    pretrained.write("mine", params, {"config": configs.default("copy", "ntm").to_dict()})
    assert pretrained.names() == ["mine"]
    machine = pretrained.read("mine")
    jax.tree.map(np.testing.assert_array_equal, machine.params, params)
    assert machine.config == configs.default("copy", "ntm")
