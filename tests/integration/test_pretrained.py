import json
import math
import shutil
import zipfile

import jax
import numpy as np
import pytest
from support.runs import flip_bit, trees_equal
from support.tiny_config import tiny_config

import ntm_jax
from experiments.export_pretrained import LIMITS
from ntm_jax import evaluation, pretrained
from ntm_jax.training import config as configs
from ntm_jax.training import model_files
from ntm_jax.training.experiment import Experiment

# Tasks whose model is solved at in-distribution sizes alone.
IN_DISTRIBUTION = ("repeat_copy",)


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_pretrained_model_is_solved(name):
    trained = pretrained.load_model(name)
    task, config = trained.task, trained.config
    in_distribution = config["task"]["name"] in IN_DISTRIBUTION
    sizes = [task.max_train_size] if in_distribution else configs.eval_sizes(config)
    results = evaluation.evaluate(
        trained.model, trained.first_params, task, sizes, num_sequences=256, seed=123
    )
    assert trained.is_solved(results)


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_card_describes_model(name):
    card, trained = pretrained.load_card(name), pretrained.load_model(name)
    config, training = card["config"], card["training"]
    assert training["num_params"] == trained.num_params
    assert training["seed"] == config["seed"]
    assert list(trained.seeds) == [config["seed"]]
    task_name = config["task"]["name"]
    if task_name in IN_DISTRIBUTION:
        assert 0 < training["learned_at_step"] <= training["step"]
        assert trained.sequences_to_solve == [None]
    else:
        assert 5000 < training["step"] - training["solved_at_step"] <= 10_000
        solved_after = training["solved_at_step"] * config["batch_size"]
        assert trained.sequences_to_solve == [solved_after]
    assert {"jax", "flax"} <= training["versions"].keys()
    assert card["command"].startswith(f"python train.py --config=configs/{name}.py --config.seed=")


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_card_has_errors_within_limits(name):
    card, task = pretrained.load_card(name), pretrained.load_model(name).task
    limits = LIMITS[card["config"]["task"]["name"]]
    stored = [limit for limit in limits if limit.error is not None]
    assert card["limits"] == [
        {**limit.size, "num_slots": limit.num_slots, task.metric: limit.error} for limit in stored
    ]
    for limit, row in zip(limits, card["measured"], strict=True):
        assert row.items() >= {**limit.size, "num_slots": limit.num_slots}.items()
        assert row["sequences"] == 256
        assert limit.error is None or row[task.metric] <= limit.error


@pytest.mark.parametrize("name", pretrained.list_pretrained())
def test_stored_config_has_current_keys(name):
    stored = json.loads((model_files.PRETRAINED / f"{name}.json").read_text())["config"]
    task, model = stored["task"]["name"], stored["model"]["name"]
    expected = configs.flatten(configs.default(task, model))
    assert configs.flatten(stored).keys() <= expected.keys()


def test_memory_can_be_enlarged():
    model, params = ntm_jax.load_pretrained("copy_ntm", num_slots=256)
    assert model.cell.num_slots == 256
    logits = model.apply({"params": params}, np.zeros((2, 5, 9), np.float32))
    assert logits.shape == (2, 5, 8)


def test_unknown_name_raises():
    expected = r"name: expected FILE.npz or one of \('associative_recall_ntm', 'copy_ntm'"
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
def test_damaged_file_raises(file, damage, tmp_path):
    directory = shutil.copytree(model_files.PRETRAINED, tmp_path / "pretrained")
    pretrained.load_pretrained(directory / "copy_ntm.npz")
    damage(directory / file)
    with pytest.raises(configs.ConfigError, match=f"{file} is damaged: ") as error:
        pretrained.load_pretrained(directory / "copy_ntm.npz")
    assert "\n" not in str(error.value)


@pytest.fixture
def saved(tmp_path):
    """Saves a small model in mine.npz, and returns its parameters and config."""
    config = tiny_config()
    config.model.memory_init = "learned"
    config.model.train_num_slots = (8, 16)
    experiment = Experiment.from_config(config)
    inputs = np.zeros((1, 1, experiment.task.input_features), np.float32)
    params = experiment.train_models[0].init(jax.random.key(0), inputs)["params"]
    card = {"config": config.to_dict(), "training": {"solved_at_step": 100, "loss": math.nan}}
    model_files.save_model(tmp_path / "mine.npz", params, card)
    return params, config.to_dict()


def test_saved_model_is_restored(saved, tmp_path):
    params, config = saved
    card = pretrained.load_card(tmp_path / "mine.npz")
    assert card["config"] == config
    assert card["training"]["loss"] is None
    trained = pretrained.load_model(tmp_path / "mine.npz")
    assert trees_equal(trained.first_params, params)
    assert jax.tree.structure(trained.first_params) == jax.tree.structure(params)
    assert trained.sequences_to_solve == [400]


def test_learned_memory_can_be_enlarged(saved, tmp_path):
    trained = pretrained.load_model(tmp_path / "mine.npz", num_slots=32)
    assert trained.first_params["initial_memory"].shape == (8, 4)
    logits = trained.model.apply({"params": trained.first_params}, np.zeros((2, 5, 3), np.float32))
    assert logits.shape == (2, 5, 2)


