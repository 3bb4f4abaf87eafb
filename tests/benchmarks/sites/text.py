"""A line of text without any framework: what is left is the server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TEXT = b"Hello, world!\n"


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Any path is the text."""
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(TEXT)))]
    start_response("200 OK", headers)
    return [TEXT]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any path is the text."""
    if scope["type"] != "http":
        raise NotImplementedError
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(TEXT))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": TEXT})
