"""Middleware: both forms of layer, what they see, what they may do, and in which order."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    App,
    HTTPException,
    PlainTextResponse,
    RedirectResponse,
    Request,
    Response,
    StreamingResponse,
)
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator
from .conftest import CHECKERS, Connect, Protocol

CallNext = Callable[[Request], Awaitable[Response]]
Layer = Callable[..., Any]

DOORS: tuple[Protocol, Protocol] = ("wsgi", "asgi")
FORMS = ("generator", "async")
both_forms = pytest.mark.parametrize("form", FORMS)
both_kinds = pytest.mark.parametrize("kind", ["def", "async def"])


class Trouble(Exception):
    """An error of an application's own."""


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == "microweb" and r.levelno >= logging.ERROR]


def layer_of(
    form: str,
    before: Callable[[Request], Any] = lambda request: None,
    after: Callable[[Request, Response], Any] = lambda request, response: None,
    on_error: Callable[[Request, Exception], Any] | None = None,
) -> Layer:
    """A layer of either form: what `before`, `after` and `on_error` return is its answer."""

    def generator(request: Request) -> Generator[None, Response, Any]:
        answer = before(request)
        if answer is not None:
            return answer
        try:
            response = yield
        except Exception as error:
            if on_error is None:
                raise
            return on_error(request, error)
        return after(request, response)

    async def asynchronous(request: Request, call_next: CallNext) -> Any:
        answer = before(request)
        if answer is not None:
            return answer
        await asyncio.sleep(0)
        try:
            response = await call_next(request)
        except Exception as error:
            if on_error is None:
                raise
            return on_error(request, error)
        await asyncio.sleep(0)
        answer = after(request, response)
        return response if answer is None else answer

    return generator if form == "generator" else asynchronous


def app_of(answer: Callable[[Request], Any], *layers: Layer, kind: str = "def") -> App:
    """An app of these layers around a handler at /, plain or async, on GET and POST."""
    app = App()

    async def asynchronous(request: Request) -> Any:
        await asyncio.sleep(0)
        return answer(request)

    app.route("/", methods=["GET", "POST"])(answer if kind == "def" else asynchronous)
    for layer in layers:
        app.middleware(layer)
    return app


def hello(request: Request) -> str:
    return "hello"


def trouble(request: Request) -> str:
    raise Trouble


# --- The order of events --------------------------------------------------------------------

# What a layer does, in the trials below, and what a handler does.
DEEDS = (
    "pass",
    "answer",
    "refuse",
    "crash",
    "replace",
    "refuse after",
    "crash after",
    "catch",
    "translate",
    "swallow",
)
ENDS = ("answer", "refuse", "crash", "nothing found", "wrong method", "slash", "handled")


class Trial:
    """Apps of three layers each, in all forms, whose deeds are told to them for each request."""

    def __init__(self) -> None:
        self.deeds: tuple[str, ...] = ()
        self.end = ""
        self.events: list[str] = []
        self.clients = {
            (door, forms, kind): TestClient(self.app(forms, kind), door, wrap=CHECKERS[door])
            for door in DOORS
            for forms in FORM_ORDERS
            for kind in ("def", "async def")
        }

    def app(self, forms: tuple[str, ...], kind: str) -> App:
        layers = [self.layer(number, form) for number, form in enumerate(forms)]
        app = app_of(self.handle, *layers, kind=kind)
        app.exception_handler(KeyError)(lambda request, error: ("handled", 422))
        return app

    def layer(self, number: int, form: str) -> Layer:
        def before(request: Request) -> Any:
            self.events.append(f"{number} in")
            match self.deeds[number]:
                case "answer":
                    return f"{number} answers", 202
                case "refuse":
                    raise HTTPException(403, f"{number} refuses")
                case "crash":
                    raise Trouble(number)

        def after(request: Request, response: Response) -> Any:
            self.events.append(f"{number} out with {response.status}")
            match self.deeds[number]:
                case "replace":
                    return f"{number} replaces", 203
                case "refuse after":
                    raise HTTPException(409, f"{number} refuses")
                case "crash after":
                    raise Trouble(number)

        def on_error(request: Request, error: Exception) -> Any:
            self.events.append(f"{number} sees {type(error).__name__}")
            match self.deeds[number]:
                case "catch":
                    return f"{number} catches", 299
                case "translate":
                    raise HTTPException(502, f"{number} translates") from error
                case "swallow":
                    return None
            raise error

        return layer_of(form, before, after, on_error)

    def handle(self, request: Request) -> str:
        self.events.append("handler")
        match self.end:
            case "refuse":
                raise HTTPException(404, "the handler refuses")
            case "crash":
                raise Trouble
            case "handled":
                raise KeyError
        return "the handler answers"

    def run(self, client: TestClient) -> tuple[int, str, list[str]]:
        self.events = []
        path = {"nothing found": "/nothing", "slash": "/slash/"}.get(self.end, "/")
        method = "DELETE" if self.end == "wrong method" else "GET"
        response = client.request(method, path)
        return response.status_code, response.text, self.events


