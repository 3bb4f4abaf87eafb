"""ASGIRequest: a Request made of a scope and `receive` (ASGI HTTP, "HTTP Connection Scope").

Read it beside `wsgi_request.py`: the same things, found elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..model.errors import ClientDisconnect
from ..model.lazy import lazy
from ..model.request import Request
from .connection import Lookahead

if TYPE_CHECKING:
    from ..app import App

T = TypeVar("T")
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ASGIRequest(Request):
    """A Request made of a scope; what costs time is read from it when asked for."""

    protocol = "asgi"
    scope: Scope
    disconnected = False
    _ended = False  # its body
    _is_streamed = False
    _loop: asyncio.AbstractEventLoop  # for a worker thread that iterates `stream`,
    _waiting: asyncio.Task[Any] | None = None  # and what waits there on its behalf
    _is_over = False  # so that nothing may wait there any more

    def __init__(self, app: App, scope: Scope, receive: Receive) -> None:
        self.app = app
        self.scope = scope
        self._receive = self._watch = receive
        self.method = scope["method"]
        path = scope["path"]
        if scope.get("root_path"):
            path = without_prefix(path, self.root_path)
        self.path = path or "/"

    @lazy
    def root_path(self) -> str:
        return str(self.scope.get("root_path", "")).rstrip("/")

    @lazy
    def query_string(self) -> str:
        return bytes(self.scope.get("query_string") or b"").decode("latin-1")

    @lazy
    def scheme(self) -> str:
        return str(self.scope.get("scheme", "http"))

    @lazy
    def http_version(self) -> str:
        return str(self.scope["http_version"])

    @lazy
    def client(self) -> tuple[str, int] | None:
        client = self.scope.get("client")
        return (client[0], int(client[1] or 0)) if client and client[0] else None

    @lazy
    def server(self) -> tuple[str, int]:
        server = self.scope.get("server") or ("localhost", 0)
        return server[0], int(server[1] or 0)

    def header(self, name: str) -> str | None:
        wanted, length = name.encode("latin-1"), len(name)
        for key, value in self.scope["headers"]:
            # Lower case is a "should" of the specification; the length tells most of them apart.
            if len(key) == length and key.lower() == wanted:
                text: str = value.decode("latin-1")
                return text
        return None

    def _header_pairs(self) -> list[tuple[str, str]]:
        return [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.scope["headers"]
        ]

    async def _receive_body(self) -> bytes:
        piece = await self.receive_piece()
        if self._ended:  # most bodies come in one piece
            return piece
        # No list of them: a client may send tiny ones, and each would weigh forty bytes more.
        body = bytearray()
        while piece:
            body += piece
            piece = await self.receive_piece()
        return bytes(body)

    async def receive_piece(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.disconnected = True
                raise ClientDisconnect
            self._ended = not message.get("more_body", False)
            piece = self._counted(message.get("body", b""))
            if self._ended and self._received < (self._announced or 0):
                raise ClientDisconnect  # its server should have said so
            if piece:
                return piece
        return b""

    def receive_piece_here(self) -> bytes:
        if _is_on_a_loop():
            raise RuntimeError("request.stream: an async handler iterates it with `async for`")
        return asyncio.run_coroutine_threadsafe(self._receive_for_thread(), self._loop).result()

    async def _receive_for_thread(self) -> bytes:
        if self._is_over:
            raise ClientDisconnect
        self._waiting = asyncio.current_task()
        return await self.receive_piece()

    def release_thread(self) -> None:
        """Let a thread wait for `stream` no longer: after a response some servers never answer."""
        self._is_over = True
        if self._waiting is not None:
            self._waiting.cancel()

    def open_stream(self) -> None:
        super().open_stream()
        self._is_streamed = True
        self._loop = asyncio.get_running_loop()
        ahead = Lookahead(self._receive)
        self._receive, self._watch = ahead.take, ahead.peek

    async def call_plain(self, function: Callable[..., T], /, *args: Any) -> T:
        return await self.app.asgi.threads.call(function, *args)


def without_prefix(path: str, root_path: str) -> str:
    """The path below `root_path`.

    By the specification `path` includes `root_path`; some servers leave it out. So it is
    taken off where it is there, and only as whole segments.
    """
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # that is how asyncio says that there is none in this thread
        return False
    return True
