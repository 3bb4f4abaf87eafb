"""shape_of: what kind of function something is, which decides how it can be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

Shape = Literal["plain", "async", "generator", "async generator"]


def shape_of(function: Callable[..., Any]) -> Shape:
    """Tell the four shapes apart, also inside a partial and for an object with `__call__`.

    A function that merely returns a coroutine is plain: nothing about it says otherwise.
    """
    while isinstance(function, partial):
        function = function.func
    candidates = [function]
    if not isinstance(function, type):
        candidates.append(getattr(function, "__call__", None))  # type: ignore[arg-type]  # noqa: B004
    for candidate in candidates:
        if inspect.iscoroutinefunction(candidate):
            return "async"
        if inspect.isasyncgenfunction(candidate):
            return "async generator"
        if inspect.isgeneratorfunction(candidate):
            return "generator"
    return "plain"
