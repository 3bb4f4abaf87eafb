"""Threads: under ASGI, plain code runs in worker threads, so that it cannot stop the loop.

See `bridge.py` for the whole table.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from ..model.response import close_chunks
from .bridge import END, adopt, settle
from .process import PerProcess

T = TypeVar("T")
logger = logging.getLogger("microweb")

REST = 1.0  # seconds that a thread stays with an iterator that asks for nothing
ROUNDS = 20  # of the loop, before it sleeps; about as long as it takes to wake a thread


class Threads(PerProcess):
    """The pool in which plain functions run under ASGI, so that they cannot stop the loop."""

    def __init__(self, size: int) -> None:
        self._size = size
        super().__init__()

    def renew(self) -> None:
        self._pool = ThreadPoolExecutor(self._size, thread_name_prefix="microweb")
        self._busy = 0
        self.resting: set[ThreadIterator] = set()  # each keeps a thread between two steps

    async def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call a plain function in a worker thread, in a copy of this task's context.

        If the task is cancelled meanwhile, the thread goes on to its end: a thread cannot
        be interrupted.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = copy_context()

        def ended(result: Any, error: BaseException | None) -> None:
            self.ended()
            settle(future, result, error)

        def work() -> None:
            try:
                result = context.run(function, *args, **kwargs)
            except BaseException as error:
                loop.call_soon_threadsafe(ended, None, _no_stop(error))
            else:
                loop.call_soon_threadsafe(ended, result, None)

        try:
            self.start(work)
            return await future
        finally:
            adopt(context)

    def start(self, work: Callable[[], None]) -> None:
        """Have a worker thread do this when one is free; its end is told with `ended`."""
        self._busy += 1
        if self.is_crowded:
            # Some have rested for so long that their thread has left already.
            while self.resting and not self.resting.pop().dismiss():
                pass
        self._pool.submit(work)

    @property
    def is_crowded(self) -> bool:
        """Whether something waits for a thread."""
        return self._busy > self._size

    def ended(self) -> None:
        """A worker thread is free again; called on the loop."""
        self._busy -= 1


class ThreadIterator(AsyncIterator[Any]):
    """A plain iterator as an async one: under ASGI, a worker thread makes each step.

    All steps and the close run in one context, so that the generator's own tokens hold.

    Most of what a step costs is to wake a thread that sleeps, on either side. So a worker
    thread rests here between two steps, until it has rested for long or others need it; and
    the loop goes round a few times to see whether the step is done before it goes to sleep.
    That is half the price of a call to the pool for each step.
    """

    def __init__(self, threads: Threads, chunks: Iterable[Any]) -> None:
        self._threads = threads
        self._chunks = chunks
        self._iterator: Iterator[Any] | None = None
        self._context = copy_context()
        self._step: Callable[[], Any] = self._next
        self._outcome: tuple[Any, BaseException | None] | None = (None, None)
        self._abandoned = False  # it is to be closed after its step, by the thread of that step
        self._ending = Lock()  # of a step, or of the wait for it: one of the two is the first
        self._rounds = ROUNDS
        self._waiter: asyncio.Future[None] | None = None
        self._seat = _Seat()

    async def __anext__(self) -> Any:
        chunk = await self._do(self._next)
        if chunk is END:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the iterator in a worker thread, after the step that may still be running.

        If the task is cancelled while it waits for that step, the step's thread closes it.
        """
        try:
            await self._done()
        finally:
            with self._ending:
                self._abandoned = self._outcome is None
            if not self._abandoned:
                try:
                    await self._do(self._close)
                finally:
                    self.dismiss()
        adopt(self._context)

    def dismiss(self) -> bool:
        """Let the thread go; the next step will ask for another. False if none rests here."""
        self._threads.resting.discard(self)
        if not self._seat.is_taken_over():
            return False
        self._seat.leaves = True
        self._seat.go.release()
        return True

    async def _do(self, step: Callable[[], Any]) -> Any:
        self._begin(step)
        return await self._end()

    def _begin(self, step: Callable[[], Any]) -> None:
        self._step, self._outcome = step, None
        self._threads.resting.discard(self)
        if self._seat.is_taken_over():
            self._seat.go.release()
        else:
            self._loop = asyncio.get_running_loop()
            self._seat = _Seat()
            self._threads.start(partial(self._work, self._seat))

    async def _end(self) -> Any:
        result, error = await self._done()
        self._threads.resting.add(self)
        if self._threads.is_crowded:
            self.dismiss()
        if error is not None:
            raise error
        return result

    async def _done(self) -> tuple[Any, BaseException | None]:
        """Wait until the step is done; its result and its error."""
        for _ in range(self._rounds):
            if self._outcome is not None:
                self._rounds = ROUNDS
                return self._outcome
            await asyncio.sleep(0)
        self._rounds //= 2  # steps that are slow anyway need no haste
        while self._outcome is None:
            self._waiter = self._loop.create_future()
            if self._outcome is None:  # as the thread looks for a waiter only after it is set
                await self._waiter
        self._waiter = None
        return self._outcome

    def _work(self, seat: _Seat) -> None:
        """The worker thread's part: step after step, until it is dismissed or has rested."""
        while not seat.leaves:
            result, failure = None, None
            try:
                result = self._context.run(self._step)
            except BaseException as error:
                failure = _no_stop(error)
            seat.token.append(None)
            with self._ending:
                self._outcome = result, failure
            if self._abandoned:
                self._close_alone()
                break
            if self._waiter is not None:
                self._loop.call_soon_threadsafe(self._wake)
            if not seat.go.acquire(timeout=REST):
                if seat.is_taken_over():
                    break
                seat.go.acquire()
        self._loop.call_soon_threadsafe(self._threads.ended)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _next(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._chunks)
        return next(self._iterator, END)

    def _close_alone(self) -> None:
        try:
            self._context.run(self._close)
        except BaseException:
            logger.exception("%r failed as it was closed, and its request was over", self._chunks)

    def _close(self) -> None:
        close_chunks(self._iterator, self._chunks)


class ReadAhead(ThreadIterator):
    """The blocks of a file: while one is sent, the next is read.

    A generator must not notice that, so it is never stepped ahead; a file cannot.
    """

    _is_ahead = False

    async def __anext__(self) -> Any:
        if not self._is_ahead:
            self._begin(self._next)
        self._is_ahead = False
        block = await self._end()
        if block is END:
            raise StopAsyncIteration
        self._begin(self._next)
        self._is_ahead = True
        return block


class _Seat:
    """Where one worker thread rests between the steps of an iterator."""

    def __init__(self) -> None:
        self.go = Lock()
        self.go.acquire()
        self.leaves = False
        # One token while the thread rests. The thread takes it to leave, the loop to give it
        # work or to dismiss it: who finds it gone knows that the other was first.
        self.token: list[None] = []

    def is_taken_over(self) -> bool:
        """Take the token, if it is there."""
        try:
            self.token.pop()
        except IndexError:
            return False
        return True


def _no_stop(error: BaseException) -> BaseException:
    # A future refuses StopIteration; a coroutine would turn it into this too (PEP 479).
    if isinstance(error, StopIteration):
        converted = RuntimeError("a plain function raised StopIteration")
        converted.__cause__ = error
        return converted
    return error
