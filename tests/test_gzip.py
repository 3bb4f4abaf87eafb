"""Compression: who gets a coded body, which bodies are coded, and what else changes then."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    App,
    GZipMiddleware,
    HTTPException,
    JSONResponse,
    Request,
    Response,
    StreamingResponse,
)

from .conftest import Connect, Protocol

TEXT = "Twelve little words that will not be remembered by anybody at all. " * 100
BIG = TEXT.encode() * 100
GZIP = {"accept-encoding": "gzip"}
kinds = pytest.mark.parametrize("kind", ["plain", "async"])


def app_of(*answers: Callable[[Request], Any], **options: Any) -> App:
    app = App()
    app.middleware(GZipMiddleware(**options))
    for answer in answers:
        app.get(f"/{answer.__name__}")(answer)
    return app


def text(request: Request) -> str:
    return TEXT


async def text_async(request: Request) -> str:
    return TEXT


def big(request: Request) -> Response:
    return Response(BIG, content_type="text/css")


def get(connect: Connect, answer: Any, *, method: str = "GET", **headers: str) -> httpx.Response:
    """What `answer`, or a Response itself, looks like to a client that takes gzip."""
    if isinstance(answer, Response):
        shared = answer

        def answer(request: Request) -> Response:
            return shared

    sent = {"accept-encoding": "gzip"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return connect(app_of(answer)).request(method, f"/{answer.__name__}", headers=sent)


def is_coded(response: httpx.Response) -> bool:
    coding = response.headers.get("content-encoding")
    assert coding in (None, "gzip")
    return coding is not None


# --- Bodies -------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [text, text_async])
def test_a_text_is_coded_with_its_true_length(connect: Connect, handler: Any) -> None:
    response = get(connect, handler)
    assert is_coded(response)
    assert response.text == TEXT
    assert int(response.headers["content-length"]) < len(TEXT) / 10
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


def test_both_doors_and_every_time_give_the_same_bytes(connect: Connect) -> None:
    def raw(path: str) -> bytes:
        with connect(app_of(text, big)).stream(
            "GET", path, headers={"accept-encoding": "gzip"}
        ) as response:
            return b"".join(response.iter_raw())

    coder = zlib.compressobj(6, wbits=31)
    assert raw("/text") == coder.compress(TEXT.encode()) + coder.flush()
    assert gzip.decompress(raw("/text")) == TEXT.encode()
    assert raw("/text")[4:8] == bytes(4)  # no date
    assert gzip.decompress(raw("/big")) == BIG
    assert raw("/big") == raw("/big")


class Watched(bytes):
    """A body that tells in which threads it was cut."""

    cut_in: set[str]

    def __getitem__(self, index: Any) -> Any:
        self.cut_in.add(threading.current_thread().name)
        return bytes(self)[index]


def test_a_big_body_is_compressed_off_the_loop(connect: Connect, protocol: Protocol) -> None:
    body = Watched(BIG)
    body.cut_in = set()
    app = app_of(text)

    @app.middleware
    def enlarge(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.body = body

    response = connect(app).get("/text", headers=GZIP)
    assert (is_coded(response), response.content) == (True, BIG)
    assert "content-length" not in response.headers
    (thread,) = {name.partition("_")[0] for name in body.cut_in}
    assert thread == {"wsgi": threading.current_thread().name, "asgi": "microweb"}[protocol]


@pytest.mark.parametrize(("size", "coded"), [(0, False), (999, False), (1000, True)])
def test_a_small_body_stays_as_it_is(connect: Connect, size: int, coded: bool) -> None:
    response = get(connect, Response(b"x" * size, content_type="text/plain"))
    assert is_coded(response) == coded
    assert response.content == b"x" * size
    assert ("vary" in response.headers) == coded


def test_the_size_and_level_can_be_chosen(connect: Connect) -> None:
    lengths = []
    for level in (1, 9):
        client = connect(app_of(text, minimum_size=1, level=level))
        lengths.append(int(client.get("/text").headers["content-length"]))
    assert lengths[1] < lengths[0]
    for wrong in ({"level": 0}, {"level": 10}, {"minimum_size": 0}):
        with pytest.raises(ValueError, match="GZipMiddleware"):
            GZipMiddleware(**wrong)


def test_an_error_response_is_coded_too(connect: Connect) -> None:
    def refuse(request: Request) -> None:
        raise HTTPException(404, TEXT)

    response = get(connect, refuse)
    assert (response.status_code, response.text, is_coded(response)) == (404, TEXT, True)


@pytest.mark.parametrize("path", ["/text", "/big", "/stream", "/tagged", "/small", "/part"])
@pytest.mark.parametrize("accepts", ["gzip", "identity"])
def test_head_has_the_headers_of_get(connect: Connect, path: str, accepts: str) -> None:
    def stream(request: Request) -> Iterator[str]:
        yield TEXT

    def tagged(request: Request) -> Response:
        return Response(TEXT, 200, {"etag": '"1"'}, "text/html")

    def small(request: Request) -> str:
        return "small"

    def part(request: Request) -> Response:
        return Response(TEXT, 206, {"content-range": "bytes 0-1/2"}, "text/html")

    client = connect(app_of(text, big, stream, tagged, small, part))
    headers = {"accept-encoding": accepts}
    whole, head = (client.request(method, path, headers=headers) for method in ("GET", "HEAD"))
    assert whole.headers == head.headers
    assert head.content == b""


# --- Negotiation --------------------------------------------------------------------------

ACCEPTED = [
    "gzip",
    "GZIP",
    "x-gzip",
    "gzip, deflate, br, zstd",
    "br;q=1.0, gzip;q=0.001",
    "*",
    "*;q=0.1",
    "identity, gzip",
    "identity;q=0.5, gzip;q=0.5",
    "gzip;q=1, *;q=0",
    "\t gzip ;q=0.5\t,",
]
REFUSED = [
    "",
    "br",
    "gzip;q=0",
    "gzip;q=0.000, *",
    "*;q=0",
    "identity",
    "identity;q=1, gzip;q=0.5",
    "identity, *;q=0.5",
    "gzipp",
    "not gzip",
    "gzip;q=2",
    "gzip;q",
    '"gzip"',
]


@pytest.mark.parametrize("accepts", ACCEPTED)
def test_a_client_that_takes_gzip_gets_it(connect: Connect, accepts: str) -> None:
    response = get(connect, text, accept_encoding=accepts)
    assert is_coded(response)
    assert response.text == TEXT


@pytest.mark.parametrize("accepts", REFUSED)
def test_any_other_gets_the_plain_body_and_caches_are_told(connect: Connect, accepts: str) -> None:
    response = get(connect, text, accept_encoding=accepts)
    assert not is_coded(response)
    assert response.text == TEXT
    assert response.headers["content-length"] == str(len(TEXT))
    assert response.headers["vary"] == "Accept-Encoding"


def test_a_client_that_says_nothing_gets_the_plain_body(connect: Connect) -> None:
    client = connect(app_of(text))
    request = client.build_request("GET", "/text")
    del request.headers["accept-encoding"]
    response = client.send(request)
    assert (is_coded(response), response.headers["vary"]) == (False, "Accept-Encoding")


# --- What is left alone -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "coded"),
    [
        ("text/html; charset=utf-8", True),
        ("TEXT/CSS", True),
        ("application/json", True),
        ("application/problem+json; charset=utf-8", True),
        ("application/xhtml+xml", True),
        ("image/svg+xml", True),
        ("text/javascript", True),
        ("application/wasm", True),
        ("image/png", False),
        ("application/zip", False),
        ("application/octet-stream", False),
        ("video/mp4", False),
        ("font/woff2", False),
        ("text/event-stream", False),
        ("", False),
    ],
)
def test_only_what_compresses_is_coded(connect: Connect, content_type: str, coded: bool) -> None:
    response = get(connect, Response(TEXT, content_type=content_type))
    assert is_coded(response) == coded
    assert response.text == TEXT
    assert ("vary" in response.headers) == coded


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {"content-range": "bytes 0-9/10"}),
        (200, {"content-encoding": "br"}),
        (200, {"content-encoding": "identity"}),
        (200, {"content-digest": "sha-256=:AAAA:"}),
        (200, {"cache-control": "no-transform"}),
        (200, {"cache-control": "public, No-Transform,max-age=1"}),
    ],
)
def test_what_must_not_be_changed_is_not(
    connect: Connect, status: int, headers: dict[str, str]
) -> None:
    def fixed(request: Request) -> Response:
        return Response(TEXT, status, {**headers, "etag": '"1"'}, "text/html")

    client = connect(app_of(fixed))
    with client.stream("GET", "/fixed", headers={"accept-encoding": "gzip"}) as response:
        assert b"".join(response.iter_raw()) == TEXT.encode()
    assert response.headers["etag"] == '"1"'
    assert response.headers.get("content-encoding") == headers.get("content-encoding")
    assert "vary" not in response.headers


@pytest.mark.parametrize(
    ("content_type", "vary"), [("text/html", "Accept-Encoding"), ("image/png", None)]
)
def test_a_part_is_not_changed_but_varies_as_the_whole_does(
    connect: Connect, content_type: str, vary: str | None
) -> None:
    headers = {"etag": '"1"', "content-range": "bytes 0-9/9999"}
    response = get(connect, Response(TEXT, 206, headers, content_type))
    assert (response.text, response.headers["etag"]) == (TEXT, '"1"')
    assert not is_coded(response)
    assert response.headers.get("vary") == vary


@pytest.mark.parametrize("quoted", ['private="no-transform"', "x-no-transform"])
def test_a_directive_is_a_whole_word(connect: Connect, quoted: str) -> None:
    assert is_coded(get(connect, Response(TEXT, 200, {"cache-control": quoted}, "text/html")))


def test_no_body_is_no_coded_body(connect: Connect) -> None:
    def nothing(request: Request) -> None:
        return None

    response = get(connect, nothing)
    assert response.status_code == 204
    assert not {"content-encoding", "vary", "content-length"} & set(response.headers)


def test_a_websocket_handshake_is_left_alone() -> None:
    layer = GZipMiddleware(minimum_size=1)(Request())
    next(layer)
    switching = Response(content_type="text/plain")
    switching.status = 101
    with pytest.raises(StopIteration):
        layer.send(switching)
    assert switching.headers.multi_items() == [("content-type", "text/plain")]


# --- Entity tags and lengths --------------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "coded"), [('"abc"', 'W/"abc"'), ('W/"abc"', 'W/"abc"'), ("odd", "odd")]
)
def test_the_coded_form_has_a_weak_etag(connect: Connect, etag: str, coded: str) -> None:
    response = Response(TEXT, 200, {"etag": etag, "accept-ranges": "bytes"}, "text/html")
    plain = get(connect, response, accept_encoding="identity")
    assert (plain.headers["etag"], plain.headers["accept-ranges"]) == (etag, "bytes")
    smaller = get(connect, response)
    assert smaller.headers["etag"] == coded
    assert "accept-ranges" not in smaller.headers


@pytest.mark.parametrize(
    ("if_none_match", "etag"),
    [
        ('W/"abc"', 'W/"abc"'),
        ('"x", W/"abc"', 'W/"abc"'),
        ('"abc"', '"abc"'),
        ('W/"ab"', '"abc"'),
        ("*", '"abc"'),
    ],
)
def test_not_modified_names_the_form_that_the_client_has(
    connect: Connect, if_none_match: str, etag: str
) -> None:
    unchanged = Response(b"", 304, {"etag": '"abc"'})
    response = get(connect, unchanged, if_none_match=if_none_match)
    assert response.status_code == 304
    assert (response.headers["etag"], response.headers["vary"]) == (etag, "Accept-Encoding")


def test_a_length_that_a_handler_gave_is_not_that_of_the_coded_body(connect: Connect) -> None:
    def stream(request: Request) -> StreamingResponse:
        return StreamingResponse([TEXT], headers={"content-length": str(len(TEXT))})

    response = get(connect, stream)
    assert (is_coded(response), response.text) == (True, TEXT)
    assert "content-length" not in response.headers


@pytest.mark.parametrize(("length", "coded"), [("999", False), ("1000", True), ("many", True)])
def test_a_stream_with_a_small_length_stays_as_it_is(
    connect: Connect, length: str, coded: bool
) -> None:
    def stream(request: Request) -> StreamingResponse:
        size = int(length) if length.isdigit() else 2000
        return StreamingResponse(["x" * size], headers={"content-length": length})

    assert is_coded(get(connect, stream, method="HEAD")) == coded


# --- Streams ------------------------------------------------------------------------------


class Source:
    """A body that tells what has become of it: chunk by chunk, and closed how often."""

    def __init__(self, *chunks: str | bytes, error: Exception | None = None) -> None:
        self.chunks = chunks
        self.error = error
        self.given = 0
        self.closed = 0

    def response(self, kind: str) -> StreamingResponse:
        return StreamingResponse(PlainSource(self) if kind == "plain" else AsyncSource(self))

    def take(self) -> str | bytes | None:
        if self.given == len(self.chunks):
            if self.error is not None:
                raise self.error
            return None
        self.given += 1
        return self.chunks[self.given - 1]


class PlainSource:
    def __init__(self, source: Source) -> None:
        self.source = source

    def __iter__(self) -> Iterator[str | bytes]:
        return self

    def __next__(self) -> str | bytes:
        chunk = self.source.take()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        self.source.closed += 1


class AsyncSource:
    def __init__(self, source: Source) -> None:
        self.source = source

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        await asyncio.sleep(0)
        chunk = self.source.take()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self.source.closed += 1


def source_app(source: Source, kind: str) -> App:
    def stream(request: Request) -> StreamingResponse:
        return source.response(kind)

    return app_of(stream)


@kinds
def test_a_chunk_can_be_read_before_the_next_is_made(connect: Connect, kind: str) -> None:
    source = Source("one ", b"", "two ", "drei größer")
    decoder = zlib.decompressobj(wbits=31)
    read = []
    with connect(source_app(source, kind)).stream("GET", "/stream", headers=GZIP) as response:
        assert is_coded(response)
        assert "content-length" not in response.headers
        for raw in response.iter_raw():
            if decoded := decoder.decompress(raw):
                read.append((decoded.decode(), source.given))
    assert read == [("one ", 1), ("two ", 3), ("drei größer", 4)]
    assert decoder.eof
    assert source.closed == 1


@kinds
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_stream_that_is_left_is_closed_once(connect: Connect, kind: str, method: str) -> None:
    source = Source(*["some text "] * 1000)
    client = connect(source_app(source, kind))
    with client.stream(method, "/stream", headers=GZIP) as response:
        assert is_coded(response)
        if method == "GET":
            next(response.iter_raw())
    assert source.closed == 1
    assert source.given < 1000 if method == "GET" else source.given == 0


@kinds
def test_a_stream_that_breaks_is_closed_once_and_never_ends_well(
    connect: Connect, kind: str
) -> None:
    source = Source("first ", error=ZeroDivisionError())
    client = connect(source_app(source, kind))
    with (
        client.stream("GET", "/stream", headers=GZIP) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        response.read()
    assert source.closed == 1


@kinds
def test_generators_are_closed_with_their_own_finally(connect: Connect, kind: str) -> None:
    events: list[str] = []

    def plain() -> Iterator[str]:
        try:
            while True:
                yield TEXT
        finally:
            events.append("closed")

    async def asynchronous() -> AsyncIterator[str]:
        try:
            while True:
                yield TEXT
        finally:
            events.append("closed")

    def stream(request: Request) -> Any:
        return plain() if kind == "plain" else asynchronous()

    client = connect(app_of(stream))
    with client.stream("GET", "/stream", headers=GZIP) as response:
        next(response.iter_raw())
    assert events == ["closed"]


@kinds
def test_two_layers_leave_a_stream_whole(connect: Connect, kind: str) -> None:
    source = Source("one ", "two ")
    app = source_app(source, kind)
    app.middleware(GZipMiddleware())  # inside of the other, which finds the body coded
    response = connect(app).get("/stream", headers=GZIP)
    assert (response.text, source.closed) == ("one two ", 1)


@kinds
@given(chunks=st.lists(st.binary(max_size=2000), max_size=10))
def test_any_stream_comes_out_as_it_went_in(kind: str, chunks: list[bytes]) -> None:
    response = StreamingResponse(PlainSource(Source(*chunks)))
    if kind == "async":
        response = StreamingResponse(AsyncSource(Source(*chunks)))
    request = Request()
    request.header = lambda name: "gzip"  # type: ignore[method-assign]
    request._header_pairs = lambda: [("accept-encoding", "gzip")]  # type: ignore[method-assign]
    layer = GZipMiddleware()(request)
    next(layer)
    with pytest.raises(StopIteration):
        layer.send(response)
    body: Any = response.iterator

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in body])

    coded = b"".join(body) if kind == "plain" else asyncio.run(collect())
    assert gzip.decompress(coded) == b"".join(chunks)


def test_json_is_coded(connect: Connect) -> None:
    value = [{"name": f"customer {n}"} for n in range(100)]
    response = get(connect, JSONResponse(value))
    assert (is_coded(response), response.json()) == (True, value)
