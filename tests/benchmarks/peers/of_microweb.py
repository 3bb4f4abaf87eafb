"""microweb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from microweb import App, Request

from . import OTHER


def _site(others: int, layers: int) -> App:
    app = App()
    for number in range(others):
        app.get(OTHER.format(number=number), name=f"other{number}")(lambda request, name: name)

    def layer(request: Request) -> Iterator[None]:
        yield

    for _ in range(layers):
        app.middleware(layer)
    return app


def wsgi(others: int, layers: int) -> Any:
    app = _site(others, layers)

    @app.get("/text")
    def text(request: Request) -> str:
        return "hello"

    @app.get("/json")
    def as_json(request: Request) -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/users/{id:int}")
    def user(request: Request, id: int) -> dict[str, int]:  # noqa: A002
        return {"id": id}

    @app.post("/echo")
    def echo(request: Request) -> Any:
        return request.json()

    @app.get("/async")
    async def asynchronous(request: Request) -> str:
        return "hello"

    return app.wsgi


def asgi(others: int, layers: int) -> Any:
    app = _site(others, layers)

    @app.get("/text")
    async def text(request: Request) -> str:
        return "hello"

    @app.get("/json")
    async def as_json(request: Request) -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/users/{id:int}")
    async def user(request: Request, id: int) -> dict[str, int]:  # noqa: A002
        return {"id": id}

    @app.post("/echo")
    async def echo(request: Request) -> Any:
        return request.json()

    @app.get("/plain")
    def plain(request: Request) -> str:
        return "hello"

    return app.asgi
