"""Mounts: foreign applications below a prefix, and which of them takes a path.

A mount is taken by the gateway before the core. What it is given, and how it is called, is
the gateways' to know: see `_pass_on` in each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from .model.response import describe
from .model.shape import Shape, shape_of
from .paths import checked_prefix

WSGIApp = Callable[..., Iterable[bytes]]  # app(environ, start_response): PEP 3333
ASGIApp = Callable[..., Any]  # await app(scope, receive, send): ASGI 3.0, "Applications"


class Mount(NamedTuple):
    """A foreign application, the protocol it speaks, and the decoded prefix it lives below."""

    prefix: str
    protocol: Literal["wsgi", "asgi"]
    app: Callable[..., Any]

    def __str__(self) -> str:
        return f"{self.protocol}={describe(self.app)} at {self.prefix or '/'!r}"


def mount_for(mounts: Iterable[Mount], path: str) -> Mount | None:
    """The mount that a decoded path belongs to: the one with the longest prefix.

    A prefix is matched as whole segments, so that '/shop' takes '/shop' and '/shop/cart'
    but never '/shopping'.
    """
    best: Mount | None = None
    for mount in mounts:
        prefix = mount.prefix
        if (
            path.startswith(prefix)
            and path[len(prefix) : len(prefix) + 1] in ("", "/")
            and (best is None or len(best.prefix) < len(prefix))
        ):
            best = mount
    return best


def checked_mount(prefix: str, protocol: Literal["wsgi", "asgi"], app: Callable[..., Any]) -> Mount:
    """The mount of a foreign application.

    Raises ValueError for a wrong prefix, TypeError for what is no application of its
    protocol, as far as that can be told without calling it.
    """
    prefix = checked_prefix("mount prefix", prefix)
    if "{" in prefix:
        raise ValueError(f"mount prefix {prefix!r}: a foreign application takes no parameters")
    mount = Mount(prefix, protocol, app)
    shapes, arguments, mend = _FORMS[protocol]
    if not callable(app) or shape_of(app) not in shapes or not _takes(app, len(arguments)):
        raise TypeError(f"mount {mount}: it is no callable of ({', '.join(arguments)}); {mend}")
    return mount


# protocol -> the shapes its applications have, what they are called with, and a mend.
# A plain function may be an ASGI application too, if what it returns can be awaited.
_FORMS: dict[str, tuple[tuple[Shape, ...], tuple[str, ...], str]] = {
    "wsgi": (
        ("plain", "generator"),
        ("environ", "start_response"),
        "an ASGI application is mounted with asgi=...",
    ),
    "asgi": (
        ("plain", "async"),
        ("scope", "receive", "send"),
        "a WSGI application is mounted with wsgi=...",
    ),
}


def _takes(app: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(app).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        pass  # some callables written in C do not tell
    return True
