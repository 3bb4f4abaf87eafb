"""Live: the servers of an exploration, kept up, and asked one request at a time.

What the explored application does to its server is shown, and ends there: a server that has
crashed is started again, and one that hangs is ended first, since a call that never returns
holds a thread, or the loop, for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple

from ..trace import Plan, Trouble, trouble
from ..tracing.asked import Asked
from ..tracing.client import ask
from ..tracing.format import Run, Trace
from ..tracing.joining import together
from ..tracing.recording import Recording, recording
from ..tracing.servers import CannotRecord, described
from ..tracing.tap import HOST


class Seen(NamedTuple):
    """What one server has made of a request."""

    trace: Trace
    trouble: Trouble | None


class Half:
    """One server with its application, for as long as it is wanted."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._stack = AsyncExitStack()
        self._up = asyncio.create_task(self._start())

    async def up(self) -> Recording:
        """The running server; raises CannotRecord. One that could not start is tried again."""
        if self._up.done() and self._up.exception() is not None:
            self._restart()
        return await asyncio.shield(self._up)

    async def ask(self, asked: Asked, timeout: float) -> Seen:
        """Send a request, and wait until the application has done with it, within bounds."""
        try:
            made = await self.up()
        except CannotRecord as error:
            return Seen(Trace([self._run()]), Trouble("down", self.plan.server, str(error), ""))
        made.begin_anew()
        answer = await ask(HOST, made.tap.port, asked, timeout=timeout)
        if answer.ended != "late":  # it was waited for long enough
            await made.ended()
        seen = Seen(made.trace(), trouble(self.plan, answer, made.log))
        if made.is_busy and not asked.leave:
            hung = Trouble("hung", self.plan.server, "", made.log.strip())
            seen = seen._replace(trouble=seen.trouble or hung)
        if made.is_busy or not made.is_running:
            self._restart()
        return seen

    async def stop(self) -> None:
        """Stop the server, started or about to."""
        self._up.cancel()
        with suppress(asyncio.CancelledError, CannotRecord):
            await self._up
        await self._stack.aclose()

    async def _start(self) -> Recording:
        return await self._stack.enter_async_context(recording(*self.plan))

    def _restart(self) -> None:
        old, self._stack = self._stack, AsyncExitStack()

        async def restart() -> Recording:
            await old.aclose()
            return await self._start()

        self._up = asyncio.create_task(restart())

    def _run(self) -> Run:
        order = self.plan.order
        return Run(order.protocol, described(self.plan.server), order.target)


class Live:
    """All servers of an exploration."""

    def __init__(self, halves: Sequence[Half], timeout: float) -> None:
        self.halves = halves
        self.timeout = timeout
        self.last: tuple[Trace, list[Trouble | None]] | None = None  # what was seen last
        self._turn = asyncio.Lock()

    async def ask(self, asked: Asked) -> tuple[Trace, list[Trouble | None]]:
        """Send a request to each server, and put together what was seen; one request at a time."""
        async with self._turn:
            seen = await asyncio.gather(*(half.ask(asked, self.timeout) for half in self.halves))
            self.last = together([each.trace for each in seen]), [each.trouble for each in seen]
            return self.last


@asynccontextmanager
async def live(plans: Sequence[Plan], timeout: float) -> AsyncIterator[Live]:
    """Start the servers, and stop them at the end. Raises CannotRecord where one does not start."""
    halves = [Half(plan) for plan in plans]
    try:
        for half in halves:
            await half.up()
        yield Live(halves, timeout)
    finally:
        await asyncio.gather(*(half.stop() for half in halves))
