"""Threads: under ASGI, plain code runs in worker threads, so that it cannot stop the loop.

See `bridge.py` for the whole table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any, TypeVar

from ..model.response import to_close
from .bridge import END, adopt, settle
from .process import PerProcess

T = TypeVar("T")


class Threads(PerProcess):
    """The pool in which plain functions run under ASGI, so that they cannot stop the loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        super().__init__()

    def renew(self) -> None:
        self._pool = ThreadPoolExecutor(self._size, thread_name_prefix="microweb")

    async def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call a plain function in a worker thread, in a copy of this task's context.

        If the task is cancelled meanwhile, the thread goes on to its end: a thread cannot
        be interrupted.
        """
        context = copy_context()
        try:
            answer, _ = self.submit(context, function, *args, **kwargs)
            return await answer
        finally:
            adopt(context)

    def submit(
        self, context: Context, function: Callable[..., T], /, *args: Any, **kwargs: Any
    ) -> tuple[asyncio.Future[T], Future[None]]:
        """Start a call in a worker thread: its answer on the running loop, and the work itself.

        The answer can be cancelled; the work goes on all the same, and ends when it ends.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                result = context.run(function, *args, **kwargs)
            except BaseException as error:
                loop.call_soon_threadsafe(settle, future, None, _no_stop(error))
            else:
                loop.call_soon_threadsafe(settle, future, result, None)

        return future, self._pool.submit(work)


class ThreadIterator(AsyncIterator[Any]):
    """A plain iterator as an async one: under ASGI, a worker thread fetches each chunk.

    All its steps and its close run in one context, so that the generator's own tokens hold.
    """

    def __init__(self, threads: Threads, chunks: Iterable[Any]) -> None:
        self._threads = threads
        self._chunks = chunks
        self._iterator: Iterator[Any] | None = None
        self._context = copy_context()
        self._step: Future[None] | None = None

    async def __anext__(self) -> Any:
        answer, self._step = self._threads.submit(self._context, self._next)
        chunk = await answer
        if chunk is END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the iterator in a worker thread, after the step that may still be running."""
        if self._step is not None and not self._step.done():
            await asyncio.wrap_future(self._step)
        for thing in to_close(self._iterator, self._chunks):
            if hasattr(thing, "close"):
                closed, _ = self._threads.submit(self._context, thing.close)
                await closed
        adopt(self._context)

    def _next(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._chunks)
        return next(self._iterator, END)


def _no_stop(error: BaseException) -> BaseException:
    # A future refuses StopIteration; a coroutine would turn it into this too (PEP 479).
    if isinstance(error, StopIteration):
        converted = RuntimeError("a plain function raised StopIteration")
        converted.__cause__ = error
        return converted
    return error
