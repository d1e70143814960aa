"""NTM on tasks of the Chomsky hierarchy (Delétang et al., ICLR 2023).

Command: python train.py --config=configs/chomsky.py:reverse_string

After the colon stands one of the keys of `TASKS`.
"""

from ml_collections import ConfigDict

from ntm_jax.training.config import default

TASKS = {
    "even_pairs": "EvenPairs",
    "parity_check": "ParityCheck",
    "cycle_navigation": "CycleNavigation",
    "stack_manipulation": "StackManipulation",
    "reverse_string": "ReverseString",
    "modular_arithmetic": "ModularArithmetic",
    "solve_equation": "SolveEquation",
    "duplicate_string": "DuplicateString",
    "binary_multiplication": "BinaryMultiplication",
    "compute_sqrt": "ComputeSqrt",
}
# Answers of one symbol: what has been read so far has few classes, which the controller can hold.
_ONE_SYMBOL = (
    "even_pairs",
    "parity_check",
    "cycle_navigation",
    "modular_arithmetic",
    "solve_equation",
)

# Expressions with brackets: far more sequences than for the others, and still not learned.
_BRACKETS = ("modular_arithmetic", "solve_equation")


def get_config(task: str) -> ConfigDict:
    """Returns the configuration of a task.

    Args:
      task: a key of `TASKS`.

    Raises:
      LookupError: unknown task.
    """
    if task not in TASKS:
        raise LookupError(f"expected one of {(*TASKS,)}, got {task!r}")
    config = default(f"experiments.chomsky_tasks:{TASKS[task]}", "ntm")
    config.batch_size = 8
    config.train_steps_after_solved = 2000
    config.model.train_num_slots = (48, 96)
    config.model.num_slots = 96
    if task in _ONE_SYMBOL:
        config.curriculum = "growing"
        config.model.controller = "lstm"
        config.model.forget_bias = 1.0
        if task in _BRACKETS:
            config.batch_size = 32
            config.max_grad_norm = 0.2
            config.learning_rate_half_life = 15_000
            config.curriculum_loss_threshold = 0.2  # lengths grow before all answers are right
            config.model.shift_bias = 0.0  # a stack moves back as often as forward
            config.model.train_num_slots = (16, 32)  # brackets are at most 13 deep
            config.model.num_slots = 32
        return config
    # With an LSTM controller, more seeds stop at a part of the string.
    config.model.num_read_heads = 2
    config.model.shift_bias = 1.0  # weaker than the default, for heads that also move back
    if task in ("reverse_string", "duplicate_string"):
        config.restart_after_steps = 4000
    else:
        config.max_grad_norm = 0.2
    if task == "stack_manipulation":
        config.curriculum = "growing"
        config.num_train_steps = 24_000
        config.restart_after_steps = 6000
    return config
