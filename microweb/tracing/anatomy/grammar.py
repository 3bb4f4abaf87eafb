"""Grammar: the parts of a line, and what they say of its message (RFC 9112, 2 to 7).

A line comes without its end, and with the offset at which it starts. The expressions have no
two ways to read the same spaces: none takes more than linear time, whatever the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .message import Message, Part

_REQUEST_LINE = re.compile(
    rb"(?P<method>\S++) ++"
    # In absolute-form, and for CONNECT, an authority stands before the path (RFC 9112, 3.2).
    rb"(?P<target>(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?\s]*)?(?P<path>[/*][^?\s]*)?"
    rb"(?:\?(?P<query>\S*))?|\S+)"
    rb" ++(?P<version>HTTP/[0-9]\.[0-9])[ \t]*"
)
_STATUS_LINE = re.compile(
    rb"(?P<version>HTTP/[0-9]\.[0-9]) ++(?P<status>[0-9]{3})(?: (?P<phrase>.+)?)?", re.S
)
_FIELD = re.compile(rb"(?P<name>[^:\s]+):[ \t]*+(?P<value>.*)", re.S)
_CHUNK = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,15})[ \t]*+(?P<extension>;.*)?", re.S)


def read_request_line(message: Message, line: bytes, start: int) -> bool:
    """Whether it is one; if so, the message's method and target are known."""
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        return False
    message.method = found["method"].decode("latin-1")
    message.target = found["target"].decode("latin-1")
    message.parts += _parts(found, start, "method", "target", "path", "query", "version")
    return True


def read_status_line(message: Message, line: bytes, start: int) -> bool:
    """Whether it is one; if so, the message's status is known."""
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        return False
    message.status = int(found["status"])
    message.parts += _parts(found, start, "version", "status", "phrase")
    return True


def read_field(message: Message, kind: str, line: bytes, start: int) -> bool:
    """Whether it is a line of a field, or of a trailer field; if so, it is the message's.

    One that begins with a space goes on with the value before it (RFC 9112, 5.2); where there
    is none, it is passed over (RFC 9112, 2.2).
    """
    line = line.rstrip(b" \t")
    if not line or line[:1] in b" \t":
        _unfold(message, line, start)
        return True
    found = _FIELD.fullmatch(line)
    if found is None:
        return False
    name, value = found["name"].decode("latin-1"), found["value"].decode("latin-1")
    message.parts += [
        Part(f"{kind}.name", start, start + found.end("name")),
        Part(f"{kind}.value", start + found.start("value"), start + len(line), name.lower()),
    ]
    if kind == "field":
        message.fields.append((name, value))
    return True


def _unfold(message: Message, line: bytes, start: int) -> None:
    last = message.parts[-1] if message.parts else None
    if not line or last is None or not last.name.endswith(".value"):
        return
    message.parts[-1] = last._replace(end=start + len(line))
    if last.name == "field.value":
        name, value = message.fields[-1]
        more = line.strip(b" \t").decode("latin-1")
        message.fields[-1] = (name, f"{value} {more}".strip(" \t"))


def read_chunk_line(line: bytes, start: int) -> tuple[int, list[Part]] | None:
    """How many bytes of data follow in the chunk, and the parts of its line (RFC 9112, 7.1)."""
    found = _CHUNK.fullmatch(line)
    if found is None:
        return None
    size, *extension = _parts(found, start, "size", "extension")
    parts = [size._replace(name="chunk.size")]
    parts += [each._replace(name="chunk.extension") for each in extension]
    return int(found["size"], 16), parts


def _parts(found: re.Match[bytes], start: int, *names: str) -> Iterator[Part]:
    for name in names:
        if found[name] is not None:
            yield Part(name, start + found.start(name), start + found.end(name))
