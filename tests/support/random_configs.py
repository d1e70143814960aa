"""Draws valid and invalid configs."""

import functools
import re

from hypothesis import strategies as st
from ml_collections import ConfigDict

from ntm_jax.tasks import TASKS
from ntm_jax.training import config as config_lib

MODELS = ("ntm", "lstm_skip", "gru", "transformer", "keras_lstm", "per_step_dense")
CHOICES = ("adam", "rmsprop_graves2013", "feed_forward", "lstm", "gru", "tanh", "relu", "sigmoid")
CHOICES += (
    "linear",
    "first_slot_marker",
    "constant",
    "random",
    "learned",
    "one_hot",
    "uniform",
    "zero",
)
CHOICES += ("float32", "bfloat16", "default", "ntm_keras", "paper")
CHOICES += ("collier", *TASKS, *MODELS)

# Makes any model small; keys that a model does not have are left out.
SMALL = {
    "num_train_steps": 2,
    "batch_size": 2,
    "log_every_steps": 1,
    "eval_every_steps": 2,
    "checkpoint_every_steps": 2,
    "num_eval_sequences": 2,
    "eval_lengths": (7,),
    "eval_repeats": (2,),
    "eval_items": (3,),
    "eval_counts": (4,),
    "task.max_length": 7,
    "task.max_repeats": 2,
    "task.max_items": 3,
    "task.max_vectors": 4,
    "task.num_sorted": 2,
    "model.hidden_sizes": (4,),
    "model.hidden_size": 4,
    "model.num_layers": 1,
    "model.d_model": 8,
    "model.num_heads": 2,
    "model.num_slots": 9,
    "model.train_num_slots": (9, 12),
    "model.slot_width": 3,
}

# No valid value between 9 and the largest, which would train for days.
INTEGERS = st.one_of(
    st.integers(-2, 9), st.sampled_from([-(10**30), -(10**9), 10**10, 2**31, 2**32, 2**64, 10**400])
)
REAL = st.one_of(
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e39, -1e300, 0.0]),
)
WORDS = st.one_of(st.sampled_from(CHOICES), st.text(max_size=4))
LEAVES = st.one_of(INTEGERS, REAL, WORDS, st.booleans(), st.none())
ANY = st.one_of(
    LEAVES,
    st.lists(INTEGERS, max_size=3).map(tuple),
    st.lists(LEAVES, max_size=3).map(tuple),
    st.lists(LEAVES, max_size=2),
    st.integers(65, 99).map(lambda count: (3,) * count),
    st.dictionaries(st.sampled_from(["name", "a"]), LEAVES, max_size=2),
)


def same_type(value):
    """Returns a strategy for values of the type of `value`, most of them in range."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.one_of(st.integers(1, 9), INTEGERS)
    if isinstance(value, float):
        return st.one_of(st.floats(0, 2), REAL)
    if isinstance(value, tuple):
        return st.one_of(st.lists(st.integers(1, 12), max_size=3).map(tuple), ANY)
    return WORDS


def small(task, model):
    """Returns a config that trains in a moment."""
    config = config_lib.default(task, model)
    keys = config_lib.flatten(config)
    config.update_from_flattened_dict({name: SMALL[name] for name in SMALL if name in keys})
    return config


@st.composite
def configs(draw):
    """Draws a small config with some values changed, rarely all of them, or renamed keys."""
    config = small(draw(st.sampled_from(sorted(TASKS))), draw(st.sampled_from(MODELS)))
    defaults = config_lib.flatten(config)
    keys = st.sampled_from(sorted(defaults))
    chosen = draw(st.one_of(st.lists(keys, min_size=1, max_size=4), st.just(sorted(defaults))))
    values = config.to_dict()
    any_type = draw(st.booleans())
    for key in chosen:
        if len(chosen) > 4 and draw(st.integers(0, 9)) < 8:
            continue
        section, _, field = key.rpartition(".")
        inner = values[section] if section else values
        inner[field] = draw(ANY if any_type else same_type(defaults[key]))
        if any_type and draw(st.integers(0, 9)) == 0:
            inner[draw(st.sampled_from(["learning_rat", "x", "num_slot"]))] = inner.pop(field)
    if draw(st.integers(0, 49)) == 0:
        values[draw(st.sampled_from(["task", "model"]))] = draw(ANY)
    return ConfigDict(values)


@functools.cache
def all_keys():
    """Returns all keys of all tasks and models."""
    keys = (config_lib.flatten(small(task, model)) for task in TASKS for model in MODELS)
    return set().union(*keys)


def assert_names_a_key(error, config):
    """Asserts that an error is one line with a key, the expected value and the given one."""
    message = str(error)
    assert "\n" not in message
    assert re.split(r"[:, ]", message)[0] in all_keys() | config_lib.flatten(config).keys(), message
    assert ("expected" in message and "got" in message) or "unknown key" in message, message
