"""Forms in multipart/form-data (RFC 7578), read as they arrive, in bounded memory.

The parser is the library `multipart`. What is done here is to keep what it finds: fields as
text, files in memory while all of them together are small, and on disk from then on.
"""

from __future__ import annotations

import io
import re
import tempfile
from typing import IO, TYPE_CHECKING

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from .errors import HTTPException
from .headers import _NAME, MultiDict
from .response import OCTETS
from .upload import UploadFile

if TYPE_CHECKING:
    from .request import Request

Form = MultiDict[str | UploadFile]

IN_MEMORY = 1024 * 1024  # bytes of files, of one request
MAX_PARTS = 1000
MAX_FILES = 100
LONGEST_BOUNDARY = 70  # RFC 2046, 5.1.1
LONGEST_CONTENT_TYPE = 1024
LONGEST_HEADER = 4096  # of one part; a part has no more than 8 (RFC 7578 knows three)
# Bytes of all that is no content: boundaries, headers, what is before and after the parts. A
# header in thousands of folded lines takes the parser hundreds of times as long as content does.
LONGEST_FRAME = 512 * 1024

_MEDIA_TYPE = re.compile(f"{_NAME.pattern}/{_NAME.pattern}")


async def receive_form(request: Request) -> Form:
    """Parse the body of a request as it arrives.

    Raises HTTPException: 413 over a limit, 400 where it is no multipart or ends too early.
    """
    reader = FormReader(request.content_type, request.app.max_body_size)
    request.at_end(reader.close)
    while piece := await request.receive_piece():
        reader.feed(piece)
        if reader.waiting > IN_MEMORY:
            # The disk may be slow, so this is done where plain code of the request runs.
            await request.call_plain(reader.write)
    if reader.on_disk:
        await request.call_plain(reader.write)
    return reader.finish()


class FormReader:
    """Takes a multipart body piece by piece, and gives its form at the end.

    `text_limit` bounds the bytes of all fields together, which are kept in memory.
    """

    def __init__(self, content_type: str, text_limit: int) -> None:
        self._parser = PushMultipartParser(
            _boundary_of(content_type),
            max_header_size=LONGEST_HEADER,
            max_segment_count=MAX_PARTS,
        )
        self._text_limit = text_limit
        self._text_size = 0
        self._frame_size = 0
        self._parts: list[_Part] = []
        self._files: list[_Part] = []
        self.waiting = 0  # bytes of files that are in memory and not yet on disk
        self.on_disk = False

    def feed(self, piece: bytes) -> None:
        """Parse one more piece of the body."""
        self._frame_size += len(piece)
        try:
            for event in self._parser.parse(piece):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event:
                    self._frame_size -= len(event)
                    self._take(self._parts[-1], event)
        except ParserLimitReached as error:
            raise HTTPException(413, f"The form is too large: {error}.") from None
        except MultipartError as error:
            raise HTTPException(400, f"The body is no multipart/form-data: {error}.") from None
        if self._frame_size > LONGEST_FRAME:
            raise HTTPException(
                413, f"The form has more than {LONGEST_FRAME:,} bytes around its content."
            )

    def write(self) -> None:
        """Write what is waiting to temporary files, which have no name and vanish when closed."""
        self.on_disk = True
        for part in self._files:
            if part.data:
                if part.file is None:
                    part.file = tempfile.TemporaryFile(prefix="microweb-")  # noqa: SIM115
                part.file.write(part.taken())
        self.waiting = 0

    def finish(self) -> Form:
        """The form, once the body has ended. Raises HTTPException(400) if it is incomplete."""
        if not self._parser.closed:
            try:
                self._parser.close()
            except MultipartError:
                raise HTTPException(
                    400, "The body is no multipart/form-data: it ends before its last boundary."
                ) from None
        return MultiDict((part.name, part.finished()) for part in self._parts)

    def close(self) -> None:
        """Close every file; the temporary ones are gone then."""
        for part in self._files:
            if part.file is not None:
                part.file.close()

    def _begin(self, segment: MultipartSegment) -> None:
        part = _Part(segment)
        self._parts.append(part)
        if part.filename is not None:
            self._files.append(part)
            if len(self._files) > MAX_FILES:
                raise HTTPException(413, f"The form has more than {MAX_FILES} files.")

    def _take(self, part: _Part, data: bytes) -> None:
        part.data += data
        part.size += len(data)
        if part.filename is not None:
            self.waiting += len(data)
            return
        self._text_size += len(data)
        if self._text_size > self._text_limit:
            raise HTTPException(
                413, f"The form's fields are larger than {self._text_limit:,} bytes."
            )


class _Part:
    """One part of the form: a field, or a file."""

    def __init__(self, segment: MultipartSegment) -> None:
        self.name: str = segment.name or ""
        self.filename: str | None = segment.filename
        # What is no media type could not be sent on as one: it may hold control characters.
        is_sound = _MEDIA_TYPE.fullmatch(segment.content_type or "")
        self.content_type: str = segment.content_type if is_sound else OCTETS
        # Not a list of what came: each of many tiny pieces would weigh forty bytes more.
        self.data = bytearray()
        self.size = 0
        self.file: IO[bytes] | None = None

    def taken(self) -> bytearray:
        data, self.data = self.data, bytearray()
        return data

    def finished(self) -> str | UploadFile:
        if self.filename is None:
            # Always UTF-8: no codec is looked up by a name that the client gives.
            return self.taken().decode("utf-8", "replace")
        if self.file is None:
            self.file = io.BytesIO(self.taken())
        self.file.seek(0)
        return UploadFile(self.filename, self.content_type, self.file, self.size)


def _boundary_of(content_type: str) -> str:
    options: dict[str, str] = {}
    if len(content_type) <= LONGEST_CONTENT_TYPE:
        _, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= LONGEST_BOUNDARY or not boundary.isprintable():
        raise HTTPException(
            400,
            "The Content-Type of a multipart body must name its boundary, of 1 to"
            f" {LONGEST_BOUNDARY} characters (RFC 2046, 5.1.1).",
        )
    return boundary
