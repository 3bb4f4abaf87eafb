"""One call of an ASGI application: `await app(scope, receive, send)`, and what comes of it.

This is the seam, seen from the server's side. Its duties are those of ASGI 3.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from .access import log_failure
from .connection import ClientLeft, tells_of_client
from .heads import FAILED, Refusal, Request
from .scope import Scope
from .stream import Stream

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGICall:
    """A request that is being answered by an application, in a task of its own."""

    def __init__(self, stream: Stream, request: Request, scope: Scope) -> None:
        self._stream = stream
        self._http = stream.http
        self._request = request
        self._scope = scope
        self._start: Message | None = None  # kept until the body begins
        self._body_is_over = False  # of the request
        self._is_over = False
        self._refusal: Refusal | None = None
        self.is_whole = False  # all of a response went out
        self.responded = asyncio.Event()  # with a response or without; the application may go on

    async def run(self, app: Application) -> None:
        """Answer the request, whatever happens."""
        self._stream.begin()
        try:
            await app(self._scope, self.receive, self.send)
            if not self._is_over and not self._stream.is_over and self._refusal is None:
                raise RuntimeError("the application returned before its response was over")
        except asyncio.CancelledError:
            if not self._is_over:
                self._stream.abort()  # the server waits no longer
            raise
        except BaseException as error:
            if not tells_of_client(error):
                log_failure(self._request)
            if not self._is_over:
                await self._fail(FAILED)
        finally:
            self._end()

    async def receive(self) -> Message:
        """The next piece of the body; after its end, the news that the client has left.

        ASGI 3.0, "Request - receive event" and "Disconnect - receive event". What is wrong
        with a body the server answers itself; the application learns that there is no more.
        """
        if not self._body_is_over and not self._is_over:
            try:
                body = await self._stream.read_piece()
                more = not self._http.body_is_over
            except Refusal as refusal:
                await self._refuse(refusal)
            except TimeoutError:
                await self._refuse(Refusal(408, "The body does not come, or too slowly."))
            except ClientLeft:
                self._body_is_over = True
            else:
                self._body_is_over = not more
                return {"type": "http.request", "body": body, "more_body": more}
        while not (self._is_over or self._stream.is_over):
            await self._stream.change()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take one message of the response, and send what it stands for.

        ASGI 3.0, "Response Start" and "Response Body": the head waits for the first piece of
        the body, even an empty one. Raises ClientLeft, an OSError, where the client is gone.
        """
        if self._is_over:
            raise RuntimeError(f"{message['type']} was sent after the response was over")
        if self._refusal is not None:
            raise ClientLeft("was refused already")
        if message["type"] == "http.response.start":
            if self._start is not None:
                raise RuntimeError("http.response.start was sent twice")
            self._start = message
        elif message["type"] == "http.response.body":
            await self._send_body(message)
        else:
            raise RuntimeError(f"{message['type']} is no message of a response")

    async def _send_body(self, message: Message) -> None:
        if self._start is None:
            raise RuntimeError("http.response.body was sent before http.response.start")
        body, more = message.get("body", b""), message.get("more_body", False)
        if not isinstance(body, bytes | bytearray | memoryview):
            raise TypeError(f"an ASGI body is made of bytes, not of {type(body).__name__}")
        data = b"" if self._http.has_begun else self._head(self._start)
        data += self._http.piece(bytes(body))
        if not more:
            data += self._http.end()
        await self._stream.send(data)
        if not more:
            self.is_whole = True
            self._end()

    def _end(self) -> None:
        """There is no more response to wait for, though the application may still run."""
        self._is_over = True
        self._stream.changed.give()
        self.responded.set()

    def _head(self, message: Message) -> bytes:
        """The head, without what is the server's own business ("Response Start").

        Raises h11.LocalProtocolError for a name or a value that cannot be sent.
        """
        headers = [
            (bytes(name), bytes(value))
            for name, value in message.get("headers", ())
            if bytes(name).lower() != b"transfer-encoding"
        ]
        return self._http.head(int(message["status"]), headers)

    async def _refuse(self, refusal: Refusal) -> None:
        self._body_is_over = True
        self._refusal = refusal
        await self._fail(refusal)

    async def _fail(self, refusal: Refusal) -> None:
        """Say so, if there is still a response to say it with; else break the transfer off.

        A client that was promised more takes the end of the connection for an error.
        """
        if not self._http.has_begun:
            with suppress(ClientLeft):
                await self._stream.send(self._http.refuse(refusal))
        self._end()
