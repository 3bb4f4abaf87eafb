"""An application that gets its servers into trouble."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from microweb import App, Request, Response

app = App()


@app.get("/")
def home(request: Request) -> str:
    """All is well."""
    return "well"


@app.post("/echo")
def echo(request: Request) -> Response:
    """What came, as it came."""
    return Response(request.body)


@app.post("/orders/{name}")
def order(request: Request, name: str) -> dict[str, object]:
    """Something of each kind: of the path, the query, the headers and the body."""
    return {
        "name": name,
        "lang": request.query["lang"],
        "table": request.headers["x-table"],
        "tea": request.json()["tea"],
    }


@app.get("/die")
def die(request: Request) -> str:
    """The process ends, without a word."""
    os._exit(3)


@app.get("/hang")
def hang(request: Request) -> str:
    """A thread that never comes back."""
    time.sleep(3600)
    return "never"


@app.get("/hang/loop")
async def hang_loop(request: Request) -> str:
    """A loop that never comes back."""
    time.sleep(3600)
    return "never"


@app.get("/many")
def many(request: Request) -> Iterator[str]:
    """More than anybody steps through."""
    for _ in range(3000):
        yield "x"
