"""No framework at all: what none can go below."""

from __future__ import annotations

import json
from typing import Any


def wsgi(others: int, layers: int) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path, kind, status = environ["PATH_INFO"], "text/plain", "200 OK"
        if path in ("/text", "/plain"):
            body = b"hello"
        elif path == "/json":
            body, kind = json.dumps({"hello": "world"}).encode(), "application/json"
        elif path.startswith("/users/"):
            body, kind = json.dumps({"id": int(path[7:])}).encode(), "application/json"
        elif path == "/echo":
            sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            body, kind = json.dumps(json.loads(sent)).encode(), "application/json"
        else:
            body, status = b"Not Found", "404 Not Found"
        headers = [("content-type", kind), ("content-length", str(len(body)))]
        start_response(status, headers)
        return [body]

    return app


def asgi(others: int, layers: int) -> Any:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path, kind, status = scope["path"], b"text/plain", 200
        if path in ("/text", "/plain"):
            body = b"hello"
        elif path == "/json":
            body, kind = json.dumps({"hello": "world"}).encode(), b"application/json"
        elif path.startswith("/users/"):
            body, kind = json.dumps({"id": int(path[7:])}).encode(), b"application/json"
        elif path == "/echo":
            sent, more = b"", True
            while more:
                message = await receive()
                sent += message.get("body", b"")
                more = message.get("more_body", False)
            body, kind = json.dumps(json.loads(sent)).encode(), b"application/json"
        else:
            body, status = b"Not Found", 404
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
