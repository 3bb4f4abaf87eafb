"""`/file` without any framework: as fast as the server itself can be fed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from . import FILE, READ_SIZE


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Any path is `/file`."""
    headers = [
        ("content-type", "application/octet-stream"),
        ("content-length", str(os.path.getsize(FILE))),
    ]
    start_response("200 OK", headers)
    return _blocks()


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any path is `/file`. It stops the loop while it reads: nobody else is being served."""
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % os.path.getsize(FILE)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for block in _blocks():
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _blocks() -> Iterator[bytes]:
    with open(FILE, "rb") as file:
        while block := file.read(READ_SIZE):
            yield block
