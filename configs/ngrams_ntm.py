"""The Neural Turing Machine with a feed-forward controller on dynamic N-grams.

python train.py --config=configs/ngrams_ntm.py

Reached on one core of a 2-core CPU machine that was shared: seed 0 alone took 159 s
(ntm_jax/machines/ngrams_ntm.json). Seeds 0 to 9 were all within 1.5 bits a sequence of the optimum
after 5,000 to 6,000 sequences (benchmarks/results/ensembles/ngrams_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on N-grams (section 4.4)."""
    config = default("ngrams", "ntm")
    config.num_steps = 2500
    config.learning_rate = 1e-3
    config.log_every = 50
    config.eval_every = 250
    # A slot for every bit. One read head walks behind the write head: through it the machine sees
    # what it wrote last, and so knows the last bits. The other finds the places where they were
    # written before and goes on by one: what it reads is the mean of what followed.
    config.model.num_slots = 200
    config.model.train_slots = ()
    config.model.num_read_heads = 2
    config.model.content_reads = 1
    config.model.shift_bias = 5.0
    return config
