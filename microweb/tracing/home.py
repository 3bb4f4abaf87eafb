"""Home: where the events of the recorders arrive, from all processes of a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryDirectory

from .format import Event

LONGEST_LINE = 64 * 1024 * 1024  # bytes; an event of bounded values is far below

# With these an exchange ends at the seam. A server that neither iterates to the end nor closes
# leaves it open.
_ENDS = ("app.raise", "next.raise", "close.return", "close.raise")


class Home:
    """A collection of events that grows, each exchange known by its process and its number."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.events: list[Event] = []
        self.open: set[tuple[int, int]] = set()
        self.lost: set[int] = set()  # processes that were there, and are gone
        self._changed = asyncio.Event()
        self._readers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def until(self, holds: Callable[[Home], bool]) -> None:
        """Wait until this holds of what has arrived."""
        while not holds(self):
            self._changed.clear()
            await self._changed.wait()

    async def settled(self) -> None:
        """Wait for all that the processes which are gone have sent."""
        while self._readers:
            await asyncio.wait(self._readers)

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._readers[task] = writer
        processes: set[int] = set()
        try:
            with suppress(ConnectionError):
                while line := await reader.readline():
                    processes.add(self._add(line))
        finally:
            del self._readers[task]
            # What was under way in a process that is gone comes to no other end.
            self.lost |= processes
            self.open -= {exchange for exchange in self.open if exchange[0] in processes}
            self._changed.set()
            writer.close()

    def _add(self, line: bytes) -> int:
        """Take an event; the process that it comes from is returned, 0 where that is unknown."""
        try:
            fields = json.loads(line)
        except ValueError:
            return 0  # the end of it was lost, with the process
        del fields["record"]
        event = Event(**fields)
        self.events.append(event)
        if event.exchange is not None and event.where is not None:
            self._follow(event, (event.where["process"], event.exchange))
        self._changed.set()
        return event.where["process"] if event.where is not None else 0

    def _follow(self, event: Event, exchange: tuple[int, int]) -> None:
        if event.kind == "app.call":
            self.open.add(exchange)
        elif event.kind == "app.return":
            # In ASGI that is the end, and so it is where the server has the rest to itself.
            if event.data.get("file_wrapper", True):
                self.open.discard(exchange)
        elif event.kind in _ENDS:
            self.open.discard(exchange)


@asynccontextmanager
async def home() -> AsyncIterator[Home]:
    """A home with its socket, in a folder that only its user can enter."""
    with TemporaryDirectory(prefix="microweb-") as folder:
        collected = Home(f"{folder}/home")
        server = await asyncio.start_unix_server(
            collected._receive, collected.path, limit=LONGEST_LINE
        )
        try:
            yield collected
        finally:
            server.close()
            for writer in collected._readers.values():
                writer.transport.abort()
            await collected.settled()
            await server.wait_closed()
