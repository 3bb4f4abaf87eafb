"""Small examples: one handler of each kind, short enough to copy from."""

# A handler is always given the request, and the smallest ones have no use for it.
# ruff: noqa: ARG001

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

from microweb import (
    HTTPException,
    JSONResponse,
    RedirectResponse,
    Request,
    Response,
    Router,
    StreamingResponse,
)

from .whereabouts import whereabouts

router = Router()


# --- What a handler may return -----------------------------------------------------------


@router.get("/text")
def text(request: Request) -> str:
    """A str is sent as text/plain, so that it is never taken for HTML."""
    return "A handler returned this str.\n"


@router.get("/json")
def json(request: Request) -> dict[str, Any]:
    """A dict or a list is sent as JSON, and knows about dates."""
    return {"door": request.protocol, "method": request.method, "now": datetime.now(UTC)}


@router.get("/hello/{name}")
def hello(request: Request, name: str) -> str:
    """A parameter of the path arrives as an argument, decoded."""
    return f"Hello, {name}!\n"


@router.get("/square/{n:int}")
def square(request: Request, n: int) -> dict[str, int]:
    """A converter makes an int of the segment; what is no number is no match, so 404."""
    return {"n": n, "square": n * n}


@router.post("/echo")
def echo(request: Request) -> Response:
    """Send JSON back as it came; what is not JSON gets a 400 that says why."""
    return JSONResponse(request.json())


@router.post("/form")
def form(request: Request) -> dict[str, str]:
    """The fields of a form, as they were meant: decoded."""
    return {name: str(value) for name, value in request.form.items()}


# --- Plain and async code ------------------------------------------------------------------


@router.get("/plain")
def plain(request: Request) -> str:
    """A plain handler may block: it has a thread to itself, whichever the door."""
    time.sleep(0.05)
    return f"came in by   {request.state.arrival}\ndef ran in   {whereabouts()}\n"


@router.get("/async", name="async")
async def asynchronous(request: Request) -> str:
    """An async handler runs on an event loop, whichever the door, and must not block it."""
    await asyncio.sleep(0.05)
    return f"came in by         {request.state.arrival}\nasync def ran in   {whereabouts()}\n"


@router.get("/stream")
def stream(request: Request) -> Response:
    """A generator is a streamed body: each chunk leaves before the next one is made."""

    def lines() -> Iterator[str]:
        for number in range(1, 6):
            yield f"line {number} of 5, made in {whereabouts()}\n"
            time.sleep(0.5)

    return StreamingResponse(lines())


@router.get("/stream/async")
async def stream_async(request: Request) -> Response:
    """An async generator streams just the same; while it waits, its loop serves others."""

    async def lines() -> AsyncIterator[str]:
        for number in range(1, 6):
            yield f"line {number} of 5, made in {whereabouts()}\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(lines())


# --- Other answers ---------------------------------------------------------------------------


@router.get("/redirect")
def redirect(request: Request) -> Response:
    """Send the client on, to a path that the router knows by the name of its handler."""
    return RedirectResponse(request.url_path_for("hello", name="traveller"))


@router.get("/teapot")
def teapot(request: Request) -> str:
    """An HTTPException is an answer, raised instead of returned; its detail is shown."""
    raise HTTPException(418, "This pot is short and stout, and makes no coffee.\n")


@router.get("/halfway")
def halfway(request: Request) -> Response:
    """A bug when the status is out already: the answer can only break off."""

    def lines() -> Iterator[str]:
        yield "a beginning\n"
        raise RuntimeError("raised on purpose by the demo's /halfway")

    return StreamingResponse(lines())


@router.get("/error")
def error(request: Request) -> str:
    """Any other exception is a bug: a bare 500 for the client, the traceback in the log."""
    raise RuntimeError("raised on purpose by the demo's /error")
