"""Origins: which pages may open a WebSocket here (RFC 6455, 10.2; RFC 6454).

A browser sends cookies with a WebSocket's handshake to any host, whichever page asks, and no
other rule of the web stops that page from reading the answers. Only its Origin tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .request import PORTS, Request

ANY = "*"

_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^][/:@?#\\\s,]+)(?::([0-9]{1,5}))?"
_ORIGIN = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*)://{_HOST}")
_AUTHORITY = re.compile(_HOST)

Origin = tuple[str, str, int | None]  # scheme, host and port


def may_open(request: Request, allowed: tuple[str, ...]) -> bool:
    """Whether the page that sent the handshake is this site's own, or one of those allowed.

    Its own means: the host and the port that the request was sent to, and not http where the
    request came by https. (The other way round is a server behind a proxy that speaks TLS.)
    A client without an Origin is no browser, and has no user's cookies to lend.
    """
    text = request.headers.get("origin")
    if text is None or ANY in allowed or text in allowed:
        return True
    origin = parse_origin(text)
    if origin is None:
        return False  # "null" too: a page without an origin, such as a sandboxed frame
    return origin in map(parse_origin, allowed) or _is_own(origin, request)


def _is_own(origin: Origin, request: Request) -> bool:
    scheme, host, port = origin
    authority = _AUTHORITY.fullmatch(request.host)
    if authority is None or scheme not in PORTS or (scheme, request.scheme) == ("http", "https"):
        return False
    return (host, port) == (authority[1].lower(), int(authority[2] or PORTS[scheme]))


def parse_origin(text: str) -> Origin | None:
    """Scheme, host and port of `https://example.org`, comparable; None if it is no such text."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    return scheme, host, int(match[3]) if match[3] else PORTS.get(scheme)


def checked_origins(path: str, origins: Iterable[str]) -> tuple[str, ...]:
    """The origins that a route allows. Raises TypeError or ValueError, naming the mend."""
    if isinstance(origins, str):
        raise TypeError(f"route {path!r}: origins is a tuple, ({origins!r},), not one str")
    origins = tuple(origins)
    for origin in origins:
        if origin not in (ANY, "null") and parse_origin(origin) is None:
            raise ValueError(
                f"route {path!r}: {origin!r} is no origin; write it as a browser does, without"
                ' a path or a slash at its end: "https://example.org", or "*" for all'
            )
    return origins
