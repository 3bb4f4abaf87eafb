"""Anatomy: which bytes of a connection mean what, in both directions (RFC 9112).

It looks on, and answers for nothing: whatever the bytes are, it goes on as long as it can make
sense of them, and says where it no longer can. It keeps where things are, and of the bytes only
a head that is not yet complete.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .format import Direction

MOST_OF_A_HEAD = 256 * 1024  # bytes of a head, or of a line
MOST_PARTS = 1000  # of one message's body


class Part(NamedTuple):
    """Some bytes, by their offsets in all that was sent in their direction.

    `name` is one of: method, target, path, query, version, status, phrase, field.name,
    field.value, chunk.size, chunk.extension, body, trailer.name, trailer.value, opaque (of
    another protocol, after an upgrade), unreadable (as HTTP/1.1, and so is all that follows).
    """

    name: str
    start: int
    end: int
    of: str = ""  # the field, in lower case, that a value is of


@dataclass(slots=True, eq=False)
class Message:
    """A request, or a response."""

    exchange: int  # the number of the request on its connection, from 1
    direction: Direction
    start: int
    head_end: int | None = None  # where the body begins; None until the head is complete
    end: int | None = None  # None until it is complete
    parts: list[Part] = field(default_factory=list)
    method: str = ""
    target: str = ""
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_interim(self) -> bool:
        """Whether a final response is still to come (RFC 9110, 15.2)."""
        return 100 <= self.status < 200 and self.status != 101

    def values(self, name: str) -> list[str]:
        """The values of a field, all in lower case, split at commas."""
        found = [value for own, value in self.fields if own.lower() == name]
        return [each.strip().lower() for value in found for each in value.split(",")]


class Anatomy:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self._ways: dict[Direction, _Way] = {"in": _Requests(self), "out": _Responses(self)}

    @property
    def requests(self) -> list[Message]:
        """What the client has sent."""
        return self._ways["in"].messages

    @property
    def responses(self) -> list[Message]:
        """What the server has sent, interim responses too."""
        return self._ways["out"].messages

    @property
    def is_idle(self) -> bool:
        """Whether every request is complete, and has a complete response."""
        final = [each for each in self.responses if not each.is_interim]
        ended = len(self.requests) <= len(final) and self._ways["in"].is_between
        return ended and self._ways["out"].is_between

    def feed(self, direction: Direction, data: bytes) -> None:
        """Look at the next bytes of a direction."""
        self._ways[direction].feed(data)

    def eof(self, direction: Direction) -> None:
        """Nothing more comes in this direction."""
        self._ways[direction].eof()

    def parts_in(self, direction: Direction, start: int, end: int) -> list[Part]:
        """The parts of a range, those at its edges cut to it."""
        return [
            part._replace(start=max(part.start, start), end=min(part.end, end))
            for message in self._ways[direction].messages
            if message.start < end and (message.end is None or message.end > start)
            for part in message.parts
            if part.start < end and part.end > start
        ]

    def message_at(self, direction: Direction, offset: int) -> Message | None:
        """The message that a byte belongs to; one between two belongs to the one before."""
        messages = self._ways[direction].messages
        index = bisect_right(messages, offset, key=lambda message: message.start)
        return messages[index - 1] if index else None

    def boundaries(self, direction: Direction, start: int, end: int) -> list[int]:
        """The offsets in a range, but for its own start, at which a message begins."""
        messages = self._ways[direction].messages
        return [each.start for each in messages if start < each.start < end]

    def answered(self) -> Message | None:
        """The request that the next response is for."""
        final = sum(not each.is_interim for each in self.responses)
        return self.requests[final] if final < len(self.requests) else None

    def upgrade(self) -> None:
        """From here on another protocol is spoken, in both directions."""
        for way in self._ways.values():
            way.turn_opaque()


# --- one direction ----------------------------------------------------------------------------


class _Way:
    """One direction: bytes that wait for the rest of their line, and what is expected next."""

    direction: Direction

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.messages: list[Message] = []
        self._offset = 0  # of the first byte that is held
        self._held = bytearray()
        self._scanned = 0  # of what is held, without the line's end in it
        self._left = 0  # bytes of a body, or of a chunk
        self._next: Callable[[], bool] = self._start_line

    @property
    def is_between(self) -> bool:
        """Whether no message is under way."""
        return self._next == self._start_line and not self._held

    @property
    def _message(self) -> Message:
        return self.messages[-1]

    def feed(self, data: bytes) -> None:
        """Take bytes, and do with them what can be done."""
        self._held += data
        while self._held and self._next():
            pass

    def eof(self) -> None:
        """A body that only the end of the connection ends is complete (RFC 9112, 6.3)."""
        if self._next in (self._until_eof, self._opaque):
            self._end()

    # Each of these takes from what is held, and says whether it could.

    def _start_line(self) -> bool:
        line = self._line()
        if line is None or not line.rstrip(b"\r\n"):
            return line is not None  # an empty line before a request (RFC 9112, 2.2)
        start = self._offset - len(line)
        self._begin(start)
        if not self._read_start_line(line.rstrip(b"\r\n"), start):
            return self._give_up(start)
        self._next = self._field
        return True

    def _begin(self, start: int) -> None:
        raise NotImplementedError

    def _read_start_line(self, line: bytes, start: int) -> bool:
        raise NotImplementedError

    def _field(self) -> bool:
        return self._field_line("field", self._head_ends)

    def _trailer(self) -> bool:
        return self._field_line("trailer", self._end)

    def _field_line(self, kind: str, done: Callable[[], None]) -> bool:
        line = self._line()
        if line is None:
            return False
        start = self._offset - len(line)
        bare = line.rstrip(b"\r\n")
        if not bare:
            done()
        elif bare[:1] in b" \t":
            self._unfold(bare, start)
        elif not self._read_field(kind, bare, start):
            return self._give_up(start)
        return True

    def _read_field(self, kind: str, line: bytes, start: int) -> bool:
        found = _FIELD_NAME.match(line)
        if found is None:
            return False
        value = line[found.end() :].rstrip(b" \t").decode("latin-1")
        name = found[1].decode("latin-1")
        begin = start + found.end()
        self._add(f"{kind}.name", *_shifted(found.span(1), start))
        self._add(f"{kind}.value", begin, begin + len(value), name.lower())
        if kind == "field":
            self._message.fields.append((name, value))
        return True

    def _unfold(self, line: bytes, start: int) -> None:
        """A line that begins with a space goes on with the value before it (RFC 9112, 5.2)."""
        parts = self._message.parts
        if parts and parts[-1].name.endswith(".value"):
            parts[-1] = parts[-1]._replace(end=start + len(line.rstrip()))
            if self._message.fields and parts[-1].name == "field.value":
                name, value = self._message.fields[-1]
                more = line.strip().decode("latin-1")
                self._message.fields[-1] = (name, f"{value} {more}".strip())

    def _head_ends(self) -> None:
        self._message.head_end = self._offset
        self._body_begins()

    def _body_begins(self) -> None:
        """Expect the body that the head announces (RFC 9112, 6.3)."""
        message = self._message
        if message.values("transfer-encoding")[-1:] == ["chunked"]:
            self._next = self._chunk_size
            return
        lengths = set(message.values("content-length"))
        if not lengths:
            self._without_length()
        elif len(lengths) == 1 and re.fullmatch("[0-9]{1,18}", length := lengths.pop()):
            self._left = int(length)
            self._next = self._sized
            if not self._left:
                self._end()
        else:
            self._next = self._unreadable

    def _without_length(self) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        self._message.end = self._offset
        self._next = self._start_line

    def _sized(self) -> bool:
        self._take_body()
        if not self._left:
            self._end()
        return True

    def _take_body(self) -> None:
        self._left -= self._take("body", self._left)

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        start = self._offset - len(line)
        found = _CHUNK.fullmatch(line.rstrip(b"\r\n"))
        if found is None:
            return self._give_up(start)
        self._add("chunk.size", *_shifted(found.span("size"), start))
        if found["extension"]:
            self._add("chunk.extension", *_shifted(found.span("extension"), start))
        self._left = int(found["size"], 16)
        self._next = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        self._take_body()
        if not self._left:
            self._next = self._after_chunk
        return True

    def _after_chunk(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line.strip():
            return self._give_up(self._offset - len(line))
        self._next = self._chunk_size
        return True

    def _until_eof(self) -> bool:
        self._take("body", len(self._held))
        return True

    def _opaque(self) -> bool:
        self._take("opaque", len(self._held))
        return True

    def _unreadable(self) -> bool:
        if not self.messages:
            self._begin(self._offset)
        self._take("unreadable", len(self._held))
        return True

    def _give_up(self, start: int) -> bool:
        self._add("unreadable", start, self._offset)
        self._next = self._unreadable
        return True

    def turn_opaque(self) -> None:
        """What follows is of another protocol."""
        if self.messages and self._next == self._start_line:
            self._message.end = None
            self._next = self._opaque

    # --- taking ---------------------------------------------------------------------------------

    def _line(self) -> bytes | None:
        """The next line with its end; None while it has none."""
        end = self._held.find(b"\n", self._scanned) + 1
        if not end:
            self._scanned = len(self._held)
            if self._scanned > MOST_OF_A_HEAD:
                self._next = self._unreadable
                self._unreadable()
            return None
        self._scanned = 0
        line = bytes(self._held[:end])
        del self._held[:end]
        self._offset += end
        return line

    def _take(self, name: str, most: int) -> int:
        """Take so many bytes as a part of this name; those that follow each other are one."""
        size = min(most, len(self._held))
        start, end = self._offset, self._offset + size
        del self._held[:size]
        self._offset, self._scanned = end, 0
        parts = self._message.parts
        if parts and parts[-1].name == name and parts[-1].end == start:
            parts[-1] = parts[-1]._replace(end=end)
        else:
            self._add(name, start, end)
        return size

    def _add(self, name: str, start: int, end: int, of: str = "") -> None:
        head = self._message.head_end
        if head is None or len(self._message.parts) < MOST_PARTS:
            self._message.parts.append(Part(name, start, end, of))


class _Requests(_Way):
    direction = "in"

    def _begin(self, start: int) -> None:
        self.messages.append(Message(len(self.messages) + 1, "in", start))

    def _read_start_line(self, line: bytes, start: int) -> bool:
        found = _REQUEST_LINE.fullmatch(line)
        if found is None:
            return False
        message = self._message
        message.method = found["method"].decode("latin-1")
        message.target = found["target"].decode("latin-1")
        for name in ("method", "target", "path", "query", "version"):
            if found[name] is not None:
                self._add(name, *_shifted(found.span(name), start))
        return True

    def _without_length(self) -> None:
        self._end()


class _Responses(_Way):
    direction = "out"

    def _begin(self, start: int) -> None:
        request = self.anatomy.answered()
        final = sum(not each.is_interim for each in self.messages)
        self.messages.append(Message(request.exchange if request else final + 1, "out", start))

    def _read_start_line(self, line: bytes, start: int) -> bool:
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            return False
        self._message.status = int(found["status"])
        for name in ("version", "status", "phrase"):
            if found[name]:
                self._add(name, *_shifted(found.span(name), start))
        return True

    def _body_begins(self) -> None:
        message = self._message
        requests = self.anatomy.requests
        method = requests[message.exchange - 1].method if message.exchange <= len(requests) else ""
        is_tunnel = method == "CONNECT" and 200 <= message.status < 300
        if message.status == 101 or is_tunnel:
            self._end()
            self.anatomy.upgrade()
        elif method == "HEAD" or message.status in (204, 304) or message.is_interim:
            self._end()
        else:
            super()._body_begins()

    def _without_length(self) -> None:
        self._next = self._until_eof


_REQUEST_LINE = re.compile(
    rb"(?P<method>\S+) +"
    # In absolute-form, and for CONNECT, an authority stands before the path (RFC 9112, 3.2).
    rb"(?P<target>(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?\s]*)?(?P<path>[/*][^?\s]*)?"
    rb"(?:\?(?P<query>\S*))?|\S+)"
    rb" +(?P<version>HTTP/[0-9]\.[0-9])[ \t]*"
)
_STATUS_LINE = re.compile(
    rb"(?P<version>HTTP/[0-9]\.[0-9]) +(?P<status>[0-9]{3})(?: (?P<phrase>.*))?"
)
_FIELD_NAME = re.compile(rb"([^:\s]+):[ \t]*")
_CHUNK = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,15})[ \t]*(?P<extension>;.*)?", re.S)


def _shifted(span: tuple[int, int], start: int) -> tuple[int, int]:
    return span[0] + start, span[1] + start
