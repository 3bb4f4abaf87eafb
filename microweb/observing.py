"""Observing: a core that tells observers of each step, and answers as it would without them.

It is imported for an App that somebody observes, and for no other: see `Core.of`. What goes on
after the response, as a body is streamed or a WebSocket talks, is not told.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from .core import Core, logger
from .middleware import compose
from .model.observation import (
    STEPS,
    Observation,
    plain_params,
    source_of,
    told_of_body,
    told_of_error,
    told_of_match,
    told_of_request,
    told_of_response,
    told_of_value,
)
from .model.request import Request
from .model.response import Response, describe, to_response
from .model.shape import shape_of
from .model.types import Adapt, Call, CallNext, Handler, Middleware
from .routing import Miss, Route

if TYPE_CHECKING:
    from .app import App
    from .model.observation import Source

C = TypeVar("C", bound=Core)

# What there is to tell of a step. It is called for each observer, so that none can spoil it for
# the next, and where a failing does no harm.
Facts = Callable[[], dict[str, Any]]

# Tells of the step of one handler or layer: its "call", "return" or "raise".
Tell = Callable[[str, Request, Facts], None]


def observed(core: type[C]) -> type[C]:
    """A kind of core that does the same, and tells of it."""
    return cast("type[C]", type(f"Observed{core.__name__}", (Observing, core), {}))


class Observing(Core):
    """What a core does beside its work, where it is observed: see `observed`."""

    _request: Request  # of one that `dispatch` made

    def __init__(self, app: App, adapt: Adapt) -> None:
        super().__init__(app, adapt)
        self._handlers: dict[Route, Call] = {}
        self._respond, self.respond = self.respond, self._respond_and_tell

    async def _respond_and_tell(self, request: Request) -> Response:
        made = source_of(type(request).__init__)
        self._tell("request", request, partial(told_of_request, request), made)
        response = await self._respond(request)
        facts = partial(told_of_response, request, response)
        self._tell("response", request, facts, source_of(to_response))
        return response

    def _compose(self) -> CallNext:
        inner: CallNext = self.dispatch
        for layer in reversed(self.app.layers):
            inner = self._around(layer, inner)
        return inner

    def _around(self, layer: Middleware, inner: CallNext) -> CallNext:
        tell = self._teller("layer", layer)
        run = compose((layer,), inner, self._answer_at_edge, self.finish)

        async def run_and_tell(request: Request) -> Response:
            tell("call", request, dict)
            try:
                outcome: Any = await run(request)
            except BaseException as error:  # if it is cancelled, too: a call comes to an end
                tell("raise", request, partial(_told_at_edge, error, None))
                raise
            if isinstance(outcome, _Answered):
                tell("raise", request, partial(_told_at_edge, *outcome))
                return outcome.response
            tell("return", request, lambda: {"status": outcome.status})
            return cast("Response", outcome)

        return run_and_tell

    async def _answer_at_edge(self, request: Request, error: Exception) -> Any:
        # Marked, because the layer has raised, although a response comes out of it.
        answer = await self.answer(request, error)
        return None if answer is None else _Answered(error, answer)

    async def dispatch(self, request: Request) -> Response:
        """The innermost step, by a core of the request's own, which knows for whom it is taken."""
        own = copy(self)
        own._request = request
        own._match = partial(self._match_and_tell, request)
        return await super(Observing, own).dispatch(request)

    def _match_and_tell(
        self, request: Request, method: str, path: str
    ) -> tuple[Route, dict[str, Any]] | tuple[None, Miss]:
        matched = self.app.match(method, path)
        facts = partial(told_of_match, path, *matched)
        self._tell("match", request, facts, source_of(self.app.match))
        return matched

    def _call_for(self, key: object, handler: Handler) -> Call:
        """What the gateway makes of a handler that tells.

        `_calls` knows of no route here, so every dispatch asks, and just after the body is read.
        """
        if not isinstance(key, Route):
            return super()._call_for(key, handler)
        request = self._request
        if request._body or request._uploaded is not None:
            self._tell("body", request, lambda: told_of_body(request), source_of(Request.read))
        call = self._handlers.get(key)
        if call is None:
            call = self._handlers[key] = self._adapt_and_tell(handler)
        return call

    def _adapt_and_tell(self, handler: Handler) -> Call:
        tell = self._teller("handler", handler)
        shape = shape_of(handler)
        if shape == "plain":
            return self._adapt(_Handler(handler, tell, handler))
        if shape == "async":
            return self._adapt(_AsyncHandler(handler, tell, handler))
        # The call of a generator function only makes a generator, which nothing need adapt.
        call, awaits = self._adapt(handler)
        return _Handler(handler, tell, call), awaits

    def _teller(self, what: str, function: Callable[..., Any]) -> Tell:
        name, source = describe(function), source_of(function)

        def tell(step: str, request: Request, facts: Facts) -> None:
            self._tell(f"{what}.{step}", request, lambda: {what: name, **facts()}, source)

        return tell

    def _tell(
        self, kind: str, request: Request, facts: Facts, source: Source | None = None
    ) -> None:
        for observer in self.app.observers:
            try:
                observer(Observation(kind, STEPS[kind], request, facts(), source))
            except Exception:
                # It is told, and takes no part: the answer is not to suffer.
                logger.exception("the observer %s failed at %r", describe(observer), kind)


class _Answered(NamedTuple):
    """An error that a layer raised, and the response that was made of it at the layer's edge."""

    error: Exception
    response: Response


def _told_at_edge(error: BaseException, answer: Response | None) -> dict[str, Any]:
    return {**told_of_error(error), "status": None if answer is None else answer.status}


class _Handler:
    """A handler that tells of its call; adapted as it would be itself, since its shape is kept."""

    def __init__(self, handler: Handler, tell: Tell, run: Handler) -> None:
        self.func = handler  # where `describe` finds it, as in a partial
        self._tell = tell
        self._run = run
        self._is_async = "async" in shape_of(handler)

    def __call__(self, subject: Any, /, **path_params: Any) -> Any:
        request = self._begin(subject, path_params)
        try:
            value = self._run(subject, **path_params)
        except BaseException as error:
            self._fail(request, error)
            raise
        self._end(request, value)
        return value

    def _begin(self, subject: Any, path_params: dict[str, Any]) -> Request:
        # The subject of a conversation is its WebSocket.
        request: Request = subject if isinstance(subject, Request) else subject.request
        is_async = self._is_async
        self._tell(
            "call", request, lambda: {"is_async": is_async, "arguments": plain_params(path_params)}
        )
        return request

    def _fail(self, request: Request, error: BaseException) -> None:
        self._tell("raise", request, partial(told_of_error, error))

    def _end(self, request: Request, value: Any) -> None:
        self._tell("return", request, partial(told_of_value, value))


class _AsyncHandler(_Handler):
    async def __call__(self, subject: Any, /, **path_params: Any) -> Any:
        request = self._begin(subject, path_params)
        try:
            value = await self._run(subject, **path_params)
        except BaseException as error:
            self._fail(request, error)
            raise
        self._end(request, value)
        return value
