"""Foreign applications mounted: both kinds through both doors, and what PEP 3333 and ASGI ask."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar, Token
from typing import Any
from urllib.parse import quote
from wsgiref.validate import validator as wsgi_validator

import flask
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from microweb import App, Request, Response, Router
from microweb.gateways import asgi_in_wsgi, mounted_life
from microweb.gateways.visits import app_loop
from microweb.mounts import mount_for
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator
from .conftest import CHECKERS, Connect, Protocol

PATIENCE = 10.0

Environ = dict[str, Any]
Message = dict[str, Any]
Scope = dict[str, Any]

DOORS: tuple[Protocol, Protocol] = ("wsgi", "asgi")
KINDS = ("wsgi", "asgi")
both_kinds = pytest.mark.parametrize("kind", KINDS)
# The two cells in which a mount is called by way of the other protocol
CROSSINGS: list[tuple[Protocol, str]] = [("wsgi", "asgi"), ("asgi", "wsgi")]
both_crossings = pytest.mark.parametrize(("door", "kind"), CROSSINGS)
TEXT = [("content-type", "text/plain")]
RAW_TEXT = [(b"content-type", b"text/plain")]


class Trouble(Exception):
    """An error of a mounted application's own."""


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == "microweb" and r.levelno >= logging.ERROR]


def mounting(
    prefix: str = "/x", *, checked: bool = True, wsgi: Any = None, asgi: Any = None
) -> App:
    """An app with one mount, around which a strict checker holds us to the server's part."""
    app = App()
    app.get("/")(lambda request: "home")
    if wsgi is not None:
        app.mount(prefix, wsgi=wsgi_validator(wsgi) if checked else wsgi)
    if asgi is not None:
        app.mount(prefix, asgi=asgi_validator(asgi) if checked else asgi)
    return app


def bare(app: App, protocol: Protocol, **arguments: Any) -> TestClient:
    """A client without a checker around our door: for applications that break the rules."""
    return TestClient(app, protocol, **arguments)


# --- What can be mounted --------------------------------------------------------------------


def wsgi_app(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [*TEXT, ("content-length", "5")])
    return [b"hello"]


