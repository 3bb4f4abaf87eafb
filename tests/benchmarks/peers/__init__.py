"""Peers: the same small site in each framework, for the benchmarks of what a framework costs.

A module has `wsgi(others, layers)`, `asgi(others, layers)`, or both. What they return answers

    GET  /text         hello
    GET  /json         {"hello": "world"}
    GET  /users/{id}   {"id": id}, which must be an int
    POST /echo         the same JSON
    GET  /plain        hello, from a plain function; under ASGI alone
    GET  /async        hello, from an async function; under WSGI alone, where there is such a thing

and 404 to all else. `others` more routes with a parameter each stand before these; `layers` is how
many layers of middleware do nothing. An application that cannot have them is None.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# In each protocol what is compared, the bare callable first, and microweb second.
PEERS = {
    "wsgi": ("bare", "microweb", "falcon", "baize", "bottle", "flask", "microdot"),
    "asgi": (
        "bare",
        "microweb",
        "blacksheep",
        "falcon",
        "baize",
        "starlette",
        "litestar",
        "microdot",
        "quart",
    ),
}
OTHER = "/other{number}/{{name}}"


def peer(name: str) -> ModuleType | None:
    """The module of a peer; None where its framework is not installed."""
    try:
        return import_module(f"{__name__}.of_{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith(__name__):
            raise
        return None


def described(name: str) -> str:
    """A peer with the version that is compared."""
    from importlib.metadata import version

    return name if name in ("bare", "microweb") else f"{name} {version(name)}"
