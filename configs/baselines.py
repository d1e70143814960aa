"""GRU and Transformer baselines on the tasks of the paper, which has neither.

Command: python train.py --config=configs/baselines.py:copy_gru

After the colon stand a task (copy, repeat_copy, associative_recall, ngrams, priority_sort) and a
model (gru, transformer). Each model has about as many parameters as the LSTM of table 3 on the same
task, and the training settings of that LSTM's config.

Result: none is solved. Medians over seeds 0 to 2:

                      sequences   gru   transformer
  copy                   80,000    18             0   bit errors of 160 at length 20
  repeat_copy            20,000   304           146   bit errors of 801 at length 10, 10 repeats
  associative_recall     40,000     6             6   bit errors of 18 with 6 items
  ngrams                 40,000    22            23   bits above the Bayes-optimal cost
  priority_sort          96,000    42            15   bit errors of 128

Wall time: 7 to 64 min for three seeds together, on one core of a 2-core CPU (AMD EPYC, Intel Xeon).
Result file: experiments/results/ensembles.jsonl
"""

import runpy
from pathlib import Path

from ml_collections import ConfigDict

from ntm_jax.training.config import default

TASKS = ("copy", "repeat_copy", "associative_recall", "ngrams", "priority_sort")


def get_config(experiment: str = "copy_gru") -> ConfigDict:
    """Returns the LSTM configuration of a task, with another model.

    Args:
      experiment: a task and a model, such as "copy_gru".

    Raises:
      LookupError: the experiment does not exist.
    """
    names = [f"{task}_{model}" for task in TASKS for model in ("gru", "transformer")]
    if experiment not in names:
        raise LookupError(f"expected one of {', '.join(names)} after the colon, got {experiment!r}")
    task, _, model = experiment.rpartition("_")
    # Not an import: an installed package has this folder under another name.
    lstm_config = runpy.run_path(str(Path(__file__).with_name(f"{task}_lstm.py")))
    config = lstm_config["get_config"]()
    hidden_size = config.model.hidden_size
    config.model = default(task, model).model
    if model == "gru":
        config.model.hidden_size = hidden_size
    else:  # four layers of this width have about as many parameters
        config.model.d_model = 5 * hidden_size // 8
    return config
