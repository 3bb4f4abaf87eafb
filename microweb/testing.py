"""TestClient: an httpx.Client that calls an application directly, through either door.

It plays the server's part of both protocols, lazily as a server would: the application is
driven only as far as the response is read. All clients share the process's one loop.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import unquote_to_bytes

try:
    import httpx
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "microweb.testing needs httpx: in the checkout, .venv/bin/pip install -e '.[test]'"
    ) from None

from .app import App
from .core import propagate_errors
from .gateways.visits import Visit, app_loop
from .model.request import PORTS

if TYPE_CHECKING:
    from .testing_websocket import WebSocketSession

RawHeaders = list[tuple[bytes, bytes]]


class TestClient(httpx.Client):
    """Requests to an application, without a server: `TestClient(app, protocol="asgi")`.

    `protocol` says which door: "wsgi" or "asgi". `app` is an App, or a bare callable of that
    protocol. A `with` block runs the application's lifespan around it. With
    `raise_server_exceptions` an unexpected error is raised here instead of becoming a 500.
    `wrap` is put around the callable: a validator, a recorder. `root_path` is where the
    application is mounted. All other arguments are httpx.Client's.
    """

    __test__ = False  # not a test case, whatever its name says to pytest

    def __init__(
        self,
        app: App | Callable[..., Any],
        protocol: Literal["wsgi", "asgi"] | None = None,
        *,
        raise_server_exceptions: bool = False,
        wrap: Callable[[Any], Any] | None = None,
        root_path: str = "",
        base_url: str = "http://testserver",
        **arguments: Any,
    ) -> None:
        if protocol not in _TRANSPORTS:
            raise ValueError(
                f'TestClient(app, protocol={protocol!r}): name the door, "wsgi" or "asgi"'
            )
        door = getattr(app, protocol) if isinstance(app, App) else app
        self._transport_of_app = _TRANSPORTS[protocol](
            door, wrap(door) if wrap else door, raise_server_exceptions, root_path
        )
        super().__init__(transport=self._transport_of_app, base_url=base_url, **arguments)

    @contextmanager
    def websocket_connect(
        self,
        path: str,
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[WebSocketSession]:
        """A conversation: `with client.websocket_connect("/chat") as ws: ws.send_text("hi")`.

        The client's cookies go with the handshake, and those of the answer are kept. At the
        end of the block the client leaves, and the handler's end is waited for.

        Raises WebSocketRefused where the handshake is refused, as it always is under WSGI.
        """
        from .testing_websocket import handshake

        arguments = handshake(subprotocols, headers or {})
        with self.stream("GET", path, follow_redirects=False, **arguments) as response:
            if response.status_code != 101:
                response.read()
                raise WebSocketRefused(response)
            session: WebSocketSession = response.extensions["websocket"]
            yield session

    def __enter__(self) -> Self:
        super().__enter__()
        self._transport_of_app.startup()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        try:
            self._transport_of_app.shutdown()
        finally:
            super().__exit__(kind, error, traceback)


class WebSocketRefused(Exception):
    """A handshake was answered with `response`, an httpx.Response, and not with 101."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        super().__init__(f"{response.status_code} {response.text:.200}")


class _Transport(httpx.BaseTransport):
    def __init__(self, door: Any, app: Any, raises: bool, root_path: str) -> None:
        self.door = door
        self.app = app
        self.raises = raises
        self.root_path = root_path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # In a context of its own, so that what an application sets does not stay in the test.
        context = copy_context()
        context.run(propagate_errors.set, self.raises)
        exchange = self.exchange(request)
        try:
            status, headers = context.run(exchange.start)
        except AssertionError:
            raise  # of a validator, which is never a part of what is tested
        except Exception:
            if self.raises:
                raise
            return httpx.Response(500, text="Internal Server Error")
        return httpx.Response(
            status,
            headers=headers,
            stream=_Stream(exchange, context.run, self.raises),
            extensions=exchange.extensions,
        )

    def exchange(self, request: httpx.Request) -> _Exchange:
        raise NotImplementedError

    def split_target(self, request: httpx.Request) -> tuple[bytes, bytes, bytes]:
        """The path, still encoded, the path decoded, and the query."""
        raw_path, _, query = request.url.raw_path.partition(b"?")
        return raw_path, unquote_to_bytes(raw_path), query


