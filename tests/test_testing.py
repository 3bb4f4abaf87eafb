"""TestClient: what it plays of a server and of a client, with apps of ours and of others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest

from microweb import App, HTTPException, Request, Response, StreamingResponse
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol

app = App()


@app.get("/error")
def error(request: Request) -> None:
    raise LookupError("a part of the test")


@app.get("/async-error")
async def async_error(request: Request) -> None:
    await asyncio.sleep(0)
    raise LookupError("a part of the test")


@app.get("/broken")
def broken(request: Request) -> Iterator[str]:
    def chunks() -> Iterator[str]:
        yield "first"
        raise LookupError("a part of the test")

    return chunks()


@app.get("/async-broken")
async def async_broken(request: Request) -> AsyncIterator[str]:
    async def chunks() -> AsyncIterator[str]:
        yield "first"
        raise LookupError("a part of the test")

    return chunks()


@app.get("/gone")
def gone(request: Request) -> None:
    raise HTTPException(410)


@app.post("/echo")
def echo(request: Request) -> Response:
    return Response(request.body, content_type=request.headers.get("content-type"))


@app.get("/where/{rest:path}")
@app.get("/where")
def where(request: Request, rest: str = "") -> list[str]:
    return [request.root_path, request.path, request.url]


@app.get("/login")
def login(request: Request) -> Response:
    response = Response("welcome")
    response.set_cookie("user", "ada")
    response.set_cookie("theme", "dark")
    return response


@app.get("/me")
def me(request: Request) -> dict[str, str]:
    return request.cookies


@app.get("/headers")
def headers(request: Request) -> Any:
    return request.headers.multi_items()


# --- Its arguments ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http", "WSGI", "", None])
def test_a_protocol_that_there_is_not_is_an_error_that_names_both(name: Any) -> None:
    with pytest.raises(ValueError, match=r"wsgi.*asgi"):
        TestClient(app, name)


def test_the_app_is_called_through_the_door_that_was_asked_for(protocol: Protocol) -> None:
    own = App()
    own.get("/")(lambda request: request.protocol)
    assert TestClient(own, protocol).get("/").text == protocol


def test_a_client_without_a_with_block_works_too(protocol: Protocol) -> None:
    own = App()

    @own.lifespan
    def life(app: App) -> Iterator[dict[str, str]]:
        yield {"word": "ready"}

    own.get("/")(lambda request: request.app.state.word)
    assert TestClient(own, protocol).get("/").text == "ready"


@pytest.mark.parametrize("path", ["/error", "/async-error"])
def test_an_unexpected_error_is_a_500(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 500
    assert "a part of the test" not in response.text


@pytest.mark.parametrize("path", ["/error", "/async-error"])
def test_an_unexpected_error_is_raised_if_wished(connect: Connect, path: str) -> None:
    client = connect(app, raise_server_exceptions=True)
    with pytest.raises(LookupError, match="a part of the test"):
        client.get(path)


@pytest.mark.parametrize("path", ["/broken", "/async-broken"])
def test_an_error_in_mid_stream_is_a_broken_transfer(client: TestClient, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path)
    with client.stream("GET", path) as response:
        assert response.status_code == 200
        chunks = response.iter_text()
        assert next(chunks) == "first"
        with pytest.raises(httpx.RemoteProtocolError):
            next(chunks)


@pytest.mark.parametrize("path", ["/broken", "/async-broken"])
def test_an_error_in_mid_stream_is_raised_if_wished(connect: Connect, path: str) -> None:
    client = connect(app, raise_server_exceptions=True)
    with pytest.raises(LookupError, match="a part of the test"):
        client.get(path)


def test_an_expected_error_is_a_response_even_if_others_are_raised(connect: Connect) -> None:
    client = connect(app, raise_server_exceptions=True)
    assert client.get("/gone").status_code == 410
    assert client.get("/nowhere").status_code == 404


def test_what_is_wrapped_around_the_app_sees_every_call(protocol: Protocol) -> None:
    calls: list[str] = []

    def wrap(door: Any) -> Any:
        def wsgi(environ: Any, start_response: Any) -> Any:
            calls.append(environ["PATH_INFO"])
            return door(environ, start_response)

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                calls.append(scope["path"])
            await door(scope, receive, send)

        return wsgi if protocol == "wsgi" else asgi

    client = TestClient(app, protocol, wrap=wrap)
    client.get("/me")
    client.get("/nowhere")
    assert calls == ["/me", "/nowhere"]


@pytest.mark.parametrize("root_path", ["/api", "/a/b", "/café"])
@pytest.mark.parametrize("path", ["/where", "/where/x"])
def test_root_path_is_where_the_app_is_mounted(connect: Connect, root_path: str, path: str) -> None:
    client = connect(app, root_path=root_path)
    url = str(httpx.URL(f"http://testserver{root_path}{path}"))
    for target in (root_path + path, path):
        assert client.get(target).json() == [root_path, path, url]


def test_root_path_is_a_prefix_of_whole_segments(connect: Connect) -> None:
    client = connect(app, root_path="/wh")
    assert client.get("/where").json()[:2] == ["/wh", "/where"]


def test_the_base_url_and_headers_of_httpx_are_taken(connect: Connect) -> None:
    client = connect(app, base_url="https://example.org:8443/where", headers={"x-tag": "mine"})
    assert client.get("/x").json() == ["", "/where/x", "https://example.org:8443/where/x"]
    assert ["x-tag", "mine"] in connect(app, headers={"x-tag": "mine"}).get("/headers").json()


# --- Requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/where/caf%C3%A9", "/where/café"),
        ("/where/café", "/where/café"),
        ("/where/a%20b", "/where/a b"),
        ("/where/a%2Fb", "/where/a/b"),
        ("/where/a%3Fb?c=d", "/where/a?b"),
        ("/where/100%25", "/where/100%"),
        ("/where/%FF", "/where/\ufffd"),
        ("/where/a;b=c,d", "/where/a;b=c,d"),
        ("/where//x", "/where//x"),
    ],
)
def test_a_path_is_decoded_once(client: TestClient, target: str, path: str) -> None:
    assert client.get(target).json()[1] == path


def test_the_query_is_handed_on_as_it_was_written(connect: Connect) -> None:
    own = App()
    own.get("/")(lambda request: [request.query_string, request.query.multi_items()])
    query, pairs = connect(own).get("/?a=%20b&a=c+d&e=%C3%A9").json()
    assert query == "a=%20b&a=c+d&e=%C3%A9"
    assert pairs == [["a", " b"], ["a", "c d"], ["e", "é"]]


def test_repeated_request_headers_all_arrive(client: TestClient) -> None:
    pairs = client.get("/headers", headers=[("x-tag", "one"), ("x-tag", "two")]).json()
    values = [value for name, value in pairs if name == "x-tag"]
    assert ",".join(values) == "one,two"


def test_repeated_cookie_headers_all_arrive(client: TestClient) -> None:
    response = client.get("/me", headers=[("cookie", "a=1"), ("cookie", "b=2")])
    assert response.json() == {"a": "1", "b": "2"}


def test_repeated_response_headers_all_come_back(client: TestClient) -> None:
    cookies = client.get("/login").headers.get_list("set-cookie")
    assert [cookie.partition(";")[0] for cookie in cookies] == ["user=ada", "theme=dark"]


def test_cookies_are_kept_for_the_next_request(client: TestClient) -> None:
    assert client.get("/me").json() == {}
    client.get("/login")
    assert client.get("/me").json() == {"user": "ada", "theme": "dark"}
    client.cookies.clear()
    assert client.get("/me").json() == {}


def test_two_clients_share_no_cookies(connect: Connect) -> None:
    connect(app).get("/login")
    assert connect(app).get("/me").json() == {}


def test_a_redirect_is_followed_if_wished(connect: Connect) -> None:
    assert connect(app).get("/me/").status_code == 308
    assert connect(app, follow_redirects=True).get("/me/").json() == {}


@pytest.mark.parametrize("size", [0, 1, 100_000, 1_000_000])
def test_a_body_arrives_whole(client: TestClient, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert client.post("/echo", content=body).content == body
    pieces = (body[start : start + 10_000] for start in range(0, size, 10_000))
    assert client.post("/echo", content=pieces).content == body


@pytest.mark.parametrize("raises", [False, True])
def test_an_upload_that_nobody_reads_is_not_taken_from_the_client(
    connect: Connect, raises: bool
) -> None:
    taken: list[int] = []

    def upload() -> Iterator[bytes]:
        for number in range(10):
            taken.append(number)
            yield b"piece"

    client = connect(app, raise_server_exceptions=raises)
    assert client.post("/nowhere", content=upload()).status_code == 404
    assert taken == []


def test_an_upload_over_the_limit_is_taken_only_so_far(connect: Connect) -> None:
    own = App(max_body_size=1_000_000)
    own.post("/")(lambda request: "never")
    taken: list[int] = []

    def upload() -> Iterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield b"x" * 100_000

    assert connect(own).post("/", content=upload()).status_code == 413
    assert len(taken) < 20


def test_a_download_is_made_only_as_far_as_it_is_read(connect: Connect) -> None:
    own = App()
    made: list[int] = []

    def chunks() -> Iterator[str]:
        for number in range(1000):
            made.append(number)
            yield f"{number} "

    async def async_chunks() -> AsyncIterator[str]:
        for chunk in chunks():
            yield chunk

    own.get("/plain")(lambda request: chunks())
    own.get("/async")(lambda request: async_chunks())
    client = connect(own)
    for path in ("/plain", "/async"):
        made.clear()
        with client.stream("GET", path) as response:
            pieces = response.iter_text()
            for number in range(3):
                assert next(pieces) == f"{number} "
                assert made == list(range(number + 1))


def test_a_stream_that_never_ends_can_be_left(connect: Connect) -> None:
    own = App()
    closed: list[str] = []

    async def forever() -> AsyncIterator[str]:
        try:
            while True:
                yield "chunk"
        finally:
            closed.append("closed")

    own.get("/")(lambda request: forever())
    client = connect(own)
    for _ in range(3):
        with client.stream("GET", "/") as response:
            assert next(response.iter_text()) == "chunk"
    assert closed == ["closed"] * 3


def test_a_response_is_whole_only_when_its_background_is_over(connect: Connect) -> None:
    own = App()
    ran: list[str] = []
    own.get("/")(lambda request: Response("x", background=lambda: ran.append("background")))
    assert connect(own).get("/").text == "x"
    assert ran == ["background"]


word: ContextVar[str] = ContextVar("word", default="the test's own")


def test_the_app_sees_the_variables_of_the_test_and_leaves_none_there(connect: Connect) -> None:
    own = App()

    def change(request: Request) -> str:
        before = word.get()
        word.set("the app's")
        return before

    async def async_change(request: Request) -> str:
        return change(request)

    own.get("/plain")(change)
    own.get("/async")(async_change)
    client = connect(own)
    token = word.set("set by the test")
    try:
        for path in ("/plain", "/async"):
            assert client.get(path).text == "set by the test"
            assert word.get() == "set by the test"
    finally:
        word.reset(token)


# --- The lifespan -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_with_block_runs_the_lifespan(protocol: Protocol, form: str) -> None:
    own = App()
    events: list[str] = []

    def plain(app: App) -> Iterator[None]:
        events.append("start")
        yield
        events.append("stop")

    async def asynchronous(app: App) -> AsyncIterator[None]:
        events.append("start")
        yield
        events.append("stop")

    own.lifespan(plain if form == "plain" else asynchronous)
    own.get("/")(lambda request: events.append("request"))
    with TestClient(own, protocol, wrap=CHECKERS[protocol]) as client:
        assert events == ["start"]
        client.get("/")
        client.get("/")
    assert events == ["start", "request", "request", "stop"]


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_lifespan_that_does_not_start_fails_the_with_statement(
    protocol: Protocol, form: str
) -> None:
    own = App()

    def plain(app: App) -> Iterator[None]:
        raise RuntimeError("no database")
        yield

    async def asynchronous(app: App) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    own.lifespan(plain if form == "plain" else asynchronous)
    with (
        pytest.raises(RuntimeError, match="no database"),
        TestClient(own, protocol, wrap=CHECKERS[protocol]),
    ):
        pytest.fail("it started all the same")


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_lifespan_that_does_not_stop_fails_at_the_end_of_the_block(
    protocol: Protocol, form: str
) -> None:
    own = App()

    def plain(app: App) -> Iterator[None]:
        yield
        raise RuntimeError("the database hangs")

    async def asynchronous(app: App) -> AsyncIterator[None]:
        yield
        raise RuntimeError("the database hangs")

    own.lifespan(plain if form == "plain" else asynchronous)
    own.get("/")(lambda request: "hello")
    client = TestClient(own, protocol, wrap=CHECKERS[protocol])
    client.__enter__()
    assert client.get("/").text == "hello"
    with pytest.raises(RuntimeError, match="the database hangs"):
        client.__exit__()


# --- Apps of others: WSGI -----------------------------------------------------------------

Environ = dict[str, Any]


def wsgi_client(application: Callable[..., Any], **arguments: Any) -> TestClient:
    return TestClient(application, "wsgi", **arguments)


def test_a_plain_wsgi_callable_is_served() -> None:
    seen: list[Environ] = []

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("201 Created", [("Content-Type", "text/plain"), ("X-Tag", "a")])
        return [b"one", b"", b"two"]

    with wsgi_client(application, wrap=CHECKERS["wsgi"]) as client:
        response = client.post("/caf%C3%A9?a=b", content=b"hello")
    assert (response.status_code, response.content) == (201, b"onetwo")
    assert response.headers["x-tag"] == "a"
    (environ,) = seen
    assert environ["PATH_INFO"] == "/café".encode().decode("latin-1")
    assert environ["QUERY_STRING"] == "a=b"
    assert environ["CONTENT_LENGTH"] == "5"
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_wsgi_app_may_be_a_generator_that_starts_late() -> None:
    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b""
        yield b"late"

    assert wsgi_client(application).get("/").content == b"late"


def test_what_is_written_comes_before_what_is_returned() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one ")
        write(b"two ")
        return [b"three ", b"four"]

    assert wsgi_client(application).get("/").content == b"one two three four"


def test_an_empty_write_ends_nothing() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"")
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"", b"three"]

    assert wsgi_client(application).get("/").content == b"one two three"


def exc_info_of(error: Exception) -> Any:
    try:
        raise error
    except Exception:
        return sys.exc_info()


def test_the_head_may_be_replaced_until_the_first_byte() -> None:
    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("X-First", "1")])
        yield b""
        start_response("500 Sorry", [("X-Second", "2")], exc_info_of(LookupError()))
        yield b"sorry"

    response = wsgi_client(application).get("/")
    assert (response.status_code, response.content) == (500, b"sorry")
    assert "x-first" not in response.headers
    assert response.headers["x-second"] == "2"


def test_exc_info_is_raised_again_after_the_first_byte() -> None:
    def application(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"first"
        start_response("500 Sorry", [], exc_info_of(LookupError("too late")))
        yield b"never"

    with pytest.raises(httpx.RemoteProtocolError):
        wsgi_client(application).get("/")
    with pytest.raises(LookupError, match="too late"):
        wsgi_client(application, raise_server_exceptions=True).get("/")


def test_exc_info_is_raised_again_after_the_first_byte_was_written() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"first")
        start_response("500 Sorry", [], exc_info_of(LookupError("too late")))
        return [b"never"]

    with pytest.raises(LookupError, match="too late"):
        wsgi_client(application, raise_server_exceptions=True).get("/")


def starts_twice(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    start_response("200 OK", [])
    return [b"hello"]


def never_starts(environ: Environ, start_response: Any) -> list[bytes]:
    return [b"hello"]


@pytest.mark.parametrize("application", [starts_twice, never_starts])
def test_a_wsgi_app_that_starts_twice_or_never_is_a_500_or_told_so(application: Any) -> None:
    assert wsgi_client(application).get("/").status_code == 500
    with pytest.raises(RuntimeError, match="start_response"):
        wsgi_client(application, raise_server_exceptions=True).get("/")


class ClosableBody:
    """The iterable of a WSGI app; it counts its closes."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("error", [None, LookupError()])
