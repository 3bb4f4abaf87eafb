"""What attackers send: an application with all that there is, and the bounds on what it costs.

What belongs to one part alone is tested with that part. Here is what goes through several, and
what is measured: memory in bytes, and time where more than linear would not end today.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from microweb import (
    AccessLogMiddleware,
    App,
    CORSMiddleware,
    EventSourceResponse,
    FileResponse,
    GZipMiddleware,
    HTTPException,
    JSONResponse,
    ProxyHeadersMiddleware,
    RedirectResponse,
    Request,
    RequestIdMiddleware,
    Response,
    ServerSentEvent,
    SessionMiddleware,
    Templates,
    TrustedHostMiddleware,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from microweb.middleware.proxy import _parse_forwarded, _parse_node
from microweb.model import forms
from microweb.model.accept import best_match
from microweb.model.conditional import parse_http_date, precondition
from microweb.model.decoding import decode_json, parse_parameters
from microweb.model.disposition import content_disposition
from microweb.model.forms import FormReader
from microweb.model.host import parse_host
from microweb.model.origins import parse_origin
from microweb.model.qvalues import parse_qvalues
from microweb.model.ranges import byte_range
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect
from .parity import Sent, loop, through_asgi, through_wsgi
from .test_forms import END, MULTIPART, part

__all__ = ["loop"]  # a fixture

SECRET = "a secret of the tests, 0123456789"

# wsgiref.validate knows no other methods, and says so with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")


# --- Whatever is sent -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole_app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """All features at once, each handler as trusting as handlers are."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "page.html").write_text("{{ request.url }} {{ url_for('page') }} {{ word }}")
    (folder / "file.txt").write_text("0123456789" * 7000)
    app = App(max_body_size=5000, max_upload_size=20_000)
    layers: list[Any] = [
        AccessLogMiddleware(),
        RequestIdMiddleware(),
        ProxyHeadersMiddleware(
            trusted="192.0.2.7",
            headers=["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"],
        ),
        ProxyHeadersMiddleware(trusted="0.0.0.0/0", headers="forwarded"),
        CORSMiddleware(origins="https://*.shop.example", headers="*", credentials=True),
        GZipMiddleware(minimum_size=10),
        SessionMiddleware(SECRET),
    ]
    for layer in layers:
        app.middleware(layer)
    app.static("/static", folder)
    templates = Templates(folder)

    @app.get("/page")
    @app.get("/page/{word:path}", name="deep")
    async def page(request: Request, word: str = "") -> Response:
        return templates.response(request, "page.html", word=request.query.get("word", word))

    @app.get("/file/{name}")
    def file(request: Request, name: str) -> Response:
        return FileResponse(folder / "file.txt", filename=name)

    @app.route("/form", methods=["POST", "PUT"])
    def form(request: Request) -> Any:
        answer: Any = []
        for name, value in request.form.multi_items():
            request.session["last"] = name
            if isinstance(value, UploadFile):
                if value.safe_name == "echo":
                    return Response(value.file.read(), content_type=value.content_type)
                answer += [value.filename, value.safe_name, value.size]
            answer.append(str(value))
        return answer

    @app.post("/json")
    def as_json(request: Request) -> Response:
        value = request.session["value"] = request.json()
        return JSONResponse(value)

    @app.post("/stream", stream=True)
    async def stream(request: Request) -> AsyncIterator[bytes]:
        async for piece in request.stream:
            yield piece

    @app.get("/events")
    def events(request: Request) -> Response:
        words = request.query.getlist("word")
        seen = ServerSentEvent(request.last_event_id or "", comment=request.query_string)
        return EventSourceResponse([*words, seen], ping=None)

    @app.get("/all")
    def everything(request: Request) -> dict[str, Any]:
        request.session["word"] = request.query.get("word", "")[:100]
        return {
            "url": request.url,
            "who": [request.client, request.host, request.scheme, request.cookies],
            "likes": request.prefers("text/html", "image/png"),
            "headers": request.headers.multi_items(),
        }

    @app.get("/error")
    def error(request: Request) -> None:
        word = request.query.get("word", "")
        raise HTTPException(422, word, problem={"word": word})

    @app.get("/away")
    def away(request: Request) -> Response:
        response = RedirectResponse(request.query.get("word", "/"))
        response.set_cookie("word", request.query.get("word", ""))
        return response

    @app.websocket("/ws")
    async def ws(ws: WebSocket) -> None:
        await ws.accept()

    return app


