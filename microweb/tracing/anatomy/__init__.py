"""Anatomy: which bytes of a connection mean what, in both directions (RFC 9112).

It looks on, and answers for nothing: whatever the bytes are, it goes on as long as it can make
sense of them, and says where it no longer can. It keeps where things are, and of the bytes only
a line that is not yet complete.

- `message`: what is told of a request or a response
- `grammar`: the parts of a line
- `held`: the bytes that wait for the rest of their line
- `taking`: from bytes to lines, and to the parts of a message
- `way`: one direction: what is expected after what
- `sides`: what only requests do, and what only responses
"""

from __future__ import annotations

from bisect import bisect_right

from ..format import Direction
from .message import MOST_PIECES, Message, Part
from .sides import Requests, Responses
from .taking import MOST_OF_A_HEAD
from .way import Way

__all__ = ["MOST_OF_A_HEAD", "MOST_PIECES", "Anatomy", "Message", "Part"]


class Anatomy:
    """Both directions of one connection."""

    def __init__(self) -> None:
        self._requests = Requests()
        self._responses = Responses(self._requests)
        self._ways: dict[Direction, Way] = {"in": self._requests, "out": self._responses}

    @property
    def requests(self) -> list[Message]:
        """What the client has sent."""
        return self._requests.messages

    @property
    def responses(self) -> list[Message]:
        """What the server has sent, interim responses too."""
        return self._responses.messages

    @property
    def is_idle(self) -> bool:
        """Whether every request is complete, and has a complete response."""
        is_between = self._requests.is_between and self._responses.is_between
        return is_between and len(self.requests) <= self._responses.final

    def feed(self, direction: Direction, data: bytes) -> None:
        """Look at the next bytes of a direction."""
        self._ways[direction].feed(data)

    def eof(self, direction: Direction) -> None:
        """Nothing more comes in this direction."""
        self._ways[direction].eof()

    def parts_in(self, direction: Direction, start: int, end: int) -> list[Part]:
        """The parts of a range, those at its edges cut to it; a part without bytes is in none."""
        messages = self._ways[direction].messages
        first = max(_before(messages, start) - 1, 0)
        return [
            part._replace(start=max(part.start, start), end=min(part.end, end))
            for message in messages[first : _before(messages, end)]
            for part in message.parts
            if max(part.start, start) < min(part.end, end)
        ]

    def message_at(self, direction: Direction, offset: int) -> Message | None:
        """The message that a byte belongs to; one between two belongs to the one before."""
        messages = self._ways[direction].messages
        index = _before(messages, offset)
        return messages[index - 1] if index else None

    def boundaries(self, direction: Direction, start: int, end: int) -> list[int]:
        """The offsets in a range, but for its own start, at which a message begins."""
        messages = self._ways[direction].messages
        found = messages[_before(messages, start) : _before(messages, end)]
        return [each.start for each in found if each.start < end]


def _before(messages: list[Message], offset: int) -> int:
    """How many messages begin at an offset or before it: there may be very many."""
    return bisect_right(messages, offset, key=lambda message: message.start)
