"""The event streams that the real servers of test_events.py serve: silent ones, without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

from microweb import App, EventSourceResponse, Request

from .live_app import mark

site = App()
wsgi = site.wsgi
asgi = site.asgi

PING = 0.05  # seconds
never = threading.Event()


@site.get("/plain")
def plain(request: Request) -> EventSourceResponse:
    def events() -> Iterator[str | None]:
        try:
            yield "only one"
            while not never.wait(0.02):
                yield None
        finally:
            mark(request.query["marks"], "closed")

    return EventSourceResponse(
        events(), ping=PING, background=lambda: mark(request.query["marks"], "background")
    )


@site.get("/async")
async def asynchronous(request: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[str]:
        try:
            yield "only one"
            await asyncio.Event().wait()
        finally:
            mark(request.query["marks"], "closed")

    return EventSourceResponse(
        events(), ping=PING, background=lambda: mark(request.query["marks"], "background")
    )


@site.get("/can-wait")
def can_wait(request: Request) -> dict[str, bool]:
    return {"can_wait": request.can_wait}
