"""Starlette."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


class _Layer:
    """A pure ASGI middleware, the cheapest kind that it has."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def text(request: Request) -> Response:
    return PlainTextResponse("hello")


async def as_json(request: Request) -> Response:
    return JSONResponse({"hello": "world"})


async def user(request: Request) -> Response:
    return JSONResponse({"id": request.path_params["id"]})


async def echo(request: Request) -> Response:
    return JSONResponse(await request.json())


def plain(request: Request) -> Response:
    return PlainTextResponse("hello")


def asgi(others: int, layers: int) -> Any:
    routes = [Route(f"/other{number}/{{name}}", text) for number in range(others)]
    routes += [
        Route("/text", text),
        Route("/json", as_json),
        Route("/users/{id:int}", user),
        Route("/echo", echo, methods=["POST"]),
        Route("/plain", plain),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Layer) for _ in range(layers)])
