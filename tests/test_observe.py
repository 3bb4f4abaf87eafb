"""App.observe: what an observer is told, where, and that nobody else notices."""

from __future__ import annotations

import asyncio
import functools
import logging
import operator
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    App,
    Converter,
    HTTPException,
    Observation,
    Request,
    Response,
    Router,
    WebSocket,
)
from microweb.model.observation import STEPS
from microweb.testing import TestClient, WebSocketRefused
from microweb.tracing.format import KINDS

from .asgi_validator import validator as asgi_validator
from .conftest import Connect, Protocol

CallNext = Callable[[Request], Awaitable[Response]]
Layer = Callable[..., Any]


def observed(app: App) -> list[Observation]:
    """All that an observer of the app is told."""
    seen: list[Observation] = []
    app.observe(seen.append)
    return seen


def told(seen: list[Observation]) -> list[str]:
    """The steps, each with the name of its handler or layer."""
    return [each.kind + (f" {_name(each)}" if _is_yours(each) else "") for each in seen]


def _is_yours(each: Observation) -> bool:
    return each.source is not None and each.kind.startswith(("layer.", "handler."))


def _name(each: Observation) -> str:
    assert each.source is not None
    return each.source.function.rpartition(".")[2]


def data(seen: list[Observation], kind: str) -> dict[str, Any]:
    """What was told of the one step of this kind."""
    (found,) = (each.data for each in seen if each.kind == kind)
    return found


def app_of(handler: Callable[..., Any], *layers: Layer, path: str = "/", **options: Any) -> App:
    app = App()
    app.route(path, methods=["GET", "POST"], **options)(handler)
    for layer in layers:
        app.middleware(layer)
    return app


def hello(request: Request) -> str:
    return "hello"


async def async_hello(request: Request) -> str:
    return "hello"


def outer(request: Request) -> Generator[None, Response, None]:
    yield


async def inner(request: Request, call_next: CallNext) -> Response:
    return await call_next(request)


# --- The steps ----------------------------------------------------------------------------


def test_the_steps_are_those_of_the_trace_format() -> None:
    kinds = {kind: direction for kind, (side, direction, _) in KINDS.items() if side == "framework"}
    assert kinds == STEPS


def test_a_request_is_told_from_its_making_to_its_response(
    connect: Connect, protocol: Protocol
) -> None:
    app = App()
    app.get("/{number:int}", name="it")(lambda request, number: {"number": number})
    seen = observed(app)
    client = connect(app, cookies={"taste": "good"}, root_path="/site")
    response = client.get("/site/7?a=1&b=%20&a=2", headers={"X-Own": "yes"})
    assert told(seen) == [
        "request",
        "match",
        "handler.call <lambda>",
        "handler.return <lambda>",
        "response",
    ]
    assert [each.direction for each in seen] == ["in", "in", "in", "out", "out"]
    assert len({id(each.request) for each in seen}) == 1

    asked = data(seen, "request")
    headers = dict(asked.pop("headers"))
    assert headers["x-own"] == "yes"
    assert headers["cookie"] == "taste=good"
    assert asked == {
        "method": "GET",
        "path": "/7",
        "root_path": "/site",
        "scheme": "http",
        "http_version": "1.1",
        "query_string": "a=1&b=%20&a=2",
        "query": [("a", "1"), ("b", " "), ("a", "2")],
        "cookies": {"taste": "good"},
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "protocol": protocol,
    }
    assert data(seen, "match") == {
        "route": "/{number:int}",
        "name": "it",
        "path_params": {"number": 7},
        "spans": {"number": [1, 2]},
    }
    handler = data(seen, "handler.call")["handler"]
    assert re.search(r"<lambda> \(.*test_observe\.py:\d+\)$", handler)
    called = {"handler": handler, "is_async": False, "arguments": {"number": 7}}
    assert data(seen, "handler.call") == called
    returned = {"handler": handler, "type": "dict", "value": {"number": 7}}
    assert data(seen, "handler.return") == returned
    assert data(seen, "response") == {
        "status": 200,
        "headers": [("content-type", "application/json"), ("content-length", "12")],
        "bytes": response.content,
    }


