"""The application that the clients of test_disconnects.py leave in the middle of things.

A query names the file in which is marked what has begun and what has ended.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from microweb import (
    App,
    EventSourceResponse,
    FileResponse,
    JSONResponse,
    Request,
    StreamingResponse,
    WebSocket,
)

from .live_app import PATIENCE, mark

THREADS = 4
FILE = os.environ.get("DISCONNECT_APP_FILE", "")
ENDLESS = b"more and more\n" * 100

site = App(threads=THREADS)
wsgi = site.wsgi
asgi = site.asgi

_all_threads = threading.Barrier(THREADS)


@site.get("/state")
async def state(request: Request) -> dict[str, Any]:
    return {"pid": os.getpid(), "tasks": len(asyncio.all_tasks())}


@site.get("/together")
def together(request: Request) -> JSONResponse:
    """Answers only when every thread is in here."""
    _all_threads.wait(PATIENCE)
    return JSONResponse("together")


# --- downloads ----------------------------------------------------------------------------


@site.get("/endless")
def endless(request: Request) -> StreamingResponse:
    def numbers() -> Iterator[bytes]:
        try:
            while True:
                yield ENDLESS
        finally:
            mark(request.query["ended"])

    return StreamingResponse(numbers())


@site.get("/async/endless")
async def endless_async(request: Request) -> StreamingResponse:
    async def numbers() -> AsyncIterator[bytes]:
        try:
            while True:
                yield ENDLESS
                await asyncio.sleep(0)
        finally:
            mark(request.query["ended"])

    return StreamingResponse(numbers())


@site.get("/silent")
async def silent(request: Request) -> StreamingResponse:
    """After its first words it waits for ever."""

    async def words() -> AsyncIterator[bytes]:
        try:
            yield b"that is all\n"
            await asyncio.get_running_loop().create_future()
        finally:
            mark(request.query["ended"])

    return StreamingResponse(words())


@site.get("/file")
def file(request: Request) -> FileResponse:
    return FileResponse(FILE)


@site.get("/file/watched")
def file_watched(request: Request) -> FileResponse:
    """Its end is for the app to know, so that no server sends it by itself."""
    return FileResponse(FILE, background=lambda: mark(request.query["ended"]))


# --- events -------------------------------------------------------------------------------


@site.get("/events")
def events(request: Request) -> EventSourceResponse:
    def words() -> Iterator[str | None]:
        try:
            yield "first"
            while True:
                time.sleep(0.02)
                yield None
        finally:
            mark(request.query["ended"])

    return EventSourceResponse(words(), ping=0.05)


@site.get("/async/events")
async def events_async(request: Request) -> EventSourceResponse:
    async def words() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.get_running_loop().create_future()
        finally:
            mark(request.query["ended"])

    return EventSourceResponse(words(), ping=0.05)


# --- conversations ----------------------------------------------------------------------


@site.websocket("/chat")
async def chat(ws: WebSocket) -> None:
    await ws.accept()
    try:
        async for message in ws:
            await ws.send_text(str(message))
    finally:
        mark(ws.request.query["ended"])


# --- uploads ------------------------------------------------------------------------------


@site.post("/form")
def form(request: Request) -> str:
    """Is never called for a form that has not arrived."""
    mark(request.query["ended"], "called")
    return str(request.form)


@site.post("/upload", stream=True)
def upload(request: Request) -> int:
    try:
        for _ in request.stream:
            mark(request.query["begun"])
    finally:
        mark(request.query["ended"])
    raise AssertionError("half a body was taken for the whole")


@site.post("/async/upload", stream=True)
async def upload_async(request: Request) -> int:
    try:
        async for _ in request.stream:
            mark(request.query["begun"])
    finally:
        mark(request.query["ended"])
    raise AssertionError("half a body was taken for the whole")


@site.post("/echo", stream=True)
def echo(request: Request) -> StreamingResponse:
    def pieces() -> Iterator[bytes]:
        try:
            yield from request.stream
        finally:
            mark(request.query["ended"])

    return StreamingResponse(pieces())


@site.post("/async/echo", stream=True)
async def echo_async(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in request.stream:
                yield piece
        finally:
            mark(request.query["ended"])

    return StreamingResponse(pieces())
