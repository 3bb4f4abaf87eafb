"""Core: how a Request becomes a Response.

Nothing in here reads from or writes to anything, and nothing knows WSGI or ASGI. That is
what lets two gateways share it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, cast

from .middleware import compose
from .model.errors import HTTPException
from .model.problems import bare_answer, error_answer
from .model.request import Request
from .model.response import Response, describe, redirect_to_path, response_for, to_response
from .model.types import Adapt, Call, CallNext, ExceptionHandler, Handler
from .routing import WEBSOCKET, Miss

if TYPE_CHECKING:
    from .app import App

logger = logging.getLogger("microweb")

# Set by a test that wants to see an unexpected error itself instead of its 500.
propagate_errors: ContextVar[bool] = ContextVar("propagate_errors", default=False)


class Core:
    """The one dispatch, as one gateway needs it: handlers adapted, the onion composed.

    Everything is `async def`, and nothing in here suspends: only what the gateway's `adapt`
    made of a handler can. ASGI awaits `respond`, which walks a request through the layers to
    its handler and the response back out. WSGI steps it by hand (`gateways.wsgi.stepped`).
    """

    @classmethod
    def of(cls, app: App, adapt: Adapt) -> Self:
        """A core of this kind; one that tells of its steps, if somebody observes the app."""
        if not app.observers:
            return cls(app, adapt)
        from .observing import observed

        return observed(cls)(app, adapt)

    def __init__(self, app: App, adapt: Adapt) -> None:
        app._served = True
        self.app = app
        self._adapt = adapt
        # By the route, or by the identity of an exception handler: some cannot be hashed.
        self._calls: dict[object, Call] = {}
        self._match = app.match
        self._enter = self._compose()
        # Without layers there is nothing between the outer edge and the innermost step.
        self.respond: CallNext = self._through_layers if app.layers else self.dispatch

    def _compose(self) -> CallNext:
        return compose(self.app.layers, self.dispatch, self.answer, self.finish)

    async def _through_layers(self, request: Request) -> Response:
        try:
            return (await self._enter(request)).checked()
        except Exception as error:
            return await self.fail(request, error)

    async def dispatch(self, request: Request) -> Response:
        """The innermost step: match, read the body, call the handler."""
        found: Any  # the path's parameters, or the Miss
        value: Any
        try:
            route, found = self._match(request.method, request.path)
            if self.app.has_websockets:
                self._check_no_handshake(request)
            if route is None:
                return self._without_route(request, found)
            request.route = route
            request.path_params = found
            if route.stream:
                request.open_stream()
            elif request.method != "GET":
                await request.read()
            call, awaits = self._calls.get(route) or self._call_for(route, route.handler)
            value = call(request, **found) if found else call(request)
            if awaits:
                value = await value
            if self.app.layers:
                response = response_for(request, value, route.handler)
            else:
                response = to_response(value, route.handler)
            return response if response._finish is None else await self.finish(request, response)
        except Exception as error:
            answer = await self._settle(request, error)
            if answer is None:
                raise
            return answer

    async def _settle(self, request: Request, error: Exception) -> Response | None:
        """Answer an error of the handler; None if it is for the layers to pass on."""
        try:
            response = await self.answer(request, error)
        except Exception as raised:
            if self.app.layers:
                raise
            return await self.fail(request, raised)
        if response is None and not self.app.layers:
            return await self.fail(request, error)
        return response

    async def answer(self, request: Request, error: Exception) -> Response | None:
        """The response to an error that somebody expected; None for any other.

        What an exception handler raises itself is for nobody else to answer, unless it is an
        HTTPException.
        """
        handler = None if error is request._beyond_answer else self._handler_for(error)
        if handler is not None:
            try:
                return await self._handle(handler, request, error)
            except HTTPException as raised:
                error = raised
            except Exception as raised:
                request._beyond_answer = raised
                raise
        if not isinstance(error, HTTPException):
            return None
        return error_answer(request, error)

    async def finish(self, request: Request, response: Response) -> Response:
        """The response, or what it comes to: that of a file has yet to open it, as plain code may.

        Before any layer sees it, so that a layer is shown the status and the headers that leave.
        """
        try:
            return await self._finished(request, response)
        except HTTPException as error:  # 412 or 416: the file is there, but not for this request
            answer = cast("Response", await self.answer(request, error))
            answer.background = answer.background or response.background
            return answer

    async def _finished(self, request: Request, response: Response) -> Response:
        if response._finish is None:
            return response
        call, awaits = self._call_for(response._finish, response._finish)
        finished: Any = call(request, response)
        if awaits:
            finished = await finished
        return cast("Response", finished)

    async def fail(self, request: Request, error: Exception) -> Response:
        """The one outer 500: logged with its traceback, and a secret from the client."""
        # Quoted, so that neither a method nor a path can forge a line of the log.
        method = repr(request.method)[1:-1]
        logger.error("%s %r failed", method, request.path, exc_info=error)
        if propagate_errors.get():
            raise error
        if self.app.debug:
            from .model.debug_page import debug_page

            return debug_page(request, error)
        handlers = self.app.exception_handlers
        handler = handlers.get(500) or handlers.get(Exception)
        if handler is not None:
            try:
                return await self._handle(handler, request, error)
            except Exception:
                logger.exception("the exception handler %s failed too", describe(handler))
        return error_answer(request, HTTPException(500))

    def _call_for(self, key: object, handler: Handler) -> Call:
        """What the gateway makes of a handler, made once."""
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = self._adapt(handler)
        return call

    def _check_no_handshake(self, request: Request) -> None:
        """Raise HTTPException(501) where a WebSocket is asked for in a mere request."""
        if request.method != "GET" or request.header("upgrade") is None:
            return
        from .model.handshake import WHY_NOT, is_handshake

        if is_handshake(request) and self.app.match(WEBSOCKET, request.path)[0] is not None:
            raise HTTPException(501, WHY_NOT[request.protocol])

    def _without_route(self, request: Request, miss: Miss) -> Response:
        """What the router's Miss means: an answer to OPTIONS, a redirect, or 405 or 404."""
        allow = miss.allow
        if WEBSOCKET in allow:
            if request.method == "GET":
                from .model.handshake import WEBSOCKET_ONLY

                # Not 426: its Upgrade header is hop-by-hop, the server's alone to send.
                raise HTTPException(400, WEBSOCKET_ONLY)
            allow = {*allow - {WEBSOCKET}, "GET"}  # a handshake is one
        if request.method == "OPTIONS" and request.path == "*":
            # The server as a whole is meant (RFC 9110, 9.3.7).
            allow = {"OPTIONS", *self.app.methods()}
        if allow:
            headers = {"allow": ", ".join(sorted({*allow, "OPTIONS"}))}
            if request.method != "OPTIONS":
                return self._refused(request, 405, headers)
            return Response(b"", 204, headers)
        if miss.redirect is not None:
            return redirect_to_path(request, miss.redirect)
        return self._refused(request, 404)

    def _refused(
        self, request: Request, status: int, headers: dict[str, str] | None = None
    ) -> Response:
        # Raised only where an exception handler may want it: that costs more than the answer.
        if self.app.exception_handlers:
            raise HTTPException(status, headers=headers)
        if headers is not None:
            return error_answer(request, HTTPException(status, headers=headers))
        answer = bare_answer(request, status)
        return answer.copy() if self.app.layers else answer

    def _handler_for(self, error: Exception) -> ExceptionHandler | None:
        handlers = self.app.exception_handlers
        if not handlers:
            return None
        if isinstance(error, HTTPException) and error.status in handlers:
            return handlers[error.status]
        for cls in type(error).__mro__:
            if cls in handlers and cls is not Exception:
                return handlers[cls]
        return None

    async def _handle(
        self, handler: ExceptionHandler, request: Request, error: Exception
    ) -> Response:
        call, awaits = self._call_for(id(handler), handler)
        value = call(request, error)
        if awaits:
            value = await value
        if not isinstance(error, HTTPException):
            return await self._finished(request, response_for(request, value, handler, 500))
        response = response_for(request, value, handler, error.status)
        response = await self._finished(request, response)
        own = set(response.headers)
        for name, text in error.headers.multi_items():
            # A 405 keeps its Allow, a 401 its challenges, whatever its page looks like.
            if name not in own:
                response.headers.add(name, text)
        return response
