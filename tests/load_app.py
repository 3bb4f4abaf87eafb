"""Two plain applications, without a framework, for the crowds of test_server_load.py.

Both answer the same:

    /          a word                        /count     how long the body was
    /stream    three pieces                  /large     MOST bytes, in pieces
    /boom      an error                      /break     an error after a piece
    /files     what some files have in them  /census    who is in here
    /hoard     as /count; until then it holds all descriptors that are to be had
    /together  as soon as TOGETHER others have asked (WSGI)

and the ASGI one speaks over WebSockets: whatever is said it says again.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

MOST = 64 * 1024 * 1024
TOGETHER = 40  # as many as there are threads
PATIENCE = 20.0  # seconds
PIECE = b"more and more\n" * 1024
WORD = b"hello"
PIECES = [b"one\n", b"two\n", b"three\n"]

_lock = threading.Lock()
_running: dict[str, int] = {}
peak: dict[str, int] = {}  # the most who have been inside at once
_all_threads = threading.Barrier(TOGETHER)

Start = Callable[..., Any]
Environ = dict[str, Any]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Within:
    """Counts who is inside, by path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._add(1)
        with _lock:
            peak[self._path] = max(peak.get(self._path, 0), _running[self._path])

    def __exit__(self, *_: object) -> None:
        self._add(-1)

    def _add(self, number: int) -> None:
        with _lock:
            _running[self._path] = _running.get(self._path, 0) + number


def forget() -> None:
    """Begin anew, where the application has been served in this process before."""
    with _lock:
        _running.clear()
        peak.clear()


def _census(tasks: int) -> bytes:
    with _lock:
        return json.dumps({"tasks": tasks, "running": _running}).encode()


def _read_files() -> bytes:
    """What takes several descriptors at once."""
    with ExitStack() as stack:
        files = [stack.enter_context(Path(__file__).open("rb")) for _ in range(8)]
        return b"".join(file.read() for file in files)


@contextmanager
def _hoard() -> Iterator[None]:
    """In here, no descriptor is left."""
    with ExitStack() as stack:
        with suppress(OSError):
            while True:
                stack.enter_context(Path(__file__).open("rb"))
        yield


def _large() -> Iterator[bytes]:
    left = MOST
    while left:
        piece = PIECE[:left]
        yield piece
        left -= len(piece)


# --- WSGI ---------------------------------------------------------------------------------


def wsgi(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """The one, through WSGI."""
    path = environ["PATH_INFO"]
    answer = _WSGI.get(path)
    if answer is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There is nothing here.\n"]
    return answer(environ, start_response)


def _word(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [WORD]


def _count(environ: Environ, start_response: Start) -> Iterable[bytes]:
    size = 0
    with _Within("/count"):
        while piece := environ["wsgi.input"].read(65536):
            size += len(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(size).encode()]


def _hoard_and_count(environ: Environ, start_response: Start) -> Iterable[bytes]:
    with _hoard():
        return _count(environ, start_response)


def _stream(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter(PIECES)


def _much(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(MOST))])
    with _Within("/large"):
        yield from _large()


def _boom(environ: Environ, start_response: Start) -> Iterable[bytes]:
    raise ValueError("on purpose")


def _break(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield WORD
    raise ValueError("on purpose, in mid-stream")


def _files(environ: Environ, start_response: Start) -> Iterable[bytes]:
    content = _read_files()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [content]


def _who(environ: Environ, start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [_census(0)]


def _together(environ: Environ, start_response: Start) -> Iterable[bytes]:
    _all_threads.wait(PATIENCE)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [WORD]


_WSGI: dict[str, Callable[[Environ, Start], Iterable[bytes]]] = {
    "/": _word,
    "/count": _count,
    "/hoard": _hoard_and_count,
    "/stream": _stream,
    "/large": _much,
    "/boom": _boom,
    "/break": _break,
    "/files": _files,
    "/census": _who,
    "/together": _together,
}


# --- ASGI ---------------------------------------------------------------------------------


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """The same, through ASGI."""
    if scope["type"] == "websocket":
        await _talk(receive, send)
    elif scope["type"] == "http":
        await _answer(scope["path"], receive, send)
    else:
        raise NotImplementedError(scope["type"])


async def _answer(path: str, receive: Receive, send: Send) -> None:
    if path == "/":
        await _say(send, WORD)
    elif path == "/count":
        await _count_and_say(receive, send)
    elif path == "/hoard":
        with _hoard():
            await _count_and_say(receive, send)
    elif path == "/stream":
        await _say(send, *PIECES)
    elif path == "/large":
        await _begin(send, 200, (b"content-length", str(MOST).encode()))
        with _Within(path):
            for piece in _large():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    elif path == "/boom":
        raise ValueError("on purpose")
    elif path == "/break":
        await _begin(send, 200)
        await send({"type": "http.response.body", "body": WORD, "more_body": True})
        raise ValueError("on purpose, in mid-stream")
    elif path == "/files":
        await _say(send, _read_files())
    elif path == "/census":
        await _say(send, _census(len(asyncio.all_tasks())))
    else:
        await _say(send, b"There is nothing here.\n", status=404)


async def _count_and_say(receive: Receive, send: Send) -> None:
    size, more = 0, True
    with _Within("/count"):
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
    await _say(send, str(size).encode())


async def _say(send: Send, *pieces: bytes, status: int = 200) -> None:
    """One piece has a length, several come in chunks."""
    if len(pieces) == 1:
        await _begin(send, status, (b"content-length", str(len(pieces[0])).encode()))
    else:
        await _begin(send, status)
    for number, piece in enumerate(pieces, 1):
        more = number < len(pieces)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _begin(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    named = [(b"content-type", b"text/plain"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": named})


async def _talk(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
