"""Recording: a server with its recorded application, behind a tap, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import platform
import shlex
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from ..processes import Output, running
from .format import Event, Run, Trace
from .home import Home, home
from .joining import joined
from .order import Order
from .servers import SILENT, CannotRecord, command, described
from .source_lines import with_text
from .tap import Tap, tapped

START = 20.0  # seconds for a server to listen
LINGER = 5.0  # seconds for an application to come to its end after the client has left
SILENCE = 0.5  # seconds after an answer until it is clear that the application was never called


class Recording:
    """A server that runs, and all that was seen so far."""

    def __init__(self, run: Run, order: Order, tap: Tap, collected: Home, output: Output) -> None:
        self.run = run
        self.order = order
        self.tap = tap
        self.home = collected
        self._output = output
        self._earlier: set[tuple[int, int | None]] = set()  # exchanges, as `_of` has them
        self._logged_earlier = 0

    @property
    def log(self) -> str:
        """What the server has written, or has since it began anew."""
        return self._output.text[self._logged_earlier :]

    @property
    def is_running(self) -> bool:
        """Whether the server is still there, and the process that has called the application."""
        return not (self._output.read.done() or self.home.lost)

    @property
    def is_busy(self) -> bool:
        """Whether a call of the application is under way."""
        return bool(self.home.open)

    @property
    def was_called(self) -> bool:
        """Whether a request has come as far as the application."""
        return any(each.kind == "app.call" and each.exchange is not None for each in self._events())

    def begin_anew(self) -> None:
        """Leave what was seen so far of requests out of the trace; the lifespan stays in it."""
        self._earlier |= {_of(event) for event in self.home.events if event.exchange is not None}
        self.home.events[:] = [each for each in self.home.events if each.exchange is None]
        self.tap.connections.clear()
        self._logged_earlier = len(self._output.text)

    async def ended(self) -> None:
        """Wait until no call of the application is under way, within bounds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):
                await self.home.until(lambda _: self.was_called)
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self.home.until(lambda home: not home.open)

    def trace(self) -> Trace:
        """What was seen, joined, and with the source lines that ran."""
        events = list(with_text(self._events()))
        return joined(self.run, self.tap.connections, events, self.order.secrets)

    def _events(self) -> list[Event]:
        return [each for each in self.home.events if _of(each) not in self._earlier]


def _of(event: Event) -> tuple[int, int | None]:
    """The exchange of an event, by the process that numbered it."""
    return (event.where or {}).get("process", 0), event.exchange


@asynccontextmanager
async def recording(
    order: Order, server: str, software: Mapping[str, str] | None = None
) -> AsyncIterator[Recording]:
    """Start a server, and stop it at the end; what it said last is in the trace after that.

    Raises CannotRecord where it does not come to listen.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise CannotRecord("a recording needs Unix sockets: on Windows, use WSL")
    words = command(server, order.protocol)
    run = Run(
        order.protocol,
        described(server),
        order.target,
        shlex.join(["python", "-m", *words]),
        {"python": platform.python_version(), **(software or {})},
    )
    async with home() as collected:
        order = replace(order, home=collected.path)
        async with running(words, order.environment()) as output:
            port = await _port(output, server)
            await _loaded(collected, output, server)
            is_silent = (server, order.protocol) in SILENT
            async with tapped(port, one_at_a_time=is_silent) as tap:
                yield Recording(run, order, tap, collected, output)
        await collected.settled()


async def _port(output: Output, server: str) -> int:
    try:
        async with asyncio.timeout(START):
            port = await output.port
    except TimeoutError:
        port = None
    if port is None:
        raise CannotRecord(f"{server} does not listen. It says:\n\n{output.text.strip()}")
    return port


async def _loaded(collected: Home, output: Output, server: str) -> None:
    """Wait for the application: some servers listen before they have imported it."""
    loaded = asyncio.create_task(collected.until(_is_loaded))
    done, _ = await asyncio.wait(
        {loaded, output.read}, timeout=START, return_when=asyncio.FIRST_COMPLETED
    )
    loaded.cancel()
    if loaded not in done:
        raise CannotRecord(
            f"{server} does not load the application. It says:\n\n{output.text.strip()}"
        )


def _is_loaded(collected: Home) -> bool:
    return any(event.kind == "load" for event in collected.events)