def test_an_async_handler_is_told_of_alike(connect: Connect) -> None:
    seen = observed(app := app_of(async_hello))
    assert connect(app).get("/").text == "hello"
    names = ["handler.call async_hello", "handler.return async_hello"]
    assert told(seen) == ["request", "match", *names, "response"]
    assert data(seen, "handler.call")["is_async"]


def test_the_native_object_is_the_very_one_that_the_server_passed(protocol: Protocol) -> None:
    seen = observed(app := app_of(hello, outer))
    passed: list[Any] = []

    def recorder(door: Callable[..., Any]) -> Callable[..., Any]:
        return lambda native, *rest: passed.append(native) or door(native, *rest)  # type: ignore[func-returns-value]

    TestClient(app, protocol, wrap=recorder).get("/")
    assert len(seen) == 7
    assert all((each.request.environ or each.request.scope) is passed[0] for each in seen)


# --- Layers -------------------------------------------------------------------------------


def test_layers_of_both_forms_are_told_of_outside_in_and_back(connect: Connect) -> None:
    def second(request: Request) -> Generator[None, Response, Response]:
        yield
        return Response(b"replaced", 201)

    seen = observed(app := app_of(hello, outer, inner, second))
    assert connect(app).get("/").text == "replaced"
    assert told(seen) == [
        "request",
        "layer.call outer",
        "layer.call inner",
        "layer.call second",
        "match",
        "handler.call hello",
        "handler.return hello",
        "layer.return second",
        "layer.return inner",
        "layer.return outer",
        "response",
    ]
    returned = [each for each in seen if each.kind == "layer.return"]
    assert [each.data["status"] for each in returned] == [201, 201, 201]
    assert returned[-1].data["layer"] == f"outer ({__file__}:{outer.__code__.co_firstlineno})"
    assert data(seen, "response")["bytes"] == b"replaced"


def stopping(request: Request) -> Generator[None, Response, tuple[str, int]]:
    if request.path:
        return "stop", 403
    yield
    raise AssertionError


async def async_stopping(request: Request, call_next: CallNext) -> tuple[str, int]:
    return "stop", 403


@pytest.mark.parametrize("layer", [stopping, async_stopping])
def test_what_a_layer_answers_by_itself_goes_no_further(connect: Connect, layer: Layer) -> None:
    seen = observed(app := app_of(hello, outer, layer, inner))
    assert connect(app).post("/", content=b"unread").status_code == 403
    name = layer.__name__
    between = [f"layer.call {name}", f"layer.return {name}"]
    assert told(seen) == ["request", "layer.call outer", *between, "layer.return outer", "response"]
    assert data(seen, "response")["status"] == 403


def refusing(request: Request) -> Generator[None, Response, None]:
    yield
    raise HTTPException(418, "no coffee")


async def async_refusing(request: Request, call_next: CallNext) -> Response:
    await call_next(request)
    raise HTTPException(418, "no coffee")


@pytest.mark.parametrize("layer", [refusing, async_refusing])
def test_a_layer_that_raises_is_told_with_what_its_edge_makes_of_it(
    connect: Connect, layer: Layer
) -> None:
    seen = observed(app := app_of(hello, outer, layer))
    assert connect(app).get("/").status_code == 418
    assert told(seen)[-3:] == [f"layer.raise {layer.__name__}", "layer.return outer", "response"]
    raised = data(seen, "layer.raise")
    assert raised["type"] == "microweb.model.errors.HTTPException"
    assert (raised["message"], raised["status"]) == ("418 no coffee", 418)
    assert data(seen, "layer.return")["status"] == 418


