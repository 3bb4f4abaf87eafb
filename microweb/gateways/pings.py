"""Pings: comments in a stream of events that has been silent for a while, through both doors.

Under ASGI the request's task iterates what is made here, under WSGI the app's loop does so
for the server's thread (`visits.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator
from contextvars import copy_context
from typing import Any

from ..model.response import aclose_chunks
from .bridge import END, adopt
from .threads import ThreadIterator, Threads

logger = logging.getLogger("microweb")

PING = b": ping\n\n"  # a comment: every client ignores it (WHATWG HTML, 9.2.6)
PATIENCE = 10  # seconds, until a source that goes on without its client is told of

# Under WSGI, for plain sources. Each of their streams holds a thread of the server as well,
# so that the server bounds them; a bound of our own would only let some starve.
_of_their_own = Threads(10_000)


def with_pings(source: Any, seconds: float, threads: Threads = _of_their_own) -> Pinged:
    """A stream, plain or async, that pings whenever it has been silent for `seconds`.

    A plain one is stepped in worker threads, under WSGI too: the server's thread could not
    ping while it waits in there.
    """
    chunks = source if isinstance(source, AsyncIterable) else ThreadIterator(threads, source)
    return Pinged(repr(source), chunks, seconds)


class Pinged(AsyncIterator[Any]):
    """The chunks of an async source, and a PING for each time that it keeps one waiting.

    A task of its own drives the source from its start to its close, so that timeouts and
    cancel scopes inside it hold while somebody else stops waiting to send a ping. It asks for
    a chunk only when the one before it was taken and one more is wanted; a ping asks for none.
    """

    def __init__(self, name: str, source: AsyncIterable[Any], seconds: float) -> None:
        self._name = name
        self._source = source
        self._seconds = seconds
        self._context = copy_context()
        self._driver: asyncio.Task[None] | None = None
        self._begun = False
        self._closing = False
        self._wanted = asyncio.Event()
        self._coming: asyncio.Future[Any] | None = None  # the chunk that was asked for

    async def __anext__(self) -> Any:
        clock = asyncio.get_running_loop().time
        silent_until = clock() + self._seconds
        while (left := silent_until - clock()) > 0:
            coming, driver = self._asked()
            await asyncio.wait([coming], timeout=left)
            if coming.done():
                if (chunk := coming.result()) is END:
                    await driver  # raises what the source has raised
                    raise StopAsyncIteration
                self._coming = None
                if chunk:  # an empty one is not sent, and so breaks no silence
                    return chunk
        return PING

    async def aclose(self) -> None:
        """Cancel the source where it waits, or close it where it has yielded; wait until it is.

        A step in a thread cannot be cancelled: its end is waited for, and the log tells of it
        if that takes long.
        """
        self._closing = True
        if self._driver is not None and not self._driver.done():
            await self._end(self._driver)
        if self._begun:
            adopt(self._context)
        else:
            await aclose_chunks(None, self._source)

    def _asked(self) -> tuple[asyncio.Future[Any], asyncio.Task[None]]:
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_future()
            self._wanted.set()
        if self._driver is None:
            self._driver = asyncio.create_task(self._drive(), context=self._context)
        elif self._driver.done():
            self._give(END)  # it was cancelled between two chunks, when nobody asked for one
        return self._coming, self._driver

    async def _drive(self) -> None:
        self._begun = True
        chunks: AsyncIterator[Any] | None = None
        try:
            chunks = aiter(self._source)
            async for chunk in chunks:
                if self._closing:
                    break  # it took its cancellation for something else
                self._give(chunk)
                self._wanted.clear()
                await self._wanted.wait()
        finally:
            try:
                await aclose_chunks(chunks, self._source)
            finally:
                self._give(END)

    def _give(self, chunk: Any) -> None:
        if self._coming is not None and not self._coming.done():
            self._coming.set_result(chunk)

    async def _end(self, driver: asyncio.Task[None]) -> None:
        driver.cancel()
        complaint = asyncio.get_running_loop().call_later(PATIENCE, self._complain)
        try:
            await asyncio.wait([driver])
        except asyncio.CancelledError:
            driver.cancel()
            raise
        finally:
            complaint.cancel()
        if not driver.cancelled():
            driver.result()  # raises what its closing has raised

    def _complain(self) -> None:
        logger.warning(
            "%r goes on, %s s after it should have ended, and holds what it holds; a plain source"
            " should wait in bounded steps, and yield None after each",
            self._name,
            PATIENCE,
        )
