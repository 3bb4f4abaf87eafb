"""UploadFile: one file of a form, in memory if it is small and on disk if it is not."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from typing import IO

LONGEST_NAME = 255  # bytes, as most file systems have it
COPY_BLOCK = 1024 * 1024

_SEPARATOR = re.compile(r"[/\\]")
_UNSAFE = re.compile(r"[^\w.-]+")
# Windows opens a device for these, whatever the extension.
_DEVICE = re.compile(r"(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?")


class UploadFile:
    """A file that came with a form. It is closed when the response is over.

    `filename` and `content_type` are whatever the client claims; `size` is in bytes; `file`
    is a binary file object at its beginning. All calls are plain; in an async handler they
    do not block for long while the file is small, and a large one is on disk.
    """

    def __init__(self, filename: str, content_type: str, file: IO[bytes], size: int) -> None:
        self.filename = filename
        self.content_type = content_type
        self.file = file
        self.size = size

    @property
    def safe_name(self) -> str:
        """A name made of `filename` that is safe in a directory of one's own.

        Its last component, with letters and digits of any script, `.`, `-` and `_`; never
        hidden, empty, a device of Windows, or longer than 255 bytes. It is not unique.
        """
        name = unicodedata.normalize("NFC", _SEPARATOR.split(self.filename)[-1])
        name = _UNSAFE.sub("_", name).strip("._")
        if _DEVICE.fullmatch(name):
            name = f"_{name}"
        return _shortened(name) or "file"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Copy the file to `path`, over what is there, from its beginning to its end.

        Never build the path of `filename`, which may lead anywhere; `safe_name` does not.
        Raises OSError.
        """
        self.file.seek(0)
        with open(path, "wb") as target:
            shutil.copyfileobj(self.file, target, COPY_BLOCK)
        self.file.seek(0)

    def __bool__(self) -> bool:
        """False for a file input that was left empty: a browser sends it without a name."""
        return bool(self.filename)

    def __repr__(self) -> str:
        return f"<UploadFile {self.filename!r} {self.content_type} {self.size:,} bytes>"


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if len(name.encode("utf-8", "replace")) <= LONGEST_NAME:
        return name
    if not stem or len(extension) > 20:
        stem, dot, extension = name, "", ""
    room = LONGEST_NAME - len((dot + extension).encode("utf-8", "replace"))
    return stem.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + dot + extension
