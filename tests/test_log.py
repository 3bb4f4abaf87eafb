"""Logs: a name for each request, and a line on each that nobody can forge."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    AccessLogMiddleware,
    App,
    GZipMiddleware,
    HTTPException,
    ProxyHeadersMiddleware,
    Request,
    RequestIdMiddleware,
    Response,
    StreamingResponse,
)
from microweb.middleware.log import _visible, add_request_id, request_id
from microweb.testing import TestClient

from .conftest import Connect

HEX = re.compile(r"[0-9a-f]{32}")
kinds = pytest.mark.parametrize("kind", ["plain", "async"])


def app_of(*layers: Any) -> App:
    app = App()
    for layer in layers:
        app.middleware(layer)

    @app.get("/")
    def home(request: Request) -> str:
        return "hello"

    @app.get("/id")
    def plain_id(request: Request) -> list[str]:
        return [request.state.request_id, request_id.get()]

    @app.get("/async/id")
    async def async_id(request: Request) -> list[str]:
        return [request.state.request_id, request_id.get()]

    @app.get("/refused")
    def refused(request: Request) -> None:
        raise HTTPException(403, "no")

    @app.get("/crash")
    async def crash(request: Request) -> None:
        raise ZeroDivisionError

    @app.get("/nothing")
    def nothing(request: Request) -> None:
        return None

    @app.get("/{rest:path}")
    def rest(request: Request, rest: str) -> str:
        return "anything"

    return app


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """`lines()` are the access log's, since the last call."""
    caplog.set_level(logging.INFO, "microweb.access")
    seen = 0

    def get() -> list[str]:
        nonlocal seen
        new = caplog.records[seen:]
        seen = len(caplog.records)
        return [record.getMessage() for record in new if record.name == "microweb.access"]

    return get


Lines = Callable[[], list[str]]


def timeless(line: str) -> str:
    """The line, its time checked and cut out."""
    cut, times = re.subn(r" \d+\.\dms ", " ", line)
    assert times == 1
    return cut


# --- Request ids --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/id", "/async/id"])
def test_a_request_has_one_name_everywhere(connect: Connect, path: str) -> None:
    response = connect(app_of(RequestIdMiddleware())).get(path)
    name = response.headers["x-request-id"]
    assert HEX.fullmatch(name)
    assert response.json() == [name, name]


def test_two_requests_have_two_names(connect: Connect) -> None:
    client = connect(app_of(RequestIdMiddleware()))
    assert len({client.get("/").headers["x-request-id"] for _ in range(10)}) == 10


