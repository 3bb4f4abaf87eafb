"""Request: what a handler sees of an HTTP request, whichever door it came in by."""

from __future__ import annotations

import json
from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from .cookies import parse_cookies
from .decoding import declared_length, decode_json, media_type_of, parse_parameters, too_large
from .errors import HTTPException
from .headers import MultiDict, RequestHeaders
from .lazy import lazy
from .stream import BodyStream

if TYPE_CHECKING:
    from ..app import App
    from ..routing import Route
    from .forms import Form

T = TypeVar("T")

# pchar and "/" (RFC 3986, 3.3): what a path may hold without a percent sign
PATH_SAFE = "/:@!$&'()*+,;=~-._"

# The port that a scheme means where none is given (RFC 9110, 4.2)
PORTS = {"http": 80, "https": 443}


class Request:
    """One request. A gateway makes it; layers and handlers read it.

    The body has arrived before a handler runs, so that plain and async handlers read it
    alike; on a route with `stream=True` it comes piece by piece, as `stream`. Layers run
    before that: there `body` and `form` raise, and an async layer may
    `await request.read()`.
    """

    app: App
    protocol: str  # "wsgi" or "asgi": the door
    environ: dict[str, Any] | None = None  # the native object of PEP 3333, under WSGI
    scope: dict[str, Any] | None = None  # the native object of the ASGI specification

    method: str  # case-sensitive (RFC 9110, 9.1)
    path: str  # decoded, without root_path
    root_path: str  # where the application is mounted, decoded: SCRIPT_NAME, root_path
    query_string: str  # as sent, without the question mark
    scheme: str  # "http" or "https"
    http_version: str  # "1.1"
    client: tuple[str, int] | None  # host and port (0 if the server does not say)
    server: tuple[str, int]  # host and port of the socket that took the request

    # Whether others are served meanwhile. False where the request holds its process's only
    # worker: WSGI with wsgi.multithread false (PEP 3333, "environ Variables"). There an endless
    # stream locks everybody out: send what there is, and let the client ask again.
    can_wait: bool = True

    route: Route | None = None  # once the router has matched
    path_params: dict[str, Any] = {}  # noqa: RUF012 - replaced for each match, never changed

    _body: bytes | None = None
    _uploaded: Form | None = None  # what a multipart body became as it arrived
    _unreadable: HTTPException | None = None
    _limit: int  # of the body, in bytes
    _announced: int | None  # by Content-Length
    _received = 0
    _endings: tuple[Callable[[], object], ...] = ()
    _beyond_answer: Exception | None = None  # what an exception handler raised itself

    @lazy
    def headers(self) -> RequestHeaders:
        """The request's headers, read-only, found in any case."""
        return RequestHeaders(self._header_pairs())

    @lazy
    def cookies(self) -> dict[str, str]:
        """The cookies sent, by name (RFC 6265, 5.4)."""
        return parse_cookies(self.headers.get("cookie", ""))

    @property
    def last_event_id(self) -> str | None:
        """Where an EventSource that connects again left off: the `id` of its last event.

        None if it has none yet (Last-Event-ID, which is UTF-8; WHATWG HTML, 9.2.4).
        """
        value = self.header("last-event-id")
        return value.encode("latin-1").decode("utf-8", "replace") if value else None

    @lazy
    def query(self) -> MultiDict[str]:
        """The parameters in the query of the URL: `?a=1&a=2`.

        Raises HTTPException(400) for more than 1,000 of them. Bad escapes are tolerated.
        """
        return MultiDict(parse_parameters(self.query_string))

    @lazy
    def content_type(self) -> str:
        """The Content-Type header as it was sent; empty if there is none."""
        return self.header("content-type") or ""

    @lazy
    def state(self) -> SimpleNamespace:
        """A place for what layers want to tell handlers: `request.state.user = ...`."""
        return SimpleNamespace()

    @lazy
    def session(self) -> MutableMapping[str, Any]:
        """What is remembered of this client from one request to the next.

        Raises RuntimeError where no SessionMiddleware has put one here.
        """
        raise RuntimeError(
            "request.session needs a layer: app.middleware(SessionMiddleware(secret_key=...))"
        )

    @lazy
    def host(self) -> str:
        """The host, and port if it is not the scheme's own, that the client asked for.

        It is whatever the client claims: never build trust on it.
        """
        host = self.header("host")
        if host is None:
            name, port = self.server
            name = f"[{name}]" if ":" in name else name  # IPv6 (RFC 3986, 3.2.2)
            host = name if port in (0, PORTS.get(self.scheme)) else f"{name}:{port}"
        return host

    @property
    def url(self) -> str:
        """The absolute URL that was asked for, percent-encoded."""
        query = quote(self.query_string.encode("latin-1"), safe=PATH_SAFE + "%?")
        return self._absolute(self.path) + ("?" + query if query else "")

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path of the route `name` as this client has to ask for it, for links and redirects.

        It begins with `root_path`, where `App.url_path_for`, which see, knows of no request.
        """
        path = quote(self.root_path, safe=PATH_SAFE) + self.app.url_path_for(name, **path_params)
        # One leading slash, so that it cannot name another host ("//evil.example").
        return "/" + path.lstrip("/")

    def url_for(self, name: str, /, **path_params: Any) -> str:
        """The absolute URL of the route `name`: see `App.url_path_for`."""
        return self._absolute("") + self.app.url_path_for(name, **path_params)

    def _absolute(self, path: str) -> str:
        from .host import parse_host  # with ipaddress, which most requests never need

        host = self.host
        if parse_host(host) is None:
            # Encoded it stays one, where "evil.example/x?" would bring a path of its own.
            host = quote(host, safe=":")
        return f"{self.scheme}://{host}{quote(self.root_path + path, safe=PATH_SAFE)}"

    def prefers(self, *media_types: str) -> str | None:
        """The media type that the client likes best, by its Accept header; None if none will do.

        `request.prefers("text/html", "application/json")`: the first one where the client has
        no preference. An answer that depends on it should say so: `Vary: Accept`. Raises
        ValueError for what is no media type (RFC 9110, 12.5.1).
        """
        from .accept import best_match

        return best_match(self.headers.get("accept"), media_types)

    @property
    def body(self) -> bytes:
        """The body; empty on GET and HEAD, where content has no meaning (RFC 9110, 9.3.1).

        Raises RuntimeError where there is no such thing as the whole body in memory: in a
        layer before it is read, for a multipart body, and on a route with `stream=True`.
        """
        if self._body is None:
            if self.method in ("GET", "HEAD"):
                return b""
            raise RuntimeError(self._why_no_body())
        return self._body

    def _why_no_body(self) -> str:
        if self._uploaded is not None:
            return (
                "request.body: a multipart body is parsed as it arrives and not kept; read"
                " request.form, or take the raw bytes by request.stream on a route with stream=True"
            )
        if self.route is not None and self.route.stream:
            return "request.body: this route takes its body as it comes; iterate request.stream"
        return (
            "request.body is not read yet: layers run before it arrives;"
            " an async layer may `await request.read()`"
        )

    @property
    def text(self) -> str:
        """The body as UTF-8 text; what is not UTF-8 becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON (RFC 8259).

        Raises HTTPException: 415 where Content-Type is present and names another type,
        400 where the body is no JSON, too deep, or has a number too long to read.
        """
        kind = self.content_type
        # The spelling of nearly all clients is looked at first: it needs no taking apart.
        if kind != "application/json" and kind and not _is_json(kind):
            raise self._unexpected_type("application/json")
        try:
            return decode_json(self.body.decode("utf-8"))
        except json.JSONDecodeError as error:
            raise HTTPException(
                400, f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}."
            ) from None
        except UnicodeDecodeError as error:
            raise HTTPException(
                400, f"The body is not JSON: byte {error.start} is not UTF-8."
            ) from None
        except ValueError:
            raise HTTPException(
                400,
                "The body is JSON that cannot be read: too deep, a number too long or too large,"
                " or NaN or Infinity, which JSON does not have.",
            ) from None

    @lazy
    def form(self) -> Form:
        """The fields and files of a form, sent as multipart or as urlencoded.

        A field is a str, a file an UploadFile. It is empty where there is no body. Raises
        HTTPException: 415 where Content-Type is present and names no form, 413 for more than
        1,000 fields; RuntimeError where `body` does.
        """
        if self._uploaded is not None:
            return self._uploaded
        body = self.body
        if body and self.content_type and not _is_urlencoded(self.content_type):
            raise self._unexpected_type("application/x-www-form-urlencoded or multipart/form-data")
        return MultiDict(parse_parameters(body.decode("latin-1"), too_many=413))

    @lazy
    def stream(self) -> BodyStream:
        """The body as it comes, on a route with `stream=True`, in pieces of some kilobytes.

        `for piece in request.stream` in a plain handler, `async for` in an async one: each
        takes from the server only what it asks for. Raises RuntimeError on other routes, and
        while it is read HTTPException: 413 over `App(max_upload_size)`, 400 for a body that
        ends before its Content-Length, which no handler needs to catch.
        """
        if self.route is None or not self.route.stream:
            raise RuntimeError(
                "request.stream: the body has arrived already and is in request.body, or"
                " request.form; write stream=True at the route to take it as it comes"
            )
        return BodyStream(self)

    async def read(self) -> bytes:
        """Receive the whole body, once; a handler finds it in `body` or in `form`.

        A multipart body becomes a form as it arrives, and is returned as `b""`. Raises
        HTTPException: 413 over `App(max_body_size)` or, for multipart, `max_upload_size`; 400
        for a Content-Length that is no number, a body that ends before it, or a form that
        cannot be read; 411 for a body without a length where the server side does not mark
        its end.
        """
        if self._unreadable is not None:
            raise self._unreadable
        if self._body is None and self._uploaded is None:
            if self.method in ("GET", "HEAD"):
                return b""
            try:
                if _is_multipart(self.content_type):
                    self.expect_body(self.app.max_upload_size)
                    await self._receive_form()
                else:
                    self.expect_body(self.app.max_body_size)
                    self._body = await self._receive_body()
            except BaseException as error:  # cancelled by a timeout, too
                # A second try would find the rest, and take it for the whole.
                if not isinstance(error, HTTPException):
                    self._unreadable = HTTPException(400, "The body was read in part only.")
                else:
                    self._unreadable = error
                raise
        return self._body or b""

    async def _receive_form(self) -> None:
        from .forms import receive_form  # with its parser, which most applications never need

        self._uploaded = await receive_form(self)

    def at_end(self, ending: Callable[[], object]) -> None:
        """Have a plain function called when the response is over, however it ended."""
        self._endings = (*self._endings, ending)

    def end(self) -> None:
        """Call what `at_end` was given; for a gateway, when the response is over."""
        endings, self._endings = self._endings, ()
        for ending in endings:
            ending()

    def open_stream(self) -> None:
        """Make `stream` ready, instead of reading the body; raises what `read` does."""
        self.expect_body(self.app.max_upload_size)

    def expect_body(self, limit: int) -> None:
        """Note how long the body will be, and how long it may be at most, in bytes."""
        self._limit = limit
        self._announced = declared_length(self.header("content-length"), limit)

    def _counted(self, piece: bytes) -> bytes:
        """A piece of the body that has arrived; whatever was announced, it is counted."""
        self._received += len(piece)
        if self._received > self._limit:
            raise too_large(self._limit)
        return piece

    def _unexpected_type(self, expected: str) -> HTTPException:
        return HTTPException(
            415, f"The body must be {expected}; its Content-Type is {self.content_type!r}."
        )

    def header(self, name: str) -> str | None:
        """The first header called `name`, in lower case, without parsing the others."""
        raise NotImplementedError

    def _header_pairs(self) -> list[tuple[str, str]]:
        raise NotImplementedError

    async def _receive_body(self) -> bytes:
        """The whole body."""
        raise NotImplementedError

    async def receive_piece(self) -> bytes:
        """The next piece of the body; empty at its end."""
        raise NotImplementedError

    def receive_piece_here(self) -> bytes:
        """`receive_piece` for plain code: it blocks the thread."""
        raise NotImplementedError

    async def call_plain(self, function: Callable[..., T], /, *args: Any) -> T:
        """Call what may block, as the disk does, where plain code of this request runs."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path!r} through {self.protocol}>"


def _is_multipart(content_type: str) -> bool:
    # The first letter tells nearly all other types from this one.
    return content_type[:1] in "mM" and media_type_of(content_type) == "multipart/form-data"


def _is_urlencoded(content_type: str) -> bool:
    return media_type_of(content_type) == "application/x-www-form-urlencoded"


def _is_json(content_type: str) -> bool:
    media_type = media_type_of(content_type)
    return media_type == "application/json" or media_type.endswith("+json")
