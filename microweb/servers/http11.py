"""HTTP/1.1 as a server speaks it, without a socket: bytes come in, requests and bytes go out.

The grammar is h11's. What stands here is what h11 leaves to its user: limits, what a server
refuses and with which words, and the borders between the requests of one connection.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import h11

from .settings import KIB, Settings

RawHeaders = list[tuple[bytes, bytes]]

_MOUTHFUL = 64 * KIB  # what h11 is fed with at a time, so that it never holds much
_log = logging.getLogger("microweb.servers")


@dataclass
class Request:
    """The head of a request, as it stood on the wire; header names are in lower case."""

    method: str
    target: bytes  # as it was sent
    path: bytes  # of the target, still encoded
    query: bytes
    version: str  # "1.0" or "1.1"
    headers: RawHeaders

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header field."""
        return next((value for own, value in self.headers if own == name), None)


class Refusal(OSError):
    """What the client sent is not taken: the status that says so, and a sentence that says why.

    It is an OSError, as any trouble with reading from a client is, so that an application
    which reads a broken body may handle it as such.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class HTTP11:
    """One client's connection: its requests, one after the other, and their responses.

    `next_request`, `next_piece` and `go_ahead` are the way in; `head`, `piece` and `end` give
    the bytes of the way out; `next_cycle` says whether another request may follow.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._unread = bytearray()
        self._checked = 0
        self._begin()
        self.client_is_done = False  # it has closed its side: nothing more will come
        self.last = False  # after this response the connection is closed

    def _begin(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._settings.max_head)
        self._body_size = 0
        self.body_is_over = False
        self._method = ""
        self._sendable: int | None = None  # bytes of the Content-Length that have not been sent
        self.is_bodiless = False  # the response has no body, whatever its head says
        self.sent = 0  # bytes of the response's body
        self.status = 0  # of the response, as soon as it has begun

    # --- in ---------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take what has come from the client; b"" is its end, as `socket.recv` says it."""
        self._unread += data
        self.client_is_done |= not data

    def take(self) -> bytes:
        """What has come and is no HTTP/1.1: it is the caller's from now on."""
        taken = bytes(self._unread)
        self._unread.clear()
        return taken

    @property
    def unread(self) -> int:
        """How many bytes have come that nobody has asked for yet."""
        return len(self._unread)

    def next_request(self) -> Request | None:
        """The next request, as soon as all of its head has come.

        Raises Refusal for what is no request, or not one for this server.
        """
        # "a server [...] SHOULD ignore at least one empty line (CRLF) received prior to the
        # request-line" (RFC 9112, section 2.2)
        while self._unread.startswith(b"\r\n"):
            del self._unread[:2]
        end = self._unread.find(b"\r\n\r\n", max(0, self._checked - 3))
        size = end + 4 if end >= 0 else len(self._unread)
        self._check_head(size)
        self._checked = size
        if end < 0:
            return None
        self._h11.receive_data(bytes(self._unread[:size]))
        del self._unread[:size]
        self._checked = 0
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise _refusal(error) from None
        assert isinstance(event, h11.Request)
        return self._checked_request(event)

    def _check_head(self, size: int) -> None:
        """Refuse what h11 would take, or would wait for too long (RFC 9112, section 2.2)."""
        before = max(0, self._checked - 1)
        for fault, status, why in _FAULTS:
            if fault.search(self._unread, before, size):
                raise Refusal(status, why)
        line = self._unread.find(b"\r\n", 0, self._settings.max_line + 2)
        if line < 0 and size > self._settings.max_line:
            raise Refusal(414, f"The request line is over {self._settings.max_line} bytes.")
        if size > self._settings.max_head:
            raise Refusal(431, f"The head is over {self._settings.max_head} bytes.")

    def _checked_request(self, event: h11.Request) -> Request:
        self._method = event.method.decode("ascii")
        headers = list(event.headers)
        version = event.http_version.decode("ascii")
        if version not in ("1.0", "1.1"):
            raise Refusal(505, f"HTTP/{version} is not spoken here, but HTTP/1.1 and 1.0 are.")
        if len(headers) > self._settings.max_fields:
            raise Refusal(431, f"There are over {self._settings.max_fields} header fields.")
        fields = dict(headers)
        if b"transfer-encoding" in fields and (b"content-length" in fields or version == "1.0"):
            # Where two servers in a row take the one and the other for the body's end, a
            # request is smuggled past the first (RFC 9112, sections 6.1 and 11.2).
            raise Refusal(400, "Transfer-Encoding and Content-Length, or HTTP/1.0, do not agree.")
        if not _HOST.fullmatch(fields.get(b"host", b"")):
            raise Refusal(400, "The Host header is not a host.")
        self._check_size(int(fields.get(b"content-length", 0)))
        authority, path, query = _split_target(self._method, event.target)
        if authority is not None:
            # It replaces Host (RFC 9112, section 3.2.2).
            headers = [(b"host", authority), *(pair for pair in headers if pair[0] != b"host")]
        return Request(self._method, event.target, path, query, version, headers)

    def go_ahead(self) -> bytes:
        """What is sent when the body is wanted and the client waits to be asked for it.

        RFC 9110, section 10.1.1: `100 Continue`, once, and nothing where it does not wait.
        """
        if self.body_is_over or not self._h11.they_are_waiting_for_100_continue:
            return b""
        return self._sent(
            h11.InformationalResponse(status_code=100, headers=[], reason=phrase(100))
        )

    def next_piece(self) -> bytes | None:
        """The next piece of the body, b"" at its end; None until more has come.

        Raises Refusal for what is no body, for more than `max_body`, and where the client
        has left in the middle of it.
        """
        while not self.body_is_over:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                raise _refusal(error) from None
            if isinstance(event, h11.Data):
                self._body_size += len(event.data)
                self._check_size(self._body_size)
                return bytes(event.data)
            if event is not h11.NEED_DATA:
                self.body_is_over = True
            elif self._unread:
                self._h11.receive_data(bytes(self._unread[:_MOUTHFUL]))
                del self._unread[:_MOUTHFUL]
            elif self.client_is_done:
                raise Refusal(400, "The body ended before its end.")
            else:
                return None
        return b""

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_body:
            raise Refusal(413, f"The body is over {self._settings.max_body} bytes.")

    # --- out --------------------------------------------------------------------------------

    def head(self, status: int, headers: RawHeaders, reason: bytes | None = None) -> bytes:
        """The head of the response (RFC 9112, section 4), with what a server adds to it.

        Raises h11.LocalProtocolError for a status, a name or a value that cannot be sent, and
        where a response has begun already.
        """
        names = {name.lower() for name, _ in headers}
        added = [pair for pair in ((b"Date", _now()), _SERVER) if pair[0].lower() not in names]
        self.is_bodiless = self._method == "HEAD" or status in (204, 304)
        if status == 204:  # "MUST NOT send a Content-Length" (RFC 9110, section 8.6)
            headers = [pair for pair in headers if pair[0].lower() != b"content-length"]
        if self.last:
            added.append((b"Connection", b"close"))
        response = h11.Response(
            status_code=status,
            headers=[*headers, *added],
            reason=phrase(status) if reason is None else reason,
        )
        lengths = [value for name, value in response.headers if name == b"content-length"]
        self._sendable = int(lengths[0]) if lengths else None
        data = self._sent(response)
        self.status = status
        return data

    def piece(self, chunk: bytes) -> bytes:
        """The bytes that carry a piece of the body; none where the response has no body.

        Whatever is beyond the response's Content-Length is left out.
        """
        if self.is_bodiless or not chunk:
            return b""
        size = self.room(len(chunk))
        if size < len(chunk):
            _log.warning("the application sends more than its Content-Length; it is cut off")
            chunk = chunk[:size]
        self._count(size)
        return self._sent(h11.Data(data=chunk))

    def room(self, size: int) -> int:
        """How many of `size` bytes still fit into the response's Content-Length."""
        return size if self._sendable is None else min(size, self._sendable)

    def passed(self, size: int) -> None:
        """So many bytes of the body were sent by the kernel itself."""
        self._count(size)
        self._h11.send_with_data_passthrough(h11.Data(data=_Passed(size)))  # type: ignore[arg-type]

    def _count(self, size: int) -> None:
        self.sent += size
        if self._sendable is not None:
            self._sendable -= size

    def end(self) -> bytes:
        """What ends the body.

        Raises h11.LocalProtocolError where less was sent than the Content-Length says.
        """
        return self._sent(h11.EndOfMessage())

    def switched(self) -> None:
        """The connection speaks another protocol from now on (RFC 9110, section 15.2.2)."""
        self.status = 101
        self.last = True

    def refuse(self, refusal: Refusal) -> bytes:
        """A whole response that says why the client is refused; the last of its connection."""
        self.last = True
        body = f"{refusal.status} {phrase(refusal.status).decode()}\n{refusal.why}\n".encode()
        headers = [
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        return self.head(refusal.status, headers) + self.piece(body) + self.end()

    def _sent(self, event: h11.Event) -> bytes:
        return self._h11.send(event) or b""

    # --- and again --------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether any of the response is out."""
        return self.status != 0

    @property
    def client_may_send(self) -> bool:
        """Whether the client is in the middle of a request, or of more than one."""
        is_between = self._h11.their_state in (h11.IDLE, h11.DONE, h11.MUST_CLOSE, h11.CLOSED)
        return not is_between or bool(self._unread or self._h11.trailing_data[0])

    def next_cycle(self) -> bool:
        """Get ready for the next request; False if this was the last (RFC 9112, section 9.3).

        What is left of a body that nobody has read is passed over as far as it has come: if
        that is not all of it, nobody can tell where the next request begins.
        """
        try:
            while self.next_piece():
                pass
        except Refusal:
            return False
        if self._h11.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE} or self.last:
            return False
        self._unread[:0] = self._h11.trailing_data[0]
        self._begin()
        return True


