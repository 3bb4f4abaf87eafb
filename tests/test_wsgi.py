"""What only the WSGI door can show: environs, wsgi.input, start_response and the iterable."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, JSONResponse, Request, Response, StreamingResponse

CallNext = Callable[[Request], Awaitable[Response]]
Environ = dict[str, Any]


def make_environ(path: str = "/", /, method: Any = "GET", **more: Any) -> Environ:
    """What PEP 3333 asks for; a value of None takes its key away."""
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    setup_testing_defaults(environ)
    environ.update(more)
    return {key: value for key, value in environ.items() if value is not None}


class Server:
    """Plays the server for one call."""

    def __init__(self) -> None:
        self.said: list[tuple[str, list[tuple[str, str]]]] = []
        self.body = b""

    def start_response(self, status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], None]:
        self.said.append((status, headers))
        return lambda data: None

    def __call__(self, app: App, environ: Environ, *, valid: bool = True) -> Server:
        iterable = (validator(app.wsgi) if valid else app.wsgi)(environ, self.start_response)
        try:
            for chunk in iterable:
                self.body += chunk
        finally:
            if hasattr(iterable, "close"):
                iterable.close()
        return self

    @property
    def status(self) -> str:
        ((status, _),) = self.said
        return status

    @property
    def headers(self) -> dict[str, str]:
        ((_, headers),) = self.said
        return dict(headers)


def seen_by_handler(look: Callable[[Request], Any], environ: Environ, *, valid: bool = True) -> Any:
    """What a handler on every path sees of a request with this environ."""
    seen: list[Any] = []
    app = App()

    @app.get("/{rest:path}")
    @app.get("/")
    def handler(request: Request, rest: str = "") -> None:
        seen.append(look(request))

    assert Server()(app, environ, valid=valid).status == "204 No Content"
    (value,) = seen
    return value


def tunnelled(text: str | bytes) -> str:
    """As PEP 3333 has the bytes of a path: read as Latin-1."""
    return (text.encode() if isinstance(text, str) else text).decode("latin-1")


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- The environ --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script_name", "path_info", "expected"),
    [
        ("", "/users", ("", "/users")),
        ("", "", ("", "/")),
        ("/api", "/users", ("/api", "/users")),
        ("/api", "", ("/api", "/")),
        ("/api", "/", ("/api", "/")),
        ("/api", "/api/users", ("/api", "/api/users")),  # PATH_INFO never holds the prefix
        (tunnelled("/café"), tunnelled("/crème brûlée"), ("/café", "/crème brûlée")),
        ("", tunnelled("/日本"), ("", "/日本")),
        ("", "/a/../b//c/.", ("", "/a/../b//c/.")),
        ("", tunnelled(b"/\xff\xfe"), ("", "/\ufffd\ufffd")),
        ("", tunnelled(b"/caf\xc3"), ("", "/caf\ufffd")),
    ],
)
def test_a_path_comes_out_of_its_tunnel(
    script_name: str, path_info: str, expected: tuple[str, str]
) -> None:
    environ = make_environ(path_info, SCRIPT_NAME=script_name)
    # The checker wants one of the two to be there.
    valid = bool(script_name or path_info)
    assert seen_by_handler(lambda r: (r.root_path, r.path), environ, valid=valid) == expected


@given(st.binary(max_size=40))
def test_no_bytes_in_a_path_are_an_error(data: bytes) -> None:
    path = seen_by_handler(lambda r: r.path, make_environ("/" + tunnelled(data)))
    assert path == "/" + data.decode("utf-8", "replace")


@pytest.mark.parametrize("key", ["PATH_INFO", "SCRIPT_NAME"])
def test_path_info_or_script_name_may_be_missing(key: str) -> None:
    environ = make_environ("/", **{key: None})
    assert seen_by_handler(lambda r: (r.root_path, r.path), environ, valid=False) == ("", "/")


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(
    ("key", "look", "expected"),
    [
        ("QUERY_STRING", lambda r: (r.query_string, dict(r.query)), ("", {})),
        ("QUERY_STRING", lambda r: r.url, "http://example.org/"),
        ("REMOTE_ADDR", lambda r: r.client, None),
        ("CONTENT_TYPE", lambda r: "content-type" in r.headers, False),
        ("CONTENT_TYPE", lambda r: r.headers.get("content-type"), None),
        ("CONTENT_LENGTH", lambda r: "content-length" in r.headers, False),
    ],
)
def test_what_is_missing_or_empty_in_an_environ_is_absent(
    key: str, look: Any, expected: Any, value: str | None
) -> None:
    environ = make_environ(HTTP_HOST="example.org", **{key: value})
    assert seen_by_handler(look, environ, valid=key != "QUERY_STRING") == expected


@pytest.mark.parametrize(
    ("port", "expected"), [(None, 0), ("", 0), ("50000", 50000), ("junk", 0), ("\xb2", 0)]
)
def test_the_client_has_the_port_that_the_server_names(port: str | None, expected: int) -> None:
    environ = make_environ(REMOTE_ADDR="10.0.0.1", REMOTE_PORT=port)
    assert seen_by_handler(lambda r: r.client, environ) == ("10.0.0.1", expected)


def test_headers_have_their_own_names_again() -> None:
    environ = make_environ(
        HTTP_HOST="example.org",
        HTTP_X_REQUEST_ID="7",
        HTTP_ACCEPT="*/*",
        CONTENT_TYPE="text/plain",
        CONTENT_LENGTH="0",
    )
    assert seen_by_handler(lambda r: dict(r.headers), environ) == {
        "host": "example.org",
        "x-request-id": "7",
        "accept": "*/*",
        "content-type": "text/plain",
        "content-length": "0",
    }
    assert seen_by_handler(lambda r: r.headers["X-Request-ID"], environ) == "7"


def test_no_header_can_play_content_length_or_content_type() -> None:
    environ = make_environ(HTTP_CONTENT_LENGTH="99", HTTP_CONTENT_TYPE="text/evil")

    def look(request: Request) -> Any:
        return "content-length" in request.headers, "content-type" in request.headers

    assert seen_by_handler(look, environ, valid=False) == (False, False)


def test_a_header_may_be_empty() -> None:
    assert seen_by_handler(lambda r: r.headers["x-empty"], make_environ(HTTP_X_EMPTY="")) == ""


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_no_header_value_is_an_error(value: str) -> None:
    environ = make_environ(HTTP_X_TAG=value, HTTP_COOKIE=value, HTTP_HOST=value)

    def look(request: Request) -> Any:
        assert isinstance(request.cookies, dict)
        assert isinstance(request.url, str)
        return request.headers["x-tag"]

    assert seen_by_handler(look, environ) == value


def test_cookies_joined_by_the_server_are_read() -> None:
    environ = make_environ(HTTP_COOKIE="a=1; b=2; c=3")
    assert seen_by_handler(lambda r: r.cookies, environ) == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"HTTP_HOST": "other.example:8080"}, "http://other.example:8080/x"),
        ({"HTTP_HOST": None}, "http://example.org/x"),
        ({"HTTP_HOST": None, "SERVER_PORT": "8000"}, "http://example.org:8000/x"),
        (
            {"HTTP_HOST": None, "SERVER_PORT": "443", "wsgi.url_scheme": "https"},
            "https://example.org/x",
        ),
        ({"HTTP_HOST": "h", "SCRIPT_NAME": "/api"}, "http://h/api/x"),
        ({"HTTP_HOST": "h", "QUERY_STRING": "a=%20b"}, "http://h/x?a=%20b"),
    ],
)
def test_the_url_is_made_as_pep_3333_says(more: Environ, expected: str) -> None:
    assert seen_by_handler(lambda r: r.url, make_environ("/x", **more)) == expected


def test_the_environ_is_handed_on_as_it_came() -> None:
    environ = make_environ("/x", SCRIPT_NAME="/api", **{"server.own": object()})
    before = dict(environ)
    look = seen_by_handler(lambda r: r.environ is environ and r.scope is None, environ, valid=False)
    assert look is True
    assert environ == before


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_the_version_of_http_is_the_server_s(version: str) -> None:
    environ = make_environ(SERVER_PROTOCOL=f"HTTP/{version}")
    assert seen_by_handler(lambda r: r.http_version, environ) == version


def test_a_slash_redirect_keeps_script_name() -> None:
    app = App()
    app.get("/users")(lambda request: "users")
    server = Server()(app, make_environ("/users/", SCRIPT_NAME="/api", QUERY_STRING="a=1"))
    assert server.status == "308 Permanent Redirect"
    assert server.headers["location"] == "/api/users?a=1"


def test_options_of_the_server_as_a_whole_is_answered() -> None:
    app = App()
    app.post("/users")(lambda request: "made")
    # The checker knows no PATH_INFO without a slash; servers send this one all the same.
    server = Server()(app, make_environ("*", "OPTIONS"), valid=False)
    assert server.status == "204 No Content"
    assert "POST" in server.headers["allow"]


@pytest.mark.parametrize("method", ["get", "BREW", "PROPFIND", "G\xcbT"])
def test_a_method_of_its_own_is_a_405_and_no_crash(method: str) -> None:
    app = App()
    app.get("/")(lambda request: "hello")
    server = Server()(app, make_environ("/", method), valid=False)
    assert server.status == "405 Method Not Allowed"
    assert server.headers["allow"] == "GET, HEAD, OPTIONS"


# --- wsgi.input ---------------------------------------------------------------------------


class Input:
    """A wsgi.input that may be short, may fail, and keeps account of what it was asked for."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.pieces = [piece for piece in pieces if piece]
        self.error = error
        self.asked: list[int | None] = []

    def read(self, size: int | None = None) -> bytes:
        self.asked.append(size)
        if not self.pieces:
            if self.error is not None:
                raise self.error
            return b""
        piece = self.pieces.pop(0)
        if size is not None and 0 <= size < len(piece):
            piece, rest = piece[:size], piece[size:]
            self.pieces.insert(0, rest)
        return piece

    def readline(self, size: int = -1) -> bytes:
        raise AssertionError("only read is wanted here")

    def readlines(self, hint: int = -1) -> list[bytes]:
        raise AssertionError("only read is wanted here")

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("only read is wanted here")