def test_a_layer_may_go_in_twice(connect: Connect) -> None:
    async def again(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return await call_next(request)

    seen = observed(app := app_of(hello, again))
    assert connect(app).get("/").text == "hello"
    once = ["match", "handler.call hello", "handler.return hello"]
    assert told(seen)[2:-2] == once + once


# --- Errors -------------------------------------------------------------------------------


def missing(request: Request) -> None:
    raise HTTPException(404, "gone")


def failing(request: Request) -> None:
    raise ZeroDivisionError("by nothing")


def test_an_http_exception_is_an_answer_inside_the_layers(connect: Connect) -> None:
    seen = observed(app := app_of(missing, outer))
    assert connect(app).get("/").status_code == 404
    assert told(seen)[2:] == [
        "match",
        "handler.call missing",
        "handler.raise missing",
        "layer.return outer",
        "response",
    ]
    assert data(seen, "handler.raise")["message"] == "404 gone"
    assert data(seen, "layer.return")["status"] == 404


@pytest.mark.parametrize("layers", [(), (outer, inner)])
def test_an_unexpected_error_passes_out_through_the_layers(
    connect: Connect, layers: tuple[Layer, ...]
) -> None:
    seen = observed(app := app_of(failing, *layers))
    assert connect(app).get("/").status_code == 500
    raised = [each for each in seen if each.kind.endswith(".raise")]
    assert [_name(each) for each in raised] == ["failing", *["inner", "outer"][: len(layers)]]
    assert all(each.data["type"] == "ZeroDivisionError" for each in raised)
    assert all(each.data["message"] == "by nothing" for each in raised)
    assert [each.data.get("status") for each in raised] == [None] * len(raised)
    assert seen[-1].kind == "response"
    assert seen[-1].data["status"] == 500


def test_an_error_that_cannot_be_printed_is_told_all_the_same(connect: Connect) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

    def handler(request: Request) -> None:
        raise MuteError

    seen = observed(app := app_of(handler))
    assert connect(app).get("/").status_code == 500
    assert data(seen, "handler.raise")["message"] == "(str() of this MuteError failed)"


def test_an_exception_handler_answers_after_its_handler_has_raised(connect: Connect) -> None:
    seen = observed(app := app_of(failing, outer))
    app.exception_handler(ZeroDivisionError)(lambda request, error: (str(error), 400))
    assert connect(app).get("/").text == "by nothing"
    assert told(seen)[-3:] == ["handler.raise failing", "layer.return outer", "response"]
    assert data(seen, "response")["status"] == 400


MISSES = [
    ("GET", "/nothing", 404, [], None),
    ("DELETE", "/there", 405, ["GET", "HEAD", "POST"], None),
    ("OPTIONS", "/there", 204, ["GET", "HEAD", "POST"], None),
    ("GET", "/there/", 308, [], "/there"),
]


@pytest.mark.parametrize(("method", "path", "status", "allow", "redirect"), MISSES)
def test_a_miss_is_told_with_its_reason(
    connect: Connect, method: str, path: str, status: int, allow: list[str], redirect: str | None
) -> None:
    seen = observed(app := app_of(hello, path="/there"))
    client = connect(app, follow_redirects=False)
    assert client.request(method, path).status_code == status
    assert told(seen) == ["request", "match", "response"]
    assert data(seen, "match") == {"route": None, "allow": allow, "redirect": redirect}
    assert data(seen, "response")["status"] == status


# --- Bodies -------------------------------------------------------------------------------


def test_a_body_is_told_once_it_has_been_read(connect: Connect) -> None:
    app = app_of(lambda request: request.form["a"], outer)
    early: list[str] = []

    @app.observe
    def peek(observation: Observation) -> None:
        try:
            assert observation.request.body == b"a=1"
        except RuntimeError:
            early.append(observation.kind)

    seen = observed(app)
    assert connect(app).post("/", data={"a": "1"}).text == "1"
    assert early == ["request", "layer.call", "match"]
    assert told(seen)[2:5] == ["match", "body", "handler.call <lambda>"]
    assert data(seen, "body") == {"bytes": b"a=1"}


def test_of_a_multipart_form_the_fields_are_told(connect: Connect) -> None:
    seen = observed(app := app_of(lambda request: None))
    connect(app).post("/", data={"a": "1"}, files={"f": ("x.txt", b"hello", "text/plain")})
    file = {"filename": "x.txt", "content_type": "text/plain", "size": 5}
    assert data(seen, "body") == {"bytes": None, "form": [("a", "1"), ("f", file)]}


@pytest.mark.parametrize(("method", "content"), [("GET", b"ignored"), ("POST", b"")])
def test_where_there_is_no_body_none_is_told(connect: Connect, method: str, content: bytes) -> None:
    seen = observed(app := app_of(hello))
    assert connect(app).request(method, "/", content=content).text == "hello"
    assert "body" not in told(seen)


def test_a_body_over_the_limit_has_not_arrived(connect: Connect) -> None:
    app = App(max_body_size=3)
    app.post("/")(hello)
    seen = observed(app)
    assert connect(app).post("/", content=b"four").status_code == 413
    assert told(seen) == ["request", "match", "response"]


def test_the_body_of_a_stream_route_is_left_to_its_handler(connect: Connect) -> None:
    def upload(request: Request) -> str:
        return str(sum(map(len, request.stream)))

    seen = observed(app := app_of(upload, stream=True))
    assert connect(app).post("/", content=b"x" * 100_000).text == "100000"
    assert told(seen)[1:4] == ["match", "handler.call upload", "handler.return upload"]


def generated(request: Request) -> Iterator[str]:
    yield "a"
    yield "b"


async def async_generated(request: Request) -> AsyncIterator[str]:
    yield "a"
    yield "b"


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (generated, "generator"),
        (async_generated, "async_generator"),
        (lambda request: iter(["a", "b"]), "list_iterator"),
    ],
)
def test_a_stream_is_told_of_before_its_first_chunk(
    connect: Connect, handler: Callable[..., Any], kind: str
) -> None:
    seen = observed(app := app_of(handler, outer))
    assert connect(app).get("/").text == "ab"
    assert [each.kind for each in seen][3:5] == ["handler.call", "handler.return"]
    returned = data(seen, "handler.return")
    assert returned["type"] == kind
    assert "value" not in returned
    assert data(seen, "response")["bytes"] is None


