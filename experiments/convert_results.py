"""Converts the JSON results of commit 0dcff3b to the current files, once.

    git worktree add /tmp/old 0dcff3b
    python -m experiments.convert_results /tmp/old

Reads benchmarks/results and studies/copy_start/results there, and writes experiments/results and
benchmarks/results here. No measured number changes.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Any

from experiments.ablations import ABLATIONS
from experiments.cli import ROOT
from ntm_jax.training.legacy import RENAMED_KEYS, RENAMED_VALUES

OLD = Path(sys.argv[1]) / "benchmarks" / "results"
OLD_COPY_INIT = Path(sys.argv[1]) / "studies" / "copy_start" / "results"
NEW, NEW_BENCHMARKS = ROOT / "experiments" / "results", ROOT / "benchmarks" / "results"

# Old key of a result -> new key, wherever it stands.
RENAMED = {
    "held": "stayed_solved",
    "skipped_updates": "skipped_steps",
    "stopped": "stop_reason",
    "machine": "host",
    "slots": "num_slots",
    "sequences_to_solved": "sequences_to_solve",
    "others_share": "other_load",
    "command_seconds": "wall_seconds",
    "load_before": "load_average_before",
    "batches_in_a_dispatch": "batches_per_dispatch",
    "limit": "roofline",
    "of_limit": "roofline_fraction",
    "times_peer": "speedup_vs_pytorch_ntm",
    "cost_in_plain_lstms": "slowdown_vs_lstm",
    "matrix rate": "matrix_rate",
    "memory bandwidth": "memory_bandwidth",
    "updates_per_second": "steps_per_second",
    "first": "cold_cache_seconds",
    "second": "warm_cache_seconds",
    "work": "program",
}
VALUES = {
    "stop_reason": {"num_steps": "num_train_steps"},
    "model": RENAMED_VALUES["model.name"],
    "system": {"ntm_jax in bfloat16": "ntm_jax (bfloat16)"},
    "program": {"training in segments": "training, chunked remat"},
}
# The config of every timed program, 1.2 kB per row: benchmarks/speed/workloads.py builds it.
# Whether the load of other processes was above 5 % follows from the load.
DROPPED = {"settings", "cores_shared"}
# Options that all runs of the copy ablations share, and values that are the defaults.
SHARED = {
    "seed": 100,
    "num_seeds": 10,
    "num_train_steps": 5000,
    "num_eval_sequences": 64,
    "restart_after_steps": 0,
}
DEFAULTS = {
    "model.memory_init": "first_slot_marker",
    "model.memory_init_scale": 0.1,
    "model.head_init": "one_hot",
}


def convert(value: Any) -> Any:
    """Renames keys and values of a result at every level."""
    if isinstance(value, list):
        return [convert(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {}
    for key, item in value.items():
        name = RENAMED.get(key, key)
        if key == "checkpoint":
            name, item = "step", int(item.removeprefix("update "))
        elif key == "command":
            item = convert_command(item)
        elif key == "config" and isinstance(item, str):
            item = item.replace("second_opinion", "baselines")
        elif isinstance(item, str):
            item = VALUES.get(name, {}).get(item, item)
        if key not in DROPPED:
            converted[name] = convert(item)
    return converted


def convert_command(command: str) -> str:
    """Renames the config keys and values of a command."""
    words = []
    for word in command.replace("second_opinion", "baselines").split(" "):
        if word.startswith("--config."):
            key, _, value = word.removeprefix("--config.").partition("=")
            name = RENAMED_KEYS.get(key, key)
            word = f"--config.{name}={RENAMED_VALUES.get(name, {}).get(value, value)}"
        words.append(word)
    return " ".join(words)


def overrides(command: str) -> dict[str, Any]:
    """Returns the config keys and values of a command."""
    found = {}
    for word in command.split(" "):
        if word.startswith("--config."):
            key, _, text = word.removeprefix("--config.").partition("=")
            try:
                found[key] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                found[key] = text
    return found


def read(path: Path) -> Any:
    """Reads and converts a JSON file."""
    return convert(json.loads(path.read_text()))


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Writes a JSONL file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write(path: Path, document: Any) -> None:
    """Writes a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")


def ensembles() -> None:
    """Converts the 26 ensembles, one line each."""
    lines = []
    for path in sorted((OLD / "ensembles").glob("*.json")):
        lines.append({"name": path.stem, **read(path)})
    write_lines(NEW / "ensembles.jsonl", lines)


def single_seeds() -> None:
    """Converts the seeds that were trained one after the other, a line for each config."""
    lines = []
    for stem in (
        "copy_ntm_alone",
        "copy_ntm_lstm_alone",
        "copy_ntm_keras_original",
        "copy_lstm_keras",
    ):
        document = read(OLD / f"{stem}.json")
        command = f"python train.py --config={document['config']} --config.seed="
        timing = ("load_average_before", "wall_seconds")
        seeds = [
            row["summary"]
            | {key: row[key] for key in timing if key in row}
            | {"command": command + str(row["summary"]["seed"])}
            for row in document["seeds"]
        ]
        line = {
            "name": stem.removesuffix("_alone"),
            "config": document["config"],
            "host": document["host"],
            "summary": {key: seeds[0][key] for key in ("task", "model", "num_params")}
            | {"members": seeds},
            "evaluation": {"members": [row["evaluation"] for row in document["seeds"]]},
        }
        enlarged = [row["enlarged"] for row in document["seeds"] if "enlarged" in row]
        if enlarged:
            num_slots = enlarged[0]["num_slots"]
            line["enlarged"] = [{"num_slots": num_slots, "members": enlarged}]
        lines.append(line)
    write_lines(NEW / "single_seeds.jsonl", lines)


