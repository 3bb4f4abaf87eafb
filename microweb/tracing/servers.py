"""Servers that can be recorded: how each is started, on a port of this machine, and unaware."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import NamedTuple

from .format import Protocol

APPLICATION = "microweb.tracing.recorded:app"


class Server(NamedTuple):
    """What stands after `python -m`, and before the application, for each protocol that it has."""

    wsgi: tuple[str, ...] = ()
    asgi: tuple[str, ...] = ()

    def words(self, protocol: Protocol) -> tuple[str, ...]:
        """The command for a protocol; empty where the server does not speak it."""
        return self.wsgi if protocol == "wsgi" else self.asgi


_GUNICORN = ("gunicorn", "-c", "python:microweb.processes.gunicorn_conf")
_UVICORN = ("uvicorn", "--host", "127.0.0.1", "--port", "0")
_HYPERCORN = ("hypercorn", "--bind", "127.0.0.1:0")

SERVERS: dict[str, Server] = {
    "gunicorn": Server((*_GUNICORN, "--threads", "4"), (*_GUNICORN, "-k", "asgi")),
    "uvicorn": Server((*_UVICORN, "--interface", "wsgi"), _UVICORN),
    "microweb": Server(
        ("microweb", "run", "--wsgi", "--no-access-log", "--port", "0"),
        ("microweb", "run", "--asgi", "--no-access-log", "--port", "0"),
    ),
    "waitress": Server(("waitress", "--listen=127.0.0.1:0")),
    "hypercorn": Server(_HYPERCORN, _HYPERCORN),
}
# Which one is taken where none is named.
USUAL: dict[Protocol, str] = {"wsgi": "gunicorn", "asgi": "uvicorn"}
# In this protocol it does not tell the application the client's port (REMOTE_PORT).
SILENT = {("uvicorn", "wsgi"), ("hypercorn", "wsgi")}


class CannotRecord(Exception):
    """There is nothing to record; the message says why, and the mend."""


def command(server: str, protocol: Protocol) -> list[str]:
    """What stands after `python -m`. Raises CannotRecord where the server cannot do it."""
    words = SERVERS[server].words(protocol)
    if not words:
        others = [name for name, each in SERVERS.items() if each.words(protocol)]
        raise CannotRecord(
            f"{server} does not speak {protocol.upper()}; these do: {', '.join(others)}"
        )
    if find_spec(words[0]) is None:
        raise CannotRecord(f"{server} is not installed: pip install {server}")
    return [*words, APPLICATION]


def described(server: str) -> str:
    """A server's name and version."""
    try:
        return f"{server} {version(server)}"
    except PackageNotFoundError:
        return server
