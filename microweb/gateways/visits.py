"""Visits: under WSGI, a server's thread waits for async code on the app's event loop.

It does not wait idly: whatever must happen in the server's thread (plain handlers, reads of
wsgi.input) is posted to it by the loop, and done there. See `bridge.py` for the whole table.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from ..model.response import aclose_chunks
from .bridge import END, adopt, settle
from .process import PerProcess

T = TypeVar("T")
logger = logging.getLogger("microweb")

PATIENCE = 5  # seconds, for tasks that do not want to end with their process


class AppLoop(PerProcess):
    """The event loop of WSGI apps: one per process, in a daemon thread, started at first use.

    It lives as long as its process, so that a connection pool made in one request works in
    the next, and a task goes on after the response. After a fork the child starts its own.
    """

    def renew(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop."""
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    loop = asyncio.new_event_loop()
                    self._thread = threading.Thread(
                        target=_run_forever, args=(loop,), name="microweb-loop", daemon=True
                    )
                    self._thread.start()
                    self._loop = loop
                    atexit.register(self._finish)
        return self._loop

    def _finish(self) -> None:
        """At the end of the process: cancel what is still running, as `asyncio.run` does."""
        if self._loop is not None:
            ended = asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
            with suppress(TimeoutError):
                ended.result(PATIENCE)

    def is_here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.current_thread() is self._thread

    def visit(self) -> Visit:
        """A visit of this thread to the loop. Raises RuntimeError in the loop's own thread."""
        if self.is_here():
            raise RuntimeError(
                "code on the app's event loop calls an app that would wait for the same loop;"
                " call it in a thread: `await asyncio.to_thread(...)`"
            )
        return Visit(self.get())

    def iterate(self, chunks: AsyncIterable[Any]) -> LoopIterator:
        """An async iterator as a plain one, driven on the loop."""
        return LoopIterator(self.visit(), chunks)


app_loop = AppLoop()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # Raised by a task of the application's own; every other request needs the loop.
            logger.exception("a task tried to stop the app's event loop")