FORM_ORDERS: tuple[tuple[str, ...], ...] = (
    ("generator", "generator", "generator"),
    ("async", "async", "async"),
    ("generator", "async", "generator"),
    ("async", "generator", "async"),
)


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    trial = Trial()
    with ExitStack() as stack:
        for client in trial.clients.values():
            stack.enter_context(client)
        yield trial


@given(deeds=st.tuples(*[st.sampled_from(DEEDS)] * 3), end=st.sampled_from(ENDS))
def test_both_forms_give_the_same_order_of_events_through_both_doors(
    trial: Trial, deeds: tuple[str, ...], end: str
) -> None:
    trial.deeds, trial.end = deeds, end
    results = {key: trial.run(client) for key, client in trial.clients.items()}
    first = results["wsgi", FORM_ORDERS[0], "def"]
    assert all(result == first for result in results.values()), results


# deeds, what the handler does -> status, text, events
ORDERS: list[tuple[tuple[str, ...], str, int, str, list[str]]] = [
    (
        ("pass", "pass", "pass"),
        "answer",
        200,
        "the handler answers",
        ["0 in", "1 in", "2 in", "handler", "2 out with 200", "1 out with 200", "0 out with 200"],
    ),
    (
        ("pass", "answer", "pass"),
        "answer",
        202,
        "1 answers",
        ["0 in", "1 in", "0 out with 202"],
    ),
    (
        ("pass", "replace", "pass"),
        "answer",
        203,
        "1 replaces",
        ["0 in", "1 in", "2 in", "handler", "2 out with 200", "1 out with 200", "0 out with 203"],
    ),
    (
        ("pass", "pass", "refuse"),
        "answer",
        403,
        "2 refuses",
        ["0 in", "1 in", "2 in", "1 out with 403", "0 out with 403"],
    ),
    (
        ("pass", "refuse after", "pass"),
        "answer",
        409,
        "1 refuses",
        ["0 in", "1 in", "2 in", "handler", "2 out with 200", "1 out with 200", "0 out with 409"],
    ),
    (
        ("pass", "pass", "pass"),
        "refuse",
        404,
        "the handler refuses",
        ["0 in", "1 in", "2 in", "handler", "2 out with 404", "1 out with 404", "0 out with 404"],
    ),
    (
        ("pass", "pass", "pass"),
        "handled",
        422,
        "handled",
        ["0 in", "1 in", "2 in", "handler", "2 out with 422", "1 out with 422", "0 out with 422"],
    ),
    (
        ("pass", "pass", "pass"),
        "crash",
        500,
        "Internal Server Error",
        ["0 in", "1 in", "2 in", "handler", "2 sees Trouble", "1 sees Trouble", "0 sees Trouble"],
    ),
    (
        ("pass", "catch", "pass"),
        "crash",
        299,
        "1 catches",
        ["0 in", "1 in", "2 in", "handler", "2 sees Trouble", "1 sees Trouble", "0 out with 299"],
    ),
    (
        ("pass", "translate", "pass"),
        "crash",
        502,
        "1 translates",
        ["0 in", "1 in", "2 in", "handler", "2 sees Trouble", "1 sees Trouble", "0 out with 502"],
    ),
    (
        ("pass", "swallow", "pass"),
        "crash",
        500,
        "Internal Server Error",
        [
            "0 in",
            "1 in",
            "2 in",
            "handler",
            "2 sees Trouble",
            "1 sees Trouble",
            "0 sees RuntimeError",
        ],
    ),
    (
        ("catch", "pass", "crash"),
        "answer",
        299,
        "0 catches",
        ["0 in", "1 in", "2 in", "1 sees Trouble", "0 sees Trouble"],
    ),
    (
        ("pass", "pass", "crash after"),
        "answer",
        500,
        "Internal Server Error",
        ["0 in", "1 in", "2 in", "handler", "2 out with 200", "1 sees Trouble", "0 sees Trouble"],
    ),
    (
        ("pass", "pass", "pass"),
        "nothing found",
        404,
        "Not Found",
        ["0 in", "1 in", "2 in", "2 out with 404", "1 out with 404", "0 out with 404"],
    ),
]


