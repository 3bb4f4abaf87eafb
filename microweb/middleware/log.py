"""RequestIdMiddleware and AccessLogMiddleware: a request's traces in the logs."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator
from contextvars import ContextVar
from time import perf_counter
from urllib.parse import quote

from ..model.request import PATH_SAFE, Request
from ..model.response import BODILESS, Response
from .pieces import piped

logger = logging.getLogger("microweb.access")

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[0-9A-Za-z._-]{8,64}")
# Visible ASCII, without the quote that ends a field and the percent sign of an escape
_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


class RequestIdMiddleware:
    """Gives each request a name, by which everything about it is found again.

    It is taken from X-Request-ID, where a proxy may have put it, if that is 8 to 64 letters,
    digits, dots, dashes and underscores; otherwise it is made of 16 random bytes. A client
    can choose it too, so it is a label and proves nothing. It is put in
    `request.state.request_id`, in the response's X-Request-ID (but for the 500 of an
    unexpected error, which is made outside all layers), and in the context variable
    `request_id`, for `add_request_id`.
    """

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        # All of them: a client's own beside a proxy's is not taken for the proxy's.
        given = request.headers.get(_HEADER, "")
        name = given if _WELL_FORMED.fullmatch(given) else os.urandom(16).hex()
        request.state.request_id = name
        request_id.set(name)
        response = yield
        response.headers[_HEADER] = name


def add_request_id(record: logging.LogRecord) -> bool:
    """A logging filter: `handler.addFilter(add_request_id)` lets its format say %(request_id)s."""
    record.request_id = request_id.get()
    return True


class AccessLogMiddleware:
    """Writes a line on each request to the logger "microweb.access", at level INFO.

    `203.0.113.9 "GET /shop?page=2" 200 5120 12.3ms 7f3a...`: client, method and target,
    status, bytes of the body, time, request id; "-" is what is not known. All that a client
    wrote is percent-encoded, so that it can forge no line and no field.

    A stream is logged when it is over, with the bytes that were taken of it. A body whose
    length is known, a file among them, is logged when it is handed on: servers have better
    ways to send it than through here. Put this layer outermost: an error that passes through
    it is logged as the 500 that it will be, and a WebSocket as the 101 that begins it.
    """

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        if not logger.isEnabledFor(logging.INFO):
            yield
            return
        started = perf_counter()

        def write(status: int | str, size: int | str) -> None:
            took = f"{(perf_counter() - started) * 1000:.1f}ms"
            logger.info('%s "%s" %s %s %s %s', *_who_and_what(request, status, size, took))

        try:
            response = yield
        except Exception:
            write(500, "-")
            raise
        except GeneratorExit:  # cancelled: nobody waits for an answer any more
            write("-", "-")
            raise
        if response.iterator is None or "content-length" in response.headers:
            write(response.status, _size(request, response))
        else:
            count = _Count()
            response.iterator = piped(
                response.iterator,
                count.add,
                closed=lambda: write(response.status, count.total),
            )


class _Count:
    total = 0

    def add(self, chunk: bytes) -> bytes:
        self.total += len(chunk)
        return chunk


def _who_and_what(
    request: Request, status: int | str, size: int | str, took: str
) -> tuple[object, ...]:
    client = _visible(request.client[0]) if request.client else "-"
    name = _visible(str(getattr(request.state, "request_id", "-")))
    return client, f"{_visible(request.method)} {_target(request)}", status, size, took, name


def _size(request: Request, response: Response) -> int | str:
    if request.method == "HEAD" or response.status in BODILESS:
        return 0
    return len(response.body) if response.iterator is None else response.headers["content-length"]


def _target(request: Request) -> str:
    target = quote(request.root_path + request.path, safe=PATH_SAFE)
    if not request.query_string:
        return target
    return f"{target}?{_visible(request.query_string, also='%', encoding='latin-1')}"


def _visible(text: str, also: str = "", encoding: str = "utf-8") -> str:
    return quote(text, safe=_VISIBLE + also, encoding=encoding, errors="replace")
