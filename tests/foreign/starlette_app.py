"""The site in Starlette."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from .marks import ENDLESS, FOLDER, GREETING, PIECES, background, life, mark


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
    async with life():
        yield {"greeting": GREETING}


async def text(request: Request) -> Response:
    return PlainTextResponse("hello, größe")


async def as_json(request: Request) -> Response:
    return JSONResponse({"words": ["größe", "Ω"]})


async def person(request: Request) -> Response:
    return JSONResponse({"name": request.path_params["name"]})


def search(request: Request) -> Response:
    query = request.query_params
    return JSONResponse({"q": query["q"], "tags": query.getlist("tag")})


async def login(request: Request) -> Response:
    async with request.form() as form:
        return JSONResponse({"user": form["user"], "password": form["password"]})


async def photos(request: Request) -> Response:
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        data = await file.read()
        answer = {
            "title": form["title"],
            "name": file.filename,
            "size": len(data),
            "digest": hashlib.sha256(data).hexdigest(),
        }
    return JSONResponse(answer)


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    return StreamingResponse(iter(PIECES), media_type="text/plain")


async def files(request: Request) -> Response:
    name = request.path_params["name"]
    return FileResponse(Path(FOLDER, name), filename=name)


async def cookies(request: Request) -> Response:
    response = PlainTextResponse("set")
    response.set_cookie("flavour", "vanilla", httponly=True)
    response.set_cookie("count", "2")
    return response


async def basket(request: Request) -> Response:
    own = request.cookies
    return JSONResponse({"flavour": own.get("flavour"), "count": own.get("count")})


async def old(request: Request) -> Response:
    return RedirectResponse("/text")


async def boom(request: Request) -> Response:
    raise ValueError("trouble at once")


async def break_(request: Request) -> Response:
    async def broken() -> AsyncIterator[str]:
        for _ in range(int(request.query_params["pieces"])):
            yield "piece\n"
        raise ValueError("trouble in mid-stream")

    return StreamingResponse(broken(), media_type="text/plain")


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield ENDLESS
                await asyncio.sleep(0)
        finally:
            mark(request.query_params["closed"], "closed")

    return StreamingResponse(pieces(), media_type="text/plain")


async def state(request: Request) -> Response:
    return JSONResponse({"greeting": request.state.greeting})


async def later(request: Request) -> Response:
    query = request.query_params
    task = BackgroundTask(background, query["gate"], query["done"])
    return JSONResponse({"answered": True}, background=task)


async def talk(ws: WebSocket) -> None:
    await ws.accept("echo" if "echo" in ws.scope["subprotocols"] else None)
    with suppress(WebSocketDisconnect):
        while (said := await ws.receive_text()) != "bye":
            await ws.send_text(said)
        await ws.close(3001)


async def talk_bytes(ws: WebSocket) -> None:
    await ws.accept()
    async for said in ws.iter_bytes():
        await ws.send_bytes(said)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/text", text),
        Route("/json", as_json),
        Route("/people/{name}", person),
        Route("/search", search),
        Route("/login", login, methods=["POST"]),
        Route("/photos", photos, methods=["POST"]),
        Route("/echo", echo, methods=["POST"]),
        Route("/stream", stream),
        Route("/files/{name}", files),
        Route("/cookies", cookies),
        Route("/basket", basket),
        Route("/old", old),
        Route("/boom", boom),
        Route("/break", break_),
        Route("/endless", endless),
        Route("/state", state),
        Route("/background", later),
        WebSocketRoute("/talk", talk),
        WebSocketRoute("/talk/bytes", talk_bytes),
    ],
)
