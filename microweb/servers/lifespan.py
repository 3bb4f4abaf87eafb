"""The lifespan: an application that is told when its process begins to serve, and when it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .asgi_call import Application, Message
from .settings import CannotServe

_log = logging.getLogger("microweb.servers")


class Lifespan:
    """One call of the application, which lasts as long as the server (ASGI 3.0, "Lifespan")."""

    def __init__(self, app: Application) -> None:
        self.state: dict[str, Any] = {}  # what the application leaves here, each request is given
        self._app = app
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message | None] = asyncio.Queue()

    async def startup(self) -> None:
        """Tell the application to begin, and wait until it has.

        Raises CannotServe if it says that it failed. One that raises, or returns, does not
        know the lifespan, and is served without ("Scope").
        """
        self._task = asyncio.create_task(self._run())
        answer = await self._tell("lifespan.startup")
        if answer is None:
            _log.info("the application knows no lifespan, and is served without one")
        elif answer["type"] == "lifespan.startup.failed":
            raise CannotServe(f"the application did not begin: {answer.get('message') or 'why?'}")

    async def shutdown(self, timeout: float) -> None:
        """Tell the application to end, and give it `timeout` seconds for it."""
        if self._task.done():
            return
        try:
            async with asyncio.timeout(timeout):
                answer = await self._tell("lifespan.shutdown")
                await self._task
        except TimeoutError:
            _log.warning("the application did not end within %.0f s", timeout)
            return
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            _log.error("the application did not end well: %s", answer.get("message"))

    async def _tell(self, event: str) -> Message | None:
        self._told.put_nowait({"type": event})
        return await self._said.get()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._told.get, self._said.put)
        except Exception as error:
            _log.debug("the lifespan ended with %r", error, exc_info=error)
        finally:
            self._said.put_nowait(None)
