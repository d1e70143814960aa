"""Any config and any command line ends in a result or in a line that says what is wrong with it."""

import json
import shutil
import subprocess
import sys

from support import random_configs
import hypothesis
import jax
import numpy as np
import pytest
from support.subprocess_utils import ROOT, environment
from support.tiny_config import tiny_config

from ntm_jax.runtime import memory_estimate
from ntm_jax.training import experiment, loop
from ntm_jax.training import config as configs
from ntm_jax.training.config import ConfigError
from ntm_jax.training.train_step import Updates

TINY = ROOT / "tests" / "tiny.py"

pytestmark = pytest.mark.usefixtures("optax_promotion")

# In so many draws some are slow, or of values that do not fit together.
PATIENT = {"suppress_health_check": list(hypothesis.HealthCheck)}


def built(config):
    """What a config builds, or None for one that is refused as it should be."""
    try:
        configs.validate(config)
        task, optimizer = experiment.make_task(config), experiment.make_optimizer(config)
        models, model = experiment.make_trained_models(config), experiment.make_model(config)
        sizes = configs.eval_sizes(config)
        memory_estimate.check_training(config, task, models[-1])
        memory_estimate.check_evaluation(config, task, model, sizes, config.num_seeds)
    except ConfigError as error:
        random_configs.assert_names_a_field(error, config)
        return None
    return task, optimizer, models


def construct(config):
    """Builds a config, and what is valid abstractly: a batch, and a model's answers to it."""
    parts = built(config)
    if parts is None:
        return None
    task, _, models = parts
    batch = jax.eval_shape(lambda: task.sample(jax.random.key(0), config.batch_size))
    for model in {models[0], models[-1]}:
        outputs, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), batch.inputs)
        assert outputs.shape == batch.targets.shape
    return parts


@hypothesis.settings(max_examples=40)
@hypothesis.given(random_configs.drawn_configs())
def test_a_drawn_config_is_built_or_refused_in_one_line(config):
    construct(config)


@pytest.mark.slow
@hypothesis.settings(max_examples=2000, **PATIENT)
@hypothesis.given(random_configs.drawn_configs())
def test_two_thousand_drawn_configs_are_built_or_refused_in_one_line(config):
    construct(config)


@pytest.mark.slow
def test_fifty_drawn_configs_that_are_valid_train():
    trained = []

    @hypothesis.settings(max_examples=2000, **PATIENT)
    @hypothesis.given(random_configs.drawn_configs())
    def train(config):
        parts = built(config) if len(trained) < 50 else None
        if parts is None or config.batch_size > 9 or len(config.model.get("train_slots", ())) > 2:
            return
        task, optimizer, models = parts
        updates = Updates(
            models, task, optimizer, config.batch_size, configs.seeds(config)[:2], config.ema_decay
        )
        state, measured = updates.run(updates.init(), 1)
        assert np.shape(measured.loss) == (1, min(config.num_seeds, 2))
        assert state.step.tolist() == [1] * min(config.num_seeds, 2)
        trained.append(config)

    train()
    assert len(trained) == 50


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.num_slots", 10**9),
        ("model.hidden_sizes", (10**8, 10**8)),
        ("batch_size", 10**9),
        ("num_seeds", 10_000),
        ("task.num_bits", 10**9),
        ("eval_lengths", (3, 10**9)),
    ],
)
def test_sizes_that_there_is_no_room_for_are_named(name, value, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "_memory", lambda: 2**20)
    config = tiny_config()
    configs.validate(config)
    built(config)
    config.update_from_flattened_dict({name: value})
    with pytest.raises(ConfigError, match=f"^{name}: expected sizes that fit into") as error:
        loop.train(config, tmp_path / "run")
    random_configs.assert_names_a_field(error.value, config)
    assert not (tmp_path / "run").exists()


# Commands: a process that has imported all there is to import, and forks for each.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A place with a run, and with what looks like one."""
    cwd = tmp_path_factory.mktemp("commands")
    with jax.numpy_dtype_promotion("standard"):
        loop.train(tiny_config("dense"), cwd / "run")
    (cwd / "file").write_text("")
    (cwd / "empty").mkdir()
    (cwd / "half").mkdir()
    shutil.copy(cwd / "run/config.json", cwd / "half")
    for name in ("newer", "torn"):
        shutil.copytree(cwd / "run", cwd / name)
    config = json.loads((cwd / "run/config.json").read_text())
    config["model"]["num_tapes"] = 2
    (cwd / "newer/config.json").write_text(json.dumps(config))
    (cwd / "torn/metrics.jsonl").write_bytes(b'{"step": 2, "kind": "evaluation"}\n\xff{"st')
    return cwd