SCRAPS = [
    *['"', "\\", '\\"', ",", ";", "=", "q=", "q=0.5", "q=1e9", "/", "*", " ", "\t", "%", "%0d%0a"],
    *["a", "\xe9", "\xff", "\x7f", "\x80", "W/", '"a"', "bytes=", "0-", "-5", "\xb2", "9" * 30],
    *["text/html", "gzip", "identity", "null", "https://a.shop.example", "http://", "[::1]", "["],
    *["::ffff:192.0.2.7", "192.0.2.7", ":80", ":99999", "for=", "proto=https", "host=", "unknown"],
    *["multipart/form-data", "boundary=", "application/json", "session=", "eyJ9.a.b", "websocket"],
    *["9" * 5000, "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov 31 24:49:60 1994", '"' * 50, "upgrade"],
]
HEADERS = [
    *["accept", "accept-encoding", "cookie", "range", "if-range", "if-none-match", "if-match"],
    *["if-modified-since", "if-unmodified-since", "origin", "access-control-request-method"],
    *["access-control-request-headers", "x-forwarded-for", "x-forwarded-proto", "forwarded"],
    *["x-forwarded-host", "x-request-id", "last-event-id", "upgrade", "connection", "referer"],
    *["authorization", "content-type", "sec-websocket-key"],
]
JSON_BODIES = [
    *[b"[" * 5000, b"9" * 4990, b'"\\ud800"', b'{"\\udfff": 1e999}', b"-0.0", b'"\xff"', b"\xef"],
    *[b"NaN", b'{"a": {"\\u0000": "\\ud83d"}}', b"\xef\xbb\xbf{}", b"null", b"[[], {}, 0.1]"],
]
PARTS = [
    *[b"--frontier\r\n", b"--frontier--\r\n", b"\r\n", b"\n", b"\r", b"\0", b"x" * 300, b": "],
    *[b"Content-Disposition: form-data", b'; name="a"', b'; filename="', b"echo", b'"', b"%0D%0A"],
    *[b"Content-Type: a/\xc3\xa9\r\n", b"Content-Type: a\0\r\n", b"Content-Length: 9\r\n", b" x"],
]

