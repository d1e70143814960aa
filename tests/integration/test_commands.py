"""The two commands of the README, as processes, on the shipped config shrunk by flags."""

import json

import pytest
from support.subprocess_utils import ROOT, command

COPY_NTM = f"--config={ROOT / 'configs/copy_ntm.py'}"
TINY = [
    "--config.num_steps=6",
    "--config.batch_size=4",
    "--config.log_every=2",
    "--config.eval_every=4",
    "--config.checkpoint_every=4",
    "--config.eval_lengths=(2,5)",
    "--config.eval_sequences=8",
    "--config.task.max_length=3",
    "--config.model.num_slots=8",
    "--config.model.train_slots=(3,5)",
    "--config.model.hidden_sizes=(8,)",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    cwd = tmp_path_factory.mktemp("user")
    done = command(cwd, "train.py", COPY_NTM, *TINY)
    return cwd, done


def test_train_makes_a_run_named_as_the_config_and_says_how_it_went(trained):
    cwd, done = trained
    assert done.returncode == 0, done.stderr
    assert (cwd / "runs" / "copy_ntm" / "summary.json").exists()
    assert "all updates done, not solved: 6 updates" in done.stdout
    assert "bit errors by length  2:" in done.stdout
    assert done.stderr == ""


def test_eval_finds_the_newest_run_and_writes_table_json_and_pictures(trained):
    cwd, _ = trained
    done = command(
        cwd,
        "eval.py",
        *("--lengths", "3,20", "--slots", "16", "--sequences", "4", "--per_step"),
        *("--json", "out.json", "--plots", "pictures"),
    )
    assert done.returncode == 0, done.stderr
    assert "runs/copy_ntm/checkpoints/6: copy, ntm" in done.stdout
    assert "length 3, bit accuracy by time step" in done.stdout
    assert "warning: length 20 needs 20 slots, the memory has 16" in done.stderr
    result = json.loads((cwd / "out.json").read_text())
    assert list(result) == ["task", "model", "num_params", "slots", "checkpoint", "results"]
    assert (result["task"], result["model"], result["slots"]) == ("copy", "ntm", 16)
    assert [list(line) for line in result["results"]] == [
        [
            "length",
            "sequences",
            "bit_errors_per_sequence",
            "bits_per_sequence",
            "excess_bits_per_sequence",
            "bit_accuracy",
            "perfect_sequences",
        ]
    ] * 2
    assert [line["length"] for line in result["results"]] == [3, 20]
    for name in ("answers.png", "memory_use.png"):
        assert (cwd / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_command_again_says_that_all_is_done(trained):
    cwd, _ = trained
    done = command(cwd, "train.py", COPY_NTM, *TINY)
    assert done.returncode == 0, done.stderr
    assert "resumed after 6 updates" in done.stdout
    assert "all updates done" in done.stdout


def test_another_config_in_the_folder_is_refused(trained):
    cwd, _ = trained
    done = command(cwd, "train.py", COPY_NTM, *TINY, "--config.seed=5")
    assert done.returncode == 1
    assert "seed: 0 there, 5 now" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["0", "ten", "-3", "10,,20", ""])
def test_a_length_that_is_none_is_refused(tmp_path, value):
    done = command(tmp_path, "eval.py", f"--lengths={value}")
    assert done.returncode == 1
    assert done.stderr.startswith("eval.py: --lengths: expected whole numbers greater than 0, got")
    assert done.stderr.count("\n") == 1


def test_a_size_of_another_task_is_refused(tmp_path):
    done = command(tmp_path, "eval.py", "--pretrained=copy_ntm", "--items=3")
    assert done.returncode == 1
    assert done.stderr == "eval.py: --items: copy has no such size; there is --lengths\n"


def test_eval_without_a_run_says_how_to_get_one_and_takes_the_machine_that_ships(tmp_path):
    done = command(tmp_path, "eval.py", "--lengths=10", "--sequences=8")
    assert done.returncode == 0
    assert "train one with `python train.py --config=configs/copy_ntm.py`" in done.stderr
    assert "here is copy_ntm, pretrained" in done.stderr
    assert done.stdout.splitlines()[-1].split()[-3:] == ["100.0000%", "100.00%", "8"]


def test_eval_of_a_folder_that_is_no_run_is_one_clear_line(tmp_path):
    done = command(tmp_path, "eval.py", "--workdir=nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("eval.py: nothing: expected a run folder with a config.json")
    assert done.stderr.count("\n") == 1


def test_an_ensemble_is_trained_and_shown_whole_and_one_by_one(tmp_path):
    done = command(tmp_path, "train.py", COPY_NTM, *TINY, "--config.num_seeds=3")
    assert done.returncode == 0, done.stderr
    assert "solved 0 of 3" in done.stdout
    evaluate = ("eval.py", "--lengths=3", "--sequences=4")
    whole = command(tmp_path, *evaluate, "--json=out.json")
    assert whole.returncode == 0, whole.stderr
    assert "3 seeds" in whole.stdout
    assert "solved at these sizes: 0 of 3 (0 %, interval 0 % to 56 %)" in whole.stdout
    errors = [
        member["results"][0]["bit_errors_per_sequence"]
        for member in json.loads((tmp_path / "out.json").read_text())["members"]
    ]
    second = command(tmp_path, *evaluate, "--member=1")
    assert float(second.stdout.splitlines()[-1].split()[1]) == pytest.approx(errors[1], rel=1e-3)
    none = command(tmp_path, *evaluate, "--member=3")
    assert none.stderr == "eval.py: member: expected one from 0 to 2, got 3\n"


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--config.lerning_rate=3e-4", ["lerning_rate", "learning_rate"]),
        ("--config.model.num_slot=3", ["num_slot", "num_slots"]),
        ("--config.batch_size=big", ["batch_size", "big"]),
        ("--config.optimizer=sgd", ["optimizer: expected one of ('adam', 'graves_rmsprop')"]),
        ("--config.batch_size=0", ["batch_size: expected greater than 0, got 0"]),
        ("extra", ["expected flags alone, got extra"]),
        ("--process_id=1", ["--coordinator, --num_processes: expected with --process_id"]),
    ],
)
def test_a_mistake_on_the_command_line_fails_at_once_and_is_named(tmp_path, flag, said):
    done = command(tmp_path, "train.py", COPY_NTM, flag)
    assert done.returncode not in (0, None)
    for words in said:
        assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = command(tmp_path, "train.py", COPY_NTM, "--workdir=file/run")
    assert done.returncode == 1
    assert "file/run" in done.stderr
    assert "Traceback" not in done.stderr