@pytest.fixture(scope="module")
def warm(folder):
    """A function of a script and its arguments: its exit status, and what it said."""
    with subprocess.Popen(
        [sys.executable, ROOT / "tests" / "warm.py"],
        cwd=folder,
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(script, *arguments):
            process.stdin.write(json.dumps([str(ROOT / script), *arguments]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run


def assert_no_traceback(done, arguments):
    status, said = done
    assert "Traceback" not in said, (arguments, said)
    assert status in (0, 1, 2), (arguments, status, said)
    assert said.strip(), arguments


def commands(warm, folder, count):
    """As many of each script as `count`."""

    @hypothesis.settings(max_examples=count, phases=[hypothesis.Phase.generate], **PATIENT)
    @hypothesis.given(random_configs.train_arguments())
    def train(drawn):
        model, arguments = drawn
        shutil.rmtree(folder / "runs", ignore_errors=True)
        shutil.rmtree(folder / "folder", ignore_errors=True)
        few = ("num_steps", "checkpoint_every", "eval_every", "log_every")
        config = f"--config={TINY}:{model}"
        arguments = [config, *(f"--config.{name}=2" for name in few), *arguments]
        assert_no_traceback(warm("train.py", *arguments), arguments)

    @hypothesis.settings(max_examples=count, phases=[hypothesis.Phase.generate], **PATIENT)
    @hypothesis.given(random_configs.eval_arguments())
    def evaluate(arguments):
        arguments = ["--sequences=2", "--lengths=3", *arguments]
        assert_no_traceback(warm("eval.py", *arguments), arguments)

    train()
    shutil.rmtree(folder / "runs", ignore_errors=True)
    evaluate()


def test_drawn_command_lines_have_no_traceback(warm, folder):
    commands(warm, folder, 3)


@pytest.mark.slow
def test_five_hundred_drawn_command_lines_have_no_traceback(warm, folder):
    commands(warm, folder, 250)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workdir=empty"], "empty: expected a run folder with a config.json, got none"),
        (["--workdir=file"], "file/config.json: expected a config as JSON, got: [Errno 20]"),
        (["--workdir=half"], "half: expected a checkpoint, got none yet"),
        (["--workdir=newer"], "newer/config.json: model.num_tapes: no such setting"),
        (["--workdir=torn"], "metrics.jsonl: expected lines as this version writes them, got"),
        (["--workdir=run", "--lengths=1000000000"], "eval_lengths: expected sizes that fit into"),
        (["--workdir=run", "--lengths=10000000000"], "--lengths: expected at most 1000000000"),
        (
            ["--pretrained=copy_ntm", "--slots=1000000000", "--lengths=3"],
            "model.num_slots: expected sizes that fit into",
        ),
        (
            ["--pretrained=copy_ntm", "--workdir=run"],
            "--workdir: expected none beside --pretrained, got run",
        ),
        (
            ["--pretrained=copy_ntm", "--member=0"],
            "--member: expected none beside --pretrained, got 0",
        ),
        (["--member=0"], "runs: expected a run folder, got none; train one with"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(warm, arguments, said):
    status, lines = warm("eval.py", *arguments)
    assert status == 1
    assert lines.startswith(f"eval.py: {said}")
    assert lines.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.py"], "--config: no such file: nothing.py"),
        (["", "--config.seed=1"], "--config: no such file: its name is empty"),
        ([ROOT / "README.md"], "--config: expected a file that makes a config, got: "),
        ([TINY, "--config.model.x=1"], "--config.model.x: no such setting; "),
        ([TINY, "--config.seed.x=1"], "--config.seed.x: no such setting; did you mean seed? "),
        ([TINY, "--config.batch_size=10000000000"], "batch_size: expected at most 1000000000, got"),
    ],
)
def test_what_cannot_be_trained_is_one_line(warm, arguments, said):
    file, *settings = arguments
    status, lines = warm("train.py", f"--config={file}", *settings)
    assert status == 1
    assert lines.startswith(f"train.py: {said}")
    assert lines.count("\n") == 1
