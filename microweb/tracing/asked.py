"""Asked: a request as somebody typed it, and the bytes that it is on the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FORM = re.compile(rb"[^\s=&]+=[^\s=&]*(?:&[^\s=&]+=[^\s=&]*)*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: sent as it is, whether or not it makes sense, since that is to be seen.

    One piece of a body goes out with its length, several go out chunked, one by one. In a
    WebSocket each piece is a message. With `leave` the client goes away, rudely, as soon as the
    body of the answer begins.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    leave: bool = False

    def value(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for own, value in self.headers if own.lower() == name), None)

    @property
    def expects(self) -> bool:
        """Whether the body is held back until the server says 100 (RFC 9110, 10.1.1)."""
        return (self.value("expect") or "").lower() == "100-continue" and bool(self.pieces)

    @property
    def is_handshake(self) -> bool:
        """Whether it is to become a WebSocket (RFC 6455, 4.1)."""
        return self.method == "GET" and (self.value("upgrade") or "").lower() == "websocket"

    @property
    def is_chunked(self) -> bool:
        """Whether its body is chunked: of itself, or because it says so."""
        if (said := self.value("transfer-encoding")) is not None:
            return said.lower().endswith("chunked")
        return len(self.pieces) > 1 and self.value("content-length") is None

    def head(self, host: str) -> bytes:
        """The request line, and the headers, with those that every client adds."""
        fields = [*self._added(host), *self.headers]
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields)]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1", "replace")

    def _added(self, host: str) -> Iterator[tuple[str, str]]:
        usual = {
            "host": host,
            "user-agent": f"microweb/{version('microweb')}",
            "accept": "*/*",
            **(_handshake() if self.is_handshake else self._of_body()),
        }
        for name, value in usual.items():
            if self.value(name) is None:
                yield name, value

    def _of_body(self) -> dict[str, str]:
        if not self.pieces:
            return {}
        kind = {"content-type": kind_of(b"".join(self.pieces))}
        if self.is_chunked:
            return {**kind, "transfer-encoding": "chunked"}
        return {**kind, "content-length": str(sum(map(len, self.pieces)))}

    def framed(self) -> list[bytes]:
        """The body's pieces, each as it goes out."""
        if not self.is_chunked:
            return list(self.pieces)
        # A chunk of no bytes would be the end.
        chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in self.pieces if piece]
        return [*chunks[:-1], b"".join([*chunks[-1:], b"0\r\n\r\n"])]


def _handshake() -> dict[str, str]:
    # The key of the example in RFC 6455, 1.3: it is no secret, and a trace is easy to compare.
    return {
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }


def kind_of(body: bytes) -> str:
    """What a body looks like."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "text/plain; charset=utf-8"
        return "application/json"
    if _FORM.fullmatch(body):
        return "application/x-www-form-urlencoded"
    return "text/plain; charset=utf-8"


# --- as it is typed ---------------------------------------------------------------------------


def asked(
    method: str, target: str, headers: Sequence[str], data: Sequence[str], leave: bool = False
) -> Asked:
    """A request from `name: value` lines and from data, where @name stands for a file's bytes.

    Raises ValueError, which says what is wrong and how it is mended.
    """
    return checked(method, target, headers, list(map(_piece, data)), leave)


def checked(
    method: str, target: str, headers: Sequence[str], pieces: Sequence[bytes], leave: bool = False
) -> Asked:
    """The same of pieces that are bytes already: no file is read. Raises ValueError."""
    if not _TOKEN.fullmatch(method):
        raise ValueError(f"{method!r} is no method, like GET or POST")
    if not target.startswith("/") and target != "*":
        raise ValueError(f"{target!r} is no path: it begins with a slash, /{target}")
    return Asked(
        method,
        # What may stand in a request line stays: what is encoded already, and the rest of ASCII.
        quote(target, safe="".join(map(chr, range(33, 127)))),
        tuple(map(_header, headers)),
        tuple(pieces),
        leave,
    )


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"the header {line!r} has no colon; write it as 'accept: text/html'")
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header, in {line!r}")
    if any(character in value for character in "\r\n\0"):
        raise ValueError(f"the value of {name!r} has a line break or a NUL in it: {value!r}")
    if any(character > "\xff" for character in value):
        raise ValueError(
            f"the value of {name!r} has characters beyond Latin-1, which no header can carry:"
            f" {value!r}; percent-encode them"
        )
    return name, value.strip()


def _piece(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    path = Path(text[1:])
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"the data {text!r} is not to be had: {path.absolute()}: {error.strerror}"
        ) from None
