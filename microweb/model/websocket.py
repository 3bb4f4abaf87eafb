"""WebSocket: what a handler sees of one conversation; what it says are the messages of ASGI.

Nothing in here reads from a connection: `receive` and `send` are the gateway's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, NoReturn

from .decoding import decode_json
from .handshake import SwitchingProtocols
from .request import Request
from .response import HeaderSource, encode_json

Message = dict[str, Any]

# RFC 6455, 7.4, and the registry that it began: what may be sent in a closing frame.
CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
LONGEST_REASON = 123  # bytes: a control frame holds 125, and the code takes two (5.5)


class WebSocketDisconnect(Exception):
    """The conversation is over, whoever ended it: raised by what would go on with it.

    `code` is the closing code (RFC 6455, 7.4.1): 1000 if all was said, 1001 if the page was
    left, 1005 if none was given, 1006 if the connection broke. `reason` is a text, often empty.
    """

    def __init__(self, code: int = 1000, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class WebSocket:
    """One conversation with a client: first `accept`, then messages in both directions.

    `request` is the handshake, a GET: its headers, cookies, session and query. `subprotocols`
    are those that the client offers. `async for message in ws` gives str and bytes as they
    come, and ends when the client leaves.

    How large a message may be is the server's to bound, before it is whole: uvicorn's
    --ws-max-size, 16 MiB if nothing else is said.
    """

    def __init__(
        self,
        request: Request,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
        subprotocols: Iterable[str] = (),
    ) -> None:
        self.request = request
        self.subprotocols = tuple(subprotocols)
        self._receive = receive
        self._send = send
        self._state = "connecting"  # then "accepting", "open", "over"
        self._end = WebSocketDisconnect(1006)

    async def accept(
        self, subprotocol: str | None = None, headers: HeaderSource | None = None
    ) -> None:
        """Agree to the conversation; returns when the layers and the server have done so too.

        `subprotocol` is one of those offered (RFC 6455, 4.2.2). `headers` join those that the
        layers put on the answer, a Response of status 101.

        Raises WebSocketDisconnect if the client has left or a layer has refused; ValueError
        for a subprotocol that was not offered and for headers that belong to the server;
        RuntimeError when it is called twice.
        """
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(
                f"accept: the subprotocol {subprotocol!r} is not offered;"
                f" choose one of ws.subprotocols, {self.subprotocols}, or None"
            )
        answer = SwitchingProtocols(headers, subprotocol)
        if self._state in ("accepting", "open"):
            raise RuntimeError("ws.accept() was called twice; a WebSocket is accepted once")
        if self._state == "over":
            raise self._over()
        self._state = "accepting"
        await self._say({"type": "websocket.accept", "response": answer})
        if self._state != "accepting":
            raise self._over()
        self._state = "open"

    async def receive_text(self) -> str:
        """The client's next message, a text.

        Raises WebSocketDisconnect when the conversation is over. Bytes end it: they are
        answered with the closing code 1003 (RFC 6455, 7.4.1).
        """
        message = await self._next("receive_text")
        if isinstance(message, bytes):
            await self._give_up(1003, "This takes text, not bytes.")
        return str(message)

    async def receive_bytes(self) -> bytes:
        """The client's next message, bytes. A text is answered with the closing code 1003."""
        message = await self._next("receive_bytes")
        if isinstance(message, str):
            await self._give_up(1003, "This takes bytes, not text.")
        return bytes(message)

    async def receive_json(self) -> Any:
        """The value of the client's next message, a text of JSON (RFC 8259).

        What is no JSON is answered with the closing code 1007. To answer it otherwise, take
        the message with `receive_text`.
        """
        try:
            return decode_json(await self.receive_text())
        except ValueError:
            await self._give_up(1007, "This takes JSON.")

    async def send_text(self, text: str) -> None:
        """Send a text. Raises WebSocketDisconnect when the conversation is over.

        Returns when the server has taken it: for a client that reads slowly, later. Several
        tasks may send.
        """
        if not isinstance(text, str):
            raise TypeError(f"send_text takes str, not {type(text).__name__}; see send_bytes")
        if not text.isascii():
            # A lone surrogate, which JSON input can carry, must not end the conversation.
            text = text.encode("utf-8", "replace").decode()
        await self._write("send_text", {"type": "websocket.send", "text": text})

    async def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes: see `send_text`."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"send_bytes takes bytes, not {type(data).__name__}; see send_text")
        await self._write("send_bytes", {"type": "websocket.send", "bytes": bytes(data)})

    async def send_json(self, value: Any) -> None:
        """Send `value` as a text of JSON: see `send_text`, and JSONResponse for what it takes."""
        text = encode_json(value).decode()
        await self._write("send_json", {"type": "websocket.send", "text": text})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the conversation; before `accept`, refuse it: then the client is answered 403.

        Where it is over already, nothing happens. Raises ValueError for a code that must not
        be sent (RFC 6455, 7.4), and for a reason of more than 123 bytes.
        """
        if code not in CLOSE_CODES:
            raise ValueError(
                f"close: {code!r} is no code to be sent (RFC 6455, 7.4); use 1000, or one of"
                " your own from 4000 to 4999"
            )
        encoded = reason.encode("utf-8", "replace")
        if len(encoded) > LONGEST_REASON:
            raise ValueError(f"close: the reason is longer than {LONGEST_REASON} bytes")
        reason = encoded.decode()  # as in `send_text`
        if self._state != "over":
            self._ended(code, reason)
            with suppress(WebSocketDisconnect):
                await self._say({"type": "websocket.close", "code": code, "reason": reason})

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self._next("async for")
        except WebSocketDisconnect:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        return f"<WebSocket {self.request.path!r} {self._state}>"

    async def _next(self, what: str) -> str | bytes:
        self._check_open(what)
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._ended(message.get("code", 1005), message.get("reason") or "")
            raise self._over()
        # One of the two is there, and not None (ASGI, Receive).
        data: str | bytes | None = message.get("text")
        return bytes(message["bytes"]) if data is None else data

    async def _write(self, what: str, message: Message) -> None:
        self._check_open(what)
        await self._say(message)

    async def _say(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._ended(1006, "")  # the client has left (ASGI 2.4, "Disconnected Client")
            raise self._over() from None

    async def _give_up(self, code: int, reason: str) -> NoReturn:
        await self.close(code, reason)
        raise self._over()

    def _check_open(self, what: str) -> None:
        if self._state == "over":
            raise self._over()
        if self._state != "open":
            raise RuntimeError(f"{what} before accept: write `await ws.accept()` first")

    def _ended(self, code: int, reason: str) -> None:
        """It is over now, if it was not before."""
        if self._state != "over":
            self._state = "over"
            self._end = WebSocketDisconnect(code, reason)

    def _over(self) -> WebSocketDisconnect:
        # A new one each time: an exception that is raised twice gathers two tracebacks.
        return WebSocketDisconnect(self._end.code, self._end.reason)