@pytest.mark.parametrize("forms", FORM_ORDERS)
@both_kinds
@pytest.mark.parametrize(("deeds", "end", "status", "text", "events"), ORDERS)
def test_the_first_layer_added_is_the_outermost(
    trial: Trial,
    protocol: Protocol,
    forms: tuple[str, ...],
    kind: str,
    deeds: tuple[str, ...],
    end: str,
    status: int,
    text: str,
    events: list[str],
) -> None:
    trial.deeds, trial.end = deeds, end
    assert trial.run(trial.clients[protocol, forms, kind]) == (status, text, events)


@both_forms
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("DELETE", "/", 405),
        ("GET", "/there/", 308),
        ("OPTIONS", "/", 204),
        ("HEAD", "/", 200),
        ("POST", "/", 413),
    ],
)
def test_layers_see_every_response(
    connect: Connect, form: str, method: str, path: str, status: int
) -> None:
    seen = []
    app = App(max_body_size=3)
    app.route("/", methods=["GET", "POST"])(hello)
    app.get("/there")(hello)
    app.middleware(layer_of(form, after=lambda request, response: seen.append(response.status)))
    content = b"more than three bytes" if method == "POST" else None
    response = connect(app).request(method, path, content=content, follow_redirects=False)
    assert response.status_code == status
    assert seen == [status]


@both_forms
def test_a_layer_changes_the_status_the_headers_and_the_body(connect: Connect, form: str) -> None:
    def shout(request: Request, response: Response) -> None:
        response.status = 203
        response.body = response.body.upper() + b"!"
        response.headers["x-shout"] = "yes"
        response.content_type = "text/shout"

    response = connect(app_of(hello, layer_of(form, after=shout))).get("/")
    assert (response.status_code, response.text) == (203, "HELLO!")
    assert response.headers["content-length"] == "6"
    assert response.headers["content-type"] == "text/shout"
    assert response.headers["x-shout"] == "yes"


@both_forms
def test_layers_are_out_before_the_first_chunk_of_a_stream_is_made(
    connect: Connect, form: str
) -> None:
    events = []

    def chunks(request: Request) -> Iterator[str]:
        events.append("chunk")
        yield "chunk"

    app = app_of(chunks, layer_of(form, after=lambda request, response: events.append("out")))
    assert connect(app).get("/").text == "chunk"
    assert events == ["out", "chunk"]


@both_forms
@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (lambda: "text", 200, "text"),
        (lambda: {"a": 1}, 200, '{"a":1}'),
        (lambda: ("made", 201), 201, "made"),
        (lambda: iter("ab"), 200, "ab"),
        (lambda: Response(b"own", 203), 203, "own"),
        (lambda: "", 200, ""),
        (list, 200, "[]"),
    ],
)
@pytest.mark.parametrize("moment", ["before", "after", "on_error"])
def test_a_layer_answers_with_what_any_handler_may_return(
    connect: Connect,
    form: str,
    moment: str,
    answer: Callable[[], Any],
    status: int,
    text: str,
) -> None:
    layer = layer_of(form, **{moment: lambda *_: answer()})
    response = connect(app_of(trouble if moment == "on_error" else hello, layer)).get("/")
    assert (response.status_code, response.text) == (status, text)


