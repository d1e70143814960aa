"""Errors that give the new name of a field or a module attribute that was renamed."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

__all__ = ["renamed_fields", "renamed_names"]

_Class = TypeVar("_Class", bound=type[Any])


def renamed_fields(**old_to_new: str | None) -> Callable[[_Class], _Class]:
    """Returns a class decorator whose `__init__` refuses old field names.

    Args:
      **old_to_new: the new name of each old field, or None if the field was removed.

    Returns:
      The decorator; `__init__` and `clone` of its class raise TypeError for an old name.
    """

    def decorate(cls: _Class) -> _Class:
        init = cls.__init__

        @functools.wraps(init)
        def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
            for old, new in old_to_new.items():
                if old in kwargs:
                    change = f"renamed to {new}" if new else "was removed"
                    raise TypeError(f"{cls.__name__}.{old}: {change}")
            init(self, *args, **kwargs)

        cls.__init__ = checked_init
        return cls

    return decorate


def renamed_names(module_name: str, old_to_new: Mapping[str, str]) -> Callable[[str], Any]:
    """Returns a module's `__getattr__`, which raises ImportError with the new name of an old one.

    It is no AttributeError, because `from module import old` discards the message of that.

    Args:
      module_name: the module's `__name__`.
      old_to_new: the new name of each old attribute.
    """

    def module_getattr(name: str) -> Any:
        if name in old_to_new:
            raise ImportError(f"{module_name}.{name}: renamed to {old_to_new[name]}")
        raise AttributeError(f"module {module_name!r} has no attribute {name!r}")

    return module_getattr
