"""baize."""

from __future__ import annotations

from typing import Any

from baize import asgi as a
from baize import wsgi as w


def wsgi(others: int, layers: int) -> Any:
    if layers:
        return None

    @w.request_response
    def text(request: w.Request) -> w.Response:
        return w.PlainTextResponse("hello")

    @w.request_response
    def as_json(request: w.Request) -> w.Response:
        return w.JSONResponse({"hello": "world"})

    @w.request_response
    def user(request: w.Request) -> w.Response:
        return w.JSONResponse({"id": request.path_params["id"]})

    @w.request_response
    def echo(request: w.Request) -> w.Response:
        return w.JSONResponse(request.json)

    return w.Router(
        *[(f"/other{number}/{{name}}", text) for number in range(others)],
        ("/text", text),
        ("/json", as_json),
        ("/users/{id:int}", user),
        ("/echo", echo),
    )


def asgi(others: int, layers: int) -> Any:
    if layers:
        return None

    @a.request_response
    async def text(request: a.Request) -> a.Response:
        return a.PlainTextResponse("hello")

    @a.request_response
    async def as_json(request: a.Request) -> a.Response:
        return a.JSONResponse({"hello": "world"})

    @a.request_response
    async def user(request: a.Request) -> a.Response:
        return a.JSONResponse({"id": request.path_params["id"]})

    @a.request_response
    async def echo(request: a.Request) -> a.Response:
        return a.JSONResponse(await request.json)

    return a.Router(
        *[(f"/other{number}/{{name}}", text) for number in range(others)],
        ("/text", text),
        ("/json", as_json),
        ("/users/{id:int}", user),
        ("/echo", echo),
    )
