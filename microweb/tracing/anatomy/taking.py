"""Taking: from bytes to lines, and to the parts of the message that is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .held import Held
from .message import MOST_PIECES, Message, Part

MOST_OF_A_HEAD = 256 * 1024  # bytes of a head, of a chunk's line, or of all trailer fields


class Taking:
    """The messages of one direction, and the bytes that have come and are not yet understood.

    What is expected next is a method: it takes from these bytes, and says whether it could; if
    not, more have to come.
    """

    _next: Callable[[], bool]

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._held = Held()
        self._since = 0  # where the head began, or whatever else is bounded as one is
        self._pieces = 0  # parts of the body that are kept

    @property
    def _message(self) -> Message:
        return self.messages[-1]

    def feed(self, data: bytes) -> None:
        """Take bytes, and do with them what can be done."""
        self._held.add(data)
        while self._held and self._next():
            pass

    def _begin(self, message: Message) -> None:
        self.messages.append(message)
        self._since = message.start
        self._pieces = 0

    def _line(self) -> tuple[bytes, int] | None:
        """The next line without its end, and where it starts; None while it has no end."""
        size, start = self._held.size_of_line(), self._held.offset
        if start + (size or len(self._held)) > self._since + MOST_OF_A_HEAD:
            self._next = self._unreadable
            self._next()
            return None
        return (self._held.take(size).rstrip(b"\r\n"), start) if size else None

    def _take(self, name: str, most: int) -> int:
        """Take so many bytes as a part of this name; those that follow each other are one."""
        size, start = min(most, len(self._held)), self._held.offset
        self._held.skip(size)
        parts = self._message.parts
        if parts and parts[-1].name == name and parts[-1].end == start:
            parts[-1] = parts[-1]._replace(end=start + size)
        else:
            self._keep([Part(name, start, start + size)])
        return size

    def _keep(self, parts: Iterable[Part]) -> None:
        for part in parts:
            is_of_body = part.name in ("body", "chunk.size", "chunk.extension")
            if not is_of_body or self._pieces < MOST_PIECES:
                self._message.parts.append(part)
                self._pieces += part.name == "body"

    def _give_up(self, start: int) -> bool:
        """No sense can be made of what was taken last, from there on, and of all that follows."""
        self._keep([Part("unreadable", start, self._held.offset)])
        self._next = self._unreadable
        return True

    def _unreadable(self) -> bool:
        self._take("unreadable", len(self._held))
        return True
