"""Where code runs and who called it: process, thread, event loop and server, honestly told."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from microweb import Request

# Servers that can be recognised by a module, which only their own command loads.
SERVERS = {
    "uvicorn": "uvicorn",
    "hypercorn": "hypercorn",
    "granian": "granian",
    "daphne": "daphne",
    "gunicorn": "gunicorn",
    "waitress": "waitress",
    "microweb.servers.asgi": "microweb",
}


@dataclass(frozen=True)
class Whereabouts:
    """One place in which code can run; `loop` is empty where no event loop is running."""

    process: int
    thread: str
    loop: str

    def __str__(self) -> str:
        loop = f"event loop {self.loop}" if self.loop else "no event loop"
        return f"process {self.process}, thread {self.thread}, {loop}"


def whereabouts() -> Whereabouts:
    """Where the caller is running."""
    try:
        loop = type(asyncio.get_running_loop()).__qualname__
    except RuntimeError:  # that is how asyncio says that there is none in this thread
        loop = ""
    return Whereabouts(os.getpid(), threading.current_thread().name, loop)


def server_of(request: Request) -> tuple[str, str]:
    """The server's name, or "" if nothing tells it; and a sentence on how it is known."""
    native = "scope"
    if request.environ is not None:
        native = "environ"
        software = request.environ.get("SERVER_SOFTWARE")
        if software:
            return str(software), "The environ says so itself, under SERVER_SOFTWARE."
    loaded = tuple(package for module, package in SERVERS.items() if module in sys.modules)
    if not loaded:
        return "", f"The {native} does not name its server, and no known one is loaded."
    which = "the package" if len(loaded) == 1 else "the packages"
    return _with_versions(loaded), (
        f"The {native} does not name its server; this is a guess from {which}"
        f" {' and '.join(loaded)}, loaded in this process."
    )


@cache
def _with_versions(packages: tuple[str, ...]) -> str:
    # Cached, because looking for a version reads the disk.
    return " with ".join(f"{name}/{version(name)}" for name in packages)
