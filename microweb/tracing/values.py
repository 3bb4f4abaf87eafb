"""Values: what was passed over a boundary, written down in JSON: bounded, and without secrets.

A secret is known by the name that it stands under, wherever that is: a header in an environ, in
a scope, in a message or among a framework's attributes. What `format` writes with a `$` is made
here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

LONGEST = 16_384  # bytes, or characters, of one value
MOST = 400  # items of one list or mapping
DEEPEST = 6  # lists and mappings in one another

# The fields whose values let somebody act for somebody else, and what Python has of them.
SECRET_FIELDS = frozenset(
    {
        "authorization",
        "cookie",
        "cookies",
        "proxy-authorization",
        "set-cookie",
        "x-access-token",
        "x-amz-security-token",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
        "x-csrftoken",
        "x-xsrf-token",
    }
)


def is_secret(name: Any) -> bool:
    """Whether what stands under a name is masked: `Cookie`, `HTTP_COOKIE` or `b"cookie"`."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    if not isinstance(name, str):
        return False
    if name in SECRET_FIELDS:
        return True
    return name.lower().replace("_", "-").removeprefix("http-") in SECRET_FIELDS


class Notation:
    """How values are written down; with `secrets` they are written as they are."""

    def __init__(self, secrets: bool = False) -> None:
        self.secrets = secrets

    def of(self, value: Any) -> Any:
        """A value in JSON. It never raises: of what cannot be looked at it writes the type."""
        try:
            return self._of(value, 0, False)
        except Exception:
            # A mapping that changes meanwhile in another thread, an object that fails at all.
            return {"$type": type_name(type(value))}

    def environ(self, environ: dict[str, Any]) -> Any:
        """An environ; some servers put all of their process's own environment into it."""
        kept = {
            name: value
            for name, value in environ.items()
            # gunicorn puts its own name into both.
            if os.environ.get(name) != value or name == "SERVER_SOFTWARE"
        }
        written = self.of(kept)
        if isinstance(written, dict) and len(kept) < len(environ):
            written["$more"] = len(environ) - len(kept) + written.get("$more", 0)
        return written

    def _of(self, value: Any, depth: int, masked: bool) -> Any:
        for kinds, write in self._KINDS:
            if isinstance(value, kinds):
                return write(self, value, depth, masked)
        return {"$type": type_name(type(value))}

    def _text(self, value: str, _depth: int, masked: bool) -> Any:
        if masked:
            text = "*" * min(len(value), LONGEST)
            return {"$text": text, "length": len(value), "masked": True}
        return plain_text(value)

    def _bytes(self, value: Any, _depth: int, masked: bool) -> Any:
        if masked:
            size = memoryview(value).nbytes
            return {"$bytes": "*" * min(size, LONGEST), "size": size, "masked": True}
        return plain_bytes(value)

    def _number(self, value: Any, _depth: int, masked: bool) -> Any:
        if masked and value is not None:
            return self._text(str(value), 0, True)
        if isinstance(value, float) and not math.isfinite(value):
            return plain_text(str(value))
        if isinstance(value, int) and value.bit_length() > 64:
            return {"$type": "int"}
        return value if value is None or isinstance(value, bool) else value + 0

    def _list(self, value: Any, depth: int, masked: bool) -> Any:
        if depth == DEEPEST:
            return {"$type": type_name(type(value))}
        if len(value) == 2 and not masked and is_secret(value[0]) and not self.secrets:
            return [self._of(value[0], depth + 1, False), self._of(value[1], depth + 1, True)]
        written = [self._of(each, depth + 1, masked) for each in value[:MOST]]
        if len(value) > MOST:
            written.append({"$more": len(value) - MOST})
        return written

    def _mapping(self, value: dict[Any, Any], depth: int, masked: bool) -> Any:
        if depth == DEEPEST:
            return {"$type": type_name(type(value))}
        written = {
            _key(name): self._of(each, depth + 1, masked or (not self.secrets and is_secret(name)))
            for name, each in islice(value.items(), MOST)
        }
        if len(value) > MOST:
            written["$more"] = len(value) - MOST
        return written

    # The type of a value -> how it is written; whatever else there is, is written as its type.
    _KINDS: tuple[tuple[Any, Callable[..., Any]], ...] = (
        (str, _text),
        ((bytes, bytearray, memoryview), _bytes),
        ((bool, int, float, type(None)), _number),
        ((list, tuple), _list),
        (dict, _mapping),
    )


def plain_text(value: str) -> Any:
    """A str, as JSON has it; cut at a bound, and without what no UTF-8 can carry."""
    if len(value) <= LONGEST and value.isascii():
        return str(value)
    text = value[:LONGEST].encode("utf-8", "backslashreplace").decode("utf-8")
    return text if text == value else {"$text": text, "length": len(value)}


def plain_bytes(value: Any) -> dict[str, Any]:
    """Bytes, cut at a bound."""
    view = memoryview(value).cast("B")
    return {"$bytes": view[:LONGEST].tobytes().decode("latin-1"), "size": view.nbytes}


def type_name(kind: type) -> str:
    """`list`, `io.BytesIO`, `werkzeug.wsgi.ClosingIterator`."""
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def told_of(error: BaseException) -> dict[str, Any]:
    """An exception's type and message."""
    try:
        message = str(error)
    except Exception:
        message = f"(str() of this {type(error).__name__} failed)"
    return {"type": type_name(type(error)), "message": message}


def _key(name: Any) -> str:
    if isinstance(name, bytes):
        return name[:200].decode("latin-1")
    text = name if isinstance(name, str) else repr(name)
    return text[:200].encode("utf-8", "backslashreplace").decode("utf-8")


def masked(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Some bytes of the wire, with a * for each of those in the spans."""
    written = bytearray(data)
    for start, end in spans:
        written[start:end] = b"*" * (end - start)
    return bytes(written)
