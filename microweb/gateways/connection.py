"""Whether the client is still there: what only `receive` tells, and when it may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]


class WhileConnected:
    """Cancels its block when the client leaves, as `asyncio.timeout` does when time is up.

    A server may let `send` succeed in silence after the client has left, and a stream may
    have nothing to send for hours: only `receive` tells.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.lost = False

    async def __aenter__(self) -> WhileConnected:
        self._task = asyncio.current_task()
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        # Before the last message is sent: after it, some servers never answer `receive`.
        self._listener.cancel()
        if self.lost and self._task is not None:
            return self._task.uncancel() == 0 and kind is asyncio.CancelledError
        return False

    async def _listen(self) -> None:
        self.lost = await client_leaves(self._receive)
        if self.lost and self._task is not None:
            self._task.cancel()


async def client_leaves(receive: Receive) -> bool:
    """Wait until the client has left; False from a server that does not tell."""
    # A server may end the request's body twice; one that never waits is not asked for ever.
    ends = 0
    while ends < 3:
        try:
            message = await receive()
        except Exception:
            return True  # a server that fails here has no client
        if message["type"] == "http.disconnect":
            return True
        ends += not message.get("more_body", False)
    return False


class Lookahead:
    """`receive` for two readers: one that takes the request's body, and one that only watches.

    While a body is still coming, whoever listens for the client's leaving would steal pieces
    of it. Here the watcher sees each message, one ahead of the reader at most, and leaves it
    there to be taken. Past the end of the body, taken or not, it need not wait for the reader.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._turn = asyncio.Lock()
        self._seen: Message | None = None
        self._taken = asyncio.Event()
        self._ended = False

    async def take(self) -> Message:
        """The next message, for the one that reads."""
        if self._seen is None:
            async with self._turn:
                if self._seen is None:
                    self._seen = await self._next()
        message, self._seen = self._seen, None
        self._taken.set()
        return message

    async def peek(self) -> Message:
        """The next message that was not seen before, for the one that watches."""
        if self._seen is not None and not self._ended:
            await self._taken.wait()
        async with self._turn:
            if self._ended:
                return await self._receive()
            self._taken.clear()
            self._seen = await self._next()
            return self._seen

    async def _next(self) -> Message:
        message = await self._receive()
        self._ended = not message.get("more_body", False)
        return message
