"""Real servers for tests: gunicorn and uvicorn as processes of their own, always stopped again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds; never waited for where all is well

# What each kind of server is started with; the port is the kernel's choice.
GUNICORN = ("gunicorn", "--bind", f"{HOST}:0", "--no-control-socket")
COMMANDS: dict[str, tuple[str, ...]] = {
    "gunicorn sync": (*GUNICORN, "--worker-class", "sync"),
    "gunicorn gthread": (*GUNICORN, "--worker-class", "gthread", "--threads", "8"),
    "gunicorn asgi": (*GUNICORN, "--worker-class", "asgi"),
    "uvicorn": ("uvicorn", "--host", HOST, "--port", "0"),
    "microweb wsgi": ("microweb", "run", "--wsgi", "--port", "0"),
    "microweb asgi": ("microweb", "run", "--asgi", "--port", "0"),
    "microweb explore": ("microweb", "explore", "--no-open", "--port", "0"),
    "wsgiref": ("tests.benchmarks.development", "wsgiref"),
    "werkzeug": ("tests.benchmarks.development", "werkzeug"),
    "uvicorn wsgi": ("uvicorn", "--host", HOST, "--port", "0", "--interface", "wsgi"),
    "waitress": ("waitress", f"--listen={HOST}:0"),
    "hypercorn": ("hypercorn", "--bind", f"{HOST}:0"),
}
# The door of an application that each of them is pointed at.
DOORS = {
    "gunicorn sync": "wsgi",
    "gunicorn gthread": "wsgi",
    "gunicorn asgi": "asgi",
    "uvicorn": "asgi",
    "uvicorn wsgi": "wsgi",
    "microweb wsgi": "wsgi",
    "microweb asgi": "asgi",
}
_LISTENING = re.compile(
    r"(?:Listening at|[Rr]unning on|Serving on):? http://(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)"
)


class Server:
    """A running server: where it listens, what it has logged, and how it is stopped."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def log(self) -> str:
        """All that the server has written to stdout and stderr so far."""
        return self._log.read_text("utf-8", "replace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the server's main process."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit status, when the process has ended."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server does not stop:\n{self.log()}") from None

    def stop(self) -> int:
        """Ask the server to stop gracefully; its exit status."""
        self.signal()
        return self.wait()

    def connect(self) -> socket.socket:
        """A raw connection to the server."""
        connection = socket.create_connection((HOST, self.port), PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def until(what: str, is_so: Callable[[], bool], log: Callable[[], str] = str) -> None:
    """Return as soon as `is_so()`; fail, saying `what` has not happened, after a bounded wait."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}\n{log()}")
        time.sleep(0.01)


def is_written(file: Path) -> bool:
    """Whether a file has its first line; it is there a moment before."""
    return file.exists() and file.read_text("utf-8").endswith("\n")


def read_head(connection: socket.socket, stream: BinaryIO | None = None) -> tuple[int, bytes]:
    """The status and the raw head of the next response on a raw connection."""
    reader = stream or connection.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            raise AssertionError(f"the connection ended in the head: {head!r}")
        head += line
    return int(head.split(b" ", 2)[1]), head


def read_all(connection: socket.socket) -> bytes:
    """What still comes on a raw connection until the server closes it, rudely or not."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


@contextmanager
def launched(
    kind: str,
    target: str,
    folder: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server's process, just started; whatever happens, nothing of it is left at the end.

    `target` is module:attribute, imported from the checkout; `folder` takes the log.
    """
    log = folder / f"{kind.replace(' ', '-')}-{time.monotonic_ns()}.log"
    module, *arguments = COMMANDS[kind]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *options, target],
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
        with suppress(ProcessLookupError):
            # Its workers are in its group, and may have outlived it.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving(
    kind: str,
    target: str,
    folder: Path,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server that takes connections: see `launched`."""
    with launched(kind, target, folder, options, environment) as server:

        def listens() -> bool:
            found = _LISTENING.search(server.log())
            if found is None:
                if server.process.poll() is not None:
                    raise AssertionError(f"{kind} did not start:\n{server.log()}")
                return False
            server.port = int(found[1])
            return True

        until(f"{kind} listens", listens, server.log)
        yield server
