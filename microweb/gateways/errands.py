"""Errands: a worker thread has things done on the loop, by the task that waits for it.

This is `visits.py` turned around: there the thread waits for the task and does its plain
work meanwhile, here the task waits for the thread and does what must be awaited.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

# What is to be done, with what, and whether the thread waits for the outcome
_Errand = tuple[Callable[..., Coroutine[Any, Any, Any]], tuple[Any, ...], bool]

_NOBODY: Any = object()


class ClientHasLeft(ConnectionError):
    """What a thread's errand raises when nobody is there any more for whom it could be done."""


class Errands:
    """The mailbox between one thread and the task that started it."""

    def __init__(self) -> None:
        self.left = False  # nothing is done any more: ClientHasLeft is the answer to all
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[_Errand | None] = deque()
        self._awaited: asyncio.Future[None] | None = None
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._asking = threading.Lock()  # the thread may have started others

    async def serve(self) -> bool:
        """Do what the thread asks for, until its `end`; whether the client is there still.

        An errand that raises OSError has found that the client has left. If the task is
        cancelled, the thread finds the same when it next wants something.
        """
        try:
            while True:
                while not self._inbox:
                    await self._something()
                errand = self._inbox.popleft()
                if errand is None:
                    return not self.left
                act, arguments, is_awaited = errand
                answer = _NOBODY
                if not self.left:
                    try:
                        answer = await act(*arguments)
                    except OSError:
                        self.left = True
                if is_awaited:
                    self._answers.put(answer)
        finally:
            self.left = True
            self._answers.put(_NOBODY)

    async def _something(self) -> None:
        self._awaited = self._loop.create_future()
        if not self._inbox:  # as the thread looks for who waits only after it has posted
            await self._awaited
        self._awaited = None

    def ask(self, act: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        """Have the task await `act(*arguments)`, and wait for it; called in the thread."""
        with self._asking:
            answer = _NOBODY
            if not self.left:
                self._post((act, arguments, True))
                answer = self._answers.get()
        if answer is _NOBODY:
            raise ClientHasLeft("the client has left")
        return answer

    def tell(self, act: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> None:
        """Have the task await `act(*arguments)`, without waiting for it."""
        if self.left:
            raise ClientHasLeft("the client has left")
        self._post((act, arguments, False))

    def end(self, ended: Callable[[], None]) -> None:
        """The thread's last word; `ended` is called on the loop, whoever is left there."""
        self._inbox.append(None)
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._wake, ended)

    def _post(self, errand: _Errand | None) -> None:
        self._inbox.append(errand)
        if self._awaited is not None:
            with suppress(RuntimeError):  # the loop is closed, and the task over
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self, *ended: Callable[[], None]) -> None:
        for call in ended:
            call()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)
