"""WSGIRequest: a Request made of an environ (PEP 3333, "environ Variables").

Read it beside `asgi_request.py`: the same things, found elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..model.errors import ClientDisconnect, HTTPException
from ..model.lazy import lazy
from ..model.request import Request

if TYPE_CHECKING:
    from ..app import App
    from .visits import Visit

T = TypeVar("T")
Environ = dict[str, Any]
BLOCK = 64 * 1024
# Where nobody waits for less: a server that reads ahead, as gunicorn does, copies what it has
# left at each read.
LARGE_BLOCK = 1024 * 1024

# CGI spells these two without HTTP_ (PEP 3333, "environ Variables").
BARE = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class WSGIRequest(Request):
    """A Request made of an environ; what costs time is read from it when asked for."""

    protocol = "wsgi"
    environ: Environ
    _at_once = BLOCK  # bytes; a read waits for all that it asks for
    visit: Visit | None = None  # once something of this request has run on the app's loop
    _ended = False  # its body, whose length was not announced

    def __init__(self, app: App, environ: Environ) -> None:
        self.app = app
        self.environ = environ
        self.method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO") or "/"
        self.path = path if path.isascii() else _untunnelled(path)

    @lazy
    def root_path(self) -> str:
        return _untunnelled(self.environ.get("SCRIPT_NAME") or "").rstrip("/")

    @lazy
    def query_string(self) -> str:
        return self.environ.get("QUERY_STRING") or ""

    @lazy
    def scheme(self) -> str:
        return str(self.environ["wsgi.url_scheme"])

    @lazy
    def http_version(self) -> str:
        return str(self.environ["SERVER_PROTOCOL"]).removeprefix("HTTP/")

    @lazy
    def client(self) -> tuple[str, int] | None:
        host = self.environ.get("REMOTE_ADDR")
        return (host, _port(self.environ.get("REMOTE_PORT"))) if host else None

    @lazy
    def server(self) -> tuple[str, int]:
        return self.environ["SERVER_NAME"], _port(self.environ["SERVER_PORT"])

    @lazy
    def can_wait(self) -> bool:
        return bool(self.environ["wsgi.multithread"])

    def header(self, name: str) -> str | None:
        key = name.upper().replace("-", "_")
        # Servers may send these two empty where they are absent (wsgiref does).
        return self.environ.get(key) or None if key in BARE else self.environ.get("HTTP_" + key)

    def _header_pairs(self) -> list[tuple[str, str]]:
        pairs = [
            (key[5:].replace("_", "-"), value)
            for key, value in self.environ.items()
            if key.startswith("HTTP_") and key[5:] not in BARE
        ]
        pairs += [(name, self.environ[key]) for key, name in BARE.items() if self.environ.get(key)]
        return pairs

    async def _receive_form(self) -> None:
        self._at_once = LARGE_BLOCK
        await super()._receive_form()

    async def _receive_body(self) -> bytes:
        self._at_once = LARGE_BLOCK
        if self.visit is None:  # not by `call_plain`, whose await is felt in a small request
            return self._read_body()
        return await self.call_plain(self._read_body)

    async def receive_piece(self) -> bytes:
        return await self.call_plain(self.read_piece)

    def receive_piece_here(self) -> bytes:
        if self.visit is not None and self.visit.is_here():
            raise RuntimeError("request.stream: an async handler iterates it with `async for`")
        return self.read_piece()

    async def call_plain(self, function: Callable[..., T], /, *args: Any) -> T:
        if self.visit is not None:
            # This runs on the app's loop, but wsgi.input belongs to the server's thread.
            return await self.visit.call(function, *args)
        return function(*args)

    def _read_body(self) -> bytes:
        piece = self.read_piece()
        if self._received == self._announced:  # most bodies come in one piece
            return piece
        pieces = []
        while piece:
            pieces.append(piece)
            piece = self.read_piece()
        return b"".join(pieces)

    def may_have_more(self) -> bool:
        """Whether more of the body may come; HTTPException(411) if its end cannot be seen."""
        if self._announced is not None:
            return self._received < self._announced
        if not self.environ.get("wsgi.input_terminated"):
            if self.environ.get("HTTP_TRANSFER_ENCODING"):
                # A read might wait for ever, or take the next request.
                raise HTTPException(411, "This server needs a Content-Length on a request's body.")
            return False
        return not self._ended

    def read_piece(self) -> bytes:
        """The next piece of the body, read in the server's thread; empty at its end."""
        if not self.may_have_more():
            return b""
        # Never without a size, and never past the end (PEP 3333, "Input and Error Streams");
        # past the limit a byte is enough.
        size = min(self._at_once, self._limit + 1 - self._received)
        if self._announced is not None:
            size = min(size, self._announced - self._received)
        try:
            piece: bytes = self.environ["wsgi.input"].read(size)
        except OSError:
            raise ClientDisconnect from None
        if not piece:
            self._ended = True
            if self._received < (self._announced or 0):
                raise ClientDisconnect
        return self._counted(piece)


def _untunnelled(text: str) -> str:
    """Bytes that came as Latin-1, read as the UTF-8 they are (PEP 3333, "Unicode Issues")."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _port(port: Any) -> int:
    # A str by the specification, but uvicorn gives an int, and some give none.
    text = str(port)
    return int(text) if text.isascii() and text.isdigit() else 0
