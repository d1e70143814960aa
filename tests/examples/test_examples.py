"""Every script in examples/, with few steps."""

import ast
import subprocess
import sys
from types import ModuleType
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from support.examples import EXAMPLES, load_example

from ntm_jax import NTM, NTMState, load_pretrained
from ntm_jax.models import num_params
from ntm_jax.tasks.copy import Copy

pytestmark = pytest.mark.usefixtures("optax_promotion")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_few_lines_concern_the_package(path):
    tree = ast.parse(path.read_text())
    imports = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("ntm_jax")
    ]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    # What is built from the package, such as CELL, counts too.
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.ClassDef) and uses(node, names):
            targets = node.targets if isinstance(node, ast.Assign) else [node]
            names |= {getattr(target, "id", getattr(target, "name", None)) for target in targets}
    lines = {line for node in imports for line in range(node.lineno, node.end_lineno + 1)}
    lines |= {node.lineno for node in ast.walk(tree) if getattr(node, "id", None) in names}
    assert bool(lines) == (path.stem != "run_exported_step")
    assert len(lines) <= 40


def uses(node: ast.AST, names: set[str]) -> bool:
    return any(getattr(child, "id", None) in names for child in ast.walk(node))


def shrink_copy(monkeypatch, module: ModuleType) -> Copy:
    task = Copy(min_length=1, max_length=2)
    monkeypatch.setattr(module, "TASK", task)
    monkeypatch.setattr(module, "NUM_SLOTS", (8, 8))  # one program to compile in place of two
    return task


def assert_learns(losses: list[float]) -> None:
    assert np.isclose(losses[0], np.log(2), atol=0.05)  # chance
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.005


def test_bare_jax_trains(monkeypatch, capsys):
    example = load_example("bare_jax")
    shrink_copy(monkeypatch, example)
    losses, errors = example.main(steps=60)
    assert_learns(losses)
    assert 0 < errors < 320
    assert "of 320 bits wrong" in capsys.readouterr().out


@pytest.mark.slow
def test_bare_jax_equals_ntm():
    example = load_example("bare_jax")
    init, apply = example.init_apply(num_slots=16)
    params = init(jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (3, 5, 9))
    model = NTM(example.CELL.clone(num_slots=16))

    def ntm_apply(params, inputs):
        return model.apply({"params": {"cell": params}}, inputs)

    def outputs_and_grads(apply):
        grads = jax.grad(lambda params: jnp.sum(apply(params, inputs) ** 2))(params)
        return apply(params, inputs), grads

    for ours, theirs in zip(
        *map(jax.tree.leaves, map(outputs_and_grads, (apply, ntm_apply))), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_equinox_trains(monkeypatch):
    example = load_example("equinox_rnn")
    shrink_copy(monkeypatch, example)
    losses, errors = example.main(steps=60)
    assert_learns(losses)
    assert 0 < errors < 320


def test_equinox_equals_ntm():
    example = load_example("equinox_rnn")
    cell = load_example("bare_jax").CELL
    model = example.RNN(cell, 9, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (5, 9))
    expected = NTM(cell.clone(num_slots=16)).apply({"params": {"cell": model.params}}, inputs)
    np.testing.assert_allclose(model(inputs, 16), expected, atol=1e-6)


def test_nnx_trains(monkeypatch, capsys):
    example = load_example("nnx")
    shrink_copy(monkeypatch, example)
    losses, errors = example.main(steps=60)
    assert_learns(losses)
    assert 0 < errors < 320
    inputs = jnp.zeros((1, 1, 9))
    params = example.ntm(22).init(jax.random.key(0), inputs)["params"]
    assert f"{num_params(params)} parameters" in capsys.readouterr().out


def test_nnx_equals_linen():
    example = load_example("nnx")
    inputs = jax.random.normal(jax.random.key(1), (3, 5, 9))
    model = nnx.bridge.ToNNX(example.ntm(16), rngs=nnx.Rngs(0)).lazy_init(inputs)
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    expected = example.ntm(16).apply({"params": params}, inputs)
    np.testing.assert_allclose(model(inputs), expected, atol=1e-6)


def test_digits_beat_chance(capsys):
    accuracies = load_example("digits_linen").main(epochs=2)
    assert accuracies.keys() == {"LSTM", "NTM"}
    assert min(accuracies.values()) > 0.4  # chance is 0.1
    assert capsys.readouterr().out.count("test accuracy") == 2


def test_exported_step_runs_without_ntm_jax(tmp_path):
    # Another process writes the file that a process with neither ntm_jax nor Flax runs.
    example, path = load_example("export_step"), tmp_path / "copy_step.npz"
    assert example.main(str(path)) == path.stat().st_size
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import runpy, sys, numpy\n"
            "logits = runpy.run_path(sys.argv[1])['main'](sys.argv[2], 2, 5)\n"
            "assert not {'ntm_jax', 'flax'} & set(sys.modules)\n"
            "numpy.save(sys.argv[3], logits)",
            EXAMPLES / "run_exported_step.py",
            path,
            tmp_path / "logits.npy",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("0.00 of 40 bits wrong")

    bits = np.random.default_rng(0).integers(0, 2, (5, 2, 8))
    inputs = np.zeros((11, 2, 9), np.float32)
    inputs[:5, :, :8], inputs[5, :, 8] = bits, 1.0
    model, params = load_pretrained(example.NAME, num_slots=example.NUM_SLOTS)
    expected = model.apply({"params": params}, inputs.swapaxes(0, 1)).swapaxes(0, 1)[6:]
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-4)


