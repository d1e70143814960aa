"""The settings that there are, and what they are where nobody says otherwise."""

import dataclasses
from typing import Any

from ml_collections import ConfigDict

from ntm_jax.tasks import TASKS

__all__ = ["CURRICULA", "ConfigError", "default", "eval_name", "plural", "shown"]


CURRICULA = ("none", "uniform", "growing")


class ConfigError(ValueError):
    """A config that cannot be run; the message names the field, what was expected and what came."""


def shown(value: Any) -> str:
    """A value as one line of a message shows it."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # more digits than Python converts
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def plural(axis: str) -> str:
    """The flag with several numbers of a task's axis, such as "lengths" or "repeats"."""
    return f"{axis.removesuffix('s')}s"


def eval_name(axis: str) -> str:
    """The setting with the numbers of a task's axis that are evaluated, such as "eval_lengths"."""
    return f"eval_{plural(axis)}"


_TASKS = {
    name: {field.name: field.default for field in dataclasses.fields(task)}  # type: ignore[arg-type]
    for name, task in TASKS.items()
}

_MODELS = {
    "ntm": dict(
        controller="feed_forward",
        hidden_sizes=(100,),
        activation="tanh",
        forget_bias=-1.0,
        num_slots=128,
        # Memories to train with, by turns, an update each; () trains with num_slots. No parameter
        # depends on the slots, and in a small memory more seeds learn, in half the time. The small
        # one has a slot for each vector of copy, the mark and the delimiter's step: with 24, some
        # read heads waited where the sequence ends if it fills the memory. With the small one
        # alone, some came to count on walking all the way round.
        train_slots=(22, 64),
        slot_width=20,
        num_read_heads=1,
        num_write_heads=1,
        max_shift=1,
        memory_start="marked",
        memory_scale=0.1,  # of the mark, of the constant, or the deviation of random numbers
        weights_start="one_hot",
        controller_start="zero",
        # A full memory, of vectors a little similar to the one that a head looks for, outweighs it
        # unless the strength is far above what the trained lengths ask for.
        strength_bias=10.0,
        gate_bias=-3.0,
        sharpness_bias=1.0,
        shift_bias=2.0,
        # So many read heads start by looking for what they see; others walk like the write head.
        content_reads=0,
        # Of what moves the heads, in training, as a deviation: 1.0 makes a machine that is right at
        # the trained lengths by a narrow margin wrong there too, so that it learns on.
        head_noise=0.0,
        output_from_reads=True,
        dtype="float32",
        remat=True,
        segment=0,  # steps; about the root of a long sequence trains it in little memory
    ),
    "skip_lstm": dict(hidden_size=256, num_layers=3),
    "gru": dict(hidden_size=256, num_layers=3),
    "transformer": dict(width=160, num_layers=4, num_heads=8),
    "keras_lstm": dict(hidden_sizes=(256, 256)),
    "dense": {},
}


def default(task: str = "copy", model: str = "ntm") -> ConfigDict:
    """The settings of a task and a model, to be overridden.

    Args:
      task: one of `tasks.TASKS`.
      model: "ntm"; or a baseline: "skip_lstm" (table 3), "gru", "transformer", "keras_lstm",
        "dense" (ntm_keras).

    Returns:
      A config that trains as it stands.

    Raises:
      ConfigError: no such task or model.
    """
    settings = _pick("task.name", _TASKS, task)
    return ConfigDict(
        dict(
            seed=0,
            num_seeds=1,  # members trained at once, with the seeds from `seed` on
            num_steps=20_000,  # updates at the most
            batch_size=4,
            optimizer="adam",
            learning_rate=2e-3,
            learning_rate_half_life=4000,  # updates; 0 keeps the rate
            # Not the usual 0.999. Of a learned task the gradients are next to nothing, until one
            # sequence in thousands fails or a gradient explodes; such a lone one moves every
            # parameter by 32 learning rates in all, by 10 with 0.99 and by 6 with 0.9. Of ten
            # machines with an LSTM controller, 0.99 lost two.
            adam_b2=0.9,
            # A larger one, such as 1e-5, damps what a lone gradient does.
            adam_eps=1e-8,
            # Of the average of the parameters that is evaluated and kept: of some 500 updates, for
            # the latest alone may be a bad one; 0 keeps that.
            ema_decay=0.998,
            clip_norm=1.0,  # the largest global norm of the gradient; 0 does not clip it
            clip_value=0.0,  # the largest size of each of its numbers; 0 does not clip them
            max_skipped=20,  # updates in a row skipped for a value that is not finite
            log_every=100,
            eval_every=500,
            checkpoint_every=1000,
            # Of each axis of the task, such as eval_lengths; together, all sizes they make.
            **{eval_name(axis): numbers for axis, numbers in TASKS[task].axes.items()},
            eval_sequences=256,  # of each size
            solved_in_a_row=5,  # evaluations after which a machine counts as solved
            updates_after_solved=0,  # then it trains for so many more, and stops
            # Sizes that training draws from: "uniform", all of the task's from the start; "none",
            # the largest alone; "growing", those up to one that grows from the smallest to the
            # largest by so many updates whose error is small: below so many bits a scored bit.
            curriculum="uniform",
            curriculum_updates=2000,
            curriculum_error=0.05,
            # Updates after which a machine that always was as wrong at the trained sizes as one
            # that has collapsed begins anew, from other parameters; 0 leaves it as it is.
            restart_after=0,
            task=dict(name=task, **settings),
            model=dict(name=model, **_pick("model.name", _MODELS, model)),
        )
    )


def _pick(field: str, choices: dict[str, Any], name: Any) -> Any:
    if not isinstance(name, str) or name not in choices:
        raise ConfigError(f"{field}: expected one of {tuple(choices)}, got {shown(name)}")
    return choices[name]
