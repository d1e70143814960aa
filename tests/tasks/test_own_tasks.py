"""Tasks of other modules than those of the package, with bits or with symbols as targets."""

import dataclasses
import math
import sys
import types

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from support import strategies
from support.subprocess_utils import ROOT, assert_one_line_error, command

from ntm_jax import evaluation
from ntm_jax.tasks import find_task
from ntm_jax.tasks.base import Batch, CategoricalTask
from ntm_jax.tasks.copy import Copy
from ntm_jax.training import config as configs
from ntm_jax.training.experiment import Experiment

SMALL = [
    "--config.num_train_steps=4",
    "--config.log_every_steps=2",
    "--config.eval_every_steps=2",
    "--config.checkpoint_every_steps=2",
    "--config.num_eval_sequences=4",
    "--config.task.max_length=3",
    "--config.model.num_slots=8",
    "--config.model.train_num_slots=()",
    "--config.model.hidden_sizes=(8,)",
]


@dataclasses.dataclass(frozen=True)
class Symbols(CategoricalTask):
    """Each target is the input symbol."""

    size_axes = {"depth": (2, 3)}  # noqa: RUF012

    num_symbols: int = 4

    input_features = property(lambda self: self.num_symbols)
    output_features = property(lambda self: self.num_symbols)
    max_train_size = property(lambda self: (3,))

    def sample(self, key, batch_size, size_range=None):
        return self.sample_size(key, batch_size, 3)

    def sample_size(self, key, batch_size, depth):
        symbols = jax.random.randint(key, (batch_size, depth), 0, self.num_symbols)
        vectors = jax.nn.one_hot(symbols, self.num_symbols)
        return Batch(vectors, vectors, jnp.ones((batch_size, depth), bool))


class WrongTargets(Symbols):
    """Its targets are one symbol too wide."""

    output_features = property(lambda self: self.num_symbols + 1)


class WithoutMetric(Symbols):
    """Its metrics are fewer than those that training logs."""

    def metrics(self, logits, batch):
        return {self.metric: jnp.zeros(len(logits))}


@dataclasses.dataclass(frozen=True)
class WithoutDefault(Symbols):
    """A field has no default that a config could have."""

    names: list | None = None


@dataclasses.dataclass
class NotFrozen(CategoricalTask):
    """Cannot be hashed."""


@pytest.fixture
def own_tasks(monkeypatch):
    """Makes the classes above importable from the module own_tasks."""
    module = types.ModuleType("own_tasks")
    for task in (Symbols, WrongTargets, WithoutDefault, WithoutMetric, NotFrozen):
        setattr(module, task.__name__, task)
    module.number = 3
    monkeypatch.setitem(sys.modules, "own_tasks", module)


def test_config_has_fields_and_sizes_of_task(own_tasks):
    config = configs.default("own_tasks:Symbols")
    assert config.task.to_dict() == {"name": "own_tasks:Symbols", "num_symbols": 4}
    assert config.eval_depths == (2, 3)
    config.task.num_symbols = 6
    assert Experiment.from_config(config).task == Symbols(num_symbols=6)
    assert configs.from_dict(config.to_dict()) == config.to_dict()
    assert find_task("copy") is Copy


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("parity", r"expected one of \('copy', .*\) or MODULE:CLASS, got 'parity'"),
        ("own_tasks:", "or MODULE:CLASS, got 'own_tasks:'"),
        (":Symbols", "or MODULE:CLASS, got ':Symbols'"),
        (3, "expected a string, got 3"),
        ({"a": ["b:c\n", "d"]}, "expected a string, got {'a':"),
        ("own_\ntasks:Symbols", r"cannot import 'own_\\ntasks:Symbols': ModuleNotFoundError: No"),
        ("no_such_module:Task", "cannot import 'no_such_module:Task': ModuleNotFoundError: No mod"),
        ("..task:Task", "cannot import '..task:Task': TypeError: "),
        (
            "own_tasks:Symbol",
            "cannot import 'own_tasks:Symbol': AttributeError: .* has no attribute 'Symbol'",
        ),
        ("own_tasks:number", "expected a subclass of Task, got 'own_tasks:number'"),
        ("collections:Counter", "expected a subclass of Task, got 'collections:Counter'"),
        ("own_tasks:NotFrozen", "expected a frozen dataclass, got 'own_tasks:NotFrozen'"),
        ("ntm_jax.tasks.base:Task", "expected a frozen dataclass, got 'ntm_jax.tasks.base:Task'"),
        ("own_tasks:WithoutDefault", "expected a number, string or tuple as default of names"),
    ],
)
def test_invalid_task_name_raises(own_tasks, name, message):
    with pytest.raises(configs.ConfigError, match=f"^task.name: .*{message}") as raised:
        configs.default(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WrongTargets", r"targets \(2, 3, 5\) for batch size 2, got \(2, 3, 4\)"),
        ("WithoutMetric", r"bits_per_sequence among the metrics, got \('symbol_errors_per_seq"),
    ],
)
def test_wrong_arrays_of_a_task_raise(own_tasks, name, message):
    config = configs.default(f"own_tasks:{name}")
    with pytest.raises(configs.ConfigError, match=f"^task.name: expected {message}"):
        Experiment.from_config(config)


