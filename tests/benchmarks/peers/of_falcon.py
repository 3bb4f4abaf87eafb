"""Falcon."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi


class _Layer:
    def process_request(self, req: Any, resp: Any) -> None: ...

    def process_response(self, req: Any, resp: Any, resource: Any, done: bool) -> None: ...


class _AsyncLayer:
    async def process_request(self, req: Any, resp: Any) -> None: ...

    async def process_response(self, req: Any, resp: Any, resource: Any, done: bool) -> None: ...


class Text:
    def on_get(self, req: Any, resp: Any) -> None:
        resp.content_type, resp.text = falcon.MEDIA_TEXT, "hello"


class Json:
    def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"hello": "world"}


class User:
    def on_get(self, req: Any, resp: Any, id: int) -> None:  # noqa: A002
        resp.media = {"id": id}


class Echo:
    def on_post(self, req: Any, resp: Any) -> None:
        resp.media = req.media


class Other:
    def on_get(self, req: Any, resp: Any, name: str) -> None:
        resp.text = name


class AsyncText:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.content_type, resp.text = falcon.MEDIA_TEXT, "hello"


class AsyncJson:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.media = {"hello": "world"}


class AsyncUser:
    async def on_get(self, req: Any, resp: Any, id: int) -> None:  # noqa: A002
        resp.media = {"id": id}


class AsyncEcho:
    async def on_post(self, req: Any, resp: Any) -> None:
        resp.media = await req.get_media()


class AsyncOther:
    async def on_get(self, req: Any, resp: Any, name: str) -> None:
        resp.text = name


def wsgi(others: int, layers: int) -> Any:
    app = falcon.App(middleware=[_Layer() for _ in range(layers)])
    for number in range(others):
        app.add_route(f"/other{number}/{{name}}", Other())
    app.add_route("/text", Text())
    app.add_route("/json", Json())
    app.add_route("/users/{id:int}", User())
    app.add_route("/echo", Echo())
    return app


def asgi(others: int, layers: int) -> Any:
    app = falcon.asgi.App(middleware=[_AsyncLayer() for _ in range(layers)])
    for number in range(others):
        app.add_route(f"/other{number}/{{name}}", AsyncOther())
    app.add_route("/text", AsyncText())
    app.add_route("/json", AsyncJson())
    app.add_route("/users/{id:int}", AsyncUser())
    app.add_route("/echo", AsyncEcho())
    return app
