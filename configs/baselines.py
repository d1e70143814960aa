"""A GRU and a small Transformer on the tasks of the paper, which had neither.

python train.py --config=configs/second_opinion.py:copy_gru

After the colon comes a task (copy, repeat_copy, associative_recall, ngrams, priority_sort) and a
model (gru, transformer), of about as many parameters as the LSTM of table 3 has on that task, and
trained as that is in its config.

Reached on one core of a 2-core CPU machine by seeds 0 to 2, medians (benchmarks/results/ensembles):

                                 after      gru   transformer
copy                            80,000       18             0   wrong bits of 160 at length 20
repeat_copy                     20,000      304           146   wrong bits of 801 at 10 x 10
associative_recall              40,000        6             6   wrong bits of 18 at 6 items
ngrams                          40,000       22            23   bits above the optimum
priority_sort                   96,000       42            15   wrong bits of 128
"""

import importlib

from ml_collections import ConfigDict

from ntm_jax.training.config import default

TASKS = ("copy", "repeat_copy", "associative_recall", "ngrams", "priority_sort")


def get_config(experiment: str = "copy_gru") -> ConfigDict:
    """The settings of a task's LSTM with another model.

    Args:
      experiment: a task and a model, such as "copy_gru".

    Raises:
      LookupError: no such experiment.
    """
    names = [f"{task}_{model}" for task in TASKS for model in ("gru", "transformer")]
    if experiment not in names:
        raise LookupError(f"expected one of {', '.join(names)} after the colon, got {experiment!r}")
    task, _, model = experiment.rpartition("_")
    config = importlib.import_module(f"configs.{task}_lstm").get_config()
    hidden_size = config.model.hidden_size
    config.model = default(task, model).model
    if model == "gru":
        config.model.hidden_size = hidden_size
    else:  # four layers of this width are about as large
        config.model.width = 5 * hidden_size // 8
    return config