@hypothesis.given(st.data())
def test_symbol_metrics_match_reference(data):
    num_examples, num_steps, num_symbols = data.draw(st.sampled_from([(1, 1, 2), (2, 3, 4)]))
    logits = data.draw(strategies.reals(num_examples, num_steps, num_symbols))
    mask = data.draw(strategies.units(num_examples, num_steps)) > 0.5
    mask[:, 0] = True
    symbols = np.floor(data.draw(strategies.units(num_examples, num_steps)) * (num_symbols - 1))
    symbols = symbols.astype(int)
    batch = Batch(jnp.asarray(logits), jax.nn.one_hot(symbols, num_symbols), jnp.asarray(mask))
    task = Symbols(num_symbols)
    metrics = jax.jit(task.metrics)(logits, batch)
    nats, errors = np.zeros(mask.shape), np.zeros(mask.shape)
    for index in np.ndindex(*mask.shape):
        values = logits[index].astype(float)
        nats[index] = math.log(sum(np.exp(values))) - values[symbols[index]]
        errors[index] = np.argmax(values) != symbols[index]
    num_errors, num_scored = (errors * mask).sum(axis=1), mask.sum(axis=1)
    expected = {
        "symbol_errors_per_sequence": num_errors,
        "bits_per_sequence": (nats * mask).sum(axis=1) / math.log(2),
        "excess_bits_per_sequence": (nats * mask).sum(axis=1) / math.log(2),
        "symbol_accuracy": 1 - num_errors / num_scored,
        "perfect_sequences": num_errors == 0,
    }
    assert set(metrics) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(metrics[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    loss = (nats * mask).sum() / mask.sum()
    np.testing.assert_allclose(task.loss(logits, batch), loss, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nan_at", [0, 1])
def test_nan_logit_is_a_symbol_error(nan_at):
    logits = jnp.array([[[2.0, -2.0]]]).at[0, 0, nan_at].set(jnp.nan)
    assert Symbols(2).errors(logits, jnp.array([[[1.0, 0.0]]])).item() is True


def test_probability_above_half_is_the_prediction():
    logits = jnp.asarray(strategies.normal(0, 50, 5))
    probabilities = Symbols(5).probabilities(logits)
    np.testing.assert_array_equal(probabilities > 0.5, jax.nn.one_hot(logits.argmax(axis=1), 5))
    # Against one other symbol, it is the probability.
    two = logits[:, :2]
    np.testing.assert_allclose(Symbols(2).probabilities(two), jax.nn.softmax(two), rtol=1e-5)


class OwnMetric(Symbols):
    """Its loss and its metrics are its own."""

    metric = "squared_error"

    def loss(self, logits, batch):
        return jnp.mean((logits - batch.targets) ** 2)

    def metrics(self, logits, batch):
        squares = jnp.mean((logits - batch.targets) ** 2, axis=(1, 2))
        return {"squared_error": squares, "bits_per_sequence": 2.0 * squares}


class Half(nn.Module):
    """Halves its inputs."""

    def __call__(self, inputs):
        return 0.5 * inputs


def test_own_metrics_are_evaluated():
    (result,) = evaluation.evaluate(Half(), {}, OwnMetric(), [5], 7)
    assert list(result.metrics) == ["squared_error", "bits_per_sequence"]
    assert result.metrics == {"squared_error": 0.0625, "bits_per_sequence": 0.125}
    assert (result.squared_error, result.size, result.sequences) == (0.0625, (5,), 7)
    with pytest.raises(AttributeError, match="bit_errors: expected a field of Result or a metric"):
        _ = result.bit_errors


def test_example_runs_in_other_directory(tmp_path):
    text = (ROOT / "examples/own_task.py").read_text()
    (tmp_path / "mine.py").write_text(text.replace("examples.own_task", "mine"))
    for line in ("completed all training steps", "resumed at step 4"):
        done = command(tmp_path, "train.py", "--config=mine.py", *SMALL)
        assert (done.returncode, done.stderr) == (0, "")
        assert line in done.stdout
    evaluate = ("eval.py", "--sequences=4", "--sizes=3,5")
    done = command(tmp_path, *evaluate, "--per_step", "--plots=plots", "--animate=steps.gif")
    assert done.returncode == 0, done.stderr
    assert "mine:Reverse, ntm" in done.stdout
    assert "length 5, symbol accuracy by time step" in done.stdout
    assert "accuracy by bit" not in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[3:5]] == ["3", "5"]
    assert len([*(tmp_path / "plots").glob("mine_step4_*.png")]) == 4
    for flags, message in (
        (["--html=page.html"], "--html: expected a task whose targets are bits, got mine:Reverse"),
        (["--sizes=3x4"], "--sizes: size: expected a number for each of ('length',), got (3, 4)"),
        (["--lengths=3"], "--sizes: cannot be combined with --lengths"),
        (["--sizes=0"], "--sizes: length: expected at least 1, got 0"),
        (["--sizes=long"], "--sizes: expected numbers such as 10,20 or 10x5, got 'long'"),
    ):
        assert_one_line_error(command(tmp_path, *evaluate, *flags), "eval.py", message)
    (tmp_path / "mine.py").unlink()
    done = command(tmp_path, *evaluate)
    assert_one_line_error(done, "eval.py", "task.name: cannot import 'mine:Reverse'")
