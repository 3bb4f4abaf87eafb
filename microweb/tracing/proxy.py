"""Proxy: an object that is passed on as if it were the one that it stands for."""

from __future__ import annotations

from typing import Any

_of = object.__getattribute__
_set = object.__setattr__


class Proxy:
    """Has the attributes of the original, its own class included, as `isinstance` asks for it.

    What Python looks up in a type, as `__iter__`, a subclass defines for itself. So it does with
    the methods that are to be recorded: `wrapped` is asked for each callable attribute.
    """

    __slots__ = ("__weakref__", "_exchange", "_original")

    def __init__(self, original: Any, exchange: Any) -> None:
        _set(self, "_original", original)
        _set(self, "_exchange", exchange)

    @property
    def __class__(self) -> Any:
        return _of(self, "_original").__class__

    @__class__.setter
    def __class__(self, kind: Any) -> None:
        _of(self, "_original").__class__ = kind

    def __getattr__(self, name: str) -> Any:
        value = getattr(_of(self, "_original"), name)
        return value if not callable(value) else type(self).wrapped(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_of(self, "_original"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_of(self, "_original"), name)

    def __repr__(self) -> str:
        return repr(_of(self, "_original"))

    def wrapped(self, _name: str, method: Any) -> Any:
        """The method, or one that records and calls it."""
        return method
