"""compose: layers around a core, the first one outermost.

A layer comes in one of two forms. A generator of (request) runs up to its `yield`, waits
there while everything inside it runs, and is given the response. An async function of
(request, call_next) awaits what is inside it by itself. Both become the same thing here,
a CallNext: an async function from a Request to a Response.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from ..model.request import Request
from ..model.response import Response, describe, response_for
from ..model.shape import shape_of
from ..model.types import CallNext, Middleware

# The response to an error that a layer raised, made at that layer's edge; None if the error
# is not one that somebody expected.
Answer = Callable[[Request, Exception], Awaitable[Response | None]]

# What a response comes to that is not ready yet: that of a file, which has to be opened.
Finish = Callable[[Request, Response], Awaitable[Response]]


def compose(
    layers: Sequence[Middleware], core: CallNext, answer: Answer, finish: Finish
) -> CallNext:
    """Put the layers around the core. Done once; a request only walks through."""
    inner = core
    for layer in reversed(layers):
        wrap = _async_layer if is_async_layer(layer) else _generator_layer
        inner = wrap(layer, inner, answer, finish)
    return inner


def is_async_layer(layer: Middleware) -> bool:
    """Tell the two forms apart.

    Raises TypeError for what is neither: a plain function would block the loop that it
    cannot await, an async generator has no place to be given the response.
    """
    shape = shape_of(layer)
    if shape in _FORMS:
        _check_signature(layer, *_FORMS[shape])
        return shape == "async"
    slip = _CLASS if isinstance(layer, type) else _SLIPS.get(shape, "")
    raise TypeError(
        f"middleware {describe(layer)} is neither a generator function of (request) that"
        f" yields once nor an async function of (request, call_next){slip}"
    )


_FORMS = {"generator": ("request",), "async": ("request", "call_next")}
_CLASS = "; it is a class: add an instance of it"
_SLIPS = {
    "plain": "; did you forget its yield?",
    "async generator": "; write it as the one or the other, not as both",
}


def _check_signature(layer: Middleware, *parameters: str) -> None:
    try:
        inspect.signature(layer).bind(*parameters)
    except TypeError as error:
        raise TypeError(
            f"middleware {describe(layer)} does not fit: {error};"
            f" its parameters should be ({', '.join(parameters)})"
        ) from None


def _generator_layer(
    layer: Middleware, inner: CallNext, answer: Answer, finish: Finish
) -> CallNext:
    async def run(request: Request) -> Response:
        paused: Generator[None, Response, Any] = layer(request)
        response: Response | None = None
        what = "returned without a yield"
        try:
            next(paused)
            try:
                response = await inner(request)
            except Exception as error:
                what = f"caught {error!r}"
                paused.throw(error)
            except BaseException:
                # Cancelled: the layer's `finally` runs now, not whenever it is collected.
                paused.close()
                raise
            else:
                paused.send(response)
        except StopIteration as stop:
            if stop.value is None and response is not None:
                return response
            return await finish(request, _own_answer(stop.value, request, layer, what))
        except Exception as error:
            if (answered := await answer(request, error)) is None:
                raise
            return answered
        paused.close()
        raise RuntimeError(f"middleware {describe(layer)} yielded twice; a layer yields once")

    return run


def _async_layer(layer: Middleware, inner: CallNext, answer: Answer, finish: Finish) -> CallNext:
    async def run(request: Request) -> Response:
        try:
            value = await layer(request, inner)
        except Exception as error:
            if (response := await answer(request, error)) is None:
                raise
            return response
        response = _own_answer(value, request, layer, "ended")
        return response if response._finish is None else await finish(request, response)

    return run


def _own_answer(value: Any, request: Request, layer: Middleware, what: str) -> Response:
    if value is None:
        raise RuntimeError(
            f"middleware {describe(layer)} {what} and returned no response"
        ) from None
    return response_for(request, value, layer)
