"""Way: one direction of a connection: what is expected after what (RFC 9112, 2.1 and 6.3)."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..format import Direction
from .grammar import read_chunk_line, read_field
from .message import Message
from .taking import Taking


class Way(Taking):
    """What is expected next, and what follows it."""

    direction: Direction

    def __init__(self) -> None:
        super().__init__()
        self._left = 0  # bytes of a body, or of a chunk
        self._is_upgraded = False
        self._next = self._between

    @property
    def is_between(self) -> bool:
        """Whether no message is under way."""
        return self._next == self._between

    def eof(self) -> None:
        """A body that only the end of the connection ends is complete (RFC 9112, 6.3)."""
        if self._next in (self._until_eof, self._opaque):
            self._message.end = self._held.offset
            self._next = self._between

    def turn_opaque(self) -> None:
        """What follows the message under way, or the last one, is of another protocol."""
        self._is_upgraded = True
        if self.messages and self.is_between:
            self._end()

    # --- what requests and responses differ in --------------------------------------------------

    def _exchange(self) -> int:
        """The number of the exchange to which the next message belongs."""
        raise NotImplementedError

    def _read_start_line(self, line: bytes, start: int) -> bool:
        raise NotImplementedError

    def _with_unknown_coding(self) -> None:
        raise NotImplementedError

    def _without_length(self) -> None:
        raise NotImplementedError

    # --- the head -------------------------------------------------------------------------------

    def _between(self) -> bool:
        self._held.skip_empty_lines()  # before a request they are ignored (RFC 9112, 2.2)
        if not self._held:
            return False
        self._begin(Message(self._exchange(), self.direction, self._held.offset))
        self._next = self._start_line
        return True

    def _start_line(self) -> bool:
        if (found := self._line()) is None:
            return False
        if not self._read_start_line(*found):
            return self._give_up(found[1])
        self._next = self._field
        return True

    def _field(self) -> bool:
        return self._field_line("field", self._head_ends)

    def _trailer(self) -> bool:
        return self._field_line("trailer", self._end)

    def _field_line(self, kind: str, done: Callable[[], None]) -> bool:
        if (found := self._line()) is None:
            return False
        line, start = found
        if not line:
            done()
        elif not read_field(self._message, kind, line, start):
            return self._give_up(start)
        return True

    def _head_ends(self) -> None:
        self._message.head_end = self._held.offset
        self._body_begins()

    # --- the body -------------------------------------------------------------------------------

    def _body_begins(self) -> None:
        """Expect the body that the head announces (RFC 9112, 6.3)."""
        codings = [each for each in self._message.values("transfer-encoding") if each]
        lengths = set(self._message.values("content-length"))
        if codings[-1:] == ["chunked"]:
            self._next = self._chunk_size
        elif codings:
            self._with_unknown_coding()
        elif not lengths:
            self._without_length()
        elif len(lengths) == 1 and re.fullmatch("[0-9]{1,18}", length := lengths.pop()):
            self._sized_begins(int(length))
        else:
            self._next = self._unreadable

    def _sized_begins(self, length: int) -> None:
        self._left = length
        self._next = self._sized
        if not length:
            self._end()

    def _end(self) -> None:
        """The message is complete, unless all that follows an upgrade belongs to it."""
        self._message.end = None if self._is_upgraded else self._held.offset
        self._next = self._opaque if self._is_upgraded else self._between

    def _sized(self) -> bool:
        self._left -= self._take("body", self._left)
        if not self._left:
            self._end()
        return True

    def _chunk_size(self) -> bool:
        self._since = self._held.offset
        if (found := self._line()) is None:
            return False
        chunk = read_chunk_line(*found)
        if chunk is None:
            return self._give_up(found[1])
        self._left, parts = chunk
        self._keep(parts)
        self._next = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        self._left -= self._take("body", self._left)
        if not self._left:
            self._since = self._held.offset
            self._next = self._after_chunk
        return True

    def _after_chunk(self) -> bool:
        if (found := self._line()) is None:
            return False
        if found[0].strip():
            return self._give_up(found[1])
        self._next = self._chunk_size
        return True

    def _until_eof(self) -> bool:
        self._take("body", len(self._held))
        return True

    def _opaque(self) -> bool:
        self._take("opaque", len(self._held))
        return True
