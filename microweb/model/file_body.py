"""FileBody: a part of an open file, as the body of a response."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from errno import EINVAL
from io import FileIO

# What is read at once, in bytes. Much, because under ASGI each block is a trip to a worker
# thread; but measured, a download slows down again where a block is 1 MiB or more.
BLOCK = 768 * 1024


def open_regular(path: str) -> tuple[FileIO, os.stat_result]:
    """Open a file to be read, and say what the open file is.

    Raises OSError: what `open` raises, and where there is no regular file.
    """
    file = FileIO(path, "rb", opener=_without_waiting)
    info = os.fstat(file.fileno())
    if not stat.S_ISREG(info.st_mode):
        file.close()
        raise OSError(EINVAL, "Not a regular file", path)
    return file, info


class FileBody(Iterator[bytes]):
    """A part of an open file, in blocks. `size` is that of the whole file, in bytes.

    It closes the file when it is closed itself, or forgotten: a layer may have answered
    something else. Raises OSError where the file has become shorter than it was said to be;
    the transfer must break off then, and not end like a whole one.
    """

    def __init__(self, file: FileIO, path: str, size: int, part: range) -> None:
        self.path = path
        self.size = size
        self.part = part
        self._file: FileIO | None = file
        self._left = len(part)
        file.seek(part.start)

    @property
    def is_whole(self) -> bool:
        """Whether the whole file is sent."""
        return len(self.part) == self.size

    @property
    def is_rest(self) -> bool:
        """Whether the file is sent to its end, from wherever on."""
        return self.part.stop == self.size

    def detach(self) -> FileIO:
        """The open file, placed where the part begins; whoever takes it closes it."""
        file, self._file = self._file, None
        if file is None:
            raise ValueError(f"{self.path!r} is not open any more")
        return file

    def __next__(self) -> bytes:
        if not self._left or self._file is None:
            raise StopIteration
        block = self._file.read(min(self._left, BLOCK))
        if not block:
            raise OSError(f"{self.path!r} became shorter while it was sent")
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Close the file, if it is still open."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __del__(self) -> None:
        self.close()


def _without_waiting(path: str, flags: int) -> int:
    # To open a FIFO would wait until somebody writes to it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
