"""The site in Falcon, through ASGI."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi import Request, Response, WebSocket

from .marks import ENDLESS, FOLDER, GREETING, PIECES, background, life, mark

PLAIN = falcon.MEDIA_TEXT


class Life:
    """Falcon's way to learn of the lifespan is a middleware."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.greeting = ""

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        await self._stack.enter_async_context(life())
        self.greeting = GREETING

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        await self._stack.aclose()


the_life = Life()
app = falcon.asgi.App(middleware=[the_life])
app.add_static_route("/files", FOLDER, downloadable=True)


class Text:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = PLAIN
        resp.text = "hello, größe"

    on_head = on_get


class Json:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"words": ["größe", "Ω"]}


class Person:
    async def on_get(self, req: Request, resp: Response, name: str) -> None:
        resp.media = {"name": name}


class Search:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"q": req.get_param("q"), "tags": req.get_param_as_list("tag")}


class Login:
    async def on_post(self, req: Request, resp: Response) -> None:
        form = await req.get_media()
        resp.media = {"user": form["user"], "password": form["password"]}


class Photos:
    async def on_post(self, req: Request, resp: Response) -> None:
        answer = {}
        async for part in await req.get_media():
            if part.name == "title":
                answer["title"] = await part.text
            else:
                data = await part.stream.read()
                answer["name"] = part.filename
                answer["size"] = len(data)
                answer["digest"] = hashlib.sha256(data).hexdigest()
        resp.media = answer


class Echo:
    async def on_post(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.data = await req.stream.read()


class Stream:
    async def on_get(self, req: Request, resp: Response) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in PIECES:
                yield piece.encode()

        resp.content_type = PLAIN
        resp.stream = pieces()


class Cookies:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.set_cookie("flavour", "vanilla", path="/", secure=False)
        resp.set_cookie("count", "2", path="/", secure=False, http_only=False, same_site="Lax")


class Basket:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"flavour": req.cookies.get("flavour"), "count": req.cookies.get("count")}


class Old:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise falcon.HTTPFound("/text")


class Boom:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise ValueError("trouble at once")


class Break:
    async def on_get(self, req: Request, resp: Response) -> None:
        async def broken() -> AsyncIterator[bytes]:
            for _ in range(req.get_param_as_int("pieces", required=True)):
                yield b"piece\n"
            raise ValueError("trouble in mid-stream")

        resp.content_type = PLAIN
        resp.stream = broken()


class Endless:
    async def on_get(self, req: Request, resp: Response) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield ENDLESS
                    await asyncio.sleep(0)
            finally:
                mark(req.get_param("closed", required=True), "closed")

        resp.content_type = PLAIN
        resp.stream = pieces()


class State:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"greeting": the_life.greeting}


class Background:
    async def on_get(self, req: Request, resp: Response) -> None:
        gate, done = req.get_param("gate", required=True), req.get_param("done", required=True)
        resp.media = {"answered": True}
        resp.schedule(partial(background, gate, done))


class Talk:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.accept(subprotocol="echo" if "echo" in ws.subprotocols else None)
        with suppress(falcon.WebSocketDisconnected):
            while (said := await ws.receive_text()) != "bye":
                await ws.send_text(said)
            await ws.close(3001)


class TalkBytes:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        with suppress(falcon.WebSocketDisconnected):
            while True:
                await ws.send_data(await ws.receive_data())


app.add_route("/text", Text())
app.add_route("/json", Json())
app.add_route("/people/{name}", Person())
app.add_route("/search", Search())
app.add_route("/login", Login())
app.add_route("/photos", Photos())
app.add_route("/echo", Echo())
app.add_route("/stream", Stream())
app.add_route("/cookies", Cookies())
app.add_route("/basket", Basket())
app.add_route("/old", Old())
app.add_route("/boom", Boom())
app.add_route("/break", Break())
app.add_route("/endless", Endless())
app.add_route("/state", State())
app.add_route("/background", Background())
app.add_route("/talk", Talk())
app.add_route("/talk/bytes", TalkBytes())
