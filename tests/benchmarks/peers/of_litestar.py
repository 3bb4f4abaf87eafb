"""Litestar."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, MediaType, Request, get, post


class _Layer:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@get("/text", media_type=MediaType.TEXT)
async def text() -> str:
    return "hello"


@get("/json")
async def as_json() -> dict[str, str]:
    return {"hello": "world"}


@get("/users/{id:int}")
async def user(id: int) -> dict[str, int]:  # noqa: A002
    return {"id": id}


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> Any:
    return await request.json()


@get("/plain", media_type=MediaType.TEXT, sync_to_thread=True)
def plain() -> str:
    return "hello"


def asgi(others: int, layers: int) -> Any:
    def other(number: int) -> Any:
        @get(f"/other{number}/{{name:str}}", media_type=MediaType.TEXT)
        async def handler(name: str) -> str:
            return name

        return handler

    handlers = [other(number) for number in range(others)]
    return Litestar(
        route_handlers=[*handlers, text, as_json, user, echo, plain],
        middleware=[_Layer for _ in range(layers)],
        openapi_config=None,
        logging_config=None,
    )
