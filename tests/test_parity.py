"""The same request gets the same response through both doors; and the short list of what cannot.

Requests are made of raw bytes; what two servers make of them (`parity.py`) is answered through
each door, and the answers are compared: status, headers and body. Here it is the core that is
compared; forms, files, sessions and the ready-made layers are in `test_parity_model.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Generator, Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.validate import validator as wsgi_validator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microweb import (
    App,
    HTMLResponse,
    HTTPException,
    JSONResponse,
    RedirectResponse,
    Request,
    Response,
    Router,
    StreamingResponse,
)

from .asgi_validator import validator as asgi_validator
from .parity import (
    RawHeaders,
    Sent,
    Wire,
    cut,
    environ_of,
    header_values,
    many,
    scope_of,
    through_asgi,
    through_both,
    through_wsgi,
)

# wsgiref.validate knows no other methods, and says so with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


# --- the application ----------------------------------------------------------------------


def seen(request: Request, **path_params: Any) -> dict[str, Any]:
    """Everything that should be equal about a request."""
    names = sorted(request.headers)
    return {
        "method": request.method,
        "path": request.path,
        "root_path": request.root_path,
        "scheme": request.scheme,
        "http_version": request.http_version,
        "headers": {name: request.headers.getlist(name) for name in names},
        "by name": [[request.header(name), request.headers[name.upper()]] for name in names],
        "absent": [request.header("x-absent"), request.headers.get("x-absent")],
        "cookies": request.cookies,
        "query_string": request.query_string,
        "query": request.query.multi_items(),
        "firsts": dict(request.query.items()),
        "client": request.client,
        "server": request.server,
        "host": request.host,
        "url": request.url,
        "url_for": request.url_for("mixed", stem="é ?", ext="b%c"),
        "path_params": repr(request.path_params),
        "arguments": repr(path_params),
        "route": request.route and request.route.path,
        "body": request.body.hex(),
        "text": request.text,
        "repr": repr(request).replace(request.protocol, "a door"),
    }


def rich_app() -> App:
    app = App(max_body_size=5000)
    routes = Router("/more", name="more")

    @app.get("/")
    @app.get("/plain")
    def plain(request: Request) -> str:
        return "plain é"

    @app.get("/async")
    async def in_async(request: Request) -> str:
        await asyncio.sleep(0)
        return f"async {request.path}"

    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    @app.route("/dump", methods=every)
    @app.route("/dump/{rest:path}", methods=every, name="dumped")
    def dump(request: Request, **path_params: Any) -> dict[str, Any]:
        return seen(request, **path_params)

    @app.route("/async/dump", methods=every)
    @app.route("/async/dump/{rest:path}", methods=every, name="async_dumped")
    async def async_dump(request: Request, **path_params: Any) -> dict[str, Any]:
        return seen(request, **path_params)

    @app.get("/u/{n:int}")
    @app.get("/u/{n:float}", name="of_float")
    @app.get("/u/{n:uuid}", name="of_uuid")
    @app.get("/u/{n}", name="of_str")
    @app.get("/u/{n}/", name="of_dir")
    def user(request: Request, n: Any) -> dict[str, Any]:
        return seen(request, n=n)

    @app.get("/f/{stem}.{ext}", name="mixed")
    def mixed(request: Request, stem: str, ext: str) -> dict[str, Any]:
        return seen(request, stem=stem, ext=ext)

    @app.get("/dir/")
    def folder(request: Request) -> str:
        return "a folder"

    @app.post("/json")
    def echo(request: Request) -> Response:
        return JSONResponse(request.json())

    @app.post("/async/json")
    async def async_echo(request: Request) -> Response:
        return JSONResponse(request.json())

    @app.post("/bytes")
    async def as_bytes(request: Request) -> bytes:
        return request.body

    @app.put("/text")
    def as_text(request: Request) -> tuple[str, int, list[tuple[str, str]]]:
        return request.text, 201, [("X-A", "1"), ("x-a", "2"), ("Content-Type", "text/x-é")]

    @app.get("/stream")
    def stream(request: Request) -> Iterator[str]:
        yield "one é\n"
        yield ""
        yield request.path

    @app.get("/async/stream")
    async def async_stream(request: Request) -> AsyncIterator[bytes]:
        yield b"one\n"
        await asyncio.sleep(0)
        yield b"two\n"

    @app.get("/empty-stream")
    def empty_stream(request: Request) -> Iterator[str]:
        return iter(())

    @app.get("/torn")
    def torn(request: Request) -> Iterator[str]:
        yield "one\n"
        raise ValueError("torn")

    @app.get("/async/torn")
    async def async_torn(request: Request) -> AsyncIterator[str]:
        yield "one\n"
        raise ValueError("torn")

    @app.get("/wrong-chunk")
    def wrong_chunk(request: Request) -> Iterator[Any]:
        yield "one\n"
        yield 2

    @app.delete("/none")
    def none(request: Request) -> None:
        return None

    @app.get("/status/{code:int}")
    def status(request: Request, code: int) -> Response:
        return HTMLResponse("<p>é", code)

    @app.get("/redirect")
    def redirect(request: Request) -> Response:
        return RedirectResponse("/é?" + request.query_string)

    @app.get("/cookie")
    def cookie(request: Request) -> Response:
        response = Response(b"c")
        for name, value in {"a": "1", "b": "é;\"'", **request.cookies}.items():
            if name.isascii() and name.isalnum():
                response.set_cookie(name, value, httponly=True)
        response.delete_cookie("old")
        return response

    @app.get("/streamed-cookie")
    def streamed_cookie(request: Request) -> Response:
        response = StreamingResponse(iter(["s"]), 203, {"x-a": "é"}, "text/csv")
        response.set_cookie("a", "1")
        return response

    @app.get("/teapot")
    def teapot(request: Request) -> None:
        raise HTTPException(418, "short & stout é", {"x-pot": "1"})

    @app.get("/async/teapot")
    async def async_teapot(request: Request) -> None:
        raise HTTPException(418)

    @app.get("/boom")
    def boom(request: Request) -> None:
        raise ValueError("boom")

    @app.get("/async/boom")
    async def async_boom(request: Request) -> None:
        raise ValueError("boom")

    @app.get("/key")
    async def key(request: Request) -> None:
        raise KeyError("key")

    @app.get("/wrong-value")
    def wrong_value(request: Request) -> Any:
        return object()

    @app.get("/wrong-header")
    async def wrong_header(request: Request) -> Any:
        return "x", 200, {"x-a": "snow ☃"}

    @app.route("/own-options", methods=["OPTIONS", "HEAD"])
    def own_options(request: Request) -> tuple[str, int]:
        return "own", 207

    @app.exception_handler(KeyError)
    def on_key(request: Request, error: KeyError) -> tuple[dict[str, str], int]:
        return {"error": repr(error)}, 422

    @routes.get("/{x:path}/end")
    async def inner(request: Request, x: str) -> dict[str, Any]:
        return seen(request, x=x)

    app.mount("/in", routes)
    return app


def layered_app() -> App:
    """The same again, inside layers of both forms."""
    app = rich_app()

    @app.middleware
    def tracing(request: Request) -> Generator[None, Response, None]:
        request.state.trace = ["generator in"]
        try:
            response = yield
        finally:
            request.state.trace.append("generator out")
        response.headers["x-trace"] = ", ".join(request.state.trace)
        response.headers["x-status"] = str(response.status)

    @app.middleware
    async def refusing(request: Request, call_next: Any) -> Any:
        request.state.trace.append("async in")
        await asyncio.sleep(0)
        if "refuse" in request.query:
            return f"refused {request.path}", 403
        if "peek" in request.query:
            request.state.trace.append(f"read {len(await request.read())}")
        response = await call_next(request)
        request.state.trace.append("async out")
        response.set_cookie("layer", "1")
        return response

    @app.middleware
    def rescuing(request: Request) -> Generator[None, Response, Any]:
        request.state.trace.append("inner in")
        try:
            yield
        except ValueError as error:
            if "rescue" in request.query:
                return f"rescued {error}", 503
            request.state.trace.append("inner saw")
            raise
        finally:
            request.state.trace.append("inner out")
        return None

    return app


APPS = {"bare": rich_app(), "layered": layered_app()}
both_apps = pytest.mark.parametrize("app", APPS.values(), ids=APPS.keys())


# --- what is generated --------------------------------------------------------------------

ROUTES = [
    *["", "plain", "async", "dump", "async/dump", "u/7", "u/1.5", "u/x", "f/a.b", "f/a.b.c", "dir"],
    *["json", "async/json", "bytes", "text", "stream", "async/stream", "empty-stream", "none"],
    *["torn", "async/torn", "wrong-chunk", "status/204", "status/304", "status/599", "redirect"],
    *["cookie", "streamed-cookie", "teapot", "async/teapot", "boom", "async/boom", "key"],
    *["wrong-value", "wrong-header", "own-options", "in/more/a/b/end", "status/600", "status/100"],
]
FAILING = ["boom", "async/boom", "wrong-value", "wrong-header"]
FAILING += ["status/599", "status/600", "status/100"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"]

octets = st.binary(min_size=1, max_size=4).map(lambda raw: "".join(f"%{byte:02X}" for byte in raw))
pieces_of_a_path = st.one_of(
    st.sampled_from(["/", "//", ".", "..", "%2F", "%2f", "%00", "%0A", "%0D%0A", "%", "%zz", "%2"]),
    st.sampled_from(["caf%C3%A9", "%C3%28", "%FF", "%E2%98%83", "%ED%A0%80", "%25", "%5C", "%20"]),
    st.sampled_from(["12", "0", "-1", "9" * 19, "9" * 20, "9" * 5000, "1.5", "1e5", "nan", "a.b"]),
    st.sampled_from([";", "=", "@", ":", "+", "~", "!", "$", "&", "'", "(", ")", "*", ",", "|"]),
    st.text("abcdefgh-_.~", min_size=1, max_size=5),
    octets,
)
tails = st.lists(pieces_of_a_path, max_size=5).map("".join)
paths = st.one_of(
    st.sampled_from(ROUTES),
    st.tuples(st.sampled_from(ROUTES), tails).map("".join),
    st.tuples(st.sampled_from(["dump/", "u/", "f/", "in/more/"]), tails).map("".join),
    tails,
).map(lambda text: "/" + text)

pieces_of_a_query = st.one_of(
    st.sampled_from(["a=1", "a=2", "&", "&&", "=", "?", "/", "%26", "%3D", "+", "%", "%zz", ";"]),
    st.sampled_from(["refuse", "peek", "rescue", "%C3%A9=é", "%FF", "%00"]),
    octets,
)
queries = st.lists(pieces_of_a_query, max_size=6).map("".join)
targets = st.one_of(
    paths, st.tuples(paths, queries).map("?".join), paths.map(lambda path: path + "?")
).map(str.encode)

# Only what a server hands on: no connection headers, no blanks around a value.
TOKEN = "abcXYZ019!#$%&'*+.^`|~-"
header_names = st.one_of(
    st.text(TOKEN, min_size=1, max_size=8).map(lambda name: "x-" + name),
    st.sampled_from(
        ["Accept", "USER-AGENT", "referer", "X-Forwarded-For", "Origin", "Range", "x-"]
    ),
).map(str.encode)
cookies = st.one_of(
    header_values,
    st.lists(
        st.sampled_from(
            ["a=1", "a=2", "b", "=c", "", " ", 'd="x"', 'e="x;y"', 'f="\\303\\251"', "g=é", 'h="']
        ),
        max_size=5,
    ).map(lambda pairs: "; ".join(pairs).encode("utf-8").strip()),
)
content_types = st.sampled_from(
    [
        *[b"application/json", b"APPLICATION/JSON ; charset=latin-1", b"application/x+json"],
        *[b"text/plain", b"application/x-www-form-urlencoded", b"\xe9", b"application/jsonx", b";"],
    ]
)


@st.composite
def headers(draw: st.DrawFn) -> RawHeaders:
    some = st.lists(
        st.tuples(header_names, header_values), max_size=4, unique_by=lambda pair: pair[0].lower()
    )
    found = draw(some)
    if draw(st.booleans()):
        found.append((b"Cookie", draw(cookies)))
    if draw(st.booleans()):
        found.append((b"Content-Type", draw(content_types)))
    return found


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),  # NaN and the infinities too
        st.text(max_size=10),
        st.text(st.characters(categories=["Cs"]), max_size=2),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
json_bodies = st.one_of(
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            *[b"", b" ", b"{", b"[1,]", b'"\xff"', b"\xef\xbb\xbf{}", b"1e999", b"-1E+999", b"NaN"],
            *[
                b"9" * 4300,
                b"9" * 4301,
                b"[" * 4000,
                b'{"a":' * 800,
                b'{"a":1,"a":2}',
                b'"\\ud800"',
            ],
            *[b"[" * n + b"]" * n for n in (100, 2000)],
            *[
                b'"\\u0000"',
                b"\x00",
                b"{}{}",
                b"'a'",
                b"01",
                b"-",
                b"1.",
                b"tru",
                b'{"\\udfff":[]}',
            ],
        ]
    ),
)
bodies = st.one_of(
    json_bodies, st.binary(max_size=50), st.sampled_from([b"x" * 4999, b"x" * 5000, b"x" * 5001])
)


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method = draw(st.one_of(st.sampled_from(METHODS[:3]), st.sampled_from(METHODS)))
    pieces = None
    chunked = False
    if method not in ("GET", "HEAD") or draw(st.integers(0, 4)) == 0:
        pieces = draw(bodies.flatmap(cut))
        chunked = draw(st.booleans())
    root_path = draw(st.sampled_from(["", "", "/mnt", "/dump", "/mnt/é"]))
    host = draw(
        st.sampled_from([b"shop.example", b"shop.example:8000", b"[::1]:80", b"\xe9", None])
    )
    return Sent(method, draw(targets), draw(headers()), pieces, chunked, root_path, host)


# --- parity -------------------------------------------------------------------------------


@both_apps
@many
@given(sent=requests())
def test_the_same_request_gets_the_same_response_through_both_doors(
    loop: asyncio.Runner, app: App, sent: Sent
) -> None:
    answer = through_both(loop, app, sent)
    if sent.method == "HEAD":
        assert answer.body == b""


@both_apps
@many
@given(path=paths, query=queries, root_path=st.sampled_from(["", "/mnt", "/dump"]))
def test_a_path_or_query_that_a_client_makes_up_is_never_a_server_error(
    loop: asyncio.Runner, app: App, path: str, query: str, root_path: str
) -> None:
    for prefix in ("/dump", "/async/dump", "/u", "/f", "/in/more"):
        target = f"{prefix}{path}?{query}".encode()
        answer = through_both(loop, app, Sent(target=target, root_path=root_path))
        assert answer.status < 500


@both_apps
@pytest.mark.parametrize("form", ["", "/async"], ids=["plain", "async"])
@settings(many, max_examples=150)
@given(body=json_bodies)
@example(b"1e999")
@example(b"[" * 200 + b"]" * 200)
def test_json_that_is_read_can_be_written_and_all_else_is_a_4xx(
    loop: asyncio.Runner, app: App, form: str, body: bytes
) -> None:
    answer = through_both(loop, app, Sent("POST", f"{form}/json".encode(), pieces=[body]))
    assert answer.status in (200, 400, 413)
    if answer.status == 200:
        json.loads(answer.body, parse_constant=pytest.fail)


@both_apps
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", ROUTES)
def test_every_route_answers_every_method_alike(
    loop: asyncio.Runner, app: App, method: str, path: str
) -> None:
    target = b"/" + path.encode()
    sent = Sent(method, target)
    if method not in ("GET", "HEAD"):
        sent = Sent(method, target, pieces=[b'{"a":', b" 1}"])
        through_both(loop, app, sent._replace(chunked=True))
    status = through_both(loop, app, sent).status
    assert status < 500 or path in FAILING


@both_apps
@pytest.mark.parametrize("path", ["/torn", "/async/torn", "/wrong-chunk"])
def test_a_stream_that_fails_reaches_both_servers_as_an_exception(
    loop: asyncio.Runner, app: App, path: str
) -> None:
    answer = through_both(loop, app, Sent(target=path.encode()))
    assert (answer.status, answer.body) == (200, b"one\n")
    assert answer.torn


def test_json_of_any_depth_is_answered_alike_and_is_no_servers_error(
    loop: asyncio.Runner,
) -> None:
    # How deep Python can go depends on who called, so the framework has to draw the line.
    for depth in range(800, 1001):
        body = b"[" * depth + b"]" * depth
        for path in (b"/json", b"/async/json"):
            answer = through_both(loop, APPS["bare"], Sent("POST", path, pieces=[body]))
            assert answer.status in (200, 400), depth


LENGTHS = [b"+3", b"-3", b"3 3", b"3,3", b"0x3", b"3.0", b"\xb3", b"\xa03", b"9" * 5000, b"three"]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_content_length_that_is_no_number_is_refused_alike(
    loop: asyncio.Runner, length: bytes
) -> None:
    # Unchecked: both validators rightly take such a server to task.
    sent = Sent("POST", b"/bytes", [(b"Content-Length", length)])
    wsgi = through_wsgi(APPS["bare"], sent, check=False)
    assert wsgi == through_asgi(loop, APPS["bare"], sent, check=False)
    assert wsgi.status == (413 if length.isdigit() else 400)


@pytest.mark.parametrize("target", [b"*", b""])
@pytest.mark.parametrize("method", ["OPTIONS", "GET", "X"])
def test_a_target_that_is_no_path_is_answered_alike(
    loop: asyncio.Runner, method: str, target: bytes
) -> None:
    # Unchecked: wsgiref.validate takes no PATH_INFO but a path.
    sent = Sent(method, target)
    wsgi = through_wsgi(APPS["bare"], sent, check=False)
    assert wsgi == through_asgi(loop, APPS["bare"], sent, check=False)
    assert wsgi.status in (200, 204, 404, 405)


def test_a_scope_whose_path_leaves_out_the_root_path_makes_no_difference(
    loop: asyncio.Runner,
) -> None:
    app = APPS["bare"]
    sent = Sent(target=b"/dump/a", root_path="/mnt")

    async def some_server(scope: Any, receive: Any, send: Any) -> None:
        await app.asgi({**scope, "path": scope["path"].removeprefix("/mnt")}, receive, send)

    answer = through_both(loop, app, sent)
    assert answer.status == 200
    assert answer == through_asgi(loop, SimpleNamespace(asgi=some_server), sent)


NAMES = ["self", "function", "context", "handler", "args", "kwargs", "name", "scope", "error"]


@pytest.mark.parametrize("form", ["plain", "async"])
@pytest.mark.parametrize("layered", [False, True], ids=["bare", "layered"])
@pytest.mark.parametrize("name", NAMES)
def test_a_path_parameter_may_have_any_name(
    loop: asyncio.Runner, name: str, layered: bool, form: str
) -> None:
    app = App()

    def plain(request: Request, **path_params: str) -> str:
        return f"{path_params} {app.url_path_for('it', **path_params)}"

    async def in_async(request: Request, **path_params: str) -> str:
        return f"{path_params} {app.url_path_for('it', **path_params)}"

    async def layer(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    app.get(f"/x/{{{name}}}", name="it")(plain if form == "plain" else in_async)
    if layered:
        app.middleware(layer)
    answer = through_both(loop, app, Sent(target=b"/x/1"))
    assert (answer.status, answer.body.decode()) == (200, f"{ {name: '1'} } /x/1")


def test_a_url_can_be_made_for_a_route_whose_parameter_is_called_name(
    loop: asyncio.Runner,
) -> None:
    app = App()

    @app.get("/hello/{name}")
    def hello(request: Request, name: str) -> str:
        return request.url_for("hello", **request.path_params)

    answer = through_both(loop, app, Sent(target=b"/hello/ada"))
    assert answer.body == b"http://shop.example:8000/hello/ada"


@pytest.mark.parametrize("status", [100, 199, 600, 700, -1])
def test_a_layer_that_sets_an_impossible_status_fails_alike(
    loop: asyncio.Runner, status: int
) -> None:
    app = App()

    @app.middleware
    def wrong(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.status = status

    @app.get("/")
    def hello(request: Request) -> str:
        return "hello"

    answer = through_both(loop, app, Sent())
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


@pytest.mark.parametrize("raw", [b"/dump/a%2Fb", b"/dump/a/b"])
def test_an_encoded_slash_separates_segments_behind_both_doors(
    loop: asyncio.Runner, raw: bytes
) -> None:
    answer = json.loads(through_both(loop, APPS["bare"], Sent(target=raw)).body)
    assert answer["path"] == "/dump/a/b"


# --- what the protocols make impossible to equal ------------------------------------------
#
#   repeated request headers     WSGI has one key for them: the server joins their values
#   several Cookie headers       the same, and a server joins them with a comma
#   underscores in names         X_A and X-A are one key under WSGI
#   the order of the headers     an environ has none that means anything
#   an empty Content-Type        is an absent one under WSGI (PEP 3333 allows either)
#   the encoded path             raw_path is the scope's; an environ has nothing of the kind
#   pieces of request.stream     WSGI says how much it reads, ASGI takes what the server has
#   a body without an end        where a WSGI server does not mark it, the body cannot be read
#   a client that leaves         WSGI must answer whoever is gone; ASGI says nothing
#   WebSocket                    an ordinary GET under WSGI, a scope of its own under ASGI
#   why there is no WebSocket    a 501 through both, whose sentence is the door's own: see
#                                test_parity_model.py, where all that has it is generated


def seen_through_both(loop: asyncio.Runner, sent: Sent) -> tuple[dict[str, Any], dict[str, Any]]:
    app = APPS["bare"]
    wsgi, asgi = through_wsgi(app, sent), through_asgi(loop, app, sent)
    assert wsgi.status == asgi.status == 200
    return json.loads(wsgi.body), json.loads(asgi.body)


def test_repeated_headers_are_several_under_asgi_and_one_under_wsgi(loop: asyncio.Runner) -> None:
    repeated = [(b"X-A", b"1, 2"), (b"X-B", b"b"), (b"x-a", b"3")]
    wsgi, asgi = seen_through_both(loop, Sent(target=b"/dump", headers=repeated))
    assert asgi["headers"]["x-a"] == ["1, 2", "3"]
    assert wsgi["headers"]["x-a"] == ["1, 2,3"]
    assert wsgi["headers"]["x-b"] == asgi["headers"]["x-b"] == ["b"]


@given(values=st.lists(header_values.filter(lambda value: b"," not in value), max_size=4))
@settings(many, max_examples=50)
def test_repeated_headers_are_the_same_list_for_who_splits_them(
    loop: asyncio.Runner, values: list[bytes]
) -> None:
    sent = Sent(target=b"/dump", headers=[(b"X-A", value) for value in values])
    wsgi, asgi = (
        [part.strip() for value in answer["headers"].get("x-a", []) for part in value.split(",")]
        for answer in seen_through_both(loop, sent)
    )
    assert wsgi == asgi


def test_several_cookie_headers_are_told_apart_under_asgi_alone(loop: asyncio.Runner) -> None:
    several = [(b"Cookie", b"a=1"), (b"Cookie", b"b=2")]
    wsgi, asgi = seen_through_both(loop, Sent(target=b"/dump", headers=several))
    assert asgi["cookies"] == {"a": "1", "b": "2"}
    assert wsgi["cookies"] == {"a": "1,b=2"}


def test_an_underscore_in_a_headers_name_is_a_hyphen_under_wsgi(loop: asyncio.Runner) -> None:
    wsgi, asgi = seen_through_both(loop, Sent(target=b"/dump", headers=[(b"X_A", b"1")]))
    assert asgi["headers"]["x_a"] == ["1"]
    assert "x-a" not in asgi["headers"]
    assert wsgi["headers"]["x-a"] == ["1"]
    assert "x_a" not in wsgi["headers"]


def test_the_order_of_headers_is_the_clients_under_asgi_alone(loop: asyncio.Runner) -> None:
    app = App()

    @app.post("/")
    def names(request: Request) -> list[str]:
        return [name for name, _ in request.headers.multi_items()]

    sent = Sent("POST", b"/", [(b"Content-Type", b"text/plain"), (b"X-A", b"1")], [b"abc"])
    wsgi = json.loads(through_wsgi(app, sent).body)
    asgi = json.loads(through_asgi(loop, app, sent).body)
    assert asgi == ["host", "content-type", "x-a", "content-length"]
    assert sorted(wsgi) == sorted(asgi)


def test_an_empty_content_type_is_an_absent_one_under_wsgi(loop: asyncio.Runner) -> None:
    sent = Sent("POST", b"/dump", [(b"Content-Type", b"")], [b"{}"])
    wsgi, asgi = seen_through_both(loop, sent)
    assert "content-type" not in wsgi["headers"]
    assert asgi["headers"].get("content-type", [""]) == [""]
    # It makes no difference to what is done with the body.
    assert through_both(loop, APPS["bare"], sent._replace(target=b"/json")).status == 200


def test_only_asgi_has_a_place_for_the_path_as_it_was_sent(loop: asyncio.Runner) -> None:
    app = App()
    native: list[Any] = []

    @app.get("/{rest:path}")
    def spy(request: Request, rest: str) -> None:
        native.append(request.environ or request.scope)

    through_both(loop, app, Sent(target=b"/a%2Fb"))
    environ, scope = native
    assert scope["raw_path"] == b"/a%2Fb"
    assert environ["PATH_INFO"] == "/a/b"
    assert "/a%2Fb" not in environ.values()


def test_a_streamed_body_comes_in_the_pieces_of_the_server_and_under_wsgi_in_blocks(
    loop: asyncio.Runner,
) -> None:
    app = App()

    @app.post("/", stream=True)
    def sizes(request: Request) -> list[int]:
        return [len(piece) for piece in request.stream]

    sent = Sent("POST", pieces=[b"x" * 100_000, b"yz"])
    assert json.loads(through_wsgi(app, sent).body) == [65_536, 34_464, 2]
    assert json.loads(through_asgi(loop, app, sent).body) == [100_000, 2]
    assert through_both(loop, app, sent._replace(pieces=[b"a", b"", b"bc"])).body == b"[1,2]"


def test_a_body_without_a_marked_end_is_refused_under_wsgi_and_read_under_asgi(
    loop: asyncio.Runner,
) -> None:
    sent = Sent("POST", b"/bytes", pieces=[b"a", b"b"], chunked=True)
    environ = environ_of(sent)
    del environ["wsgi.input_terminated"]
    statuses: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        statuses.append(status)
        return pytest.fail

    chunks = wsgi_validator(APPS["bare"].wsgi)(environ, start_response)
    assert b"Content-Length" in b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert statuses == ["411 Length Required"]
    assert through_asgi(loop, APPS["bare"], sent).body == b"ab"


def test_a_client_that_leaves_in_mid_body_gets_a_400_under_wsgi_and_silence_under_asgi(
    loop: asyncio.Runner,
) -> None:
    called: list[str] = []
    app = App()

    @app.post("/")
    def never(request: Request) -> None:
        called.append(request.protocol)

    headers = [(b"Content-Length", b"10")]
    environ = environ_of(Sent("POST", b"/", headers))
    environ["wsgi.input"] = Wire([b"abc"])
    statuses: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        statuses.append(status)
        return pytest.fail

    chunks = wsgi_validator(app.wsgi)(environ, start_response)
    assert b"".join(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert statuses == ["400 Bad Request"]

    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"abc", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = scope_of(Sent("POST", b"/", headers))
    loop.run(asgi_validator(app.asgi)(scope, receive, send))  # type: ignore[arg-type]
    assert sent == []
    assert called == []


def test_a_websocket_handshake_is_a_get_under_wsgi_and_a_scope_of_its_own_under_asgi(
    loop: asyncio.Runner,
) -> None:
    handshake = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")]
    sent = Sent(target=b"/plain", headers=handshake)
    assert through_wsgi(APPS["bare"], sent).status == 200

    scope = {**scope_of(sent), "type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    said: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message["type"])

    loop.run(asgi_validator(APPS["bare"].asgi)(scope, receive, send))  # type: ignore[arg-type]
    assert said == ["websocket.close"]  # refused before it was accepted
