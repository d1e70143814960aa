"""Configs and command lines that nobody would write, or that somebody did."""

import functools
import re

from hypothesis import strategies as st
from ml_collections import ConfigDict

from ntm_jax.training import config as configs
from ntm_jax.tasks import TASKS

MODELS = ("ntm", "skip_lstm", "gru", "transformer", "keras_lstm", "dense")
CHOICES = ("adam", "graves_rmsprop", "feed_forward", "lstm", "gru", "tanh", "relu", "sigmoid")
CHOICES += ("linear", "marked", "constant", "random", "learned", "one_hot", "uniform", "zero")
CHOICES += ("float32", "bfloat16", "default", "ntm_keras", "paper")
CHOICES += ("collier", *TASKS, *MODELS)

# What makes any model small; a field that it has not is left out.
SMALL = {
    "num_steps": 2,
    "batch_size": 2,
    "log_every": 1,
    "eval_every": 2,
    "checkpoint_every": 2,
    "eval_sequences": 2,
    "eval_lengths": (7,),
    "eval_repeats": (2,),
    "eval_items": (3,),
    "eval_counts": (4,),
    "task.max_length": 7,
    "task.max_repeats": 2,
    "task.max_items": 3,
    "task.num_vectors": 4,
    "task.num_sorted": 2,
    "model.hidden_sizes": (4,),
    "model.hidden_size": 4,
    "model.num_layers": 1,
    "model.width": 8,
    "model.num_heads": 2,
    "model.num_slots": 9,
    "model.train_slots": (9, 12),
    "model.slot_width": 3,
}

# Nothing in between that is in range and would train for days.
WHOLE = st.one_of(
    st.integers(-2, 9), st.sampled_from([-(10**30), -(10**9), 10**10, 2**31, 2**32, 2**64, 10**400])
)
REAL = st.one_of(
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e39, -1e300, 0.0]),
)
WORDS = st.one_of(st.sampled_from(CHOICES), st.text(max_size=4))
LEAVES = st.one_of(WHOLE, REAL, WORDS, st.booleans(), st.none())
ANY = st.one_of(
    LEAVES,
    st.lists(WHOLE, max_size=3).map(tuple),
    st.lists(LEAVES, max_size=3).map(tuple),
    st.lists(LEAVES, max_size=2),
    st.integers(65, 99).map(lambda count: (3,) * count),
    st.dictionaries(st.sampled_from(["name", "a"]), LEAVES, max_size=2),
)


def of_type(value):
    """Values of the same type, most of them such as are in range."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.one_of(st.integers(1, 9), WHOLE)
    if isinstance(value, float):
        return st.one_of(st.floats(0, 2), REAL)
    if isinstance(value, tuple):
        return st.one_of(st.lists(st.integers(1, 12), max_size=3).map(tuple), ANY)
    return WORDS


def small(task, model):
    """A config that trains in a moment, as nested dicts."""
    config = configs.default(task, model)
    there = configs.flat(config)
    config.update_from_flattened_dict({name: SMALL[name] for name in SMALL if name in there})
    return config


@st.composite
def drawn_configs(draw):
    """A small config with some of its values, or now and then all, drawn; or its names."""
    config = small(draw(st.sampled_from(sorted(TASKS))), draw(st.sampled_from(MODELS)))
    usual = configs.flat(config)
    names = st.sampled_from(sorted(usual))
    chosen = draw(st.one_of(st.lists(names, min_size=1, max_size=4), st.just(sorted(usual))))
    values = config.to_dict()
    wild = draw(st.booleans())
    for name in chosen:
        if len(chosen) > 4 and draw(st.integers(0, 9)) < 8:
            continue
        section, _, field = name.rpartition(".")
        inner = values[section] if section else values
        inner[field] = draw(ANY if wild else of_type(usual[name]))
        if wild and draw(st.integers(0, 9)) == 0:
            inner[draw(st.sampled_from(["learning_rat", "x", "num_slot"]))] = inner.pop(field)
    if draw(st.integers(0, 49)) == 0:
        values[draw(st.sampled_from(["task", "model"]))] = draw(ANY)
    return ConfigDict(values)


@functools.cache
def names():
    """Every name that an error may begin with."""
    of_each = (configs.flat(small(task, model)) for task in TASKS for model in MODELS)
    return set().union(*of_each)


def assert_names_a_field(error, config):
    """One line, with the field, what was expected and what came."""
    said = str(error)
    assert "\n" not in said
    assert re.split(r"[:, ]", said)[0] in names() | configs.flat(config).keys(), said
    assert ("expected" in said and "got" in said) or "no such setting" in said, said


# Of a flag: what a shell may hand over.
TEXTS = st.one_of(
    LEAVES.map(str),
    st.lists(WHOLE, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    st.lists(LEAVES, max_size=3).map(lambda values: str(tuple(values))),
    st.sampled_from(
        ["", "(", "(1,", "[]", "{}", "1e3", "0x10", "1_0", "None", "'", "\u0661", "a b"]
    ),
).filter(lambda text: "\0" not in text and text.isprintable())


@st.composite
def train_arguments(draw):
    """Of train.py, beside what makes the run small."""
    model = draw(st.sampled_from(["dense", "dense", "dense", "ntm"]))
    names = [
        *sorted(configs.flat(small("copy", model))),
        "lerning_rate",
        "model",
        "task",
        "model.x",
    ]
    settings = draw(st.lists(st.tuples(st.sampled_from(names), TEXTS), max_size=3))
    flags = [f"--config.{name}={text}" for name, text in settings]
    others = st.sampled_from(
        ["--workdir=", "--workdir=file", "--workdir=file/run", "--workdir=folder", "--x=1", "word"]
    )
    return model, flags + draw(st.lists(others, max_size=1))


@st.composite
def eval_arguments(draw):
    """Of eval.py, beside what makes the evaluation short."""
    names = ["lengths", "items", "repeats", "counts", "slots", "member", "sequences", "seed"]
    names += ["per_step", "json", "lenghts"]
    settings = draw(st.lists(st.tuples(st.sampled_from(names), TEXTS), max_size=3))
    folders = ["run", "run", "run", "empty", "file", "nothing", "", "half", "newer", "torn"]
    folder = draw(st.sampled_from(folders))
    return [f"--workdir={folder}", *(f"--{name}={text}" for name, text in settings)]
