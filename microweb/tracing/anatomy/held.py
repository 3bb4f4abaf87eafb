"""Held: the bytes of one direction that have come and are not yet understood."""

from __future__ import annotations


class Held:
    """Bytes that are taken from their front; `offset` is that of the first one."""

    def __init__(self) -> None:
        self.offset = 0
        self._data = bytearray()
        self._scanned = 0  # of them, without the line's end among them

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Put bytes behind the others."""
        self._data += data

    def size_of_line(self) -> int:
        """The size of the first line and its end, LF or CRLF; 0 while it has none."""
        size = self._data.find(b"\n", self._scanned) + 1
        # A line that comes byte by byte is not searched from its beginning with each of them.
        self._scanned = 0 if size else len(self._data)
        return size

    def take(self, size: int) -> bytes:
        """The first bytes, which are no longer held."""
        taken = bytes(self._data[:size])
        self.skip(size)
        return taken

    def skip(self, size: int) -> None:
        """Hold the first bytes no longer."""
        del self._data[:size]
        self.offset += size
        self._scanned = 0

    def skip_empty_lines(self) -> None:
        """Leave out all line ends, whole or in pieces, at the front."""
        size = 0
        while size < len(self._data) and self._data[size] in b"\r\n":
            size += 1
        self.skip(size)