def post(source: Any, *, valid: Any = True, async_layer: Any = False, **more: Any) -> Server:
    """A POST to a handler that echoes the body, of at most 1,000 bytes."""
    app = App(max_body_size=1000)
    app.post("/")(lambda request: request.body)
    if async_layer:

        @app.middleware
        async def layer(request: Request, call_next: CallNext) -> Response:
            return await call_next(request)

    environ = make_environ("/", "POST", **{"wsgi.input": source, **more})
    return Server()(app, environ, valid=valid)


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("length", [None, ""])
def test_without_a_length_there_is_no_body_and_no_read(
    length: str | None, async_layer: bool
) -> None:
    source = Input(b"the next request")
    server = post(source, CONTENT_LENGTH=length, async_layer=async_layer)
    assert (server.status, server.body, source.asked) == ("200 OK", b"", [])


@pytest.mark.parametrize("async_layer", [False, True])
def test_nothing_is_read_past_the_length(async_layer: bool) -> None:
    source = Input(b"hello", b"the next request")
    server = post(source, CONTENT_LENGTH="5", async_layer=async_layer)
    assert (server.status, server.body) == ("200 OK", b"hello")
    assert source.pieces == [b"the next request"]


@given(st.lists(st.binary(max_size=50), max_size=10), st.binary(max_size=20))
def test_short_reads_make_a_whole_body_and_none_reaches_past_it(
    pieces: list[bytes], beyond: bytes
) -> None:
    body = b"".join(pieces)
    source = Input(*pieces, beyond)
    server = post(source, CONTENT_LENGTH=str(len(body)))
    assert (server.status, server.body) == ("200 OK", body)
    assert b"".join(source.pieces) == beyond
    left = len(body)
    for size, piece in zip(source.asked, [piece for piece in pieces if piece], strict=True):
        assert size is not None
        assert 0 < size <= left
        left -= len(piece)


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("error", [None, OSError("reset"), ConnectionResetError(), TimeoutError()])
@pytest.mark.parametrize("pieces", [[], [b"half"]])
def test_a_body_that_breaks_off_is_a_400_without_the_handler(
    pieces: list[bytes],
    error: Exception | None,
    async_layer: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Input(*pieces, error=error)
    server = post(source, CONTENT_LENGTH="9", async_layer=async_layer)
    assert server.status == "400 Bad Request"
    assert b"half" not in server.body
    assert errors_in(caplog) == []


def test_an_error_of_the_input_that_is_no_oserror_is_a_500_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = post(Input(error=LookupError("a defect of the server")), CONTENT_LENGTH="9")
    assert server.status == "500 Internal Server Error"
    assert len(errors_in(caplog)) == 1


@pytest.mark.parametrize(
    "length",
    ["abc", "-1", "+1", "1_0", "1.0", "5,5", "0x5", " 5", "5 ", "\xb2", "\xb9", "5\n", "9" * 5000],
)
def test_a_content_length_that_is_no_number_is_refused_unread(length: str) -> None:
    source = Input(b"hello")
    server = post(source, CONTENT_LENGTH=length, valid=False)
    expected = "413 Content Too Large" if length.isdecimal() else "400 Bad Request"
    assert (server.status, source.asked) == (expected, [])


def test_a_content_length_may_have_zeros_before_it() -> None:
    assert post(Input(b"hello"), CONTENT_LENGTH="0" * 5000 + "5", valid=False).body == b"hello"


@pytest.mark.parametrize(("length", "status"), [("1000", "200"), ("1001", "413")])
def test_the_limit_on_a_body_is_the_last_size_that_is_taken(length: str, status: str) -> None:
    source = Input(b"x" * int(length))
    assert post(source, CONTENT_LENGTH=length).status[:3] == status
    assert bool(source.asked) == (status == "200")


@pytest.mark.parametrize(("size", "status"), [(0, "200"), (1000, "200"), (1001, "413")])
def test_a_chunked_body_is_read_to_its_end_where_the_server_marks_it(
    size: int, status: str
) -> None:
    source = Input(*[b"x" * 100] * (size // 100), b"x" * (size % 100))
    more = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    server = post(source, CONTENT_LENGTH=None, **more)
    assert server.status[:3] == status
    assert all(asked is not None and asked > 0 for asked in source.asked)
    if status == "200":
        assert server.body == b"x" * size


def test_an_endless_chunked_body_is_cut_off_at_the_limit() -> None:
    class Endless(Input):
        def read(self, size: int | None = None) -> bytes:
            self.asked.append(size)
            return b"x" * 100

    source = Endless()
    server = post(source, CONTENT_LENGTH=None, **{"wsgi.input_terminated": True})
    assert server.status.startswith("413 ")
    assert len(source.asked) == 11


def test_a_chunked_body_that_breaks_off_is_a_400() -> None:
    source = Input(b"half", error=OSError("a chunk without its end"))
    server = post(source, CONTENT_LENGTH=None, **{"wsgi.input_terminated": True})
    assert server.status == "400 Bad Request"


def test_a_chunked_body_without_a_marked_end_is_refused_unread() -> None:
    source = Input(b"5\r\nhello\r\n0\r\n\r\n")
    server = post(source, CONTENT_LENGTH=None, HTTP_TRANSFER_ENCODING="chunked")
    assert server.status == "411 Length Required"
    assert source.asked == []


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", "200"), ("/", "HEAD", "200"), ("/", "DELETE", "405"), ("/none", "POST", "404")],
)
def test_a_body_that_nobody_wants_is_not_read(path: str, method: str, status: str) -> None:
    app = App()
    app.get("/")(lambda request: repr(request.body))
    source = Input(b"hello")
    environ = make_environ(path, method, **{"wsgi.input": source, "CONTENT_LENGTH": "5"})
    assert Server()(app, environ).status[:3] == status
    assert source.asked == []


# --- start_response and the iterable ------------------------------------------------------


def test_start_response_is_called_once_with_two_arguments_before_the_iterable() -> None:
    app = App()
    app.get("/")(lambda request: JSONResponse({"a": 1}, headers={"X-Tag": "caf\xe9"}))
    calls: list[tuple[Any, ...]] = []
    iterable = app.wsgi(make_environ(), lambda *arguments: calls.append(arguments))
    assert calls == [
        (
            "200 OK",
            [("content-type", "application/json"), ("x-tag", "caf\xe9"), ("content-length", "7")],
        )
    ]
    assert b"".join(iterable) == b'{"a":1}'
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, "200 OK"), (404, "404 Not Found"), (418, "418 I'm a Teapot"), (503, None)],
)
def test_the_status_line_has_the_phrase_of_its_status(status: int, line: str | None) -> None:
    app = App()
    app.get("/")(lambda request: ("text", status))
    said = Server()(app, make_environ()).status
    assert said == (line or "503 Service Unavailable")


