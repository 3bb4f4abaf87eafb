"""One client's socket, as an event loop shows it: callbacks for what comes, and awaits to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .connection import ClientLeft
from .http11 import HTTP11
from .patience import Patience
from .settings import KIB, Settings

ENOUGH = 64 * KIB  # unread bytes, beyond which no more are taken from the kernel
TURN = 0.01  # seconds after which a task that sends without waiting lets the others go on


class Stream(asyncio.Protocol):
    """A connection: the loop calls what stands first, tasks await what stands last.

    Backpressure goes both ways. What nobody asks for is left with the kernel, and so, in the
    end, with the client; and `send` waits until the client has read enough of what was sent.
    """

    def __init__(self, settings: Settings, connected: Callable[[Stream], None]) -> None:
        self.http = HTTP11(settings)
        self.changed = Signal()  # something came, or will never come
        self.is_lost = False  # nothing can be sent any more
        self._settings = settings
        self._enough = max(ENOUGH, settings.max_head)
        self._connected = connected
        self._writable = Signal()
        self._is_full = False
        self._is_paused = False

    # --- by the loop ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # `send` waits until the kernel has it all: what asyncio kept would be out of sight, and
        # out of time, for as long as the client does not read it.
        transport.set_write_buffer_limits(0)
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        self.begin()
        self._connected(self)

    def data_received(self, data: bytes) -> None:
        self.http.receive(data)
        if self.http.unread > self._enough:
            self._is_paused = True
            self._transport.pause_reading()
        self.changed.give()

    def eof_received(self) -> bool:
        self.http.receive(b"")
        self.changed.give()
        return True  # only the client's side is closed: it may still read its response

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True
        self.http.receive(b"")
        self.changed.give()
        self._writable.give()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._writable.give()

    # --- by tasks ---------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the client has closed its side, or is gone altogether."""
        return self.is_gone or self.http.client_is_done

    @property
    def is_gone(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.is_lost or self._transport.is_closing()

    def begin(self) -> None:
        """A request begins: its client is waited for with fresh patience, both ways."""
        self._reading = Patience(self._settings)
        self._writing = Patience(self._settings)
        self._turn = time.monotonic()

    async def change(self) -> None:
        """Wait until something has come, or will not."""
        if self._is_paused and self.http.unread <= self._enough and not self.is_lost:
            self._is_paused = False
            self._transport.resume_reading()
        await self.changed.wait()

    async def read_piece(self) -> bytes:
        """The next piece of the request's body, waited for; b"" at its end.

        Raises Refusal for a body that is broken or too large, TimeoutError for one too slow.
        """
        while (piece := self.http.next_piece()) is None:
            if ahead := self.http.go_ahead():
                await self.send(ahead)
                continue  # the body may have come meanwhile
            with self._reading as seconds:
                async with asyncio.timeout(seconds):
                    await self.change()
        self._reading.moved(len(piece))
        return piece

    async def send(self, data: bytes) -> None:
        """Send `data`, as fast as the client reads.

        Raises ClientLeft where it does not, or no more.
        """
        if time.monotonic() - self._turn > TURN:
            await self._pause()
        view = memoryview(data)
        while True:
            if self.is_gone:
                raise ClientLeft("left before the response was over")
            self._transport.write(view[:ENOUGH])
            if self._is_full:
                await self._drain()
            self._writing.moved(len(view[:ENOUGH]))
            view = view[ENOUGH:]
            if not view:
                break

    async def _drain(self) -> None:
        """Wait until the client has read most of what was written."""
        try:
            with self._writing as seconds:
                async with asyncio.timeout(seconds):
                    while self._is_full and not self.is_lost:
                        await self._writable.wait()
        except TimeoutError:
            self.abort()
            raise ClientLeft("is hung up on, as it reads too slowly") from None

    async def _pause(self) -> None:
        await asyncio.sleep(0)
        self._turn = time.monotonic()

    def abort(self) -> None:
        """Close the connection, and forget what has not been sent."""
        self._transport.abort()

    def close(self) -> None:
        """Close the connection, once what was sent is out."""
        self._transport.close()

    async def leave(self, timeout: float) -> None:
        """Close a connection whose client may still be sending (RFC 9112, section 9.6).

        Were it closed at once, the kernel would answer what still comes with a reset, on which
        the client's kernel throws away the response before it is read. So only this side is
        closed, and a moment is given to the other.
        """
        try:
            if self.http.client_may_send and not self.is_over:
                self._transport.write_eof()
                async with asyncio.timeout(timeout):
                    while not self.is_over:
                        self.http.take()
                        await self.change()
        except (TimeoutError, OSError):
            pass
        self.close()


class Signal:
    """Wakes the tasks that wait for it, all of them, each time that it is given."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def give(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


def _address(name: object) -> tuple[str, int] | None:
    """The host and the port of a socket's name; an IPv6 one has more in it."""
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None