# --- What a layer does wrong ----------------------------------------------------------------


def yields_twice(request: Request) -> Generator[None, Response, None]:
    yield
    yield


def catches_and_yields(request: Request) -> Generator[None, Response, None]:
    try:
        yield
    except Trouble:
        yield


def catches_and_returns_nothing(request: Request) -> Generator[None, Response, None]:
    try:
        yield
    except Trouble:
        return


def never_yields(request: Request) -> Generator[None, Response, None]:
    if request.method == "":
        yield


async def async_returns_nothing(request: Request, call_next: CallNext) -> None:
    await call_next(request)


async def async_catches_and_returns_nothing(request: Request, call_next: CallNext) -> None:
    try:
        await call_next(request)
    except Trouble:
        return


# layer, handler -> words of the error
FAULTS: list[tuple[Layer, Callable[[Request], str], str]] = [
    (yields_twice, hello, "yield"),
    (catches_and_yields, trouble, "yield"),
    (catches_and_returns_nothing, trouble, "returned no"),
    (never_yields, hello, "returned no"),
    (async_returns_nothing, hello, "returned no"),
    (async_catches_and_returns_nothing, trouble, "returned no"),
]


@pytest.mark.parametrize(("layer", "handler", "words"), FAULTS)
@both_forms
def test_a_layer_that_breaks_the_rules_is_a_runtime_error_that_names_it(
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    layer: Layer,
    handler: Callable[[Request], str],
    words: str,
    form: str,
) -> None:
    seen: list[Exception] = []

    def on_error(request: Request, error: Exception) -> None:
        seen.append(error)
        raise error

    response = connect(app_of(handler, layer_of(form, on_error=on_error), layer)).get("/")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    (error,) = seen
    assert isinstance(error, RuntimeError)
    assert layer.__name__ in str(error)
    assert "test_middleware.py" in str(error)
    assert words in str(error)
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@both_forms
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("value", [42, object(), ("a", "b"), (Response(), 201)])
def test_a_layer_that_returns_something_else_is_named(
    connect: Connect, caplog: pytest.LogCaptureFixture, form: str, moment: str, value: object
) -> None:
    layer = layer_of(form, **{moment: lambda *_: value})
    assert connect(app_of(hello, layer)).get("/").status_code == 500
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], TypeError)
    assert layer.__qualname__ in str(record.exc_info[1])


def test_a_layer_that_yields_twice_is_closed_there_and_then(connect: Connect) -> None:
    events = []

    def layer(request: Request) -> Iterator[None]:
        yield
        try:
            yield
        finally:
            events.append("closed")

    client = connect(app_of(hello, layer))
    assert client.get("/").status_code == 500
    assert events == ["closed"]


@both_forms
def test_an_unexpected_error_of_a_layer_is_logged_once(
    connect: Connect, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    def fail(request: Request) -> None:
        raise Trouble("in a layer")

    app = app_of(hello, layer_of("generator"), layer_of("async"), layer_of(form, before=fail))
    assert connect(app).get("/").text == "Internal Server Error"
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Trouble)


def plain(request: Request) -> str:
    return "a plain function"


async def async_generator(request: Request) -> AsyncIterator[None]:
    yield


class PlainObject:
    def __call__(self, request: Request) -> str:
        return "a plain object"


class LayerClass:
    """Its instances would be layers; it is none itself."""

    def __call__(self, request: Request) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    "layer",
    [
        plain,
        async_generator,
        PlainObject(),
        LayerClass,
        functools.partial(plain),
        lambda request: None,
        "layer",
        None,
        42,
    ],
)
def test_a_layer_of_the_wrong_shape_is_refused(layer: Any) -> None:
    with pytest.raises(TypeError, match=r"(?s)middleware.*generator.*async"):
        App().middleware(layer)


def test_the_refusal_of_a_layer_names_it() -> None:
    with pytest.raises(TypeError, match=r"plain .*test_middleware\.py:\d+"):
        App().middleware(plain)


