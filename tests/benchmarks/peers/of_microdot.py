"""microdot."""

from __future__ import annotations

from typing import Any

from microdot import asgi as a
from microdot import wsgi as w


def _site(app: Any, others: int, layers: int) -> Any:
    async def other(request: Any, name: str) -> str:
        return name

    for number in range(others):
        app.get(f"/other{number}/<name>")(other)

    @app.get("/text")
    async def text(request: Any) -> str:
        return "hello"

    @app.get("/json")
    async def as_json(request: Any) -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/users/<int:id>")
    async def user(request: Any, id: int) -> dict[str, int]:  # noqa: A002
        return {"id": id}

    @app.post("/echo")
    async def echo(request: Any) -> Any:
        return request.json

    @app.get("/async")
    async def asynchronous(request: Any) -> str:
        return "hello"

    async def before(request: Any) -> None: ...

    async def after(request: Any, response: Any) -> Any:
        return response

    for _ in range(layers):
        app.before_request(before)
        app.after_request(after)
    return app


def wsgi(others: int, layers: int) -> Any:
    return _site(w.Microdot(), others, layers)


def asgi(others: int, layers: int) -> Any:
    return _site(a.Microdot(), others, layers)
