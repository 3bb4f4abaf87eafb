"""The ASGI server: one event loop, in which each connection is a task, and each call another.

socket, bind, listen          listening.py
accept                        here, and a Stream is made
recv, until a head is whole   here: an idle or slow client costs no more than a task
await app(scope, ...)         asgi_call.py, in a task: it receives the body and sends
and again, or close           here
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .access import Access, log_cut_off, log_refusal, log_stop
from .asgi_call import Application, ASGICall
from .connection import ClientLeft
from .heads import Refusal, Request
from .lifespan import Lifespan
from .listening import (
    GRACE,
    LEAVE_TIMEOUT,
    WAIT,
    announce,
    listen,
    most_connections,
    no_descriptor_left,
    stop_signals,
)
from .scope import scope_of
from .settings import Settings
from .stream import Stream
from .websocket import WebSocketCall, wants_websocket


def serve(app: Application, settings: Settings) -> None:
    """Serve an ASGI application until SIGTERM or SIGINT, and stop gracefully.

    Raises CannotServe where the address cannot be had, or the application fails to begin.
    """
    with listen(settings) as listener:
        server = ASGIServer(app, settings, listener)
        with stop_signals(server.stop), suppress(asyncio.CancelledError):
            asyncio.run(server.run())


class ASGIServer:
    """A listening socket, the connections that came of it, and the application they are for."""

    def __init__(self, app: Application, settings: Settings, listener: socket.socket) -> None:
        self._app = app
        self._settings = settings
        self._listener = listener
        self._lifespan = Lifespan(app)
        self._idle: dict[Stream, float] = {}  # who waits for a request, and since when, in order
        self._busy: set[Stream] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._websockets: set[WebSocketCall] = set()
        self._stopping = asyncio.Event()
        self._stops = 0
        self._is_serving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End `run` when the running requests are over; at once, if called again.

        It may be called by any thread, and by a signal handler.
        """
        self._stops += 1
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._heed)

    def _heed(self) -> None:
        if self._is_serving and self._stops == 1:
            self._stopping.set()
        elif self._main is not None:
            self._main.cancel()

    async def run(self) -> None:
        """Begin the application, accept and answer until `stop` is called, and end it."""
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        if self._stops:
            return
        await self._lifespan.startup()
        announce(self._listener, "ASGI")
        self._is_serving = True
        accepting = asyncio.create_task(self._accept())
        await self._stopping.wait()
        accepting.cancel()
        await self._finish()
        await self._lifespan.shutdown(self._settings.stop_timeout)

    # --- accept -----------------------------------------------------------------------------

    async def _accept(self) -> None:
        """Take the connections that are made; each has a socket, and a task, of its own."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
                await self._take(sock)
            except OSError as error:
                if no_descriptor_left(error) and not self._make_room():
                    await asyncio.sleep(WAIT)
                await asyncio.sleep(0)  # in which what made room is really closed

    async def _take(self, sock: socket.socket) -> None:
        """Make a Stream of a connection, as soon as there is room for it."""
        try:
            while not self._has_room():
                await asyncio.sleep(WAIT)
            # What is sent here is whole; the kernel need not wait for more of it. (asyncio sees
            # to that only where a socket names its protocol, as an accepted one does not.)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(self._stream, sock)
        except BaseException:
            sock.close()
            raise

    def _stream(self) -> Stream:
        return Stream(self._settings, lambda stream: self._begin(self._converse(stream)))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a task, of which the server keeps hold until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _has_room(self) -> bool:
        """Whether another connection may be served; if need be, room is made for it."""
        most = most_connections(self._settings)
        while len(self._idle) + len(self._busy) >= most:
            if not self._make_room():
                return False
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; False where none is."""
        idlest = next(iter(self._idle), None)
        if idlest is None or time.monotonic() < self._idle[idlest] + GRACE:
            return False
        del self._idle[idlest]
        idlest.abort()
        return True

    # --- a connection, from its first request to its last -----------------------------------

    async def _converse(self, stream: Stream) -> None:
        try:
            while (request := await self._next_request(stream)) is not None:
                self._busy.add(stream)
                is_whole = await self._answer(stream, request)
                self._busy.discard(stream)
                if not (is_whole and stream.http.next_cycle()):
                    break
        except Refusal as refusal:
            log_refusal(stream.client, refusal)
            with suppress(ClientLeft):
                await stream.send(stream.http.refuse(refusal))
        except asyncio.CancelledError:
            stream.abort()
            raise
        finally:
            self._busy.discard(stream)
        self._idle[stream] = time.monotonic()
        await stream.leave(LEAVE_TIMEOUT)
        self._idle.pop(stream, None)

    async def _next_request(self, stream: Stream) -> Request | None:
        """The next request, when its head is whole; None where no other will come.

        Raises Refusal for what is none, and for one that takes too long.
        """
        http, settings = stream.http, self._settings
        self._idle[stream] = time.monotonic()
        try:
            if not http.unread:
                async with asyncio.timeout(settings.idle_timeout):
                    while not (http.unread or stream.is_over or self._stops):
                        await stream.change()
            async with asyncio.timeout(settings.head_timeout):
                while (request := http.next_request()) is None:
                    if stream.is_over or self._stops:
                        return None
                    await stream.change()
            return request
        except TimeoutError:
            if http.unread:
                raise Refusal(408, "The head of the request does not end.") from None
            return None
        finally:
            self._idle.pop(stream, None)

    async def _answer(self, stream: Stream, request: Request) -> bool:
        """Call the application, and wait for its response; True if all of one went out.

        The application may go on after that, which keeps nobody waiting.
        """
        stream.http.last |= self._stops > 0
        access = Access(stream.client, request)
        scope = scope_of(
            request, stream.client, stream.server, self._settings, self._lifespan.state
        )
        call: ASGICall | WebSocketCall
        if wants_websocket(request):
            call = WebSocketCall(stream, request, scope, self._settings)
            self._websockets.add(call)
        else:
            call = ASGICall(stream, request, scope)
        self._begin(call.run(self._app))
        await call.responded.wait()
        self._websockets.discard(call)
        access.end(stream.http)
        return call.is_whole

    # --- the end ----------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Accept no more, close what waits, and see the running requests to their end."""
        self._listener.close()
        log_stop(len(self._busy))
        for stream in self._idle:
            stream.abort()
        for stream in self._busy:
            stream.http.last = True
        for call in self._websockets:
            call.go_away()
        if self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=self._settings.stop_timeout)
            if pending:
                log_cut_off(len(self._busy))
            for task in pending:
                task.cancel()
