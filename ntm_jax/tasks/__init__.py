"""The five tasks of the paper, one module each."""

from ntm_jax.tasks.associative_recall import AssociativeRecall
from ntm_jax.tasks.base import Task
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.ngrams import Ngrams
from ntm_jax.tasks.priority_sort import PrioritySort
from ntm_jax.tasks.repeat_copy import RepeatCopy

__all__ = ["TASKS"]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "ngrams": Ngrams,
    "priority_sort": PrioritySort,
}