@pytest.mark.parametrize("chunks", [(), (b"a", b"b"), (b"", b"b")])
def test_the_iterable_of_a_wsgi_app_is_closed_once(
    chunks: tuple[bytes, ...], error: Exception | None
) -> None:
    body = ClosableBody(*chunks, error=error)

    def application(environ: Environ, start_response: Any) -> ClosableBody:
        start_response("200 OK", [])
        return body

    client = wsgi_client(application)
    if error is None:
        assert client.get("/").content == b"".join(chunks)
    elif any(chunks):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/")
    else:
        assert client.get("/").status_code == 500
    assert body.closed == 1


def test_the_iterable_of_a_wsgi_app_is_closed_once_when_the_client_leaves() -> None:
    body = ClosableBody(b"a", b"b", b"c")

    def application(environ: Environ, start_response: Any) -> ClosableBody:
        start_response("200 OK", [])
        return body

    with wsgi_client(application).stream("GET", "/") as response:
        assert next(response.iter_bytes()) == b"a"
        assert body.closed == 0
    assert body.closed == 1


def test_wsgi_input_is_a_lazy_file() -> None:
    taken: list[bytes] = []
    read: list[Any] = []

    def upload() -> Iterator[bytes]:
        for piece in (b"first li", b"ne\nsecond line\n", b"the ", b"rest", b"never"):
            taken.append(piece)
            yield piece

    def application(environ: Environ, start_response: Any) -> list[bytes]:
        source = environ["wsgi.input"]
        read.append(source.read(5))
        assert len(taken) == 1
        read.append(source.readline())
        read.append(source.readline())
        read.append(source.read(8))
        assert taken[-1] == b"rest"
        start_response("200 OK", [])
        return []

    response = wsgi_client(application, raise_server_exceptions=True).post("/", content=upload())
    assert response.status_code == 200
    assert read == [b"first", b" line\n", b"second line\n", b"the rest"]


