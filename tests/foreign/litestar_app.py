"""The site in Litestar."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, head, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType
from litestar.exceptions import WebSocketDisconnect
from litestar.logging import LoggingConfig
from litestar.params import Body
from litestar.response import File, Redirect, Stream

from .marks import ENDLESS, FOLDER, GREETING, PIECES, background, life, mark


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    async with life():
        app.state.greeting = GREETING
        yield


@get("/text", media_type=MediaType.TEXT)
async def text() -> str:
    return "hello, größe"


@head("/text", media_type=MediaType.TEXT)
async def text_head() -> None:
    return None


@get("/json", sync_to_thread=True)
def as_json() -> dict[str, Any]:
    return {"words": ["größe", "Ω"]}


@get("/people/{name:str}")
async def person(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"name": request.path_params["name"]}


@get("/search")
async def search(request: Request[Any, Any, Any]) -> dict[str, Any]:
    query = request.query_params
    return {"q": query["q"], "tags": query.getall("tag")}


@dataclass
class Credentials:
    user: str
    password: str


@post("/login", status_code=200)
async def login(
    data: Annotated[Credentials, Body(media_type=RequestEncodingType.URL_ENCODED)],
) -> dict[str, Any]:
    return {"user": data.user, "password": data.password}


@dataclass
class Photo:
    title: str
    file: UploadFile


@post("/photos", status_code=200)
async def photos(
    data: Annotated[Photo, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    content = await data.file.read()
    return {
        "title": data.title,
        "name": data.file.filename,
        "size": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
    }


@post("/echo", status_code=200, media_type="application/octet-stream")
async def echo(request: Request[Any, Any, Any]) -> bytes:
    return await request.body()


@get("/stream")
async def stream() -> Stream:
    return Stream(iter(PIECES), media_type=MediaType.TEXT)


@get("/files/{name:str}")
async def files(request: Request[Any, Any, Any]) -> File:
    name = request.path_params["name"]
    return File(Path(FOLDER, name), filename=name)


@get("/cookies", media_type=MediaType.TEXT)
async def cookies() -> Response[str]:
    response = Response("set")
    response.set_cookie("flavour", "vanilla", httponly=True)
    response.set_cookie("count", "2")
    return response


@get("/basket")
async def basket(request: Request[Any, Any, Any]) -> dict[str, Any]:
    own = request.cookies
    return {"flavour": own.get("flavour"), "count": own.get("count")}


@get("/old")
async def old() -> Redirect:
    return Redirect("/text")


@get("/boom")
async def boom() -> str:
    raise ValueError("trouble at once")


@get("/break")
async def break_(request: Request[Any, Any, Any]) -> Stream:
    async def broken() -> AsyncIterator[str]:
        for _ in range(int(request.query_params["pieces"])):
            yield "piece\n"
        raise ValueError("trouble in mid-stream")

    return Stream(broken(), media_type=MediaType.TEXT)


@get("/endless")
async def endless(request: Request[Any, Any, Any]) -> Stream:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield ENDLESS
                await asyncio.sleep(0)
        finally:
            mark(request.query_params["closed"], "closed")

    return Stream(pieces(), media_type=MediaType.TEXT)


@get("/state")
async def state(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"greeting": request.app.state.greeting}


@get("/background")
async def later(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    query = request.query_params
    task = BackgroundTask(background, query["gate"], query["done"])
    return Response({"answered": True}, background=task)


@websocket("/talk")
async def talk(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept("echo" if "echo" in socket.scope["subprotocols"] else None)
    with suppress(WebSocketDisconnect):
        while (said := await socket.receive_text()) != "bye":
            await socket.send_text(said)
        await socket.close(3001)


@websocket("/talk/bytes")
async def talk_bytes(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    with suppress(WebSocketDisconnect):
        async for said in socket.iter_data("binary"):
            await socket.send_bytes(said)


app = Litestar(
    route_handlers=[
        text,
        text_head,
        as_json,
        person,
        search,
        login,
        photos,
        echo,
        stream,
        files,
        cookies,
        basket,
        old,
        boom,
        break_,
        endless,
        state,
        later,
        talk,
        talk_bytes,
    ],
    lifespan=[lifespan],
    # Otherwise it says nothing of an error that it answers with a 500.
    logging_config=LoggingConfig(log_exceptions="always"),
)
