"""WSGI in ASGI: a mounted WSGI application, called under ASGI as a WSGI server would call it.

It runs in one worker thread from its call to its `close()`, as in a server of its own. What
it reads and sends is awaited by the request's task, which waits for it: see `errands.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..core import logger
from ..model.errors import ClientDisconnect
from ..model.headers import HOP_BY_HOP
from ..model.response import BODILESS
from .asgi_request import Message, Receive, Scope, Send
from .bridge import LARGE, WAIT_AFTER
from .connection import Lookahead, client_leaves
from .environ import environ_of, expected_length, input_of
from .errands import ClientHasLeft, Errands

if TYPE_CHECKING:
    from ..mounts import WSGIApp
    from .threads import Threads

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class WSGICall:
    """One call of a WSGI application."""

    def __init__(self, app: WSGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._errands = Errands()
        self._error: BaseException | None = None
        self._started = False  # the first message of the response is out
        self._complete = False  # the last one is
        self._listener: asyncio.Task[bool] | None = None

    async def run(self, threads: Threads) -> Exception | None:
        """Run the application in a worker thread, to its end.

        What it raises before its response has begun is returned, for the gateway to answer;
        what it raises later is raised, so that the server cuts the connection. If this task
        is cancelled, the thread closes the response when it next reads or sends.
        """
        context = copy_context()
        threads.start(lambda: context.run(self._work, threads.ended))
        try:
            client_is_there = await self._errands.serve()
        finally:
            self._stop_listening()
        error = self._error
        if isinstance(error, ClientHasLeft):
            # Where the body ended early and the client is there, its server should have known.
            error = ClientDisconnect() if client_is_there else None
        if error is None:
            return None
        if self._started or not isinstance(error, Exception):
            raise error
        if client_is_there:
            return error
        what = (self._scope["method"], self._scope["path"])
        logger.error("%s %r failed, and its client has left", *what, exc_info=error)
        return None

    # In the worker thread

    def _work(self, ended: Callable[[], None]) -> None:
        try:
            if not self._errands.left:  # it may have waited long for its thread
                self._call()
        except BaseException as error:
            self._error = error
        finally:
            self._errands.end(ended)

    def _call(self) -> None:
        body = input_of(expected_length(self._scope), lambda: self._errands.ask(self._pull))
        response = _Response(self._scope["method"], self._errands, self._deliver)
        chunks = self._app(environ_of(self._scope, body), response.start)
        try:
            response.send_all(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    # On the loop, in the request's task

    async def _pull(self) -> tuple[bytes, bool]:
        """The next block of the request's body, and whether there may be more."""
        message = {} if self._complete else await self._receive()
        # After the response some servers never answer; its client is no concern any more.
        if message.get("type") != "http.request":
            raise ClientHasLeft("the body ended before it was complete")
        return message.get("body", b""), message.get("more_body", False)

    async def _deliver(self, start: Message | None, body: bytes, more: bool) -> None:
        """Send a piece of the body, and before the first one the start."""
        if not more:
            self._complete = True
            self._stop_listening()
        if start is not None:
            self._started = True
            await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if more and self._listener is None:
            self._listen()

    def _listen(self) -> None:
        """While the response streams, hear of the client's leaving."""
        ahead = Lookahead(self._receive)
        self._receive = ahead.take
        self._listener = asyncio.create_task(client_leaves(ahead.peek))
        self._listener.add_done_callback(self._note)

    def _note(self, listener: asyncio.Task[bool]) -> None:
        if not listener.cancelled() and listener.result():
            self._errands.left = True

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()


class _Response:
    """What PEP 3333 asks of the server side between start_response and the last chunk."""

    def __init__(self, method: str, errands: Errands, deliver: Callable[..., Any]) -> None:
        self._method = method
        self._errands = errands
        self._deliver = deliver
        self._head: Message | None = None
        self._rest: int | None = None  # how many bytes may still be sent, if that is known
        self._sent = False  # the head is out, and cannot be replaced any more
        self._complete = False
        self._count = 0  # of the chunks sent

    def start(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """The `start_response` of PEP 3333: the head waits for the first piece of the body."""
        if exc_info is not None and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise RuntimeError("start_response was called twice, the second time without exc_info")
        code = int(status[:3])
        pairs = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers
            if name.lower() not in HOP_BY_HOP
        ]
        self._head = {"type": "http.response.start", "status": code, "headers": pairs}
        if self._method == "HEAD" or code in BODILESS:
            self._rest = 0
        else:
            length = dict(pairs).get(b"content-length", b"")
            self._rest = int(length) if length.isdigit() else None
        return self.write

    def send_all(self, chunks: Iterable[bytes]) -> None:
        """Send the chunks as they come, not many ahead of the client."""
        if isinstance(chunks, list | tuple) and len(chunks) == 1:
            # Then this is the whole body (PEP 3333, "Handling the Content-Length Header").
            return self.write(chunks[0], is_last=True)
        for chunk in chunks:
            if self._errands.left or (chunk and self._complete):
                return None  # nobody is there, or more has come than Content-Length says
            if chunk:
                self.write(chunk)
        return self.write(b"", is_last=True)

    def write(self, data: bytes, *, is_last: bool = False) -> None:
        """Send a piece of the body, with the head if it is the first; as `write()` does too."""
        if self._head is None:
            raise RuntimeError("the application did not call start_response before its body")
        if not isinstance(data, bytes):
            raise TypeError(f"the application's body is made of bytes, not {data!r:.100}")
        if self._complete:
            return
        start = None if self._sent else self._head
        self._sent = True
        if self._rest is not None:
            data = data[: self._rest]
            self._rest -= len(data)
        if is_last or self._rest == 0:
            # The thread goes on: what is left of the application must not hold up its client.
            self._complete = True
            self._errands.tell(self._deliver, start, data, False)
            return
        self._count += 1
        waits = self._count % WAIT_AFTER == 0 or len(data) > LARGE
        (self._errands.ask if waits else self._errands.tell)(self._deliver, start, data, True)