def test_a_wsgi_app_that_raises_is_a_500_or_raises() -> None:
    def application(environ: Environ, start_response: Any) -> list[bytes]:
        raise LookupError("a part of the test")

    assert wsgi_client(application).get("/").status_code == 500
    with pytest.raises(LookupError):
        wsgi_client(application, raise_server_exceptions=True).get("/")


# --- Apps of others: ASGI -----------------------------------------------------------------

Scope = dict[str, Any]
Message = dict[str, Any]
START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def asgi_client(application: Callable[..., Any], **arguments: Any) -> TestClient:
    return TestClient(application, "asgi", **arguments)


def body_of(data: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_a_plain_asgi_callable_is_served() -> None:
    seen: list[Any] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        seen.extend([scope, await receive()])
        headers = [(b"content-type", b"text/plain"), (b"x-tag", b"a"), (b"x-tag", b"b")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send(body_of(b"one", more=True))
        await send(body_of(b"", more=True))
        await send(body_of(b"two"))

    with asgi_client(application, wrap=CHECKERS["asgi"]) as client:
        response = client.post("/caf%C3%A9?a=b", content=b"hello")
    assert (response.status_code, response.content) == (201, b"onetwo")
    assert response.headers.get_list("x-tag") == ["a", "b"]
    scope, message = seen
    assert scope["path"] == "/café"
    assert scope["raw_path"] == b"/caf%C3%A9"
    assert scope["query_string"] == b"a=b"
    assert (message["body"], message["more_body"]) == (b"hello", False)


def test_an_asgi_response_needs_no_headers_and_no_body() -> None:
    # Both keys are optional (ASGI 3.0, "Response Start", "Response Body").
    async def application(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202})
        await send({"type": "http.response.body"})

    response = asgi_client(application, raise_server_exceptions=True).get("/")
    assert (response.status_code, response.content) == (202, b"")


def test_an_asgi_app_that_says_nothing_is_a_500() -> None:
    async def application(scope: Scope, receive: Any, send: Any) -> None:
        return

    assert asgi_client(application).get("/").status_code == 500
    with pytest.raises(RuntimeError, match="response"):
        asgi_client(application, raise_server_exceptions=True).get("/")


def test_an_asgi_app_that_raises_is_a_500_or_raises() -> None:
    async def application(scope: Scope, receive: Any, send: Any) -> None:
        raise LookupError("a part of the test")

    assert asgi_client(application).get("/").status_code == 500
    with pytest.raises(LookupError):
        asgi_client(application, raise_server_exceptions=True).get("/")


def test_an_asgi_app_that_raises_in_mid_stream_is_a_broken_transfer() -> None:
    async def application(scope: Scope, receive: Any, send: Any) -> None:
        await send(START)
        await send(body_of(b"first", more=True))
        raise LookupError("a part of the test")

    with pytest.raises(httpx.RemoteProtocolError):
        asgi_client(application).get("/")
    with pytest.raises(LookupError):
        asgi_client(application, raise_server_exceptions=True).get("/")


@pytest.mark.parametrize("messages", [[START], [START, body_of(b"first", more=True)]])
def test_an_asgi_app_that_ends_before_its_last_message_is_a_broken_transfer(
    messages: list[Message],
) -> None:
    async def application(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(httpx.RemoteProtocolError):
        asgi_client(application).get("/")


def test_an_asgi_app_hears_that_the_client_has_left() -> None:
    heard: list[Any] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await send(START)
        await send(body_of(b"first", more=True))
        heard.append((await receive())["type"])

    with asgi_client(application).stream("GET", "/") as response:
        assert next(response.iter_bytes()) == b"first"
    assert heard == ["http.request", "http.disconnect"]


def test_leaving_is_no_error_of_the_test_where_an_asgi_app_knows_nothing_of_it() -> None:
    ended: list[str] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        await send(START)
        try:
            while True:
                await send(body_of(b"chunk", more=True))
        finally:
            ended.append("ended")

    with asgi_client(application).stream("GET", "/") as response:
        assert next(response.iter_bytes()) == b"chunk"
    assert ended == ["ended"]


def test_an_upload_reaches_an_asgi_app_piece_by_piece() -> None:
    taken: list[bytes] = []
    messages: list[Message] = []

    def upload() -> Iterator[bytes]:
        for piece in (b"one", b"two", b"three"):
            taken.append(piece)
            yield piece

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        assert taken == []
        while not messages or messages[-1].get("more_body"):
            messages.append(await receive())
            assert len(taken) <= len(messages)
        await send(START)
        await send(body_of(b""))

    client = asgi_client(application, wrap=CHECKERS["asgi"], raise_server_exceptions=True)
    assert client.post("/", content=upload()).status_code == 200
    assert b"".join(message["body"] for message in messages) == b"onetwothree"
    assert [message["body"] for message in messages][:3] == [b"one", b"two", b"three"]


def lifespan_app(*said: Message, error: Exception | None = None) -> Callable[..., Any]:
    """An app that answers each event of its lifespan with the next of `said`."""

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for message in said:
                await receive()
                await send(message)
            if error is not None:
                raise error
            return
        await send(START)
        await send(body_of(b"hello"))

    return application


def test_an_asgi_app_without_a_lifespan_is_served_all_the_same() -> None:
    with asgi_client(lifespan_app(error=NotImplementedError())) as client:
        assert client.get("/").text == "hello"


def test_an_asgi_app_with_a_lifespan_is_started_and_stopped() -> None:
    said = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    with asgi_client(lifespan_app(*said), wrap=CHECKERS["asgi"]) as client:
        assert client.get("/").text == "hello"


def test_an_asgi_app_that_fails_to_start_fails_the_with_statement() -> None:
    said = {"type": "lifespan.startup.failed", "message": "no database"}
    with (
        pytest.raises(RuntimeError, match="no database"),
        asgi_client(lifespan_app(said)),
    ):
        pytest.fail("it started all the same")


def test_an_asgi_app_that_fails_to_stop_fails_at_the_end_of_the_block() -> None:
    said = [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.failed", "message": "the database hangs"},
    ]
    with (
        pytest.raises(RuntimeError, match="the database hangs"),
        asgi_client(lifespan_app(*said)) as client,
    ):
        assert client.get("/").text == "hello"


# --- The end of a transfer ----------------------------------------------------------------


def test_an_error_in_the_body_of_the_with_block_is_the_one_that_is_raised(
    protocol: Protocol,
) -> None:
    own = App()
    events: list[str] = []

    @own.lifespan
    def life(app: App) -> Iterator[None]:
        yield
        events.append("stopped")

    with pytest.raises(LookupError, match="the test's own"), TestClient(own, protocol):
        raise LookupError("the test's own")
    assert events == ["stopped"]


def test_a_head_response_has_the_headers_and_no_body(client: TestClient) -> None:
    response = client.head("/me")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "2"


def test_an_error_of_the_checker_is_no_clean_500(protocol: Protocol) -> None:
    """A test that expects a 500 must not be content with a breach of the protocol."""

    def wrap(door: Any) -> Any:
        def wsgi(environ: Any, start_response: Any) -> Any:
            raise AssertionError("a breach")

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError("a breach")

        return wsgi if protocol == "wsgi" else asgi

    with pytest.raises(AssertionError, match="a breach"):
        TestClient(app, protocol, wrap=wrap).get("/me")


def test_a_streamed_response_can_be_read_from_two_clients_at_once(connect: Connect) -> None:
    own = App()
    own.get("/")(lambda request: StreamingResponse(iter(["a", "b", "c"])))
    one, other = connect(own), connect(own)
    with one.stream("GET", "/") as first, other.stream("GET", "/") as second:
        pairs = list(zip(first.iter_text(), second.iter_text(), strict=True))
    assert pairs == [("a", "a"), ("b", "b"), ("c", "c")]
