"""Response: what a handler answers; and the rules that make one of any value it returns."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from .cookies import format_cookie
from .headers import Headers, Pairs
from .request import PATH_SAFE, Request

if TYPE_CHECKING:
    from .file_body import FileBody

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
OCTETS = "application/octet-stream"

# These have no body, whatever the handler returned (RFC 9110, 15.2, 15.3.5 and 15.4.5).
BODILESS = frozenset({101, 204, 304})

HeaderSource = Mapping[str, str] | Pairs
Chunks = Iterable[str | bytes] | AsyncIterable[str | bytes]


class Response:
    """A status, headers and a body.

    `status` is an int from 200 to 599. `headers` is a mapping, or pairs where a name
    repeats; its Content-Type wins over `content_type`. `background` is a function without
    arguments, plain or async, that runs once after the body is out, however it ended.
    Content-Length is the gateway's to add.

    What a layer replaces by another response never goes out, and its background never runs:
    such a layer hands it on, `Response(..., background=response.background)`, or drops it.

    Raises ValueError for another status, TypeError for a body that is not bytes or str,
    and what `Headers` raises.
    """

    _content_type = OCTETS
    # Of a response that is not ready yet, as that of a file: what makes it so. It may block.
    _finish: Callable[[Request, Any], Response] | None = None
    # The open file that `iterator` reads: a server may have a shorter way to send it.
    _file: FileBody | None = None

    def __init__(
        self,
        body: bytes | str = b"",
        status: int = 200,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
        background: Callable[[], Any] | None = None,
    ) -> None:
        self.body = _encoded(body, "a Response's body is bytes or str, not")
        self.status = status if status == 200 else _checked_status(status)
        self.iterator: Chunks | None = None
        self.background = background
        self._headers: Headers | None = None
        self._request: Request | None = None
        if content_type is not None:
            self.headers["content-type"] = content_type
        if headers is not None:
            self._set_headers(headers)

    def _set_headers(self, headers: HeaderSource) -> None:
        given = Headers(headers)
        if "content-type" in given:
            self._headers = given
            return
        for name, value in given.multi_items():
            self.headers.add(name, value)

    @property
    def headers(self) -> Headers:
        """The response's headers; they are built at the first access."""
        if self._headers is None:
            # Whole before it is seen: two threads may return one response that is shared.
            self._headers = Headers({"content-type": self._content_type})
        return self._headers

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return self.headers.get("content-type", self._content_type)

    @content_type.setter
    def content_type(self, value: str) -> None:
        self.headers["content-type"] = value

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | timedelta | None = None,
        expires: datetime | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: str | None = "lax",
    ) -> None:
        """Ask the client to keep a cookie: see `cookies.format_cookie` for the attributes."""
        cookie = format_cookie(
            name,
            value,
            max_age=max_age,
            expires=expires,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )
        self.headers.add("set-cookie", cookie)

    def delete_cookie(
        self, name: str, *, path: str | None = "/", domain: str | None = None, **attributes: Any
    ) -> None:
        """Ask the client to forget a cookie; path and domain must be those it was set with."""
        self.set_cookie(name, "", max_age=0, path=path, domain=domain, **attributes)

    def copy(self) -> Self:
        """A twin whose status, headers and body can be changed without changing this one."""
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        if self._headers is not None:
            twin._headers = self._headers.copy()
        return twin

    def checked(self) -> Self:
        """This response. Raises ValueError or TypeError if it was spoilt since it was made."""
        _checked_status(self.status)
        if type(self.body) is not bytes:
            raise TypeError(f"a Response's body must stay bytes, but it is {_kind(self.body)}")
        return self

    def header_pairs(self, method: str) -> list[tuple[str, str]]:
        """The headers as they leave: with Content-Length where it is known and allowed.

        A body is never sent without its Content-Type: PEP 3333's validator asks for one,
        and a browser would guess.
        """
        pairs = self.headers.multi_items()
        if self.status in BODILESS:
            return [pair for pair in pairs if pair[0] not in ("content-type", "content-length")]
        names = [name for name, _ in pairs]
        if "content-type" not in names:
            pairs.append(("content-type", self._content_type))
        if self.iterator is None and not (method == "HEAD" and "content-length" in names):
            if "content-length" in names:
                pairs = [pair for pair in pairs if pair[0] != "content-length"]
            pairs.append(("content-length", str(len(self.body))))
        return pairs

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.content_type}>"


