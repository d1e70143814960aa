"""NTM on tasks of "Neural Networks and the Chomsky Hierarchy" (Delétang et al., ICLR 2023)."""

from ml_collections import ConfigDict

from ntm_jax.training.config import default

TASKS = {
    "parity_check": "ParityCheck",
    "even_pairs": "EvenPairs",
    "cycle_navigation": "CycleNavigation",
    "stack_manipulation": "StackManipulation",
    "reverse_string": "ReverseString",
    "modular_arithmetic": "ModularArithmetic",
    "solve_equation": "SolveEquation",
    "duplicate_string": "DuplicateString",
    "binary_multiplication": "BinaryMultiplication",
    "compute_sqrt": "ComputeSqrt",
}


def get_config(task: str) -> ConfigDict:
    """Returns the configuration of a task."""
    config = default(f"experiments.chomsky_tasks:{TASKS[task]}", "ntm")
    config.batch_size = 8
    config.model.controller = "lstm"
    config.model.forget_bias = 1.0
    config.model.train_num_slots = (48, 96)
    config.model.num_slots = 128
    return config
