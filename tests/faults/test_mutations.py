"""Run directories and model files with drawn changes: right, or refused in one line."""

import json
import shutil
import zipfile

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from support.runs import stored_checkpoint, trees_equal
from support.tiny_config import tiny_config

from ntm_jax.training import loop, model_files
from ntm_jax.training.checkpoints import CheckpointError, Checkpoints
from ntm_jax.training.config import ConfigError
from ntm_jax.training.restore import load_run
from ntm_jax.training.run_dir import RunError

ERRORS = (CheckpointError, ConfigError, RunError)
VALUES = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        7,
        2.5,
        10**30,
        float("nan"),
        float("inf"),
        "",
        "x",
        [],
        {},
        [[]],
        ["a"],
        {"members": [1.0]},
        {"a": {"b": []}},
        "\udcff",
        "é\n",
    ]
)
JSON_FILES = ("config.json", "metrics.jsonl", "checksums.json", "model.json")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run directory, and the same parameters as a pretrained model."""
    directory = tmp_path_factory.mktemp("files")
    config = tiny_config("per_step_dense")
    loop.train(config, directory / "run")
    card = {"config": config.to_dict(), "training": {"solved_at_step": 8}, "measured": []}
    (directory / "models").mkdir()
    path = directory / "models/model.npz"
    model_files.save_model(path, load_run(directory / "run").first_params, card)
    return directory


def change_json(value, draw):
    """Returns JSON with one value replaced, removed or added, anywhere in it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 3)) == 0:
        return draw(VALUES)
    value = dict(value) if isinstance(value, dict) else list(value)
    key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    if draw(st.integers(0, 4)) == 0:
        del value[key]
    else:
        value[key] = change_json(value[key], draw)
    return value


def change_arrays(path, draw):
    """Changes one array of a .npz file."""
    with path.open("rb") as file:  # np.load leaves a damaged file open
        arrays = dict(np.load(file))
    name = draw(st.sampled_from(sorted(arrays)))
    array = arrays.pop(name)
    changed = array.copy()
    changed.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from([np.nan, np.inf]))
    options = [changed, array.astype(int), array + 0j, array.astype("f2"), array.astype(str)]
    options += [array[..., None], array[:1], np.zeros(0), None, array.astype(object)]
    option = options[draw(st.integers(0, len(options) - 1))]
    if option is not None:
        arrays[name if draw(st.booleans()) else f"{name}/x"] = option
    np.savez(path, **arrays)


def change_bytes(path, draw):
    """Truncates, empties, overwrites or prefixes a file, or replaces it by nothing or a folder."""
    content = bytearray(path.read_bytes())
    position = draw(st.integers(0, max(len(content) - 1, 0)))
    kind = draw(st.sampled_from(["cut", "empty", "flip", "garbage", "prefix", "folder", "none"]))
    if kind == "cut":
        content = content[:position]
    elif kind == "empty":
        content = bytearray()
    elif kind == "flip" and content:
        content[position] ^= 1 << draw(st.integers(0, 7))
    elif kind == "garbage":
        content[position : position + 20] = draw(st.binary(max_size=40))
    elif kind == "prefix":
        content = bytearray(b"\xef\xbb\xbf\n") + content
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "none":
        path.write_bytes(content)


def mutate(directory, draw):
    """Changes one file."""
    names = (*JSON_FILES, "model.npz", "state/**/*")
    paths = directory.rglob(draw(st.sampled_from(names)))
    path = draw(st.sampled_from(sorted(p for p in paths if p.is_file()) or [None]))
    if path is None:
        return None
    try:
        if path.suffix == ".npz" and draw(st.booleans()):
            return change_arrays(path, draw)
        if path.name in JSON_FILES and draw(st.integers(0, 2)):
            lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
            index = draw(st.integers(0, max(len(lines) - 1, 0)))
            lines[index] = json.dumps(change_json(json.loads(lines[index]), draw))
            path.write_text("\n".join(lines) + "\n")
            return None
    except (EOFError, IndexError, OSError, ValueError, zipfile.BadZipFile):
        pass  # an earlier change made it unreadable
    return change_bytes(path, draw)


def assert_right_or_refused(files, tmp_path, expected, data):
    directory = tmp_path / "changed"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(files, directory)
    for _ in range(data.draw(st.integers(1, 2))):
        mutate(directory, data.draw)

    path = directory / "models/model.npz"
    for load in (lambda: load_run(directory / "run"), lambda: model_files.load_model(path)):
        try:
            trained = load()
        except ERRORS as error:
            message = str(error)
            assert "\n" not in message.strip(), message
            assert str(directory) in message, message
            continue
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.params))
        assert any(trees_equal(trained.params, params) for params in expected)


def test_changed_files_are_right_or_refused(files, tmp_path):
    expected = [stored_checkpoint(files / "run")[1]["params"]]
    expected.append(Checkpoints(files / "run").restore(8, expected[0]).params)

    @hypothesis.settings(max_examples=300, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.data())
    def check(data):
        assert_right_or_refused(files, tmp_path, expected, data)

    check()
