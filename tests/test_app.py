"""App: what handlers return, how errors are answered, and the rules for bodies and headers."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator as wsgi_validator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    App,
    Converter,
    HTMLResponse,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Request,
    Response,
    Router,
    StreamingResponse,
)
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator
from .conftest import Connect, Protocol

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
OCTETS = "application/octet-stream"

Handler = Callable[..., Any]
DOORS: tuple[Protocol, Protocol] = ("wsgi", "asgi")


class Trouble(Exception):
    """An error of an application's own."""


class DeepTrouble(Trouble):
    """A more specific one."""


class Teapot(HTTPException):
    """An HTTPException of an application's own."""

    def __init__(self) -> None:
        super().__init__(418)


def handler_of(kind: str, answer: Callable[[], Any]) -> Handler:
    """A handler, plain or async, that gives what `answer()` gives."""

    def plain(request: Request) -> Any:
        return answer()

    async def asynchronous(request: Request) -> Any:
        await asyncio.sleep(0)
        return answer()

    return plain if kind == "def" else asynchronous


def app_of(answer: Callable[[], Any], kind: str = "def") -> App:
    """An app whose handler at / gives what `answer()` gives, on GET and POST."""
    app = App()
    app.route("/", methods=["GET", "POST"])(handler_of(kind, answer))
    return app


def raising(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == "microweb" and r.levelno >= logging.ERROR]


both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])


# --- What a handler returns -----------------------------------------------------------------


async def numbers() -> AsyncIterator[str]:
    yield "one "
    await asyncio.sleep(0)
    yield "two"


