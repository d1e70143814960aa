import chex
import numpy as np
import pytest
from support import reference
from support.traces import random_example

from ntm_jax.evaluation import traces
from ntm_jax.pretrained import load_model
from ntm_jax.tasks.copy import Copy


def test_entropy_of_one_slot_and_of_all():
    weights = np.stack([np.eye(8)[3], np.full(8, 1 / 8), [0.5, 0.25, 0.25, 0, 0, 0, 0, 0]])
    np.testing.assert_allclose(traces.entropy_bits(weights), [0.0, 3.0, 1.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "position"),
    [
        ({5: 1.0}, 5.0),
        ({2: 0.5, 3: 0.5}, 2.5),
        ({7: 0.5, 0: 0.5}, 7.5),
        ({7: 0.25, 0: 0.5, 1: 0.25}, 0.0),
    ],
)
def test_position_is_circular(weights, position):
    weighting = np.zeros(8, np.float32)
    weighting[list(weights)] = list(weights.values())
    distance = (traces.circular_mean(weighting) - position + 4) % 8 - 4
    assert abs(distance) < 1e-5


@pytest.mark.parametrize("kind", ["read", "write"])
def test_analysis_matches_the_equations(kind):
    example = random_example()
    analysis = traces.analyze_heads(example)[kind]
    heads = getattr(example.steps.interface, kind)
    weights = getattr(example.steps, f"{kind}_weights")
    previous = getattr(example.initial, f"{kind}_weights")
    memory = example.initial.memory
    for step in range(len(weights)):
        if kind == "read":
            memory = example.steps.memory[step]
        for head in range(weights.shape[1]):
            key, beta, gate, shift, gamma = (leaf[step, head] for leaf in heads)
            content = reference.content_weights(memory, key, beta)
            np.testing.assert_allclose(analysis.content_weights[step, head], content, rtol=1e-5)
            shifted = reference.shift(reference.interpolate(content, previous[head], gate), shift)
            part = reference.shift(gate * content, shift) / shifted
            final = reference.sharpen(shifted, gamma)
            np.testing.assert_allclose(weights[step, head], final, rtol=1e-5, atol=1e-7)
            share = analysis.content_share[step, head]
            np.testing.assert_allclose(share, np.sum(final * part), rtol=1e-5)
        previous, memory = weights[step], example.steps.memory[step]


def test_movement_crosses_slot_0():
    example = random_example()
    path = [0, 5, 4, 5, 0, 1]
    rows = np.repeat(np.eye(6, dtype=np.float32)[path][:, None], 2, axis=1)
    steps = example.steps._replace(read_weights=rows[1:])
    initial = example.initial._replace(read_weights=rows[0])
    analysis = traces.analyze_heads(example._replace(steps=steps, initial=initial))["read"]
    np.testing.assert_allclose(analysis.movement, np.array([[-1, -1, 1, 1, 1]] * 2).T, atol=1e-6)


def test_shares_follow_the_gate():
    example = random_example()
    heads = example.steps.interface.read
    for gate in (0.0, 1.0):
        read = heads._replace(gate=np.full_like(heads.gate, gate))
        interface = example.steps.interface._replace(read=read)
        steps = example.steps._replace(interface=interface)
        share = traces.analyze_heads(example._replace(steps=steps))["read"].content_share
        np.testing.assert_allclose(share, gate, atol=1e-6)


def test_copy_moves_by_one_slot_per_step():
    trained = load_model("copy_ntm")
    example = traces.trace_example(trained.model, trained.first_params, trained.task, (20,), seed=1)
    answer = example.mask
    np.testing.assert_array_equal(example.outputs[answer] > 0.5, example.targets[answer])
    heads = traces.analyze_heads(example)
    np.testing.assert_allclose(heads["write"].movement[:20], 1.0, atol=0.05)
    np.testing.assert_allclose(heads["read"].movement[answer], 1.0, atol=0.05)
    assert heads["read"].content_share[20, 0] > 0.5  # the delimiter: back to the start by content


def test_trace_loads_without_pickle(tmp_path):
    example = random_example()
    traces.save_trace(example, tmp_path / "trace.npz")
    with np.load(tmp_path / "trace.npz", allow_pickle=False) as trace:
        assert trace.keys() >= traces.as_arrays(example).keys()
        np.testing.assert_array_equal(trace["read_gate"], example.steps.interface.read.gate)
        analysis = traces.analyze_heads(example)["write"]
        np.testing.assert_array_equal(trace["write_entropy"], analysis.entropy)
        assert trace["write_content_weights"].shape == (5, 1, 6)
        assert all(array.shape[0] == 5 for name, array in trace.items() if "initial" not in name)


def test_saved_trace_loads_as_it_was(tmp_path):
    example = random_example()
    traces.save_trace(example, tmp_path / "trace.npz")
    loaded = traces.load_trace(tmp_path / "trace.npz")
    example = example._replace(initial=example.initial._replace(controller=()))
    chex.assert_trees_all_equal(loaded, example)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"text"])
def test_file_that_is_no_trace_raises(tmp_path, content):
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="trace.npz: expected a trace of an example, got"):
        traces.load_trace(path)


def test_trace_without_an_array_raises(tmp_path):
    arrays = traces.as_arrays(random_example())
    arrays.pop("write_key")
    np.savez(tmp_path / "trace.npz", **arrays)
    with pytest.raises(ValueError, match="expected a trace of an example, got: .*write_key"):
        traces.load_trace(tmp_path / "trace.npz")


def test_traced_size_has_at_most_60_steps():
    assert traces.traced_size(Copy(), [(10,), (29,), (30,)]) == (29,)  # 2 n + 1 steps
    assert traces.traced_size(Copy(), [(50,), (40,)]) == (40,)