def test_head_is_answered_as_get_until_the_gateway_leaves_the_body_out(connect: Connect) -> None:
    seen = observed(app := app_of(hello))
    assert connect(app).head("/").content == b""
    assert data(seen, "request")["method"] == "HEAD"
    assert data(seen, "match")["route"] == "/"
    assert data(seen, "response")["bytes"] == b"hello"
    assert ("content-length", "5") in data(seen, "response")["headers"]


# --- Values -------------------------------------------------------------------------------


class Fancy:
    """Nothing plain."""


VALUES: list[tuple[Any, str, dict[str, Any]]] = [
    (None, "NoneType", {"value": None}),
    (b"\xff", "bytes", {"value": b"\xff"}),
    ({"a": [1, 2.5, True, None]}, "dict", {"value": {"a": [1, 2.5, True, None]}}),
    (("made", 201, {"x-a": "b"}), "tuple", {"value": ("made", 201, {"x-a": "b"})}),
    (Response(b"x"), "microweb.model.response.Response", {}),
    ({"id": UUID(int=7)}, "dict", {}),
    (Fancy(), f"{__name__}.Fancy", {}),
]


@pytest.mark.parametrize(("value", "kind", "shown"), VALUES)
def test_a_plain_value_is_told_itself_and_any_other_by_its_type(
    connect: Connect, value: Any, kind: str, shown: dict[str, Any]
) -> None:
    seen = observed(app := app_of(lambda request: value))
    connect(app).get("/")
    returned = data(seen, "handler.return")
    del returned["handler"]
    assert returned == {"type": kind, **shown}


def test_what_is_told_is_not_what_is_sent(connect: Connect) -> None:
    app = app_of(lambda request, name: {"name": [name]}, path="/{name}")

    @app.observe
    def meddler(observation: Observation) -> None:
        for value in observation.data.values():
            if isinstance(value, (dict, list)):
                value.clear()
        observation.data.clear()

    seen = observed(app)
    assert connect(app).get("/x").json() == {"name": ["x"]}
    assert data(seen, "handler.return")["value"] == {"name": ["x"]}
    assert data(seen, "handler.call")["arguments"] == {"name": "x"}


def test_what_cannot_be_read_is_told_as_none(connect: Connect) -> None:
    seen = observed(app := app_of(hello))
    assert connect(app).get("/?" + "a&" * 1001).text == "hello"
    assert data(seen, "request")["query"] is None


