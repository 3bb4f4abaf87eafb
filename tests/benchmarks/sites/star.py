"""The routes of the benchmarks in Starlette."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from . import CHUNK, FILE, described


def chunks(request: Request) -> StreamingResponse:
    def generate() -> Iterator[bytes]:
        for _ in range(request.path_params["count"]):
            yield CHUNK

    return StreamingResponse(generate())


async def chunks_async(request: Request) -> StreamingResponse:
    async def generate() -> AsyncIterator[bytes]:
        for _ in range(request.path_params["count"]):
            yield CHUNK

    return StreamingResponse(generate())


async def file(request: Request) -> FileResponse:
    return FileResponse(FILE)


async def upload(request: Request) -> JSONResponse:
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        return JSONResponse(described(file.file, file.size or 0, "digest" in request.query_params))


async def pid(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


asgi = Starlette(
    routes=[
        Route("/chunks/{count:int}", chunks),
        Route("/async/chunks/{count:int}", chunks_async),
        Route("/file", file),
        Route("/upload", upload, methods=["POST"]),
        Route("/pid", pid),
    ]
)
