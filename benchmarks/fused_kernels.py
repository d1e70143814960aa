"""Compares the fused Pallas kernels of commit 0dcff3b with the scan of the same commit, on a GPU.

    git worktree add ../fused 0dcff3b
    python benchmarks/fused_kernels.py ../fused fused.json

Both run 41 time steps of the copy task's size with 128 slots. A gradient is of the mean squared
error, in all parameters. An earlier form of this program, which compared the results at batch 32
only, made the "fused" record of results/gpu.json; it was stopped before the LSTM's gradient.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_NUM_TIME_STEPS, _INPUTS, _OUTPUTS = 41, 9, 8
_BATCH_SIZES = 1, 2, 32, 128, 512
_ROUNDS, _SECONDS = 3, 0.1

Programs = dict[str, Callable[..., Any]]


def main() -> None:
    """Measures all programs, and writes the result after each."""
    tree, file = sys.argv[1:]
    sys.path.insert(0, str(Path(tree).resolve()))
    document: dict[str, Any] = {"commit": "0dcff3b", "jax": jax.__version__, "rows": []}
    document |= {"device": jax.devices()[0].device_kind, "time_steps": _NUM_TIME_STEPS}
    for controller in ("feed_forward", "lstm"):
        params = _params(controller)
        for batch_size in _BATCH_SIZES:
            args = (params, *_data(batch_size))
            for program in ("forward", "gradient"):
                row = {"controller": controller, "batch_size": batch_size, "program": program}
                document["rows"].append(row | _measure(controller, program, args))
                Path(file).write_text(json.dumps(document, indent=2) + "\n")
                print(document["rows"][-1], flush=True)


def _measure(controller: str, program: str, args: tuple) -> dict[str, Any]:
    """Returns the seconds of both programs, in alternation, and their largest difference."""
    scan, fused = (_programs(controller, name)[program] for name in ("xla", "fused"))
    start = time.perf_counter()
    fused.lower(*args).compile()
    compile_seconds = time.perf_counter() - start
    with jax.default_matmul_precision("highest"):
        expected, actual = (
            jax.tree.leaves(_programs(controller, name)[program](*args))
            for name in ("xla", "fused")
        )
    differences = [
        float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))
        for a, b in zip(actual, expected, strict=True)
    ]
    rounds = [(_clock(scan, args), _clock(fused, args)) for _ in range(_ROUNDS)]
    return {
        "fused_compile_seconds": compile_seconds,
        "relative_difference": max(differences),
        "scan_seconds": [seconds for seconds, _ in rounds],
        "fused_seconds": [seconds for _, seconds in rounds],
    }


def _clock(function: Callable[..., Any], args: tuple) -> float:
    jax.block_until_ready(function(*args))
    calls, start = 0, time.perf_counter()
    while calls < 3 or time.perf_counter() - start < _SECONDS:
        jax.block_until_ready(function(*args))
        calls += 1
    return (time.perf_counter() - start) / calls


def _model(controller: str, implementation: str) -> Any:
    """Returns a model of the tree; its modules have other names than those of this package."""
    controllers, cell, models = (
        importlib.import_module(f"ntm_jax.{name}") for name in ("controllers", "cell", "models")
    )
    module = controllers.LSTM(100) if controller == "lstm" else controllers.FeedForward((100,))
    return models.NTM(cell.NTMCell(_OUTPUTS, module), implementation=implementation)


def _programs(controller: str, implementation: str) -> Programs:
    model = _model(controller, implementation)
    apply = importlib.import_module("ntm_jax.weight_gradients").deferred(model)

    def loss(params: Any, inputs: jax.Array, targets: jax.Array) -> jax.Array:
        return jnp.mean((apply(params, inputs, {}) - targets) ** 2)

    return {
        "forward": jax.jit(lambda params, inputs, _: model.apply({"params": params}, inputs)),
        "gradient": jax.jit(jax.value_and_grad(loss)),
    }


def _params(controller: str) -> Any:
    """Returns parameters at some distance from the initial ones, which are nearly symmetric."""
    params = _model(controller, "xla").init(jax.random.key(1), _data(1)[0])["params"]
    rng = np.random.default_rng(3)
    return jax.tree.map(
        lambda leaf: leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), params
    )


def _data(batch_size: int) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(batch_size)
    bits = rng.integers(0, 2, (batch_size, _NUM_TIME_STEPS, _INPUTS))
    targets = rng.normal(size=(batch_size, _NUM_TIME_STEPS, _OUTPUTS))
    return jnp.asarray(bits, jnp.float32), jnp.asarray(targets, jnp.float32)


if __name__ == "__main__":
    main()
