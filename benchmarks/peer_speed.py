"""One training update of the copy task: ntm_jax against loudinthecloud/pytorch-ntm, on one machine.

    git clone https://github.com/loudinthecloud/pytorch-ntm ../pytorch-ntm
    pip install torch attrs argcomplete
    python -m benchmarks.peer_speed --pytorch_ntm=../pytorch-ntm

Both train on fresh batches of sequences of exactly 20 vectors of 8 bits (41 steps, 9 channels in,
zeros while the answer is asked for; an output at every step, the last 20 scored), with an LSTM
controller of 100 units with a learned first state, a memory of 128 x 20, one read and one write
head, in float32 on the CPU. A measured update is, on both sides: sample a batch, forward, mean
cross-entropy of the scored bits, backward, clip, RMSProp with momentum. What differs:

- ntm_jax: `Updates` as training runs it, `log_every` updates in one compiled dispatch, the batch
  split over all cores, the steps recomputed in the backward pass. It clips by the global norm, uses
  centered RMSProp (Graves 2013), checks that all is finite, and measures bits per sequence and the
  gradient's norm. Compilation is timed apart.
- pytorch-ntm: `train_batch` of its train.py, called eagerly on each batch of its own sampler. It
  reads before it writes, clips each element, uses RMSProp that is not centered, and counts wrong
  bits. torch gets one thread and all cores in turn; the faster one is compared.

Rounds alternate between them. The ratio is the median of the ratios within a round.
"""

import importlib.metadata
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
from absl import app, flags, logging

from benchmarks import commands
from benchmarks.speed import peer, rounds
from ntm_jax import build, models, parallel
from ntm_jax import config as configs
from ntm_jax.updates import Updates

