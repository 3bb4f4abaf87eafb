"""The head of a request: what it says, and what a server refuses of it.

h11 knows the grammar. Here are the limits, what h11 takes and a careful server does not, and
the words in which a client is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

import h11

from .settings import Settings

RawHeaders = list[tuple[bytes, bytes]]


@dataclass
class Request:
    """The head of a request, as it stood on the wire; header names are in lower case."""

    method: str
    target: bytes  # as it was sent
    path: bytes  # of the target, still encoded
    query: bytes
    version: str  # "1.0" or "1.1"
    headers: RawHeaders
    length: int  # of the body, where Content-Length says it; else 0

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header field."""
        return next((value for own, value in self.headers if own == name), None)


class Refusal(OSError):
    """What the client sent is not taken: the status that says so, and a sentence that says why.

    It is an OSError, as any trouble with reading from a client is, so that an application
    which reads a broken body may handle it as such.
    """

    def __init__(self, status: int, why: str, headers: RawHeaders | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers or []


FAILED = Refusal(500, "The application failed; the server's log says how.")


def check_head(unread: bytearray, seen: int, size: int, settings: Settings) -> None:
    """Refuse what h11 would take, or would wait for too long (RFC 9112, sections 2.2 and 3).

    The head, or as much of it as has come, is the first `size` bytes of `unread`, of which
    `seen` have been looked at before. Raises Refusal.
    """
    for fault, why in _FAULTS:
        if fault.search(unread, max(0, seen - 1), size):
            raise Refusal(400, why)
    if size > settings.max_line and unread.find(b"\r\n", 0, settings.max_line + 2) < 0:
        raise Refusal(414, f"The request line is over {settings.max_line} bytes.")
    if size > settings.max_head:
        raise Refusal(431, f"The head is over {settings.max_head} bytes.")


def check_trailers(read: bytes) -> None:
    """Refuse what h11 takes behind the last chunk: LF without CR, folded lines, controls.

    `read` ends where the body does. Were the LF of `0 CR LF LF` a line's end here, and none to
    a proxy before this server, the two would not agree on where the next request begins, and
    one could be smuggled past the other (RFC 9112, section 11.2). Raises Refusal.
    """
    last_chunk = _LAST_CHUNK.match(read)
    for fault, why in _FAULTS:
        if fault.search(read, last_chunk.end() if last_chunk else 0):
            raise Refusal(400, why)


def request_of(event: h11.Request, settings: Settings) -> Request:
    """The request that a head is, if it is one for this server. Raises Refusal if it is not."""
    method, version = event.method.decode("ascii"), event.http_version.decode("ascii")
    headers = list(event.headers)
    if version not in ("1.0", "1.1"):
        raise Refusal(505, f"HTTP/{version} is not spoken here, but HTTP/1.1 and 1.0 are.")
    if len(headers) > settings.max_fields:
        raise Refusal(431, f"There are over {settings.max_fields} header fields.")
    fields = dict(headers)
    if b"transfer-encoding" in fields and (b"content-length" in fields or version == "1.0"):
        # Where two servers in a row take the one and the other for the body's end, a request
        # is smuggled past the first (RFC 9112, sections 6.1 and 11.2).
        raise Refusal(400, "Transfer-Encoding does not go with Content-Length, nor with HTTP/1.0.")
    if not _HOST.fullmatch(fields.get(b"host", b"")):
        raise Refusal(400, "The Host header is no host.")
    length = int(fields.get(b"content-length", 0))
    check_size(length, settings)
    authority, path, query = _split_target(method, event.target)
    if authority is not None:
        # It replaces Host (RFC 9112, section 3.2.2).
        headers = [(b"host", authority), *(pair for pair in headers if pair[0] != b"host")]
    return Request(method, event.target, path, query, version, headers, length)


def check_size(size: int, settings: Settings) -> None:
    """Refuse a body that is, or says that it will be, too large."""
    if size > settings.max_body:
        raise Refusal(413, f"The body is over {settings.max_body} bytes.")


def _split_target(method: str, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """The authority, where there is one, the path and the query (RFC 9112, section 3.2)."""
    if method == "CONNECT":
        raise Refusal(501, "CONNECT is asked of proxies, and this is none.")
    if b"#" in target:
        raise Refusal(400, "A fragment is no part of a request's target.")
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        path, _, query = target.partition(b"?")
        return None, path, query
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or not _HOST.fullmatch(absolute[1]):
        raise Refusal(400, f"The target {target[:40]!r} is neither a path nor a URL of http.")
    return absolute[1], absolute[2] or b"/", absolute[3] or b""


def refusal_of(error: h11.RemoteProtocolError) -> Refusal:
    """h11's complaint, with the status that it suggests."""
    why = str(error)[:200].encode("ascii", "backslashreplace").decode("ascii")
    return Refusal(error.error_status_hint, f"{why[:1].upper()}{why[1:]}.")


def phrase(status: int) -> bytes:
    """The reason phrase of a status; empty for one that is not registered."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


# What a head, or a trailer, may not have in it, whatever else h11 makes of it.
_FAULTS = (
    (
        re.compile(rb"\A\x16\x03"),
        "This looks like TLS. No TLS is spoken here: ask with http://, not https://.",
    ),
    (
        re.compile(rb"(?<!\r)\n|\r(?=[^\n])"),
        "A line does not end with CR LF (RFC 9112, section 2.2).",
    ),
    (
        re.compile(rb"\n[ \t]"),
        "A header line is folded, or blanks stand before it (RFC 9112, sections 2.2 and 5.2).",
    ),
    (
        re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"),
        "There is a control character in a line (RFC 9110, section 5.5).",
    ),
)
_LAST_CHUNK = re.compile(rb".*\n0+(?:[; \t][^\n]*)?(?=\r\n)", re.DOTALL)
_HOST = re.compile(  # RFC 3986, section 3.2.2, and a port
    rb"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*|\[[A-Za-z0-9.:%_~-]+\])(?::[0-9]*)?"
)
_ABSOLUTE = re.compile(rb"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