@pytest.mark.parametrize("status", [218, 299, 420, 499, 599])
def test_a_status_that_nobody_knows_has_a_phrase_too(status: int) -> None:
    app = App()
    app.get("/")(lambda request: ("text", status))
    number, _, phrase = Server()(app, make_environ()).status.partition(" ")
    assert number == str(status)
    assert phrase.strip()


@pytest.mark.parametrize("form", ["plain", "async"])
def test_an_error_in_mid_stream_reaches_the_server_and_start_response_is_not_called_again(
    form: str,
) -> None:
    app = App()
    closed: list[str] = []

    def plain() -> Iterator[str]:
        try:
            yield "first"
            raise LookupError("in mid-stream")
        finally:
            closed.append("plain")

    async def asynchronous() -> AsyncIterator[str]:
        try:
            yield "first"
            raise LookupError("in mid-stream")
        finally:
            closed.append("async")

    app.get("/")(lambda request: plain() if form == "plain" else asynchronous())
    server = Server()
    with pytest.raises(LookupError, match="in mid-stream"):
        server(app, make_environ())
    assert server.body == b"first"
    assert server.status == "200 OK"
    assert closed == [form]


@pytest.mark.parametrize("form", ["plain", "async"])
def test_close_may_come_twice_and_before_the_first_chunk(form: str) -> None:
    app = App()
    closed: list[str] = []

    class Plain:
        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            return "chunk"

        def close(self) -> None:
            closed.append("plain")

    class Asynchronous:
        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            return "chunk"

        async def aclose(self) -> None:
            closed.append("async")

    app.get("/")(lambda request: Plain() if form == "plain" else Asynchronous())
    iterable: Any = app.wsgi(make_environ(), lambda *_: None)
    iterable.close()
    iterable.close()
    assert closed == [form]