def ablations() -> None:
    """Converts the ablations of copy, of the curriculum and of the number of heads."""
    lines = []
    for controller, name in (("feed_forward", "copy_ntm"), ("lstm", "copy_ntm_lstm")):
        for path in sorted((OLD_COPY_INIT / controller).glob("*.json")):
            document = read(path)
            document["enlarged"] = [document["enlarged"]]
            setting = overrides(document["command"])
            setting = {
                key: value
                for key, value in setting.items()
                if (SHARED | DEFAULTS).get(key) != value
            }
            init = setting.keys() <= DEFAULTS.keys()
            ablation = "initialization" if init else "one_factor"
            lines.append({"ablation": ablation, "name": name, "setting": setting, **document})
    for stem, ablation in (("curricula", "curriculum"), ("heads", "num_heads")):
        for name, rows in read(OLD / f"{stem}.json").items():
            for row in rows.values():
                setting = overrides(row["command"])
                setting = {
                    key: value
                    for key, value in setting.items()
                    if key == "curriculum" or key.startswith("model.")
                }
                lines.append({"ablation": ablation, "name": name, "setting": setting, **row})
    order = [
        (ablation, name, setting)
        for ablation, study in ABLATIONS.items()
        for name, settings in study.settings.items()
        for setting in settings
    ]
    positions = [order.index((line["ablation"], line["name"], line["setting"])) for line in lines]
    ordered = sorted(zip(positions, lines, strict=True), key=lambda pair: pair[0])
    lines = [line | {"setting": order[position][2]} for position, line in ordered]
    write_lines(NEW / "ablations.jsonl", lines)


def repeat_copy() -> None:
    """Converts the two analyses of repeat copy."""
    document = json.loads((OLD / "counting.json").read_text())
    lines = [
        {
            "name": name,
            "command": "python -m experiments.repeat_copy_counts --runs=runs",
            "length": document["length"],
            "num_sequences": document["sequences"],
            "requested": document["asked"],
            "produced": produced,
        }
        for name, produced in document["said"].items()
    ]
    write_lines(NEW / "repeat_copy_counts.jsonl", lines)
    document = json.loads((OLD / "countdown.json").read_text())
    line = {
        "name": document["machine"],
        "command": "python -m experiments.repeat_copy_countdown",
        **{key: document[key] for key in ("length", "slot", "column", "correlation")},
        "requested": document["asked"],
        "produced": document["said"],
        "after_each_repeat": document["after_each_repeat"],
    }
    write_lines(NEW / "repeat_copy_countdown.jsonl", [line])


def benchmarks() -> None:
    """Converts the five results of the benchmarks."""
    speed = read(OLD / "speed.json")
    for name in ("bfloat16", "peer_batch_sizes", "controllers", "probe"):
        del speed["flags"][name]  # constants now; the rows have their values
    write(NEW_BENCHMARKS / "speed.json", {"command": "python -m benchmarks.speed", **speed})
    startup = read(OLD / "start_up.json")
    startup["rows"] = startup.pop("seconds_to_first_updates")
    write(NEW_BENCHMARKS / "startup.json", {"command": "python -m benchmarks.startup", **startup})
    devices = read(OLD / "scaling.json")
    devices = {"command": "python -m benchmarks.scaling_devices", **devices}
    write(NEW_BENCHMARKS / "scaling_devices.json", devices)
    cost = read(OLD / "ensemble_cost.json")
    write(
        NEW_BENCHMARKS / "ensemble_vs_sequential.json",
        {
            "command": "python -m benchmarks.ensemble_vs_sequential",
            "config": cost["config"],
            "host": cost["host"],
            "load_average_before": cost["load_average_before"],
            "num_train_steps": cost["updates"],
            "sequential": cost["alone"],
            "ensemble": cost["together"],
            "ratio": cost["ratio"],
        },
    )
    growth = read(OLD / "growth.json")
    about = {
        "command": "python -m benchmarks.scaling_size",
        "host": growth["host"],
        "versions": growth["versions"],
    }
    rows = [{"sweep": "baseline", **row} for row in growth["baselines"].values()]
    lines = [
        {**row, "num_time_steps": 2 * row["length"] + 1, **about}
        for row in (*rows, *growth["rows"])
    ]
    write_lines(NEW_BENCHMARKS / "scaling_size.jsonl", lines)


def main() -> None:
    """Converts everything."""
    ensembles()
    single_seeds()
    ablations()
    repeat_copy()
    benchmarks()


if __name__ == "__main__":
    main()
