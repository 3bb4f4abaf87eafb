"""The WSGI gateway: environ -> Request, Response -> start_response and an iterable (PEP 3333).

Read it beside `asgi.py`: the same steps, under the same names, in the same order.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator
from contextvars import Context, copy_context
from errno import ECONNRESET
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..core import Core, logger
from ..middleware import is_async_layer
from ..model.errors import PHRASES, ClientDisconnect, HTTPException
from ..model.problems import error_answer
from ..model.response import BODILESS, Response, close_chunks, describe, encode_chunk
from ..model.shape import shape_of
from ..model.types import Call, Handler
from ..mounts import Mount, mount_for
from .lifespan import States, is_async_life, life
from .process import PerProcess
from .wsgi_request import BLOCK, Environ, WSGIRequest

if TYPE_CHECKING:
    from ..app import App
    from ..model.file_body import FileBody
    from .visits import AppLoop

T = TypeVar("T")
_STATUS_LINES = {code: f"{code} {PHRASES.get(code, 'Unknown')}" for code in range(200, 600)}


class StartResponse(Protocol):
    """The server's `start_response`, as far as this gateway uses it."""

    def __call__(self, status: str, headers: list[tuple[str, str]], /) -> object: ...


Respond = Callable[[WSGIRequest], Response]


