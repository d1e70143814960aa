"""Experiments with the settings printed in the paper: tables 1 to 3 and section 4.6.

Command: python train.py --config=configs/paper.py:copy_ntm

After the colon stand a task (copy, repeat_copy, associative_recall, ngrams, priority_sort) and a
model (ntm, ntm_lstm, lstm). All NTMs have 128 slots of width 20; all models use RMSProp as in
Graves (2013) with momentum 0.9 and clip gradients elementwise to [-10, 10]. The paper does not
give the number of training steps, the batch size (here 1) or the initialization (here the default).

Result: none, because no experiment was run to completion.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from ntm_jax.training.config import default


class Row(NamedTuple):
    """A row of a table.

    Attributes:
      num_heads: number of read heads and of write heads; 0 for the LSTM.
      hidden_sizes: sizes of the layers of the controller or of the LSTM.
      learning_rate: learning rate of RMSProp.
    """

    num_heads: int
    hidden_sizes: tuple[int, ...]
    learning_rate: float


ROWS = {
    # Table 1: NTM with a feed-forward controller.
    ("copy", "ntm"): Row(1, (100,), 1e-4),
    ("repeat_copy", "ntm"): Row(1, (100,), 1e-4),
    ("associative_recall", "ntm"): Row(4, (256,), 1e-4),
    ("ngrams", "ntm"): Row(1, (100,), 3e-5),
    ("priority_sort", "ntm"): Row(8, (512,), 3e-5),
    # Table 2: NTM with an LSTM controller.
    ("copy", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("repeat_copy", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("associative_recall", "ntm_lstm"): Row(1, (100,), 1e-4),
    ("ngrams", "ntm_lstm"): Row(1, (100,), 3e-5),
    ("priority_sort", "ntm_lstm"): Row(5, (100, 100), 3e-5),
    # Table 3: LSTM.
    ("copy", "lstm"): Row(0, (256,) * 3, 3e-5),
    ("repeat_copy", "lstm"): Row(0, (512,) * 3, 3e-5),
    ("associative_recall", "lstm"): Row(0, (256,) * 3, 1e-4),
    ("ngrams", "lstm"): Row(0, (128,) * 3, 1e-4),
    ("priority_sort", "lstm"): Row(0, (128,) * 3, 3e-5),
}


def get_config(experiment: str = "copy_ntm") -> ConfigDict:
    """Returns the configuration of an experiment.

    Args:
      experiment: a task and a model, such as "copy_ntm".

    Raises:
      LookupError: the experiment does not exist.
    """
    names = {f"{task}_{model}": (task, model) for task, model in ROWS}
    if experiment not in names:
        raise LookupError(f"expected one of {', '.join(names)} after the colon, got {experiment!r}")
    task, model = names[experiment]
    row = ROWS[task, model]
    config = default(task, "lstm_skip" if model == "lstm" else "ntm")
    config.optimizer = "rmsprop_graves2013"
    config.learning_rate = row.learning_rate
    config.learning_rate_half_life = 0
    config.max_grad_norm = 0.0
    config.max_grad_value = 10.0
    config.batch_size = 1
    config.num_train_steps = 1_000_000
    config.log_every_steps = 1000
    config.eval_every_steps = config.checkpoint_every_steps = 10_000
    config.ema_decay = 0.0
    if model == "lstm":
        config.model.hidden_size = row.hidden_sizes[0]
        config.model.num_layers = len(row.hidden_sizes)
    else:
        config.model.controller = "lstm" if model == "ntm_lstm" else "feed_forward"
        config.model.hidden_sizes = row.hidden_sizes
        config.model.num_read_heads = config.model.num_write_heads = row.num_heads
        config.model.train_num_slots = ()
    return config