def test_a_layer_may_change_what_a_request_is_made_of(connect: Connect) -> None:
    def rewriting(request: Request) -> Generator[None, Response, None]:
        request.query_string = "a=2"
        yield

    seen = observed(app := app_of(lambda request: request.query["a"], rewriting))
    assert connect(app).get("/?a=1").text == "2"
    assert data(seen, "request")["query"] == [("a", "1")]


class Greeter:
    def __call__(self, request: Request, name: str = "you") -> str:
        return f"hello {name}"


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def line_of(function: Any) -> int:
    line: int = function.__code__.co_firstlineno
    return line


CALL = Greeter.__call__
SOURCES: list[tuple[Callable[..., Any], Any]] = [
    (hello, (__name__, __file__, line_of(hello), "hello")),
    (functools.partial(CALL, Greeter()), (__name__, __file__, line_of(CALL), "Greeter.__call__")),
    (Greeter(), (__name__, __file__, line_of(CALL), "Greeter")),
    (decorated(hello), (__name__, __file__, line_of(hello), "hello")),
    (operator.attrgetter("path"), None),
]


@pytest.mark.parametrize(("handler", "source"), SOURCES)
def test_the_source_is_where_the_handler_is_written(
    connect: Connect, handler: Callable[..., Any], source: Any
) -> None:
    app = App()
    app.get("/", name="it")(handler)
    seen = observed(app)
    assert connect(app).get("/").status_code == 200
    assert [each.source for each in seen if each.kind.startswith("handler.")] == [source, source]
    others = {each.kind: each.source for each in seen if not each.kind.startswith("handler.")}
    assert others["match"] is not None
    assert others["match"].function == "Router.match"
    assert others["request"] is not None
    assert others["request"].function in ("WSGIRequest.__init__", "ASGIRequest.__init__")
    assert others["response"] is not None
    assert others["response"].function == "to_response"


# --- Where in the path --------------------------------------------------------------------


def test_a_mounted_router_tells_the_whole_template(connect: Connect) -> None:
    admin = Router(prefix="/admin", name="admin")
    admin.get("/users/{id:int}.{ext}", name="user")(lambda request, **params: "x")
    app = App()
    app.mount("/site", admin)
    seen = observed(app)
    connect(app).get("/site/admin/users/42.json")
    assert data(seen, "match") == {
        "route": "/site/admin/users/{id:int}.{ext}",
        "name": "admin.user",
        "path_params": {"id": 42, "ext": "json"},
        "spans": {"id": [18, 20], "ext": [21, 25]},
    }


def test_what_a_converter_makes_is_told_as_text_where_it_is_not_plain(connect: Connect) -> None:
    app = app_of(lambda request, **params: "x", path="/{id:uuid}")
    seen = observed(app)
    connect(app).get("/00000000-0000-0000-0000-00000000000A")
    shown = {"id": "00000000-0000-0000-0000-00000000000a"}
    assert data(seen, "match")["path_params"] == shown
    assert data(seen, "handler.call")["arguments"] == shown


SPANS = [
    ("/{a}", "/é", {"a": "é"}),
    ("/{a:int}/{b:float}", "/007/1.50", {"a": "007", "b": "1.50"}),
    ("/{a}.{b}", "/x.tar.gz", {"a": "x.tar", "b": "gz"}),
    ("/v{a:int}-{b}", "/v1-2-3", {"a": "1", "b": "2-3"}),
    ("/{a:path}", "//x//", {"a": "/x//"}),
    ("/{a}/{b:path}/{c}.txt/end", "/1/2/3/4.txt/end", {"a": "1", "b": "2/3", "c": "4"}),
    ("/{a:path}/x", "/x/x/x", {"a": "x/x"}),
    ("/{a:path}/", "/\n/", {"a": "\n"}),
    ("/{a:day}", "/2024-02-29", {"a": "2024-02-29"}),
    ("/", "/", {}),
]


@pytest.mark.parametrize(("template", "path", "texts"), SPANS)
def test_spans_are_where_the_raw_text_stands(
    template: str, path: str, texts: dict[str, str]
) -> None:
    router = Router(converters={"day": Converter(r"(\d+)-(\d+)-(\d+)")})
    router.get(template, name="it")(lambda request, **params: None)
    route, _ = router.match("GET", path)
    assert route is not None
    spans = route.template.spans(path)
    assert {name: path[start:end] for name, (start, end) in spans.items()} == texts