class WSGIGateway(PerProcess):
    """`app.wsgi`: what a WSGI server calls, once for each request."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._mounts = app.mounts
        super().__init__()

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._starting = 0  # the thread that begins the application's life just now
        self._leave: Callable[[], None] | None = None  # ends the application's life, once begun
        self._states: States = {}  # what the lifespans of mounted applications left
        self._respond: Respond = self._start_and_respond

    def __call__(
        self, environ: Environ, start_response: StartResponse | None = None
    ) -> Iterable[bytes]:
        """Answer one request (PEP 3333, "Specification Details").

        Raises TypeError without `start_response`: then the caller is no WSGI server.
        """
        if start_response is None:
            raise TypeError(
                "app.wsgi was called with one argument, as no WSGI server does. An ASGI server"
                " needs the other door, app.asgi: uvicorn asgi_app:app, where asgi_app.py has"
                " `app = site.asgi`"
            )
        # One context for the request, the iteration of its body and its close, so that what
        # a handler sets is not seen by the next request in this thread.
        context = copy_context()
        if self._mounts:
            mount = mount_for(self._mounts, WSGIRequest(self.app, environ).path)
            if mount is not None:
                return self._pass_on(mount, moved(environ, mount), start_response, context)
        return context.run(self._handle, self._respond, environ, start_response, context)

    def _handle(
        self, respond: Respond, environ: Environ, start_response: StartResponse, context: Context
    ) -> Iterable[bytes]:
        request = WSGIRequest(self.app, environ)
        try:
            response = respond(request)
        except BaseException:
            request.end()
            raise
        status, body = response.status, response.body
        has_body = request.method != "HEAD" and status not in BODILESS
        if response._headers is None and has_body and response.iterator is None:
            # The commonest answer by far: its two headers are known without a dictionary.
            headers = [("content-type", response._content_type), ("content-length", str(len(body)))]
        else:
            headers = response.header_pairs(request.method)
        try:
            start_response(_STATUS_LINES[status], headers)
        except BaseException:
            # The server is given nothing that it could close.
            self._stream(request, response, False, context).close_here()
            raise
        if response.iterator is None and response.background is None and not request._endings:
            return [body] if has_body else []
        if has_body and (file := _for_server(request, response)) is not None:
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file.detach(), BLOCK)
            return wrapped
        return self._stream(request, response, has_body, context)

    def adapt(self, handler: Handler) -> Call:
        """Plain code is called right here, in the server's thread; async code on the loop."""
        if shape_of(handler) != "async":
            return handler, False

        def call(request: WSGIRequest, /, *args: Any, **kwargs: Any) -> Any:
            return self._visit(request, handler(request, *args, **kwargs))

        return call, False

    def adapt_on_loop(self, handler: Handler) -> Call:
        """With async layers all runs on the loop; plain code is called back to its thread."""
        shape = shape_of(handler)
        if shape != "plain":
            return handler, shape == "async"

        async def call(request: WSGIRequest, /, *args: Any, **kwargs: Any) -> Any:
            return await request.visit.call(handler, request, *args, **kwargs)  # type: ignore[union-attr]

        return call, True

    def _pass_on(
        self, mount: Mount, environ: Environ, start_response: StartResponse, context: Context
    ) -> Iterable[bytes]:
        """Let a mounted application answer; its failing is answered as the core's would be."""
        try:
            if self._leave is None:
                self.startup()
            if mount.protocol == "asgi":
                return context.run(self._cross, mount, environ, start_response, context)
        except Exception as error:
            respond = partial(self._answer_failure, error)
            return context.run(self._handle, respond, environ, start_response, context)
        # In the caller's own context, as if the server had called it.
        chunks: Iterable[bytes] = mount.app(environ, start_response)
        return chunks

    def _cross(
        self, mount: Mount, environ: Environ, start_response: StartResponse, context: Context
    ) -> Iterable[bytes]:
        from .asgi_in_wsgi import ASGICall

        state = self._states[id(mount.app)]
        call = ASGICall(mount.app, WSGIRequest(self.app, environ), state)
        call.start(start_response)
        return _Body(call, call.close, context)

    def _answer_failure(self, error: Exception, request: WSGIRequest) -> Response:
        if isinstance(error, HTTPException):
            return error_answer(request, error)
        return stepped(Core(self.app, self.adapt).fail)(request, error)

    def startup(self) -> None:
        """Begin the application's life in this process, if it has not begun.

        For a server's hook (`microweb.gunicorn_conf`); without one the first request calls
        it. What a lifespan raises is raised, and the next call tries again.
        """
        if self._starting and (self._starting == threading.get_ident() or self._loop.is_here()):
            raise RuntimeError("a lifespan calls its own app, which is still starting")
        with self._lock:
            if self._leave is None:
                # A context of its own from start to end: not that of the first request.
                context = copy_context()
                self._starting = threading.get_ident()
                try:
                    self._leave = partial(context.run, context.run(self._enter))
                finally:
                    self._starting = 0
                self._respond = self._composed()
                atexit.register(self.shutdown)

    def shutdown(self) -> None:
        """End the application's life in this process; a request after it begins a new one.

        Without a hook `atexit` calls it: by then no thread can be started any more.
        """
        with self._lock:
            leave, self._leave = self._leave, None
            self._respond = self._start_and_respond
            atexit.unregister(self.shutdown)
        if leave is not None:
            leave()

    def _composed(self) -> Respond:
        if any(is_async_layer(layer) for layer in self.app.layers):
            return self._composed_on_loop(Core.of(self.app, self.adapt_on_loop))
        return stepped(Core.of(self.app, self.adapt).respond)

    def _composed_on_loop(self, core: Core) -> Respond:
        from .visits import Cancelled

        def respond(request: WSGIRequest) -> Response:
            try:
                return self._visit(request, core.respond(request))
            except Cancelled as error:
                return self._visit(request, core.fail(request, error))

        return respond

    def _start_and_respond(self, request: WSGIRequest) -> Response:
        try:
            self.startup()
        except Exception as error:
            return stepped(Core(self.app, self.adapt).fail)(request, error)
        return self._respond(request)

    def _enter(self) -> Callable[[], None]:
        if not is_async_life(self.app):
            manager = life(self.app)
            self._states = stepped(manager.__aenter__)()

            def leave_here() -> None:
                stepped(manager.__aexit__)(None, None, None)

            return leave_here
        visit = self._loop.visit()

        async def live() -> None:
            # One task from start to end, so that cancel scopes in a lifespan hold.
            async with life(self.app) as states:
                await visit.give(states)

        def leave() -> None:
            visit.resume()
            visit.wait()

        visit.start(live())
        self._states = visit.wait()
        return leave

    @property
    def _loop(self) -> AppLoop:
        # Imported at its first use: an app of plain code never needs asyncio.
        from .visits import app_loop

        return app_loop

    def _visit(self, request: WSGIRequest, coroutine: Coroutine[Any, Any, T]) -> T:
        # It stays when it is over: what is left of it on the loop must not read wsgi.input.
        try:
            request.visit = self._loop.visit()
        except RuntimeError:
            coroutine.close()
            raise
        return request.visit.run(coroutine)

    def _stream(
        self, request: WSGIRequest, response: Response, has_body: bool, context: Context
    ) -> _Body:
        source = [response.body] if response.iterator is None else response.iterator
        ping: float | None = getattr(source, "ping_seconds", None)
        if ping is not None and has_body:
            from .pings import with_pings

            source = with_pings(source, ping)
        if isinstance(source, AsyncIterable):
            source = self._loop.iterate(source)
            request.visit = source.visit
        chunks: Iterator[Any] | None = None

        def close() -> None:
            try:
                close_chunks(chunks, source)
            finally:
                if response.background is not None:
                    self._run_background(response.background)
                request.end()

        try:
            chunks = iter(source if has_body else ())
        except BaseException:
            close()  # the server is given nothing that it could close
            raise
        return _Body(chunks, close, context)

    def _run_background(self, background: Callable[[], Any]) -> None:
        try:
            # Not only of an async function: a lambda may have called one.
            if iscoroutine(outcome := background()):
                self._loop.visit().run(outcome)
        except Exception:
            logger.exception("background %s failed", describe(background))


