"""The line of `text`, in microweb: from the kind of handler that each protocol takes as it is."""

from __future__ import annotations

from microweb import App, Request

from .text import TEXT

plain, awaited = App(), App()
wsgi = plain.wsgi
asgi = awaited.asgi


@plain.get("/")
def hello(request: Request) -> str:
    return TEXT.decode()


@awaited.get("/")
async def hello_async(request: Request) -> str:
    return TEXT.decode()