class _Exchange:
    """One request, and as much of its response as has been asked for."""

    extensions: dict[str, Any] = {}  # noqa: RUF012 - replaced where there are any

    def start(self) -> tuple[int, RawHeaders]:
        """The status and the headers."""
        raise NotImplementedError

    def next_chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""
        raise NotImplementedError

    def close(self) -> None:
        """The client has read everything, or wants no more."""
        raise NotImplementedError


class _Stream(httpx.SyncByteStream):
    def __init__(self, exchange: _Exchange, run: Callable[..., Any], raises: bool) -> None:
        self._exchange = exchange
        self._run = run
        self._raises = raises

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._run(self._exchange.next_chunk):
                yield chunk
        except Exception as error:
            if self._raises:
                raise
            # The status is out already; a server can only cut the connection.
            raise httpx.RemoteProtocolError("the application failed in mid-body") from error

    def close(self) -> None:
        self._run(self._exchange.close)


class WSGITransport(_Transport):
    """The server side of PEP 3333, as far as one client needs it."""

    def exchange(self, request: httpx.Request) -> _Exchange:
        return _WSGIExchange(self.app, self.environ(request))

    def environ(self, request: httpx.Request) -> dict[str, Any]:
        """The environ of a request (PEP 3333, "environ Variables")."""
        _, path, query = self.split_target(request)
        script_name = self.root_path.encode("utf-8")
        if script_name and (path == script_name or path.startswith(script_name + b"/")):
            path = path[len(script_name) :]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            # Bytes tunnelled through Latin-1 (PEP 3333, "Unicode Issues")
            "SCRIPT_NAME": script_name.decode("latin-1"),
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
            "SERVER_NAME": request.url.host,
            "SERVER_PORT": str(request.url.port or PORTS[request.url.scheme]),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": _CLIENT[0],
            "REMOTE_PORT": str(_CLIENT[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": request.url.scheme,
            "wsgi.input": _Input(request.stream),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for raw_name, raw_value in request.headers.raw:
            key = raw_name.decode("latin-1").upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            value = raw_value.decode("latin-1")
            if key in environ:
                value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
            environ[key] = value
        return environ

    def startup(self) -> None:
        if hasattr(self.door, "startup"):
            self.door.startup()

    def shutdown(self) -> None:
        if hasattr(self.door, "shutdown"):
            self.door.shutdown()


class _WSGIExchange(_Exchange):
    def __init__(self, app: Any, environ: dict[str, Any]) -> None:
        self._app = app
        self._environ = environ
        self._head: tuple[int, RawHeaders] | None = None
        self._sent = False
        self._pending: deque[bytes] = deque()

    def start(self) -> tuple[int, RawHeaders]:
        self._iterable = self._app(self._environ, self._start_response)
        try:
            self._chunks = iter(self._iterable)
            # The headers wait for the first piece of the body: until then the application
            # may take them back (PEP 3333, "The start_response() Callable").
            first = self.next_chunk()
            if self._head is None:
                raise RuntimeError("the application did not call start_response")
        except BaseException:
            self.close()
            raise
        self._sent = True
        if first:
            self._pending.appendleft(first)
        return self._head

    def next_chunk(self) -> bytes:
        while not self._pending:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                break
            self._write(chunk)
        return self._pending.popleft() if self._pending else b""

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        self._iterable = None
        if close is not None:
            close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if exc_info is None and self._head is not None:
            raise RuntimeError("start_response was called twice, without exc_info")
        # Latin-1 on the wire (PEP 3333, "Unicode Issues")
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = (int(status.split(" ", 1)[0]), raw)
        return self._write

    def _write(self, chunk: bytes) -> None:
        if chunk:
            self._sent = self._head is not None
            self._pending.append(chunk)


class _Input(io.RawIOBase):
    """wsgi.input: a request's body, taken from the client only as far as it is read."""

    def __init__(self, stream: Any) -> None:
        self._chunks = iter(stream)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = sys.maxsize if size is None or size < 0 else size
        while len(self._rest) < wanted:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        data, self._rest = self._rest[:wanted], self._rest[wanted:]
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class ASGITransport(_Transport):
    """The server side of ASGI 3.0, as far as one client needs it."""

    def exchange(self, request: httpx.Request) -> _Exchange:
        if "websocket" in request.extensions:
            from .testing_websocket import WebSocketExchange

            return WebSocketExchange(self.app, self.scope(request), self.raises)
        return _ASGIExchange(self.app, self.scope(request), request.stream)

    def scope(self, request: httpx.Request) -> dict[str, Any]:
        """The scope of a request (ASGI 3.0, "HTTP Connection Scope")."""
        raw_path, path, query = self.split_target(request)
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": path.decode("utf-8", "replace"),
            "raw_path": raw_path,
            "query_string": query,
            "root_path": self.root_path,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": _CLIENT,
            "server": (request.url.host, request.url.port or PORTS[request.url.scheme]),
        }

    def startup(self) -> None:
        self._life = _ASGILife(self.app)

    def shutdown(self) -> None:
        self._life.end()


class _ASGIExchange(_Exchange):
    def __init__(self, app: Any, scope: dict[str, Any], stream: Any) -> None:
        self._app = app
        self._scope = scope
        self._visit: Visit = app_loop.visit()
        self._upload = iter(stream)
        self._upload_is_whole = isinstance(stream, httpx.ByteStream)
        self._upload_ended = False
        self._ended = False
        self._left = False
        self._sending = asyncio.Lock()  # one at a time, of all the application's tasks
        self._gone: Any = None

    def start(self) -> tuple[int, RawHeaders]:
        self._visit.start(self._run())
        message = self._visit.wait()
        if message is None:
            raise RuntimeError("the application ended without a response")
        return message["status"], list(message.get("headers", ()))

    def next_chunk(self) -> bytes:
        while not self._ended:
            self._visit.resume()
            message = self._visit.wait()
            if message is None:
                raise RuntimeError("the application ended before its response did")
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        if not self._visit.over:
            # What it still does in the background is over when the last read returns.
            self._visit.resume()
            self._visit.wait()
        return b""

    def close(self) -> None:
        self._left = True
        with suppress(_ClientHasLeft):
            while not self._visit.over:
                self._visit.loop.call_soon_threadsafe(self._leave, 3)
                self._visit.wait()

    def _leave(self, turns: int) -> None:
        # An application that listens for the disconnect hears of it before its `send` returns.
        self._gone.set()
        if turns:
            self._visit.loop.call_soon(self._leave, turns - 1)
        else:
            self._visit.resume()

    async def _run(self) -> None:
        self._gone = asyncio.Event()
        await self._app(self._scope, self._receive, self._send)

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            if self._left:
                raise _ClientHasLeft
            await self._visit.give(message)

    async def _receive(self) -> dict[str, Any]:
        if self._left or self._upload_ended:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        chunk = await self._visit.call(next, self._upload, None)
        self._upload_ended = chunk is None or self._upload_is_whole
        return {
            "type": "http.request",
            "body": chunk or b"",
            "more_body": not self._upload_ended,
        }


class _ClientHasLeft(OSError):
    """What `send` raises once nobody reads any more (ASGI 2.4, "Disconnected Client")."""


class _ASGILife:
    """A lifespan, from the server's side: its application waits in `receive` until `end`."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._visit: Visit = app_loop.visit()
        self._said: dict[str, Any] = {}
        self._begun = False
        self._visit.start(self._run())
        self._visit.wait()
        if self._said.get("type") == "lifespan.startup.failed":
            raise RuntimeError(f"the application did not start: {self._said.get('message')}")

    def end(self) -> None:
        if not self._visit.over:
            self._visit.resume()
            self._visit.wait()
        if self._said.get("type") == "lifespan.shutdown.failed":
            raise RuntimeError(f"the application did not stop: {self._said.get('message')}")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:
            if self._said:
                raise  # without a word said, it is an application that knows no lifespan

    async def _receive(self) -> dict[str, Any]:
        if self._begun:
            await self._visit.give(None)
            return {"type": "lifespan.shutdown"}
        self._begun = True
        return {"type": "lifespan.startup"}

    async def _send(self, message: dict[str, Any]) -> None:
        self._said = message


_CLIENT = ("127.0.0.1", 50000)
_TRANSPORTS: dict[str, Any] = {"wsgi": WSGITransport, "asgi": ASGITransport}