class _Body(Iterator[bytes]):
    """The iterable of a response that has to know its end: a stream, or a background call."""

    def __init__(self, chunks: Iterator[Any], close: Callable[[], None], context: Context) -> None:
        self._chunks = chunks
        self._close: Callable[[], None] | None = close
        self._context = context

    def __next__(self) -> bytes:
        return self._context.run(self._next)

    def _next(self) -> bytes:
        try:
            for chunk in self._chunks:
                if data := encode_chunk(chunk):
                    return data
        except ClientDisconnect as error:
            # By this error servers know that nobody is there, and log no failure of the app's.
            raise ConnectionResetError(ECONNRESET, error.detail) from None
        raise StopIteration

    def close(self) -> None:
        """Called by the server, however the response ended (PEP 3333, "Specification Details")."""
        if self._close is not None:
            self._context.run(self.close_here)

    def close_here(self) -> None:
        """`close` for who is in the request's context already."""
        close, self._close = self._close, None
        if close is not None:
            close()


def stepped(function: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., T]:
    """An async function that never suspends, as the plain function that it really is.

    One step takes its coroutine from the beginning to the end, and what it returned is the
    value of StopIteration. No event loop exists. The core is such a function, because
    `adapt` has made every handler something that it need not wait for.
    """

    def call(*args: Any) -> T:
        coroutine = function(*args)
        try:
            coroutine.send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        coroutine.close()
        raise RuntimeError(f"{coroutine!r} suspended where there is no event loop")

    return call


def moved(environ: Environ, mount: Mount) -> Environ:
    """A copy of environ in which the mount's prefix has gone from PATH_INFO to SCRIPT_NAME.

    It is cut by its number of slashes, so that whatever the client sent stays as it was.
    """
    path = environ.get("PATH_INFO") or ""
    *_, rest = path.split("/", (depth := mount.prefix.count("/")) + 1)
    below = "/" + rest if path.count("/") > depth else ""
    script_name = (environ.get("SCRIPT_NAME") or "").rstrip("/") + path.removesuffix(below)
    return {**environ, "SCRIPT_NAME": script_name, "PATH_INFO": below}


def _for_server(request: WSGIRequest, response: Response) -> FileBody | None:
    """The file that the server may send by itself, in the kernel (PEP 3333, "wsgi.file_wrapper").

    Only one that is sent to its end, since some servers look at nothing else, and only where
    nothing is left to be done afterwards: the server closes the file, and calls nobody.
    """
    file = response._file
    if (
        file is not None
        and file is response.iterator
        and file.is_rest
        and response.background is None
        and not request._endings
        and "wsgi.file_wrapper" in request.environ
    ):
        return file
    return None