@pytest.mark.parametrize("given", ["abcdefgh", "A-1_b.2c" * 8, "7f3a5c1e-0000-4000-8000-1234"])
def test_a_well_formed_name_is_kept(connect: Connect, given: str) -> None:
    response = connect(app_of(RequestIdMiddleware())).get("/id", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given
    assert response.json() == [given, given]


@pytest.mark.parametrize(
    "given",
    ["", "short", "a" * 65, "with blanks", "a,b,c,d,e", "<script>", "ümläute!", "abcdefg\t"],
)
def test_any_other_is_replaced(connect: Connect, given: str) -> None:
    raw = [(b"x-request-id", given.encode("latin-1"))]
    response = connect(app_of(RequestIdMiddleware())).get("/", headers=raw)
    assert HEX.fullmatch(response.headers["x-request-id"])


def test_two_names_are_none(connect: Connect) -> None:
    twice = [("x-request-id", "abcdefgh"), ("x-request-id", "ijklmnop")]
    response = connect(app_of(RequestIdMiddleware())).get("/", headers=twice)
    assert HEX.fullmatch(response.headers["x-request-id"])


def test_a_refusal_has_its_name_too(connect: Connect) -> None:
    response = connect(app_of(RequestIdMiddleware())).get("/refused")
    assert (response.status_code, "x-request-id" in response.headers) == (403, True)


@kinds
def test_every_line_of_a_log_can_name_its_request(
    connect: Connect, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    app = app_of(RequestIdMiddleware())
    log = logging.getLogger("shop")

    def plain() -> Iterator[str]:
        log.warning("in the stream")
        yield "streamed"

    async def asynchronous() -> AsyncIterator[str]:
        log.warning("in the stream")
        yield "streamed"

    @app.get("/stream/logged")
    def logged(request: Request) -> Any:
        log.warning("in the handler")
        return plain() if kind == "plain" else asynchronous()

    caplog.handler.addFilter(add_request_id)
    try:
        response = connect(app).get("/stream/logged", headers={"x-request-id": "abcdefgh"})
        connect(app).get("/crash", headers={"x-request-id": "ijklmnop"})
    finally:
        caplog.handler.removeFilter(add_request_id)
    assert response.text == "streamed"
    names = [(record.getMessage(), vars(record)["request_id"]) for record in caplog.records]
    assert names == [
        ("in the handler", "abcdefgh"),
        ("in the stream", "abcdefgh"),
        ("GET '/crash' failed", "ijklmnop"),
    ]
    assert request_id.get() == "-"


# --- The access log -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "rest"),
    [
        ("GET", "/", "200 5"),
        ("HEAD", "/", "200 0"),
        ("GET", "/refused", "403 2"),
        ("GET", "/nothing", "204 0"),
        ("POST", "/", "405 18"),
        ("GET", "/search?q=a%20b&x=%22", "200 8"),
        ("GET", "/caf%C3%A9", "200 8"),
        ("GET", "/100%25", "200 8"),
        ("GET", "/a%0Ab%1B%5B31m%22%20200", "200 8"),
    ],
)
def test_each_request_has_its_line(
    connect: Connect, lines: Lines, method: str, path: str, rest: str
) -> None:
    connect(app_of(AccessLogMiddleware())).request(method, path)
    (line,) = lines()
    assert timeless(line) == f'127.0.0.1 "{method} {path}" {rest} -'


def test_a_crash_is_the_500_that_it_will_be(connect: Connect, lines: Lines) -> None:
    assert connect(app_of(AccessLogMiddleware())).get("/crash").status_code == 500
    assert [timeless(line) for line in lines()] == ['127.0.0.1 "GET /crash" 500 - -']


def test_the_line_has_what_inner_layers_found_out(connect: Connect, lines: Lines) -> None:
    app = app_of(AccessLogMiddleware(), ProxyHeadersMiddleware(), RequestIdMiddleware())
    headers = {"x-forwarded-for": "203.0.113.9", "x-request-id": "abcdefgh"}
    connect(app, root_path="/shop").get("/shop/a?b", headers=headers)
    (line,) = lines()
    assert timeless(line) == '203.0.113.9 "GET /shop/a?b" 200 8 abcdefgh'


def test_no_peer_is_a_dash(connect: Connect, lines: Lines) -> None:
    def unknown(request: Request) -> Iterator[None]:
        request.client = None
        yield

    connect(app_of(AccessLogMiddleware(), unknown)).get("/")
    assert timeless(lines()[0]) == '- "GET /" 200 5 -'


def stream_app(kind: str, *layers: Any, chunks: int = 3, error: bool = False) -> App:
    app = app_of(AccessLogMiddleware(), *layers)

    def plain() -> Iterator[str]:
        for _ in range(chunks):
            yield "ten bytes."
        if error:
            raise ZeroDivisionError

    async def asynchronous() -> AsyncIterator[str]:
        for chunk in plain():
            await asyncio.sleep(0)
            yield chunk

    @app.get("/stream/it")
    def stream(request: Request) -> Any:
        return plain() if kind == "plain" else asynchronous()

    return app


@kinds
def test_a_stream_is_logged_when_it_is_over(connect: Connect, lines: Lines, kind: str) -> None:
    with connect(stream_app(kind)).stream("GET", "/stream/it") as response:
        chunks = response.iter_bytes()
        assert next(chunks) == b"ten bytes."
        assert lines() == []
        assert b"".join(chunks) == b"ten bytes." * 2
    assert [timeless(line) for line in lines()] == ['127.0.0.1 "GET /stream/it" 200 30 -']


@kinds
def test_a_stream_that_is_left_is_logged_once_as_far_as_it_came(
    connect: Connect, lines: Lines, kind: str
) -> None:
    with connect(stream_app(kind, chunks=1000)).stream("GET", "/stream/it") as response:
        next(response.iter_bytes())
    (line,) = lines()
    size = re.fullmatch(r'127\.0\.0\.1 "GET /stream/it" 200 (\d+) -', timeless(line))
    assert size is not None
    assert 10 <= int(size[1]) < 10_000


@kinds
def test_a_stream_that_breaks_and_one_not_wanted_are_logged(
    connect: Connect, lines: Lines, kind: str
) -> None:
    client = connect(stream_app(kind, error=True))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/stream/it")
    client.head("/stream/it")
    assert [timeless(line) for line in lines()] == [
        '127.0.0.1 "GET /stream/it" 200 30 -',
        '127.0.0.1 "HEAD /stream/it" 200 0 -',
    ]


@kinds
def test_the_bytes_are_those_that_were_sent(connect: Connect, lines: Lines, kind: str) -> None:
    client = connect(stream_app(kind, GZipMiddleware(), chunks=500))
    with client.stream("GET", "/stream/it", headers={"accept-encoding": "gzip"}) as response:
        sent = sum(map(len, response.iter_raw()))
    assert timeless(lines()[0]) == f'127.0.0.1 "GET /stream/it" 200 {sent} -'


def test_a_body_of_known_length_is_left_to_the_server(connect: Connect, lines: Lines) -> None:
    seen: list[Any] = []
    body = [b"ten bytes."]

    def look(request: Request) -> Generator[None, Response, None]:
        response = yield
        seen.append(response.iterator)

    app = app_of(look, AccessLogMiddleware())

    @app.get("/file/it")
    def send(request: Request) -> StreamingResponse:
        return StreamingResponse(body, headers={"content-length": "10"})

    connect(app).get("/file/it")
    assert seen[0] is body
    assert timeless(lines()[0]) == '127.0.0.1 "GET /file/it" 200 10 -'


def test_a_cancelled_request_is_logged_without_a_status(lines: Lines) -> None:
    layer = AccessLogMiddleware()(TestRequest())
    next(layer)
    layer.close()
    assert [timeless(line) for line in lines()] == ['- "GET /" - - -']


class TestRequest(Request):
    """A request without a door."""

    __test__ = False
    method, path, root_path, query_string, client = "GET", "/", "", "", None


def test_a_log_that_nobody_reads_costs_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "microweb.access")
    body = [b"chunk"]
    response = StreamingResponse(body)
    layer = AccessLogMiddleware()(TestRequest())
    next(layer)
    with pytest.raises(StopIteration):
        layer.send(response)
    assert response.iterator is body
    assert caplog.records == []