@both_forms
def test_a_layer_added_after_the_first_request_is_refused(connect: Connect, form: str) -> None:
    app = app_of(hello)
    assert connect(app).get("/").text == "hello"
    with pytest.raises(RuntimeError, match=r"layer_of.*first request"):
        app.middleware(layer_of(form))
    assert connect(app).get("/").text == "hello"


@both_forms
def test_a_layer_added_after_the_first_handler_is_around_it_all_the_same(
    connect: Connect, form: str
) -> None:
    app = app_of(hello)
    app.middleware(layer_of(form, after=lambda request, response: "replaced"))
    app.get("/later")(hello)
    client = connect(app)
    assert [client.get(path).text for path in ("/", "/later")] == ["replaced", "replaced"]


# --- What a layer may be --------------------------------------------------------------------


class Tag:
    """Layers in all the shapes that an object can give them; each adds its word."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        response = yield
        response.headers.add("x-tag", self.word)

    def method(self, request: Request) -> Generator[None, Response, None]:
        yield from self(request)

    async def async_method(self, request: Request, call_next: CallNext) -> Response:
        response = await call_next(request)
        response.headers.add("x-tag", self.word)
        return response


class AsyncTag(Tag):
    async def __call__(self, request: Request, call_next: CallNext) -> Response:  # type: ignore[override]
        return await self.async_method(request, call_next)


def tagged(word: str, request: Request) -> Generator[None, Response, None]:
    yield from Tag(word)(request)


async def async_tagged(word: str, request: Request, call_next: CallNext) -> Response:
    return await Tag(word).async_method(request, call_next)


@pytest.mark.parametrize(
    "layer",
    [
        Tag("x"),
        AsyncTag("x"),
        Tag("x").method,
        Tag("x").async_method,
        functools.partial(tagged, "x"),
        functools.partial(async_tagged, "x"),
        functools.partial(Tag("x")),
        functools.partial(AsyncTag("x")),
    ],
    ids=[
        "object",
        "async object",
        "method",
        "async method",
        "partial",
        "async partial",
        "partial of an object",
        "partial of an async object",
    ],
)
def test_objects_methods_and_partials_are_layers(connect: Connect, layer: Layer) -> None:
    response = connect(app_of(hello, Tag("outer"), layer, Tag("inner"))).get("/")
    assert response.headers.get_list("x-tag") == ["inner", "x", "outer"]


@both_forms
def test_a_layer_added_twice_runs_twice(connect: Connect, form: str) -> None:
    events: list[str] = []
    layer = layer_of(form, before=lambda request: events.append("in"))
    assert connect(app_of(hello, layer, layer)).get("/").text == "hello"
    assert events == ["in", "in"]


def test_an_async_layer_may_call_what_is_inside_it_again(connect: Connect) -> None:
    attempts = []

    def flaky(request: Request) -> str:
        attempts.append(request.body)
        if len(attempts) < 3:
            raise Trouble
        return f"attempt {len(attempts)}"

    async def again(request: Request, call_next: CallNext) -> Response:
        while True:
            try:
                return await call_next(request)
            except Trouble:
                continue

    app = app_of(flaky, again, layer_of("generator"))
    assert connect(app).post("/", content=b"body").text == "attempt 3"
    assert attempts == [b"body"] * 3


@both_kinds
def test_an_async_layer_may_put_what_is_inside_it_into_a_task(connect: Connect, kind: str) -> None:
    async def in_a_task(request: Request, call_next: CallNext) -> Response:
        return await asyncio.create_task(asyncio.wait_for(call_next(request), 60))

    app = app_of(lambda request: request.body, in_a_task, layer_of("generator"), kind=kind)
    assert connect(app).post("/", content=b"body").text == "body"


# --- What a layer shares --------------------------------------------------------------------


@both_forms
@both_kinds
def test_state_reaches_the_handler_and_no_other_request(
    connect: Connect, form: str, kind: str
) -> None:
    def note(request: Request) -> None:
        request.state.users = [*getattr(request.state, "users", []), request.query["user"]]

    app = app_of(lambda request: request.state.users, layer_of(form, before=note), kind=kind)
    client = connect(app)
    assert [client.get(f"/?user={user}").json() for user in ("ada", "bob")] == [["ada"], ["bob"]]


@both_forms
def test_a_layer_sees_the_route_and_its_parameters_after_the_yield(
    connect: Connect, form: str
) -> None:
    seen: list[Any] = []
    app = App()
    app.get("/users/{id:int}")(lambda request, id: str(id))  # noqa: A006
    app.middleware(
        layer_of(
            form,
            before=lambda request: seen.append(dict(request.path_params)),
            after=lambda request, response: seen.append(dict(request.path_params)),
        )
    )
    assert connect(app).get("/users/7").text == "7"
    assert seen == [{}, {"id": 7}]


def key_error(request: Request) -> Response:
    raise KeyError


# who gives the one response: a handler, and the layers inside the one with the cookie
SOURCES: dict[str, Callable[[Response], tuple[Callable[[Request], Any], list[Layer]]]] = {
    "handler": lambda shared: (lambda request: shared, []),
    "handler behind other layers": lambda shared: (
        lambda request: shared,
        [layer_of("generator"), layer_of("async")],
    ),
    "exception handler": lambda shared: (key_error, []),
    **{
        f"{form} layer, {moment}": lambda shared, form=form, moment=moment: (  # type: ignore[misc]
            trouble if moment == "on_error" else hello,
            [layer_of(form, **{moment: lambda *_: shared})],
        )
        for form in FORMS
        for moment in ("before", "after", "on_error")
    },
}


@both_forms
@pytest.mark.parametrize("source", SOURCES)
def test_a_cookie_set_by_a_layer_never_rides_on_another_response(
    connect: Connect, form: str, source: str
) -> None:
    shared = PlainTextResponse("the same for all")
    handler, layers = SOURCES[source](shared)

    def log_in(request: Request, response: Response) -> None:
        if "user" in request.query:
            response.set_cookie("session", request.query["user"])
            response.status = 201
            response.body = b"welcome"

    app = app_of(handler, layer_of(form, after=log_in), *layers)
    app.exception_handler(KeyError)(lambda request, error: shared)
    client = connect(app)
    mine = client.get("/?user=ada")
    assert (mine.status_code, mine.text) == (201, "welcome")
    assert mine.headers["set-cookie"].startswith("session=ada")
    client.cookies.clear()
    others = client.get("/")
    assert "set-cookie" not in others.headers
    assert (others.status_code, others.text) == (200, "the same for all")


# --- The body, seen from a layer ------------------------------------------------------------


class Upload(Iterator[bytes]):
    """A body sent in pieces; it counts the bytes that were taken, and knows by whom."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.taken = 0
        self.threads: set[int] = set()

    def __next__(self) -> bytes:
        self.threads.add(threading.get_ident())
        if not self.pieces:
            raise StopIteration
        piece = self.pieces.pop(0)
        self.taken += len(piece)
        return piece


