"""The two servers of the tests of parity: what each protocol's servers make of one raw request.

A request is made of raw bytes. What a server hands to the application is written down twice,
once the way of each protocol, and so is what it takes back.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes
from wsgiref.util import FileWrapper
from wsgiref.validate import validator as wsgi_validator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from microweb import App

from .asgi_validator import validator as asgi_validator

RawHeaders = list[tuple[bytes, bytes]]


class Sent(NamedTuple):
    """A request as it is on the wire."""

    method: str = "GET"
    target: bytes = b"/"
    headers: RawHeaders = []  # noqa: RUF012 - never changed
    pieces: list[bytes] | None = None  # the body, as it arrives
    chunked: bool = False
    root_path: str = ""
    host: bytes | None = b"shop.example:8000"
    peer: str | None = "192.0.2.7"
    sends_files: bool = False  # the server can send a file by itself

    @property
    def all_headers(self) -> RawHeaders:
        """The headers with those that frame the body."""
        framing = []
        if self.chunked:
            framing = [(b"Transfer-Encoding", b"chunked")]
        elif self.pieces is not None:
            framing = [(b"Content-Length", b"%d" % len(b"".join(self.pieces)))]
        host = [] if self.host is None else [(b"Host", self.host)]
        return [*host, *self.headers, *framing]


class Answer(NamedTuple):
    """A response, or as much of one as there was."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    torn: str = ""  # the error that ended it


class Wire(io.RawIOBase):
    """wsgi.input: what has arrived may be less than what was asked for."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size >= 0
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > size:
            self._pieces.insert(0, piece[size:])
        return piece[:size]


def environ_of(sent: Sent) -> dict[str, Any]:
    """What a WSGI server makes of a request (PEP 3333, "environ Variables")."""
    path, _, query = sent.target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": sent.root_path.encode().decode("latin-1"),
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": Wire(sent.pieces or []),
        "wsgi.input_terminated": True,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if sent.peer is not None:
        environ |= {"REMOTE_ADDR": sent.peer, "REMOTE_PORT": "50123"}
    if sent.sends_files:
        environ["wsgi.file_wrapper"] = FileWrapper
    for name, value in sent.all_headers:
        key = name.decode("ascii").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def scope_of(sent: Sent) -> dict[str, Any]:
    """What an ASGI server makes of a request (ASGI 3.0, "HTTP Connection Scope")."""
    raw_path, _, query = sent.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": sent.method,
        "scheme": "http",
        "path": sent.root_path + unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": sent.root_path,
        "headers": [(name.lower(), value) for name, value in sent.all_headers],
        "client": sent.peer and (sent.peer, 50123),
        "server": ("127.0.0.1", 8000),
        "extensions": {"http.response.pathsend": {}} if sent.sends_files else {},
    }


def through_wsgi(app: App, sent: Sent, check: bool = True) -> Answer:
    head: list[tuple[str, list[tuple[str, str]]]] = []
    body: list[bytes] = []
    torn = ""

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[..., object]:
        head.append((status, headers))
        return body.append

    door = wsgi_validator(app.wsgi) if check else app.wsgi
    chunks = door(environ_of(sent), start_response)
    try:
        body += chunks
    except Exception as error:
        torn = repr(error)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    [(status, headers)] = head
    return Answer(int(status[:3]), headers, b"".join(body), torn)


def through_asgi(loop: asyncio.Runner, app: Any, sent: Sent, check: bool = True) -> Answer:
    pieces = sent.pieces or [b""]
    events = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop(0)
        await asyncio.Event().wait()  # the client stays, and has nothing more to say
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    torn = ""
    door = asgi_validator(app.asgi) if check else app.asgi
    try:
        loop.run(door(scope_of(sent), receive, send))  # type: ignore[arg-type]
    except AssertionError:
        raise
    except Exception as error:
        torn = repr(error)
    start, *rest = messages
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    return Answer(start["status"], headers, b"".join(map(_sent_by_server, rest)), torn)


def _sent_by_server(message: dict[str, Any]) -> bytes:
    if message["type"] == "http.response.pathsend":
        return Path(message["path"]).read_bytes()
    body: bytes = message.get("body", b"")
    return body


def through_both(loop: asyncio.Runner, app: App, sent: Sent) -> Answer:
    """The one answer that both doors give."""
    wsgi, asgi = through_wsgi(app, sent), through_asgi(loop, app, sent)
    assert wsgi == asgi, sent
    return wsgi


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """The event loop of the ASGI server."""
    with asyncio.Runner() as runner:
        yield runner


# --- what is generated --------------------------------------------------------------------

many = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

# Only what a server hands on: no control characters, no blanks around a value.
latin_1 = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=20
)
header_values = latin_1.map(lambda text: text.encode("latin-1").strip())


@st.composite
def cut(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """The body in the pieces in which it may arrive, empty ones too."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
    return [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