class _Passed:
    """Stands for bytes that h11 has to count and need not see."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def phrase(status: int) -> bytes:
    """The reason phrase of a status; empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


# What a head may not have in it, whatever else h11 makes of it.
_FAULTS = (
    (
        re.compile(rb"\A\x16\x03"),
        400,
        "This looks like TLS. No TLS is spoken here: ask with http://, not https://.",
    ),
    (
        re.compile(rb"(?<!\r)\n|\r(?=[^\n])"),
        400,
        "A line of the head does not end with CR LF (RFC 9112, section 2.2).",
    ),
    (
        re.compile(rb"\n[ \t]"),
        400,
        "A header line is folded, or blanks stand before it (RFC 9112, sections 2.2 and 5.2).",
    ),
    (
        re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"),
        400,
        "There is a control character in the head (RFC 9110, section 5.5).",
    ),
)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")  # RFC 3986, section 3.2.2, and a port
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE)
_SERVER = (b"Server", b"microweb")


def _split_target(method: str, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """The authority, where there is one, the path and the query (RFC 9112, section 3.2)."""
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        path, _, query = target.partition(b"?")
        return None, path, query
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or not _HOST.fullmatch(absolute[1]):
        raise Refusal(400, f"The target {target[:40]!r} is neither a path nor a URL of http.")
    return absolute[1], absolute[2] or b"/", absolute[3] or b""


def _refusal(error: h11.RemoteProtocolError) -> Refusal:
    """h11's complaint, with the status that it suggests."""
    why = str(error)[:200].encode("ascii", "backslashreplace").decode("ascii")
    return Refusal(error.error_status_hint, f"{why[:1].upper()}{why[1:]}.")


_date = (0, b"")


def _now() -> bytes:
    """The Date header's value (RFC 9110, section 6.6.1), made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True).encode("ascii"))
    return _date[1]