async def asgi_app(scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [*RAW_TEXT, (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


HELLO: dict[str, Any] = {"wsgi": wsgi_app, "asgi": asgi_app}


async def coroutine_of_two(environ: Environ, start_response: Any) -> None: ...


def takes_one(environ: Environ) -> None: ...


async def generator_of_three(scope: Scope, receive: Any, send: Any) -> AsyncIterator[None]:
    yield


OTHER = App()
REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({}, TypeError, "give one of a Router, wsgi=... or asgi=..., not 0"),
    ({"wsgi": wsgi_app, "asgi": asgi_app}, TypeError, "not 2"),
    ({"router": Router(), "wsgi": wsgi_app}, TypeError, "not 2"),
    ({"router": OTHER}, TypeError, r"app.mount\('/x', asgi=other.asgi\)"),
    ({"wsgi": OTHER}, TypeError, r"asgi=other.asgi"),
    ({"asgi": OTHER}, TypeError, r"asgi=other.asgi"),
    ({"router": wsgi_app}, TypeError, "no Router; a foreign application is mounted by its proto"),
    ({"wsgi": "flask"}, TypeError, r"no callable of \(environ, start_response\)"),
    ({"asgi": 5}, TypeError, r"no callable of \(scope, receive, send\)"),
    ({"wsgi": asgi_app}, TypeError, "asgi_app .*is mounted with asgi=..."),
    ({"asgi": wsgi_app}, TypeError, "wsgi_app .*is mounted with wsgi=..."),
    ({"wsgi": coroutine_of_two}, TypeError, "is mounted with asgi=..."),
    ({"wsgi": takes_one}, TypeError, "takes_one"),
    ({"asgi": generator_of_three}, TypeError, "generator_of_three"),
]


@pytest.mark.parametrize(("given", "kind", "message"), REFUSED)
def test_what_is_no_application_is_refused_there_and_then(
    given: dict[str, Any], kind: type[Exception], message: str
) -> None:
    app = App()
    with pytest.raises(kind, match=message):
        app.mount("/x", **given)
    assert app.mounts == []


@pytest.mark.parametrize("prefix", ["x", "/x/", "/{x}", "/x/{y:int}"])
@both_kinds
def test_a_wrong_prefix_is_refused(prefix: str, kind: str) -> None:
    with pytest.raises(ValueError, match="mount prefix"):
        mounting(prefix, **{kind: HELLO[kind]})


def test_a_prefix_is_taken_once() -> None:
    app = mounting("/x", wsgi=wsgi_app, checked=False)
    with pytest.raises(ValueError, match=r"'/x'.* taken already by wsgi=wsgi_app"):
        app.mount("/x", asgi=asgi_app)


def test_an_app_cannot_contain_itself() -> None:
    app = App()
    with pytest.raises(ValueError, match="contain itself"):
        app.mount("/x", asgi=app.asgi)
    with pytest.raises(ValueError, match="contain itself"):
        app.mount("/x", wsgi=app.wsgi)


def test_a_mount_after_the_first_request_is_refused(connect: Connect) -> None:
    app = mounting(wsgi=wsgi_app)
    connect(app).get("/")
    with pytest.raises(RuntimeError, match="after the first request"):
        app.mount("/y", wsgi=wsgi_app)


class ByMethod:
    """Applications are callables of any kind: a method here, a class and an instance below."""

    def wsgi(self, environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        return wsgi_app(environ, start_response)

    def asgi(self, scope: Scope, receive: Any, send: Any) -> Any:
        return asgi_app(scope, receive, send)


class ByClass:
    def __init__(self, environ: Environ, start_response: Callable[..., Any]) -> None:
        self._chunks = wsgi_app(environ, start_response)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


class ByInstance:
    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        await asgi_app(scope, receive, send)


def by_generator(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
    yield from wsgi_app(environ, start_response)


@pytest.mark.parametrize(
    "kinds",
    [
        {"wsgi": ByMethod().wsgi},
        {"wsgi": ByClass},
        {"wsgi": by_generator},
        {"asgi": ByMethod().asgi},
        {"asgi": ByInstance()},
    ],
    ids=["method", "class", "generator", "plain function", "instance"],
)
def test_any_callable_of_its_protocol_is_an_application(
    connect: Connect, kinds: dict[str, Any]
) -> None:
    assert connect(mounting(checked=False, **kinds)).get("/x").text == "hello"


def test_a_callable_that_does_not_tell_its_parameters_is_taken_at_its_word() -> None:
    app = App()
    app.mount("/x", wsgi=max)
    assert len(app.mounts) == 1


# --- Which paths a mount takes, and what it sees of them --------------------------------------


def wsgi_places(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
    places = [environ["SCRIPT_NAME"], environ["PATH_INFO"]]
    body = json.dumps([place.encode("latin-1").decode() for place in places]).encode()
    start_response("200 OK", [*TEXT, ("content-length", str(len(body)))])
    return [body]


async def asgi_places(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    body = json.dumps([scope["root_path"], scope["path"]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
    await send({"type": "http.response.body", "body": body})


PLACES: dict[str, Any] = {"wsgi": wsgi_places, "asgi": asgi_places}

segments = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/{}"), min_size=1, max_size=4
).filter(lambda segment: segment not in (".", ".."))
prefixes = st.lists(segments, max_size=2).map(lambda parts: "".join(f"/{part}" for part in parts))
rests = st.lists(st.one_of(segments, st.just("")), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)


@both_kinds
@pytest.mark.parametrize("door", DOORS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(root_path=prefixes, prefix=prefixes, rest=rests)
def test_the_prefix_moves_from_the_path_to_the_place(
    door: Protocol, kind: str, root_path: str, prefix: str, rest: str
) -> None:
    app = mounting(prefix, **{kind: PLACES[kind]})
    url = f"http://testserver{quote(root_path + prefix + rest)}"
    with TestClient(app, door, wrap=CHECKERS[door], root_path=root_path) as client:
        seen = client.get(url).json()
    below = rest or ("/" if url == "http://testserver" else "")  # a client sends no empty path
    place = root_path + prefix
    assert seen == ([place, below] if kind == "wsgi" else [place, place + below])


@both_kinds
def test_an_asgi_server_that_leaves_root_path_out_of_the_path_gives_the_same(kind: str) -> None:
    app = mounting("/x", **{kind: PLACES[kind]})
    app.mount("/x/asgi", asgi=asgi_places)

    async def places(path: str) -> Any:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {**SCOPE, "path": path, "root_path": "/root/"}
        await app.asgi(scope, nothing_received, send)
        assert scope == {**SCOPE, "path": path, "root_path": "/root/"}  # it belongs to the server
        return json.loads(sent[1]["body"])

    async def main() -> list[Any]:
        return [await places(path) for path in ("/x/a", "/root/x/a", "/x/asgi", "/root/x/asgi")]

    expected = ["/root/x", "/a"] if kind == "wsgi" else ["/root/x", "/root/x/a"]
    below = ["/root/x/asgi", "/root/x/asgi"]
    assert asyncio.run(main()) == [expected, expected, below, below]


SCOPE: Scope = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "path": "/x",
    "query_string": b"",
    "headers": [],
}


async def nothing_received() -> Message:
    return {"type": "http.request"}


@both_kinds
def test_the_bytes_of_the_path_pass_unchanged(connect: Connect, kind: str) -> None:
    """Invalid UTF-8 is U+FFFD on both sides, as everywhere."""

    def raw_wsgi(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace").encode()]

    async def raw_asgi(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        path = scope["path"].removeprefix(scope["root_path"])
        await send({"type": "http.response.body", "body": path.encode()})

    foreign: dict[str, Any] = {"wsgi": raw_wsgi, "asgi": raw_asgi}
    client = connect(mounting("/caf\u00e9", **{kind: foreign[kind]}))
    assert client.get("/caf%C3%A9/%E9/%C3%A9").text == "/\ufffd/\u00e9"


@both_kinds
def test_a_mount_takes_whole_segments_and_the_longest_prefix_wins(
    connect: Connect, kind: str
) -> None:
    app = mounting("/shop", **{kind: PLACES[kind]})
    app.mount("/shop/old", **{kind: PLACES[kind]})
    app.get("/shopping")(lambda request: "a route")
    app.get("/shop/cart")(lambda request: "a route that nobody reaches")
    client = connect(app)
    assert client.get("/shopping").text == "a route"
    assert client.get("/sho").status_code == 404
    for path, place in {
        "/shop": "/shop",
        "/shop/cart": "/shop",
        "/shop/older": "/shop",
        "/shop/old": "/shop/old",
        "/shop/old/one": "/shop/old",
    }.items():
        assert client.get(path).json()[0] == place


@both_kinds
def test_a_mount_at_the_root_takes_all_that_no_longer_prefix_takes(
    connect: Connect, kind: str
) -> None:
    app = mounting("/", **{kind: PLACES[kind]})
    app.mount("/y", **{kind: PLACES[kind]})
    client = connect(app)
    assert client.get("/").json() == ["", "/"]
    assert client.get("/a/b").json() == ["", "/a/b"]
    assert client.get("/y").json()[0] == "/y"
    assert mount_for(app.mounts, "*") is None  # the server as a whole is ours to speak for


@both_kinds
def test_no_layer_and_no_handler_of_ours_is_around_a_mount(connect: Connect, kind: str) -> None:
    app = mounting(**{kind: HELLO[kind]})

    @app.middleware
    def marking(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.headers["x-layer"] = "ours"

    client = connect(app)
    assert "x-layer" in client.get("/").headers
    assert "x-layer" not in client.get("/x").headers


def test_the_environ_of_the_server_is_never_rewritten() -> None:
    for kind in KINDS:
        app = mounting(**{kind: HELLO[kind]})
        transport = bare(app, "wsgi")._transport_of_app
        environ = transport.environ(httpx.Request("GET", "http://testserver/x/y"))
        before = dict(environ)
        list(chunks := app.wsgi(environ, lambda *_: None))
        chunks.close()  # type: ignore[attr-defined]
        assert environ == before


def test_a_microweb_app_is_mounted_by_its_door(connect: Connect) -> None:
    inner = App()

    @inner.get("/where/{name}", name="where")
    async def where(request: Request, name: str) -> dict[str, Any]:
        return {"url": request.url, "for": request.url_for("where", name="b"), "name": name}

    @inner.post("/double")
    def double(request: Request) -> bytes:
        return request.body * 2

    app = mounting("/in", asgi=inner.asgi)
    app.mount("/in/wsgi", wsgi=wsgi_validator(inner.wsgi))
    client = connect(app)
    for place in ("/in", "/in/wsgi"):
        assert client.get(f"{place}/where/a?q=1").json() == {
            "url": f"http://testserver{place}/where/a?q=1",
            "for": f"http://testserver{place}/where/b",
            "name": "a",
        }
        assert client.post(f"{place}/double", content=b"ab").content == b"abab"
        redirect = client.get(f"{place}/where/a/", follow_redirects=False)
        assert redirect.headers["location"] == f"{place}/where/a"


# --- Flask and Starlette --------------------------------------------------------------------


def flask_app() -> flask.Flask:
    site = flask.Flask("site")
    site.config["MAX_CONTENT_LENGTH"] = 10**6  # without one it reads without a size

    @site.get("/plain")
    def plain() -> str:
        return "hello"

    @site.route("/", methods=["GET", "POST"])
    def home() -> Any:
        request = flask.request
        response = flask.jsonify(
            method=request.method,
            url=request.url,
            query=request.args.get("q"),
            body=request.get_data(as_text=True),
            cookie=request.cookies.get("a"),
            header=request.headers.get("X-Two"),
            host=request.host,
            scheme=request.scheme,
        )
        response.headers.add("Set-Cookie", "b=1")
        response.headers.add("Set-Cookie", "c=2")
        return response

    @site.get("/stream")
    def stream() -> Any:
        return flask.Response((f"{number} " for number in range(10)), mimetype="text/plain")

    @site.get("/boom")
    def boom() -> Any:
        raise Trouble

    return site


async def starlette_home(request: StarletteRequest) -> JSONResponse:
    response = JSONResponse(
        {
            "method": request.method,
            "url": str(request.url),
            "query": request.query_params.get("q"),
            "body": (await request.body()).decode(),
            "cookie": request.cookies.get("a"),
            "header": ",".join(request.headers.getlist("x-two")),
            "host": request.url.netloc,
            "scheme": request.url.scheme,
        }
    )
    response.set_cookie("b", "1")
    response.set_cookie("c", "2")
    return response


async def starlette_stream(request: StarletteRequest) -> StreamingResponse:
    async def numbers() -> AsyncIterator[str]:
        for number in range(10):
            yield f"{number} "
            await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/plain")


def starlette_boom(request: StarletteRequest) -> PlainTextResponse:
    raise Trouble


async def starlette_plain(request: StarletteRequest) -> PlainTextResponse:
    return PlainTextResponse("hello")


def starlette_app() -> Any:
    site = Starlette(
        routes=[
            Route("/plain", starlette_plain),
            Route("/", starlette_home, methods=["GET", "POST"]),
            Route("/stream", starlette_stream),
            Route("/boom", starlette_boom),
        ]
    )

    async def with_a_scope_of_its_own(scope: Scope, receive: Any, send: Any) -> None:
        await site(dict(scope), receive, send)  # it writes into what the server gave it

    return with_a_scope_of_its_own


REAL: dict[str, Callable[[], Any]] = {"wsgi": flask_app, "asgi": starlette_app}


@both_kinds
def test_a_real_application_is_served_whole(connect: Connect, kind: str) -> None:
    client = connect(mounting(**{kind: REAL[kind]()}))
    headers = [("cookie", "a=1"), ("x-two", "1"), ("x-two", "2")]
    for method, body in (("GET", ""), ("POST", "sm\u00f8rrebr\u00f8d")):
        response = client.request(method, "/x/?q=\u00f8", content=body.encode(), headers=headers)
        assert response.status_code == 200
        assert response.json() == {
            "method": method,
            "url": response.json()["url"],
            "query": "\u00f8",
            "body": body,
            "cookie": "1",
            "header": "1,2",
            "host": "testserver",
            "scheme": "http",
        }
        assert response.json()["url"].startswith("http://testserver/x/?q=")
        cookies = response.headers.get_list("set-cookie")
        assert [cookie.partition(";")[0] for cookie in cookies] == ["b=1", "c=2"]
    assert client.get("/x/stream").text == "".join(f"{number} " for number in range(10))
    assert client.get("/x/nothing").status_code == 404
    assert client.delete("/x/stream").status_code == 405


@both_kinds
def test_a_chunked_upload_arrives_whole(connect: Connect, kind: str) -> None:
    client = connect(mounting(**{kind: REAL[kind]()}))
    pieces = iter([b"one ", b"two ", b"three"])
    assert client.post("/x/", content=pieces).json()["body"] == "one two three"


@both_kinds
def test_the_bare_prefix_is_for_the_application_to_redirect(protocol: Protocol, kind: str) -> None:
    with bare(mounting(checked=False, **{kind: REAL[kind]()}), protocol) as client:
        response = client.get("/x", follow_redirects=False)
    assert response.status_code in (307, 308)
    assert response.headers["location"] == "http://testserver/x/"


@pytest.mark.parametrize(("door", "kind"), [("wsgi", "wsgi"), *CROSSINGS])
def test_head_has_the_headers_of_get_and_no_body(door: Protocol, kind: str) -> None:
    # The fourth cell is the server's: Starlette leaves the body to be dropped there.
    with bare(mounting(checked=False, **{kind: REAL[kind]()}), door) as client:
        response = client.head("/x/plain")
        assert (response.headers["content-length"], response.content) == ("5", b"")
        assert client.head("/x/stream").content == b""


# --- Failures -------------------------------------------------------------------------------


def wsgi_trouble(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
    where = environ["PATH_INFO"].strip("/")
    if where == "first":
        raise Trouble
    start_response("200 OK", TEXT)
    if where == "started":
        raise Trouble
    yield b"one"
    raise Trouble


async def asgi_trouble(scope: Scope, receive: Any, send: Any) -> None:
    where = scope["path"].rpartition("/")[2]
    if where == "first" or scope["type"] != "http":
        raise Trouble
    await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
    if where == "started":
        raise Trouble
    if where == "no body":
        return
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    if where == "no end":
        return
    raise Trouble


TROUBLE: dict[str, Any] = {"wsgi": wsgi_trouble, "asgi": asgi_trouble}


@both_crossings
@pytest.mark.parametrize("where", ["first", "started"])
def test_a_failure_before_the_first_byte_is_our_500(
    door: Protocol, kind: str, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(mounting(**{kind: TROUBLE[kind]}), door, wrap=CHECKERS[door]) as client:
        response = client.get(f"/x/{where}")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert record.exc_info[0] is Trouble


@both_crossings
def test_a_test_can_see_the_failure_itself(door: Protocol, kind: str) -> None:
    app = mounting(**{kind: TROUBLE[kind]})
    with (
        TestClient(app, door, raise_server_exceptions=True) as client,
        pytest.raises(Trouble),
    ):
        client.get("/x/first")


@both_crossings
def test_an_application_that_answers_its_own_failure_is_left_to_it(
    door: Protocol, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with bare(mounting(checked=False, **{kind: REAL[kind]()}), door) as client:
        assert client.get("/x/boom").status_code == 500
        assert client.get("/x/plain").text == "hello"
    # Starlette raises the error once more when it has answered it.
    assert len(errors_in(caplog)) == (kind == "asgi")


@both_kinds
def test_a_failure_after_the_first_byte_reaches_the_server(protocol: Protocol, kind: str) -> None:
    with (
        TestClient(mounting(**{kind: TROUBLE[kind]}), protocol, wrap=CHECKERS[protocol]) as client,
        client.stream("GET", "/x/later") as response,
    ):
        chunks = response.iter_raw()
        assert next(chunks) == b"one"
        with pytest.raises(httpx.RemoteProtocolError):
            next(chunks)


@pytest.mark.parametrize("where", ["no body", "no start"])
def test_an_asgi_application_that_ends_without_a_response_is_a_500(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_start(scope: Scope, receive: Any, send: Any) -> None: ...

    foreign = no_start if where == "no start" else asgi_trouble
    with bare(mounting(asgi=foreign, checked=False), "wsgi") as client:
        assert client.get(f"/x/{where}").status_code == 500
    assert "unanswered" in caplog.text


def test_an_asgi_application_that_ends_in_its_response_is_cut_off() -> None:
    with (
        bare(mounting(asgi=asgi_trouble, checked=False), "wsgi") as client,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        client.get("/x/no end")


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "http.response.body", "body": b"early"}],
        [{"type": "http.response.start", "status": 200}] * 2,
        [{"type": "http.response.trailers"}],
    ],
    ids=["body first", "two starts", "not offered"],
)
def test_an_asgi_application_hears_of_a_message_out_of_its_order(
    messages: list[Message], caplog: pytest.LogCaptureFixture
) -> None:
    async def unruly(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with bare(mounting(asgi=unruly, checked=False), "wsgi") as client:
        assert client.get("/x").status_code == 500
    assert "out of its order" in caplog.text


def test_a_wsgi_application_without_start_response_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for body in ([], [b"body"], [b"two", b"pieces"]):
        foreign = functools.partial(lambda body, environ, start_response: body, body)
        with bare(mounting(wsgi=foreign, checked=False), "asgi") as client:
            assert client.get("/x").status_code == 500
    assert caplog.text.count("did not call start_response") >= 3


def test_the_start_of_our_life_fails_for_a_mount_as_for_a_route(connect: Connect) -> None:
    for kind in KINDS:
        app = mounting(**{kind: HELLO[kind]})
        healthy = False

        @app.lifespan
        def life(app: App) -> Iterator[None]:
            if not healthy:  # noqa: B023 - each app is used before the next is made
                raise Trouble
            yield

        for door in DOORS:
            client = TestClient(app, door, wrap=CHECKERS[door])
            healthy = False
            assert client.get("/x").status_code == 500
            healthy = True
            assert client.get("/x").text == "hello"


# --- PEP 3333, whose server side we are under ASGI ----------------------------------------------


def through_asgi(foreign: Any, *, checked: bool = True) -> TestClient:
    return TestClient(mounting(wsgi=foreign, checked=checked), "asgi", wrap=asgi_validator)


def test_write_sends_before_what_is_returned(connect: Connect) -> None:
    def writing(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert connect(mounting(wsgi=writing)).get("/x").text == "one two three"


def test_a_body_written_for_head_is_dropped() -> None:
    def wordy(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("content-length", "5")])(b"hello")
        yield b"hello"

    async def wordy_async(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        while True:
            await send({"type": "http.response.body", "body": b"hello", "more_body": True})

    with TestClient(mounting(checked=False, wsgi=wordy), "asgi", wrap=asgi_validator) as client:
        response = client.head("/x")
        assert (response.headers["content-length"], response.content) == ("5", b"")
    app = mounting(checked=False, asgi=wordy_async)
    with TestClient(app, "wsgi", wrap=wsgi_validator) as client:
        assert client.head("/x").content == b""


def test_the_head_can_be_replaced_until_the_first_byte_is_out(connect: Connect) -> None:
    def repenting(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("content-length", "500")])
        yield b""
        try:
            raise Trouble
        except Trouble:
            start_response("503 Sorry", TEXT, sys.exc_info())
        yield b"sorry"

    response = connect(mounting(wsgi=repenting)).get("/x")
    assert (response.status_code, response.text) == (503, "sorry")
    assert "content-length" not in response.headers


def test_after_the_first_byte_exc_info_is_raised_again() -> None:
    seen: list[BaseException] = []

    def repenting(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"one"
        try:
            raise Trouble
        except Trouble:
            try:
                start_response("503 Sorry", TEXT, sys.exc_info())
            except Trouble as error:
                seen.append(error)
                raise

    with through_asgi(repenting) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/x")
    assert len(seen) == 1


def test_a_second_start_response_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    def twice(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return []

    with through_asgi(twice, checked=False) as client:
        assert client.get("/x").status_code == 500
    assert "start_response was called twice" in caplog.text


def test_a_body_that_is_not_bytes_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    def text(environ: Environ, start_response: Callable[..., Any]) -> list[Any]:
        start_response("200 OK", TEXT)
        return ["text"]

    with through_asgi(text, checked=False) as client:
        assert client.get("/x").status_code == 500
    assert "made of bytes, not 'text'" in caplog.text


@pytest.mark.parametrize("body", [[b"hello, and more"], [b"hel", b"lo, a", b"nd more"]])
def test_no_more_is_sent_than_content_length_says(body: list[bytes]) -> None:
    def lying(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [*TEXT, ("content-length", "5")])
        return body

    with through_asgi(lying) as client:
        assert client.get("/x").text == "hello"


def test_hop_by_hop_headers_stay_behind_and_others_repeat_in_order() -> None:
    headers = [*TEXT, ("Connection", "close"), ("X-A", "1"), ("Transfer-Encoding", "chunked")]
    headers += [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-A", "\xe9")]

    def hopping(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", headers)
        return [b"ok"]

    async def hopping_async(scope: Scope, receive: Any, send: Any) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        await send({"type": "http.response.body", "body": b"ok"})

    foreign: dict[str, Any] = {"wsgi": hopping, "asgi": hopping_async}
    for door, kind in CROSSINGS:
        with TestClient(mounting(checked=False, **{kind: foreign[kind]}), door) as client:
            sent = client.get("/x").headers
        assert "connection" not in sent
        assert "transfer-encoding" not in sent
        assert sent.get_list("set-cookie") == ["a=1", "b=2"]
        assert [value for name, value in sent.raw if name.lower() == b"x-a"] == [b"1", b"\xe9"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@both_crossings
def test_a_body_that_must_not_be_is_dropped(door: Protocol, kind: str, status: str) -> None:
    def wordy(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response(status, [])
        yield b"body"
        yield b"and more"

    async def wordy_async(scope: Scope, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": int(status[:3])})
        await send({"type": "http.response.body", "body": b"body", "more_body": True})
        await send({"type": "http.response.body", "body": b"and more"})

    foreign: dict[str, Any] = {"wsgi": wordy, "asgi": wordy_async}
    app = mounting(checked=False, **{kind: foreign[kind]})
    with TestClient(app, door, wrap=CHECKERS[door]) as client:
        response = client.get("/x")
    assert (response.status_code, response.content) == (int(status[:3]), b"")


def test_call_iteration_and_close_are_one_thread_and_one_context(connect: Connect) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[tuple[str, int]] = []

    class Body:
        token: Token[str]

        def __iter__(self) -> Iterator[bytes]:
            for _ in range(9):
                seen.append((variable.get(), threading.get_ident()))
                yield b"x" * 9
            variable.reset(self.token)
            variable.set("iterated")

        def close(self) -> None:
            seen.append((variable.get(), threading.get_ident()))

    def foreign(environ: Environ, start_response: Callable[..., Any]) -> Body:
        seen.append((variable.get(), threading.get_ident()))
        body = Body()
        body.token = variable.set("called")
        start_response("200 OK", TEXT)
        return body

    client = connect(mounting(wsgi=foreign))
    for _ in range(2):
        seen.clear()
        assert len(client.get("/x").content) == 81
        assert [value for value, _ in seen] == ["unset", *["called"] * 9, "iterated"]
        assert len({thread for _, thread in seen}) == 1


def test_the_environ_is_that_of_a_good_server() -> None:
    seen: list[Environ] = []

    def looking(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        return wsgi_app(environ, start_response)

    app = mounting(wsgi=looking)
    with TestClient(app, "asgi", wrap=asgi_validator, base_url="https://example.org") as client:
        headers = [
            ("x-a", "1"),
            ("X-A", "2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x_a", "smuggled"),
            ("content-type", "text/plain"),
            ("x-latin", "\xe9"),
        ]
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        client.post("/x/%C3%A9?q=%20", content=b"body", headers=raw)
    (environ,) = seen
    expected = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "q=%20",
        "REQUEST_URI": "/x/%C3%A9?q=%20",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "example.org",
        "HTTP_X_A": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_LATIN": "\xe9",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "4",
        "wsgi.url_scheme": "https",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
    }
    assert {key: environ.get(key) for key in expected} == expected


def test_the_least_that_a_scope_may_hold_is_enough() -> None:
    async def main() -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await mounting(wsgi=wsgi_app).asgi(dict(SCOPE), nothing_received, send)
        return sent

    assert asyncio.run(main())[1]["body"] == b"hello"


# --- ASGI, whose server we are under WSGI -------------------------------------------------------


def test_the_scope_is_that_of_a_good_server() -> None:
    seen: list[Scope] = []

    async def looking(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope)
        await asgi_app(scope, receive, send)

    app = mounting(asgi=looking)
    app.wsgi.startup()
    seen.clear()
    transport = TestClient(app, "wsgi")._transport_of_app
    request = httpx.Request(
        "POST",
        "https://example.org/x/%C3%A9?q=%20",
        content=b"body",
        headers=[(b"x-a", b"1"), (b"x-latin", b"\xe9")],
    )
    for variable in ("RAW_URI", "REQUEST_URI"):
        environ = transport.environ(request) | {variable: "/x/%C3%A9?q=%20"}
        body = app.wsgi(environ, lambda *_: None)
        assert b"".join(body) == b"hello"
        body.close()  # type: ignore[attr-defined]
        scope = seen.pop()
        headers = dict(scope.pop("headers"))
        assert scope == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": "/x/\u00e9",
            "raw_path": b"/x/%C3%A9",
            "root_path": "/x",
            "query_string": b"q=%20",
            "client": ("127.0.0.1", 50000),
            "server": ("example.org", 443),
            "state": {},
            "extensions": {},
        }
        assert headers[b"host"] == b"example.org"
        assert headers[b"content-length"] == b"4"
        assert headers[b"x-latin"] == b"\xe9"
    app.wsgi.shutdown()


async def receiving(scope: Scope, receive: Any, send: Any) -> None:
    """Answers with the pieces in which the body came, one for each line."""
    if scope["type"] != "http":
        raise NotImplementedError
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        pieces.append(str(len(message["body"])))
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
    await send({"type": "http.response.body", "body": "\n".join(pieces).encode()})


@pytest.mark.parametrize(
    ("size", "pieces"),
    [(0, [0]), (1, [1]), (65536, [65536]), (65537, [65536, 1]), (200_000, [65536] * 3 + [3392])],
)
def test_an_upload_is_read_in_blocks(size: int, pieces: list[int]) -> None:
    with TestClient(mounting(asgi=receiving), "wsgi", wrap=wsgi_validator) as client:
        text = client.post("/x", content=b"x" * size).text
    assert [int(line) for line in text.split()] == pieces


class Unreadable:
    """An input that nobody may touch."""

    def read(self, size: int) -> bytes:
        raise AssertionError("wsgi.input was read")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "411 Length Required"),
        ({"CONTENT_LENGTH": "five"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "-1"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": ""}, "200 OK"),
        ({"CONTENT_LENGTH": "0"}, "200 OK"),
        ({}, "200 OK"),
    ],
)
def test_a_body_without_an_end_in_sight_is_never_read(
    changes: Environ, status: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = mounting(asgi=receiving)
    environ = bare(app, "wsgi")._transport_of_app.environ(
        httpx.Request("POST", "http://testserver/x")
    )
    del environ["wsgi.input_terminated"], environ["CONTENT_LENGTH"]
    environ |= {"wsgi.input": Unreadable(), **changes}
    seen: list[str] = []
    chunks = app.wsgi(environ, lambda status, headers: seen.append(status))
    text = b"".join(chunks)
    assert seen == [status]
    assert (text == b"0") == (status == "200 OK")
    assert errors_in(caplog) == []
    app.wsgi.shutdown()


# --- Streams: lazy, held back, closed once ------------------------------------------------------


class Numbers:
    """A mounted application of either kind that streams numbers, and notes what becomes of it.

    It goes on from `stop` only when `go` is set.
    """

    def __init__(self, stop: int = -1, count: int = 10**9, size: int = 1) -> None:
        self.stop = stop
        self.count = count
        self.size = size
        self.go = threading.Event()
        self.produced = 0
        self.ends: list[str] = []
        self.over = threading.Event()

    def _chunk(self, number: int) -> bytes:
        self.produced += 1
        return f"{number} ".encode() * self.size

    def wsgi(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return NumbersOverWSGI(self)

    async def asgi(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        try:
            await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
            for number in range(self.count):
                if number == self.stop:
                    assert await asyncio.to_thread(self.go.wait, PATIENCE)
                body = self._chunk(number)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            self.ends.append("whole")
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise
        finally:
            self.over.set()


class NumbersOverWSGI:
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._numbers.count):
            if number == self._numbers.stop:
                assert self._numbers.go.wait(PATIENCE)
            yield self._numbers._chunk(number)
        self._numbers.ends.append("whole")

    def close(self) -> None:
        self._numbers.ends.append("close")
        self._numbers.over.set()


@both_kinds
def test_a_chunk_leaves_before_the_next_is_there(connect: Connect, kind: str) -> None:
    numbers = Numbers(stop=3, count=6)
    client = connect(mounting(**{kind: getattr(numbers, kind)}))
    with client.stream("GET", "/x") as response:
        chunks = response.iter_raw()
        assert b"".join(next(chunks) for _ in range(3)) == b"0 1 2 "
        numbers.go.set()
        assert b"".join(chunks) == b"3 4 5 "
    assert numbers.over.wait(PATIENCE)
    assert numbers.ends == (["whole", "close"] if kind == "wsgi" else ["whole"])


@both_kinds
@pytest.mark.parametrize(("size", "ahead"), [(1, 4), (50_000, 1)])
def test_an_application_is_held_back_by_a_client_that_does_not_read(
    connect: Connect, kind: str, size: int, ahead: int
) -> None:
    numbers = Numbers(size=size)
    client = connect(mounting(**{kind: getattr(numbers, kind)}))
    with client.stream("GET", "/x") as response:
        chunks = response.iter_raw()
        for taken in range(1, 20):
            next(chunks)
            assert taken <= numbers.produced <= taken + ahead


@both_kinds
def test_empty_chunks_are_no_chunks(connect: Connect, kind: str) -> None:
    pieces = [b"", b"one ", b"", b"", b"two", b""]

    def sparse(environ: Environ, start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield from pieces

    async def sparse_async(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    foreign: dict[str, Any] = {"wsgi": sparse, "asgi": sparse_async}
    assert connect(mounting(**{kind: foreign[kind]})).get("/x").text == "one two"


@both_kinds
def test_a_client_that_leaves_ends_the_stream(
    connect: Connect, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = Numbers()
    client = connect(mounting(**{kind: getattr(numbers, kind)}))
    with client.stream("GET", "/x") as response:
        next(response.iter_raw())
    assert numbers.over.wait(PATIENCE)
    assert len(numbers.ends) == 1
    # A direct ASGI mount sees what its server raises, or cancels it with.
    assert numbers.ends[0] in ("close", "_ClientHasLeft", "CancelledError")
    assert errors_in(caplog) == []


@both_crossings
def test_an_empty_response_and_a_failed_one_are_closed_too(door: Protocol, kind: str) -> None:
    for count, failing in ((0, False), (2, True)):
        numbers = Numbers(count=count)
        foreign = getattr(numbers, kind)
        if failing and kind == "wsgi":
            numbers._chunk = functools.partial(fail_at, 1, numbers._chunk)  # type: ignore[method-assign]
        with TestClient(mounting(**{kind: foreign}), door, wrap=CHECKERS[door]) as client:
            if failing and kind == "wsgi":
                with pytest.raises(httpx.RemoteProtocolError):
                    client.get("/x")
            else:
                client.get("/x")
        assert numbers.over.wait(PATIENCE)
        assert numbers.ends.count("close") == (kind == "wsgi")


def fail_at(last: int, chunk: Callable[[int], bytes], number: int) -> bytes:
    if number == last:
        raise Trouble
    return chunk(number)


@pytest.mark.parametrize("read_to_the_end", [True, False])
def test_several_tasks_of_an_asgi_application_may_send(
    protocol: Protocol, read_to_the_end: bool
) -> None:
    """As where one sends the events of a stream, and another one pings."""
    left: list[int] = []

    async def application(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})

        async def say(number: int) -> None:
            chunk = b"%d" % number * 20_000
            try:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except OSError:
                left.append(number)

        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*map(say, range(5)))
        await send({"type": "http.response.body", "body": b""})

    with (
        bare(mounting(checked=False, asgi=application), protocol) as client,
        client.stream("GET", "/x") as response,
    ):
        chunks = response.iter_raw()
        assert next(chunks) == b"0" * 20_000
        if read_to_the_end:
            assert "".join(sorted(b"".join(chunks).decode())) == "".join(
                str(number) * 20_000 for number in range(1, 5)
            )
    # Of the first one's chunk the client has seen all before it left.
    assert left[-4:] == ([] if read_to_the_end else [1, 2, 3, 4])


def test_starlette_hears_that_its_client_has_left(caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more "
                await asyncio.sleep(0)
        finally:
            closed.set()

    site = Starlette(routes=[Route("/", lambda request: StreamingResponse(endless()))])
    with (
        bare(mounting(checked=False, asgi=site), "wsgi") as client,
        client.stream("GET", "/x/") as response,
    ):
        next(response.iter_raw())
    assert closed.wait(PATIENCE)
    assert errors_in(caplog) == []


def test_an_asgi_application_can_listen_for_the_disconnect() -> None:
    heard: list[Message] = []

    async def listening(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        heard.append(await receive())
        heard.append(await receive())

    client = TestClient(mounting(asgi=listening), "wsgi", wrap=wsgi_validator)
    with client, client.stream("GET", "/x") as response:
        assert next(response.iter_raw()) == b"one"
    assert heard == [{"type": "http.disconnect"}] * 2


def test_nothing_is_read_from_a_client_that_has_left() -> None:
    heard: list[Message] = []

    async def listening(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        heard.append(await receive())

    app = mounting(asgi=listening)
    environ = bare(app, "wsgi")._transport_of_app.environ(
        httpx.Request("POST", "http://testserver/x", content=b"body")
    )
    body: Any = app.wsgi(environ | {"wsgi.input": Unreadable()}, lambda status, headers: None)
    assert next(body) == b"one"
    body.close()
    assert heard == [{"type": "http.disconnect"}]
    app.wsgi.shutdown()


@pytest.mark.parametrize("stubborn", [False, True])
def test_an_asgi_application_that_ignores_the_disconnect_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stubborn: bool
) -> None:
    monkeypatch.setattr(asgi_in_wsgi, "PATIENCE", 0.05)
    events: list[str] = []
    waits = threading.Event()
    released = threading.Event()
    over = threading.Event()

    async def deaf(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        waits.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            events.append("cancelled")
            if stubborn:
                await asyncio.to_thread(released.wait, PATIENCE)
            raise
        finally:
            over.set()

    client = TestClient(mounting(asgi=deaf), "wsgi", wrap=wsgi_validator)
    with client:
        with client.stream("GET", "/x/deaf") as response:
            next(response.iter_raw())
            assert waits.wait(PATIENCE)  # or its last `send` would tell it
        released.set()
        assert over.wait(PATIENCE)
    assert events == ["cancelled"]
    assert [r.getMessage() for r in errors_in(caplog)] == (
        ["GET '/x/deaf' ignores the disconnect and its cancellation"] if stubborn else []
    )


def test_a_failure_that_no_client_waits_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    async def failing(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        failed.set()
        raise Trouble

    client = TestClient(mounting(asgi=failing), "wsgi", wrap=wsgi_validator)
    with client, client.stream("GET", "/x") as response:
        assert next(response.iter_raw()) == b"one"
        assert failed.wait(PATIENCE)
    (record,) = errors_in(caplog)
    assert record.getMessage() == "GET '/x/' failed after its response"


def test_a_variable_that_a_mounted_application_sets_stays_in_its_call(
    connect: Connect, protocol: Protocol
) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    def setting(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        body = variable.get().encode()
        variable.set("leaked")
        start_response("200 OK", TEXT)
        return [body]

    async def setting_async(scope: Scope, receive: Any, send: Any) -> None:
        body = variable.get().encode()
        variable.set("leaked")
        await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
        await send({"type": "http.response.body", "body": body})

    # The two direct cells are as they would be on their own server.
    kind = "asgi" if protocol == "wsgi" else "wsgi"
    foreign: dict[str, Any] = {"wsgi": setting, "asgi": setting_async}
    app = mounting(**{kind: foreign[kind]})
    app.get("/seen")(lambda request: variable.get())
    client = connect(app)
    assert [client.get(path).text for path in ("/x", "/x", "/seen")] == ["unset"] * 3


def test_what_runs_after_the_response_delays_only_its_close() -> None:
    begun, go, done = (threading.Event() for _ in range(3))

    def background() -> None:
        begun.set()
        assert go.wait(PATIENCE)
        done.set()

    async def home(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse("hello", background=BackgroundTask(background))

    app = mounting(checked=False, asgi=Starlette(routes=[Route("/", home)]))
    client = TestClient(app, "wsgi", wrap=wsgi_validator)
    with client, client.stream("GET", "/x/") as response:
        assert next(response.iter_raw()) == b"hello"
        assert begun.wait(PATIENCE)
        assert not done.is_set()
        go.set()
        response.close()
        assert done.is_set()


def test_what_runs_long_after_the_response_goes_on_without_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asgi_in_wsgi, "PATIENCE", 0.05)
    go, done = threading.Event(), threading.Event()

    async def lasting(scope: Scope, receive: Any, send: Any) -> None:
        await asgi_app(scope, receive, send)
        try:
            assert await receive() == {"type": "http.disconnect"}  # the response is complete
            await asyncio.to_thread(go.wait, PATIENCE)
            raise Trouble
        finally:
            done.set()

    with bare(mounting(checked=False, asgi=lasting), "wsgi") as client:
        assert client.get("/x").text == "hello"  # and returns
        assert not done.is_set()
        go.set()
        assert done.wait(PATIENCE)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), app_loop.get()).result(PATIENCE)
    assert "failed after its response" in caplog.text


def test_a_wsgi_application_that_still_works_does_not_delay_its_response() -> None:
    go, closed = threading.Event(), threading.Event()

    class Body(list[bytes]):
        def close(self) -> None:
            assert go.wait(PATIENCE)
            closed.set()

    def foreign(environ: Environ, start_response: Callable[..., Any]) -> Body:
        start_response("200 OK", TEXT)
        return Body([b"hello"])

    client = TestClient(mounting(wsgi=foreign, checked=False), "asgi", wrap=asgi_validator)
    with client, client.stream("GET", "/x") as response:
        assert next(response.iter_raw()) == b"hello"
        assert not closed.is_set()
        go.set()
    assert closed.wait(PATIENCE)


# --- Uploads that end early ---------------------------------------------------------------------


class Broken(httpx.SyncByteStream):
    """A body whose client goes away in the middle."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"begun"
        raise ConnectionResetError


def served_by_hand(
    app: App, messages: list[Message], scope: Scope | None = None, send_fails_after: int = 10**9
) -> list[Message]:
    """What the ASGI door sends to a server that receives these; after them it waits for ever."""
    sent: list[Message] = []

    async def main() -> None:
        coming = iter(messages)

        async def receive() -> Message:
            for message in coming:
                return message
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody has ended this wait")

        async def send(message: Message) -> None:
            if len(sent) >= send_fails_after:
                raise OSError("the client has left")
            sent.append(message)

        async with asyncio.timeout(PATIENCE):
            await asgi_validator(app.asgi)({**SCOPE, **(scope or {})}, receive, send)

    asyncio.run(main())
    return sent


PART: Message = {"type": "http.request", "body": b"begun", "more_body": True}
SHORT: Message = {"type": "http.request", "body": b"begun", "more_body": False}
LEFT: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize("messages", [[PART, LEFT], [PART, SHORT], [LEFT]])
@pytest.mark.parametrize("call", ["read", "readline", "readlines", "iterate", "in pieces"])
def test_a_body_cut_off_is_an_error_out_of_every_read(
    messages: list[Message], call: str, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[BaseException] = []

    def reading(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        file = environ["wsgi.input"]
        calls: dict[str, Callable[[], Any]] = {
            "read": lambda: file.read(500),
            "readline": lambda: [file.readline() for _ in range(9)],
            "readlines": lambda: file.readlines(),
            "iterate": lambda: list(file),
            "in pieces": lambda: [file.read(1) for _ in range(99)],
        }
        for _ in range(2):
            try:
                calls[call]()
            except BaseException as error:
                raised.append(error)
        if raised:
            raise raised[0]
        return wsgi_app(environ, start_response)

    scope = {"method": "POST", "headers": [(b"content-length", b"99")]}
    sent = served_by_hand(mounting(wsgi=reading, checked=False), messages, scope)
    # A server that ends a body early without a word has a client that waits for an answer.
    assert [m.get("status") for m in sent] == ([400, None] if messages[-1] is SHORT else [])
    assert [isinstance(error, OSError) for error in raised] == [True, True]
    assert errors_in(caplog) == []


def test_flask_does_not_take_a_part_of_a_body_for_the_whole() -> None:
    bodies: list[bytes] = []
    site = flask.Flask("site")

    @site.post("/")
    def home() -> str:
        bodies.append(flask.request.get_data())
        return "ok"

    scope = {
        "method": "POST",
        "path": "/x/",
        "headers": [(b"transfer-encoding", b"chunked"), (b"host", b"testserver")],
    }
    sent = served_by_hand(mounting(wsgi=site, checked=False), [PART, LEFT], scope)
    assert (sent, bodies) == ([], [])
    sent = served_by_hand(mounting(wsgi=site, checked=False), [PART, SHORT], scope)
    assert (sent[0]["status"], bodies) == (200, [b"begunbegun"])


@pytest.mark.parametrize("ends", ["quietly", "with an error"])
def test_a_body_cut_off_under_wsgi_is_a_400_that_nobody_logs(
    ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    async def reading(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        while True:
            message = await receive()
            seen.append(message["type"])
            if message["type"] == "http.disconnect":
                if ends == "with an error":
                    raise Trouble
                return

    class Input:
        def __init__(self) -> None:
            self._pieces = [b"begun"]

        def read(self, size: int) -> bytes:
            return self._pieces.pop() if self._pieces else b""

    app = mounting(asgi=reading, checked=False)
    environ = bare(app, "wsgi")._transport_of_app.environ(
        httpx.Request("POST", "http://testserver/x", content=b"x" * 99)
    )
    statuses: list[str] = []
    app.wsgi(environ | {"wsgi.input": Input()}, lambda status, _: statuses.append(status))
    assert statuses == ["400 Bad Request"]
    assert seen == ["http.request", "http.disconnect"]
    assert errors_in(caplog) == []
    app.wsgi.shutdown()


def test_an_upload_is_pulled_only_as_far_as_it_is_read() -> None:
    asked: list[int] = []
    state: list[int] = []

    def reading(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        file = environ["wsgi.input"]
        state.append(len(asked))
        assert file.read(5) == b"begun"
        state.append(len(asked))
        assert file.read(3) == b"beg"
        state.append(len(asked))
        return wsgi_app(environ, start_response)

    async def main() -> None:
        async def receive() -> Message:
            asked.append(1)
            return PART

        async def send(message: Message) -> None: ...

        scope = {**SCOPE, "method": "POST", "headers": [(b"transfer-encoding", b"chunked")]}
        await mounting(wsgi=reading).asgi(scope, receive, send)

    asyncio.run(main())
    assert state == [0, 1, 2]
    assert len(asked) == 2


# --- Clients that leave an ASGI server ----------------------------------------------------------

END: Message = {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    ("method", "messages"),
    [("GET", [END, LEFT]), ("POST", [SHORT, LEFT]), ("POST", [LEFT]), ("GET", [END, END, LEFT])],
)
def test_a_client_is_heard_leaving_though_each_send_succeeds(
    method: str, messages: list[Message]
) -> None:
    numbers = Numbers()
    scope = {"method": method, "headers": [(b"content-length", b"5")] if method == "POST" else []}
    served_by_hand(mounting(wsgi=numbers.wsgi), messages, scope)
    assert numbers.ends == ["close"]


def test_a_send_that_fails_closes_the_stream() -> None:
    numbers = Numbers()
    sent = served_by_hand(mounting(wsgi=numbers.wsgi), [], send_fails_after=3)
    assert numbers.ends == ["close"]
    assert len(sent) == 3


def test_a_write_to_nobody_is_an_error() -> None:
    raised: list[BaseException] = []

    def writing(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        try:
            while True:
                write(b"more")
        except OSError as error:
            raised.append(error)
        return []

    served_by_hand(mounting(wsgi=writing), [END, LEFT])
    assert len(raised) == 1


def test_a_failure_that_no_client_sees_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def reading(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        try:
            environ["wsgi.input"].read(5)
        except OSError:
            raise Trouble from None
        return []

    scope = {"method": "POST", "headers": [(b"content-length", b"5")]}
    assert served_by_hand(mounting(wsgi=reading, checked=False), [LEFT], scope) == []
    (record,) = errors_in(caplog)
    assert "its client has left" in record.getMessage()


def cancelled_call(app: App, when: threading.Event, **scope: Any) -> list[Message]:
    """Call the ASGI door, and cancel the call once `when` is set."""
    sent: list[Message] = []

    async def main() -> None:
        async def receive() -> Message:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody has ended this wait")

        async def send(message: Message) -> None:
            sent.append(message)

        task = asyncio.ensure_future(app.asgi(SCOPE | scope, receive, send))
        assert await asyncio.to_thread(when.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    return sent


def test_a_call_that_is_cancelled_closes_its_response_in_its_thread() -> None:
    begun = threading.Event()
    numbers = Numbers(stop=3)

    class Begun(NumbersOverWSGI):
        def __iter__(self) -> Iterator[bytes]:
            begun.set()
            yield from super().__iter__()

    def foreign(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return Begun(numbers)

    cancelled_call(mounting(wsgi=foreign, checked=False), begun)
    numbers.go.set()
    assert numbers.over.wait(PATIENCE)
    assert numbers.ends == ["close"]
    assert numbers.produced <= 8


def test_a_read_that_is_cancelled_raises_in_its_thread() -> None:
    begun, over = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def reading(environ: Environ, start_response: Callable[..., Any]) -> list[bytes]:
        begun.set()
        try:
            environ["wsgi.input"].read(5)
        except OSError as error:
            raised.append(error)
        finally:
            over.set()
        return []

    app = mounting(wsgi=reading, checked=False)
    cancelled_call(app, begun, headers=[(b"content-length", b"5")])
    assert over.wait(PATIENCE)
    assert len(raised) == 1


# --- The lifespan of what is mounted --------------------------------------------------------------


class Lively:
    """An ASGI application that notes its life, and answers with the state of its requests."""

    def __init__(self, name: str, events: list[str], fails: str = "") -> None:
        self.name = name
        self.events = events
        self.fails = fails

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
        else:
            body = json.dumps(scope["state"]).encode()
            scope["state"]["own"] = "of one request"
            await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
            await send({"type": "http.response.body", "body": body})

    async def live(self, scope: Scope, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        for phase, word in (("startup", "in"), ("shutdown", "out")):
            assert (await receive())["type"] == f"lifespan.{phase}"
            assert asyncio.current_task() is task
            if self.fails == phase:
                await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
                return
            if self.fails == f"crash at {phase}":
                raise Trouble
            if phase == "startup":
                scope["state"]["name"] = self.name
            self.events.append(f"{self.name} {word}")
            await send({"type": f"lifespan.{phase}.complete"})


def lively_app(events: list[str], *mounted: Lively) -> App:
    app = App()
    app.get("/")(lambda request: "home")

    @app.lifespan
    def own(app: App) -> Iterator[None]:
        events.append("own in")
        yield
        events.append("own out")

    for each in mounted:
        app.mount(f"/{each.name}", asgi=asgi_validator(each))
    return app


def test_mounted_lives_run_inside_our_own(connect: Connect, protocol: Protocol) -> None:
    events: list[str] = []
    app = lively_app(events, Lively("a", events), Lively("b", events))
    with TestClient(app, protocol, wrap=CHECKERS[protocol]) as client:
        assert events == ["own in", "a in", "b in"]
        assert client.get("/b").json() == {"name": "b"}
        assert client.get("/a").json() == {"name": "a"}
        assert client.get("/a").json() == {"name": "a"}  # a copy for each request
        assert len(events) == 3
    assert events[3:] == ["b out", "a out", "own out"]


@pytest.mark.parametrize("path", ["/", "/a"])
def test_the_first_request_begins_them_where_no_server_does(protocol: Protocol, path: str) -> None:
    events: list[str] = []
    app = lively_app(events, Lively("a", events))
    client = TestClient(app, protocol, wrap=CHECKERS[protocol])
    assert client.get(path).status_code == 200
    assert client.get("/a").json() == {"name": "a"}
    assert events == ["own in", "a in"]
    if protocol == "wsgi":
        app.wsgi.shutdown()
        assert events[2:] == ["a out", "own out"]
        assert client.get("/a").json() == {"name": "a"}
        assert events[4:] == ["own in", "a in"]
        app.wsgi.shutdown()


@pytest.mark.parametrize("fails", ["startup", "shutdown", "crash at shutdown"])
def test_a_mounted_life_that_fails_fails_ours(protocol: Protocol, fails: str) -> None:
    events: list[str] = []
    app = lively_app(events, Lively("a", events), Lively("b", events, fails))
    client = TestClient(app, protocol)
    with pytest.raises(RuntimeError, match=r"asgi=.* at .*/b") as raised, client:
        assert fails != "startup"
    assert "no database" in str(raised.value) or "Trouble" in str(raised.value)
    assert events[-2:] == ["a out", "own out"]


async def knows_only_http(scope: Scope, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await asgi_app(scope, receive, send)


async def answers_all_alike(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": RAW_TEXT})
    await send({"type": "http.response.body", "body": b"hello"})


async def ends_at_once(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asgi_app(scope, receive, send)


async def ends_when_started(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asgi_app(scope, receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})


@pytest.mark.parametrize(
    "foreign", [knows_only_http, answers_all_alike, ends_at_once, ends_when_started]
)
def test_an_application_that_knows_no_lifespan_is_served_all_the_same(
    protocol: Protocol, foreign: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with bare(mounting(asgi=foreign, checked=False), protocol) as client:
        assert client.get("/x").text == "hello"
    assert errors_in(caplog) == []


def test_one_application_at_two_places_lives_once(connect: Connect) -> None:
    events: list[str] = []
    lively = Lively("a", events)
    app = App()
    app.mount("/one", asgi=lively)
    app.mount("/two", asgi=lively)
    client = connect(app)
    assert client.get("/one").json() == client.get("/two").json() == {"name": "a"}
    assert events == ["a in"]


def test_the_lifespan_of_starlette_and_its_state(connect: Connect, protocol: Protocol) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        events.append("in")
        async with asyncio.timeout(PATIENCE):
            yield {"pool": "of connections"}
        events.append("out")

    async def home(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.state.pool)

    app = mounting(checked=False, asgi=Starlette(routes=[Route("/", home)], lifespan=lifespan))
    with TestClient(app, protocol, wrap=CHECKERS[protocol]) as client:
        assert client.get("/x/").text == "of connections"
    assert events == ["in", "out"]


def test_a_life_that_does_not_end_is_cancelled(
    protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounted_life, "PATIENCE", 0.05)
    events: list[str] = []

    async def lingering(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await asgi_app(scope, receive, send)
            return
        try:
            for phase in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{phase}.complete"})
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    with bare(mounting(asgi=lingering, checked=False), protocol) as client:
        assert client.get("/x").text == "hello"
    assert events == ["cancelled"]


def test_a_start_that_is_cancelled_cancels_the_mounted_start() -> None:
    events: list[str] = []

    async def main() -> None:
        waiting = asyncio.Event()

        async def slow(scope: Scope, receive: Any, send: Any) -> None:
            try:
                waiting.set()
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                events.append("cancelled")
                raise

        async def receive() -> Message:
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            events.append(message["type"])

        door = mounting(asgi=slow, checked=False).asgi
        task = asyncio.ensure_future(
            door({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
        )
        await asyncio.wait_for(waiting.wait(), PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert events == ["cancelled"]


def test_an_app_with_wsgi_mounts_alone_never_imports_asyncio() -> None:
    program = (
        "import sys\n"
        "from microweb import App\n"
        "from wsgiref.util import setup_testing_defaults\n"
        "def foreign(environ, start_response):\n"
        "    start_response('200 OK', [('content-type', 'text/plain')])\n"
        "    return [b'hello']\n"
        "app = App()\n"
        "app.mount('/x', wsgi=foreign)\n"
        "environ = {'PATH_INFO': '/x'}\n"
        "setup_testing_defaults(environ)\n"
        "assert app.wsgi(environ, lambda *_: None) == [b'hello']\n"
        "assert 'asyncio' not in sys.modules, 'asyncio was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- Websockets -----------------------------------------------------------------------------------

HANDSHAKE: Scope = {
    "type": "websocket",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "path": "/x/\u00e9",
    "query_string": b"",
    "headers": [],
    "subprotocols": [],
}


def shake_hands(app: App) -> list[Message]:
    """What the server of a handshake is sent."""
    sent: list[Message] = []

    async def main() -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = dict(HANDSHAKE)
        await app.asgi(scope, receive, send)
        assert scope == HANDSHAKE

    asyncio.run(main())
    return sent


def test_a_websocket_goes_to_an_asgi_mount_whole() -> None:
    seen: list[Scope] = []

    async def accepting(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError
        seen.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})

    sent = shake_hands(mounting(asgi=accepting, checked=False))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    (scope,) = seen
    assert (scope["root_path"], scope["path"], scope["state"]) == ("/x", "/x/\u00e9", {})


def test_starlette_talks_through_a_websocket() -> None:
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"{socket.scope['root_path']}: {await socket.receive_text()}")
        await socket.close()

    app = mounting(checked=False, asgi=Starlette(routes=[WebSocketRoute("/echo", echo)]))
    with TestClient(app, "asgi") as client, client.websocket_connect("/x/echo") as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "/x: hello"


def test_a_websocket_to_a_wsgi_mount_is_refused() -> None:
    sent = shake_hands(mounting(wsgi=wsgi_app))
    assert sent == [{"type": "websocket.close"}]


def test_a_websocket_is_refused_where_our_life_does_not_begin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = mounting(asgi=asgi_app)

    @app.lifespan
    def life(app: App) -> Iterator[None]:
        raise Trouble
        yield

    sent = shake_hands(app)
    assert sent == [{"type": "websocket.close"}]
    assert len(errors_in(caplog)) == 1
