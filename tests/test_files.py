"""Files: FileResponse, through both doors, and on real servers what only they show."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from io import FileIO
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from microweb import App, FileResponse, GZipMiddleware, HTTPException, Request, Response
from microweb.model import file_body
from microweb.model.disposition import content_disposition
from microweb.model.files import SMALL
from microweb.model.media_types import content_type_of
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator
from .conftest import CHECKERS, Connect, Protocol
from .servers import DOORS, PATIENCE, Server, read_head, serving, until

both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])
both_forms = pytest.mark.parametrize("form", ["generator", "async"])

HELLO = b"hello, file\n"
LARGE = bytes(range(256)) * 8192  # 2 MiB: some blocks
BLOCKS = math.ceil(len(LARGE) / file_body.BLOCK)
THEN = 784111777
THEN_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """A small file, last modified in 1994."""
    file = tmp_path / "hello.txt"
    file.write_bytes(HELLO)
    os.utime(file, (THEN, THEN))
    return file


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that is streamed."""
    file = tmp_path / "large.bin"
    file.write_bytes(LARGE)
    return file


class Watched(FileIO):
    """A file that remembers all of its kind that were opened."""

    opened: list[Watched]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.closes = 0
        self.reads = 0
        self.opened.append(self)

    def read(self, size: int | None = -1, /) -> Any:
        self.reads += 1
        return super().read(size)

    def close(self) -> None:
        self.closes += not self.closed
        super().close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Watched]:
    """Every file that is opened to be sent."""
    Watched.opened = []
    monkeypatch.setattr(file_body, "FileIO", Watched)
    return Watched.opened


def app_of(answer: Callable[[Request], Any], kind: str = "def") -> App:
    """An app with one handler at /, plain or async, on GET and POST."""
    app = App()

    async def asynchronous(request: Request) -> Any:
        await asyncio.sleep(0)
        return answer(request)

    app.route("/", methods=["GET", "POST"])(answer if kind == "def" else asynchronous)
    return app


def app_for(path: Path, kind: str = "def", **arguments: Any) -> App:
    return app_of(lambda request: FileResponse(path, **arguments), kind)


# --- The whole file --------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3_000_000])
def test_a_file_is_sent_as_it_is(connect: Connect, tmp_path: Path, size: int, kind: str) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(os.urandom(size))
    response = connect(app_for(file, kind)).get("/")
    assert response.status_code == 200
    assert response.content == file.read_bytes()
    assert response.headers["content-length"] == str(size)
    assert response.headers["accept-ranges"] == "bytes"


def test_what_the_client_is_told_of_a_file(connect: Connect, hello: Path) -> None:
    headers = dict(connect(app_for(hello)).get("/").headers)
    etag = headers.pop("etag")
    assert headers == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(HELLO)),
        "accept-ranges": "bytes",
        "last-modified": THEN_DATE,
        "cache-control": "no-cache",
    }
    assert etag.startswith('"')  # a strong one, or no download could be resumed


@pytest.mark.parametrize("size", [0, len(HELLO), 3_000_000])
def test_head_has_the_headers_of_get(
    connect: Connect, tmp_path: Path, opened: list[Watched], size: int
) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(size))
    client = connect(app_for(file))
    head = client.head("/")
    assert [(each.reads, each.closes) for each in opened] == [(0, 1)]
    assert head.content == b""
    assert head.headers.multi_items() == client.get("/").headers.multi_items()


@pytest.mark.parametrize("size", [len(HELLO) * 100, 3_000_000])
def test_layers_make_the_same_of_head_as_of_get(
    connect: Connect, tmp_path: Path, opened: list[Watched], size: int
) -> None:
    file = tmp_path / "file.css"
    file.write_bytes(bytes(size))
    app = app_for(file)
    app.middleware(GZipMiddleware())
    client = connect(app)
    head = client.head("/").headers
    assert [(each.reads, each.closes) for each in opened] == [(0, 1)]
    get = client.get("/").headers
    # What a small file is when compressed, only who compresses it can know.
    get.pop("content-length", None)
    assert dict(head) == dict(get)
    assert head["content-encoding"] == "gzip"


