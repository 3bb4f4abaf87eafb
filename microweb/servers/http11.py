"""HTTP/1.1 as a server speaks it, without a socket: bytes come in, requests and bytes go out.

The grammar is h11's. What stands here is what h11 leaves to its user: what a server adds to a
response, and the borders between the requests of one connection.
"""

from __future__ import annotations

import logging
import time
from email.utils import formatdate

import h11

from .heads import (
    RawHeaders,
    Refusal,
    Request,
    check_head,
    check_size,
    check_trailers,
    phrase,
    refusal_of,
    request_of,
)
from .settings import KIB, Settings

_MOUTHFUL = 64 * KIB  # what h11 is fed with at a time, so that it never holds much
_log = logging.getLogger("microweb.servers")


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
        self._method = ""
        self._length = 0  # of the request's body, where it is said in its head
        self._received = 0
        self._reading = b""  # of a chunked body: what h11 was fed with last, behind a line's end
        self.body_is_over = False
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

    def is_ready(self) -> bool:
        """Whether `next_request` has something to say: a request, or a Refusal."""
        try:
            return self._size_of_head() > 0
        except Refusal:
            return True

    def next_request(self) -> Request | None:
        """The next request, as soon as all of its head has come.

        Raises Refusal for what is no request, or not one for this server.
        """
        size = self._size_of_head()
        if not size:
            return None
        self._h11.receive_data(bytes(self._unread[:size]))
        del self._unread[:size]
        self._checked = 0
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise refusal_of(error) from None
        assert isinstance(event, h11.Request)
        self._method = event.method.decode("ascii")
        request = request_of(event, self._settings)
        self._length = request.length
        return request

    def _size_of_head(self) -> int:
        """How many bytes the head has, if it is whole; else 0. Raises Refusal."""
        # "a server [...] SHOULD ignore at least one empty line (CRLF) received prior to the
        # request-line" (RFC 9112, section 2.2)
        while self._unread.startswith(b"\r\n"):
            del self._unread[:2]
        end = self._unread.find(b"\r\n\r\n", max(0, self._checked - 4))
        size = end + 4 if end >= 0 else len(self._unread)
        check_head(self._unread, self._checked, size, self._settings)
        self._checked = size
        return size if end >= 0 else 0

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
                raise refusal_of(error) from None
            if isinstance(event, h11.Data):
                self._received += len(event.data)
                check_size(self._received, self._settings)
                if self._received == self._length:
                    self._h11.next_event()  # its end, which may be told along with this piece
                    self.body_is_over = True
                return bytes(event.data)
            if event is not h11.NEED_DATA:
                check_trailers(self._reading.removesuffix(self._h11.trailing_data[0]))
                self.body_is_over = True
            elif self._unread:
                mouthful = bytes(self._unread[:_MOUTHFUL])
                del self._unread[:_MOUTHFUL]
                if not self._length:
                    self._reading = b"\r\n" + self._h11.trailing_data[0] + mouthful
                self._h11.receive_data(mouthful)
            elif self.client_is_done:
                raise Refusal(400, "The body ended before its end.")
            else:
                return None
        return b""

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
            *refusal.headers,
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


_SERVER = (b"Server", b"microweb")


_date = (0, b"")


def _now() -> bytes:
    """The Date header's value (RFC 9110, section 6.6.1), made once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True).encode("ascii"))
    return _date[1]
