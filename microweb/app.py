"""App: what an application registers; and Core: how a Request becomes a Response.

Nothing in here reads from or writes to anything, and nothing knows WSGI or ASGI. That is
what lets two gateways share it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from .middleware import compose, is_async_layer
from .model.errors import HTTPException
from .model.lazy import lazy
from .model.problems import error_answer
from .model.request import Request
from .model.response import (
    Response,
    describe,
    redirect_to_path,
    response_for,
    to_response,
)
from .model.shape import shape_of
from .model.types import (
    Adapt,
    Call,
    CallNext,
    ExceptionHandler,
    Handler,
    Lifespan,
    LifespanT,
    Middleware,
    MiddlewareT,
)
from .paths import Converter
from .routing import WEBSOCKET, Miss, Router

if TYPE_CHECKING:
    from .gateways.asgi import ASGIGateway
    from .gateways.wsgi import WSGIGateway

logger = logging.getLogger("microweb")

# Set by a test that wants to see an unexpected error itself instead of its 500.
propagate_errors: ContextVar[bool] = ContextVar("propagate_errors", default=False)


class App(Router):
    """An application: routes, layers, exception handlers and lifespans, served by two doors.

    `debug` shows tracebacks to the client. `threads` bounds how many plain handlers run at
    once under ASGI. `max_body_size`, in bytes, bounds a body that is kept in memory, and the
    fields of a form together; `max_upload_size` one that is not: a multipart form, whose files
    go to disk, and the stream of a route. `converters` adds kinds of path parameters.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        threads: int = 40,
        max_body_size: int = 16 * 1024 * 1024,
        max_upload_size: int = 1024 * 1024 * 1024,
        converters: Mapping[str, Converter] | None = None,
    ) -> None:
        super().__init__(converters=converters)
        if threads < 1:
            raise ValueError(f"App(threads={threads}): at least 1")
        for name, size in (("max_body_size", max_body_size), ("max_upload_size", max_upload_size)):
            if size < 0:
                raise ValueError(f"App({name}={size}): a number of bytes, 0 or more")
        self.debug = debug
        self.threads = threads
        self.max_body_size = max_body_size
        self.max_upload_size = max_upload_size
        self.state = SimpleNamespace()
        self.layers: list[Middleware] = []
        self.lifespans: list[Lifespan] = []
        self.exception_handlers: dict[int | type[Exception], ExceptionHandler] = {}
        self._served = False

    @lazy
    def wsgi(self) -> WSGIGateway:
        """The application as PEP 3333 wants it: `app.wsgi(environ, start_response)`."""
        from .gateways.wsgi import WSGIGateway

        return WSGIGateway(self)

    @lazy
    def asgi(self) -> ASGIGateway:
        """The application as ASGI 3.0 wants it: `await app.asgi(scope, receive, send)`."""
        from .gateways.asgi import ASGIGateway

        return ASGIGateway(self)

    def __call__(self, *_: object, **__: object) -> None:
        """Always raises TypeError: a server calls one of the two doors, not the App."""
        raise TypeError(
            "an App has two doors, and a server must be told which: in the file that the server"
            " loads write `app = site.wsgi` (gunicorn file:app) or `app = site.asgi`"
            " (uvicorn file:app), where `site` is this App"
        )

    def mount(self, prefix: str, router: Router) -> None:
        """Take in a router's routes below `prefix`: see `Router.mount`."""
        if isinstance(router, App):
            raise TypeError(
                f"mount at {prefix!r}: an App would lose its layers and handlers; mount a Router"
            )
        super().mount(prefix, router)

    def middleware(self, layer: MiddlewareT) -> MiddlewareT:
        """Add a layer around the handlers; the first one added is the outermost.

        A layer is a generator function of (request) that yields once, or an async function
        of (request, call_next). Raises TypeError for anything else, and RuntimeError after
        the first request, when the onion is composed already.
        """
        is_async_layer(layer)
        if self._served:
            raise RuntimeError(
                f"middleware {describe(layer)} comes after the first request; add it before"
            )
        self.layers.append(layer)
        return layer

    def exception_handler(
        self, what: int | type[Exception]
    ) -> Callable[[ExceptionHandler], ExceptionHandler]:
        """Answer errors of a status or a class: `@app.exception_handler(404)`.

        `handler(request, error)` returns what any handler may; a bare value takes the
        error's status, or 500. A status wins over a class, a class over its bases. For an
        unexpected error 500 and Exception are the last resort: they stand outside all layers,
        and the error they answer is logged all the same.
        """
        if isinstance(what, bool) or not (
            (isinstance(what, int) and 300 <= what <= 599)
            or (isinstance(what, type) and issubclass(what, Exception))
        ):
            raise TypeError(
                f"exception_handler({what!r}): give a status, 300 to 599, or a class of Exception"
            )

        def register(handler: ExceptionHandler) -> ExceptionHandler:
            there = self.exception_handlers.get(what)
            if there is not None:
                raise ValueError(
                    f"exception_handler({what!r}) for {describe(handler)} is there already:"
                    f" {describe(there)}"
                )
            self.exception_handlers[what] = handler
            return handler

        return register

    def lifespan(self, function: LifespanT) -> LifespanT:
        """Register what runs around the application's life in one process.

        A generator function or an async generator function of (app), which yields once:
        None, or a mapping that is merged into `app.state`. Several nest, the first outermost.
        Raises TypeError for any other function, and RuntimeError after the start.
        """
        if "generator" not in shape_of(function):
            raise TypeError(
                f"lifespan {describe(function)} is no generator function; it should yield once,"
                " between what starts and what stops"
            )
        if self._served:
            raise RuntimeError(
                f"lifespan {describe(function)} comes after the start; register it before"
            )
        self.lifespans.append(function)
        return function


class Core:
    """The one dispatch, as one gateway needs it: handlers adapted, the onion composed.

    Everything is `async def`, and nothing in here suspends: only what the gateway's `adapt`
    made of a handler can. ASGI awaits `respond`, which walks a request through the layers to
    its handler and the response back out. WSGI steps it by hand (`gateways.wsgi.stepped`).
    """

    def __init__(self, app: App, adapt: Adapt) -> None:
        app._served = True
        self.app = app
        self._adapt = adapt
        # By the route, or by the identity of an exception handler: some cannot be hashed.
        self._calls: dict[object, Call] = {}
        self._match = app.match
        self._enter = compose(app.layers, self.dispatch, self.answer, self.finish)
        # Without layers there is nothing between the outer edge and the innermost step.
        self.respond: CallNext = self._through_layers if app.layers else self.dispatch

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

        if is_handshake(request) and self._match(WEBSOCKET, request.path)[0] is not None:
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
                return self._refused(request, HTTPException(405, headers=headers))
            return Response(b"", 204, headers)
        if miss.redirect is not None:
            return redirect_to_path(request, miss.redirect)
        return self._refused(request, HTTPException(404))

    def _refused(self, request: Request, error: HTTPException) -> Response:
        # Raised only where an exception handler may want it: that is a fifth of a 404's cost.
        if self.app.exception_handlers:
            raise error
        return error_answer(request, error)

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