def test_close_before_the_first_chunk_runs_the_background_once() -> None:
    app = App()
    ran: list[str] = []
    app.get("/")(lambda request: Response("x", background=lambda: ran.append("background")))
    iterable: Any = app.wsgi(make_environ(), lambda *_: None)
    assert ran == []
    iterable.close()
    iterable.close()
    assert ran == ["background"]


def test_a_stream_gives_no_empty_chunk() -> None:
    # Many servers take an empty chunk for the end of a chunked body.
    app = App()
    app.get("/")(lambda request: iter(["", "a", b"", "b", ""]))
    iterable: Any = app.wsgi(make_environ(), lambda *_: None)
    assert list(iterable) == [b"a", b"b"]
    iterable.close()


def test_a_lifespan_that_fails_is_a_500_and_tried_again_by_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    attempts: list[str] = []

    @app.lifespan
    def life(app: App) -> Iterator[None]:
        attempts.append("attempt")
        if len(attempts) == 1:
            raise RuntimeError("no database")
        yield

    app.get("/")(lambda request: "hello")
    assert Server()(app, make_environ()).status == "500 Internal Server Error"
    assert "no database" in caplog.text
    assert Server()(app, make_environ()).status == "200 OK"
    assert Server()(app, make_environ()).status == "200 OK"
    assert len(attempts) == 2
    app.wsgi.shutdown()