@given(st.text())
def test_nothing_visible_can_end_a_field_or_a_line(text: str) -> None:
    visible = _visible(text)
    assert re.fullmatch(r"[!#-~]*", visible)


@given(target=st.binary(max_size=30), query=st.binary(max_size=30))
def test_no_target_can_forge_a_line(target: bytes, query: bytes) -> None:
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("microweb.access")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        layer = AccessLogMiddleware()
        request = TestRequest()
        request.path = "/" + target.decode("utf-8", "replace")
        request.query_string = query.decode("latin-1")
        request.method = "GET"
        paused = layer(request)
        next(paused)
        with pytest.raises(StopIteration):
            paused.send(Response(b"hello"))
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    assert re.fullmatch(r'- "GET /[!#-~]*" 200 5 \d+\.\dms -', messages[0])


def test_each_test_client_goes_through_the_doors_alike(lines: Lines) -> None:
    app = app_of(AccessLogMiddleware())
    logged = set()
    for door in ("wsgi", "asgi"):
        with TestClient(app, door) as client:
            client.get("/a%2Fb/%E2%82%AC?c=%C3%A4")
        logged |= {timeless(line) for line in lines()}
    assert logged == {'127.0.0.1 "GET /a/b/%E2%82%AC?c=%C3%A4" 200 8 -'}
