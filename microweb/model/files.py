"""FileResponse: a file as a response; and what of it a request is sent, if anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .conditional import if_range_holds, parse_http_date, precondition
from .cookies import http_date
from .disposition import content_disposition
from .errors import HTTPException
from .file_body import FileBody, open_regular
from .headers import Headers
from .media_types import content_type_of
from .ranges import byte_range, content_range
from .request import Request
from .response import HeaderSource, Response

# Up to here, in bytes, a file is read where it was opened: no stream, no second trip.
SMALL = 64 * 1024


class FileResponse(Response):
    """The file at `path`, which is absolute or begins in the current folder.

    With `filename` the client saves it under that name; with `inline=True` as well it shows
    the file and only proposes the name. `content_type` is otherwise guessed by `filename`,
    or by the path. `status`, `headers` and `background` are those of any Response.

    With status 200, GET and HEAD are told an ETag and Last-Modified, and what the request's
    conditions and its Range ask for is answered: 206, 304, 412 or 416 (RFC 9110, 13 and 14).
    `headers` may bring an ETag or a Last-Modified of its own, and another Cache-Control than
    `no-cache`, with which a client keeps a copy but asks each time whether it is still good.

    The file is opened when the response is on its way. What `open` raises then, or OSError
    where there is no regular file, is an error of whoever returned the response. Raises
    TypeError for a path or filename that is no str, ValueError for an empty one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        filename: str | None = None,
        content_type: str | None = None,
        status: int = 200,
        headers: HeaderSource | None = None,
        background: Callable[[], Any] | None = None,
        inline: bool = False,
    ) -> None:
        self.path = _checked("path", os.fspath(path))
        if filename is not None:
            _checked("filename", filename)
        self._content_type = content_type_of(filename or self.path)
        super().__init__(b"", status, headers, content_type, background)
        if filename is not None and "content-disposition" not in self.headers:
            kind = "inline" if inline else "attachment"
            self.headers["content-disposition"] = content_disposition(kind, filename)
        # Files are slow, so the core calls this where plain code may wait.
        self._finish = answer_file


def answer_file(request: Request, response: FileResponse) -> Response:
    """What a FileResponse comes to for a request: its file is open by then, or read already.

    It blocks, as plain code may; `response` stays as it was. Raises HTTPException for what
    the request cannot have, OSError where the file cannot be opened or is no regular one,
    ValueError for a NUL in its path.
    """
    answer = Response(b"", response.status, background=response.background)
    answer._headers = response.headers.copy()
    answer._request = request
    # Opened once: whatever happens to the path meanwhile, all that is said is of this file.
    file, info = open_regular(response.path)
    try:
        part = _negotiate(request, answer, info)
        if part is None:
            return answer
        answer.headers["content-length"] = str(len(part))
        body = FileBody(file, os.path.abspath(response.path), info.st_size, part)
        # HEAD has a body too, so that layers make the same headers of it; nobody will read it.
        if len(part) > SMALL or request.method == "HEAD":
            answer.iterator = answer._file = body
        else:
            answer.body = b"".join(body)
        return answer
    finally:
        if answer.iterator is None:
            file.close()


def _checked(what: str, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"FileResponse: the {what} is a str, not {text!r:.200}")
    if not text:
        raise ValueError(f"FileResponse: the {what} is empty")
    return text


def _negotiate(request: Request, answer: Response, info: os.stat_result) -> range | None:
    """The part of the file that is to be sent, after the request's wishes; None for nothing.

    The status and the headers are set accordingly. Raises HTTPException, 412 or 416.
    """
    size = info.st_size
    if answer.status != 200 or request.method not in ("GET", "HEAD"):
        return range(size)
    etag, modified = _tell_validators(answer.headers, info)
    status = precondition(request.method, request.headers, etag, modified)
    if status == 412:
        raise HTTPException(412, headers=_without(answer.headers, _OF_A_COPY))
    if status == 304:
        answer.status = 304
        answer._headers = _without(answer.headers, _OF_THE_FILE)
        return None
    # Range is defined for GET alone (RFC 9110, 14.2).
    if request.method == "GET" and if_range_holds(request.headers, etag, modified):
        part = byte_range(request.headers.get("range"), size)
        if part is not None:
            answer.headers["content-range"] = content_range(part, size)
            if not part:
                raise HTTPException(416, headers=_without(answer.headers, _OF_A_COPY))
            answer.status = 206
            return part
    return range(size)


def _tell_validators(headers: Headers, info: os.stat_result) -> tuple[str, int | None]:
    headers["accept-ranges"] = "bytes"
    headers.setdefault("cache-control", "no-cache")
    # A strong tag: with a weak one no download could be resumed. Two writes within one tick
    # of the file system's clock, a few milliseconds, that leave the size the same share it.
    etag = headers.setdefault("etag", f'"{info.st_mtime_ns:x}-{info.st_size:x}"')
    if "last-modified" not in headers:
        # Never later than now (RFC 9110, 8.8.2.1).
        seconds = min(info.st_mtime_ns // 1_000_000_000, int(time.time()))
        try:
            headers["last-modified"] = http_date(datetime.fromtimestamp(seconds, UTC))
        except (ValueError, OverflowError, OSError):
            return etag, None  # before the year 1
    return etag, parse_http_date(headers["last-modified"])


# What describes the file itself. ETag, Cache-Control and others stay with a 304, for the copy
# that the client has (RFC 9110, 15.4.5); an error is about no copy, and not to be kept.
_OF_THE_FILE = {
    "accept-ranges",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "last-modified",
}
_OF_A_COPY = _OF_THE_FILE | {"cache-control", "etag", "expires"}


def _without(headers: Headers, names: set[str]) -> Headers:
    return Headers([pair for pair in headers.multi_items() if pair[0] not in names])
