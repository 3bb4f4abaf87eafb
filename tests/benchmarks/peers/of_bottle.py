"""Bottle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from bottle import Bottle, request, response


def wsgi(others: int, layers: int) -> Any:
    app = Bottle()
    for number in range(others):
        app.get(f"/other{number}/<name>")(lambda name: name)

    @app.get("/text")
    def text() -> str:
        response.content_type = "text/plain"
        return "hello"

    @app.get("/json")
    def as_json() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/users/<id:int>")
    def user(id: int) -> dict[str, int]:  # noqa: A002
        return {"id": id}

    @app.post("/echo")
    def echo() -> str:
        response.content_type = "application/json"
        return json.dumps(request.json)

    def plugin(callback: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **arguments: callback(**arguments)

    for _ in range(layers):
        app.install(plugin)
    return app
