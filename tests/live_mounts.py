"""An application with a Flask and a Starlette application mounted, for real servers.

As in live_app.py, what has to be seen from outside its process is said with files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from microweb import App

from .live_app import mark, wait_for, wait_for_async

site = App()
wsgi = site.wsgi
asgi = site.asgi

plain = flask.Flask("plain")


@plain.route("/places/<path:rest>", methods=["GET", "POST"])
def plain_places(rest: str) -> flask.Response:
    request = flask.request
    return flask.jsonify(place=request.script_root, rest=rest, length=len(request.get_data()))


@plain.get("/gated")
def plain_gated() -> flask.Response:
    gate = flask.request.args["gate"]

    def chunks() -> Iterator[str]:
        yield "first\n"
        wait_for(gate)
        yield "second\n"

    return flask.Response(chunks(), mimetype="text/plain")


@plain.get("/endless")
def plain_endless() -> flask.Response:
    closed = flask.request.args["closed"]

    def chunks() -> Iterator[str]:
        while True:
            yield "more and more\n" * 100

    response = flask.Response(chunks(), mimetype="text/plain")
    response.call_on_close(lambda: mark(closed, "closed"))
    return response


async def async_places(request: Request) -> JSONResponse:
    length = 0
    async for piece in request.stream():
        length += len(piece)
    rest = request.path_params["rest"]
    return JSONResponse({"place": request.scope["root_path"], "rest": rest, "length": length})


async def async_gated(request: Request) -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        yield "first\n"
        await wait_for_async(request.query_params["gate"])
        yield "second\n"

    return StreamingResponse(chunks(), media_type="text/plain")


async def async_endless(request: Request) -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        try:
            while True:
                yield "more and more\n" * 100
                await asyncio.sleep(0)
        finally:
            mark(request.query_params["closed"], "closed")

    return StreamingResponse(chunks(), media_type="text/plain")


@asynccontextmanager
async def life(app: Starlette) -> AsyncIterator[None]:
    if "LIVE_MOUNTS_LIFE" in os.environ:
        mark(os.environ["LIVE_MOUNTS_LIFE"], "startup")
    yield
    if "LIVE_MOUNTS_LIFE" in os.environ:
        mark(os.environ["LIVE_MOUNTS_LIFE"], "shutdown")


asynchronous = Starlette(
    routes=[
        Route("/places/{rest:path}", async_places, methods=["GET", "POST"]),
        Route("/gated", async_gated),
        Route("/endless", async_endless),
    ],
    lifespan=life,
)

site.mount("/in/wsgi", wsgi=plain)
site.mount("/in/asgi", asgi=asynchronous)
