"""The two small servers in a thread of the test's own process, and a raw client for them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from microweb.servers.asgi import ASGIServer
from microweb.servers.listening import listen
from microweb.servers.settings import Settings
from microweb.servers.wsgi import WSGIServer

from .servers import HOST, PATIENCE, read_all

Door = Literal["wsgi", "asgi"]


class Small:
    """A running server: where it listens, and how it is asked and stopped."""

    def __init__(self, server: WSGIServer | ASGIServer, port: int) -> None:
        self._server = server
        self.port = port
        self.thread = threading.Thread(target=self._run, name="small-server")
        self.error: BaseException | None = None
        self.thread.start()

    def _run(self) -> None:
        try:
            if isinstance(self._server, WSGIServer):
                self._server.run()
            else:
                asyncio.run(self._server.run())
        except BaseException as error:
            self.error = error

    def connect(self) -> socket.socket:
        """A raw connection."""
        connection = socket.create_connection((HOST, self.port), PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, *raw: bytes) -> bytes:
        """All that is answered to raw bytes, sent piece by piece, until the server hangs up."""
        with self.connect() as connection:
            for piece in raw:
                connection.sendall(piece)
            return read_all(connection)

    def get(self, target: str = "/", *lines: str, method: str = "GET") -> tuple[bytes, bytes]:
        """The head and the body of the response to a request for one."""
        head = [f"{method} {target} HTTP/1.1", "Host: test", "Connection: close", *lines, "", ""]
        answered = self.ask("\r\n".join(head).encode("latin-1"))
        head_of_it, end, body = answered.partition(b"\r\n\r\n")
        assert end, answered
        return head_of_it + b"\r\n", body

    def stop(self) -> None:
        """Ask the server to stop; what it has begun it finishes, unless asked again."""
        self._server.stop()

    def wait(self) -> None:
        """Return when it has stopped."""
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the server does not stop"


@contextmanager
def small_server(app: Any, door: Door, **settings: Any) -> Iterator[Small]:
    """An application behind one of the two; stopped at the end, whatever happens."""
    chosen = Settings(port=0, **settings)
    with listen(chosen) as listener:
        kinds = {"wsgi": WSGIServer, "asgi": ASGIServer}
        small = Small(kinds[door](app, chosen, listener), listener.getsockname()[1])
        try:
            yield small
        finally:
            small.stop()
            small.thread.join(PATIENCE / 4)
            if small.thread.is_alive():
                small.stop()
            small.wait()
