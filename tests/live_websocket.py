"""The application whose WebSockets the real servers of test_websocket_servers.py serve.

As in live_app.py, what has to be seen from outside the process is said with files.
"""

from __future__ import annotations

import asyncio

from microweb import App, HTTPException, Request, WebSocket
from microweb.gateways import conversation

from .live_app import mark

# So that a test need not wait for those that would wait for ever.
conversation.GRACE = 0.2  # type: ignore[assignment]

site = App()
wsgi = site.wsgi
asgi = site.asgi


@site.get("/echo")
def page(request: Request) -> str:
    return "the page"


@site.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    protocol = "chat" if "chat" in ws.subprotocols else None
    await ws.accept(protocol, headers={"set-cookie": "a=1", "x-path": ws.request.path})
    async for message in ws:
        if isinstance(message, str):
            await ws.send_text(message)
        else:
            await ws.send_bytes(message)


@site.websocket("/closes/{code:int}")
async def closes(ws: WebSocket, code: int) -> None:
    await ws.accept()
    await ws.close(code, "grüße")


@site.websocket("/returns")
async def returns(ws: WebSocket) -> None:
    await ws.accept()
    await ws.send_text("last words")


@site.websocket("/fails")
async def fails(ws: WebSocket) -> None:
    await ws.accept()
    raise ValueError("trouble in a conversation")


@site.websocket("/refuses")
async def refuses(ws: WebSocket) -> None:
    raise HTTPException(401, "Who are you?", {"www-authenticate": "Bearer"})


@site.websocket("/marked/{how}")
async def marked(ws: WebSocket, how: str) -> None:
    """Says with files when it has begun, and how it has ended."""
    query = ws.request.query
    await ws.accept()
    await ws.send_text("begun")
    try:
        if how == "receives":
            async for _ in ws:
                pass
            mark(query["ended"], "left")
        elif how == "sends":
            while True:
                await ws.send_text("x" * 1000)
                await asyncio.sleep(0.001)
        else:
            await asyncio.Event().wait()
    except BaseException as error:
        mark(query["ended"], type(error).__name__)
        raise
