"""RecordedASGI: an ASGI application, and a note of each call over the seam (ASGI 3.0).

The server calls the application; all that comes after are calls of the application's: `receive`
for what the client sends, `send` for what it is sent. A note is made between the call and what
is awaited, where nothing is awaited: no task is made, and none gives way to another that would
not have done so.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from .recorder import Exchange, Recorded

Call = Callable[..., Awaitable[Any]]


class RecordedASGI(Recorded):
    """An ASGI application that is recorded."""

    async def __call__(self, scope: dict[str, Any], receive: Call, send: Call) -> Any:
        """Call the application with the scope as it is."""
        exchange = self.recorder.begin(scope, scope.get("type") != "lifespan")
        exchange.tell("app.call", sys._getframe(1), scope=exchange.noted(scope))
        try:
            result = await self.app(scope, _receive(receive, exchange), _send(send, exchange))
        except BaseException as error:
            exchange.tell_raised("app.raise", error)
            raise
        else:
            exchange.tell("app.return")
            return result
        finally:
            self.recorder.end(exchange)


def _receive(original: Call, exchange: Exchange) -> Call:
    async def receive(*arguments: Any, **more: Any) -> Any:
        exchange.tell("receive.call", sys._getframe(1))
        try:
            message = await original(*arguments, **more)
        except BaseException as error:
            exchange.tell_raised("receive.raise", error)
            raise
        offset = exchange.take(_size_of_body(message))
        noted = exchange.noted(message)
        exchange.tell("receive.return", None, message=noted, offset=offset)
        return message

    return receive


def _size_of_body(message: Any) -> int:
    if not isinstance(message, dict) or message.get("type") != "http.request":
        return 0
    body = message.get("body", b"")
    return len(body) if isinstance(body, (bytes, bytearray, memoryview)) else 0


def _send(original: Call, exchange: Exchange) -> Call:
    async def send(*arguments: Any, **more: Any) -> Any:
        message = exchange.noted(next(iter((*arguments, *more.values())), None))
        exchange.tell("send.call", sys._getframe(1), message=message)
        try:
            result = await original(*arguments, **more)
        except BaseException as error:
            exchange.tell_raised("send.raise", error)
            raise
        exchange.tell("send.return")
        return result

    return send
