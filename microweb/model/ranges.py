"""Ranges: which part of a body a client asks for (RFC 9110, 14)."""

from __future__ import annotations

import re

# Digits of ASCII only; which of the two numbers there are decides what is meant (14.1.1).
_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.IGNORECASE)

# The first 20 digits alone are more bytes than any file has; int() refuses to read 4,301.
_DIGITS = 20


def byte_range(text: str | None, size: int) -> range | None:
    """The positions that a Range header asks for, of `size` bytes; None for all of them.

    An empty range is one that cannot be satisfied: 416. What does not parse, another unit
    and several ranges at once are ignored, as RFC 9110, 14.2 allows: the whole is sent.
    """
    found = _RANGE.fullmatch(text or "")
    if found is None:
        return None
    first, last = (digits and (digits.lstrip("0") or "0") for digits in found.groups())
    if not first:
        return _suffix(_number(last), size) if last else None
    if not last:
        return range(min(_number(first), size), size)
    if (len(first), first) > (len(last), last):
        return None
    return range(min(_number(first), size), min(_number(last) + 1, size))


def content_range(part: range, size: int) -> str:
    """The Content-Range of a part; for the empty one, which nobody can have, that of a 416."""
    return f"bytes {part.start}-{part.stop - 1}/{size}" if part else f"bytes */{size}"


def _suffix(length: int, size: int) -> range | None:
    if length and not size:
        return None  # the last bytes of nothing: satisfiable (14.1.2), but not to be expressed
    return range(max(size - length, 0), size)


def _number(digits: str) -> int:
    return int(digits[:_DIGITS])
