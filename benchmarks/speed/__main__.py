"""How fast training and forward passes are, beside others and beside what the machine could do.

    git clone https://github.com/loudinthecloud/pytorch-ntm ../pytorch-ntm
    pip install torch attrs argcomplete
    python -m benchmarks.speed --pytorch_ntm=../pytorch-ntm

On a machine that has nothing else to do. benchmarks/results/speed.json gets, for each contestant,
the sequences a second of every round, and of ours the time of compiling, the share of the limit
(`limit`), and the ratios to the others within a round. Without --pytorch_ntm the peer is left out.

All train on, or run over, fresh batches of sequences of exactly 20 vectors of 8 bits (41 steps, 9
channels in, zeros while the answer is asked for; the last 20 steps scored), in float32 unless they
say otherwise. Machines have a controller of 100 units, a memory of 128 x 20, one read and one write
head. A measured update is: sample a batch, forward, mean cross-entropy of the scored bits,
backward, clip, RMSProp with momentum; a measured forward pass: sample a batch, forward, count the
wrong bits. What differs:

- ntm_jax: `Updates` as training runs it, many updates in one compiled dispatch where the batch is
  small, and a dispatch for each forward pass, the batch or the seeds split over all cores. It clips
  by the global norm, uses centered RMSProp (Graves 2013), checks that all is finite, and measures
  bits per sequence and the gradient's norm. An LSTM controller's first state is learned. The batch
  of an ensemble is that of the default config.
- ntm_jax in bfloat16: its dense layers alone; the memory and the parameters stay in float32.
- flax RNN(OptimizedLSTMCell): an LSTM of 100 units and a dense layer in the machine's place, all
  else the same: what a plain recurrent cell costs.
- pytorch-ntm: `train_batch` of its train.py, called eagerly on each batch of its own sampler. It
  reads before it writes, clips each element, uses RMSProp that is not centered, and counts wrong
  bits in training too. Its controller is the LSTM. torch gets one thread and all cores in turn; the
  faster one is compared.
"""

import itertools
import os
import sys
from pathlib import Path
from typing import Any

import jax
from absl import app, flags, logging

from benchmarks import commands, conditions
from benchmarks.speed import limit, peer, report, rounds, work
from ntm_jax.runtime import compilation_cache, sharding
from ntm_jax.training import config as configs

_PEER = flags.DEFINE_string("pytorch_ntm", None, "Checkout of loudinthecloud/pytorch-ntm.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "16", "32", "128", "512"], "Of one seed.")
_ENSEMBLES = flags.DEFINE_list("ensembles", ["1", "8", "32"], "Numbers of seeds.")
_BFLOAT16 = flags.DEFINE_list("bfloat16", ["32"], "Batch sizes of one seed, in bfloat16 too.")
_PEER_BATCH_SIZES = flags.DEFINE_list("peer_batch_sizes", ["1", "32"], "Of pytorch-ntm.")
_CONTROLLERS = flags.DEFINE_list("controllers", [*work.CONTROLLERS], "Of ntm_jax.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds, each of every contestant.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 3.0, "Of one contestant in one round.", lower_bound=0.001)
_PROBE = flags.DEFINE_integer("probe", None, "Size of the matrices that are timed.", 1)
_PLATFORM = flags.DEFINE_string("platform", "cpu", "JAX's, such as cpu or cuda.")
_JSON = flags.DEFINE_string("json", str(commands.RESULTS / "speed.json"), "File for the result.")


def main(argv: list[str]) -> None:
    """Flags in, a table and a file out."""
    if len(argv) > 1:
        sys.exit(f"speed: expected flags alone, got {' '.join(argv[1:])}")
    batch_sizes, ensembles, bfloat16, peer_batch_sizes = (
        conditions.numbers("speed", flag)
        for flag in (_BATCH_SIZES, _ENSEMBLES, _BFLOAT16, _PEER_BATCH_SIZES)
    )
    if unknown := set(_CONTROLLERS.value) - set(work.CONTROLLERS):
        known = ",".join(work.CONTROLLERS)
        sys.exit(f"speed: --controllers: expected some of {known}, got {','.join(sorted(unknown))}")
    if _PEER.value is not None and _PLATFORM.value != "cpu":
        sys.exit(f"speed: --pytorch_ntm: runs on the cpu alone, got --platform={_PLATFORM.value}")
    train = None if _PEER.value is None else peer.load("speed", _PEER.value)
    logging.set_verbosity(logging.WARNING)
    jax.config.update("jax_platforms", _PLATFORM.value)
    compilation_cache.use_quick_compiler()
    sharding.use_all_cores()
    used = (_BATCH_SIZES, _ENSEMBLES, _BFLOAT16, _PEER_BATCH_SIZES, _CONTROLLERS)
    used = {flag.name: flag.value for flag in (*used, _ROUNDS, _SECONDS, _PROBE, _PLATFORM)}
    with conditions.noted(used) as document:
        contestants = _ours(batch_sizes, ensembles)
        for batch_size, controller in itertools.product(bfloat16, _CONTROLLERS.value):
            contestants += work.ntm(controller, batch_size, dtype="bfloat16")
        if train is not None:
            document["versions"]["pytorch_ntm_commit"] = peer.commit(_PEER.value)
            contestants += _theirs(train, peer_batch_sizes)
        probes = limit.probes(_PROBE.value)
        try:
            rates = rounds.interleave([*probes, *contestants], _ROUNDS.value, _SECONDS.value)
        except FloatingPointError as error:
            sys.exit(f"speed: {error}")
    for probe in probes:
        document[probe.name] = probe.facts | rounds.summary(rates[probe.name])
    document["rows"] = report.rows(contestants, rates)
    commands.write(Path(_JSON.value), document)
    print(report.conditions(document))
    for kind in report.WORK:
        print(f"\n{kind}\n{report.table(document, kind)}")
    print(f"\nwritten: {_JSON.value}")


def _ours(batch_sizes: list[int], ensembles: list[int]) -> list[rounds.Contestant]:
    """Every batch size with one seed, every number of seeds with the default batch size."""
    default = configs.default("copy", "ntm").batch_size
    sizes = [(size, 1) for size in batch_sizes] + [(default, number) for number in ensembles]
    contestants = []
    for batch_size, num_seeds in dict.fromkeys(sizes):
        for controller in _CONTROLLERS.value:
            print(f"compiling {controller}, batch {batch_size}, seeds {num_seeds}", flush=True)
            contestants += work.ntm(controller, batch_size, num_seeds)
        if num_seeds == 1:
            contestants += work.plain_lstm(batch_size)
    return contestants


def _theirs(train: Any, batch_sizes: list[int]) -> list[rounds.Contestant]:
    contestants = []
    for batch_size in dict.fromkeys(batch_sizes):
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            contestants += peer.contestants(train, batch_size, threads)
    return contestants


if __name__ == "__main__":
    app.run(main)