scraps = st.lists(st.sampled_from(SCRAPS), max_size=5).map("".join)
# Blanks around a value are the server's to take away (RFC 9110, 5.5).
header_values = (scraps | st.text(st.characters(max_codepoint=255), max_size=20)).map(
    lambda text: re.sub(r"[\0\r\n]", "", text).strip().encode("latin-1")
)
headers = st.lists(
    st.tuples(st.sampled_from(HEADERS).map(str.encode), header_values),
    max_size=5,
    unique_by=lambda header: header[0],
)
words = st.sampled_from([b"", b"?", b"?word=%ff%00", b"?word=%0d%0aa:b", b"?word=\xff", b"?&&=%"])
paths = st.sampled_from(
    [
        *[b"/all", b"/page", b"/page/%00", b"/page/\xc3%A9/", b"/file/a%22b", b"/file/%EF%BC%8F"],
        *[b"/static/file.txt", b"/static/", b"/static/..%2f", b"/static/%00", b"/events"],
        *[b"/error", b"/away", b"/ws", b"//evil.example/page/", b"/nowhere", b"/all/"],
    ]
).map(lambda path: quote(path, safe="%/").encode())
hosts = st.sampled_from([None, b"", b"shop.example:80", b"a@b", b"x/y?z#", b"\xff", b"a,b", b"["])
reads = st.builds(
    lambda method, path, word, headers, host: Sent(method, path + word, headers, host=host),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "TRACE"]),
    *[paths, words, headers, hosts],
)
one_part = st.builds(
    lambda name, more, kind, content: part(name, content, more, *kind),
    st.sampled_from(["", "a", "é", "%22", "\0"]),
    st.sampled_from(["", '; filename="echo"', '; filename="\0../é"', '; filename=""']),
    st.sampled_from([[], ["Content-Type: text/plain"], ["Content-Type: €/\x01"], ["X: y"] * 9]),
    st.binary(max_size=50),
)
whole_forms = st.lists(one_part, max_size=3).map(lambda parts: b"".join(parts) + END)
bodies = st.one_of(
    st.tuples(st.just(MULTIPART), whole_forms),
    st.tuples(st.just(MULTIPART), st.lists(st.sampled_from(PARTS), max_size=20).map(b"".join)),
    st.tuples(st.just("application/json"), st.sampled_from(JSON_BODIES)),
    st.tuples(
        st.just("application/x-www-form-urlencoded"),
        st.lists(st.sampled_from([b"a", b"=", b"&", b"%", b"%4", b"%ff", b"\xff"])).map(b"".join),
    ),
    st.tuples(st.sampled_from(["", "text/plain", "x/" * 2000]), st.binary(max_size=100)),
)
writes = st.builds(
    lambda method, path, headers, typed, cut: Sent(
        method,
        path,
        [pair for pair in headers if pair[0] != b"content-type"]
        + [(b"content-type", typed[0].encode())],
        [typed[1][:cut], typed[1][cut:]],
    ),
    st.sampled_from(["POST", "POST", "POST", "PUT", "FOO"]),
    st.sampled_from([b"/form", b"/form", b"/json", b"/stream", b"/all"]),
    *[headers, bodies, st.integers(0, 60)],
)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(sent=reads | writes)
@example(Sent("POST", b"/json", [(b"content-type", b"application/json")], [b'"\\ud800"']))
@example(
    Sent(
        "POST",
        b"/form",
        [(b"content-type", MULTIPART.encode())],
        [part("f", b"x", '; filename="echo"', "Content-Type: \u20ac/\x01") + END],
    )
)
def test_no_request_is_a_servers_error(whole_app: App, loop: asyncio.Runner, sent: Sent) -> None:
    # One header is one in both protocols here, but not every answer is: requests have ids.
    for answer in (through_wsgi(whole_app, sent), through_asgi(loop, whole_app, sent)):
        assert answer.torn == ""
        assert answer.status < 500 or (answer.status, sent.target[:3]) == (501, b"/ws")
        for name, value in answer.headers:
            assert re.search(r"[\x00-\x08\x0a-\x1f\x7f]", name + value) is None


# --- Memory -----------------------------------------------------------------------------------


