"""Sent: a request's bytes by what they are, and what they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from .anatomy import Message, Part

Span = tuple[int, int]


class Sent:
    """A request on the wire; spans are offsets in all that the client sent."""

    def __init__(self, request: Message, head: bytes) -> None:
        self.request = request
        self._head = head

    def bytes(self, start: int, end: int) -> bytes:
        """Bytes of the head."""
        return self._head[start - self.request.start : end - self.request.start]

    def text(self, part: Part) -> str:
        """A part of the head, each byte as the character of its number."""
        return self.bytes(part.start, part.end).decode("latin-1")

    def part(self, name: str) -> Part | None:
        """The part of this name, if the request line has it."""
        return next((each for each in self.request.parts if each.name == name), None)

    def fields(self) -> Iterator[tuple[Part, Part]]:
        """The name and the value of each field, in their order."""
        for name, value in pairwise(self.request.parts):
            if name.name == "field.name":
                yield name, value

    def values(self, name: str) -> list[Part]:
        """The values of the fields of one name, in lower case and with hyphens."""
        return [value for _, value in self.fields() if value.of.replace("_", "-") == name]

    def body(self, offset: int, size: int) -> list[Span]:
        """Where so many bytes of the body were sent; chunks are in pieces."""
        spans: list[Span] = []
        before = 0
        for part in self.request.parts:
            if part.name == "body":
                start = part.start + max(offset - before, 0)
                end = min(part.end, part.start + offset + size - before)
                if start < end:
                    spans.append((start, end))
                before += part.end - part.start
        return spans


class Decoded:
    """Percent-encoded bytes, and where each byte and character of what they stand for was sent."""

    def __init__(self, encoded: bytes, start: int, plus: bool = False) -> None:
        self.bytes = bytearray()
        self._at: list[int] = []  # where each decoded byte begins
        index = 0
        while index < len(encoded):
            self._at.append(start + index)
            try:
                if encoded[index] != ord("%"):
                    raise ValueError
                self.bytes.append(int(encoded[index + 1 : index + 3].decode("ascii"), 16))
                index += 3
            except ValueError:
                is_plus = plus and encoded[index] == ord("+")
                self.bytes.append(ord(" ") if is_plus else encoded[index])
                index += 1
        self._at.append(start + len(encoded))
        self._characters = list(_characters(bytes(self.bytes)))

    @property
    def text(self) -> str:
        """As UTF-8."""
        return self.bytes.decode("utf-8", "replace")

    def span(self, start: int, end: int) -> Span:
        """Where a range of the decoded bytes was sent."""
        return self._at[start], self._at[end]

    def span_of_text(self, start: int, end: int) -> Span:
        """Where a range of the characters was sent."""
        return self.span(self._characters[start], self._characters[end])


def _characters(data: bytes) -> Iterator[int]:
    """Where each character begins, one for each run of bytes that are none; and the end."""
    index = 0
    while index < len(data):
        yield index
        try:
            data[index : index + _length(data[index])].decode("utf-8")
            index += _length(data[index])
        except UnicodeDecodeError as error:
            index += error.end - error.start
    yield len(data)


def _length(first: int) -> int:
    """Of a character in UTF-8, by its first byte."""
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