def test_spans_have_the_names_of_their_own_route() -> None:
    router = Router()
    router.get("/{a}.{b}")(lambda request, a, b: None)
    router.post("/{b}.{a}")(lambda request, a, b: None)
    route, _ = router.match("POST", "/long.x")
    assert route is not None
    assert route.template.spans("/long.x") == {"b": (1, 5), "a": (6, 7)}


class Given(str):
    """The very text that a converter was given."""


OWN = {"own": Converter("[a-c.]+", Given), "other": Converter("[^/]{1,3}", Given)}
TEXTS = {
    "int": st.from_regex("[0-9]{1,3}", fullmatch=True),
    "uuid": st.uuids().map(str),
    "str": st.text(st.characters(exclude_characters="/"), min_size=1, max_size=4),
    "own": st.text("abc.", min_size=1, max_size=4),
    "other": st.text("ab.-", min_size=1, max_size=3),
    "path": st.text("ab./", min_size=1, max_size=6),
}
FREE = ("str", "own", "other")


@st.composite
def templates_and_paths(draw: st.DrawFn) -> tuple[str, str]:
    """A template, and a path that it matches."""
    template = path = ""
    has_path = False
    for number in range(draw(st.integers(1, 4))):
        form = draw(st.sampled_from(["literal", "one", "mixed"] + ["path"] * (not has_path)))
        has_path |= form == "path"
        kinds = {
            "literal": [],
            "one": draw(st.lists(st.sampled_from(["int", "uuid", *FREE]), min_size=1, max_size=1)),
            "mixed": ["int", draw(st.sampled_from(FREE)), draw(st.sampled_from(FREE))],
            "path": ["path"],
        }[form]
        texts = [draw(TEXTS[kind]) for kind in kinds]
        parameters = [f"{{p{number}_{index}:{kind}}}" for index, kind in enumerate(kinds)]
        separator = draw(st.sampled_from([".", "-", "ab"]))
        template += "/" + (separator.join(parameters) or "a.b")
        path += "/" + (separator.join(texts) or "a.b")
    return template, path


@given(templates_and_paths())
def test_a_span_holds_what_the_converter_was_given(case: tuple[str, str]) -> None:
    template, path = case
    router = Router(converters=OWN)
    router.get(template, name="it")(lambda request, **params: None)
    route, values = router.match("GET", path)
    assert route is not None
    assert isinstance(values, dict)
    spans = route.template.spans(path)
    assert list(spans) == list(values)
    for parameter in route.template.parameters:
        start, end = spans[parameter.name]
        assert parameter.converter.to_python(path[start:end]) == values[parameter.name]


# --- Who runs -----------------------------------------------------------------------------


def here() -> tuple[int, asyncio.Task[Any] | None]:
    """The thread, and the task, in which this is called."""
    try:
        return threading.get_ident(), asyncio.current_task()
    except RuntimeError:
        return threading.get_ident(), None


@pytest.mark.parametrize("layers", [(), (outer,), (inner,)])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_is_told_of_where_it_runs(
    connect: Connect, protocol: Protocol, is_async: bool, layers: tuple[Layer, ...]
) -> None:
    ran: list[Any] = []

    def plain(request: Request) -> None:
        ran.append(here())

    async def awaited(request: Request) -> None:
        await asyncio.sleep(0)
        ran.append(here())

    app = app_of(awaited if is_async else plain, *layers)
    places: dict[str, Any] = {}
    app.observe(lambda observation: places.update({observation.kind: here()}))
    connect(app).get("/")
    assert [places["handler.call"], places["handler.return"]] == ran * 2
    assert (places["handler.call"][1] is not None) == is_async
    if layers:
        assert places["layer.call"] == places["match"] == places["request"]
    if protocol == "asgi":
        assert (places["handler.call"] == places["match"]) == is_async


# --- Observers ----------------------------------------------------------------------------


