"""TestClient's WebSockets: the server's side of ASGI's "websocket", and the client's session.

The application runs on the process's one loop, the session in the test's own thread. Nothing
in here waits for ever: what does not come within PATIENCE seconds fails the test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from .gateways.visits import app_loop
from .model.websocket import WebSocketDisconnect
from .testing import RawHeaders, _ClientHasLeft, _Exchange

PATIENCE = 15.0  # seconds; longer than an application may take to end
BACKLOG = 64  # messages that the client may leave unread until the application has to wait

LOST = (1006, "the application has ended")
SCHEMES = {"http": "ws", "https": "wss"}


class WebSocketSession:
    """The client's end of a conversation. `subprotocol` and `headers` came with its acceptance.

    What is received raises WebSocketDisconnect once the application has closed, ended or
    failed, and AssertionError if it says nothing for 15 seconds.
    """

    def __init__(self, exchange: WebSocketExchange, accept: Mapping[str, Any]) -> None:
        self._exchange = exchange
        self.subprotocol: str | None = accept.get("subprotocol")
        self.headers = httpx.Headers(list(accept.get("headers", ())))

    def send_text(self, text: str) -> None:
        """Send a text."""
        self._exchange.say({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        """Send bytes."""
        self._exchange.say({"type": "websocket.receive", "bytes": data})

    def send_json(self, value: Any) -> None:
        """Send a value as a text of JSON."""
        self.send_text(json.dumps(value))

    def receive_text(self) -> str:
        """The next message, a text; AssertionError if it is none."""
        return str(self._receive("text"))

    def receive_bytes(self) -> bytes:
        """The next message, bytes; AssertionError if it is none."""
        return bytes(self._receive("bytes"))

    def receive_json(self) -> Any:
        """The value of the next message, a text of JSON."""
        return json.loads(self.receive_text())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Leave, with a closing code (RFC 6455, 7.4)."""
        self._exchange.leave(code, reason)

    def _receive(self, kind: str) -> Any:
        message = self._exchange.hear()
        data = message.get(kind)
        if data is None:
            raise AssertionError(f"the application sent no {kind}, but {message!r:.200}")
        return data


def handshake(subprotocols: Sequence[str], headers: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a GET that opens a WebSocket (RFC 6455, 4.1)."""
    if isinstance(subprotocols, str):
        raise TypeError(f"subprotocols is a list, [{subprotocols!r}], not one str")
    opening = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",  # the specification's own
    }
    if subprotocols:
        opening["sec-websocket-protocol"] = ", ".join(subprotocols)
    return {
        "headers": opening | dict(headers),
        "extensions": {"websocket": {}},
    }


class WebSocketExchange(_Exchange):
    """One call of an ASGI application with the scope of a WebSocket."""

    def __init__(self, app: Any, scope: dict[str, Any], raises: bool) -> None:
        del scope["method"]
        offered = dict(scope["headers"]).get(b"sec-websocket-protocol", b"").decode("latin-1")
        self._app = app
        self._scope = scope | {
            "type": "websocket",
            "scheme": SCHEMES[scope["scheme"]],
            "subprotocols": [name.strip() for name in offered.split(",") if name],
            "extensions": {"websocket.http.response": {}},
        }
        self._raises = raises
        self._loop = app_loop.visit().loop
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: SimpleQueue[dict[str, Any] | None] = SimpleQueue()  # None: it has ended
        self._room = asyncio.Semaphore(BACKLOG)
        self._more = True  # of a refusal's body
        self._over: tuple[int, str] | None = None  # the closing code, and the reason
        self._left = False
        self._failed = False  # it was said already why

    def start(self) -> tuple[int, RawHeaders]:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._running: Future[None] = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        message = self._next()
        if message is None:
            self._raise_what_failed()
            raise RuntimeError("the application ended without an answer to the handshake")
        if message["type"] == "websocket.close":
            self._more = False
            return 403, []  # all that the specification lets a server say
        headers: RawHeaders = list(message.get("headers", ()))
        if message["type"] == "websocket.accept":
            self.extensions = {"websocket": WebSocketSession(self, message)}
            return 101, headers
        return message["status"], headers

    def next_chunk(self) -> bytes:
        """The next piece of a refusal's body."""
        while self._more:
            message = self._next()
            if message is None:
                self._raise_what_failed()
                raise RuntimeError("the application ended before its response did")
            self._more = message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return b""

    def close(self) -> None:
        """Leave, wait until the application has ended, and raise what it failed with."""
        self.leave(1000, "")
        if not wait_for([self._running], PATIENCE).done:
            self._running.cancel()
            raise AssertionError(f"the application goes on {PATIENCE:.0f} s after its client left")
        self._raise_what_failed()

    def say(self, message: dict[str, Any]) -> None:
        """Give the application a message. Raises WebSocketDisconnect if all is over."""
        if self._over is not None:
            raise WebSocketDisconnect(*self._over)
        self._tell(message)

    def hear(self) -> dict[str, Any]:
        """The application's next message."""
        if self._over is None:
            message = self._next()
            if message is None:
                self._raise_what_failed()
                self._over = LOST
            elif message["type"] == "websocket.close":
                self._disconnect(message.get("code", 1000), message.get("reason") or "")
            else:
                return message
        raise WebSocketDisconnect(*self._over or LOST)

    def leave(self, code: int, reason: str) -> None:
        """The client is gone: what the application still sends reaches nobody."""
        if self._over is None:
            self._disconnect(code, reason)
        self._left = True
        self._loop.call_soon_threadsafe(self._room.release)

    def _next(self) -> dict[str, Any] | None:
        try:
            message = self._from_app.get(timeout=PATIENCE)
        except Empty:
            self._running.cancel()
            raise AssertionError(f"the application said nothing for {PATIENCE:.0f} s") from None
        if message is None:
            self._from_app.put(None)
        else:
            self._loop.call_soon_threadsafe(self._room.release)
        return message

    def _raise_what_failed(self) -> None:
        if self._failed or self._running.cancelled():
            return
        error = self._running.exception(PATIENCE)
        # An AssertionError is a validator's, which is never a part of what is tested.
        if error is not None and (self._raises or isinstance(error, AssertionError)):
            self._failed = True
            raise error

    def _tell(self, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._to_app.put_nowait, message)

    def _disconnect(self, code: int, reason: str) -> None:
        self._over = (code, reason)
        self._tell({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._from_app.put(None)

    async def _receive(self) -> dict[str, Any]:
        return await self._to_app.get()

    async def _send(self, message: dict[str, Any]) -> None:
        await self._room.acquire()
        if self._left:
            self._room.release()
            raise _ClientHasLeft
        self._from_app.put(message)
