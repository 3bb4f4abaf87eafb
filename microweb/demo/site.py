"""The demo's handlers: one of each kind, short enough to copy from."""

# A handler is always given the request, and the smallest ones have no use for it.
# ruff: noqa: ARG001

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterator
from datetime import UTC, datetime
from typing import Any

from microweb import (
    App,
    HTMLResponse,
    HTTPException,
    JSONResponse,
    RedirectResponse,
    Request,
    Response,
    StreamingResponse,
)

from .home import home_page
from .pages import STYLE, missing_page
from .whereabouts import whereabouts
from .whoami import whoami_page

site = App()

# Without this, a browser waits for the first kilobyte to guess what kind of text it is.
AS_IT_COMES = {"x-content-type-options": "nosniff"}


@site.lifespan
def remember_the_start(app: App) -> Iterator[dict[str, Any]]:
    """Runs once in each process: before the yield at its start, after it at its end."""
    yield {"started": datetime.now(UTC)}


@site.middleware
def timing(request: Request) -> Generator[None, Response, None]:
    """Tell the browser's developer tools how long the layers and the handler took."""
    started = time.perf_counter()
    response = yield
    took = (time.perf_counter() - started) * 1000
    response.headers["server-timing"] = f"app;dur={took:.1f}"


@site.middleware
def arrival(request: Request) -> Iterator[None]:
    """Note where the request came in: a layer runs where the server called the application."""
    request.state.arrival = whereabouts()
    yield


@site.get("/")
def home(request: Request) -> Response:
    """Tell visitors which door they came in by."""
    return HTMLResponse(home_page(request, site.state.started))


@site.get("/whoami")
@site.get("/whoami/{name}", name="whoami_named")
def whoami(request: Request, name: str = "") -> Response:
    """Show what the server handed over, beside the Request made of it."""
    return HTMLResponse(whoami_page(request, name))


@site.get("/style.css")
def style(request: Request) -> Response:
    """Any other kind of content is a Response with its content type."""
    return Response(STYLE, content_type="text/css; charset=utf-8")


# --- What a handler may return -----------------------------------------------------------


@site.get("/text")
def text(request: Request) -> str:
    """A str is sent as text/plain, so that it is never taken for HTML."""
    return "A handler returned this str.\n"


@site.get("/json")
def json(request: Request) -> dict[str, Any]:
    """A dict or a list is sent as JSON, and knows about dates."""
    return {"door": request.protocol, "method": request.method, "now": datetime.now(UTC)}


@site.get("/hello/{name}")
def hello(request: Request, name: str) -> str:
    """A parameter of the path arrives as an argument, decoded."""
    return f"Hello, {name}!\n"


@site.get("/square/{n:int}")
def square(request: Request, n: int) -> dict[str, int]:
    """A converter makes an int of the segment; what is no number is no match, so 404."""
    return {"n": n, "square": n * n}


@site.post("/echo")
def echo(request: Request) -> Response:
    """Send JSON back as it came; what is not JSON gets a 400 that says why."""
    return JSONResponse(request.json())


# --- Plain and async code ------------------------------------------------------------------


@site.get("/plain")
def plain(request: Request) -> str:
    """A plain handler may block: it has a thread to itself, whichever the door."""
    time.sleep(0.05)
    return f"came in by   {request.state.arrival}\ndef ran in   {whereabouts()}\n"


@site.get("/async", name="async")
async def asynchronous(request: Request) -> str:
    """An async handler runs on an event loop, whichever the door, and must not block it."""
    await asyncio.sleep(0.05)
    return f"came in by         {request.state.arrival}\nasync def ran in   {whereabouts()}\n"


@site.get("/stream")
def stream(request: Request) -> Response:
    """A generator is a streamed body: each chunk leaves before the next one is made."""

    def lines() -> Iterator[str]:
        for number in range(1, 6):
            yield f"line {number} of 5, made in {whereabouts()}\n"
            time.sleep(0.5)

    return StreamingResponse(lines(), headers=AS_IT_COMES)


@site.get("/stream/async")
async def stream_async(request: Request) -> Response:
    """An async generator streams just the same; while it waits, its loop serves others."""

    async def lines() -> AsyncIterator[str]:
        for number in range(1, 6):
            yield f"line {number} of 5, made in {whereabouts()}\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(lines(), headers=AS_IT_COMES)


# --- Other answers ---------------------------------------------------------------------------


@site.get("/redirect")
def redirect(request: Request) -> Response:
    """Send the client on, to a path that the router knows by the name of its handler."""
    # root_path: where a server has mounted the application below a prefix of its own.
    return RedirectResponse(request.root_path + site.url_path_for("hello", name="traveller"))


@site.get("/teapot")
def teapot(request: Request) -> str:
    """An HTTPException is an answer, raised instead of returned; its detail is shown."""
    raise HTTPException(418, "This pot is short and stout, and makes no coffee.\n")


@site.get("/error")
def error(request: Request) -> str:
    """Any other exception is a bug: a bare 500 for the client, the traceback in the log."""
    raise RuntimeError("raised on purpose by the demo's /error")


@site.exception_handler(404)
def missing(request: Request, error: HTTPException) -> Response | tuple[str, int, dict[str, str]]:
    """A page for browsers; programs, which do not ask for HTML, get a line of text."""
    vary = {"vary": "accept"}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(missing_page(request), 404, vary)
    return error.detail + "\n", 404, vary
