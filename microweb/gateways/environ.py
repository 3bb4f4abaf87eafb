"""A scope told as an environ, and a request's body as the file that wsgi.input has to be.

It awaits nothing: what a read waits for is given to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BufferedReader, BytesIO, RawIOBase
from typing import IO, Any

from ..model.decoding import declared_length
from ..model.request import PORTS
from .asgi_request import Scope, without_prefix
from .errands import ClientHasLeft
from .wsgi_request import BARE, BLOCK, Environ

# Waits for the next block of the body; with it comes whether there may be more.
Pull = Callable[[], tuple[bytes, bool]]


def environ_of(scope: Scope, body: IO[bytes]) -> Environ:
    """The environ of a request (PEP 3333, "environ Variables")."""
    root_path = scope.get("root_path", "")
    scheme = scope.get("scheme", "http")
    host, port = scope.get("server") or ("localhost", None)
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _tunnelled(root_path),
        "PATH_INFO": _tunnelled(without_prefix(scope["path"], root_path)),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or PORTS.get(scheme, 80)),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if client := scope.get("client"):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    if raw_path := scope.get("raw_path"):
        # Not in PEP 3333, but many servers offer the target as it was sent.
        query = environ["QUERY_STRING"]
        environ["REQUEST_URI"] = raw_path.decode("latin-1") + ("?" + query if query else "")
    for name, value in scope["headers"]:
        # With a hyphen it would be the same key: nobody may pass for another header so.
        if b"_" not in name:
            _add_header(environ, name, value.decode("latin-1"))
    return environ


def expected_length(scope: Scope) -> int | None:
    """How long the request's body is; None if it ends where the server says that it does.

    Raises HTTPException(400) for a Content-Length that is no number.
    """
    length: str | None = None
    for name, value in scope["headers"]:
        match name.lower():
            case b"transfer-encoding":
                return None  # it overrides Content-Length (RFC 9112, 6.3)
            case b"content-length":
                length = value.decode("latin-1")
    if length:
        return declared_length(length, sys.maxsize)
    # HTTP/1 announces a body with one of the two, HTTP/2 need not (RFC 9113, 8.1); on GET and
    # HEAD it would have no meaning (RFC 9110, 9.3.1).
    may_have_one = scope["http_version"] == "2" and scope["method"] not in ("GET", "HEAD")
    return None if may_have_one else 0


def input_of(length: int | None, pull: Pull) -> IO[bytes]:
    """A request's body as a file, which takes from `pull` only as much as is read.

    Its reads raise ClientHasLeft, an OSError, where the body ends before it is complete.
    """
    return BytesIO() if length == 0 else BufferedReader(_Input(pull, length), BLOCK)


class _Input(RawIOBase):
    def __init__(self, pull: Pull, length: int | None) -> None:
        self._pull = pull
        self._missing = length  # None if nobody has announced it
        self._block = memoryview(b"")
        self._more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._block and self._more:
            block, self._more = self._pull()
            self._block = memoryview(block)
            if self._missing is not None:
                self._missing -= len(block)
        if not self._block and self._missing is not None and self._missing > 0:
            raise ClientHasLeft("the body ended before it was complete")
        size = min(len(buffer), len(self._block))
        buffer[:size] = self._block[:size]
        self._block = self._block[size:]
        return size


def _add_header(environ: Environ, name: bytes, value: str) -> None:
    key = name.upper().replace(b"-", b"_").decode("latin-1")
    if key not in BARE:
        key = "HTTP_" + key
    if key in environ:
        # RFC 9110, 5.3; and for cookies, which HTTP/2 splits, RFC 9113, 8.2.3
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value


def _tunnelled(text: str) -> str:
    """Text as UTF-8 that comes as Latin-1 (PEP 3333, "Unicode Issues")."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")