def test_several_observers_are_told_everything_in_their_order(connect: Connect) -> None:
    app = app_of(hello)
    order: list[tuple[int, str]] = []
    for number in range(3):
        app.observe(lambda observation, number=number: order.append((number, observation.kind)))
    connect(app).get("/")
    kinds = ("request", "match", "handler.call", "handler.return", "response")
    assert order == [(number, kind) for kind in kinds for number in range(3)]


def test_an_observer_that_raises_changes_nothing_but_the_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(missing, outer, inner)

    @app.observe
    def broken(observation: Observation) -> None:
        raise HTTPException(503)

    seen = observed(app)
    assert connect(app).get("/").status_code == 404
    assert len(seen) == 9
    logged = [record for record in caplog.records if record.name == "microweb"]
    assert len(logged) == 9
    assert logged[0].levelno == logging.ERROR
    message = logged[0].getMessage()
    assert message.startswith("the observer ")
    assert f"broken ({__file__}:" in message
    assert message.endswith("failed at 'request'")


async def waiting(observation: Observation) -> None: ...


def yielding(observation: Observation) -> Iterator[None]:
    yield


def lonely() -> None: ...


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        (5, "observe(5): it cannot be called; give a function of (observation)"),
        (waiting, "nobody would wait for this async function"),
        (yielding, "nobody would wait for this generator function"),
        (lonely, "too many positional arguments; its parameters should be (observation)"),
    ],
)
def test_what_cannot_observe_is_refused(callback: Any, words: str) -> None:
    app = App()
    with pytest.raises(TypeError, match=re.escape(words)):
        app.observe(callback)
    assert app.observers == []


def test_a_callable_that_does_not_tell_its_parameters_is_believed() -> None:
    app = App()
    app.observe({}.update)  # no Python, and no signature
    assert len(app.observers) == 1


def test_an_observer_comes_before_the_first_request(connect: Connect) -> None:
    app = app_of(hello)
    assert app.observe(print) is print
    connect(app)
    seen: list[Observation] = []

    def late(observation: Observation) -> None:
        seen.append(observation)

    with pytest.raises(RuntimeError, match=r"observe\(.*late \(.*after the first.*before it"):
        app.observe(late)
    assert app.observers == [print]


# --- Nobody else notices ------------------------------------------------------------------

SHARED = Response(b"shared", headers={"x-shared": "yes"})


def site() -> App:
    """One of everything."""
    app = App(max_body_size=100)

    @app.middleware
    def cookie(request: Request) -> Generator[None, Response, None]:
        response = yield
        response.set_cookie("seen", request.path.strip("/") or "root")

    @app.middleware
    async def gate(request: Request, call_next: CallNext) -> Any:
        if request.path == "/closed":
            return {"closed": True}, 403
        return await call_next(request)

    app.exception_handler(KeyError)(lambda request, error: {"key": str(error)})
    app.get("/")(hello)
    app.get("/shared")(lambda request: SHARED)
    app.get("/async")(async_hello)
    app.get("/stream")(generated)
    app.get("/async-stream")(async_generated)
    app.get("/missing")(missing)
    app.get("/failing")(failing)
    app.get("/key")(lambda request: request.headers["x-none"])
    app.get("/wrong")(lambda request: object())
    app.get("/status")(lambda request: ("made", 201, {"x-a": "b"}))
    app.get("/none")(lambda request: None)
    app.post("/echo")(lambda request: request.body)
    app.post("/upload", stream=True)(lambda request: b"".join(request.stream))
    app.get("/{a:int}.{b}/")(lambda request, a, b: {"a": a, "b": b})
    return app


REQUESTS = [
    *[("GET", path) for path in ("/", "/shared", "/shared", "/async", "/stream", "/async-stream")],
    *[("GET", path) for path in ("/missing", "/failing", "/key", "/wrong", "/status", "/none")],
    *[("GET", path) for path in ("/closed", "/nothing", "/1.x/", "/1.x", "/x.x/", "/none/")],
    ("HEAD", "/stream"),
    ("HEAD", "/shared"),
    ("POST", "/"),
    ("OPTIONS", "/echo"),
    ("POST", "/echo"),
    ("POST", "/upload"),
]


