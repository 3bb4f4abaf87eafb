"""The ASGI gateway: scope and receive -> Request, Response -> send (ASGI 3.0, "HTTP", "Lifespan").

Read it beside `wsgi.py`: the same steps, under the same names, in the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

from ..core import Core, logger
from ..model.errors import ClientDisconnect, HTTPException
from ..model.lazy import lazy
from ..model.problems import error_answer
from ..model.response import BODILESS, Response, aclose_chunks, describe, encode_chunk
from ..model.shape import shape_of
from ..model.types import Call, Handler
from ..mounts import Mount, mount_for
from .asgi_request import ASGIRequest, Message, Receive, Scope, Send, without_prefix
from .connection import WhileConnected
from .lifespan import States, life
from .process import PerProcess
from .threads import ReadAhead, ThreadIterator, Threads

if TYPE_CHECKING:
    from ..app import App
    from .websocket import WebSocketGateway

# Lives that no server drives. A loop knows its tasks only weakly, and would let go of one that
# waits for nobody, together with its forgotten application.
_living: set[asyncio.Task[None]] = set()


class ASGIGateway(PerProcess):
    """`app.asgi`: what an ASGI server calls, once for each request and once for its life."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._mounts = app.mounts
        self.threads = Threads(app.threads)
        super().__init__()

    def renew(self) -> None:
        self._entered: asyncio.Future[None] | None = None  # where no server drives the lifespan
        self._starting: asyncio.Task[Any] | None = None  # begins the application's life just now
        self._states: States = {}  # what the lifespans of mounted applications left
        self._respond: Callable[[ASGIRequest], Awaitable[Response]] = self._start_and_respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through one lifespan (ASGI 3.0, "Applications")."""
        if scope["type"] != "http":
            return await self._answer_other(scope, receive, send)
        request = ASGIRequest(self.app, scope, receive)
        respond = self._respond
        if self._mounts and (mount := mount_for(self._mounts, request.path)) is not None:
            error = await self._pass_on(mount, moved(scope, mount), receive, send)
            if error is None:
                return None
            respond = partial(self._answer_failure, error)
        try:
            response = await respond(request)
            status, body = response.status, response.body
            has_body = request.method != "HEAD" and status not in BODILESS
            headers: list[tuple[bytes, bytes]]
            if response._headers is None and has_body and response.iterator is None:
                # The commonest answer by far: its two headers are known without a dictionary.
                headers = [
                    (b"content-type", response._content_type.encode("latin-1")),
                    (b"content-length", b"%d" % len(body)),
                ]
            else:
                headers = encoded(response.header_pairs(request.method))
            start: Message = {"type": "http.response.start", "status": status, "headers": headers}
            if response.iterator is not None:
                return await self._stream(request, response, start, has_body, send)
            try:
                if not request.disconnected:
                    await send(start)
                    await send({"type": "http.response.body", "body": body if has_body else b""})
            except OSError:
                pass  # the client has left (ASGI 2.4, "Disconnected Client")
            finally:
                if response.background is not None:
                    await self._run_background(response.background)
        finally:
            if request._is_streamed:
                request.release_thread()
            if request._endings:
                await self.threads.call(request.end)
        return None

    def adapt(self, handler: Handler) -> Call:
        """Async code is awaited right here, on the server's loop; plain code in a thread."""
        shape = shape_of(handler)
        if shape != "plain":
            return handler, shape == "async"

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self.threads.call(handler, *args, **kwargs)

        return call, True

    @lazy
    def websockets(self) -> WebSocketGateway:
        """What answers the scopes of WebSockets; imported when the first one comes."""
        from .websocket import WebSocketGateway

        return WebSocketGateway(self)

    async def _answer_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._answer_websocket(scope, receive, send)
        else:
            raise ValueError(f"no part of ASGI 3.0 that is known here: {scope['type']!r}")

    async def _answer_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = without_prefix(scope["path"], str(scope.get("root_path", "")).rstrip("/"))
        mount = mount_for(self._mounts, path)
        if mount is None:
            return await self.websockets(scope, receive, send)
        if mount.protocol == "asgi":
            error = await self._pass_on(mount, moved(scope, mount), receive, send)
            if error is None:
                return None
            logger.error("websocket %r failed", scope["path"], exc_info=error)
        # Closed before it was accepted: the server answers 403.
        await receive()
        return await send({"type": "websocket.close"})

    async def _pass_on(
        self, mount: Mount, scope: Scope, receive: Receive, send: Send
    ) -> Exception | None:
        """Let a mounted application answer; what is returned prevented that."""
        try:
            await self.start()
        except Exception as error:
            return error
        if mount.protocol == "wsgi":
            from .wsgi_in_asgi import WSGICall

            return await WSGICall(mount.app, scope, receive, send).run(self.threads)
        scope["state"] = {**scope.get("state", {}), **self._states[id(mount.app)]}
        await mount.app(scope, receive, send)
        return None

    async def _answer_failure(self, error: Exception, request: ASGIRequest) -> Response:
        if isinstance(error, HTTPException):
            return error_answer(request, error)
        return await Core(self.app, self.adapt).fail(request, error)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The application's life as the server tells it (ASGI 3.0, "Lifespan")."""
        await receive()
        phase = "startup"
        try:
            async with self._alive():
                await send({"type": "lifespan.startup.complete"})
                await receive()
                phase = "shutdown"
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            # Said, and not raised: an exception leaves every server serving without a start.
            logger.exception("lifespan: %s failed", phase)
            await send({"type": f"lifespan.{phase}.failed", "message": repr(error)})
        else:
            await send({"type": "lifespan.shutdown.complete"})

    def _composed(self) -> Callable[[ASGIRequest], Awaitable[Response]]:
        return Core.of(self.app, self.adapt).respond

    async def _start_and_respond(self, request: ASGIRequest) -> Response:
        try:
            await self.start()
        except Exception as error:
            return await Core(self.app, self.adapt).fail(request, error)
        return await self._respond(request)

    async def start(self) -> None:
        """Begin the application's life, if it has not begun: some servers drive no lifespan.

        What a lifespan raises is raised, and the next call tries again.
        """
        if self._respond != self._start_and_respond:
            return
        if not self.app.lifespans and not self._mounts:
            self._respond = self._composed()
        elif self._starting is asyncio.current_task():
            raise RuntimeError("a lifespan calls its own app, which is still starting")
        else:
            if self._entered is None:
                self._entered = asyncio.get_running_loop().create_future()
                living = asyncio.create_task(self._live_alone(self._entered))
                _living.add(living)
                living.add_done_callback(_living.discard)
            await asyncio.shield(self._entered)

    async def _live_alone(self, entered: asyncio.Future[None]) -> None:
        try:
            async with self._alive():
                entered.set_result(None)
                # Nobody will say when it is over; the end of the loop or the process cancels it.
                await asyncio.get_running_loop().create_future()
        except (Exception, asyncio.CancelledError) as error:
            if not entered.done():
                if not isinstance(error, Exception):
                    error = RuntimeError("a lifespan was cancelled as it started")
                entered.set_exception(error)
                entered.exception()  # seen, even if those who wait for it have gone
            elif not _is_cancelled():
                logger.exception("lifespan: shutdown failed")
        finally:
            self._entered = None

    @asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        self._starting = asyncio.current_task()
        async with life(self.app) as self._states:
            self._starting = None
            self._respond = self._composed()
            try:
                yield
            finally:
                self._respond = self._start_and_respond

    async def _stream(
        self, request: ASGIRequest, response: Response, start: Message, has_body: bool, send: Send
    ) -> None:
        source = response.iterator
        ping: float | None = getattr(source, "ping_seconds", None)
        if ping is not None and has_body:
            from .pings import with_pings

            source = with_pings(source, ping, self.threads)
        elif not isinstance(source, AsyncIterable):
            through = ReadAhead if source is response._file else ThreadIterator
            source = through(self.threads, source or ())
        chunks: AsyncIterator[Any] | None = None
        try:
            if request.disconnected:
                return
            await _deliver(send, start)
            if has_body and (path := _path_for_server(request, response)) is not None:
                await _deliver(send, {"type": "http.response.pathsend", "path": path})
                return
            if has_body:
                chunks = aiter(source)
                async with WhileConnected(request._watch) as connection:
                    await self._send_chunks(chunks, connection, send)
                if connection.lost:
                    return
            await _deliver(send, {"type": "http.response.body", "body": b""})
        except ClientDisconnect:
            pass
        finally:
            try:
                await aclose_chunks(chunks, source)
            finally:
                if response.background is not None:
                    await self._run_background(response.background)

    async def _send_chunks(
        self, chunks: AsyncIterator[Any], connection: WhileConnected, send: Send
    ) -> None:
        count = 0
        async for chunk in chunks:
            if data := encode_chunk(chunk):
                message = {"type": "http.response.body", "body": data, "more_body": True}
                await _deliver(send, message)
            count += 1
            if not count % 32:
                # Neither the iterator nor `send` need ever wait; others want their turn.
                await asyncio.sleep(0)
            if connection.lost:
                return

    async def _run_background(self, background: Callable[[], Any]) -> None:
        try:
            if shape_of(background) == "async":
                await background()
            elif iscoroutine(outcome := await self.threads.call(background)):
                await outcome  # of a lambda around an async function
        except (Exception, asyncio.CancelledError) as error:
            if not isinstance(error, Exception) and _is_cancelled():
                raise
            logger.exception("background %s failed", describe(background))


def encoded(pairs: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI wants them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _path_for_server(request: ASGIRequest, response: Response) -> str | None:
    """The path of the file that the server can send by itself (ASGI Extensions, "Path Send")."""
    file = response._file
    if (
        file is not None
        and file is response.iterator
        and file.is_whole
        and "http.response.pathsend" in (request.scope.get("extensions") or ())
    ):
        return file.path
    return None


def _is_cancelled() -> bool:
    # Somebody wants this task to end; otherwise a CancelledError is the application's own.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _deliver(send: Send, message: Message) -> None:
    try:
        await send(message)
    except OSError:
        raise ClientDisconnect from None


def moved(scope: Scope, mount: Mount) -> Scope:
    """A copy of scope whose root_path ends with the mount's prefix, and whose path begins with it.

    That is what the specification says of the two; a server may have left root_path out.
    """
    root_path = scope.get("root_path", "").rstrip("/")
    path = root_path + without_prefix(scope["path"], root_path)
    return {**scope, "root_path": root_path + mount.prefix, "path": path}