class PlainTextResponse(Response):
    """Text, sent as UTF-8."""

    _content_type = TEXT


class HTMLResponse(Response):
    """HTML, sent as UTF-8. Whatever a user typed must be escaped first: `html.escape`."""

    _content_type = HTML


class JSONResponse(Response):
    """`value` as JSON, in UTF-8 (RFC 8259).

    Beside what `json.dumps` takes: dates and times (ISO 8601), UUID and Decimal (as str)
    and dataclasses. Raises TypeError for anything else, ValueError for NaN and infinity.
    """

    _content_type = JSON

    def __init__(self, value: Any, status: int = 200, headers: HeaderSource | None = None) -> None:
        super().__init__(encode_json(value), status, headers)


class RedirectResponse(Response):
    """Sends the client on to `location`, which is made ASCII by percent-encoding.

    `status` is 301, 302, 303, 307 or 308 (RFC 9110, 15.4). A location that came
    from the client can lead anywhere; ask `is_local_path` before it is used.
    """

    _content_type = TEXT

    def __init__(
        self, location: str, status: int = 302, headers: HeaderSource | None = None
    ) -> None:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"RedirectResponse: {status} is no redirect's status")
        super().__init__(b"", status, headers)
        self.headers["location"] = quote(location, safe=PATH_SAFE + "%?#[]")


class StreamingResponse(Response):
    """A body sent chunk by chunk as `iterator`, plain or async, yields it; str is UTF-8.

    Each chunk is taken only when the one before it has been handed to the server, and the
    iterator is closed (`close` or `aclose`) once: at its end, on an error, or when the
    client leaves. A layer that answers something else instead has to close it itself.
    """

    _content_type = TEXT

    def __init__(
        self,
        iterator: Chunks,
        status: int = 200,
        headers: HeaderSource | None = None,
        content_type: str | None = None,
        background: Callable[[], Any] | None = None,
    ) -> None:
        if isinstance(iterator, (str, bytes)) or not isinstance(
            iterator, (Iterable, AsyncIterable)
        ):
            raise TypeError(
                f"StreamingResponse takes an iterator of str or bytes, not {_kind(iterator)}"
            )
        super().__init__(b"", status, headers, content_type, background)
        self.iterator = iterator


def to_response(value: Any, source: Any, status: int = 200) -> Response:
    """Make a Response of what `source`, a handler or a layer, returned.

    str (text/plain), bytes, dict or list (JSON), None (204), (value, status),
    (value, status, headers), an iterator or async iterator of str or bytes (streamed), or
    a Response. Raises TypeError for anything else, naming the source.
    """
    try:
        # The tests for the commonest kinds stand first; each costs 20 nanoseconds.
        kind = type(value)
        if kind is str:
            return PlainTextResponse(value, status)
        if kind is dict or kind is list:
            return JSONResponse(value, status)
        if isinstance(value, Response):
            return value.checked()
        if value is None:
            return Response(b"", 204 if status == 200 else status)
        if isinstance(value, tuple):
            return _from_tuple(value, source)
        if isinstance(value, str):
            return PlainTextResponse(value, status)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return Response(bytes(value), status)
        if isinstance(value, (dict, list)):
            return JSONResponse(value, status)
        if isinstance(value, (Iterator, AsyncIterator)):
            return StreamingResponse(value, status)
        raise TypeError(f"{describe(source)} returned {_kind(value)}; {_mend(value)}")
    except Exception as error:
        if describe(source) not in str(error):
            # The source has returned, so its traceback would not show it.
            error.add_note(f"This came of a value that {describe(source)} returned.")
        raise


def response_for(request: Request, value: Any, source: Any, status: int = 200) -> Response:
    """`to_response`, where layers may change the result: it belongs to this request alone.

    A Response that a handler keeps and returns again and again is copied first; it must not
    carry the session cookie of one user to the next.
    """
    response = to_response(value, source, status)
    if response is value and response._request is not request:
        response = response.copy()
    response._request = request
    return response