def test_the_tag_changes_with_the_file(connect: Connect, hello: Path) -> None:
    client = connect(app_for(hello))
    tags = {client.get("/").headers["etag"]}
    os.utime(hello, ns=(THEN * 10**9, THEN * 10**9 + 1))
    tags.add(client.get("/").headers["etag"])
    hello.write_bytes(HELLO * 2)
    os.utime(hello, (THEN, THEN))
    tags.add(client.get("/").headers["etag"])
    assert len(tags) == 3


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.html", "text/html; charset=utf-8"),
        ("PAGE.HTM", "text/html; charset=utf-8"),
        ("site.css", "text/css; charset=utf-8"),
        ("site.js", "text/javascript; charset=utf-8"),
        ("site.mjs", "text/javascript; charset=utf-8"),
        ("site.js.map", "application/json"),
        ("data.json", "application/json"),
        ("app.webmanifest", "application/manifest+json"),
        ("feed.xml", "application/xml"),
        ("logo.svg", "image/svg+xml"),
        ("photo.avif", "image/avif"),
        ("font.woff2", "font/woff2"),
        ("code.wasm", "application/wasm"),
        ("notes.md", "text/markdown; charset=utf-8"),
        ("table.csv", "text/csv; charset=utf-8"),
        ("talk.vtt", "text/vtt; charset=utf-8"),  # of Python's own table
        ("setup.tar.gz", "application/gzip"),  # never tar with a Content-Encoding
        ("page.html.gz", "application/gzip"),
        ("logo.svgz", "application/octet-stream"),
        ("page.html.br", "application/octet-stream"),
        ("README", "application/octet-stream"),
        (".html", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("page.html.", "application/octet-stream"),
        ("what.ever", "application/octet-stream"),
        ("data:text/html,x", "application/octet-stream"),
    ],
)
def test_the_type_is_that_of_the_last_extension(name: str, content_type: str) -> None:
    assert content_type_of(name) == content_type


def test_the_type_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import mimetypes

    monkeypatch.setitem(mimetypes.types_map, ".css", "application/x-pointplus")
    monkeypatch.setitem(mimetypes.types_map, ".unheard", "text/html")
    assert content_type_of("site.css") == "text/css; charset=utf-8"
    assert content_type_of("site.unheard") == "application/octet-stream"


