"""The two small servers, beside those that others bring for development and for production."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from ..servers import HOST, PATIENCE, serving
from .rounds import Contender, compare
from .sites.text import TEXT

SITE = "tests.benchmarks.sites.text"
ROUNDS = 9
REQUESTS = 400  # a round
CLIENTS = 8

REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: benchmark\r\nAccept: */*\r\n%s\r\n"
KEPT = REQUEST % b""
CLOSED = REQUEST % b"Connection: close\r\n"
# A server that keeps its connections may be asked again on the same one.
WAYS = {
    "one client, one request after the other": (KEPT, 1),
    "one client, a connection for each request": (CLOSED, 1),
    f"{CLIENTS} clients at once": (KEPT, CLIENTS),
}


class Entry(NamedTuple):
    """A server, by what it is started with, and its share of the reference's time at most."""

    name: str
    kind: str
    at_most: float | None = None


# The last entry is the reference: the goal is to be faster than each of them.
RACES = {
    ("through WSGI, beside wsgiref", "wsgi"): [
        Entry("microweb", "microweb wsgi", 1.0),
        Entry("gunicorn, 8 threads", "gunicorn gthread"),
        Entry("wsgiref", "wsgiref"),
    ],
    ("through WSGI, beside Werkzeug's server", "wsgi"): [
        Entry("microweb", "microweb wsgi", 1.0),
        Entry("Werkzeug", "werkzeug"),
    ],
    ("through ASGI", "asgi"): [
        Entry("microweb", "microweb asgi"),
        Entry("uvicorn, on h11 too", "uvicorn"),
    ],
}

QUIET = {
    "uvicorn": ("--no-access-log", "--http", "h11"),
    "microweb wsgi": ("--no-access-log",),
    "microweb asgi": ("--no-access-log",),
}


def run(folder: Path) -> bool:
    """Print the tables; whether all goals are met."""
    met = True
    for (title, door), entries in RACES.items():
        with ExitStack() as stack:
            ports = [
                stack.enter_context(
                    serving(entry.kind, f"{SITE}:{door}", folder, QUIET.get(entry.kind, ()))
                ).port
                for entry in entries
            ]
            for way, (request, clients) in WAYS.items():
                contenders = [
                    Contender(
                        entry.name,
                        partial(_check, port, request),
                        partial(measure, port, request, clients),
                        entry.at_most,
                    )
                    for entry, port in zip(entries, ports, strict=True)
                ]
                met &= compare(f"a line of text {title}: {way}", "us", contenders, ROUNDS)
    return met


def _check(port: int, request: bytes) -> None:
    client = Client(port)
    for _ in range(3):
        head, body = client.ask(request)
        assert head.split(b" ", 2)[1] == b"200"
        assert body == TEXT
    client.close()


def measure(port: int, request: bytes, clients: int) -> float:
    """Microseconds a request: of one client's, or of several that share them."""

    def visit(_: int) -> None:
        client = Client(port)
        for _ in range(REQUESTS // clients):
            client.ask(request)
        client.close()

    with ThreadPoolExecutor(clients) as pool:
        started = perf_counter()
        list(pool.map(visit, range(clients)))
        return (perf_counter() - started) / REQUESTS * 1e6


class Client:
    """A client that costs little, and keeps its connection as long as the server does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[bytes, bytes]:
        """The head and the body of the response, which has a Content-Length."""
        if self._connection is None:
            self._connection = socket.create_connection((HOST, self._port), PATIENCE)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(request)
        received = b""
        while len(body := received.partition(b"\r\n\r\n")[2]) < len(TEXT):
            piece = self._connection.recv(65536)
            assert piece, received
            received += piece
        head = received[: -len(TEXT)]
        if head.startswith(b"HTTP/1.0") or b"connection: close" in head.lower():
            self.close()
        return head, body

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
