"""What test_oracles.py has served: two bare applications, which keep what they were asked.

One speaks WSGI and one ASGI, without any framework between them and the server, and each
answers with what it saw, as JSON. So what servers make of the same bytes can be compared.

    /unread   leaves the body where it is
    /calls    tells what all calls since the last time saw, when all of them are over;
              it is no such call itself
    others    read the body to its end
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Message = dict[str, Any]
Saw = dict[str, Any]

JSON = "application/json"
PATIENCE = 10.0  # seconds

_calls: list[Saw] = []
_running = 0
_changed = threading.Condition()


def shown(body: bytes) -> str:
    """A body, or its length and its digest where it is long."""
    if len(body) <= 200:
        return body.decode("latin-1")
    return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}"


def _begin(saw: Saw) -> None:
    global _running
    with _changed:
        _calls.append(saw)
        _running += 1


def _end() -> None:
    global _running
    with _changed:
        _running -= 1
        _changed.notify_all()


def _answer(what: Any) -> tuple[bytes, list[tuple[str, str]]]:
    body = json.dumps(what).encode("ascii")
    return body, [("Content-Type", JSON), ("Content-Length", str(len(body)))]


def _told() -> list[Saw]:
    told = _calls.copy()
    _calls.clear()
    return told


# --- WSGI ---------------------------------------------------------------------------------


def wsgi(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application for servers that speak WSGI."""
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    if path == "/calls":
        with _changed:
            is_quiet = _changed.wait_for(lambda: not _running, PATIENCE)
            body, headers = _answer(_told() if is_quiet else "a call does not end")
    else:
        saw: Saw = {
            "method": environ["REQUEST_METHOD"],
            "path": path,
            "query": environ.get("QUERY_STRING", ""),
            "headers": _headers_in(environ),
        }
        _begin(saw)
        try:
            saw["body"] = None if path == "/unread" else shown(environ["wsgi.input"].read())
        except Exception:
            saw["body"] = "broken"
            raise
        finally:
            _end()
        body, headers = _answer(saw)
    start_response("200 OK", headers)
    return [body]


def _headers_in(environ: Environ) -> dict[str, str]:
    keys = ("CONTENT_TYPE", "CONTENT_LENGTH")
    return {
        key.removeprefix("HTTP_").replace("_", "-").lower(): value
        for key, value in sorted(environ.items())
        if key.startswith("HTTP_") or (key in keys and value)
    }


# --- ASGI ---------------------------------------------------------------------------------


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """The application for servers that speak ASGI."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    assert scope["type"] == "http"
    if scope["path"] == "/calls":
        async with asyncio.timeout(PATIENCE):
            while _running:
                await asyncio.sleep(0)
        body, headers = _answer(_told())
    else:
        saw: Saw = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "headers": joined(scope["headers"]),
        }
        _begin(saw)
        try:
            saw["body"] = None if scope["path"] == "/unread" else await _read(receive)
        finally:
            _end()
        if saw["body"] == "broken":
            return
        body, headers = _answer(saw)
    raw_headers = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": 200, "headers": raw_headers})
    await send({"type": "http.response.body", "body": body})


async def _live(
    receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while (message := await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": f"{message['type']}.complete"})


async def _read(receive: Callable[[], Awaitable[Message]]) -> str:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return "broken"
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return shown(body)


def joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Fields of one name joined, as WSGI has to have them."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        border = "; " if name == "cookie" else ","
        joined[name] = f"{joined[name]}{border}{value}" if name in joined else value
    return joined
