"""Trains a copy config with several seeds, one after the other, and times each command.

    python -m experiments.seeds --config=configs/copy_ntm.py --seeds=0,1,2

single_seeds.jsonl gets one line per config: for each seed the summary with the wall time of
train.py, compilation and the last checkpoint included, and evaluations on sequences that training
did not use. Run it on an idle host. A config with a stored line is not trained again.
"""

import os
import time

from absl import app, flags

from experiments import cli, results

_CONFIG = flags.DEFINE_string("config", "configs/copy_ntm.py", "Config to train.")
_SEEDS = flags.DEFINE_list("seeds", [str(seed) for seed in range(10)], "Seeds.")
_LENGTHS = flags.DEFINE_list("lengths", ["10", "20", "40", "80", "120"], "Evaluated lengths.")


def main(argv: list[str]) -> None:
    """Trains and evaluates the seeds of a config that has no stored line."""
    del argv
    config, name = cli.load_config(_CONFIG.value), cli.config_name(_CONFIG.value)
    if results.find("single_seeds", name=name):
        print(f"single_seeds.jsonl has a line for {name}; remove it to train again")
        return
    with cli.runs_dir() as runs:
        workdirs = [runs / f"{name}_seed{seed}" for seed in _SEEDS.value]
        seeds = []
        for seed, workdir in zip(_SEEDS.value, workdirs, strict=True):
            load, start = os.getloadavg()[0], time.monotonic()
            command = cli.train(_CONFIG.value, {"seed": seed}, workdir)
            seconds = round(time.monotonic() - start, 1)
            timing = {"load_average_before": load, "wall_seconds": seconds, "command": command}
            seeds.append(cli.load_summary(workdir) | timing)
        lengths = {"length": [int(length) for length in _LENGTHS.value]}
        members = [cli.evaluate(workdir, lengths) for workdir in workdirs]
        shared = ("task", "model", "num_params")
        line = {
            "name": name,
            "config": _CONFIG.value,
            "host": cli.host(),
            "summary": {key: seeds[0][key] for key in shared} | {"members": seeds},
            "evaluation": {"members": members},
        }
        if config.model.name == "ntm":
            evaluations = [cli.evaluate_enlarged(workdir, "copy") for workdir in workdirs]
            line["enlarged"] = [
                {"num_slots": members[0]["num_slots"], "members": members}
                for members in zip(*evaluations, strict=True)
            ]
    results.append("single_seeds", line)


if __name__ == "__main__":
    app.run(main)