def test_tmaze_is_learned(capsys):
    rates = load_example("streaming_tmaze").main(steps=100, max_length=2)
    assert rates[5] > 0.9  # 0.5 without memory
    assert "corridor length" in capsys.readouterr().out


@pytest.mark.slow
def test_tmaze_needs_memory(monkeypatch):
    example = load_example("streaming_tmaze")
    select = example.select_carry

    def reset_memory_always(done, carry, other):
        return carry if isinstance(carry, NTMState) else select(done, carry, other)

    monkeypatch.setattr(example, "select_carry", reset_memory_always)
    rates = example.main(steps=100, max_length=2)
    assert all(0.4 < rate < 0.6 for rate in rates.values())


def test_tmaze_rewards_the_side_of_the_cue():
    example = load_example("streaming_tmaze")
    maze = example.Maze(*(jnp.array(values) for values in ([0, 1, 1], [2, 2, 2], [2, 2, 1])))
    expected = [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]]
    np.testing.assert_array_equal(example.observe(maze), expected)
    _, reward, done = example.act(maze, jnp.array([1, 1, 1]))
    np.testing.assert_array_equal(reward, np.float32([1.0, -1.0, -0.1]))
    np.testing.assert_array_equal(done, [True, True, False])


def test_tmaze_resets_memory_at_episode_end():
    example = load_example("streaming_tmaze")
    lengths, initial = jnp.array([1, 1]), example.initial_carry()
    params = example.CELL.init(jax.random.key(0), initial, jnp.zeros((16, 4)))["params"]
    state = (example.new_mazes(jax.random.key(1), lengths), initial)
    (maze, carry), steps = jax.jit(example.rollout)(params, state, jax.random.key(2), lengths)
    done = np.asarray(steps["done"][-1])
    assert 0 < done.sum() < len(done)
    np.testing.assert_array_equal(maze.position[done], 0)
    changed = np.any(np.asarray(carry.memory != initial.memory), axis=(1, 2))
    np.testing.assert_array_equal(changed, ~done)


def test_wandb_gets_metrics(monkeypatch, tmp_path):
    logged, run = [], mock.MagicMock()
    run.__enter__.return_value.log = lambda metrics, step: logged.append((step, metrics))
    wandb = mock.Mock(init=mock.Mock(return_value=run))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    steps = {"num_train_steps": 4, "log_every_steps": 2, "eval_every_steps": 4}
    sizes = {"eval_lengths": (2,), "num_eval_sequences": 2, "checkpoint_every_steps": 4}
    load_example("wandb_tracking").main(tmp_path / "run", **steps, **sizes)
    assert wandb.init.call_args.kwargs["config"]["num_train_steps"] == 4
    assert [step for step, _ in logged] == [2, 4, 4]
    assert np.isfinite([metrics["training/loss"] for _, metrics in logged[:2]]).all()
    assert "evaluation/bit_errors_per_sequence/2" in logged[2][1]
