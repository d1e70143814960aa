"""The Neural Turing Machine with an LSTM controller on dynamic N-grams.

python train.py --config=configs/ngrams_ntm_lstm.py

Reached on one core of a 2-core CPU machine that was shared: seeds 0 to 9, ten at once, were all
within 1.5 bits a sequence of the optimum after 16,000 to 24,000 sequences
(benchmarks/results/ensembles/ngrams_ntm_lstm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with an LSTM controller, on dynamic N-grams (section 4.4)."""
    config = default("ngrams", "ntm")
    config.num_steps = 3500
    config.batch_size = 8
    config.learning_rate = 1e-3
    config.log_every = 50
    config.eval_every = 250
    config.model.controller = "lstm"
    config.model.controller_start = "learned"
    # The controller is to know the last five bits.
    config.model.forget_bias = 1.0
    # A slot for every bit. A read head that finds the places of an earlier context, and goes on by
    # one, reads the mean of what followed.
    config.model.content_reads = 1
    config.model.num_slots = 200
    config.model.train_slots = ()
    return config
