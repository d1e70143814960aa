"""The five tasks of the paper, one module each, and tasks of other modules by their names."""

import dataclasses
import importlib

from ntm_jax.tasks.associative_recall import AssociativeRecall
from ntm_jax.tasks.base import CategoricalTask, Task
from ntm_jax.tasks.copy import Copy
from ntm_jax.tasks.ngrams import Ngrams
from ntm_jax.tasks.priority_sort import PrioritySort
from ntm_jax.tasks.repeat_copy import RepeatCopy

__all__ = ["TASKS", "CategoricalTask", "Task", "find_task"]

TASKS: dict[str, type[Task]] = {
    "copy": Copy,
    "repeat_copy": RepeatCopy,
    "associative_recall": AssociativeRecall,
    "ngrams": Ngrams,
    "priority_sort": PrioritySort,
}


def find_task(name: str) -> type[Task]:
    """Returns the class of a task.

    Args:
      name: a key of `TASKS`, or MODULE:CLASS for a class that Python can import.

    Raises:
      ValueError: there is no such task, or the class cannot be configured.
    """
    if name in TASKS:
        return TASKS[name]
    module, _, class_name = name.partition(":")
    if not (module and class_name):
        raise ValueError(f"expected one of {(*TASKS,)} or MODULE:CLASS, got {name!r}")
    try:
        task = getattr(importlib.import_module(module), class_name)
    except Exception as error:  # the module may be of any quality
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"cannot import {name!r}: {reason}") from error
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ValueError(f"expected a subclass of Task, got {name!r}")
    if not dataclasses.is_dataclass(task) or task.__hash__ is None:
        raise ValueError(f"expected a frozen dataclass, got {name!r}")
    for field in dataclasses.fields(task):
        if not isinstance(field.default, bool | int | float | str | tuple):
            raise ValueError(
                f"expected a number, string or tuple as default of {field.name}, got {name!r}"
            )
    return task