NAME = "cell/controller/Dense_0/bias"  # float32[8]


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (None, "none"),
        (np.zeros(9, np.float32), "float32[9]"),
        (np.zeros((8, 1), np.float32), "float32[8,1]"),
        (np.zeros(8, np.float64), "float64[8]"),
        (np.zeros(8, ">f4"), ">f4[8]"),
        (np.zeros(8, np.int32), "int32[8]"),
        (np.zeros(8, np.complex64), "complex64[8]"),
        (np.zeros(8, bool), "bool[8]"),
        (np.full(8, "0.5"), "<U3[8]"),
        (np.zeros(8, "f4,f4"), "[('f0', '<f4'), ('f1', '<f4')][8]"),
    ],
)
def test_other_array_raises(saved, tmp_path, array, got):
    arrays = dict(np.load(tmp_path / "mine.npz"))
    assert arrays.pop(NAME).shape == (8,)
    np.savez(tmp_path / "mine.npz", **arrays, **({} if array is None else {NAME: array}))
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_model(tmp_path / "mine.npz")
    assert str(error.value) == (
        f"{tmp_path}/mine.npz is damaged: {NAME}: expected float32[8], got {got}; "
        "export the model again"
    )


def test_additional_array_raises(saved, tmp_path):
    arrays = dict(np.load(tmp_path / "mine.npz"))
    np.savez(tmp_path / "mine.npz", **arrays, **{"a\nb": np.zeros(2)})
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_model(tmp_path / "mine.npz")
    message = "mine.npz is damaged: a b: expected none, got float64[2]; export the model again"
    assert str(error.value) == f"{tmp_path}/{message}"


def header(shape, dtype="<f4"):
    """Returns the header of a .npy file, of format version 1.0."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117)
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text + b"\n"


@pytest.mark.parametrize(
    ("content", "compression", "got"),
    [
        (header((10**10,)), "STORED", "0 bytes of x: float32[10000000000]"),
        (header((2,)) + bytes(10**7), "DEFLATED", "10000000 bytes of x: float32[2]"),
        (header((2,)) + bytes(8), "LZMA", "x twice, or compressed with another method than zlib"),
        (header((2,), "|O") + bytes(16), "STORED", ""),
        (header((-2,)) + bytes(8), "STORED", "8 bytes of x: float32[-2]"),
        (header(2), "STORED", "shape is not valid: 2"),
        (b"\x93NUMPY\x09\x00" + bytes(64), "STORED", "Cannot parse header: ''"),
        (b"", "STORED", "EOF: reading magic string, expected 8 bytes got 0"),
    ],
)
def test_headers_are_read_first(saved, tmp_path, content, compression, got):
    """The data are not read: in the first case, there would be 40 GB."""
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", getattr(zipfile, f"ZIP_{compression}")) as out:
        out.writestr("x.npy", content)
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_model(tmp_path / "mine.npz")
    message = "mine.npz is damaged: expected arrays in a .npz file, got: "
    if not got:
        message, got = "mine.npz is damaged: cell/", ": expected float32[8], got none"
    assert str(error.value).startswith(f"{tmp_path}/{message}")
    assert got in str(error.value)
    assert "\n" not in str(error.value)


def test_duplicate_array_raises(saved, tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "mine.npz", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr(f"{NAME}.npy", archive.read(f"{NAME}.npy"))
    with pytest.raises(configs.ConfigError, match=rf"got: {NAME} twice, or compressed"):
        pretrained.load_model(tmp_path / "mine.npz")


def test_any_flipped_bit_is_harmless_or_raises(saved, tmp_path):
    path, (params, _) = tmp_path / "mine.npz", saved
    content = path.read_bytes()
    for index in range(0, len(content), 97):
        path.write_bytes(content[:index] + bytes([content[index] ^ 16]) + content[index + 1 :])
        try:
            restored = pretrained.load_model(tmp_path / "mine.npz").first_params
        except configs.ConfigError as error:
            assert str(error).startswith(f"{path} is damaged: ")
            assert "\n" not in str(error)
        else:
            assert trees_equal(restored, params)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_not_finite_parameters_raise(saved, tmp_path, value):
    arrays = dict(np.load(tmp_path / "mine.npz"))
    arrays[NAME][3] = value
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_model(tmp_path / "mine.npz")
    message = "parameters: expected finite numbers, got NaN or infinity"
    assert str(error.value) == f"{tmp_path}/mine.npz is damaged: {message}; export the model again"


@pytest.mark.parametrize(
    ("change", "got"),
    [
        ({"training": None}, "training: expected an object, got None"),
        ({"training": [1]}, "training: expected an object, got [1]"),
        ({"config": "copy"}, "config: expected an object, got 'copy'"),
        (
            {"training": {"solved_at_step": "9"}},
            "solved_at_step: expected an integer, got '9'",
        ),
        (
            {"training": {"solved_at_step": 2.5}},
            "solved_at_step: expected an integer, got 2.5",
        ),
    ],
)
def test_mistyped_card_raises(saved, tmp_path, change, got):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_card(tmp_path / "mine.npz")
    assert str(error.value) == f"{path} is damaged: {got}; export the model again"


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"\xff", "expected a model card in JSON, got: 'utf-8' codec can't decode byte 0xff"),
        (b"[1]", "expected a model card in JSON, got a list"),
        (b"[" * 10**5, "expected a model card in JSON, got: "),
        (300 * b'{"a":' + b"1" + 300 * b"}", "expected a model card in JSON, got: values nested"),
    ],
)
def test_card_that_is_no_object_raises(saved, tmp_path, content, got):
    (tmp_path / "mine.json").write_bytes(content)
    with pytest.raises(configs.ConfigError) as error:
        pretrained.load_card(tmp_path / "mine.npz")
    assert str(error.value).startswith(f"{tmp_path}/mine.json is damaged: {got}")
    assert "\n" not in str(error.value)


def test_card_with_bom_is_read(saved, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert pretrained.load_card(tmp_path / "mine.npz")["config"] == saved[1]