def test_an_observed_app_answers_as_any_other(connect: Connect) -> None:
    watched = site()
    watched.observe(lambda observation: None)

    @watched.observe
    def broken(observation: Observation) -> None:
        raise ValueError

    plain, other = (connect(app, follow_redirects=False) for app in (site(), watched))
    for method, path in REQUESTS:
        for content in (b"abc", b"x" * 101) if method == "POST" else (b"",):
            one, two = (each.request(method, path, content=content) for each in (plain, other))
            assert (one.status_code, one.content) == (two.status_code, two.content), path
            assert one.headers.raw == two.headers.raw, path


def test_what_a_mounted_application_answers_is_its_own_affair(connect: Connect) -> None:
    app = App()
    app.mount("/other", wsgi=app_of(hello).wsgi)
    seen = observed(app)
    assert connect(app).get("/other/").text == "hello"
    assert seen == []


# --- WebSockets ---------------------------------------------------------------------------


def talking(talk: Callable[..., Any], *layers: Layer) -> App:
    app = App()
    app.websocket("/talk/{room}")(talk)
    for layer in layers:
        app.middleware(layer)
    return app


def ws_client(app: App) -> TestClient:
    return TestClient(app, "asgi", wrap=asgi_validator)


def test_a_handshake_is_told_as_a_get_and_its_handler_to_the_end() -> None:
    places: list[Any] = []

    async def talk(ws: WebSocket, room: str) -> None:
        places.append(here())
        await ws.accept()
        await ws.send_text(await ws.receive_text())

    app = talking(talk, outer, inner)
    seen = observed(app)
    app.observe(lambda each: places.append(here()) if each.kind[:7] == "handler" else None)
    with ws_client(app).websocket_connect("/talk/7") as ws:
        ws.send_text("hi")
        assert ws.receive_text() == "hi"
    assert told(seen) == [
        "request",
        "layer.call outer",
        "layer.call inner",
        "match",
        "handler.call talk",
        "layer.return inner",
        "layer.return outer",
        "response",
        "handler.return talk",
    ]
    assert data(seen, "request")["method"] == "GET"
    assert data(seen, "match")["spans"] == {"room": [6, 7]}
    called = data(seen, "handler.call")
    assert (called["is_async"], called["arguments"]) == (True, {"room": "7"})
    assert data(seen, "response") == {"status": 101, "headers": [], "bytes": b""}
    assert len(places) == 3
    assert len(set(places)) == 1


def test_a_handler_of_a_websocket_that_fails_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(ws: WebSocket, room: str) -> None:
        raise HTTPException(403)

    seen = observed(app := talking(refuse))
    with pytest.raises(WebSocketRefused), ws_client(app).websocket_connect("/talk/7"):
        pass
    names = ["handler.call refuse", "handler.raise refuse"]
    assert told(seen) == ["request", "match", *names, "response"]

    async def answer(ws: WebSocket, room: str) -> str:
        await ws.accept()
        return "done"

    app = talking(answer)
    observed(app)
    with ws_client(app).websocket_connect("/talk/7"):
        pass
    error = caplog.records[-1].exc_info
    assert error is not None
    assert str(error[1]).startswith(f"{answer.__qualname__} ({__file__}")


def test_a_handshake_without_a_route_is_told_as_a_miss() -> None:
    app = talking(async_hello_ws)
    app.get("/page")(hello)
    seen = observed(app)
    with pytest.raises(WebSocketRefused), ws_client(app).websocket_connect("/page"):
        pass
    assert data(seen, "match") == {"route": None, "allow": ["GET", "HEAD"], "redirect": None}
    assert data(seen, "response")["status"] == 404


async def async_hello_ws(ws: WebSocket, room: str) -> None:
    await ws.accept()


def test_a_handshake_that_comes_as_a_mere_request_is_matched_once(connect: Connect) -> None:
    seen = observed(app := talking(async_hello_ws))
    upgrade = {"upgrade": "websocket", "connection": "upgrade"}
    assert connect(app).get("/talk/7", headers=upgrade).status_code == 501
    assert data(seen, "match") == {"route": None, "allow": ["WEBSOCKET"], "redirect": None}
