"""The application that the real servers of test_servers.py serve.

What has to be seen from outside its process is said with files: a test names one in the
query, the handler creates it, or waits until the test does.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from microweb import App, Request, StreamingResponse

PATIENCE = 15.0
TOGETHER = 8

site = App()
wsgi = site.wsgi
asgi = site.asgi

visitor: ContextVar[str] = ContextVar("visitor", default="nobody")
plain_together = threading.Barrier(TOGETHER)


def mark(file: str, text: str = "") -> None:
    with Path(file).open("a", encoding="utf-8") as marks:
        marks.write(f"{text}\n")


def wait_for(file: str) -> None:
    end = time.monotonic() + PATIENCE
    while not Path(file).exists():
        if time.monotonic() > end:
            raise TimeoutError(f"nobody made {file}")
        time.sleep(0.005)


async def wait_for_async(file: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not Path(file).exists():
            await asyncio.sleep(0.005)


if "LIVE_APP_IMPORTS" in os.environ:
    mark(os.environ["LIVE_APP_IMPORTS"], str(os.getpid()))

if "LIVE_APP_LIFE" in os.environ:

    @site.lifespan
    async def life(app: App) -> AsyncIterator[dict[str, Any]]:
        if "LIVE_APP_FAILS" in os.environ:
            raise RuntimeError("no database today")
        mark(os.environ["LIVE_APP_LIFE"], f"startup {os.getpid()}")
        loop = asyncio.get_running_loop()
        yield {"begun": os.getpid()}
        assert asyncio.get_running_loop() is loop
        mark(os.environ["LIVE_APP_LIFE"], f"shutdown {os.getpid()}")


@site.get("/")
def hello(request: Request) -> str:
    return "hello from plain code"


@site.get("/async")
async def hello_async(request: Request) -> str:
    await asyncio.sleep(0)
    return "hello from async code"


@site.get("/json")
def as_json(request: Request) -> dict[str, Any]:
    return {"protocol": request.protocol, "words": ["größe", "Ω"]}


@site.get("/process")
def process(request: Request) -> dict[str, Any]:
    return {"pid": os.getpid(), "begun": getattr(site.state, "begun", None)}


@site.route("/dump/{rest:path}", methods=["GET", "POST"])
def dump(request: Request, rest: str) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "rest": rest,
        "root_path": request.root_path,
        "query": request.query.multi_items(),
        "x": request.headers.get("x-test"),
        "cookies": request.cookies,
        "url": request.url.partition("//")[2].partition("/")[2],
        "body": request.text,
    }


@site.get("/boom")
def boom(request: Request) -> str:
    raise ValueError("plain trouble")


@site.get("/async/boom")
async def boom_async(request: Request) -> str:
    raise ValueError("async trouble")


@site.get("/gated")
def gated(request: Request) -> Iterator[str]:
    yield "first\n"
    wait_for(request.query["gate"])
    yield "second\n"


@site.get("/async/gated")
async def gated_async(request: Request) -> AsyncIterator[str]:
    yield "first\n"
    await wait_for_async(request.query["gate"])
    yield "second\n"


@site.get("/torn")
def torn(request: Request) -> Iterator[str]:
    yield "first\n"
    raise ValueError("torn in plain code")


@site.get("/async/torn")
async def torn_async(request: Request) -> AsyncIterator[str]:
    yield "first\n"
    raise ValueError("torn in async code")


@site.get("/endless")
def endless(request: Request) -> StreamingResponse:
    def numbers() -> Iterator[bytes]:
        try:
            while True:
                yield b"more and more\n" * 100
        finally:
            mark(request.query["closed"], "closed")

    return StreamingResponse(numbers())


@site.get("/async/endless")
async def endless_async(request: Request) -> StreamingResponse:
    async def numbers() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more and more\n" * 100
                await asyncio.sleep(0)
        finally:
            mark(request.query["closed"], "closed")

    return StreamingResponse(numbers())


@site.get("/slow")
def slow(request: Request) -> str:
    mark(request.query["started"])
    wait_for(request.query["finish"])
    return "finished all the same"


@site.get("/async/slow")
async def slow_async(request: Request) -> str:
    mark(request.query["started"])
    await wait_for_async(request.query["finish"])
    return "finished all the same"


@site.post("/length")
def length(request: Request) -> dict[str, int]:
    return {"length": len(request.body), "sum": sum(request.body)}


@site.post("/async/length")
async def length_async(request: Request) -> dict[str, int]:
    return {"length": len(request.body), "sum": sum(request.body)}


@site.post("/bound")
async def bind(request: Request) -> str:
    """Leave something on the loop that only the same loop can take up again."""
    site.state.future = asyncio.get_running_loop().create_future()

    async def waiting() -> str:
        return f"one loop: {await site.state.future}"

    site.state.waiting = asyncio.create_task(waiting())
    return "bound"


@site.get("/bound")
async def use(request: Request) -> str:
    site.state.future.set_result("it is")
    async with asyncio.timeout(PATIENCE):
        return str(await site.state.waiting)


@site.post("/task")
async def task(request: Request) -> str:
    async def work() -> None:
        await wait_for_async(request.query["go"])
        mark(request.query["done"], "done")

    site.state.task = asyncio.create_task(work())
    return "begun"


@site.get("/together")
def together(request: Request) -> str:
    """Answers only when eight requests are in here at once."""
    plain_together.wait(PATIENCE)
    return "together"


@site.get("/async/together")
async def together_async(request: Request) -> str:
    if not hasattr(site.state, "together"):
        site.state.together = asyncio.Barrier(TOGETHER)
    async with asyncio.timeout(PATIENCE):
        await site.state.together.wait()
    return "together"


@site.get("/visitor/{name}")
def meet(request: Request, name: str) -> str:
    before = visitor.get()
    visitor.set(name)
    return f"{before} {visitor.get()}"


@site.get("/async/visitor/{name}")
async def meet_async(request: Request, name: str) -> str:
    before = visitor.get()
    visitor.set(name)
    await asyncio.sleep(0)
    return f"{before} {visitor.get()}"


@site.get("/stream/visitor/{name}")
def meet_stream(request: Request, name: str) -> Iterator[str]:
    before = visitor.get()
    visitor.set(name)
    yield f"{before} "
    yield visitor.get()


@site.get("/async/stream/visitor/{name}")
async def meet_stream_async(request: Request, name: str) -> AsyncIterator[str]:
    before = visitor.get()
    visitor.set(name)
    yield f"{before} "
    await asyncio.sleep(0)
    yield visitor.get()
