"""Tap: a relay in front of a server, which sees the bytes that both sides send.

It passes on what it sees and how it ends: bytes as they come, a half-closed connection as one,
a torn one torn. A sender is slowed down by a slow receiver, since hardly anything is held here.
The server sees connections from the tap's own port, and what it says of a connection's port is
how its calls are found again: no header is touched.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import cast

from .anatomy import Anatomy
from .format import Direction
from .values import LONGEST

HOST = "127.0.0.1"
HELD = 64 * 1024  # bytes on their way, in each direction


@dataclass(slots=True)
class Sight:
    """Something that was seen on a connection: "connect", "bytes", "eof" or "reset"."""

    time: int
    kind: str
    direction: Direction
    offset: int = 0  # of the bytes, in all that was sent in this direction
    size: int = 0
    held: bytes = b""  # the first of them


@dataclass(slots=True, eq=False)
class Connection:
    """A connection through the tap, and all that was seen on it."""

    number: int
    port: int = 0  # the client's, as the server sees it
    sights: list[Sight] = field(default_factory=list)
    anatomy: Anatomy = field(default_factory=Anatomy)
    sent: dict[Direction, int] = field(default_factory=lambda: {"in": 0, "out": 0})

    def see(self, kind: str, direction: Direction, data: bytes = b"") -> None:
        """Note what is seen right now."""
        offset, time = self.sent[direction], monotonic_ns()
        self.sights.append(Sight(time, kind, direction, offset, len(data), data[:LONGEST]))
        self.sent[direction] += len(data)
        if kind == "bytes":
            self.anatomy.feed(direction, data)
        elif kind == "eof":
            self.anatomy.eof(direction)


class Tap:
    """All connections through one relay, in the order in which they began.

    `one_at_a_time` is for a server that does not tell an application the client's port: while
    one exchange is under way no other is let through.
    """

    def __init__(self, upstream: int, one_at_a_time: bool = False) -> None:
        self.upstream = upstream
        self.port = 0
        self.connections: list[Connection] = []
        self.turns = Turns() if one_at_a_time else None
        self._open: set[_End] = set()

    def _accepted(self) -> asyncio.Protocol:
        connection = Connection(len(self.connections) + 1)
        self.connections.append(connection)
        return _Client(self, connection)


@asynccontextmanager
async def tapped(upstream: int, one_at_a_time: bool = False) -> AsyncIterator[Tap]:
    """A tap in front of a server on this port of this machine; `port` is its own."""
    tap = Tap(upstream, one_at_a_time)
    server = await asyncio.get_running_loop().create_server(tap._accepted, HOST, 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
        for end in list(tap._open):
            end.transport.abort()
        while tap._open:
            await asyncio.sleep(0)  # they are lost in the loop's next turn
        await server.wait_closed()


class Turns:
    """Whose exchange is under way, and who waits."""

    def __init__(self) -> None:
        self._holder: Connection | None = None
        self._waiting: deque[_Client] = deque()

    def may_go(self, client: _Client) -> bool:
        """Whether a client's bytes may be passed on now; if not, it is resumed when they may."""
        if self._holder in (None, client.connection):
            self._holder = client.connection
            return True
        self._waiting.append(client)
        return False

    def end(self, connection: Connection) -> None:
        """An exchange is over: the next one's turn."""
        if self._holder is connection:
            self._holder = None
            while self._waiting and self._holder is None:
                client = self._waiting.popleft()
                if not client.transport.is_closing():
                    client.go_on()


# --- the two ends of a connection -------------------------------------------------------------


class _End(asyncio.Protocol):
    """One end: what arrives at it goes out at the other."""

    direction: Direction  # of what arrives here

    def __init__(self, tap: Tap, connection: Connection) -> None:
        self.tap = tap
        self.connection = connection
        self.transport = cast(asyncio.Transport, None)
        self.other: _End | None = None
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HELD)
        self.tap._open.add(self)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.connection.see("bytes", self.direction, data)
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.connection.see("eof", self.direction)
        if self.other is not None and self.other.transport.can_write_eof():
            if not self.other.transport.is_closing():
                self.other.transport.write_eof()
            self.is_over = True
            if self.other.is_over:
                self.other.transport.close()
                return False
        return True  # the other direction stays open

    def connection_lost(self, error: Exception | None) -> None:
        self.tap._open.discard(self)
        if error is not None:
            self.connection.see("reset", self.direction)
        self.is_over = True
        if self.other is not None and not self.other.transport.is_closing():
            if error is None:
                self.other.transport.close()
            else:
                _tear(self.other.transport)

    def pause_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()


class _Client(_End):
    """The end at which the client is."""

    direction = "in"

    def __init__(self, tap: Tap, connection: Connection) -> None:
        super().__init__(tap, connection)
        self._held = b""  # what waits for the connection upstream, or for its turn
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_connection(lambda: _Server(self), HOST, self.tap.upstream)
        except OSError:
            _tear(self.transport)
            return
        self.other = server
        self.connection.port = server.transport.get_extra_info("sockname")[1]
        self.connection.see("connect", "in")
        if self.transport.is_closing():
            server.transport.close()
        else:
            self.transport.resume_reading()

    def _pass_on(self, data: bytes) -> None:
        turns = self.tap.turns
        if turns is None or (not self._held and turns.may_go(self)):
            super()._pass_on(data)
        else:
            self._held += data
            self.transport.pause_reading()

    def go_on(self) -> None:
        """It is this connection's turn."""
        held, self._held = self._held, b""
        self._pass_on(held)
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self.tap.turns is not None:
            self.tap.turns.end(self.connection)


class _Server(_End):
    """The end at which the server is."""

    direction = "out"

    def __init__(self, client: _Client) -> None:
        super().__init__(client.tap, client.connection)
        self.other = client

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.tap.turns is not None and self.connection.anatomy.is_idle:
            self.tap.turns.end(self.connection)


def _tear(transport: asyncio.Transport) -> None:
    """End a connection as one that is torn: with a reset, and not as if all were said."""
    peer = transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