_PEER = flags.DEFINE_string("pytorch_ntm", None, "Checkout of loudinthecloud/pytorch-ntm.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["32"], "Sequences in an update, one or more.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds, each of every contestant.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Of one contestant in one round.", lower_bound=0.1)
_JSON = flags.DEFINE_string("json", "benchmarks/results/peer_speed.json", "File for the result.")

_SEED, _LEARNING_RATE = 1, 1e-4
_LENGTH, _BITS, _UNITS, _SLOTS, _WIDTH = 20, 8, 100, 128, 20


class Contestant(NamedTuple):
    """One side: `advance` trains a little and returns the number of updates and the last loss."""

    name: str
    advance: Callable[[], tuple[int, float]]
    facts: dict[str, Any]


def ours(batch_size: int) -> Contestant:
    """ntm_jax, made from a config as training makes it, and compiled."""
    config = configs.default("copy", "ntm")
    config.update(seed=_SEED, batch_size=batch_size)
    config.update(
        optimizer="graves_rmsprop", learning_rate=_LEARNING_RATE, learning_rate_half_life=0
    )
    config.task.update(min_length=_LENGTH, max_length=_LENGTH, num_bits=_BITS)
    config.model.update(controller="lstm", hidden_sizes=(_UNITS,), controller_start="learned")
    config.model.update(num_slots=_SLOTS, slot_width=_WIDTH, num_read_heads=1, num_write_heads=1)
    configs.validate(config)
    task = build.make_task(config)
    batch = task.sample(jax.random.key(0), batch_size)
    _expect("ntm_jax's inputs", batch.inputs.shape, (batch_size, 2 * _LENGTH + 1, _BITS + 1))
    _expect("ntm_jax's scored steps", int(batch.mask.sum()), batch_size * _LENGTH)

    model, optimizer = build.make_model(config), build.make_optimizer(config)
    updates = Updates([model], task, optimizer, batch_size, configs.seeds(config))
    state = updates.init()
    facts = {
        "num_params": models.num_params(state.params),
        "settings": config.to_dict(),
    }
    began = time.perf_counter()
    updates.compile(state, config.log_every)
    facts["compile_seconds"] = time.perf_counter() - began

    def advance() -> tuple[int, float]:
        nonlocal state
        state, measured = updates.run(state, config.log_every)
        return config.log_every, float(jax.device_get(measured).loss[-1, 0])

    return Contestant(f"ntm_jax, {updates.devices}", advance, facts)


def theirs(train: ModuleType, batch_size: int, threads: int) -> Contestant:
    """pytorch-ntm, wired by its own training model; `train` is its train.py."""
    train.init_seed(_SEED)
    make_model, make_params = train.TASKS["copy"]
    settings = dict(batch_size=batch_size, num_batches=10**9, rmsprop_lr=_LEARNING_RATE)
    settings |= dict(sequence_min_len=_LENGTH, sequence_max_len=_LENGTH, sequence_width=_BITS)
    settings |= dict(controller_size=_UNITS, controller_layers=1, num_heads=1)
    settings |= dict(memory_n=_SLOTS, memory_m=_WIDTH)
    model = make_model(params=make_params(**settings))
    _, shown, answer = next(model.dataloader)
    _expect("pytorch-ntm's inputs", tuple(shown.shape), (_LENGTH + 1, batch_size, _BITS + 1))
    _expect("pytorch-ntm's answers", tuple(answer.shape), (_LENGTH, batch_size, _BITS))

    def advance() -> tuple[int, float]:
        train.torch.set_num_threads(threads)
        _, shown, answer = next(model.dataloader)
        loss, _ = train.train_batch(model.net, model.criterion, model.optimizer, shown, answer)
        return 1, loss

    facts = {"num_params": model.net.calculate_num_params(), "settings": vars(model.params)}
    return Contestant(f"pytorch-ntm, threads: {threads}", advance, facts)


def compare(train: ModuleType, batch_size: int) -> dict[str, Any]:
    """All rounds of one batch size."""
    threads = sorted({1, commands.machine()["cores"]})
    peers = [theirs(train, batch_size, number) for number in threads]
    contestants = [ours(batch_size), *peers]
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    for one in contestants:
        one.advance()  # The first call is slower.
    for _ in range(_ROUNDS.value):
        for one in contestants:
            rates[one.name].append(batch_size * _updates_per_second(one))
    best = max((peer.name for peer in peers), key=lambda name: statistics.median(rates[name]))
    pairs = zip(rates[contestants[0].name], rates[best], strict=True)
    return {
        "batch_size": batch_size,
        "sequences_per_second": {name: rounds.summary(values) for name, values in rates.items()},
        "compared_with": f"{best} (the best median among the peer's thread counts)",
        "ratio": rounds.summary([mine / other for mine, other in pairs]),
        "contestants": {one.name: one.facts for one in contestants},
    }


def _updates_per_second(contestant: Contestant) -> float:
    updates, elapsed, began = 0, 0.0, time.perf_counter()
    while elapsed < _SECONDS.value:
        made, loss = contestant.advance()
        updates, elapsed = updates + made, time.perf_counter() - began
    if not math.isfinite(loss):
        sys.exit(f"peer_speed.py: {contestant.name}: the loss is not finite")
    contestant.facts["last_loss"] = loss
    return updates / elapsed


def _expect(what: str, got: Any, expected: Any) -> None:
    if got != expected:
        sys.exit(f"peer_speed.py: {what}: expected {expected}, got {got}")


def _print(result: dict[str, Any]) -> None:
    compiling = next(iter(result["contestants"].values()))["compile_seconds"]
    print(f"\nbatch {result['batch_size']}; ntm_jax compiled for {compiling:.1f} s")
    print(f"{'sequences per second':32}{'median':>10}{'min':>10}{'max':>10}")
    rows = [*result["sequences_per_second"].items(), ("ratio to the faster peer", result["ratio"])]
    for name, values in rows:
        print(f"{name:32}" + "".join(f"{values[key]:10.2f}" for key in ("median", "min", "max")))


def main(argv: list[str]) -> None:
    """Flags in, a table and a file out."""
    if len(argv) > 1:
        sys.exit(f"peer_speed.py: expected flags alone, got {' '.join(argv[1:])}")
    if not all(size.isdecimal() and int(size) > 0 for size in _BATCH_SIZES.value):
        sys.exit(f"peer_speed.py: --batch_sizes: expected numbers, got {_BATCH_SIZES.value}")
    logging.set_verbosity(logging.WARNING)
    jax.config.update("jax_platforms", "cpu")  # The peer runs on nothing else.
    parallel.use_all_cores()
    machine = commands.machine() | {"load_average_before": os.getloadavg()[0]}
    train = peer.load("peer_speed.py", _PEER.value)
    path = Path(_JSON.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "attrs")
    versions = {name: importlib.metadata.version(name) for name in packages}
    versions["pytorch_ntm_commit"] = peer.commit(_PEER.value)
    results = [compare(train, int(size)) for size in _BATCH_SIZES.value]
    measured = {"rounds": _ROUNDS.value, "seconds_per_round": _SECONDS.value, "results": results}
    commands.write(path, {"machine": machine, "versions": versions, **measured})
    print(f"{machine['processor']}, {machine['cores']} cores, {_ROUNDS.value} rounds")
    for result in results:
        _print(result)
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    app.run(main)
