"""Quart."""

from __future__ import annotations

from typing import Any

from quart import Quart, Response, jsonify, request


async def _other(name: str) -> str:
    return name


async def _nothing() -> None: ...


async def _same(response: Any) -> Any:
    return response


def asgi(others: int, layers: int) -> Any:
    app = Quart("peer")
    for number in range(others):
        app.add_url_rule(f"/other{number}/<name>", f"other{number}", _other)

    @app.get("/text")
    async def text() -> Response:
        return Response("hello", mimetype="text/plain")

    @app.get("/json")
    async def as_json() -> Response:
        return jsonify({"hello": "world"})

    @app.get("/users/<int:id>")
    async def user(id: int) -> Response:  # noqa: A002
        return jsonify({"id": id})

    @app.post("/echo")
    async def echo() -> Response:
        return jsonify(await request.get_json())

    for _ in range(layers):
        app.before_request(_nothing)
        app.after_request(_same)
    return app