# what makes the value, status, Content-Type, body
VALUES: dict[str, tuple[Callable[[], Any], int, str | None, bytes]] = {
    "str": (lambda: "é", 200, TEXT, b"\xc3\xa9"),
    "empty str": (lambda: "", 200, TEXT, b""),
    "str with a lone surrogate": (lambda: "a\ud800b", 200, TEXT, b"a?b"),
    "bytes": (lambda: b"\x00\xff", 200, OCTETS, b"\x00\xff"),
    "dict": (lambda: {"é": [1, None]}, 200, JSON, '{"é":[1,null]}'.encode()),
    "empty dict": (dict, 200, JSON, b"{}"),
    "list": (lambda: [1, "two"], 200, JSON, b'[1,"two"]'),
    "empty list": (list, 200, JSON, b"[]"),
    "None": (lambda: None, 204, None, b""),
    "value and status": (lambda: ({"id": 7}, 201), 201, JSON, b'{"id":7}'),
    "value and HTTPStatus": (lambda: ("made", HTTPStatus.CREATED), 201, TEXT, b"made"),
    "None and status": (lambda: (None, 202), 202, OCTETS, b""),
    "None and 200": (lambda: (None, 200), 200, OCTETS, b""),
    "text and 204": (lambda: ("dropped", 204), 204, None, b""),
    "text and 304": (lambda: ("dropped", 304), 304, None, b""),
    "headers that name a type": (
        lambda: ("<p>", 200, {"Content-Type": "text/html"}),
        200,
        "text/html",
        b"<p>",
    ),
    "iterator": (lambda: iter(["é", b"\xff", ""]), 200, TEXT, b"\xc3\xa9\xff"),
    "empty iterator": (lambda: iter(()), 200, TEXT, b""),
    "generator": (lambda: (c for c in "abc"), 200, TEXT, b"abc"),
    "async generator": (numbers, 200, TEXT, b"one two"),
    "iterator and status": (lambda: (iter("ab"), 203), 203, TEXT, b"ab"),
    "Response": (lambda: Response(b"x", 203), 203, OCTETS, b"x"),
    "PlainTextResponse": (lambda: PlainTextResponse("é"), 200, TEXT, b"\xc3\xa9"),
    "HTMLResponse": (lambda: HTMLResponse("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
    "JSONResponse": (lambda: JSONResponse(None, 202), 202, JSON, b"null"),
    "RedirectResponse": (lambda: RedirectResponse("/é"), 302, TEXT, b""),
    "StreamingResponse": (
        lambda: StreamingResponse(["a", "b"], content_type="text/csv"),
        200,
        "text/csv",
        b"ab",
    ),
}


@both_kinds
@pytest.mark.parametrize("case", VALUES)
def test_each_kind_of_value_becomes_its_response(connect: Connect, kind: str, case: str) -> None:
    answer, status, content_type, body = VALUES[case]
    response = connect(app_of(answer, kind)).get("/")
    assert response.status_code == status
    assert response.headers.get("content-type") == content_type
    assert response.content == body


@pytest.mark.parametrize("case", VALUES)
def test_head_has_the_headers_of_get_and_no_body(connect: Connect, case: str) -> None:
    client = connect(app_of(VALUES[case][0]))
    get, head = client.get("/"), client.head("/")
    assert (head.status_code, head.headers) == (get.status_code, get.headers)
    assert head.content == b""


def test_content_length_counts_bytes(connect: Connect) -> None:
    assert connect(app_of(lambda: "é€")).get("/").headers["content-length"] == "5"


@pytest.mark.parametrize("case", ["None", "text and 204", "text and 304"])
def test_204_and_304_carry_neither_type_nor_length(connect: Connect, case: str) -> None:
    headers = connect(app_of(VALUES[case][0])).get("/").headers
    assert "content-type" not in headers
    assert "content-length" not in headers


@pytest.mark.parametrize("status", [204, 304])
def test_a_stream_with_a_status_without_body_is_closed_unread(
    connect: Connect, status: int
) -> None:
    events = []

    class Chunks(Iterator[str]):
        def __next__(self) -> str:
            events.append("read")
            return "x"

        def close(self) -> None:
            events.append("closed")

    response = connect(app_of(lambda: (Chunks(), status))).get("/")
    assert (response.status_code, response.content, events) == (status, b"", ["closed"])


def test_a_tuple_may_repeat_a_header_in_pairs(connect: Connect) -> None:
    pairs = [("X-Tag", "a"), ("x-tag", "b")]
    response = connect(app_of(lambda: ("", 200, pairs))).get("/")
    assert response.headers.get_list("x-tag") == ["a", "b"]


class Eventually:
    """What an async function gives, when a plain decorator forgets to await it."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "never"


# what a handler must not return -> a word that the log then has
WRONG_VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    "int": (lambda: 42, "int"),
    "bool": (lambda: True, "bool"),
    "float": (lambda: 1.5, "float"),
    "set": (lambda: {1}, "set"),
    "object": (object, "object"),
    "iterable that is no iterator": (lambda: range(3), "range"),
    "class": (lambda: Response, "type"),
    "awaitable": (Eventually, "await"),
    "empty tuple": (tuple, "tuple"),
    "tuple of one": (lambda: ("a",), "tuple"),
    "tuple of four": (lambda: ("a", 200, {}, 1), "tuple"),
    "status that is a str": (lambda: ("a", "200"), "tuple"),
    "status that is a bool": (lambda: ("a", True), "tuple"),
    "Response in a tuple": (lambda: (Response(), 201), "inside a tuple"),
    "tuple in a tuple": (lambda: (("a", 200), 201), "inside a tuple"),
    "wrong value in a tuple": (lambda: (42, 201), "int"),
}


@both_kinds
@pytest.mark.parametrize("case", WRONG_VALUES)
def test_anything_else_is_a_type_error_that_names_the_handler(
    connect: Connect, caplog: pytest.LogCaptureFixture, kind: str, case: str
) -> None:
    answer, word = WRONG_VALUES[case]
    response = connect(app_of(answer, kind)).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TypeError)
    message = str(record.exc_info[1])
    assert handler_of(kind, answer).__qualname__ in message
    assert "test_app.py" in message
    assert word in message


# values of the right kind with something wrong in them
BROKEN_VALUES: dict[str, Callable[[], Any]] = {
    "status out of range": lambda: ("a", 99),
    "informational status": lambda: ("a", 101),
    "header with a line break": lambda: ("a", 200, {"x-a": "b\r\nx-c: d"}),
    "header that is an int": lambda: ("a", 200, {"x-a": 1}),
    "hop-by-hop header": lambda: ("a", 200, {"Transfer-Encoding": "chunked"}),
    "what JSON cannot hold": lambda: {"a": object()},
    "NaN": lambda: [float("nan")],
}


@pytest.mark.parametrize("case", BROKEN_VALUES)
def test_a_broken_value_is_one_500_whose_log_names_the_handler(
    connect: Connect, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    response = connect(app_of(BROKEN_VALUES[case])).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert len(errors_in(caplog)) == 1
    assert "handler_of.<locals>.plain" in caplog.text


def test_a_stream_of_something_else_breaks_the_transfer(protocol: Protocol) -> None:
    app = app_of(lambda: iter(["a", 1]))
    with (
        TestClient(app, protocol, raise_server_exceptions=True) as client,
        pytest.raises(TypeError, match="int"),
    ):
        client.get("/")


def test_a_stream_that_fails_never_ends_cleanly(connect: Connect) -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        raise Trouble

    client = connect(app_of(chunks))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/")


# --- What a handler may be ------------------------------------------------------------------


class Greeter:
    """A callable object, and methods to be bound."""

    def __call__(self, request: Request, name: str) -> str:
        return f"called {name}"

    def plain(self, request: Request, name: str) -> str:
        return f"plain {name}"

    async def asynchronous(self, request: Request, name: str) -> str:
        await asyncio.sleep(0)
        return f"async {name}"

    def stream(self, request: Request, name: str) -> Iterator[str]:
        yield "stream "
        yield name

    async def async_stream(self, request: Request, name: str) -> AsyncIterator[str]:
        yield "async stream "
        await asyncio.sleep(0)
        yield name

    @classmethod
    def of_the_class(cls, request: Request, name: str) -> str:
        return f"class {name}"

    @staticmethod
    async def static(request: Request, name: str) -> str:
        await asyncio.sleep(0)
        return f"static {name}"


class AsyncGreeter:
    async def __call__(self, request: Request, name: str) -> str:
        await asyncio.sleep(0)
        return f"async called {name}"


class StreamGreeter:
    def __call__(self, request: Request, name: str) -> Iterator[str]:
        yield f"streamed {name}"


@dataclass
class DataGreeter:
    """A callable object that is compared by value, and therefore has no hash."""

    word: str

    def __call__(self, request: Request, name: str) -> str:
        return f"{self.word} {name}"


def greet(word: str, request: Request, name: str) -> str:
    return f"{word} {name}"


async def async_greet(word: str, request: Request, name: str) -> str:
    await asyncio.sleep(0)
    return f"{word} {name}"


def keywords(request: Request, **params: str) -> str:
    return f"keywords {params['name']}"


@functools.cache
def wrapped(request: Request, name: str) -> str:
    return f"wrapped {name}"


CALLABLES: list[tuple[Handler, str]] = [
    (Greeter(), "called you"),
    (Greeter().plain, "plain you"),
    (Greeter().asynchronous, "async you"),
    (Greeter().stream, "stream you"),
    (Greeter().async_stream, "async stream you"),
    (Greeter.of_the_class, "class you"),
    (Greeter.static, "static you"),
    (AsyncGreeter(), "async called you"),
    (StreamGreeter(), "streamed you"),
    (DataGreeter("data"), "data you"),
    (functools.partial(greet, "partial"), "partial you"),
    (functools.partial(async_greet, "async partial"), "async partial you"),
    (functools.partial(Greeter()), "called you"),
    (functools.partial(AsyncGreeter()), "async called you"),
    (functools.partial(Greeter().asynchronous), "async you"),
    (keywords, "keywords you"),
    (wrapped, "wrapped you"),
    (lambda request, name: f"lambda {name}", "lambda you"),
]


@pytest.mark.parametrize(("handler", "text"), CALLABLES)
def test_whatever_can_be_called_can_handle(connect: Connect, handler: Handler, text: str) -> None:
    app = App()
    app.get("/{name}")(handler)
    response = connect(app).get("/you")
    assert (response.status_code, response.text) == (200, text)


def test_two_handlers_that_compare_equal_stay_apart(connect: Connect) -> None:
    class Same:
        def __init__(self, text: str) -> None:
            self.text = text

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Same)

        def __hash__(self) -> int:
            return 0

        def __call__(self, request: Request) -> str:
            return self.text

    app = App()
    app.get("/a")(Same("a"))
    app.get("/b")(Same("b"))
    client = connect(app)
    assert (client.get("/a").text, client.get("/b").text) == ("a", "b")


def test_one_function_may_serve_several_routes(connect: Connect) -> None:
    app = App()

    @app.get("/a")
    @app.post("/b", name="other")
    def show(request: Request) -> str:
        return request.method

    client = connect(app)
    assert (client.get("/a").text, client.post("/b").text) == ("GET", "POST")
    assert (app.url_path_for("show"), app.url_path_for("other")) == ("/a", "/b")


def test_every_decorator_gives_the_function_back() -> None:
    app = App()

    def handler(request: Request) -> None: ...

    def layer(request: Request) -> Iterator[None]:
        yield

    def on_error(request: Request, error: Exception) -> str:
        return ""

    def life(app: App) -> Iterator[None]:
        yield

    for register in (app.get, app.post, app.put, app.patch, app.delete):
        assert register("/")(handler) is handler
    assert app.route("/r", methods=["GET"])(handler) is handler
    assert app.middleware(layer) is layer
    assert app.exception_handler(404)(on_error) is on_error
    assert app.lifespan(life) is life


def test_a_route_added_after_the_first_request_is_served(connect: Connect) -> None:
    app = App()
    client = connect(app)
    assert client.get("/late").status_code == 404
    app.get("/late")(lambda request: "here")
    assert client.get("/late").text == "here"


def test_a_handler_is_not_called_for_another_method(connect: Connect) -> None:
    called = []
    app = App()
    app.post("/")(lambda request: called.append("POST"))
    assert connect(app).get("/").status_code == 405
    assert called == []


# --- Errors ---------------------------------------------------------------------------------


@both_kinds
def test_an_http_exception_becomes_its_response(connect: Connect, kind: str) -> None:
    error = HTTPException(403, "<b>No</b> é", {"X-Why": "because"})
    response = connect(app_of(raising(error), kind)).get("/")
    assert (response.status_code, response.text) == (403, "<b>No</b> é")
    assert response.headers["content-type"] == TEXT
    assert response.headers["x-why"] == "because"


@pytest.mark.parametrize(
    ("status", "text"), [(404, "Not Found"), (503, "Service Unavailable"), (499, "Error")]
)
def test_without_a_detail_the_phrase_of_the_status_is_shown(
    connect: Connect, status: int, text: str
) -> None:
    response = connect(app_of(raising(HTTPException(status)))).get("/")
    assert (response.status_code, response.text) == (status, text)


def test_an_empty_detail_stays_empty(connect: Connect) -> None:
    response = connect(app_of(raising(HTTPException(400, "")))).get("/")
    assert (response.status_code, response.content) == (400, b"")


def test_an_http_exception_can_be_made_of_an_http_status(connect: Connect) -> None:
    app = app_of(raising(HTTPException(HTTPStatus.CONFLICT)))
    app.exception_handler(HTTPStatus.CONFLICT)(lambda request, error: f"{error.status} here")
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (409, "409 here")


@pytest.mark.parametrize("status", [100, 200, 204, 299, 600, 0, -1])
def test_success_is_not_raised(status: int) -> None:
    with pytest.raises(ValueError, match="300 to 599"):
        HTTPException(status)


def test_an_http_exception_of_304_has_no_body(connect: Connect) -> None:
    error = HTTPException(304, "dropped", {"etag": '"a"'})
    response = connect(app_of(raising(error))).get("/")
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == '"a"'


def test_expected_errors_are_not_logged_as_errors(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(app_of(raising(HTTPException(503))))
    assert [client.get(path).status_code for path in ("/", "/missing")] == [503, 404]
    assert client.put("/").status_code == 405
    assert errors_in(caplog) == []


@both_kinds
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unexpected_error_is_one_plain_500_and_one_log_entry_with_its_traceback(
    connect: Connect, caplog: pytest.LogCaptureFixture, kind: str, method: str
) -> None:
    secret = "the password is swordfish"
    response = connect(app_of(raising(Trouble(secret)), kind)).request(method, "/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert response.headers["content-type"] == TEXT
    (record,) = errors_in(caplog)
    assert record.getMessage().startswith(f"{method} '/'")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Trouble)
    assert "in answer" in caplog.text
    assert secret in caplog.text


def test_the_path_in_the_log_cannot_forge_a_line(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    app.get("/{rest:path}")(lambda request, rest: 1 / 0)
    assert connect(app).get("/a%0D%0ACRITICAL%1B%5B31m%00").status_code == 500
    (record,) = errors_in(caplog)
    assert not re.search(r"[\x00-\x1f]", record.getMessage())
    assert "CRITICAL" in record.getMessage()


def test_after_an_unexpected_error_the_next_request_is_served(connect: Connect) -> None:
    app = app_of(raising(Trouble()))
    app.get("/fine")(lambda request: "fine")
    client = connect(app)
    assert [client.get(path).status_code for path in ("/", "/fine", "/")] == [500, 200, 500]


def test_stop_iteration_in_a_handler_is_an_unexpected_error(connect: Connect) -> None:
    client = connect(app_of(raising(StopIteration("value"))))
    assert client.get("/").status_code == 500


def test_head_of_an_unexpected_error_has_no_body(connect: Connect) -> None:
    response = connect(app_of(raising(Trouble()))).head("/")
    assert (response.status_code, response.content) == (500, b"")
    assert response.headers["content-length"] == str(len("Internal Server Error"))


@pytest.mark.parametrize(
    ("accept", "shown"),
    [("text/html", "&lt;script&gt;alert(1)"), ("*/*", "<script>alert(1)")],
)
def test_debug_shows_the_traceback_as_html_where_that_is_asked_for(
    connect: Connect, accept: str, shown: str
) -> None:
    app = App(debug=True)
    app.get("/")(handler_of("def", raising(Trouble("<script>alert(1)</script>"))))
    response = connect(app).get("/", headers={"accept": accept})
    assert response.status_code == 500
    assert response.headers["content-type"].startswith("text/html") == (accept == "text/html")
    assert "Trouble" in response.text
    assert "test_app.py" in response.text
    assert shown in response.text
    assert ("<script>alert(1)" in response.text) == (accept != "text/html")


def test_debug_leaves_expected_errors_as_they_are(connect: Connect) -> None:
    response = connect(App(debug=True)).get("/missing")
    assert (response.status_code, response.text) == (404, "Not Found")


# --- Exception handlers ---------------------------------------------------------------------


@both_kinds
def test_an_exception_handler_by_status_answers_what_was_raised(
    connect: Connect, kind: str
) -> None:
    app = app_of(raising(HTTPException(404, "no such thing")), kind)

    @app.exception_handler(404)
    def missing(request: Request, error: HTTPException) -> str:
        return f"{request.path} {error.status} {error.detail}"

    client = connect(app)
    response = client.get("/")
    assert (response.status_code, response.text) == (404, "/ 404 no such thing")
    assert client.get("/nowhere").text == "/nowhere 404 Not Found"


@both_kinds
@pytest.mark.parametrize("way", ["def", "async def"])
def test_an_exception_handler_by_class_answers_500_unless_it_says_otherwise(
    connect: Connect, kind: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(raising(Trouble("sorry")), kind)

    def plain(request: Request, error: Trouble) -> dict[str, str]:
        return {"error": str(error)}

    async def asynchronous(request: Request, error: Trouble) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"error": str(error)}

    app.exception_handler(Trouble)(plain if way == "def" else asynchronous)
    response = connect(app).get("/")
    assert (response.status_code, response.json()) == (500, {"error": "sorry"})
    assert errors_in(caplog) == []


# what an exception handler for 409 returns -> status and body
HANDLED: list[tuple[Callable[[], Any], int, bytes]] = [
    (lambda: "text", 409, b"text"),
    (lambda: b"bytes", 409, b"bytes"),
    (lambda: {"a": 1}, 409, b'{"a":1}'),
    (lambda: None, 409, b""),
    (lambda: iter(["a", "b"]), 409, b"ab"),
    (lambda: ("text", 410), 410, b"text"),
    (lambda: ("text", 200), 200, b"text"),
    (lambda: Response(b"own"), 200, b"own"),
    (lambda: HTMLResponse("own", 411), 411, b"own"),
]


@pytest.mark.parametrize(("answer", "status", "body"), HANDLED)
def test_an_exception_handler_returns_what_any_handler_may(
    connect: Connect, answer: Callable[[], Any], status: int, body: bytes
) -> None:
    app = app_of(raising(HTTPException(409)))
    app.exception_handler(409)(lambda request, error: answer())
    response = connect(app).get("/")
    assert (response.status_code, response.content) == (status, body)


# what there are handlers for, what is raised -> who answers
SPECIFIC: list[tuple[list[Any], Exception, str]] = [
    ([Trouble, DeepTrouble], DeepTrouble(), "DeepTrouble"),
    ([DeepTrouble, Trouble], DeepTrouble(), "DeepTrouble"),
    ([DeepTrouble, Trouble], Trouble(), "Trouble"),
    ([Trouble], DeepTrouble(), "Trouble"),
    ([Exception, Trouble], DeepTrouble(), "Trouble"),
    ([Exception, LookupError], KeyError(), "LookupError"),
    ([Exception], KeyError(), "Exception"),
    ([500], KeyError(), "500"),
    ([500, KeyError], KeyError(), "KeyError"),
    ([HTTPException, 404], HTTPException(404), "404"),
    ([HTTPException, 404], HTTPException(403), "HTTPException"),
    ([HTTPException, Teapot], Teapot(), "Teapot"),
    ([Teapot, 418], Teapot(), "418"),
    ([Exception, HTTPException], HTTPException(500), "HTTPException"),
    ([Exception, 500], HTTPException(500), "500"),
]


def answering(text: str) -> Callable[[Request, Exception], str]:
    """An exception handler that answers this text."""
    return lambda request, error: text


@pytest.mark.parametrize(("handled", "error", "who"), SPECIFIC)
def test_the_most_specific_exception_handler_wins(
    connect: Connect, handled: list[Any], error: Exception, who: str
) -> None:
    app = app_of(raising(error))
    for what in handled:
        name = str(getattr(what, "__name__", what))
        app.exception_handler(what)(answering(name))
    assert connect(app).get("/").text == who


def test_the_last_resort_leaves_expected_errors_alone(connect: Connect) -> None:
    app = App()
    app.exception_handler(Exception)(lambda request, error: "last resort")
    assert connect(app).get("/missing").text == "Not Found"


@pytest.mark.parametrize("what", [500, Exception])
@both_kinds
def test_the_last_resort_is_logged_all_the_same(
    connect: Connect, caplog: pytest.LogCaptureFixture, what: Any, kind: str
) -> None:
    app = app_of(raising(Trouble()), kind)
    app.exception_handler(what)(lambda request, error: f"sorry for {type(error).__name__}")
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (500, "sorry for Trouble")
    assert len(errors_in(caplog)) == 1


@pytest.mark.parametrize("what", [500, Exception])
def test_the_last_resort_stands_outside_the_layers(connect: Connect, what: Any) -> None:
    seen: list[str | int] = []
    app = app_of(raising(Trouble()))

    @app.middleware
    def watch(request: Request) -> Generator[None, Response, None]:
        try:
            response = yield
        except Exception as error:
            seen.append(repr(error))
            raise
        seen.append(response.status)

    app.exception_handler(what)(lambda request, error: "sorry")
    assert connect(app).get("/").text == "sorry"
    assert seen == ["Trouble()"]


def test_other_exception_handlers_stand_inside_the_layers(connect: Connect) -> None:
    seen = []
    app = app_of(raising(Trouble()))

    @app.middleware
    def watch(request: Request) -> Generator[None, Response, None]:
        response = yield
        seen.append(response.status)

    app.exception_handler(Trouble)(lambda request, error: ("sorry", 409))
    assert connect(app).get("/").text == "sorry"
    assert seen == [409]


def passing(request: Request) -> Iterator[None]:
    """A layer that changes nothing."""
    yield


async def async_passing(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """A layer that changes nothing."""
    return await call_next(request)


any_layers = pytest.mark.parametrize(
    "layers",
    [[], [passing], [async_passing], [passing, async_passing, passing]],
    ids=["no layers", "a generator", "an async layer", "three layers"],
)


@any_layers
@both_kinds
@pytest.mark.parametrize("what", [Trouble, 404, Exception])
def test_a_failing_exception_handler_is_called_once_and_ends_in_one_plain_500(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    layers: list[Any],
    kind: str,
    what: Any,
) -> None:
    calls = []
    app = app_of(raising(HTTPException(404) if what == 404 else Trouble()))

    def fail() -> None:
        calls.append("called")
        raise DeepTrouble("the handler's own")

    handler = handler_of(kind, fail)
    if kind == "def":
        app.exception_handler(what)(lambda request, error: handler(request))
    else:

        @app.exception_handler(what)
        async def handle(request: Request, error: Exception) -> None:
            await handler(request)

    for layer in layers:
        app.middleware(layer)
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert calls == ["called"]
    assert "the handler's own" in caplog.text


@any_layers
def test_an_http_exception_out_of_an_exception_handler_is_the_same_behind_any_layers(
    connect: Connect, layers: list[Any]
) -> None:
    app = app_of(raising(Trouble()))

    @app.exception_handler(Trouble)
    def translate(request: Request, error: Trouble) -> str:
        raise HTTPException(409, "translated") from error

    for layer in layers:
        app.middleware(layer)
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (409, "translated")


def test_an_exception_handler_that_returns_something_else_is_named_in_the_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.exception_handler(404)
    def wrong(request: Request, error: HTTPException) -> int:
        return 42

    assert connect(app).get("/missing").status_code == 500
    assert "wrong" in caplog.text
    assert "int" in caplog.text


def test_a_failing_last_resort_logs_both_errors(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(raising(Trouble("first")))

    @app.exception_handler(Exception)
    def helpless(request: Request, error: Exception) -> str:
        raise DeepTrouble("second")

    response = connect(app).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "first" in caplog.text
    assert "second" in caplog.text
    assert "helpless" in caplog.text


def test_a_custom_405_keeps_allow(connect: Connect) -> None:
    app = app_of(lambda: "")
    app.exception_handler(405)(lambda request, error: HTMLResponse("not like this", 405))
    response = connect(app).delete("/")
    assert (response.status_code, response.text) == (405, "not like this")
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_custom_page_keeps_every_header_of_the_error_and_its_own(connect: Connect) -> None:
    challenges = [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Bearer"), ("x-a", "error")]
    app = app_of(raising(HTTPException(401, headers=challenges)))
    app.exception_handler(401)(lambda request, error: ("log in", 401, {"x-a": "page"}))
    response = connect(app).get("/")
    assert response.headers.get_list("www-authenticate") == ["Basic", "Bearer"]
    assert response.headers.get_list("x-a") == ["page"]


def test_an_exception_handler_serves_several_statuses_and_classes(connect: Connect) -> None:
    app = app_of(raising(Trouble()))

    @app.exception_handler(404)
    @app.exception_handler(405)
    @app.exception_handler(Trouble)
    def sorry(request: Request, error: Exception) -> str:
        return "sorry"

    client = connect(app)
    responses = [client.get("/"), client.get("/missing"), client.delete("/")]
    assert [(r.status_code, r.text) for r in responses] == [
        (500, "sorry"),
        (404, "sorry"),
        (405, "sorry"),
    ]


@pytest.mark.parametrize("what", [True, 200, 299, 600, "404", BaseException, int, None, Trouble()])
def test_an_exception_handler_is_for_a_status_or_a_class(what: Any) -> None:
    with pytest.raises(TypeError, match="exception_handler"):
        App().exception_handler(what)


def test_two_exception_handlers_for_one_thing_are_refused_naming_both() -> None:
    app = App()

    def first(request: Request, error: Exception) -> str:
        return ""

    def second(request: Request, error: Exception) -> str:
        return ""

    app.exception_handler(404)(first)
    with pytest.raises(ValueError, match=r"404.*second.*first"):
        app.exception_handler(404)(second)


def test_a_callable_object_without_a_hash_handles_errors(connect: Connect) -> None:
    @dataclass
    class Page:
        text: str

        def __call__(self, request: Request, error: Exception) -> str:
            return self.text

    app = App()
    app.exception_handler(404)(Page("lost"))
    assert connect(app).get("/missing").text == "lost"


# --- The App itself -------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [({}, lambda *_: None), ({}, None, None), ()])
def test_calling_the_app_itself_names_the_two_doors(arguments: Any) -> None:
    with pytest.raises(TypeError, match=r"(?s)\.wsgi.*\.asgi"):
        App()(*arguments)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"threads": 0}, "threads"),
        ({"threads": -1}, "threads"),
        ({"max_body_size": -1}, "max_body_size"),
        ({"converters": {"int": Converter("[0-9]", int)}}, "int"),
    ],
)
def test_a_wrong_argument_of_app_is_named(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        App(**arguments)


def test_app_takes_its_arguments_by_name_only() -> None:
    with pytest.raises(TypeError):
        App(True)  # type: ignore[call-arg]


def test_app_takes_converters_of_ones_own(connect: Connect) -> None:
    app = App(converters={"hex": Converter("[0-9a-f]+", lambda text: int(text, 16), "{:x}".format)})
    app.get("/{n:hex}", name="n")(lambda request, n: str(n))
    client = connect(app)
    assert client.get("/ff").text == "255"
    assert client.get("/fg").status_code == 404
    assert app.url_path_for("n", n=255) == "/ff"


def test_an_app_cannot_be_mounted() -> None:
    with pytest.raises(TypeError, match="Router"):
        App().mount("/inner", App())


def test_the_doors_are_the_same_object_each_time() -> None:
    app = App()
    assert app.wsgi is app.wsgi
    assert app.asgi is app.asgi


def test_app_state_is_seen_by_handlers_and_kept(connect: Connect) -> None:
    app = App()
    app.state.count = 0

    @app.get("/")
    def count(request: Request) -> str:
        request.app.state.count += 1
        return str(app.state.count)

    client = connect(app)
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]


def test_two_apps_share_nothing(connect: Connect) -> None:
    one, two = App(), App()
    one.state.name = "one"
    one.get("/")(lambda request: "one")
    one.exception_handler(404)(lambda request, error: "one's own")
    one.middleware(passing)
    assert not hasattr(two.state, "name")
    assert connect(two).get("/").text == "Not Found"
    assert connect(one).get("/missing").text == "one's own"


def test_one_app_serves_through_both_doors_at_once() -> None:
    app = App()
    app.get("/")(lambda request: request.protocol)
    with (
        TestClient(app, "wsgi", wrap=wsgi_validator) as wsgi,
        TestClient(app, "asgi", wrap=asgi_validator) as asgi,
    ):
        texts = [client.get("/").text for client in (wsgi, asgi, wsgi)]
    assert texts == ["wsgi", "asgi", "wsgi"]


# --- Shared responses and headers -----------------------------------------------------------


@pytest.mark.parametrize(
    "shared",
    [
        Response(b"x"),
        PlainTextResponse("missing", 404),
        JSONResponse({"a": 1}, headers={"X-A": "b"}),
        Response(b"dropped", 204),
        RedirectResponse("/there"),
    ],
)
@any_layers
def test_a_shared_response_is_the_same_each_time(
    connect: Connect, shared: Response, layers: list[Any]
) -> None:
    app = app_of(lambda: shared)
    for layer in layers:
        app.middleware(layer)
    client = connect(app)
    before = (shared.status, shared.body, shared.headers.multi_items())
    first, head, second = client.get("/"), client.head("/"), client.get("/")
    assert (first.status_code, first.headers) == (second.status_code, second.headers)
    assert head.headers == first.headers
    assert first.content == second.content
    assert (shared.status, shared.body, shared.headers.multi_items()) == before


def test_a_shared_response_of_an_exception_handler_keeps_nothing_of_one_error(
    connect: Connect,
) -> None:
    shared = PlainTextResponse("not like this", 405)
    app = App()
    app.get("/a")(lambda request: "")
    app.post("/b")(lambda request: "")
    app.exception_handler(405)(lambda request, error: shared)
    client = connect(app)
    assert client.delete("/a").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.delete("/b").headers["allow"] == "OPTIONS, POST"
    assert "allow" not in shared.headers


def test_the_responses_of_one_shared_http_exception_are_separate(connect: Connect) -> None:
    app = app_of(raising(HTTPException(403, headers={"x-a": "b"})))

    @app.middleware
    def mark(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.set_cookie("user", request.query.get("user", "nobody"))

    client = connect(app)
    client.get("/?user=ada")
    assert client.get("/").headers.get_list("set-cookie") == ["user=nobody; Path=/; SameSite=Lax"]


# a header that cannot be set -> the error, and a word of its message
BAD_HEADERS: list[tuple[str, Any, type[Exception], str]] = [
    ("x-a", "b\r\nSet-Cookie: c=d", ValueError, "control"),
    ("x-a", "b\nc", ValueError, "control"),
    ("x-a", "b\x00", ValueError, "control"),
    ("x-a", "b\x7f", ValueError, "control"),
    ("x-a", "snow \u2603", ValueError, "Latin-1"),
    ("x a", "b", ValueError, "token"),
    ("x-a\r\n", "b", ValueError, "token"),
    ("x-é", "b", ValueError, "token"),
    ("", "b", ValueError, "token"),
    ("x-a:", "b", ValueError, "token"),
    ("x-a", 1, TypeError, "str"),
    ("x-a", None, TypeError, "str"),
    ("x-a", b"bytes", TypeError, "str"),
    *[
        (name, "x", ValueError, "hop-by-hop")
        for name in (
            "Connection",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
        )
    ],
]

WAYS_TO_SET: dict[str, Callable[[str, Any], object]] = {
    "Response(headers=mapping)": lambda name, value: Response(headers={name: value}),
    "Response(headers=pairs)": lambda name, value: Response(headers=[(name, value)]),
    "response.headers[]": lambda name, value: Response().headers.update({name: value}),
    "response.headers.add": lambda name, value: Response().headers.add(name, value),
    "response.headers.setdefault": lambda name, value: Response().headers.setdefault(name, value),
    "HTTPException(headers=...)": lambda name, value: HTTPException(400, headers={name: value}),
}


@pytest.mark.parametrize("way", WAYS_TO_SET)
@pytest.mark.parametrize(("name", "value", "error", "word"), BAD_HEADERS)
def test_headers_are_checked_where_they_are_set(
    way: str, name: str, value: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        WAYS_TO_SET[way](name, value)


@pytest.mark.parametrize("value", ["text/plain\r\nx-a: b", "text/\u2603"])
def test_a_content_type_is_checked_where_it_is_set(value: str) -> None:
    with pytest.raises(ValueError, match="content-type"):
        Response(content_type=value)
    with pytest.raises(ValueError, match="content-type"):
        Response().content_type = value


def test_header_names_leave_in_lower_case_and_values_in_latin_1(protocol: Protocol) -> None:
    app = app_of(lambda: ("", 200, {"X-Cafe": "café"}))
    with TestClient(app, protocol) as client:
        raw = dict(client.get("/").headers.raw)
    assert raw[b"x-cafe"].decode("latin-1") == "café"


@pytest.mark.parametrize("status", [99, 100, 199, 600, 1000, True, "200", None])
def test_a_status_is_checked_where_it_is_set(status: Any) -> None:
    with pytest.raises(ValueError, match="status"):
        Response(status=status)


# --- Bodies ---------------------------------------------------------------------------------


def echo_app(**arguments: Any) -> App:
    app = App(**arguments)
    calls: list[str] = []
    app.state.calls = calls

    @app.route("/", methods=["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
    def echo(request: Request) -> bytes:
        calls.append(request.method)
        return request.body

    @app.route("/async", methods=["GET", "POST"])
    async def async_echo(request: Request) -> bytes:
        await asyncio.sleep(0)
        calls.append(request.method)
        return request.body

    return app


echo_paths = pytest.mark.parametrize("path", ["/", "/async"])


class Upload(Iterator[bytes]):
    """A body sent in pieces; it counts the bytes that were taken."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.taken = 0

    def __next__(self) -> bytes:
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        self.taken += len(piece)
        return piece


@echo_paths
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_body_has_arrived_before_the_handler_runs(
    connect: Connect, path: str, method: str
) -> None:
    if path == "/async":
        method = "POST"
    client = connect(echo_app())
    assert client.request(method, path, content=b"\x00 body \xff").content == b"\x00 body \xff"
    assert client.request(method, path).content == b""
    assert client.request(method, path, content=Upload(b"a", b"", b"bc")).content == b"abc"


@echo_paths
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_on_get_and_head_is_ignored(connect: Connect, path: str, method: str) -> None:
    app = echo_app(max_body_size=3)
    upload = Upload(b"more than three bytes")
    response = connect(app).request(method, path, content=upload)
    assert (response.status_code, response.content, upload.taken) == (200, b"", 0)


@echo_paths
def test_a_body_of_just_the_limit_is_taken(connect: Connect, path: str) -> None:
    client = connect(echo_app(max_body_size=5))
    assert client.post(path, content=b"12345").content == b"12345"
    assert client.post(path, content=Upload(b"123", b"45")).content == b"12345"


def test_a_limit_of_nothing_takes_an_empty_body(connect: Connect) -> None:
    client = connect(echo_app(max_body_size=0))
    assert client.post("/").status_code == 200
    assert client.post("/", content=b"1").status_code == 413


@echo_paths
@pytest.mark.parametrize("length", ["6", "000006", "9" * 20, "9" * 5000])
def test_a_content_length_over_the_limit_is_413_before_anything_is_read(
    protocol: Protocol, path: str, length: str
) -> None:
    app = echo_app(max_body_size=5)
    upload = Upload(b"123", b"456")
    with TestClient(app, protocol) as client:  # wsgiref.validate cannot read 5,000 digits
        response = client.post(path, content=upload, headers={"content-length": length})
    assert response.status_code == 413
    assert upload.taken == 0
    assert app.state.calls == []


@echo_paths
def test_bytes_received_over_the_limit_are_413_and_no_more_of_them_are_read(
    connect: Connect, path: str
) -> None:
    app = echo_app(max_body_size=5)
    upload = Upload(*[b"x" * 100_000] * 20)
    response = connect(app).post(path, content=upload)
    assert response.status_code == 413
    assert "5" in response.text
    assert upload.taken <= 200_000
    assert app.state.calls == []


JUNK_LENGTHS = ["x", "-1", "+5", "5.0", "0x5", "1_0", "5,5", "5 5", "1e1", "\xb2", "\xbd"]


@echo_paths
@pytest.mark.parametrize("length", JUNK_LENGTHS)
def test_a_content_length_that_is_no_number_is_400(
    protocol: Protocol, path: str, length: str
) -> None:
    app = echo_app()
    with TestClient(app, protocol) as client:  # wsgiref.validate would take it for its own fault
        response = client.post(
            path, content=b"12345", headers={b"content-length": length.encode("latin-1")}
        )
    assert response.status_code == 400
    assert "Content-Length" in response.text
    assert app.state.calls == []


@given(
    length=st.text(st.sampled_from("0123456789+-_.,xe \t\xa0\xb2\xbd"))
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF))
)
def test_no_content_length_that_a_client_can_send_is_a_5xx(length: str) -> None:
    app = echo_app()
    sent = length.strip(" \t").encode("latin-1")
    for door in DOORS:
        with TestClient(app, door) as client:
            response = client.post("/", content=b"12345", headers={b"content-length": sent})
        assert response.status_code < 500
        if not re.fullmatch(rb"[0-9]*", sent):
            assert response.status_code == 400


