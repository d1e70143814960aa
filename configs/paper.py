"""The experiments as the paper prints them: tables 1 to 3 and section 4.6.

python train.py --config=configs/paper.py:copy_ntm

After the colon comes a task (copy, repeat_copy, associative_recall, ngrams, priority_sort) and a
model (ntm, ntm_lstm, lstm). All of them have a memory of 128 slots of 20 numbers, RMSProp as in
Graves (2013) with momentum 0.9, and each component of the gradient clipped to [-10, 10]. The number
of updates is not printed, nor the batch, which is one sequence here, nor how a machine starts: that
is by `default`.

None of them was run to its end: they claim nothing.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from ntm_jax.training.config import default


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      num_heads: read heads, and as many write heads; 0 for the baseline.
      hidden_sizes: of the controller, or of the baseline's layers.
      learning_rate: of RMSProp.
    """

    num_heads: int
    hidden_sizes: tuple[int, ...]
    learning_rate: float


ROWS = {
    # Table 1: the feed-forward controller.
    ("copy", "ntm"): Row(1, (100,), 1e-4),
    ("repeat_copy", "ntm"): Row(1, (100,), 1e-4),
    ("associative_recall", "ntm"): Row(4, (256,), 1e-4),
    ("ngrams", "ntm"): Row(1, (100,), 3e-5),
    ("priority_sort", "ntm"): Row(8, (512,), 3e-5),
    # Table 2: the LSTM controller.
    ("copy", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("repeat_copy", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("associative_recall", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("ngrams", "ntm_lstm"): Row(1, (100,), 3e-5),
    ("priority_sort", "ntm_lstm"): Row(5, (100, 100), 3e-5),
    # Table 3: the LSTM alone.
    ("copy", "lstm"): Row(0, (256,) * 3, 3e-5),
    ("repeat_copy", "lstm"): Row(0, (512,) * 3, 3e-5),
    ("associative_recall", "lstm"): Row(0, (256,) * 3, 1e-4),
    ("ngrams", "lstm"): Row(0, (128,) * 3, 1e-4),
    ("priority_sort", "lstm"): Row(0, (128,) * 3, 3e-5),
}


def get_config(experiment: str = "copy_ntm") -> ConfigDict:
    """The settings of an experiment as they are printed.

    Args:
      experiment: a task and a model, such as "copy_ntm".

    Raises:
      LookupError: no such experiment.
    """
    names = {f"{task}_{model}": (task, model) for task, model in ROWS}
    if experiment not in names:
        raise LookupError(f"expected one of {', '.join(names)} after the colon, got {experiment!r}")
    task, model = names[experiment]
    row = ROWS[task, model]
    config = default(task, "skip_lstm" if model == "lstm" else "ntm")
    config.optimizer = "graves_rmsprop"
    config.learning_rate = row.learning_rate
    config.learning_rate_half_life = 0
    config.clip_norm = 0.0
    config.clip_value = 10.0
    config.batch_size = 1
    config.num_steps = 1_000_000
    config.log_every = 1000
    config.eval_every = config.checkpoint_every = 10_000
    config.ema_decay = 0.0
    if model == "lstm":
        config.model.hidden_size = row.hidden_sizes[0]
        config.model.num_layers = len(row.hidden_sizes)
    else:
        config.model.controller = "lstm" if model == "ntm_lstm" else "feed_forward"
        config.model.hidden_sizes = row.hidden_sizes
        config.model.num_read_heads = config.model.num_write_heads = row.num_heads
        config.model.train_slots = ()
    return config