@both_forms
def test_the_body_is_not_there_before_the_handler_and_is_after_it(
    connect: Connect, form: str
) -> None:
    seen: list[object] = []

    def before(request: Request) -> None:
        for read in (lambda: request.body, lambda: request.text, request.json):
            with pytest.raises(RuntimeError, match=r"request\.read\(\)"):
                read()

    def after(request: Request, response: Response) -> None:
        seen.append(request.body)

    app = app_of(lambda request: request.body, layer_of(form, before, after))
    assert connect(app).post("/", content=b'"body"').content == b'"body"'
    assert seen == [b'"body"']


@both_kinds
def test_an_async_layer_reads_the_body_and_the_handler_sees_it_too(
    connect: Connect, kind: str
) -> None:
    async def read(request: Request, call_next: CallNext) -> Response:
        first, second = await request.read(), await request.read()
        request.state.read = first + b"|" + second + b"|" + request.body
        return await call_next(request)

    def handler(request: Request) -> bytes:
        return bytes(request.state.read + b"|" + request.body)

    client = connect(app_of(handler, layer_of("generator"), read, kind=kind))
    assert client.post("/", content=b"ab").content == b"ab|ab|ab|ab"
    assert client.post("/", content=Upload(b"a", b"b")).content == b"ab|ab|ab|ab"
    assert client.get("/").content == b"|||"