def test_wsgi_input_may_be_any_file() -> None:
    assert post(io.BytesIO(b"hello"), CONTENT_LENGTH="5").body == b"hello"


# --- a server that refuses the head -----------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "async", "buffered"])
def test_what_a_start_response_refuses_is_closed_all_the_same(form: str) -> None:
    site = App()
    ended: list[str] = []

    def chunks() -> Iterator[str]:
        try:
            yield "a"
        finally:
            ended.append("closed")

    class Chunks:
        def __aiter__(self) -> AsyncIterator[str]:
            raise AssertionError("it is not even begun")

        async def aclose(self) -> None:
            ended.append("closed")

    @site.post("/")
    def answer(request: Request) -> Response:
        request.at_end(lambda: ended.append("request"))
        after = lambda: ended.append("background")  # noqa: E731
        if form == "buffered":
            return Response(b"a", background=after)
        if form == "async":
            return StreamingResponse(Chunks(), background=after)
        begun = chunks()
        next(begun)
        return StreamingResponse(begun, background=after)

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        site.wsgi(make_environ(method="POST"), start_response)
    assert ended == [*(["closed"] if form != "buffered" else []), "background", "request"]


def test_an_async_lifespan_that_calls_its_own_app_is_told_so() -> None:
    """It would wait for itself: on the loop, for a thread that waits for the loop."""
    site = App()
    told: list[str] = []

    @site.lifespan
    async def life(app: App) -> AsyncIterator[None]:
        body = app.wsgi(make_environ(), lambda status, headers: told.append(status))
        assert list(body)
        yield

    site.get("/")(lambda request: "home")
    site.wsgi.startup()
    site.wsgi.shutdown()
    assert told == ["500 Internal Server Error"]
