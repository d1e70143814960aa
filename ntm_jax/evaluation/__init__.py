"""Evaluation of trained models: scores, tables and plots."""

from ntm_jax.evaluation.scoring import (
    Result,
    accuracy_by_step,
    evaluate,
    evaluate_batch,
    evaluate_members,
)
from ntm_jax.evaluation.trained_model import TrainedModel

__all__ = [
    "Result",
    "TrainedModel",
    "accuracy_by_step",
    "evaluate",
    "evaluate_batch",
    "evaluate_members",
]
