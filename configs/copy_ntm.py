"""The Neural Turing Machine with a feed-forward controller on the copy task.

python train.py --config=configs/copy_ntm.py

Reached on a 2-core CPU machine: seeds 0 to 9 took 31 to 35 s each, from typing the command to the
end (benchmarks/results/copy_ntm_alone.json). Seeds 0 to 29 were all solved, after 3,000 to 5,000
updates. Trained on for 10,000 more they were solved in every evaluation, and then made no mistake
in another one, up to 1,000 vectors in 2,048 slots (ensembles/copy_ntm.json).
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default


def get_config() -> ConfigDict:
    """The Neural Turing Machine with a feed-forward controller, on copy (section 4.1)."""
    config = default("copy", "ntm")
    # What is learned at the trained lengths is then right with room to spare, and so beyond them;
    # and while nothing is wrong, next to nothing is changed.
    config.model.head_noise = 1.0
    config.adam_eps = 1e-4
    # Silence is zeros too; so that vectors of zeros before the delimiter are not taken for it.
    config.task.blank_rate = 0.1
    # Some seeds end on a plateau, with a read head that drifts through the input at half speed.
    config.restart_after = 3000
    return config
