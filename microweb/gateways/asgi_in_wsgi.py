"""ASGI in WSGI: a mounted ASGI application, called under WSGI as an ASGI server would call it.

Its task runs on the app's event loop. What it receives and sends passes through the server's
thread, which waits for it meanwhile: see `visits.py`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..core import logger
from ..model.errors import PHRASES, ClientDisconnect
from ..model.headers import HOP_BY_HOP
from ..model.response import BODILESS
from .bridge import LARGE, WAIT_AFTER
from .visits import PATIENCE, app_loop

if TYPE_CHECKING:
    from ..mounts import ASGIApp
    from .wsgi import StartResponse
    from .wsgi_request import WSGIRequest

Message = dict[str, Any]
Scope = dict[str, Any]


class ASGICall(Iterator[bytes]):
    """One call of an ASGI application, and the iterable of its response.

    The application is paused in `send` until the server asks for more, though not for each
    chunk: see `bridge.py`. Its last message does not pause it: the client has its whole
    response then, and `close` gives what is still to be done some time to end.

    `state` is what the application's lifespan left (ASGI Lifespan, "Lifespan State"). Raises
    HTTPException: 411 for a body whose end cannot be seen, 400 for a wrong Content-Length.
    """

    def __init__(self, app: ASGIApp, request: WSGIRequest, state: dict[str, Any]) -> None:
        request.expect_body(sys.maxsize)
        self._has_body = request.may_have_more()
        self._app = app
        self._request = request
        self._scope = scope_of(request, state)
        self._visit = app_loop.visit()
        self._head: Message = {}  # once the application has sent it
        self._uploaded = False  # the application has received the whole body of the request
        self._cut_off = False  # the client left in the middle of it
        self._count = 0  # of the chunks of its response
        self._complete = False  # the application has sent its last message
        self._left = False  # the server has closed the response before that
        self._error: Exception | None = None  # that ended the application, till it is raised
        self._sending = asyncio.Lock()  # one at a time, of all the application's tasks
        self._gone = asyncio.Event()  # there will be nothing to receive but the disconnect
        # As the server's thread sees it: the chunk it holds, and whether another will come.
        self._chunk = b""
        self._more = False
        self._is_paused = False  # the application waits until this chunk is gone

    def start(self, start_response: StartResponse) -> None:
        """Run the application up to its first chunk: before it, an error is still a 500.

        Raises what the application raises till then, RuntimeError if it ends without a
        response, ClientDisconnect if the request's body broke off.
        """
        try:
            self._visit.start(self._run())
            self._take()
            status, headers = _head_of(self._head)
            start_response(status, headers)
        except BaseException as error:
            self.close()
            if self._cut_off and isinstance(error, Exception):
                raise ClientDisconnect from None
            raise

    def __next__(self) -> bytes:
        while not self._chunk:
            if not self._more:
                raise StopIteration
            if self._is_paused:
                self._visit.resume()
            self._take()
        chunk, self._chunk = self._chunk, b""
        return chunk

    def close(self) -> None:
        """Wait for the end of the application; one whose client has left is told so first."""
        complete = self._complete
        if not complete:
            self._left = True
            self._visit.loop.call_soon_threadsafe(self._gone.set)
            self._visit.resume()
        ended = self._visit.ends_within(PATIENCE)
        if self._error is not None:
            self._log(self._error)
        if ended or complete:
            return  # what goes on after a whole response needs no thread
        self._visit.cancel()
        if not self._visit.ends_within(PATIENCE):
            logger.error("%s ignores the disconnect and its cancellation", self)

    def __str__(self) -> str:
        return f"{self._request.method} {self._request.root_path + self._request.path!r}"

    def _take(self) -> None:
        self._more = False
        item = self._visit.wait()
        if item is None:
            error, self._error = self._error, None
            raise error or RuntimeError(f"the application mounted here left {self} unanswered")
        self._chunk, self._more, self._is_paused = item

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            if self._left or self._complete:
                self._log(error)  # nobody takes it any more
            else:
                self._error = error

    def _log(self, error: Exception) -> None:
        if not _is_of_leaving(error):
            logger.error("%s failed after its response", self, exc_info=error)

    async def _receive(self) -> Message:
        if not (self._uploaded or self._gone.is_set()):
            try:
                body = await self._visit.call(self._read) if self._has_body else b""
            except ClientDisconnect:
                self._cut_off = True
                self._gone.set()
            else:
                self._uploaded = not (body and self._request.may_have_more())
                return {"type": "http.request", "body": body, "more_body": not self._uploaded}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def _read(self) -> bytes:
        # In the server's thread, which after the response must not wait for its client.
        if self._gone.is_set() or self._left:
            raise ClientDisconnect
        return self._request.read_piece()

    async def _send(self, message: Message) -> None:
        async with self._sending:
            await self._send_alone(message)

    async def _send_alone(self, message: Message) -> None:
        kind = message["type"]
        if self._left:
            raise _ClientHasLeft(f"{kind}: the client has left")
        if kind == "http.response.start" and not self._head:
            self._head = message  # it leaves with the first chunk (PEP 3333)
        elif kind == "http.response.body" and self._head and not self._complete:
            await self._send_body(
                self._head["status"], bytes(message.get("body", b"")), message.get("more_body")
            )
        else:
            raise RuntimeError(f"the application mounted here sent a {kind!r} out of its order")

    async def _send_body(self, status: int, chunk: bytes, more: bool | None) -> None:
        # ASGI servers drop a body that must not be; WSGI servers send what they are given.
        silent = self._request.method == "HEAD" or status in BODILESS
        if not more:
            self._complete = True
            self._gone.set()
            self._visit.post((b"" if silent else chunk, False, False))
        elif silent:
            await self._visit.give((b"", False, True))
        elif not chunk:
            await asyncio.sleep(0)  # it might send nothing for ever, and others want their turn
        else:
            self._count += 1
            if self._count % WAIT_AFTER == 0 or len(chunk) > LARGE:
                await self._visit.give((chunk, True, True))
            else:
                self._visit.post((chunk, True, False))
        if self._left:
            raise _ClientHasLeft("http.response.body: the client has left")


def scope_of(request: WSGIRequest, state: dict[str, Any]) -> Scope:
    """The scope of a request, made of its environ (ASGI HTTP, "HTTP Connection Scope")."""
    environ = request.environ
    version = request.http_version
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2" if version == "2.0" else version,
        "method": request.method,
        "scheme": request.scheme,
        # By the specification the path includes the root path.
        "path": request.root_path + (request.path if environ.get("PATH_INFO") else ""),
        "query_string": request.query_string.encode("latin-1"),
        "root_path": request.root_path,
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in request._header_pairs()
        ],
        "client": request.client,
        "server": request.server,
        "state": state.copy(),
        "extensions": {},
    }
    # PEP 3333 has no word for the path as it was sent, but many servers have one.
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if target.startswith("/"):
        scope["raw_path"] = target.partition("?")[0].encode("latin-1")
    return scope


class _ClientHasLeft(OSError):
    """What `send` raises once nobody reads any more (ASGI 2.4, "Disconnected Client")."""


def _is_of_leaving(error: BaseException | None) -> bool:
    # An application may have made another error of the one that its `send` raised.
    while error is not None and not isinstance(error, _ClientHasLeft):
        error = error.__context__
    return error is not None


def _head_of(start: Message) -> tuple[str, list[tuple[str, str]]]:
    status = start["status"]
    pairs = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in start.get("headers", ())
    ]
    # The connection is the server's (PEP 3333, "Other HTTP Features").
    headers = [pair for pair in pairs if pair[0].lower() not in HOP_BY_HOP]
    return f"{status} {PHRASES.get(status, 'Unknown')}", headers