def test_the_body_rules_are_answered_by_exception_handlers_too(connect: Connect) -> None:
    app = echo_app(max_body_size=5)
    app.exception_handler(413)(lambda request, error: f"my own {error.status}")
    response = connect(app).post("/", content=b"123456")
    assert (response.status_code, response.text) == (413, "my own 413")


def test_the_body_is_not_read_where_no_route_wants_it(connect: Connect) -> None:
    app = echo_app(max_body_size=5)
    client = connect(app)
    for method, path, status in [
        ("POST", "/no", 404),
        ("PATCH", "/", 405),
        ("POST", "/async/", 308),
    ]:
        upload = Upload(b"123456")
        response = client.request(method, path, content=upload, follow_redirects=False)
        assert (response.status_code, upload.taken) == (status, 0)


@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff", b"NaN", b"[" * 100_000, b"1" * 5000, b'"\x01"', b"{'a': 1}"]
)
def test_a_body_that_is_no_json_is_400_with_a_sentence(connect: Connect, body: bytes) -> None:
    app = App()
    app.post("/")(lambda request: {"got": request.json()})
    response = connect(app).post("/", content=body)
    assert response.status_code == 400
    assert "JSON" in response.text


def call_wsgi(app: App, body: bytes = b"", **environ: Any) -> tuple[str, bytes]:
    """The status and the body that `app.wsgi` gives for an environ of one's own."""
    environ["SCRIPT_NAME"] = ""
    setup_testing_defaults(environ)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["QUERY_STRING"] = ""
    answer: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        answer.append(status)

    iterable = wsgi_validator(app.wsgi)(environ, start_response)
    content = b"".join(iterable)
    iterable.close()  # type: ignore[attr-defined]
    return answer[0], content