@both_forms
@pytest.mark.parametrize("way", ["answer", "raise"])
def test_a_layer_refuses_a_request_without_paying_for_its_body(
    connect: Connect, form: str, way: str
) -> None:
    def refuse(request: Request) -> tuple[str, int]:
        if way == "raise":
            raise HTTPException(401, "no")
        return "no", 401

    upload = Upload(b"x" * 1000)
    response = connect(app_of(hello, layer_of(form, refuse))).post("/", content=upload)
    assert (response.status_code, response.text, upload.taken) == (401, "no", 0)


def test_a_body_too_large_for_a_layer_is_413_at_its_edge(connect: Connect) -> None:
    seen = []

    async def read(request: Request, call_next: CallNext) -> Response:
        await request.read()
        return await call_next(request)

    app = App(max_body_size=3)
    app.post("/")(hello)
    app.middleware(layer_of("generator", after=lambda _, response: seen.append(response.status)))
    app.middleware(read)
    assert connect(app).post("/", content=b"four").status_code == 413
    assert seen == [413]


@pytest.mark.parametrize("upload", [[b"four"], [b"fo", b"ur", b"more"]])
def test_a_layer_cannot_wave_a_body_through_that_could_not_be_read(
    connect: Connect, upload: list[bytes]
) -> None:
    called = []

    async def careless(request: Request, call_next: CallNext) -> Response:
        with pytest.raises(HTTPException):
            await request.read()
        return await call_next(request)

    app = App(max_body_size=3)
    app.post("/")(lambda request: called.append(request.body))
    app.middleware(careless)
    assert connect(app).post("/", content=Upload(*upload)).status_code == 413
    assert called == []


# --- Threads and loops ----------------------------------------------------------------------


def wsgi_client(app: App) -> TestClient:
    return TestClient(app, "wsgi", wrap=CHECKERS["wsgi"])


