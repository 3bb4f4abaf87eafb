"""lazy: an attribute computed at its first access and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):
    """Compute once per instance, then be a plain attribute.

    `functools.cached_property` does the same, but until Python 3.12 it takes a lock that
    all instances share. A request belongs to one thread at a time and needs none.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        # Stored under its own name, the value hides this descriptor from now on.
        value = instance.__dict__[self.name] = self.compute(instance)
        return value
