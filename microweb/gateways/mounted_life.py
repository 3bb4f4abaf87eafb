"""The lifespan of a mounted ASGI application: the server's part of it (ASGI Lifespan)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from ..core import logger
from ..mounts import Mount

Message = dict[str, Any]
PATIENCE = 5  # seconds, for an application that has said its last word


@asynccontextmanager
async def mounted_life(mount: Mount) -> AsyncIterator[dict[str, Any]]:
    """Run a mounted application's lifespan around the block, and give its state to the block.

    The application lives in one task from start to end. Raises RuntimeError where it fails
    to start or to stop. One that raises or ends before its first word knows nothing of
    lifespans, as the specification allows; that is noted in the log.
    """
    life = _Life(mount)
    try:
        await life.tell("startup")
        try:
            yield life.state
        finally:
            await life.tell("shutdown")
    finally:
        await life.end()


class _Life:
    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self.state: dict[str, Any] = {}
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        # What the application says; None when it has ended.
        self._answers: asyncio.Queue[Message | None] = asyncio.Queue()
        self._spoke = False
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._note_end)

    async def tell(self, phase: Literal["startup", "shutdown"]) -> None:
        """Send an event, and wait until the application has done what it asks for."""
        if self._task.done() and not self._spoke:
            return
        self._events.put_nowait({"type": f"lifespan.{phase}"})
        try:
            answer = await self._answers.get()
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if answer is None:
            self._check_ended(phase)
        elif answer["type"] != f"lifespan.{phase}.complete":
            raise RuntimeError(f"{self._mount} failed at {phase}: {answer.get('message', answer)}")

    async def end(self) -> None:
        """See to it that the task is over."""
        _, pending = await asyncio.wait([self._task], timeout=PATIENCE)
        if pending:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=PATIENCE)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._mount.app(scope, self._events.get, self._send)

    async def _send(self, message: Message) -> None:
        if not message["type"].startswith("lifespan."):
            # One that answers every scope as a request is told so, and thereby knows none.
            raise RuntimeError(f"{message['type']!r} is no message of a lifespan")
        self._spoke = True
        await self._answers.put(message)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._error = None if task.cancelled() else task.exception()
        self._answers.put_nowait(None)

    def _check_ended(self, phase: str) -> None:
        if not self._spoke:
            logger.info("%s knows no lifespan: %r", self._mount, self._error)
        elif self._error is not None:
            raise RuntimeError(
                f"{self._mount} failed before its {phase}: {self._error!r}"
            ) from self._error
