"""Which commands are tried on what was found: as a user types them, and as they are started."""

from __future__ import annotations

import shlex
from typing import Literal, NamedTuple

from ..recognise import Finding, Kind

Protocol = Literal["wsgi", "asgi"]


class Command(NamedTuple):
    """A command, without what is added to it so that several can run at the same time."""

    words: tuple[str, ...]  # of the server: ("gunicorn", "-k", "asgi")
    protocol: Protocol  # in which the server then calls
    target: str

    @property
    def server(self) -> str:
        """The server as a user types it, without a target."""
        return shlex.join(self.words)

    @property
    def typed(self) -> str:
        """All of it as a user types it."""
        return shlex.join([*self.words, self.target])

    @property
    def module(self) -> str:
        """What `python -m` starts it with."""
        return self.words[0]

    @property
    def started(self) -> list[str]:
        """All of it as it is started: on a port of this machine that the kernel chooses."""
        # After the user's words, among which the first may be a subcommand.
        return [*self.words, *_APART[self.module], self.target]


_APART = {
    "gunicorn": ("-c", "python:microweb.processes.gunicorn_conf"),
    "uvicorn": ("--host", "127.0.0.1", "--port", "0"),
    "microweb": ("--host", "127.0.0.1", "--port", "0"),
}

GUNICORN, GUNICORN_ASGI = ("gunicorn",), ("gunicorn", "-k", "asgi")
UVICORN, UVICORN_WSGI = ("uvicorn",), ("uvicorn", "--interface", "wsgi")
RUN, RUN_WSGI, RUN_ASGI = (
    ("microweb", "run"),
    ("microweb", "run", "--wsgi"),
    ("microweb", "run", "--asgi"),
)
FACTORY, FACTORY_WSGI = ((*each, "--factory") for each in (UVICORN, UVICORN_WSGI))

SERVERS: tuple[tuple[tuple[str, ...], Protocol], ...] = (
    (GUNICORN, "wsgi"),
    (GUNICORN_ASGI, "asgi"),
    (UVICORN, "asgi"),
    (UVICORN_WSGI, "wsgi"),
)
# What is found -> what is tried besides: a server, its protocol, the end of the target.
BESIDES: dict[Kind, tuple[tuple[tuple[str, ...], Protocol, str], ...]] = {
    "app": (
        (RUN, "asgi", ""),
        (RUN_WSGI, "wsgi", ""),
        (GUNICORN, "wsgi", ".wsgi"),
        (UVICORN_WSGI, "wsgi", ".wsgi"),
        (RUN, "wsgi", ".wsgi"),
        (GUNICORN_ASGI, "asgi", ".asgi"),
        (UVICORN, "asgi", ".asgi"),
        (RUN, "asgi", ".asgi"),
    ),
    "wsgi": ((RUN, "wsgi", ""),),
    "asgi": ((RUN, "asgi", ""),),
    "factory": (
        (GUNICORN, "wsgi", "()"),
        (GUNICORN_ASGI, "asgi", "()"),
        (FACTORY, "asgi", ""),
        (FACTORY_WSGI, "wsgi", ""),
        (RUN, "asgi", ""),
    ),
    "unknown": ((RUN_WSGI, "wsgi", ""), (RUN_ASGI, "asgi", "")),
    "neither": ((RUN, "asgi", ""),),
}


def commands_for(target: str, finding: Finding) -> list[Command]:
    """What is tried on a target, in the order in which it is reported."""
    return [
        *(Command(words, protocol, target) for words, protocol in SERVERS),
        *(
            Command(words, protocol, target + more)
            for words, protocol, more in BESIDES[finding.kind]
        ),
    ]