def peak(act: Callable[[], object]) -> int:
    """The most memory, in bytes, that is held at once while this runs."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", ["%", "%4", "%41", "%41a", "%41ab", "+", "a", "\xe9", "%\xff"])
def test_a_form_costs_a_few_times_its_size(piece: str) -> None:
    text = "a=" + piece * (200_000 // len(piece))
    assert peak(lambda: parse_parameters(text)) < 10 * len(text)


@given(st.text("ab0fF%+&=; \x00\x7f~", max_size=30))
def test_parameters_are_those_that_the_standard_library_reads(text: str) -> None:
    assert parse_parameters(text) == parse_qsl(text, keep_blank_values=True, errors="replace")


@pytest.mark.parametrize("more", ["", '; filename="f"'])
def test_a_multipart_form_in_tiny_pieces_costs_a_few_times_its_size(more: str) -> None:
    def read() -> None:
        reader = FormReader(MULTIPART, 100_000)
        reader.feed(part("a", b"", more)[:-2])
        for _ in range(25_000):
            reader.feed(b"ab")
        reader.feed(b"\r\n" + END)
        assert len(reader.finish()) == 1

    assert peak(read) < 10 * 50_000


def test_a_body_in_tiny_pieces_costs_a_few_times_its_size(connect: Connect) -> None:
    app = App()
    app.post("/")(lambda request: str(len(request.body)))
    client = connect(app)

    def pieces() -> Iterator[bytes]:
        for _ in range(25_000):
            yield bytes(bytearray(b"ab"))  # a new one each time, as servers give

    answers = [client.post("/", content=b"x").text]  # what a first request takes is not counted
    assert peak(lambda: answers.append(client.post("/", content=pieces()).text)) < 10 * 50_000
    assert answers == ["1", "50000"]


def test_what_surrounds_the_content_of_a_form_is_bounded(connect: Connect) -> None:
    """Folded headers, and what is before and after the parts: all work, and no form."""
    app = App()
    app.post("/")(lambda request: str(len(request.form)))
    client = connect(app)
    folded = part("a", b"", "", *["x: y" + "\r\n z" * 800] * 7)
    for hostile in (folded * 50, b"x" * 600_000 + b"\r\n" + part("a", b"")):
        answer = client.post("/", content=hostile + END, headers={"content-type": MULTIPART})
        assert answer.status_code == 413
        assert "around its content" in answer.text
    after = part("a", b"") + END + b"x" * 600_000
    assert client.post("/", content=after, headers={"content-type": MULTIPART}).status_code == 413
    content = part("a", b"x" * (forms.LONGEST_FRAME + 1)) + part("f", b"", '; filename="f"')
    assert client.post("/", content=content + END, headers={"content-type": MULTIPART}).text == "2"


# --- Time -------------------------------------------------------------------------------------

READERS: dict[str, Callable[[str], object]] = {
    "Accept": lambda text: best_match(text, ["text/html", "image/png"]),
    "Accept-Encoding": parse_qvalues,
    "Content-Disposition": lambda text: content_disposition("attachment", text),
    "event": lambda text: ServerSentEvent(text).encode(),
    "Forwarded": _parse_forwarded,
    "Host": parse_host,
    "If-Match": lambda text: precondition("GET", {"if-match": text}, '"a"', 1),
    "If-Modified-Since": parse_http_date,
    "Origin": parse_origin,
    "Range": lambda text: byte_range(text, 100),
    "X-Forwarded-For": _parse_node,
    "filename": lambda text: UploadFile(text, "", None, 0).safe_name,  # type: ignore[arg-type]
    "form": parse_parameters,
}
PIECES = ["a", "0", '"', "\\", '\\"', '"\\', '="', ";a=", ';a="', ",", ' ,"', " ", "\t", "%", "%4"]
PIECES += ["a.", "-", "_.", "/", "a/", "[", ":", "1:", "://", "a://", 'W/"', '"",', "\xe9", "\r\n"]


@pytest.mark.parametrize("reader", READERS)
def test_no_text_takes_more_than_linear_time(reader: str) -> None:
    # With a cost that grows as the square of the length this would not end today.
    for piece in PIECES:
        for start in ("", "a", '"', "[", "bytes="):
            READERS[reader](start + piece * (100_000 // len(piece)) + "!")


# --- The name of the site ---------------------------------------------------------------------

one_site = App()


@one_site.get("/here/{rest:path}")
def here(request: Request, rest: str) -> list[str]:
    return [request.url, request.url_for("here", rest="x")]


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def visitor(request: pytest.FixtureRequest) -> TestClient:
    return TestClient(one_site, request.param, wrap=CHECKERS[request.param])


@given(
    host=st.text(st.characters(min_codepoint=32, max_codepoint=255) | st.sampled_from("/?#@\\:[]"))
)
@example(host="evil.example/here/x?")
@example(host="user@evil.example")
@example(host='"><script>')
@example(host="a\\b")
@example(host="[")
@example(host="[::1]:80")
@example(host="[x]")
def test_no_host_moves_the_path_of_an_absolute_url(visitor: TestClient, host: str) -> None:
    """A layer that decides by `request.url` sees the path that the handler is chosen by."""
    answer = visitor.get("/here/x?a=b", headers={b"host": host.strip().encode("latin-1")})
    for url in answer.json():
        assert url.isascii()
        assert not set(url) & set('"<>\\ @')
        scheme, rest = url.split("://", 1)
        assert (scheme, "/" + rest.partition("/")[2].partition("?")[0]) == ("http", "/here/x")
        assert urlsplit(url).path == "/here/x"


# --- Sessions ---------------------------------------------------------------------------------


def test_a_session_holds_whatever_text_a_client_sends(connect: Connect) -> None:
    """JSON can carry half a character, and that must be no server's error."""
    app = App()
    app.middleware(SessionMiddleware(SECRET))

    @app.post("/")
    def keep(request: Request) -> Any:
        request.session["word"] = request.json()
        return "kept"

    app.get("/")(lambda request: [request.session["word"]])
    client = connect(app)
    for sent in ('"\\ud800"', '"größe Ω"', '"\\u0000"'):
        assert client.post("/", content=sent).text == "kept"
        assert json.loads(client.get("/").content) == [json.loads(sent)]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        (None, "no-cache, private"),  # what every file says
        ("max-age=60", "max-age=60, private"),
        ("Max-Age=60, Private", "Max-Age=60, Private"),
        ("no-store", "no-store"),
        ("public, max-age=60", "public, max-age=60"),
    ],
)
def test_no_shared_cache_keeps_the_cookie_of_a_session(
    connect: Connect, tmp_path: Path, said: str | None, sent: str
) -> None:
    """A cache that keeps a file, to ask each time, would hand its Set-Cookie to the next client."""
    (tmp_path / "file.txt").write_text("hello")
    app = App()
    app.middleware(SessionMiddleware(SECRET))

    @app.get("/")
    def count(request: Request) -> Response:
        request.session["count"] = request.session.get("count", 0) + 1
        headers = {} if said is None else {"cache-control": said}
        return FileResponse(tmp_path / "file.txt", headers=headers)

    client = connect(app)
    first = client.get("/")
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    for answer in (first, again):
        assert "set-cookie" in answer.headers
        assert answer.headers["cache-control"] == sent
        assert answer.headers["vary"] == "Cookie"


