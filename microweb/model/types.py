"""The callables that an application is made of, named once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .request import Request
    from .response import Response

# handler(request, **path_params), plain or async; what it may return: model/response.py
Handler = Callable[..., Any]
HandlerT = TypeVar("HandlerT", bound=Handler)

# handler(request, error), plain or async
ExceptionHandler = Callable[[Any, Any], Any]

# The inner side of a layer: the next layer, or the handler itself.
CallNext = Callable[["Request"], Coroutine[Any, Any, "Response"]]

# A generator function of (request), or an async function of (request, call_next)
Middleware = Callable[..., Any]
MiddlewareT = TypeVar("MiddlewareT", bound=Middleware)

# A generator function or an async generator function of (app), which yields once
Lifespan = Callable[[Any], Any]
LifespanT = TypeVar("LifespanT", bound=Lifespan)

# observer(observation): microweb.observing
Observer = Callable[[Any], object]
ObserverT = TypeVar("ObserverT", bound=Observer)

# What a gateway makes of a handler: what to call, and whether its result is to be awaited
Call = tuple[Callable[..., Any], bool]
Adapt = Callable[[Handler], Call]
