"""Conversation: the task of a WebSocket's handler, what comes to it and what it says.

The handler runs in one task from start to end. The server's own task takes the handler's
answer through the layers, then waits for the handler. A third listens: nothing but `receive`
tells that the client has left, and a handler may wait for something else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..core import logger, propagate_errors
from ..model.errors import ClientDisconnect, HTTPException
from ..model.handshake import SwitchingProtocols
from ..model.response import Response, describe
from ..model.types import Handler
from ..model.websocket import WebSocket, WebSocketDisconnect
from .asgi import encoded
from .asgi_request import ASGIRequest, Message, Receive, Send

GRACE = 5  # seconds that a handler may go on for when its conversation is over


class Conversation:
    """One WebSocket: `begin`, then `open` or `refuse`, then `finish`, and `release` in any case."""

    def __init__(
        self, request: ASGIRequest, receive: Receive, send: Send, subprotocols: Iterable[str]
    ) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._websocket = WebSocket(request, self._hear, self._say, subprotocols)
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Response] = self._loop.create_future()  # the handler's
        self._refusal: BaseException | None = None  # if that was its answer
        self._settled = asyncio.Event()  # the handshake is over, one way or the other
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._speaking = asyncio.Lock()
        self._handler: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None  # once the conversation is over
        self._stopped = False  # the handler was cancelled from here

    async def begin(self, handler: Handler, path_params: Mapping[str, Any]) -> Response:
        """Start the handler. Its answer: the 101 that it accepts with, or what it raises."""
        if self._handler is not None:
            raise RuntimeError("a layer called call_next twice; a handshake is answered once")
        # In a copy of this task's context, in which the layers run.
        self._handler = asyncio.create_task(self._converse(handler, path_params))
        self._handler.add_done_callback(self._ended)
        self._listener = asyncio.create_task(self._listen())
        try:
            return await self._answer
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def open(self, answer: SwitchingProtocols) -> None:
        """Tell the server that the handshake is accepted, and let the handler go on."""
        if not self._request.disconnected:
            headers = encoded(answer.header_pairs("GET"))
            message = {"type": "websocket.accept", "headers": headers}
            if answer.subprotocol is not None:
                message["subprotocol"] = answer.subprotocol
            try:
                await self._send(message)
            except OSError:
                self._end(1006, "")
        self._settled.set()

    def refuse(self) -> None:
        """The handshake is refused, by whomever: the handler has nobody to talk to."""
        self._stop_listening()
        self._end(1006, "the handshake was refused")
        self._settled.set()

    async def finish(self) -> None:
        """Wait for the handler's end, close what it has left open, and log what it raised."""
        if self._handler is None:
            return None
        # Where this task is cancelled, so is the handler, and waited for all the same.
        (error,) = await asyncio.gather(self._handler, return_exceptions=True)
        if error is None or self._is_expected(error):
            return await self._close(1000)
        logger.error("WEBSOCKET %r failed", self._request.path, exc_info=error)
        if propagate_errors.get():
            raise error
        return await self._close(1011)

    async def release(self) -> None:
        """Leave nothing behind."""
        self._stop_listening()
        await self._stop()
        if self._deadline is not None:
            self._deadline.cancel()

    async def _converse(self, handler: Handler, path_params: Mapping[str, Any]) -> None:
        value = await handler(self._websocket, **path_params)
        if value is not None:
            raise TypeError(
                f"{describe(handler)} returned an object of type {type(value).__name__};"
                " what a WebSocket's handler has to say, it sends"
            )

    def _ended(self, handler: asyncio.Task[None]) -> None:
        """Where the handler has ended before it answered, its end is the answer."""
        if self._answer.done():
            return
        error = None if handler.cancelled() else handler.exception()
        if self._request.disconnected and (error is None or _is_disconnect(error)):
            error = ClientDisconnect()
        elif handler.cancelled():
            error = RuntimeError("the task of the handler was cancelled")
        elif error is None:
            logger.error("WEBSOCKET %r: ended without ws.accept()", self._request.path)
            error = HTTPException(403)
        self._answer_with(error)

    def _answer_with(self, refusal: BaseException) -> None:
        if not self._answer.done():
            self._refusal = refusal
            self._answer.set_exception(refusal)

    def _is_expected(self, error: BaseException) -> bool:
        if isinstance(error, asyncio.CancelledError):
            return self._stopped or self._refusal is not None
        if error is self._refusal:
            return True
        # As long as this conversation goes on, it is the end of another: an error like any.
        return self._deadline is not None and _is_disconnect(error)

    async def _close(self, code: int) -> None:
        with suppress(TimeoutError):  # of a client that reads nothing
            async with asyncio.timeout(GRACE):
                await self._websocket.close(code)

    async def _listen(self) -> None:
        """Read one message ahead, and no more: who sends too fast must wait."""
        while True:
            try:
                message = await self._receive()
            except Exception:
                # A server that fails here has no client.
                message = {"type": "websocket.disconnect", "code": 1006}
            if message["type"] == "websocket.disconnect":
                self._request.disconnected = True
                self._end(message.get("code", 1005), message.get("reason") or "")
                return
            self._inbox.put_nowait(message)
            await self._inbox.join()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.cancel()

    async def _hear(self) -> Message:
        """The handler's `receive`. The last message stays for all who may ask."""
        message = await self._inbox.get()
        if message["type"] == "websocket.disconnect":
            self._inbox.put_nowait(message)
        else:
            self._inbox.task_done()
        return message

    async def _say(self, message: Message) -> None:
        """The handler's `send`, for one at a time of all its tasks; OSError once it is over."""
        async with self._speaking:
            if message["type"] == "websocket.accept":
                if self._answer.done():
                    raise ConnectionResetError  # a layer no longer waits for it
                self._answer.set_result(message["response"])
                await self._settled.wait()
            elif not self._settled.is_set():
                self._answer_with(HTTPException(403, message["reason"] or None))
            elif message["type"] == "websocket.close":
                self._stop_listening()  # after the last message, some servers never answer
                self._end(message["code"], message["reason"])
                await self._deliver(message)
            elif self._deadline is not None:
                raise ConnectionResetError
            else:
                await self._deliver(message)

    async def _deliver(self, message: Message) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:
            # RuntimeError: uvicorn's, when it has just closed because of too large a message.
            self._end(1006, "")
            raise ConnectionResetError from error

    def _end(self, code: int, reason: str) -> None:
        """The conversation is over: tell who receives, and set the handler a time to end."""
        if self._deadline is None:
            self._websocket._ended(code, reason)
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": code})
            self._deadline = self._loop.call_later(GRACE, self._end_handler)

    def _end_handler(self) -> None:
        if self._handler is not None and not self._handler.done():
            logger.warning(
                "WEBSOCKET %r: %s s after its end the handler still ran, and is cancelled",
                self._request.path,
                GRACE,
            )
            self._stopped = True
            self._handler.cancel()

    async def _stop(self) -> None:
        if self._handler is not None and not self._handler.done():
            self._stopped = True
            self._handler.cancel()
            await asyncio.gather(self._handler, return_exceptions=True)


def _is_disconnect(error: BaseException) -> bool:
    # A task group puts what its tasks raise into a group.
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_disconnect, error.exceptions))
    return isinstance(error, WebSocketDisconnect)
