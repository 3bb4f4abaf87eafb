"""BlackSheep."""

from __future__ import annotations

import logging
from typing import Any

from blacksheep import Application, Request, Response, json, text
from blacksheep.server.routing import Router

logging.getLogger("blacksheep.server").setLevel(logging.CRITICAL)


def asgi(others: int, layers: int) -> Any:
    router = Router()
    app = Application(router=router)

    async def other(name: str) -> Response:
        return text(name)

    for number in range(others):
        router.add_get(f"/other{number}/{{name}}", other)

    @router.get("/text")
    async def as_text(request: Request) -> Response:
        return text("hello")

    @router.get("/json")
    async def as_json(request: Request) -> Response:
        return json({"hello": "world"})

    @router.get("/users/{int:id}")
    async def user(id: int) -> Response:  # noqa: A002
        return json({"id": id})

    @router.post("/echo")
    async def echo(request: Request) -> Response:
        return json(await request.json())

    async def layer(request: Request, handler: Any) -> Any:
        return await handler(request)

    for _ in range(layers):
        app.middlewares.append(layer)
    return app
