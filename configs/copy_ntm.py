"""NTM with a feed-forward controller on the copy task (section 4.1).

Command: python train.py --config=configs/copy_ntm.py
Result: all of seeds 0 to 29 are solved, after 3,000 to 5,000 training steps. Trained for 10,000
  more steps, all are solved in every evaluation, and then make no bit errors at lengths up to 120,
  nor at 300 with 512 slots and 1,000 with 2,048 slots.
Wall time: 31 to 35 s per seed (seeds 0 to 9, trained separately), on a 2-core CPU (AMD EPYC).
Result files: experiments/results/ensembles.jsonl, experiments/results/single_seeds.jsonl
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """Returns the configuration."""
    config = default("copy", "ntm")
    config.model.addressing_noise_std = 1.0  # a margin at the training lengths, for longer ones
    config.adam_eps = 1e-4  # keeps updates small once the loss is near zero
    config.task.zero_vector_prob = 0.1  # distinguishes zero vectors from the zeros after them
    return config