def redirect_to_path(request: Request, path: str) -> RedirectResponse:
    """On to another path of the same application, with the same query: 308."""
    # Path-only with one leading slash, so that it cannot name another host ("//evil.example").
    location = "/" + quote(request.root_path + path, safe=PATH_SAFE).lstrip("/")
    if request.query_string:
        location += "?" + quote(request.query_string.encode("latin-1"), safe=PATH_SAFE + "%?")
    return RedirectResponse(location, 308)


def encode_json(value: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, stays escaped."""
    try:
        # Joined here, and not by JSONEncoder.encode, which makes such an encoder for each value:
        # a small dict takes 0.4 microseconds instead of 1.0.
        return "".join(_encode_parts(value, 0)).encode()
    except (UnicodeEncodeError, RecursionError):
        # The one that looks for circles says what is wrong, and escapes what UTF-8 cannot hold.
        return json.dumps(value, default=_json_default, allow_nan=False).encode()


def encode_chunk(chunk: Any) -> bytes:
    """One piece of a streamed body. Raises TypeError for anything but str and bytes."""
    return _encoded(chunk, "a streamed body is made of str or bytes, but its iterator gave")


def close_chunks(iterator: Any, source: Any) -> None:
    """Close a streamed body: its iterator, and what that came from, as far as they can be.

    The `__iter__` of a file or a cursor may be a generator, whose end closes nothing else.
    What the close of the one raises does not keep the other from being closed.
    """
    try:
        if iterator is not source and hasattr(iterator, "close"):
            iterator.close()
    finally:
        if hasattr(source, "close"):
            source.close()


async def aclose_chunks(iterator: Any, source: Any) -> None:
    """`close_chunks`, for an async iterator."""
    try:
        if iterator is not source and hasattr(iterator, "aclose"):
            await iterator.aclose()
    finally:
        if hasattr(source, "aclose"):
            await source.aclose()


def describe(function: Any) -> str:
    """A function as an error message names it: `show (shop.py:12)`."""
    function = getattr(function, "func", function)  # functools.partial
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004
    return name if code is None else f"{name} ({code.co_filename}:{code.co_firstlineno})"


def _from_tuple(value: tuple[Any, ...], source: Any) -> Response:
    status = value[1] if len(value) in (2, 3) else None
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(
            f"{describe(source)} returned a tuple that is neither (value, status: int)"
            f" nor (value, status: int, headers): {value!r:.200}"
        )
    if isinstance(value[0], (Response, tuple)):
        raise TypeError(
            f"{describe(source)} returned {_kind(value[0])} inside a tuple;"
            " give the Response its status and headers itself: Response(body, status=201)"
        )
    response = to_response(value[0], source)
    response.status = _checked_status(status)
    if len(value) == 3:
        response._set_headers(value[2])
    return response


def _mend(value: Any) -> str:
    if hasattr(value, "__await__"):
        return "is it an async function inside a plain decorator? Then the decorator must await it"
    return (
        "a handler returns str, bytes, dict, list, None, (value, status),"
        " (value, status, headers), an iterator of str or bytes, or a Response"
    )


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def _checked_status(status: int) -> int:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"a response's status is an int from 200 to 599, not {status!r}")
    return int(status)


def _encoded(body: Any, complaint: str) -> bytes:
    if type(body) is bytes:
        return body
    if isinstance(body, str):
        # A lone surrogate, which JSON input can carry, must not become a 500.
        return body.encode("utf-8", "replace")
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"{complaint} {_kind(body)}")


def _json_default(value: Any) -> Any:
    import dataclasses
    import decimal
    import uuid
    from datetime import date, time

    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, decimal.Decimal)):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{_kind(value)} is not JSON; make it a dict, a list, a str or a number first")


def _parts_encoder() -> Callable[[Any, int], Iterable[str]]:
    """What CPython's JSONEncoder has inside, without its search for circles, if it is there."""
    encoder = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_json_default
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _level: encoder.iterencode(value)
    escape = json.encoder.encode_basestring
    parts: Callable[[Any, int], Iterable[str]] = make(
        None, _json_default, escape, None, ":", ",", False, False, False
    )
    return parts


_encode_parts = _parts_encoder()
