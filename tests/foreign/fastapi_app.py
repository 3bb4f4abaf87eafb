"""The site in FastAPI."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    Cookie,
    FastAPI,
    Form,
    Query,
    Request,
    Response,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from fastapi.responses import (
    FileResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)

from .marks import ENDLESS, FOLDER, GREETING, PIECES, background, life, mark


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    async with life():
        yield {"greeting": GREETING}


app = FastAPI(lifespan=lifespan)


@app.head("/text", response_class=PlainTextResponse)
@app.get("/text", response_class=PlainTextResponse)
def text() -> str:
    return "hello, größe"


@app.get("/json")
async def as_json() -> dict[str, Any]:
    return {"words": ["größe", "Ω"]}


@app.get("/people/{name}")
def person(name: str) -> dict[str, Any]:
    return {"name": name}


@app.get("/search")
async def search(q: str, tag: Annotated[list[str], Query()]) -> dict[str, Any]:
    return {"q": q, "tags": tag}


@app.post("/login")
async def login(user: Annotated[str, Form()], password: Annotated[str, Form()]) -> dict[str, Any]:
    return {"user": user, "password": password}


@app.post("/photos")
def photos(title: Annotated[str, Form()], file: UploadFile) -> dict[str, Any]:
    data = file.file.read()
    digest = hashlib.sha256(data).hexdigest()
    return {"title": title, "name": file.filename, "size": len(data), "digest": digest}


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(iter(PIECES), media_type="text/plain")


@app.get("/files/{name}")
async def files(name: str) -> FileResponse:
    return FileResponse(Path(FOLDER, name), filename=name)


@app.get("/cookies")
async def cookies(response: Response) -> str:
    response.set_cookie("flavour", "vanilla", httponly=True)
    response.set_cookie("count", "2")
    return "set"


@app.get("/basket")
async def basket(
    flavour: Annotated[str | None, Cookie()] = None, count: Annotated[str | None, Cookie()] = None
) -> dict[str, Any]:
    return {"flavour": flavour, "count": count}


@app.get("/old")
async def old() -> RedirectResponse:
    return RedirectResponse("/text")


@app.get("/boom")
def boom() -> str:
    raise ValueError("trouble at once")


@app.get("/break")
async def break_(pieces: int) -> StreamingResponse:
    async def broken() -> AsyncIterator[str]:
        for _ in range(pieces):
            yield "piece\n"
        raise ValueError("trouble in mid-stream")

    return StreamingResponse(broken(), media_type="text/plain")


@app.get("/endless")
async def endless(closed: str) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield ENDLESS
                await asyncio.sleep(0)
        finally:
            mark(closed, "closed")

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/state")
async def state(request: Request) -> dict[str, Any]:
    return {"greeting": request.state.greeting}


@app.get("/background")
async def later(gate: str, done: str, tasks: BackgroundTasks) -> dict[str, Any]:
    tasks.add_task(background, gate, done)
    return {"answered": True}


@app.websocket("/talk")
async def talk(ws: WebSocket) -> None:
    await ws.accept("echo" if "echo" in ws.scope["subprotocols"] else None)
    with suppress(WebSocketDisconnect):
        while (said := await ws.receive_text()) != "bye":
            await ws.send_text(said)
        await ws.close(3001)


@app.websocket("/talk/bytes")
async def talk_bytes(ws: WebSocket) -> None:
    await ws.accept()
    async for said in ws.iter_bytes():
        await ws.send_bytes(said)