# --- Names of files ---------------------------------------------------------------------------


@given(st.text())
@example("..\uff0f..\uff0fetc")
@example("\u2100\ufe68\uff3c\uff02\uff05")
def test_the_plain_form_of_a_filename_is_no_path(name: str) -> None:
    fallback = content_disposition("attachment", name).split('"')[1]
    assert not set(fallback) & set('/\\%"')
    assert fallback.isascii()
    assert fallback.isprintable()


@pytest.mark.parametrize("filename", ["COM\xb9", "lpt\xb2.txt", "com\xb3.tar.gz"])
def test_a_superscript_makes_a_device_too(filename: str) -> None:
    assert UploadFile(filename, "", None, 0).safe_name == f"_{filename}"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "content_type"),
    [
        ("text/plain; charset=utf-8", "text/plain"),
        ("IMAGE/PNG", "image/png"),
        ("text", "application/octet-stream"),
        ("\u20ac/plain", "application/octet-stream"),
        ("a/b\x01", "application/octet-stream"),
        ("a/b c", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_the_type_of_a_file_can_be_sent_on(sent: str, content_type: str) -> None:
    reader = FormReader(MULTIPART, 100)
    reader.feed(part("f", b"", '; filename="f"', f"Content-Type: {sent}") + END)
    file = reader.finish()["f"]
    assert isinstance(file, UploadFile)
    assert file.content_type == content_type
    assert Response(content_type=file.content_type).content_type == content_type


# --- WebSockets -------------------------------------------------------------------------------


def test_a_reason_may_be_a_text_of_the_client() -> None:
    app = App()

    @app.websocket("/")
    async def leave(ws: WebSocket) -> None:
        await ws.accept()
        await ws.close(4000, decode_json(await ws.receive_text()))

    with (
        TestClient(app, "asgi", wrap=CHECKERS["asgi"]) as client,
        client.websocket_connect("/") as ws,
    ):
        ws.send_text('"\\ud800"')
        with pytest.raises(WebSocketDisconnect) as end:
            ws.receive_text()
    assert (end.value.code, end.value.reason) == (4000, "?")


# --- Logs -------------------------------------------------------------------------------------


def test_no_method_forges_a_line_of_the_log(
    loop: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    """Of methods servers let pass what they like; a layer may fail for any."""
    app = App()

    @app.middleware
    def failing(request: Request) -> Iterator[None]:
        raise ZeroDivisionError
        yield

    sent = Sent("G\x1b[2J\nET", b"/\n")
    with caplog.at_level(logging.ERROR, "microweb"):
        assert through_wsgi(app, sent, check=False).status == 500
        assert through_asgi(loop, app, sent, check=False).status == 500
    assert {record.getMessage() for record in caplog.records} == {r"G\x1b[2J\nET '/\n' failed"}


# --- Hosts --------------------------------------------------------------------------------------


def test_what_a_proxy_is_believed_is_still_checked(connect: Connect) -> None:
    app = App()
    app.middleware(ProxyHeadersMiddleware(trusted="0.0.0.0/0", headers="x-forwarded-host"))
    app.middleware(TrustedHostMiddleware("shop.example"))
    app.get("/")(lambda request: request.url)
    client = connect(app, base_url="http://shop.example")
    assert client.get("/").text == "http://shop.example/"
    for forged in ("evil.example", "shop.example, evil.example", "evil.example:80"):
        answer = client.get("/", headers={"x-forwarded-host": forged})
        assert answer.status_code == 400
