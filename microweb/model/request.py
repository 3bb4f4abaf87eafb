"""Request: what a handler sees of an HTTP request, whichever door it came in by."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from itertools import accumulate
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from .cookies import parse_cookies
from .errors import HTTPException
from .headers import MultiDict, RequestHeaders
from .lazy import lazy

if TYPE_CHECKING:
    from ..app import App
    from ..routing import Route

MAX_PARAMETERS = 1000
DEEPEST_JSON = 200

# pchar and "/" (RFC 3986, 3.3): what a path may hold without a percent sign
PATH_SAFE = "/:@!$&'()*+,;=~-._"


class Request:
    """One request. A gateway makes it; layers and handlers read it.

    The body has arrived before a handler runs, so that plain and async handlers read it
    alike. Layers run before that: there `body` raises, and an async layer may
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
    _unreadable: HTTPException | None = None
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
    def query(self) -> MultiDict:
        """The parameters in the query of the URL: `?a=1&a=2`.

        Raises HTTPException(400) for more than 1,000 of them. Bad escapes are tolerated.
        """
        return MultiDict(parse_parameters(self.query_string))

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
            host = name if port in (0, _PORTS.get(self.scheme)) else f"{name}:{port}"
        return host

    @property
    def url(self) -> str:
        """The absolute URL that was asked for, percent-encoded."""
        query = quote(self.query_string.encode("latin-1"), safe=PATH_SAFE + "%?")
        return self._absolute(self.path) + ("?" + query if query else "")

    def url_for(self, name: str, /, **path_params: Any) -> str:
        """The absolute URL of the route `name`: see `App.url_path_for`."""
        return self._absolute("") + self.app.url_path_for(name, **path_params)

    def _absolute(self, path: str) -> str:
        return f"{self.scheme}://{self.host}{quote(self.root_path + path, safe=PATH_SAFE)}"

    @property
    def body(self) -> bytes:
        """The body; empty on GET and HEAD, where content has no meaning (RFC 9110, 9.3.1).

        Raises RuntimeError in a layer, before the body is read.
        """
        if self._body is None:
            if self.method in ("GET", "HEAD"):
                return b""
            raise RuntimeError(
                "request.body is not read yet: layers run before it arrives;"
                " an async layer may `await request.read()`"
            )
        return self._body

    @property
    def text(self) -> str:
        """The body as UTF-8 text; what is not UTF-8 becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON (RFC 8259).

        Raises HTTPException: 415 where Content-Type is present and names another type,
        400 where the body is no JSON, too deep, or has a number too long to read.
        """
        content_type = self.header("content-type")
        if content_type and not _is_json(content_type):
            raise HTTPException(
                415, f"The body must be application/json; its Content-Type is {content_type!r}."
            )
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

    async def read(self) -> bytes:
        """Read the whole body, once; a handler finds it in `body`.

        Raises HTTPException: 413 over `App(max_body_size)`, 400 for a Content-Length that
        is no number or a body that ends before it, 411 for a body without a length where
        the server side does not mark its end.
        """
        if self._unreadable is not None:
            raise self._unreadable
        if self._body is None:
            if self.method in ("GET", "HEAD"):
                return b""
            try:
                self._body = await self._receive_body(self.app.max_body_size)
            except BaseException as error:  # cancelled by a timeout, too
                # A second try would find the rest, and take it for the whole.
                if not isinstance(error, HTTPException):
                    self._unreadable = HTTPException(400, "The body was read in part only.")
                else:
                    self._unreadable = error
                raise
        return self._body

    def header(self, name: str) -> str | None:
        """The first header called `name`, in lower case, without parsing the others."""
        raise NotImplementedError

    def _header_pairs(self) -> list[tuple[str, str]]:
        raise NotImplementedError

    async def _receive_body(self, limit: int) -> bytes:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path!r} through {self.protocol}>"


def parse_parameters(text: str) -> list[tuple[str, str]]:
    """The pairs of an application/x-www-form-urlencoded text (WHATWG URL, 5.1)."""
    if not text.isascii():
        # What nobody encoded came as Latin-1 through both doors, and means UTF-8.
        text = text.encode("latin-1").decode("utf-8", "replace")
    try:
        return parse_qsl(
            text, keep_blank_values=True, errors="replace", max_num_fields=MAX_PARAMETERS
        )
    except ValueError:
        raise HTTPException(400, f"There are more than {MAX_PARAMETERS} parameters.") from None


def declared_length(value: str | None, limit: int) -> int | None:
    """What Content-Length announces; None if it is absent or empty (PEP 3333 allows that).

    Raises HTTPException: 400 for anything but ASCII digits (RFC 9110, 8.6), 413 over limit.
    """
    if not value:
        return None
    if not (value.isascii() and value.isdigit()):
        raise HTTPException(400, f"Content-Length must be a number, not {value!r}.")
    digits = value.lstrip("0") or "0"
    # Compared by its length first: int() refuses to read more than 4,300 digits.
    if len(digits) > len(str(limit)) or int(digits) > limit:
        raise too_large(limit)
    return int(digits)


def too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The body is larger than {limit:,} bytes.")


_PORTS = {"http": 80, "https": 443}


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def decode_json(text: str) -> Any:
    """JSON as RFC 8259 has it: no NaN, no Infinity, no number that would become one.

    Raises ValueError, JSONDecodeError among them; also for more than 200 levels. What Python
    itself can read and write depends on how deep its caller is, and differs between servers.
    """
    if text.count("[") + text.count("{") > DEEPEST_JSON and _depth(text) > DEEPEST_JSON:
        raise ValueError(f"more than {DEEPEST_JSON} levels")
    return _decode(text)


def _depth(text: str) -> int:
    brackets = _NO_BRACKETS.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _not_json(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text:.20} is too large for a number")
    return number


_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^][{}]+")
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_decode = json.JSONDecoder(parse_constant=_not_json, parse_float=_finite).decode
