"""The first line of a request or a response, read from bytes that may be anything."""

from __future__ import annotations

import re

# A request line or a status line, or as much of one as there is.
_START = re.compile(rb"(?:[!-~]+ [!-\xff]+ )?HTTP/\d(?:\.\d)?(?:[ \r\n]|$)")


def is_start(held: bytes) -> bool:
    """Whether a request or a response begins with these bytes."""
    return _START.match(held) is not None


def request_of(held: bytes) -> str:
    """`GET /caf%C3%A9`, if a request begins with these bytes; else nothing."""
    if not is_start(held) or held.startswith(b"HTTP/"):
        return ""
    return " ".join(_first_line(held).split(" ")[:2])


def status_of(held: bytes) -> str:
    """`200 OK`, if a response begins with these bytes; else nothing."""
    if not is_start(held) or not held.startswith(b"HTTP/"):
        return ""
    return _first_line(held).partition(" ")[2].strip()


def _first_line(held: bytes) -> str:
    return held.partition(b"\r\n")[0].decode("latin-1")
