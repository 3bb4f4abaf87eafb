"""Clients for the small servers, cheap enough to come by the thousand: raw sockets."""

from __future__ import annotations

import re
import select
import socket
import struct
from collections.abc import Iterable
from typing import Protocol

from .servers import HOST, PATIENCE

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


class Place(Protocol):
    """A server, or all that is known of it here."""

    port: int


class Visitor:
    """A connection on which requests are sent as bytes, and as much of an answer read as needed."""

    def __init__(self, place: Place, receives: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receives is not None:
            # Before connecting, or the window is agreed upon already.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((HOST, place.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self.socket.sendall(data)

    def ask(self, request: bytes = GET, has_body: bool = True) -> tuple[int, bytes]:
        """The status and the body of the answer to a request."""
        self.send(request)
        return self.answer(has_body)

    def answer(self, has_body: bool = True) -> tuple[int, bytes]:
        """The status and the body of the next answer."""
        while (end := self._received.find(b"\r\n\r\n") + 4) < 4:
            self._receive()
        head, status = self._received[:end], int(self._received[9:12])
        self._received = self._received[end:]
        if not has_body:
            return status, b""
        if (found := _LENGTH.search(head)) is not None:
            return status, self.read(int(found[1]))
        if _CHUNKED.search(head) is not None:
            return status, self._read_chunks()
        return status, self.rest()

    def read(self, size: int) -> bytes:
        """So many bytes."""
        while len(self._received) < size:
            self._receive()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def rest(self) -> bytes:
        """What comes until the connection ends, in order or not."""
        pieces = []
        try:
            while True:
                pieces.append(self._received)
                self._received = b""
                self._receive()
        except ConnectionError:
            return b"".join(pieces)

    def _read_chunks(self) -> bytes:
        body = b""
        while True:
            while (end := self._received.find(b"\r\n")) < 0:
                self._receive()
            size = int(self._received[:end], 16)
            chunk = self.read(end + 2 + size + 2)[end + 2 : -2]
            if not size:
                return body
            body += chunk

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionAbortedError(f"the connection ended after {self._received[-100:]!r}")
        self._received += data

    def reset(self) -> None:
        """Leave rudely, whatever is unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def stirred(visitors: Iterable[Visitor]) -> int:
    """How many of the connections have something to be read, be it their end."""
    poll = select.poll()
    for visitor in visitors:
        poll.register(visitor, select.POLLIN)
    return len(poll.poll(0))


# --- slow ones ----------------------------------------------------------------------------


class Slow(Protocol):
    """A client that makes very small steps."""

    visitor: Visitor

    def step(self) -> None:
        """Send a byte, or read a little."""

    def finish(self) -> None:
        """Do the rest at once, and see that all is well."""


class SlowHead:
    """Sends the head of a request, a byte at a time."""

    def __init__(self, place: Place) -> None:
        self.visitor = Visitor(place)
        self.visitor.send(b"GET / HTTP/1.1\r\nHost: test\r\nX-Slow: ")

    def step(self) -> None:
        self.visitor.send(b"z")

    def finish(self) -> None:
        assert self.visitor.ask(b"\r\n\r\n") == (200, b"hello")


class SlowBody:
    """Sends a body of a known length, a byte at a time."""

    size = 5000

    def __init__(self, place: Place, path: bytes = b"/count") -> None:
        self.visitor = Visitor(place)
        head = b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n"
        self.visitor.send(head % (path, self.size))
        self._sent = 0

    def step(self) -> None:
        self.visitor.send(b"z")
        self._sent += 1

    def finish(self) -> None:
        rest = b"z" * (self.size - self._sent)
        assert self.visitor.ask(rest) == (200, str(self.size).encode())


class SlowChunks:
    """Sends a body in chunks of a byte, each of them a byte at a time."""

    chunk = b"1\r\nz\r\n"

    def __init__(self, place: Place) -> None:
        self.visitor = Visitor(place)
        head = b"POST /count HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.visitor.send(head)
        self._sent = 0

    def step(self) -> None:
        at = self._sent % len(self.chunk)
        self.visitor.send(self.chunk[at : at + 1])
        self._sent += 1

    def finish(self) -> None:
        while self._sent % len(self.chunk):
            self.step()
        size = self._sent // len(self.chunk)
        assert self.visitor.ask(b"0\r\n\r\n") == (200, str(size).encode())


class SlowReader:
    """Asks for very much, and reads it a few bytes at a time."""

    def __init__(self, place: Place) -> None:
        self.visitor = Visitor(place, receives=4096)
        self.visitor.send(b"GET /large HTTP/1.1\r\nHost: test\r\n\r\n")

    def step(self) -> None:
        assert self.visitor.socket.recv(100)

    def finish(self) -> None:
        self.visitor.read(1024 * 1024)
        self.visitor.reset()