@echo_paths
def test_a_wsgi_body_without_length_or_marked_end_is_411(path: str) -> None:
    app = echo_app()
    status, _ = call_wsgi(
        app,
        b"abc",
        REQUEST_METHOD="POST",
        PATH_INFO=path,
        HTTP_TRANSFER_ENCODING="chunked",
    )
    assert status == "411 Length Required"
    assert app.state.calls == []


@echo_paths
def test_a_wsgi_body_without_length_is_read_where_its_end_is_marked(path: str) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "wsgi.input_terminated": True}
    chunked = {**environ, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert call_wsgi(echo_app(), b"abc", **environ) == ("200 OK", b"abc")
    assert call_wsgi(echo_app(), b"abc", **chunked) == ("200 OK", b"abc")


@pytest.mark.parametrize("length", [{}, {"CONTENT_LENGTH": ""}])
def test_a_wsgi_request_with_neither_length_nor_coding_has_no_body(length: dict[str, str]) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", **length}
    assert call_wsgi(echo_app(), b"the next request", **environ) == ("200 OK", b"")


def test_a_wsgi_get_with_an_unmarked_chunked_body_is_served() -> None:
    environ = {"PATH_INFO": "/", "HTTP_TRANSFER_ENCODING": "chunked"}
    assert call_wsgi(echo_app(), b"abc", **environ) == ("200 OK", b"")


@echo_paths
def test_a_wsgi_body_is_never_read_past_its_length(path: str) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "CONTENT_LENGTH": "3"}
    assert call_wsgi(echo_app(), b"abcGET / HTTP/1.1", **environ) == ("200 OK", b"abc")


@echo_paths
def test_a_wsgi_body_that_ends_early_reaches_no_handler(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = echo_app()
    status, _ = call_wsgi(app, b"abc", REQUEST_METHOD="POST", PATH_INFO=path, CONTENT_LENGTH="4")
    assert status == "400 Bad Request"
    assert app.state.calls == []
    assert errors_in(caplog) == []


# --- Parts ----------------------------------------------------------------------------------


def test_a_mounted_router_shares_layers_and_exception_handlers(connect: Connect) -> None:
    app, admin = App(), Router()

    @admin.get("/users/{id:int}")
    def user(request: Request, id: int) -> str:  # noqa: A002
        raise Trouble(f"user {id} for {request.state.who}")

    @app.middleware
    def who(request: Request) -> Iterator[None]:
        request.state.who = "ada"
        yield

    app.exception_handler(Trouble)(lambda request, error: (str(error), 409))
    app.mount("/admin", admin)
    response = connect(app).get("/admin/users/7")
    assert (response.status_code, response.text) == (409, "user 7 for ada")
