import jax
import numpy as np
import pytest

from ntm_jax.evaluation import evaluate_batch
from ntm_jax.models import NTM
from ntm_jax.pretrained import load_model
from ntm_jax.tasks.base import format_size, parse_size
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.sequences import ScoredSequences, Sequences, load_sequences

SHAPES = {"inputs": (3, 4, 2), "targets": (3, 4, 5), "mask": (3, 4)}


def arrays(**changes):
    return {name: np.ones(shape) for name, shape in SHAPES.items()} | changes


@pytest.fixture
def saved(tmp_path):
    """Writes sequences of the copy task, and returns the path and the batch."""
    batch = jax.tree.map(np.asarray, Copy().sample(jax.random.key(0), 5))
    np.savez(tmp_path / "copy.npz", **batch._asdict())
    return tmp_path / "copy.npz", batch


def test_file_has_the_sequences(saved):
    path, batch = saved
    jax.tree.map(np.testing.assert_array_equal, load_sequences(path), batch)
    task = Sequences(str(path))
    assert (task.input_features, task.output_features) == (9, 8)
    assert task.is_in_distribution(())


def test_each_drawn_sequence_is_in_the_file(saved):
    path, batch = saved
    drawn = Sequences(str(path)).sample_size(jax.random.key(1), 40)
    rows = [array.reshape(len(array), -1) for array in map(np.asarray, drawn)]
    expected = [array.reshape(len(array), -1) for array in batch]
    found = [tuple(map(tuple, row)) for row in zip(*rows, strict=True)]
    assert set(found) == {tuple(map(tuple, row)) for row in zip(*expected, strict=True)}


def test_scores_are_those_of_the_other_task(saved):
    path, batch = saved
    task = ScoredSequences(str(path), Copy())
    logits = jax.random.normal(jax.random.key(2), batch.targets.shape)
    metrics, expected = task.metrics(logits, batch), Copy().metrics(logits, batch)
    jax.tree.map(np.testing.assert_array_equal, metrics, expected)
    assert (task.metric, task.thresholds) == (Copy().metric, Copy().thresholds)


def test_each_sequence_is_scored_once(saved, monkeypatch):
    _, batch = saved
    trained = load_model("copy_ntm")
    assert isinstance(trained.model, NTM)
    logits = trained.model.apply({"params": trained.first_params}, batch.inputs)
    wrong = ((np.asarray(logits) > 0) != (batch.targets > 0.5)) & batch.mask[..., None]
    monkeypatch.setattr("ntm_jax.evaluation.scoring._MAX_STEPS_PER_CALL", 2 * 41)  # three calls
    batch = batch._replace(targets=1 - batch.targets)  # every bit is wrong, so that errors differ
    result = evaluate_batch(trained.model, trained.first_params, trained.task, batch)
    assert result.sequences == 5
    assert wrong.sum() == 0
    assert result.bit_errors_per_sequence == 8 * batch.mask.sum() / 5


def test_name_of_the_only_size_round_trips():
    assert format_size(()) == "all"
    assert parse_size("all") == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": np.ones((3, 5))}, r"expected mask \[S, T\], of the first axes of inputs, got"),
        ({"targets": np.ones((3, 4))}, r"expected targets \[S, T, O\], of the first axes"),
        ({"inputs": np.ones((0, 4, 2))}, r"expected inputs \[S, T, I\], of the first axes"),
        ({"inputs": np.full((3, 4, 2), np.nan)}, "expected finite numbers in inputs, got float64"),
        ({"inputs": np.full((3, 4, 2), "a")}, "expected finite numbers in inputs, got <U1"),
        ({"targets": np.full((3, 4, 5), 2)}, "expected targets from 0 to 1, got 2 to 2"),
        ({"mask": np.zeros((3, 4))}, "expected a mask of 0 and 1, with a scored step in each"),
        ({"mask": np.full((3, 4), 0.5)}, "expected a mask of 0 and 1, with a scored step in each"),
        ({"mask": np.full((3, 4), None)}, "expected a .npz file with the arrays inputs, targets"),
    ],
)
def test_other_arrays_raise(tmp_path, changes, message):
    path = tmp_path / "file.npz"
    np.savez(path, **arrays(**changes))
    with pytest.raises(ValueError, match=f"^{path}: {message}") as error:
        load_sequences(path)
    assert "\n" not in str(error.value)


def test_other_features_raise(tmp_path):
    np.savez(tmp_path / "file.npz", **arrays())
    with pytest.raises(ValueError, match="expected 9 input_features, got 2"):
        ScoredSequences(str(tmp_path / "file.npz"), Copy())


def test_missing_file_raises():
    with pytest.raises(ValueError, match=r"^task.path: none.npz: expected a .npz file with"):
        Sequences("none.npz")
