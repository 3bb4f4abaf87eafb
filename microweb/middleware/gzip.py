"""GZipMiddleware: bodies made smaller for clients that can read them so (RFC 9110, 12.5.3).

zlib compresses; which responses may be coded, and what else changes with them, is decided here.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ..model.qvalues import parse_qvalues, split_quoted
from ..model.request import Request
from ..model.response import Response
from ..model.vary import add_vary
from .pieces import piped

# Under ASGI this layer runs on the event loop, and what takes longer would hold up others. A
# larger body becomes a plain iterator, which the gateway runs in a worker thread.
AT_ONCE = 64 * 1024
PIECE = 256 * 1024

# Beside text/*, *+json and *+xml
COMPRESSIBLE = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/ndjson",
        "application/rtf",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-www-form-urlencoded",
        "application/xml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/x-icon",
    }
)
# Events are small, and on the way some programs decode in blocks, which would delay them.
NEVER = "text/event-stream"

# Without content, or with a part of one: offsets count the bytes of what is not coded.
_STATUSES_LEFT_ALONE = frozenset({101, 204, 206, 304})
# The body is coded already, is a part, or has its bytes vouched for (RFC 9530).
_HEADERS_LEFT_ALONE = ("content-encoding", "content-range", "content-digest")

_GZIP = zlib.MAX_WBITS + 16  # zlib's sign for gzip's header, which it writes without a date


class GZipMiddleware:
    """Sends text and its like gzip-coded to clients whose Accept-Encoding allows it.

    Bodies below `minimum_size` bytes gain nothing and stay as they are; `level` is from 1,
    the fastest, to 9, the smallest. A stream stays one: each chunk is compressed and leaves
    before the next is asked for. (Those of an async iterator are compressed on its loop, so
    they should be small.) Left alone are bodies with a Content-Encoding, parts of files,
    event streams, and what `Cache-Control: no-transform` protects.

    `Vary: Accept-Encoding` is on every response that could have been coded, on parts of one,
    and on every 304. A coded one has a weak ETag, since its bytes are others, and no
    Accept-Ranges.

    How well a page compresses tells something about it: one that shows a secret beside text
    of a stranger's choice, over and over, lets them guess the secret from the length (BREACH).
    Raises ValueError for a level or size out of range.
    """

    def __init__(self, *, minimum_size: int = 1000, level: int = 6) -> None:
        if not 1 <= level <= 9:
            raise ValueError(f"GZipMiddleware(level={level}): from 1 to 9")
        if minimum_size < 1:
            raise ValueError(f"GZipMiddleware(minimum_size={minimum_size}): bytes, 1 or more")
        self._minimum_size = minimum_size
        self._level = level

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        response = yield
        if response.status == 304:
            _name_as_sent(request, response)
        if _stands_for_a_whole(response):
            add_vary(response.headers, "Accept-Encoding")
        elif self._could_code(response):
            add_vary(response.headers, "Accept-Encoding")
            if _accepts_gzip(request.headers.get("accept-encoding", "")):
                self._code(response)

    def _could_code(self, response: Response) -> bool:
        headers = response.headers
        return (
            response.status not in _STATUSES_LEFT_ALONE
            and _is_compressible(headers.get("content-type", ""))
            and not any(name in headers for name in _HEADERS_LEFT_ALONE)
            and "no-transform" not in _directives(headers.get("cache-control", ""))
            and self._is_worth_it(response)
        )

    def _is_worth_it(self, response: Response) -> bool:
        if response.iterator is None:
            return len(response.body) >= self._minimum_size
        length = response.headers.get("content-length", "")
        return not (length.isdecimal() and int(length) < self._minimum_size)

    def _code(self, response: Response) -> None:
        headers = response.headers
        headers["content-encoding"] = "gzip"
        headers.pop("content-length", None)
        headers.pop("accept-ranges", None)
        if (etag := headers.get("etag", "")).startswith('"'):
            headers["etag"] = f"W/{etag}"  # RFC 9110, 8.8.1
        coder = zlib.compressobj(self._level, wbits=_GZIP)
        if response.iterator is not None:
            response.iterator = piped(response.iterator, _flushed(coder), end=coder.flush)
        elif len(response.body) <= AT_ONCE:
            response.body = coder.compress(response.body) + coder.flush()
        else:
            response.iterator = _in_pieces(response.body, coder)
            response.body = b""


def _stands_for_a_whole(response: Response) -> bool:
    """Whether it has to say of what it varies as the whole would, which could have been coded.

    RFC 9110, 15.3.7 and 15.4.5. A 304 does not tell of what type that is.
    """
    return response.status == 304 or (
        response.status == 206 and _is_compressible(response.headers.get("content-type", ""))
    )


def _accepts_gzip(accept_encoding: str) -> bool:
    weights = dict(parse_qvalues(accept_encoding))
    # x-gzip is the same (RFC 9110, 8.4.1.3), "*" any that is not named.
    weight = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return weight > 0 and weight >= weights.get("identity", 0.0)


def _is_compressible(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip(" \t").lower()
    return (
        media_type in COMPRESSIBLE
        or (media_type.startswith("text/") and media_type != NEVER)
        or media_type.endswith(("+json", "+xml"))
    )


def _directives(cache_control: str) -> list[str]:
    return [directive.lower() for directive in split_quoted(cache_control, ",")]


def _flushed(coder: Any) -> Callable[[bytes], bytes]:
    """Compress a chunk whole, so that the client can read it before the next is there."""

    def compress(chunk: bytes) -> bytes:
        if not chunk:
            return b""
        data: bytes = coder.compress(chunk) + coder.flush(zlib.Z_SYNC_FLUSH)
        return data

    return compress


def _in_pieces(body: bytes, coder: Any) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield coder.compress(body[start : start + PIECE])
    yield coder.flush()


def _name_as_sent(request: Request, response: Response) -> None:
    """A client that keeps the coded form knows it by its weak ETag.

    Under the strong one a cache would not find what it should refresh (RFC 9111, 4.3.4).
    """
    etag = response.headers.get("etag", "")
    if etag.startswith('"') and f"W/{etag}" in request.headers.get("if-none-match", ""):
        response.headers["etag"] = f"W/{etag}"
