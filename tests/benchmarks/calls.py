"""Calls: an application called as a server calls it, with no server there."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple

HEADERS = {"host": "127.0.0.1:8000", "user-agent": "benchmark", "accept": "*/*"}


class Ask(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes = b""


class Answer(NamedTuple):
    """What an application has answered."""

    status: int
    body: bytes


# --- WSGI -------------------------------------------------------------------------------------


def environ_of(ask: Ask) -> dict[str, Any]:
    """An environ as gunicorn makes it, but for the body."""
    environ: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": "benchmark",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": ask.path,
        "QUERY_STRING": "",
        "RAW_URI": ask.path,
    }
    for name, value in HEADERS.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    if ask.body:
        environ |= {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(ask.body))}
    return environ


def wsgi_answer(app: Callable[..., Any], ask: Ask) -> Answer:
    """What the application answers."""
    said: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., Any]:
        said.append(status)
        return lambda data: None

    iterable = app({**environ_of(ask), "wsgi.input": io.BytesIO(ask.body)}, start_response)
    body = b"".join(iterable)
    if hasattr(iterable, "close"):
        iterable.close()
    return Answer(int(said[-1].split()[0]), body)


def wsgi_time(app: Callable[..., Any], ask: Ask, number: int) -> float:
    """Microseconds for a call, at the mean of this many."""
    environ, body = environ_of(ask), ask.body

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        pass

    started = perf_counter()
    for _ in range(number):
        own = environ.copy()
        own["wsgi.input"] = io.BytesIO(body)
        iterable = app(own, start_response)
        for _chunk in iterable:
            pass
        if hasattr(iterable, "close"):
            iterable.close()
    return (perf_counter() - started) / number * 1e6


# --- ASGI -------------------------------------------------------------------------------------


def scope_of(ask: Ask) -> dict[str, Any]:
    """A scope as uvicorn makes it."""
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    if ask.body:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", b"%d" % len(ask.body)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": "http",
        "path": ask.path,
        "raw_path": ask.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


class Exchange:
    """One request as uvicorn makes it, with a transport that is never full."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.status = 0
        self.chunks: list[bytes] = []
        self._whole = asyncio.Event()
        self._asked = False

    async def call(self, app: Any) -> Answer:
        """Have the application answer."""
        await app(scope_of(self.ask), self._receive, self._send)
        return Answer(self.status, b"".join(self.chunks))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.ask.body, "more_body": False}
        await self._whole.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        # Like uvicorn's, it does not give way to others while the transport takes more.
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.chunks.append(message.get("body", b""))
            if not message.get("more_body", False):
                self._whole.set()


async def asgi_time(app: Any, ask: Ask, number: int) -> float:
    """Microseconds for a call, at the mean of this many, one after the other."""
    scope, body = scope_of(ask), ask.body
    gone = {"type": "http.disconnect"}
    is_asked = is_whole = False
    waiting: asyncio.Future[dict[str, Any]] | None = None

    async def receive() -> dict[str, Any]:
        nonlocal is_asked, waiting
        if not is_asked:
            is_asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        if is_whole:
            return gone
        waiting = asyncio.get_running_loop().create_future()
        return await waiting

    async def send(message: dict[str, Any]) -> None:
        nonlocal is_whole
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_whole = True
            if waiting is not None and not waiting.done():
                waiting.set_result(gone)

    started = perf_counter()
    for _ in range(number):
        is_asked = is_whole = False
        await app(scope.copy(), receive, send)
    return (perf_counter() - started) / number * 1e6


async def live(app: Any) -> None:
    """Begin an application's life, as its lifespan does; it is never ended here."""
    begun = asyncio.Event()
    messages = iter([{"type": "lifespan.startup"}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        begun.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.create_task(app(scope, receive, send))
    _living.add(task)
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.exception()  # one without a lifespan may say so by raising


_living: set[asyncio.Task[Any]] = set()