def where(request: Request) -> list[Any]:
    """Which thread this is, and whether it has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return [threading.get_ident(), "no loop"]
    return [threading.get_ident(), "loop"]


def test_under_wsgi_plain_handlers_inside_async_layers_run_in_the_servers_own_thread() -> None:
    app = app_of(where, layer_of("async"), layer_of("generator"), layer_of("async"))

    @app.get("/stream")
    def stream(request: Request) -> Iterator[str]:
        yield str(where(request))

    @app.get("/error")
    def fail(request: Request) -> str:
        raise Trouble

    app.exception_handler(Trouble)(lambda request, error: (where(request), 422))
    here = [threading.get_ident(), "no loop"]
    with wsgi_client(app) as client:
        assert client.get("/").json() == here
        assert client.get("/error").json() == here
        assert client.get("/stream").text == str(here)


def test_under_wsgi_a_body_is_read_in_the_servers_own_thread() -> None:
    async def read(request: Request, call_next: CallNext) -> Response:
        await request.read()
        return await call_next(request)

    with wsgi_client(app_of(hello, read)) as client:
        upload = Upload(b"body")
        assert client.post("/", content=upload).text == "hello"
    assert upload.threads == {threading.get_ident()}


@both_kinds
def test_under_wsgi_generator_layers_alone_stay_in_the_servers_own_thread(kind: str) -> None:
    places: list[Any] = []
    layer = layer_of(
        "generator",
        before=lambda request: places.append(where(request)),
        after=lambda request, response: places.append(where(request)),
    )
    with wsgi_client(app_of(where, layer, kind=kind)) as client:
        handler = client.get("/").json()
    assert places == [[threading.get_ident(), "no loop"]] * 2
    assert handler[1] == ("no loop" if kind == "def" else "loop")


def test_a_generator_among_async_layers_stays_on_their_loop(connect: Connect) -> None:
    places: list[Any] = []

    def note(request: Request, response: Response | None = None) -> None:
        places.append(where(request))

    layers = [layer_of(form, note, note) for form in ("async", "generator", "async")]
    connect(app_of(hello, *layers)).get("/")
    assert len(places) == 6
    assert places[0][1] == "loop"
    assert all(place == places[0] for place in places)


def test_under_asgi_a_plain_handler_inside_layers_leaves_the_loop_free() -> None:
    app = app_of(where, layer_of("generator"), layer_of("async"))
    with TestClient(app, "asgi", wrap=CHECKERS["asgi"]) as client:
        assert client.get("/").json()[1] == "no loop"


def test_parallel_requests_through_layers_of_both_forms_do_not_mix(connect: Connect) -> None:
    barrier = threading.Barrier(8, timeout=30)

    def note(request: Request) -> None:
        request.state.user = request.query["user"]

    def handler(request: Request) -> str:
        barrier.wait()
        return f"hello {request.state.user}"

    def mark(request: Request, response: Response) -> None:
        response.headers["x-user"] = request.state.user

    client = connect(app_of(handler, layer_of("async", note), layer_of("generator", after=mark)))
    answers: dict[str, tuple[str, str]] = {}

    def visit(user: str) -> None:
        response = client.get("/", params={"user": user})
        answers[user] = (response.text, response.headers["x-user"])

    users = [f"user{number}" for number in range(8)]
    threads = [threading.Thread(target=visit, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {user: (f"hello {user}", user) for user in users}


def test_under_wsgi_many_apps_of_async_code_share_the_one_loop_of_the_process() -> None:
    threads = threading.active_count()
    for _ in range(20):
        with wsgi_client(app_of(where, layer_of("async"), kind="async def")) as client:
            assert client.get("/").json()[1] == "loop"
    assert threading.active_count() <= threads + 1


# --- Cancellation (ASGI) --------------------------------------------------------------------

SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [],
    "client": None,
    "server": None,
}


def closing(form: str, name: str, events: list[str]) -> Layer:
    """A layer that notes how its pause ends."""

    def generator(request: Request) -> Iterator[None]:
        try:
            yield
        except Exception:
            events.append(f"{name} saw an exception")
            raise
        finally:
            events.append(f"{name} closed")

    async def asynchronous(request: Request, call_next: CallNext) -> Response:
        try:
            return await call_next(request)
        except Exception:
            events.append(f"{name} saw an exception")
            raise
        finally:
            events.append(f"{name} closed")

    return generator if form == "generator" else asynchronous


@pytest.mark.parametrize("inner", FORMS)
@pytest.mark.parametrize("outer", FORMS)
def test_cancellation_closes_paused_layers_from_the_inside_out(
    outer: str, inner: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[str] = []
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        app = App()
        waiting = asyncio.Event()

        @app.get("/")
        async def wait(request: Request) -> None:
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                events.append("handler cancelled")

        app.middleware(closing(outer, "outer", events))
        app.middleware(closing(inner, "inner", events))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        task = asyncio.ensure_future(asgi_validator(app.asgi)(dict(SCOPE), receive, send))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == ["handler cancelled", "inner closed", "outer closed"]

    asyncio.run(main())
    assert sent == []
    assert errors_in(caplog) == []


@both_forms
def test_an_interrupt_in_a_plain_handler_closes_paused_layers_under_wsgi(form: str) -> None:
    class Interrupt(BaseException):
        """Like KeyboardInterrupt: nothing that a layer or the app should answer."""

    events: list[str] = []

    def interrupted(request: Request) -> str:
        raise Interrupt

    app = app_of(interrupted, closing(form, "outer", events), closing(form, "inner", events))
    with wsgi_client(app) as client, pytest.raises(Interrupt):
        client.get("/")
    assert events == ["inner closed", "outer closed"]


def test_a_redirect_made_by_a_layer_is_sent(connect: Connect) -> None:
    layer = layer_of("generator", before=lambda request: RedirectResponse("/log-in", 303))
    response = connect(app_of(hello, layer)).get("/", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/log-in")


def test_a_stream_made_by_a_layer_is_sent(connect: Connect) -> None:
    def double(request: Request, response: Response) -> Response:
        assert response.iterator is None
        return StreamingResponse([response.body, b" ", response.body])

    assert connect(app_of(hello, layer_of("async", after=double))).get("/").text == "hello hello"
