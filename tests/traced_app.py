"""An application with a route for each thing that a trace is to show."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from microweb import App, FileResponse, Request, WebSocket

app = App()


@app.middleware
def layer(request: Request) -> Iterator[None]:
    """A layer that does nothing."""
    yield


@app.get("/text")
def text(request: Request) -> str:
    """A few words."""
    return "hello"


@app.get("/json")
async def as_json(request: Request) -> dict[str, str]:
    """JSON, from an async handler."""
    return {"hello": "world"}


@app.get("/people/{name}")
def person(request: Request, name: str) -> str:
    """A path parameter."""
    return name


@app.post("/form")
def form(request: Request) -> str:
    """A form."""
    return str(request.form["name"])


@app.get("/stream")
def stream(request: Request) -> Iterator[str]:
    """Three pieces."""
    return iter(["one", "two", "three"])


@app.post("/upload", stream=True)
def upload(request: Request) -> str:
    """A body in pieces, counted as they come."""
    return ",".join(str(len(piece)) for piece in request.stream)


@app.get("/before")
def before(request: Request) -> str:
    """An exception before the first byte."""
    raise RuntimeError("before the first byte")


@app.get("/after")
def after(request: Request) -> Iterator[str]:
    """An exception after the first byte."""
    yield "the beginning"
    raise RuntimeError("after the first byte")


@app.get("/endless")
def endless(request: Request) -> Iterator[bytes]:
    """More than anybody waits for."""
    while True:
        yield bytes(1000)
        time.sleep(0.002)


@app.get("/file")
def file(request: Request) -> FileResponse:
    """This file."""
    return FileResponse(__file__)


@app.websocket("/talk")
async def talk(ws: WebSocket) -> None:
    """An echo."""
    await ws.accept()
    async for message in ws:
        await ws.send_text(str(message))


gate = threading.Event()


@app.get("/gated")
def gated(request: Request) -> Iterator[str]:
    """Headers now, and a body when the gate is opened."""
    gate.wait(20)
    yield "late"


@app.get("/open")
def opening(request: Request) -> str:
    """Open the gate."""
    gate.set()
    return "open"