class Visit:
    """A thread's wait for a coroutine on the loop, and its work for that coroutine meanwhile.

    The coroutine may `give` values before it ends; each pauses it until the thread calls
    `resume`. A value that it `post`s does not. The thread takes a value, or the coroutine's
    result, with `wait`.

    If the thread is interrupted while it waits (KeyboardInterrupt, or SystemExit from the
    handler of a signal), the task is cancelled, and the interrupt goes on when the task has
    cleaned up. A second interrupt goes on at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.over = False
        self._abandoned = False
        # What the loop has for the waiting thread: work to do there, or an outcome.
        self._inbox: SimpleQueue[Callable[[], None] | _Outcome] = SimpleQueue()
        self._paused: asyncio.Future[Any] | None = None
        self._task: asyncio.Task[_Outcome] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop from beginning to end; called in a server's thread."""
        try:
            self.start(coroutine)
            result: T = self.wait()
        except BaseException:
            self._abandon()
            raise
        return result

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Make the coroutine a task of the loop, in a copy of this thread's context."""
        context = copy_context()

        def begin() -> None:
            self._task = self.loop.create_task(_outcome_of(coroutine), context=context)
            self._task.add_done_callback(ended)

        def ended(task: asyncio.Task[_Outcome]) -> None:
            self._task = None
            if task.cancelled():  # before its first step
                coroutine.close()
                self._end(_Outcome(None, _cancelled(), context))
            else:
                self._end(task.result())

        self.loop.call_soon_threadsafe(begin)

    def wait(self) -> Any:
        """The next value that the coroutine gives, or its result; its error is raised."""
        try:
            while not isinstance(item := self._inbox.get(), _Outcome):
                item()
            adopt(item.context)
            return item.take()
        except BaseException:
            self._abandon()
            raise

    def resume(self, answer: Any = None) -> None:
        """Let a paused coroutine go on: its `give` returns `answer`."""
        self.loop.call_soon_threadsafe(self._unpause, answer)

    def ends_within(self, seconds: float) -> bool:
        """Wait for the coroutine's end, not for what it gives; False if it takes longer."""
        end = monotonic() + seconds
        while not self.over:
            try:
                item = self._inbox.get(timeout=max(0, end - monotonic()))
            except Empty:
                return False
            if not isinstance(item, _Outcome):
                item()
        return True

    def cancel(self) -> None:
        """Cancel the coroutine's task, without waiting until it has ended."""
        self.loop.call_soon_threadsafe(self._cancel)

    def post(self, value: Any) -> None:
        """Hand a value to the waiting thread, and go on; called on the loop."""
        self._inbox.put(_Outcome(value, None, copy_context()))

    async def give(self, value: Any) -> Any:
        """Hand a value to the waiting thread, and pause until it resumes; called on the loop."""
        self._paused = self.loop.create_future()
        self.post(value)
        return await self._paused

    def is_here(self) -> bool:
        """Whether this code runs on the loop, and not in the thread that visits it."""
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    async def call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call a plain function in the waiting thread; called on the loop.

        Raises RuntimeError when the visit is over, since nobody waits there any more.
        """
        if self.over:
            raise RuntimeError("the request is over: its server's thread has gone on to others")
        future: asyncio.Future[_Outcome] = self.loop.create_future()
        here = copy_context()

        def work() -> None:
            adopt(here)
            try:
                outcome = _Outcome(function(*args, **kwargs), None, copy_context())
            except Exception as error:
                outcome = _Outcome(None, error, copy_context())
            self.loop.call_soon_threadsafe(settle, future, outcome, None)

        self._inbox.put(work)
        outcome = await future
        adopt(outcome.context)
        result: T = outcome.take()
        return result

    def _unpause(self, answer: Any) -> None:
        if self._paused is not None and not self._paused.done():
            self._paused.set_result(answer)

    def _end(self, outcome: _Outcome) -> None:
        self.over = True
        self._inbox.put(outcome)

    def _abandon(self) -> None:
        if self.over or self._abandoned:
            return  # or interrupted for the second time
        self._abandoned = True
        self.cancel()
        while not self.over:
            if not isinstance(item := self._inbox.get(), _Outcome):
                item()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif not self.over:
            self._end(_Outcome(None, _cancelled(), Context()))


class _Outcome:
    """What came of a call on the other side: a value or an error, and the variables it left."""

    __slots__ = ("context", "error", "value")

    def __init__(self, value: Any, error: BaseException | None, context: Context) -> None:
        self.value = value
        self.error = error
        self.context = context

    def take(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


async def _outcome_of(coroutine: Coroutine[Any, Any, Any]) -> _Outcome:
    try:
        return _Outcome(await coroutine, None, copy_context())
    except asyncio.CancelledError:
        return _Outcome(None, _cancelled(), copy_context())
    except BaseException as error:
        # SystemExit too: it is this request's, and must not stop the loop of all the others.
        return _Outcome(None, error, copy_context())


class Cancelled(RuntimeError):
    """A CancelledError where no asyncio code is above it that would know what to make of it."""


def _cancelled() -> Cancelled:
    return Cancelled("the task of an async function was cancelled")


class LoopIterator(Iterator[Any]):
    """An async iterator as a plain one: under WSGI, the thread visits the loop for each chunk.

    One task drives the iterator from its start to its close, so that timeouts and cancel
    scopes inside it hold.
    """

    def __init__(self, visit: Visit, chunks: AsyncIterable[Any]) -> None:
        self.visit = visit
        self._source = chunks
        self._started = False

    def __next__(self) -> Any:
        if self.visit.over:
            raise StopIteration
        if self._started:
            self.visit.resume(True)
        else:
            self._started = True
            self.visit.start(self._drive())
        chunk = self.visit.wait()
        if chunk is END:
            raise StopIteration
        return chunk

    def close(self) -> None:
        """Close the async iterator on the loop, and wait until it is."""
        if not self._started:
            self._started = True
            self.visit.run(aclose_chunks(None, self._source))
        elif not self.visit.over:
            self.visit.resume(False)
            self.visit.wait()

    async def _drive(self) -> Any:
        chunks: AsyncIterator[Any] | None = None
        try:
            chunks = aiter(self._source)
            async for chunk in chunks:
                if not await self.visit.give(chunk):
                    break
        finally:
            await aclose_chunks(chunks, self._source)
        return END
