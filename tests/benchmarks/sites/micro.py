"""The routes of the benchmarks in microweb."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from microweb import App, FileResponse, Request

from . import CHUNK, FILE, described

site = App()
wsgi = site.wsgi
asgi = site.asgi


@site.get("/chunks/{count:int}")
def chunks(request: Request, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield CHUNK


@site.get("/async/chunks/{count:int}")
async def chunks_async(request: Request, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield CHUNK


@site.get("/file")
def file(request: Request) -> FileResponse:
    return FileResponse(FILE)


@site.post("/upload")
def upload(request: Request) -> dict[str, Any]:
    file = request.form["file"]
    assert not isinstance(file, str)
    return described(file.file, file.size, "digest" in request.query)


@site.post("/stream", stream=True)
def stream(request: Request) -> dict[str, Any]:
    return {"size": sum(map(len, request.stream))}


@site.post("/async/stream", stream=True)
async def stream_async(request: Request) -> dict[str, Any]:
    size = 0
    async for piece in request.stream:
        size += len(piece)
    return {"size": size}


@site.get("/pid")
def pid(request: Request) -> str:
    return str(os.getpid())
