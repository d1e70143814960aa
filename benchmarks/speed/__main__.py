"""Measures the speed of training and of forward passes on the copy task.

    git clone https://github.com/loudinthecloud/pytorch-ntm ../pytorch-ntm
    pip install torch attrs argcomplete
    python -m benchmarks.speed --pytorch_ntm=../pytorch-ntm

Run it on an idle host. results/speed.json gets the sequences per second of each candidate in every
round and, for ntm_jax, the compile time, the fraction of the roofline, and the ratios to
pytorch-ntm and to an LSTM within a round. benchmarks/README.md describes the candidates.
"""

import itertools
import os
import sys
from pathlib import Path

import jax
from absl import app, flags, logging

from benchmarks import environment
from benchmarks.speed import pytorch_ntm, report, roofline, workloads
from benchmarks.speed.harness import Candidate, summarize, time_interleaved
from ntm_jax.runtime import compilation_cache, sharding
from ntm_jax.training.config import default
from ntm_jax.training.run_dir import write_json

_PYTORCH_NTM = flags.DEFINE_string("pytorch_ntm", None, "Checkout of loudinthecloud/pytorch-ntm.")
_BATCH_SIZES = flags.DEFINE_multi_integer("batch_sizes", [1, 16, 32, 128, 512], "Of one seed.", 1)
_ENSEMBLES = flags.DEFINE_multi_integer("ensembles", [1, 8, 32], "Numbers of members.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of rounds.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 3.0, "Time of a candidate in a round.", lower_bound=0.001)
_PLATFORM = flags.DEFINE_string("platform", "cpu", "Platform of JAX, such as cpu or cuda.")
_JSON = flags.DEFINE_string("json", str(environment.RESULTS / "speed.json"), "File to write.")

_PYTORCH_NTM_BATCH_SIZES = (1, 32)
_BFLOAT16_BATCH_SIZE = 32


def main(argv: list[str]) -> None:
    """Measures all candidates and writes the result."""
    del argv
    if _PYTORCH_NTM.value and _PLATFORM.value != "cpu":
        sys.exit(f"speed: --pytorch_ntm: expected --platform=cpu, got {_PLATFORM.value}")
    train = pytorch_ntm.load(_PYTORCH_NTM.value) if _PYTORCH_NTM.value else None
    logging.set_verbosity(logging.WARNING)
    jax.config.update("jax_platforms", _PLATFORM.value)
    compilation_cache.set_fast_compile_flags()
    sharding.use_all_cores()
    used = (_BATCH_SIZES, _ENSEMBLES, _ROUNDS, _SECONDS, _PLATFORM)
    with environment.record("python -m benchmarks.speed", used) as document:
        candidates = _candidates()
        if train:
            document["versions"]["pytorch_ntm_commit"] = pytorch_ntm.commit(_PYTORCH_NTM.value)
            threads = sorted({1, len(os.sched_getaffinity(0))})
            for batch_size, number in itertools.product(_PYTORCH_NTM_BATCH_SIZES, threads):
                candidates += pytorch_ntm.candidates(train, batch_size, number)
        probes = roofline.probes()
        try:
            rates = time_interleaved([*probes, *candidates], _ROUNDS.value, _SECONDS.value)
        except FloatingPointError as error:
            sys.exit(f"speed: {error}")
    for probe in probes:
        document[probe.name] = probe.facts | summarize(rates[probe.name])
    document["rows"] = report.rows(candidates, rates)
    write_json(Path(_JSON.value), document)
    print(f"wrote {_JSON.value}; python -m experiments.tables writes its tables")


def _candidates() -> list[Candidate]:
    """Returns all batch sizes with one seed, and all ensembles with the default batch size."""
    default_size = default("copy", "ntm").batch_size
    sizes = [(size, 1) for size in _BATCH_SIZES.value]
    sizes += [(default_size, number) for number in _ENSEMBLES.value]
    candidates = []
    for batch_size, num_seeds in dict.fromkeys(sizes):
        print(f"compiling batch {batch_size}, seeds {num_seeds}", flush=True)
        for controller in workloads.CONTROLLERS:
            candidates += workloads.ntm(controller, batch_size, num_seeds)
        if num_seeds == 1:
            candidates += workloads.flax_lstm(batch_size)
    for controller in workloads.CONTROLLERS:
        candidates += workloads.ntm(controller, _BFLOAT16_BATCH_SIZE, dtype="bfloat16")
    return candidates


if __name__ == "__main__":
    app.run(main)