def test_what_is_given_comes_before_what_is_guessed(connect: Connect, hello: Path) -> None:
    headers = {
        "cache-control": "max-age=60",
        "ETag": '"own"',
        "last-modified": "Sat, 01 Jan 2000 00:00:00 GMT",
        "content-disposition": "inline",
        "x-own": "1",
    }
    app = app_for(hello, filename="a.html", content_type="text/x-own", headers=headers)
    client = connect(app)
    got = client.get("/").headers
    assert {name: got[name] for name in headers} == headers
    assert got["content-type"] == "text/x-own"
    for condition in (
        {"if-none-match": '"own"'},
        {"if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
    ):
        assert client.get("/", headers=condition).status_code == 304


def test_a_content_type_among_the_headers_wins(connect: Connect, hello: Path) -> None:
    app = app_for(hello, content_type="text/x-one", headers={"content-type": "text/x-two"})
    assert connect(app).get("/").headers["content-type"] == "text/x-two"


def test_a_file_from_the_future_is_from_now(connect: Connect, hello: Path) -> None:
    os.utime(hello, (2**32, 2**32))  # 2106
    modified = connect(app_for(hello)).get("/").headers["last-modified"]
    assert modified.split()[3] < "2106"


def test_a_time_that_no_header_can_tell_is_left_out(
    connect: Connect, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fstat(descriptor: int) -> Any:
        class Info:
            st_mode, st_size = os.fstat(descriptor).st_mode, os.fstat(descriptor).st_size
            st_mtime_ns = -(10**20)

        return Info

    with monkeypatch.context() as patch:
        patch.setattr(file_body, "os", _With(os, fstat=fstat))
        response = connect(app_for(hello)).get("/")
    assert (response.status_code, response.content) == (200, HELLO)
    assert "last-modified" not in response.headers


class _With:
    """A module with something in it replaced, for one importer of it only."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


# --- Conditions ------------------------------------------------------------------------------

# headers, with {etag} for the file's own -> the status
CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({"if-none-match": "{etag}"}, 304),
    ({"if-none-match": "W/{etag}"}, 304),
    ({"if-none-match": '"other", {etag}'}, 304),
    ({"if-none-match": "*"}, 304),
    ({"if-none-match": '"other"'}, 200),
    ({"if-none-match": "nonsense"}, 200),
    ({"if-modified-since": THEN_DATE}, 304),
    ({"if-modified-since": "Sun Nov  6 08:49:38 1994"}, 304),
    ({"if-modified-since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 200),
    ({"if-modified-since": "nonsense"}, 200),
    ({"if-modified-since": THEN_DATE, "if-none-match": '"other"'}, 200),
    ({"if-match": "{etag}"}, 200),
    ({"if-match": "*"}, 200),
    ({"if-match": '"other"'}, 412),
    ({"if-match": "W/{etag}"}, 412),
    ({"if-unmodified-since": THEN_DATE}, 200),
    ({"if-unmodified-since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 412),
    ({"range": "bytes=0-1", "if-none-match": "{etag}"}, 304),
    ({"range": "bytes=0-1", "if-match": '"other"'}, 412),
]
BODIES = {200: HELLO, 304: b"", 412: b"Precondition Failed"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("condition", "status"), CONDITIONS)
def test_a_condition_is_answered(
    connect: Connect, hello: Path, method: str, condition: dict[str, str], status: int
) -> None:
    client = connect(app_for(hello))
    etag = client.get("/").headers["etag"]
    headers = {name: value.format(etag=etag) for name, value in condition.items()}
    response = client.request(method, "/", headers=headers)
    assert response.status_code == status
    assert response.content == (BODIES[status] if method == "GET" else b"")


def test_a_list_of_tags_may_be_spread_over_several_lines(connect: Connect, hello: Path) -> None:
    client = connect(app_for(hello))
    etag = client.get("/").headers["etag"]
    headers = [("if-none-match", '"other"'), ("if-none-match", etag)]
    assert client.get("/", headers=headers).status_code == 304


def test_304_has_what_a_cache_needs_and_what_the_application_added(
    connect: Connect, hello: Path, opened: list[Watched]
) -> None:
    own = {"vary": "cookie", "expires": THEN_DATE, "content-language": "en", "x-own": "1"}
    client = connect(app_for(hello, filename="hello.txt", headers=own))
    etag = client.head("/").headers["etag"]
    response = client.get("/", headers={"if-none-match": etag})
    assert dict(response.headers) == {
        "etag": etag,
        "cache-control": "no-cache",
        "vary": "cookie",
        "expires": THEN_DATE,
        "x-own": "1",
    }
    assert [(each.reads, each.closes) for each in opened] == [(0, 1), (0, 1)]


@pytest.mark.parametrize("headers", [{"if-match": '"other"'}, {"range": "bytes=99-"}])
def test_an_error_is_no_file_and_not_to_be_kept(
    connect: Connect, hello: Path, headers: dict[str, str], opened: list[Watched]
) -> None:
    own = {"cache-control": "max-age=9999", "expires": THEN_DATE, "x-own": "1"}
    app = app_for(hello, filename="hello.txt", content_type="text/css", headers=own)
    got = dict(connect(app).get("/", headers=headers).headers)
    got.pop("content-range", None)
    assert got.pop("content-length")
    assert got == {"content-type": "text/plain; charset=utf-8", "vary": "accept", "x-own": "1"}
    assert [(each.reads, each.closes) for each in opened] == [(0, 1)]


@both_kinds
@pytest.mark.parametrize(
    ("headers", "status"), [({"if-match": '"x"'}, 412), ({"range": "bytes=99-"}, 416)]
)
def test_an_error_is_answered_like_any_other(
    connect: Connect, hello: Path, kind: str, headers: dict[str, str], status: int
) -> None:
    app = app_for(hello, kind)
    problem = connect(app).get("/", headers={"accept": "application/json", **headers})
    assert problem.json()["status"] == status
    app = app_for(hello, kind)
    app.exception_handler(status)(lambda request, error: f"not so: {error.status}")
    response = connect(app).get("/", headers=headers)
    assert (response.status_code, response.text) == (status, f"not so: {status}")
    if status == 416:
        assert response.headers["content-range"] == "bytes */12"


def test_an_exception_handler_cannot_be_led_in_circles(connect: Connect, hello: Path) -> None:
    # Its author has forgotten status=..., so that it has conditions like any success.
    app = app_of(lambda request: "hello")
    app.exception_handler(HTTPException)(lambda request, error: FileResponse(hello))
    response = connect(app).get("/nowhere", headers={"range": "bytes=99-"})
    assert (response.status_code, response.text) == (416, "Range Not Satisfiable")


# --- Ranges ----------------------------------------------------------------------------------


@both_kinds
@pytest.mark.parametrize(
    ("wanted", "part", "told"),
    [
        ("bytes=0-4", LARGE[:5], "bytes 0-4/2097152"),
        ("bytes=2097150-", LARGE[-2:], "bytes 2097150-2097151/2097152"),
        ("bytes=-3", LARGE[-3:], "bytes 2097149-2097151/2097152"),
        ("bytes=-9999999", LARGE, "bytes 0-2097151/2097152"),
        ("bytes=1-1500000", LARGE[1:1500001], "bytes 1-1500000/2097152"),
        ("bytes=700000-", LARGE[700000:], "bytes 700000-2097151/2097152"),
    ],
)
def test_a_part_is_sent(
    connect: Connect, large: Path, wanted: str, part: bytes, told: str, kind: str
) -> None:
    response = connect(app_for(large, kind)).get("/", headers={"range": wanted})
    assert response.status_code == 206
    assert response.headers["content-range"] == told
    assert response.headers["content-length"] == str(len(part))
    assert response.content == part
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"]


@pytest.mark.parametrize("wanted", ["bytes=12-", "bytes=-0", "bytes=999999999999999999999-"])
def test_a_range_beyond_the_end_is_416(connect: Connect, hello: Path, wanted: str) -> None:
    response = connect(app_for(hello)).get("/", headers={"range": wanted})
    assert response.status_code == 416
    assert response.headers["content-range"] == "bytes */12"
    assert response.text == "Range Not Satisfiable"


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,3-4", "lines=0-1", "bytes=4-3", "nonsense", "bytes=\xb9-", ""]
)
def test_a_range_that_is_not_understood_means_the_whole(
    connect: Connect, hello: Path, wanted: str
) -> None:
    response = connect(app_for(hello)).get("/", headers=[(b"range", wanted.encode("latin-1"))])
    assert (response.status_code, response.content) == (200, HELLO)
    assert "content-range" not in response.headers


def test_two_range_headers_are_several_ranges(connect: Connect, hello: Path) -> None:
    headers = [("range", "bytes=0-1"), ("range", "bytes=3-4")]
    assert connect(app_for(hello)).get("/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("validator", "status"),
    [
        ("{etag}", 206),
        (THEN_DATE, 206),
        ("W/{etag}", 200),
        ('"other"', 200),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
        ("nonsense", 200),
    ],
)
def test_a_part_is_sent_only_of_the_file_that_the_client_has_begun(
    connect: Connect, hello: Path, validator: str, status: int
) -> None:
    client = connect(app_for(hello))
    validator = validator.format(etag=client.get("/").headers["etag"])
    # Where the file is another one, a range beyond its end is no error either.
    for wanted, body in (("bytes=7-", HELLO[7:]), ("bytes=99-", b"Range Not Satisfiable")):
        response = client.get("/", headers={"range": wanted, "if-range": validator})
        satisfied = 416 if wanted == "bytes=99-" else 206
        assert response.status_code == (satisfied if status == 206 else 200)
        assert response.content == (body if status == 206 else HELLO)


def test_range_is_for_get_alone(connect: Connect, hello: Path) -> None:
    # RFC 9110, 14.2
    client = connect(app_for(hello))
    response = client.head("/", headers={"range": "bytes=0-1"})
    assert (response.status_code, response.headers["content-length"]) == (200, "12")
    response = client.post("/", headers={"range": "bytes=0-1"})
    assert (response.status_code, response.content) == (200, HELLO)


@pytest.mark.parametrize(
    "headers", [{"range": "bytes=0-1"}, {"if-none-match": "*"}, {"if-match": '"other"'}]
)
def test_only_a_success_has_conditions(
    connect: Connect, hello: Path, headers: dict[str, str]
) -> None:
    response = connect(app_for(hello, status=404)).get("/", headers=headers)
    assert (response.status_code, response.content) == (404, HELLO)
    assert not {"etag", "last-modified", "accept-ranges", "cache-control"} & set(response.headers)


@pytest.mark.parametrize("status", [304, 412, 416])
def test_a_status_that_the_application_chose_is_no_verdict(
    connect: Connect, hello: Path, status: int
) -> None:
    response = connect(app_for(hello, status=status)).get("/")
    assert response.status_code == status
    assert response.content == (b"" if status == 304 else HELLO)


# --- The name to save it under ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report.pdf", 'attachment; filename="report.pdf"'),
        ("my report.pdf", 'attachment; filename="my report.pdf"'),
        (
            "größe.txt",
            "attachment; filename=\"gro_e.txt\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.txt",
        ),
        (
            "€ rates.txt",
            "attachment; filename=\"_ rates.txt\"; filename*=UTF-8''%E2%82%AC%20rates.txt",
        ),
        ('a"b.txt', "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
        ("100%41.txt", "attachment; filename=\"100_41.txt\"; filename*=UTF-8''100%2541.txt"),
        ("a\\b.txt", 'attachment; filename="a_b.txt"'),
        ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
        (
            'x"\r\nset-cookie: a=b',
            'attachment; filename="x___set-cookie: a=b"; '
            "filename*=UTF-8''x%22__set-cookie%3A%20a%3Db",
        ),
        ("\ud800", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_a_name_is_quoted_and_encoded(connect: Connect, hello: Path, name: str, value: str) -> None:
    response = connect(app_for(hello, filename=name)).get("/")
    assert response.headers["content-disposition"] == value


def test_the_name_tells_the_type(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "0123456789abcdef"
    file.write_bytes(HELLO)
    response = connect(app_for(file, filename="page.html", inline=True)).get("/")
    assert response.headers["content-disposition"] == 'inline; filename="page.html"'
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-disposition" not in connect(app_for(file)).get("/").headers


@given(st.text(min_size=1))
def test_werkzeug_reads_the_name_as_it_was_meant(name: str) -> None:
    value = content_disposition("attachment", name)
    assert value.isascii()
    assert value.isprintable()
    clean = "".join("_" if ord(c) < 32 or 127 <= ord(c) < 160 or c in "/\\" else c for c in name)
    kind, options = parse_options_header(value)
    assert (kind, options["filename"]) == ("attachment", clean)
    assert set(options) == {"filename"}


# --- Slips -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "arguments", "error"),
    [
        (b"/etc/hosts", {}, TypeError),
        (3, {}, TypeError),
        (None, {}, TypeError),
        ("", {}, ValueError),
        ("x", {"filename": ""}, ValueError),
        ("x", {"filename": b"x"}, TypeError),
        ("x", {"status": 99}, ValueError),
        ("x", {"headers": {"x": "a\nb"}}, ValueError),
    ],
)
def test_a_wrong_argument_is_an_error_where_it_stands(
    path: Any, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        FileResponse(path, **arguments)


@both_kinds
def test_a_missing_file_is_the_handlers_error(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    response = connect(app_for(tmp_path / "nowhere.txt", kind)).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "nowhere.txt" in caplog.text


@pytest.mark.parametrize("what", ["directory", "device", "NUL"])
def test_only_a_regular_file_can_be_sent(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    path = {"directory": tmp_path, "device": Path(os.devnull), "NUL": tmp_path / "\0"}[what]
    assert connect(app_for(path)).get("/").status_code == 500


def test_a_fifo_is_not_waited_for(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client = connect(app_for(fifo))
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(client.get("/").status_code), daemon=True
    )
    thread.start()
    thread.join(PATIENCE)
    assert statuses == [500]
    assert "Not a regular file" in caplog.text


def test_the_applications_own_handler_answers_a_missing_file(
    connect: Connect, tmp_path: Path
) -> None:
    app = app_for(tmp_path / "nowhere.txt")
    app.exception_handler(FileNotFoundError)(lambda request, error: ("gone", 410))
    assert connect(app).get("/").status_code == 410


# --- Layers and exception handlers -------------------------------------------------------------


def layer_of(
    form: str,
    after: Callable[[Response], Response | None],
    before: Callable[[Request], Response | None] = lambda request: None,
) -> Callable[..., Any]:
    def generator(request: Request) -> Generator[None, Response, Any]:
        if (answer := before(request)) is not None:
            return answer
        return after((yield))

    async def asynchronous(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if (answer := before(request)) is not None:
            return answer
        response = await call_next(request)
        return after(response) or response

    return generator if form == "generator" else asynchronous


@both_forms
@both_kinds
def test_layers_see_what_will_be_sent(connect: Connect, large: Path, form: str, kind: str) -> None:
    seen = []
    app = app_for(large, kind)

    @app.get("/page")
    def page(request: Request) -> str:
        return "page"

    def look(response: Response) -> None:
        seen.append((response.status, response.headers.get("content-length")))
        response.headers["x-layer"] = "was here"

    app.middleware(layer_of(form, look))
    client = connect(app)
    etag = client.get("/").headers["etag"]
    for headers in ({"range": "bytes=5-"}, {"range": "bytes=5-9"}, {"if-none-match": etag}):
        assert client.get("/", headers=headers).headers["x-layer"] == "was here"
    assert client.get("/page").status_code == 200
    sizes = [(200, "2097152"), (206, "2097147"), (206, "5"), (304, None), (200, None)]
    assert seen == sizes


@both_forms
@pytest.mark.parametrize("name", ["hello.txt", "large.bin"])
def test_a_layer_may_answer_with_a_file_that_outer_layers_see(
    connect: Connect, hello: Path, large: Path, form: str, name: str
) -> None:
    seen = []
    app = app_of(lambda request: "never reached")
    file = FileResponse(hello.parent / name)
    app.middleware(layer_of("generator", lambda response: seen.append(response.status)))
    app.middleware(layer_of(form, lambda response: None, before=lambda request: file))
    client = connect(app)
    assert client.get("/").content == (HELLO if name == "hello.txt" else LARGE)
    assert client.get("/", headers={"range": "bytes=0-4"}).status_code == 206
    assert client.get("/", headers={"range": "bytes=9999999-"}).status_code == 416
    assert seen == [200, 206, 416]


@both_forms
def test_a_layer_may_put_a_file_in_the_place_of_another_answer(
    connect: Connect, hello: Path, large: Path, form: str, opened: list[Watched]
) -> None:
    app = app_for(large)
    app.middleware(layer_of(form, lambda response: FileResponse(hello)))
    assert connect(app).get("/").content == HELLO
    # The file that nobody will send is closed all the same.
    until("all files are closed", lambda: all(each.closed for each in opened))
    assert [each.closes for each in opened] == [1, 1]


@both_forms
def test_a_missing_file_of_a_layer_is_the_layers_error(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    app = app_of(lambda request: "hello")
    app.middleware(layer_of(form, lambda response: FileResponse(tmp_path / "nowhere.txt")))
    assert connect(app).get("/").status_code == 500
    assert "nowhere.txt" in caplog.text


@both_forms
def test_a_layer_may_wrap_the_stream(connect: Connect, large: Path, form: str) -> None:
    def wrap(response: Response) -> None:
        blocks: Any = response.iterator

        def louder() -> Iterator[bytes]:
            yield b"> "
            yield from blocks
            blocks.close()

        del response.headers["content-length"]
        response.iterator = louder()

    app = app_for(large)
    app.middleware(layer_of(form, wrap))
    assert connect(app).get("/").content == b"> " + LARGE


@pytest.mark.parametrize("layers", [False, True])
def test_a_response_that_is_kept_can_be_returned_again_and_again(
    connect: Connect, hello: Path, layers: bool
) -> None:
    kept = FileResponse(hello)
    before = kept.headers.multi_items()
    app = app_of(lambda request: kept)
    if layers:
        app.middleware(layer_of("generator", lambda response: response.set_cookie("a", "b")))
    client = connect(app)
    for _ in range(2):
        assert client.get("/", headers={"range": "bytes=0-1"}).content == HELLO[:2]
        assert client.get("/").content == HELLO
    assert (kept.status, kept.body, kept.iterator) == (200, b"", None)
    assert kept.headers.multi_items() == before


@both_kinds
def test_an_exception_handler_may_answer_with_a_file(
    connect: Connect, hello: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(lambda request: 1 / 0)

    def missing(request: Request, error: Exception) -> Response:
        return FileResponse(hello, status=404)

    async def broken(request: Request, error: Exception) -> Response:
        return FileResponse(hello, status=500)

    app.exception_handler(404)(missing)
    app.exception_handler(500 if kind == "def" else ZeroDivisionError)(broken)
    client = connect(app)
    response = client.get("/nowhere", headers={"range": "bytes=0-1"})
    assert (response.status_code, response.content) == (404, HELLO)
    response = client.get("/")
    assert (response.status_code, response.content) == (500, HELLO)


def test_a_missing_error_page_is_an_error_of_its_own(
    connect: Connect, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(lambda request: 1 / 0)
    app.exception_handler(500)(lambda request, error: FileResponse(tmp_path / "500.html"))
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "500.html" in caplog.text


@pytest.mark.parametrize("headers", [{}, {"if-none-match": "*"}, {"range": "bytes=99999999-"}])
@pytest.mark.parametrize("name", ["hello.txt", "large.bin"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_background_runs_once_however_a_file_was_answered(
    connect: Connect, hello: Path, large: Path, headers: dict[str, str], name: str, method: str
) -> None:
    runs: list[str] = []
    app = app_for(hello.parent / name, background=lambda: runs.append("run"))
    connect(app).request(method, "/", headers=headers)
    assert runs == ["run"]


# --- The open file -----------------------------------------------------------------------------


def test_a_stream_is_read_as_it_is_sent_and_its_file_closed(
    connect: Connect, large: Path, opened: list[Watched]
) -> None:
    response = connect(app_for(large)).get("/")
    assert response.content == LARGE
    (file,) = opened
    assert file.reads == BLOCKS
    assert (file.closed, file.closes) == (True, 1)


def test_an_abandoned_file_is_closed(connect: Connect, large: Path, opened: list[Watched]) -> None:
    with connect(app_for(large)).stream("GET", "/") as response:
        assert next(response.iter_raw(1000)) == LARGE[:1000]
        assert not opened[0].closed
    assert (opened[0].closed, opened[0].closes) == (True, 1)
    assert opened[0].reads < BLOCKS


def test_a_file_that_shrinks_breaks_the_transfer(
    connect: Connect, large: Path, opened: list[Watched]
) -> None:
    with connect(app_for(large)).stream("GET", "/") as response:
        chunks = response.iter_raw()
        next(chunks)
        os.truncate(large, file_body.BLOCK + 10)
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
    assert (opened[0].closed, opened[0].closes) == (True, 1)


def test_a_file_that_grows_is_sent_as_long_as_it_was(connect: Connect, large: Path) -> None:
    with connect(app_for(large)).stream("GET", "/") as response:
        chunks = response.iter_raw()
        first = next(chunks)
        with large.open("ab") as file:
            file.write(b"more")
        assert first + b"".join(chunks) == LARGE


def test_all_that_is_said_and_sent_is_of_one_file(connect: Connect, large: Path) -> None:
    other = large.with_name("other")
    other.write_bytes(b"another file")
    app = app_for(large)
    app.middleware(layer_of("generator", lambda response: os.replace(other, large)))
    response = connect(app).get("/")
    assert response.content == LARGE
    assert large.read_bytes() == b"another file"


def test_a_forgotten_body_closes_its_file(large: Path, opened: list[Watched]) -> None:
    file, info = file_body.open_regular(str(large))
    body = file_body.FileBody(file, str(large), info.st_size, range(10))
    del body
    assert file.closed


def test_a_body_gives_its_file_away_once(large: Path) -> None:
    file, info = file_body.open_regular(str(large))
    body = file_body.FileBody(file, str(large), info.st_size, range(10, 20))
    with body.detach() as taken:
        assert taken.tell() == 10
        body.close()
        assert not taken.closed
        assert list(body) == []
        with pytest.raises(ValueError, match="not open any more"):
            body.detach()


# --- Short cuts of servers -----------------------------------------------------------------


class Wrapper(FileWrapper):
    """A `wsgi.file_wrapper` that remembers what it was given."""

    made: list[Wrapper]

    def __init__(self, file: Any, size: int = 8192) -> None:
        super().__init__(file, size)
        self.file = file
        self.start = file.tell()
        self.made.append(self)


@pytest.fixture
def sends_files() -> Callable[[App], TestClient]:
    """A client through WSGI, of a server that sends files by itself."""
    Wrapper.made = []

    def connect(app: App) -> TestClient:
        def wrap(door: Any) -> Any:
            checked = CHECKERS["wsgi"](door)
            return lambda environ, start: checked({**environ, "wsgi.file_wrapper": Wrapper}, start)

        return TestClient(app, "wsgi", wrap=wrap)

    return connect


SendsFiles = Callable[[App], TestClient]


@both_kinds
@pytest.mark.parametrize(("wanted", "start"), [("", 0), ("bytes=700000-", 700000)])
def test_a_wsgi_server_may_send_the_file_itself(
    sends_files: SendsFiles, large: Path, opened: list[Watched], wanted: str, start: int, kind: str
) -> None:
    response = sends_files(app_for(large, kind)).get("/", headers={"range": wanted})
    assert response.content == LARGE[start:]
    assert [wrapper.start for wrapper in Wrapper.made] == [start]
    assert [(file.closed, file.closes) for file in opened] == [(True, 1)]


def test_a_wsgi_server_is_not_given_what_it_cannot_send_whole(
    sends_files: SendsFiles, hello: Path, large: Path, opened: list[Watched]
) -> None:
    runs: list[str] = []
    wrapped = app_for(large)
    wrapped.middleware(layer_of("generator", _wrap_iterator))
    later = app_for(large, background=lambda: runs.append("run"))

    def with_an_end(request: Request) -> Response:
        request.at_end(lambda: runs.append("end"))
        return FileResponse(large)

    for app, headers, content in [
        (app_for(large), {"range": "bytes=0-999999"}, LARGE[:1000000]),  # not to the end
        (app_for(hello), {}, HELLO),  # read already
        (wrapped, {}, LARGE),  # a layer reads it
        (later, {}, LARGE),  # something is to be done afterwards
        (app_of(with_an_end), {}, LARGE),
    ]:
        assert sends_files(app).get("/", headers=headers).content == content
    assert sends_files(app_for(large)).head("/").content == b""
    assert Wrapper.made == []
    assert runs == ["run", "end"]
    assert all(file.closed for file in opened)


def _wrap_iterator(response: Response) -> None:
    blocks: Any = response.iterator
    response.iterator = (block for block in blocks)


def asgi_call(app: App, headers: list[tuple[bytes, bytes]], method: str) -> list[dict[str, Any]]:
    """What an app answers a server that can send a file by its path."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "extensions": {"http.response.pathsend": {}},
        "http_version": "1.1",
        "method": method,
        "path": "/",
        "query_string": b"",
        "headers": headers,
    }
    sent: list[dict[str, Any]] = []

    async def talk() -> None:
        messages = iter([{"type": "http.request"}])

        async def receive() -> dict[str, Any]:
            for message in messages:
                return message
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async with asyncio.timeout(PATIENCE):
            await asgi_validator(app.asgi)(scope, receive, send)

    asyncio.run(talk())
    return sent


@both_kinds
def test_an_asgi_server_may_send_the_file_itself(
    large: Path, opened: list[Watched], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(large.parent)
    start, *rest = asgi_call(app_for(Path(large.name), kind), [], "GET")
    assert rest == [{"type": "http.response.pathsend", "path": str(large)}]
    assert (b"content-length", b"2097152") in start["headers"]
    assert [(file.reads, file.closes) for file in opened] == [(0, 1)]


@pytest.mark.parametrize(
    ("name", "headers", "method"),
    [
        ("large.bin", [(b"range", b"bytes=700000-")], "GET"),
        ("large.bin", [], "HEAD"),
        ("hello.txt", [], "GET"),
    ],
)
def test_an_asgi_server_is_not_given_what_it_cannot_send_whole(
    hello: Path, large: Path, name: str, headers: list[tuple[bytes, bytes]], method: str
) -> None:
    sent = asgi_call(app_for(hello.parent / name), headers, method)
    assert {message["type"] for message in sent} == {"http.response.start", "http.response.body"}


def test_an_asgi_server_is_not_given_what_a_layer_reads(large: Path) -> None:
    app = app_for(large)
    app.middleware(layer_of("generator", _wrap_iterator))
    sent = asgi_call(app, [], "GET")
    assert b"".join(message.get("body", b"") for message in sent) == LARGE


def test_background_runs_after_a_path_was_sent(large: Path) -> None:
    runs: list[str] = []
    asgi_call(app_for(large, background=lambda: runs.append("run")), [], "GET")
    assert runs == ["run"]


# --- Where it runs -------------------------------------------------------------------------


@both_forms
@both_kinds
def test_files_are_opened_where_plain_code_runs(
    protocol: Protocol,
    connect: Connect,
    hello: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    kind: str,
) -> None:
    threads: list[str] = []
    real = FileIO.__init__

    class Told(FileIO):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            threads.append(threading.current_thread().name)
            real(self, *args, **kwargs)

    monkeypatch.setattr(file_body, "FileIO", Told)
    app = app_for(hello, kind)
    app.middleware(layer_of(form, lambda response: None))
    assert connect(app).get("/").content == HELLO
    (name,) = threads
    if protocol == "wsgi":
        assert name == threading.current_thread().name
    else:
        assert name.startswith("microweb_")


def test_an_app_without_files_does_not_import_them() -> None:
    program = (
        "import sys\n"
        "from microweb import App\n"
        "app = App()\n"
        "app.get('/')(lambda request: iter(['hello']))\n"
        "from microweb.testing import TestClient\n"
        "for protocol in ('wsgi', 'asgi'):\n"
        "    assert TestClient(app, protocol).get('/').text == 'hello'\n"
        "for name in ('microweb.model.files', 'microweb.model.file_body', 'microweb.static'):\n"
        "    assert name not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)


# --- Real servers ----------------------------------------------------------------------------

TWENTY = 20 * 1024 * 1024
OF_ITSELF = ("gunicorn sync", "gunicorn gthread", "microweb wsgi")  # through wsgi.file_wrapper


@pytest.fixture(scope="module")
def download(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file larger than what sockets hold back."""
    file = tmp_path_factory.mktemp("download") / "twenty.bin"
    file.write_bytes(os.urandom(TWENTY))
    return file


@pytest.fixture(scope="module", params=DOORS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of this run's server."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def server(kind: str, download: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"FILES_APP_FILE": str(download)}
    folder = tmp_path_factory.mktemp("server")
    with serving(kind, f"tests.files_app:{DOORS[kind]}", folder, environment=environment) as server:
        yield server


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    headers = {"connection": "close"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE) as client:
        yield client


def test_a_download_arrives_as_it_left(http: httpx.Client, download: Path) -> None:
    response = http.get("/file")
    assert response.headers["content-length"] == str(TWENTY)
    assert response.content == download.read_bytes()


def test_a_download_is_resumed(http: httpx.Client, download: Path) -> None:
    with http.stream("GET", "/file") as response:
        begun = next(response.iter_raw(1_000_000))
        etag = response.headers["etag"]
    headers = {"range": f"bytes={len(begun)}-", "if-range": etag}
    rest = http.get("/file", headers=headers)
    assert rest.status_code == 206
    assert begun + rest.content == download.read_bytes()
    part = http.get("/file", headers={"range": "bytes=100-1999999"})
    assert part.content == download.read_bytes()[100:2_000_000]


def test_a_file_that_is_known_is_not_sent(http: httpx.Client) -> None:
    etag = http.head("/file").headers["etag"]
    response = http.get("/file", headers={"if-none-match": etag})
    assert (response.status_code, response.content) == (304, b"")


def test_a_client_that_leaves_does_not_keep_a_file_open(server: Server, http: httpx.Client) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /file HTTP/1.1\r\nHost: test\r\n\r\n")
        assert read_head(connection)[0] == 200
    until("it is closed", lambda: http.get("/open").json() == {"open": 0}, server.log)


def test_a_server_sends_files_itself_where_it_can(kind: str, http: httpx.Client) -> None:
    for _ in range(2):
        http.get("/file")
    answers = http.get("/answers").json()
    assert ("FileWrapper" in answers) == (kind in OF_ITSELF)
