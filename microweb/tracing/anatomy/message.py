"""Message: a request or a response, and where everything in it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..format import Direction

MOST_PIECES = 1000  # of one message's body: the chunks whose parts are kept


class Part(NamedTuple):
    """Some bytes, by their offsets in all that was sent in their direction.

    `name` is one of: method, target, path, query, version, status, phrase, field.name,
    field.value, chunk.size, chunk.extension, body, trailer.name, trailer.value, opaque (of
    another protocol, after an upgrade), unreadable (as HTTP/1.1, and so is all that follows).
    Path and query are in the target. Line ends, colons, and the spaces between, are in no part.
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
