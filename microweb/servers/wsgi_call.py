"""One call of a WSGI application: `app(environ, start_response)`, and what comes of it.

This is the seam, seen from the server's side. Its duties are those of PEP 3333.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any
from wsgiref.util import FileWrapper, is_hop_by_hop

from .access import log_failure
from .connection import ClientLeft, Connection, tells_of_client
from .environ import Environ, environ_of
from .heads import FAILED, RawHeaders, Refusal, Request
from .settings import KIB, Settings

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class WSGICall:
    """A request that is being answered by an application, in one thread."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._http = connection.http
        self._request = request
        self._head: tuple[int, bytes, RawHeaders] | None = None
        self._is_alone = False  # what is iterated has one item, which is the whole body
        self._over = False

    def run(self, app: Application, settings: Settings) -> bool:
        """Answer the request, whatever happens; True if all of a response went out."""
        self._connection.begin()
        self._body = _Body(self._connection)
        try:
            self._call(app, settings)
            return True
        except BaseException as error:
            if not tells_of_client(error):
                log_failure(self._request)
            self._fail(self._body.refusal or FAILED)
        finally:
            # What an application keeps of a request cannot reach into the next one.
            self._over = True
            self._body.close()
        return False

    def _call(self, app: Application, settings: Settings) -> None:
        connection = self._connection
        body: Any = io.BufferedReader(self._body, 64 * KIB)
        environ = environ_of(self._request, body, connection.client, connection.server, settings)
        chunks = app(environ, self.start_response)
        try:
            if not (isinstance(chunks, FileWrapper) and self._send_file(chunks.filelike)):
                self._send_all(chunks)
            self._finish()
        finally:
            # Always, and once (PEP 3333, "Specification Details").
            if hasattr(chunks, "close"):
                chunks.close()

    def _send_all(self, chunks: Iterable[bytes]) -> None:
        self._is_alone = _length_of(chunks) == 1
        for chunk in chunks:
            self.write(chunk)
            if self._http.is_bodiless:
                break

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable": keep the head until the body begins.

        Until then it may be replaced by one for an error; after that `exc_info` is raised.
        """
        if exc_info is not None:
            try:
                if self._http.has_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it holds this frame, which holds it
        elif self._head is not None:
            raise RuntimeError("start_response was called twice, the second time without exc_info")
        self._head = _checked(status, headers)
        return self.write

    def write(self, chunk: bytes) -> None:
        """Send a piece of the body, and before the first one the head.

        PEP 3333, "The write() Callable"; and what is iterated goes the same way. Nothing is
        kept back: what was yielded is on its way before the next is asked for ("Buffering
        and Streaming").
        """
        if not isinstance(chunk, bytes):
            raise TypeError(f"a WSGI body is made of bytes, not of {type(chunk).__name__}")
        if self._over:
            raise RuntimeError("write() was called after the response was over")
        if chunk or self._head is None:
            data = self._begin(len(chunk) if self._is_alone else None)
            self._connection.send(data + self._http.piece(chunk))

    def _begin(self, size: int | None) -> bytes:
        """The head, if it is not out yet, with the body's `size` where that is known.

        PEP 3333, "Handling the Content-Length Header".
        """
        if self._head is None:
            raise RuntimeError("the application did not call start_response before its body")
        if self._http.has_begun:
            return b""
        if self._body.refusal is not None:
            raise self._body.refusal  # the server knows better what was wrong with the request
        status, reason, headers = self._head
        if (
            size is not None
            and status != 304
            and all(name.lower() != b"content-length" for name, _ in headers)
        ):
            headers = [*headers, (b"Content-Length", b"%d" % size)]
        return self._http.head(status, headers, reason)

    def _send_file(self, file: Any) -> bool:
        """Have the kernel send a file, where it is one and there is such a kernel.

        PEP 3333, "Optional Platform-Specific File Handling". False if it has to be iterated.
        """
        try:
            facts = os.fstat(file.fileno())
        except (AttributeError, OSError):
            return False
        if not (stat.S_ISREG(facts.st_mode) and hasattr(os, "sendfile")):
            return False
        size = max(0, facts.st_size - file.tell())
        self._connection.send(self._begin(size))
        if not self._http.is_bodiless:
            self._http.passed(self._connection.send_file(file, self._http.room(size)))
        return True

    def _finish(self) -> None:
        # To a HEAD there is no body, though there may be one to a GET, which nobody has counted.
        size = None if self._request.method == "HEAD" else 0
        self._connection.send(self._begin(size) + self._http.end())

    def _fail(self, refusal: Refusal) -> None:
        """Say so, if there is still a response to say it with; else break the transfer off.

        A client that was promised more takes the end of the connection for an error.
        """
        if not self._http.has_begun:
            with suppress(ClientLeft):
                self._connection.send(self._http.refuse(refusal))


class _Body(io.RawIOBase):
    """wsgi.input: the body, taken from the client as it is read, and no further than its end.

    PEP 3333, "Input and Error Streams"; `io.BufferedReader` makes of it the methods that are
    asked for there.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._piece = memoryview(b"")
        self.refusal: Refusal | None = None  # why there is no more of it

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._piece:
            try:
                self._piece = memoryview(self._connection.read_piece())
            except Refusal as refusal:
                self.refusal = refusal
                raise
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


_STATUS = re.compile(r"([2-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.1
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, section 5.5


def _checked(status: str, headers: list[tuple[str, str]]) -> tuple[int, bytes, RawHeaders]:
    """Status, reason phrase and header fields, as bytes.

    Raises TypeError or ValueError, inside the application that calls start_response, for what
    PEP 3333 does not allow there.
    """
    if not isinstance(status, str) or (found := _STATUS.fullmatch(status)) is None:
        raise ValueError(f"the status {status!r} is not a str like '200 OK'")
    raw = []
    for name, value in headers:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError(f"the header {name!r}: {value!r} is not made of two str")
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError(f"the header {name!r}: {value!r} has a character that cannot be sent")
        if is_hop_by_hop(name):
            raise ValueError(f"the header {name!r} is the server's (PEP 3333, hop-by-hop)")
        raw.append((name.encode("ascii"), value.strip(" \t").encode("latin-1")))
    return int(found[1]), found[2].encode("latin-1"), raw


def _length_of(chunks: Iterable[bytes]) -> int | None:
    try:
        return len(chunks)  # type: ignore[arg-type]
    except TypeError:
        return None
