"""Routing: which handler a path finds, what is said where none is, and the way back to a path."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from functools import partial
from itertools import permutations
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit
from uuid import UUID

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microweb import App, Converter, Request, Router
from microweb.testing import TestClient

from .conftest import Connect, Protocol, steps

SOME_UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
HEX = Converter("[0-9a-f]+", lambda text: int(text, 16), lambda number: f"{number:x}")
DATE = Converter("[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat, date.isoformat)


# --- Small apps and small tools -----------------------------------------------------------


def answering(template: str) -> Callable[..., dict[str, Any]]:
    """A handler that says which route it stands for, and with which parameters."""

    def handler(request: Request, **params: Any) -> dict[str, Any]:
        return {"route": template, "params": {name: repr(v) for name, v in params.items()}}

    return handler


def serving(
    templates: Iterable[str],
    *,
    converters: Mapping[str, Converter] | None = None,
) -> App:
    app = App(converters=converters)
    for template in templates:
        app.get(template, name=template)(answering(template))
    return app


def url_of(path: str) -> str:
    """A URL whose decoded path is `path`, dots and double slashes included."""
    return "http://testserver" + quote(path, safe="/").replace(".", "%2E")


def route_at(client: TestClient, path: str) -> str | None:
    """The template of the route that a path finds; None for a 404."""
    response = client.get(url_of(path))
    if response.status_code == 404:
        return None
    assert response.status_code == 200, response.text
    return str(response.json()["route"])


def param_at(client: TestClient, path: str) -> str | None:
    """The repr of the only parameter that a path gives its handler; None for a 404."""
    response = client.get(url_of(path))
    if response.status_code == 404:
        return None
    assert response.status_code == 200, response.text
    (value,) = response.json()["params"].values()
    return str(value)


Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(protocol: Protocol) -> Iterator[Ask]:
    """`ask(app, method, path)` is the answer to what no HTTP client would send like this."""
    with ExitStack() as stack:

        def enter(app: App, method: str, path: str) -> httpx.Response:
            def wrap(door: Any) -> Any:
                if protocol == "wsgi":
                    raw = path.encode("utf-8").decode("latin-1")
                    changes = {"REQUEST_METHOD": method, "PATH_INFO": raw}
                    return lambda environ, start: door({**environ, **changes}, start)

                async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
                    if scope["type"] == "http":
                        scope = {**scope, "method": method, "path": path}
                    await door(scope, receive, send)

                return asgi

            return stack.enter_context(TestClient(app, protocol, wrap=wrap)).get("/")

        yield enter


def error_of(act: Callable[[], object], kind: type[Exception]) -> str:
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    return str(caught.value)


def place_of(function: Callable[..., Any]) -> str:
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


# --- Templates and converters -------------------------------------------------------------

CONVERSIONS: list[tuple[str, str, object]] = [
    # template, path, the value that the handler gets; None for a 404
    ("/{x}", "/ada", "ada"),
    ("/{x}", "/naïve café", "naïve café"),
    ("/{x}", "/a\nb", "a\nb"),
    ("/{x}", "/a\n", "a\n"),
    ("/{x}", "/a\0b", "a\0b"),
    ("/{x}", "/..", ".."),
    ("/{x}", "/{x}", "{x}"),
    ("/{x:str}", "/7", "7"),
    ("/{x}", "/", None),
    ("/{x}", "/a/b", None),
    ("/{x:int}", "/7", 7),
    ("/{x:int}", "/007", 7),
    ("/{x:int}", "/9999999999999999999", 9999999999999999999),
    ("/{x:int}", "/10000000000000000000", None),
    ("/{x:int}", "/" + "9" * 5000, None),
    ("/{x:int}", "/-7", None),
    ("/{x:int}", "/+7", None),
    ("/{x:int}", "/7\n", None),
    ("/{x:int}", "/ 7", None),
    ("/{x:int}", "/1_000", None),
    ("/{x:int}", "/٣", None),
    ("/{x:int}", "/\uff17", None),
    ("/{x:int}", "/7.0", None),
    ("/{x:float}", "/1.5", 1.5),
    ("/{x:float}", "/2", 2.0),
    ("/{x:float}", "/.5", None),
    ("/{x:float}", "/5.", None),
    ("/{x:float}", "/1e5", None),
    ("/{x:float}", "/nan", None),
    ("/{x:float}", "/inf", None),
    ("/{x:float}", "/1.5\n", None),
    ("/{x:float}", "/1." + "0" * 5000, None),
    ("/{x:uuid}", f"/{SOME_UUID}", UUID(SOME_UUID)),
    ("/{x:uuid}", f"/{SOME_UUID.upper()}", UUID(SOME_UUID)),
    ("/{x:uuid}", f"/{SOME_UUID.replace('-', '')}", None),
    ("/{x:uuid}", f"/{{{SOME_UUID}}}", None),
    ("/{x:uuid}", f"/{SOME_UUID}\n", None),
    ("/{x:path}", "/a/b/c", "a/b/c"),
    ("/{x:path}", "/a", "a"),
    ("/{x:path}", "//a", "/a"),
    ("/{x:path}", "/a/", "a/"),
    ("/{x:path}", "/a//b", "a//b"),
    ("/{x:path}", "/a\n/b\n", "a\n/b\n"),
    ("/{x:path}", "/../../etc/passwd", "../../etc/passwd"),
    ("/{x:path}", "/", None),
    ("/files/{x:path}", "/files/", None),
    ("/files/{x:path}", "/files", None),
    ("/{x:path}/edit", "/a/b/edit", "a/b"),
    ("/{x:path}/edit", "/edit", None),
    ("/{x:path}/edit", "/edit/edit", "edit"),
    ("/v{x:int}", "/v7", 7),
    ("/v{x:int}", "/v", None),
    ("/v{x:int}", "/v7\n", None),
    ("/{x}.json", "/a.json", "a"),
    ("/{x}.json", "/a.b.json", "a.b"),
    ("/{x}.json", "/.json", None),
    ("/{x}.json", "/axjson", None),
    ("/{x}.json", "/a.json\n", None),
    ("/{x}+(a|b)", "/1+(a|b)", "1"),
    ("/{x}+(a|b)", "/1+a", None),
]


@pytest.mark.parametrize(("template", "path", "value"), CONVERSIONS)
def test_a_converter_takes_what_fits_whole_and_nothing_else(
    connect: Connect, template: str, path: str, value: object
) -> None:
    client = connect(serving([template]))
    expected = None if value is None else repr(value)
    assert param_at(client, path) == expected


def test_several_parameters_in_one_segment_each_get_their_part(connect: Connect) -> None:
    app = App()

    @app.get("/{name}.{ext}/{low:int}-{high:int}")
    def show(request: Request, name: str, ext: str, low: int, high: int) -> list[object]:
        return [name, ext, low, high]

    client = connect(app)
    assert client.get("/a.b.txt/3-14").json() == ["a.b", "txt", 3, 14]
    assert client.get("/.txt/3-14").status_code == 404
    assert client.get("/a.txt/3-").status_code == 404


def test_a_literal_may_hold_any_character(connect: Connect) -> None:
    templates = ["/naïve café", "/a+b", "/a.b", "/50%", "/a:b", "/a|b", "/x?y"]
    client = connect(serving(templates))
    for template in templates:
        assert route_at(client, template) == template
    assert route_at(client, "/axb") is None


def test_an_own_converter_gives_its_own_values(connect: Connect) -> None:
    client = connect(serving(["/{day:date}"], converters={"date": DATE}))
    assert param_at(client, "/2024-02-29") == repr(date(2024, 2, 29))


def test_the_value_error_of_a_converter_means_that_the_path_does_not_match(
    connect: Connect,
) -> None:
    client = connect(serving(["/{day:date}", "/{text}"], converters={"date": DATE}))
    assert route_at(client, "/2024-02-29") == "/{day:date}"
    assert route_at(client, "/2023-02-29") == "/{text}"


def test_the_value_error_of_a_converter_in_a_mixed_segment_is_no_match_either(
    connect: Connect,
) -> None:
    client = connect(serving(["/on-{day:date}"], converters={"date": DATE}))
    assert route_at(client, "/on-2024-02-29") == "/on-{day:date}"
    assert route_at(client, "/on-2023-02-29") is None


def test_an_own_pattern_with_alternatives_is_matched_whole(connect: Connect) -> None:
    either = {"either": Converter("cat|category")}
    client = connect(serving(["/{x:either}", "/on-{x:either}"], converters=either))
    assert param_at(client, "/category") == "'category'"
    assert param_at(client, "/on-category") == "'category'"
    assert param_at(client, "/cat") == "'cat'"
    assert param_at(client, "/on-cats") is None
    assert param_at(client, "/catty") is None


def test_an_own_pattern_is_read_as_ascii(connect: Connect) -> None:
    client = connect(serving(["/{x:word}"], converters={"word": Converter(r"\w+")}))
    assert param_at(client, "/word") == "'word'"
    assert param_at(client, "/wörd") is None
    assert param_at(client, "/٣") is None


# --- Precedence ---------------------------------------------------------------------------

OWN = {"digits": Converter("[0-9]+"), "anything": Converter(".+")}

# Every kind that fits the path, the most preferred first.
PREFERENCES = {
    "/77": ["/77", "/7{x}", "/{x:int}", "/{x:float}", "/{x:digits}", "/{x:anything}", "/{x}"],
    f"/{SOME_UUID}": [f"/{SOME_UUID}", "/{x}-{y}", "/{x:uuid}", "/{x:anything}", "/{x}"],
    "/a/77/b": ["/a/77/b", "/a/7{x}/b", "/a/{x:int}/b", "/a/{x}/b", "/a/{x:path}", "/{x}/77/b"],
}


@pytest.mark.parametrize("path", PREFERENCES)
@pytest.mark.parametrize("seed", range(4))
def test_the_most_exact_kind_wins_whatever_the_order_of_registration(
    connect: Connect, path: str, seed: int
) -> None:
    preferred = [*PREFERENCES[path], "/{x:path}"]
    for first in range(len(preferred)):
        templates = preferred[first:]
        random.Random(seed).shuffle(templates)
        client = connect(serving(templates, converters=OWN))
        assert route_at(client, path) == preferred[first], f"of {templates}"


def test_own_converters_stand_in_the_order_in_which_they_were_given(connect: Connect) -> None:
    for names in (["one", "two"], ["two", "one"]):
        converters = {name: Converter("[a-z]+") for name in ("one", "two")}
        converters = {name: converters[name]._replace(to_python=str.upper) for name in names}
        converters["two"] = converters["two"]._replace(to_python=str.title)
        for order in permutations(["/{x:one}", "/{x:two}"]):
            client = connect(serving(order, converters=converters))
            assert route_at(client, "/a") == f"/{{x:{names[0]}}}"


@pytest.mark.parametrize(
    ("better", "other", "path"),
    [
        ("/{name}.json", "/{name}.{ext}", "/a.json"),
        ("/v{number:int}", "/v{name}", "/v7"),
        ("/report-{name}", "/{kind}-{name}", "/report-may"),
        ("/{x:path}/edit", "/{x:path}", "/a/b/edit"),
        ("/{x:path}/{y}", "/{x:path}", "/a/b"),
        ("/{x:path}/a/b", "/{x:path}/b", "/1/a/b"),
    ],
)
def test_of_two_of_one_kind_the_one_that_says_more_wins_whatever_the_order(
    connect: Connect, better: str, other: str, path: str
) -> None:
    for order in ([better, other], [other, better]):
        assert route_at(connect(serving(order)), path) == better, f"of {order}"


@pytest.mark.parametrize(
    ("one", "two", "path"),
    [
        ("/v{x}", "/{x}v", "/vav"),
        ("/{x}-{y:int}", "/{x:int}-{y}", "/1-2"),
        ("/{x}-a", "/b-{x}", "/b-a"),
        ("/{x}.{y}", "/{x}-{y}", "/a.b-c"),
    ],
)
def test_even_two_that_say_as_much_are_told_apart_whatever_the_order(
    connect: Connect, one: str, two: str, path: str
) -> None:
    found = {route_at(connect(serving(order)), path) for order in ([one, two], [two, one])}
    assert len(found) == 1
    assert found <= {one, two}


@pytest.mark.parametrize(
    ("templates", "path", "route"),
    [
        (["/users/me/x", "/users/{name}/y"], "/users/me/y", "/users/{name}/y"),
        (["/{a:int}/x", "/{a}/y"], "/7/y", "/{a}/y"),
        (["/{a:int}/{b:int}/x", "/{a}/7/y", "/{a:path}"], "/7/7/z", "/{a:path}"),
        (["/a/b/c/d", "/a/b/{x}/e", "/a/{y}/c/f", "/{z}/b/c/g"], "/a/b/c/g", "/{z}/b/c/g"),
        (["/a/{x:path}/b", "/a/{x}/{y}/c", "/{x:path}"], "/a/1/2/b", "/a/{x:path}/b"),
        (["/a/{x:path}/b", "/{x:path}/c"], "/a/1/2/c", "/{x:path}/c"),
        (["/{x:path}/a/{y:int}", "/{x:path}"], "/1/a/b", "/{x:path}"),
    ],
)
def test_a_preferred_beginning_that_leads_nowhere_is_left_again(
    connect: Connect, templates: list[str], path: str, route: str
) -> None:
    for order in permutations(templates):
        assert route_at(connect(serving(order)), path) == route, f"of {order}"


def test_a_method_that_the_preferred_route_lacks_is_looked_for_further_on(
    connect: Connect,
) -> None:
    app = App()
    app.get("/users/me")(lambda request: "me")
    app.post("/users/{name}")(lambda request, name: f"posted {name}")
    client = connect(app)
    assert client.get("/users/me").text == "me"
    assert client.post("/users/me").text == "posted me"


def test_what_follows_a_path_parameter_is_never_taken_from_before_it(connect: Connect) -> None:
    optional = {"letters": Converter("[a-z]*")}
    template = "/{p:path}/{a:letters}/{b:letters}/{c:letters}/{d:letters}"
    client = connect(serving([template], converters=optional))
    assert route_at(client, "/x/y") is None
    assert route_at(client, "/x/y/z") is None
    assert route_at(client, "/p/a/b/c/d") == template
    client = connect(serving(["/{p:path}/a//b/a"]))
    assert route_at(client, "/b/a") is None


# --- The oracle ---------------------------------------------------------------------------
#
# A matcher that is slow and obviously right: it tries every route, and compares those that
# match segment by segment, by the preferences that are documented.

LOW = Converter("[a-c]{1,2}")
EVEN = Converter("[0-9]+", lambda text: _even(text))
ORACLE_CONVERTERS = {"low": LOW, "even": EVEN}
ORACLE_KINDS = ["literal", "mixed", "uuid", "int", "float", "low", "even", "str", "path"]
Values = tuple[object, ...]


def _even(text: str) -> int:
    if int(text) % 2:
        raise ValueError(text)
    return int(text)


def _digits(text: str) -> bool:
    return 1 <= len(text) <= 19 and all("0" <= letter <= "9" for letter in text)


def _read(kind: str, text: str) -> object:
    """The value of a parameter; None where the text does not fit its kind."""
    match kind:
        case "str" | "path":
            return text or None
        case "int":
            return int(text) if _digits(text) else None
        case "float":
            whole, point, part = text.partition(".")
            fits = _digits(whole) and (_digits(part) if point else True)
            return float(text) if fits else None
        case "uuid":
            return UUID(text) if len(text) == 36 and text.count("-") == 4 else None
        case "low":
            return text if 1 <= len(text) <= 2 and set(text) <= set("abc") else None
        case "even":
            digits = text != "" and all("0" <= letter <= "9" for letter in text)
            return int(text) if digits and int(text) % 2 == 0 else None
    raise AssertionError(kind)


def _parts(segment: str) -> list[tuple[str, str]]:
    """`v{x:int}` as [("literal", "v"), ("int", "x")]."""
    parts = []
    for literal, name, kind in re.findall(r"([^{]+)|\{(\w+):?(\w*)\}", segment):
        parts.append(("literal", literal) if literal else (kind or "str", name))
    return parts


def _read_mixed(parts: list[tuple[str, str]], text: str) -> Values | None:
    """The values of a mixed segment's parameters; those on the left take all that they can."""
    if not parts:
        return () if not text else None
    kind, name = parts[0]
    if kind == "literal":
        return _read_mixed(parts[1:], text[len(name) :]) if text.startswith(name) else None
    for length in range(len(text), 0, -1):
        value = _read(kind, text[:length])
        rest = _read_mixed(parts[1:], text[length:])
        if value is not None and rest is not None:
            return (value, *rest)
    return None


def _kind_of(segment: str) -> str:
    parts = _parts(segment)
    if not any(kind != "literal" for kind, _ in parts):
        return "literal"
    return parts[0][0] if len(parts) == 1 else "mixed"


def _values(segments: Sequence[str], path: Sequence[str]) -> Values | None:
    """The values with which a template matches a path; None where it does not."""
    if not segments:
        return () if not path else None
    kind = _kind_of(segments[0])
    if kind == "path":
        length = len(path) - (len(segments) - 1)
        if length < 1 or not "/".join(path[:length]):
            return None
        first: Values | None = ("/".join(path[:length]),)
        rest = _values(segments[1:], path[length:])
    else:
        if not path:
            return None
        if kind == "literal":
            first = () if segments[0] == path[0] else None
        else:
            first = _read_mixed(_parts(segments[0]), path[0])
        rest = _values(segments[1:], path[1:])
    return None if first is None or rest is None else first + rest


def _preference(segments: Sequence[str]) -> list[tuple[int, ...]]:
    """One key for each segment; the lowest list is the best."""
    keys: list[tuple[int, ...]] = []
    for index, segment in enumerate(segments):
        kind = _kind_of(segment)
        key = [ORACLE_KINDS.index(kind)]
        if kind == "mixed":  # fewer parameters without a bound are better, then more text
            kinds = [kind for kind, _ in _parts(segment)]
            key.append(len([kind for kind in kinds if kind in ("str", "low", "even")]))
            key.append(-sum(len(name) for kind, name in _parts(segment) if kind == "literal"))
        if kind == "path":  # more behind it is better
            key.append(index - len(segments))
        keys.append(tuple(key))
    return keys


Table = list[tuple[str, str]]  # (method, template)


def _candidates(table: Table, path: str) -> list[tuple[str, str]]:
    split = path.split("/")
    return [row for row in table if _values(row[1].split("/"), split) is not None]


def oracle(table: Table, method: str, path: str) -> tuple[set[str], set[str], str | None]:
    """The templates that answer equally well, mostly one; if none does, allow and redirect."""
    matching = _candidates(table, path)
    takes = [
        template
        for taken, template in matching
        if taken == method or (taken == "GET" and method == "HEAD")
    ]
    if takes:
        best = min(_preference(template.split("/")) for template in takes)
        return {t for t in takes if _preference(t.split("/")) == best}, set(), None
    allow = {taken for taken, _ in matching}
    if allow:
        return set(), allow | ({"HEAD"} if "GET" in allow else set()), None
    other = path[:-1] if path.endswith("/") else path + "/"
    return set(), set(), other if _candidates(table, other) else None


TEMPLATE_SEGMENTS = [
    *["a", "b", "1", "a.b", "", "v{n:int}", "{n}.{m}", "{n}.b", "{n:int}-{m:low}", "{n:path}"],
    *["{n}", "{n:int}", "{n:float}", "{n:uuid}", "{n:low}", "{n:even}"],
]
PATH_SEGMENTS = ["", "a", "b", "1", "2", "1.5", "a.b", "v1", "1-a", "é\n", ".", SOME_UUID]
METHODS = ["GET", "GET", "GET", "POST"]


@st.composite
def template_near(draw: st.DrawFn, path: list[str]) -> str:
    """A template most of whose segments fit the path's; one of them may span several."""
    segments = []
    for text in path:
        fitting = [one for one in TEMPLATE_SEGMENTS if _values([one], [text]) is not None]
        pool = [text, *fitting, *fitting, *fitting, draw(st.sampled_from(TEMPLATE_SEGMENTS))]
        segments.append(draw(st.sampled_from(pool)))
    if draw(st.integers(0, 3)) == 0:
        start = draw(st.integers(0, len(path) - 1))
        end = draw(st.integers(start + 1, len(path)))
        segments[start:end] = ["{n:path}"]
    if draw(st.integers(0, 9)) == 0:
        segments.append("")
    # Numbered from left to right; one path parameter is all that a template may have.
    numbers = iter(range(100))
    text = re.sub(r"\{[nm]", lambda _: f"{{p{next(numbers)}", "/" + "/".join(segments))
    head, kind, tail = text.partition(":path}")
    return head + kind + tail.replace(":path}", "}")


@st.composite
def situations(draw: st.DrawFn) -> tuple[Table, list[str]]:
    """Routes, and paths that several of them are likely to fit."""
    path = draw(st.lists(st.sampled_from(PATH_SEGMENTS), min_size=1, max_size=4))
    row = st.tuples(st.sampled_from(METHODS), template_near(path))
    table = draw(st.lists(row, max_size=8))
    other = draw(st.lists(st.sampled_from(PATH_SEGMENTS), min_size=1, max_size=5))
    return table, ["/" + "/".join(one) for one in (path, [*path, ""], path[:-1], other)]


def router_of(table: Table) -> tuple[Router, Table]:
    """A router with the routes of a table, and those of them that were no duplicates."""
    router = Router(converters=ORACLE_CONVERTERS)
    taken = []
    for method, template in table:
        register = router.route(template, methods=[method], name=template)
        try:
            register(answering(template))
        except ValueError as error:
            if "is there already" not in str(error):
                raise
        else:
            taken.append((method, template))
    return router, taken


@settings(max_examples=300, deadline=None)
@given(situations(), st.sampled_from(["GET", "HEAD", "POST", "DELETE"]))
def test_the_router_finds_what_trying_every_route_finds(
    situation: tuple[Table, list[str]], method: str
) -> None:
    router, table = router_of(situation[0])
    for path in situation[1]:
        best, allow, redirect = oracle(table, method, path)
        route, found = router.match(method, path)
        if route is None:
            assert not isinstance(found, dict)
            assert (set(), found.allow, found.redirect) == (best, allow, redirect)
        else:
            assert isinstance(found, dict)
            assert route.path in best
            assert tuple(found.values()) == _values(route.path.split("/"), path.split("/"))
            assert list(found) == re.findall(r"\{(\w+)", route.path)


@settings(max_examples=300, deadline=None)
@given(situations(), st.randoms(use_true_random=False))
def test_the_order_of_registration_never_matters(
    situation: tuple[Table, list[str]], shuffle: random.Random
) -> None:
    router, table = router_of([("GET", template) for _, template in situation[0]])
    shuffled, _ = router_of(shuffle.sample(table, len(table)))
    for path in situation[1]:
        one, two = router.match("GET", path)[0], shuffled.match("GET", path)[0]
        assert (one and one.path) == (two and two.path)


@settings(max_examples=100, deadline=None)
@given(situations(), st.sampled_from(["GET", "POST", "DELETE"]), st.booleans())
def test_a_mounted_router_matches_as_if_its_routes_were_written_out(
    situation: tuple[Table, list[str]], method: str, mounted_first: bool
) -> None:
    _, table = router_of(situation[0])
    written, _ = router_of([(taken, f"/out/in{template}") for taken, template in table])
    outer, middle, inner = Router(), Router(), Router(converters=ORACLE_CONVERTERS)
    if mounted_first:
        outer.mount("/out", middle)
        middle.mount("/in", inner)
    for taken, template in table:
        inner.route(template, methods=[taken], name=template)(answering(template))
    if not mounted_first:
        middle.mount("/in", inner)
        outer.mount("/out", middle)
    for path in situation[1]:
        for asked in ("/out/in" + path, path):
            one, found_one = outer.match(method, asked)
            two, found_two = written.match(method, asked)
            assert (one and one.path) == (two and two.path)
            if isinstance(found_one, dict) or isinstance(found_two, dict):
                assert found_one == found_two
            else:
                assert found_one.allow == found_two.allow
                assert found_one.redirect == found_two.redirect


# --- Methods ------------------------------------------------------------------------------


def methods_app() -> App:
    app = App()

    @app.get("/item")
    def show(request: Request) -> tuple[str, int, dict[str, str]]:
        return f"shown to {request.method}", 200, {"x-kind": "item"}

    @app.delete("/item")
    def remove(request: Request) -> None:
        return None

    @app.route("/both", methods=["PUT", "PATCH"])
    def both(request: Request) -> str:
        return request.method

    @app.get("/own")
    def own(request: Request) -> str:
        return "got"

    @app.route("/own", methods=["HEAD"])
    def own_head(request: Request) -> tuple[str, int, dict[str, str]]:
        return "never sent", 200, {"x-own": "head"}

    @app.route("/own", methods=["OPTIONS"])
    def own_options(request: Request) -> str:
        return "own options"

    return app


app = methods_app()


def test_a_path_without_a_route_is_404(client: TestClient) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        response = client.request(method, "/nowhere")
        assert response.status_code == 404
        assert "allow" not in response.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "TRACE", "BREW"])
def test_a_method_without_a_route_is_405_and_allow_lists_the_others(
    client: TestClient, method: str, recwarn: pytest.WarningsRecorder
) -> None:
    response = client.request(method, "/item")
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_allow_lists_the_methods_of_every_route_that_fits_the_path(connect: Connect) -> None:
    app = App()
    app.get("/users/me")(lambda request: "")
    app.post("/users/{name}")(lambda request, name: "")
    app.delete("/{x:path}")(lambda request, x: "")
    client = connect(app)
    assert client.put("/users/me").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, POST"
    assert client.put("/users/you").headers["allow"] == "DELETE, OPTIONS, POST"


@pytest.mark.parametrize("method", ["get", "Get", "delete"])
def test_methods_are_told_apart_by_case(ask: Ask, method: str) -> None:
    assert ask(methods_app(), method, "/").status_code == 404
    assert ask(methods_app(), method, "/item").status_code == 405


def test_no_header_overrides_the_method(client: TestClient) -> None:
    response = client.post("/item", headers={"x-http-method-override": "DELETE"})
    assert response.status_code == 405


def test_head_is_answered_by_get_without_the_body(client: TestClient) -> None:
    head, get = client.head("/item"), client.get("/item")
    assert (head.status_code, head.content) == (200, b"")
    assert get.text == "shown to GET"
    assert head.headers["x-kind"] == "item"
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == str(len("shown to HEAD"))


def test_a_head_route_of_its_own_wins_over_get_whatever_the_order(connect: Connect) -> None:
    for order in permutations(["GET", "HEAD"]):
        app = App()
        for method in order:
            answer = ("", 200, {"x-from": method})
            app.route("/", methods=[method])(lambda request, answer=answer: answer)
        client = connect(app)
        assert client.head("/").headers["x-from"] == "HEAD"
        assert client.get("/").headers["x-from"] == "GET"


def test_a_route_for_head_alone_takes_no_get(connect: Connect) -> None:
    app = App()
    app.route("/", methods=["HEAD"])(lambda request: "")
    client = connect(app)
    assert client.head("/").status_code == 200
    assert client.get("/").headers["allow"] == "HEAD, OPTIONS"


def test_head_of_a_path_without_get_is_405(client: TestClient) -> None:
    response = client.head("/both")
    assert (response.status_code, response.content) == (405, b"")
    assert response.headers["allow"] == "OPTIONS, PATCH, PUT"


def test_options_is_answered_with_the_methods_and_no_body(client: TestClient) -> None:
    response = client.options("/item")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_a_route_for_options_wins(client: TestClient) -> None:
    assert client.options("/own").text == "own options"
    assert client.head("/own").headers["x-own"] == "head"


def test_one_handler_answers_each_of_its_methods(client: TestClient) -> None:
    assert client.put("/both").text == "PUT"
    assert client.patch("/both").text == "PATCH"
    assert client.get("/both").status_code == 405


def test_options_of_the_server_as_a_whole_lists_every_method(ask: Ask) -> None:
    app = serving(["/a", "/{x}/b"])
    app.delete("/c")(plain)
    response = ask(app, "OPTIONS", "*")
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_options_of_the_server_is_answered_by_an_app_without_routes(ask: Ask) -> None:
    response = ask(App(), "OPTIONS", "*")
    assert response.status_code == 204
    assert "OPTIONS" in response.headers["allow"]


def test_an_asterisk_is_no_path_for_other_methods(ask: Ask) -> None:
    app = serving(["/{x}", "/{x:path}"])
    assert ask(app, "GET", "*").status_code == 404


def test_an_empty_path_is_the_root(ask: Ask) -> None:
    app = serving(["/"])
    assert ask(app, "GET", "").status_code == 200


@pytest.mark.parametrize("path", ["x", "http://elsewhere/x", "elsewhere:443", "?", "\\x"])
def test_an_odd_target_is_404(ask: Ask, path: str) -> None:
    app = serving(["/x", "/{a}", "/{a:path}", "/x/"])
    assert ask(app, "GET", path).status_code == 404


# --- Slash redirects ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "path", "location"),
    [
        ("/a", "/a/", "/a"),
        ("/", "//", "/"),
        ("/a/", "/a", "/a/"),
        ("/a/{x}", "/a/b/", "/a/b"),
        ("/a/{x:int}/", "/a/7", "/a/7/"),
        ("/{x}/", "/naïve café", "/na%C3%AFve%20caf%C3%A9/"),
        ("/{x}/", "/a?b#c", "/a%3Fb%23c/"),
        ("/{x}/", "/50%", "/50%25/"),
        ("/{x}/", "/a\r\nset-cookie: b=c", "/a%0D%0Aset-cookie:%20b=c/"),
        ("/{x}/", "/\0", "/%00/"),
        ("/{x:path}/b", "/a//b/", "/a//b"),
    ],
)
def test_a_missing_or_extra_slash_redirects_to_the_route(
    connect: Connect, template: str, path: str, location: str
) -> None:
    client = connect(serving([template]))
    response = client.get(url_of(path))
    assert (response.status_code, response.headers["location"]) == (308, location)
    assert client.get(url_of(path), follow_redirects=True).json()["route"] == template


@pytest.mark.parametrize(
    ("template", "path"),
    [("/a", "/a//"), ("/a", "//a"), ("/a/{x:int}", "/a/b/"), ("/a/{x}", "/a/"), ("/a", "/A/")],
)
def test_no_redirect_leads_to_where_there_is_no_route(
    connect: Connect, template: str, path: str
) -> None:
    assert connect(serving([template])).get(url_of(path)).status_code == 404


def test_every_method_is_redirected_and_keeps_its_body(connect: Connect) -> None:
    app = App()
    app.post("/a/")(lambda request: request.text)
    client = connect(app)
    assert client.post("/a", content=b"kept").status_code == 308
    assert client.post("/a", content=b"kept", follow_redirects=True).text == "kept"
    assert client.get("/a", follow_redirects=True).status_code == 405


def test_both_forms_may_be_routes_and_then_nothing_redirects(connect: Connect) -> None:
    client = connect(serving(["/a", "/a/"]))
    assert route_at(client, "/a") == "/a"
    assert route_at(client, "/a/") == "/a/"
    assert client.post("/a/").status_code == 405


@pytest.mark.parametrize(
    "query", ["a=1&a=2", "q=caf%C3%A9&x=%2F%3F", "a=%zz", "a+b=c;d", "=", "a?b=c/d", "%00", "&&"]
)
def test_a_redirect_keeps_the_query_as_it_is(connect: Connect, query: str) -> None:
    response = connect(serving(["/a/"])).get(f"/a?{query}")
    assert response.headers["location"] == f"/a/?{query}"


def test_what_does_not_belong_in_a_query_is_encoded_in_the_redirect(protocol: Protocol) -> None:
    target = b"q=\xc3\xa9<\"' \\#x"

    def wrap(door: Any) -> Any:
        if protocol == "wsgi":
            changes = {"QUERY_STRING": target.decode("latin-1")}
            return lambda environ, start: door({**environ, **changes}, start)

        async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope = {**scope, "query_string": target}
            await door(scope, receive, send)

        return asgi

    with TestClient(serving(["/a/"]), protocol, wrap=wrap) as client:
        location = client.get("/a").headers["location"]
    assert location.startswith("/a/?q=%C3%A9%3C%22")
    assert re.fullmatch(r"[!-~]+", location)
    assert not set(location) & set('<>"\\#')


def test_a_redirect_keeps_the_place_where_the_app_is_mounted(connect: Connect) -> None:
    client = connect(serving(["/a/", "/b"]), root_path="/café/app")
    assert client.get("/café/app/a").headers["location"] == "/caf%C3%A9/app/a/"
    assert client.get("/café/app/b/?q=1").headers["location"] == "/caf%C3%A9/app/b?q=1"


HOSTILE_STARTS = [
    "//",
    "///",
    "/\\",
    "/\\/",
    "\\\\",
    "/\t/",
    "/\n/",
    "/ /",
    "/./",
    "/@",
    "/http://",
]


def is_local(location: str) -> bool:
    """Whether a browser that follows `location` stays on the site."""
    # Browsers drop tabs and newlines, and read a backslash as a slash (WHATWG URL, 4.4).
    read = re.sub(r"[\t\r\n]", "", location).strip().replace("\\", "/")
    whole = urlsplit(urljoin("http://testserver/some/page", read))
    local = read.startswith("/") and not read.startswith("//")
    return local and (whole.scheme, whole.netloc) == ("http", "testserver")


@pytest.mark.parametrize("start", HOSTILE_STARTS)
def test_a_slash_redirect_never_leaves_the_site(connect: Connect, start: str) -> None:
    app = serving(["/{x:path}/here/", "/{x:path}/there"])
    for root_path in ("", "/app"):
        client = connect(app, root_path=root_path)
        for end in ("evil.example/here", "evil.example/there/"):
            path = root_path + "/" + (start + end).removeprefix("/")
            response = client.get(url_of(path))
            assert response.status_code == 308
            assert is_local(response.headers["location"])


def test_no_path_at_all_makes_a_redirect_leave_the_site(connect: Connect) -> None:
    client = connect(serving(["/{x:path}/here/", "/{x:path}/there", "/{x}/", "/{x}/{y}/"]))
    hostile = st.text("/\\.:@ \t\r\n\0aé", max_size=12)

    @settings(max_examples=150, deadline=None)
    @given(hostile, st.sampled_from(["", "/here", "/there/"]))
    def check(beginning: str, end: str) -> None:
        response = client.get(url_of("/" + beginning + end))
        assert response.status_code in (200, 308, 404)
        if response.status_code == 308:
            assert is_local(response.headers["location"])
            assert re.fullmatch(r"[!-~]+", response.headers["location"])

    check()


# --- Routers inside routers ---------------------------------------------------------------


def shop() -> Router:
    router = Router("/shop", "shop")
    router.get("", name="index")(answering("index"))
    router.get("/", name="slash")(answering("slash"))
    router.get("/{item:int}", name="item")(answering("item"))
    return router


def test_a_router_answers_below_its_prefix(connect: Connect) -> None:
    app = App()
    app.mount("/", shop())
    client = connect(app)
    assert route_at(client, "/shop") == "index"
    assert route_at(client, "/shop/") == "slash"
    assert client.get("/shop/7").json() == {"route": "item", "params": {"item": "7"}}
    assert route_at(client, "/shopping") is None
    assert route_at(client, "/7") is None


def test_prefixes_and_names_add_up_from_the_outside_in(connect: Connect) -> None:
    app, site = App(), Router("/site", "site")
    app.mount("/v1", site)
    site.mount("/de", shop())
    client = connect(app)
    assert route_at(client, "/v1/site/de/shop/7") == "item"
    assert app.url_path_for("site.shop.item", item=7) == "/v1/site/de/shop/7"
    assert app.url_path_for("site.shop.index") == "/v1/site/de/shop"


def test_mounting_comes_before_or_after_registration_or_between(connect: Connect) -> None:
    app, outer, inner = App(), Router("/outer"), Router("/inner")
    inner.get("/1")(answering("1"))
    outer.mount("", inner)
    inner.get("/2")(answering("2"))
    app.mount("/app", outer)
    inner.get("/3")(answering("3"))
    client = connect(app)
    for number in "123":
        assert route_at(client, f"/app/outer/inner/{number}") == number


def test_routes_may_come_while_the_app_is_being_served(connect: Connect) -> None:
    app, late = App(), Router()
    app.mount("/late", late)
    client = connect(app)
    assert route_at(client, "/late/1") is None
    late.get("/{x}")(answering("x"))
    assert route_at(client, "/late/1") == "x"


def test_a_router_may_be_mounted_in_two_places(connect: Connect) -> None:
    app, router = App(), Router()
    router.get("/{x}")(answering("x"))
    app.mount("/a", router)
    app.mount("/b", router)
    client = connect(app)
    assert route_at(client, "/a/1") == route_at(client, "/b/1") == "x"
    assert route_at(client, "/c/1") is None


def test_what_is_mounted_in_a_router_is_below_its_prefix_and_takes_its_parameters(
    connect: Connect,
) -> None:
    app, users, posts = App(), Router("/users/{user:int}", "users"), Router("/posts", "posts")

    @posts.get("/{post:int}")
    def show(request: Request, post: int, user: int = 0) -> list[int]:
        return [user, post]

    users.mount("", posts)
    app.mount("", users)
    assert connect(app).get("/users/3/posts/4").json() == [3, 4]
    assert app.url_path_for("users.posts.show", user=3, post=4) == "/users/3/posts/4"


def test_a_handler_that_lacks_the_parameters_of_an_outer_prefix_is_refused() -> None:
    users, posts = Router("/users/{user:int}"), Router("/posts")
    posts.get("/{x}")(with_x)
    message = error_of(lambda: users.mount("", posts), TypeError)
    assert "'/users/{user:int}/posts/{x}'" in message
    assert "(request, user, x)" in message
    posts = Router("/posts/{user}")
    posts.get("/")(answering("posts"))
    message = error_of(lambda: users.mount("", posts), ValueError)
    assert "'user'" in message
    assert "twice" in message


def test_a_prefix_may_have_parameters(connect: Connect) -> None:
    app, posts = App(), Router("/users/{user:int}/posts", "posts")
    app.mount("", posts)

    @posts.get("/{post:int}")
    def show(request: Request, user: int, post: int) -> list[int]:
        return [user, post]

    assert connect(app).get("/users/3/posts/4").json() == [3, 4]
    assert app.url_path_for("posts.show", user=3, post=4) == "/users/3/posts/4"


def test_routes_of_two_routers_meet_in_one_order_of_preference(connect: Connect) -> None:
    app, general, special = App(), Router(), Router()
    general.get("/{x}/edit")(answering("general"))
    special.get("/{x:int}/edit")(answering("special"))
    app.mount("/page", general)
    app.mount("/page", special)
    app.get("/page/7/edit")(answering("literal"))
    client = connect(app)
    assert route_at(client, "/page/a/edit") == "general"
    assert route_at(client, "/page/8/edit") == "special"
    assert route_at(client, "/page/7/edit") == "literal"


def test_methods_of_two_routers_meet_in_one_allow(connect: Connect) -> None:
    app, reading, writing = App(), Router(), Router()
    reading.get("/{x}")(answering("read"))
    writing.post("/{name}")(lambda request, name: name)
    app.mount("/a", reading)
    app.mount("/a", writing)
    client = connect(app)
    assert client.post("/a/1").text == "1"
    assert client.delete("/a/1").headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_a_routers_own_converters_work_wherever_it_is_mounted(connect: Connect) -> None:
    for before in (True, False):
        app, middle, inner = App(), Router("/m"), Router(converters={"hex": HEX})
        if before:
            app.mount("", middle)
            middle.mount("", inner)
        inner.get("/{x:hex}")(answering("hex"))
        if not before:
            middle.mount("", inner)
            app.mount("", middle)
        client = connect(app)
        assert client.get("/m/ff").json() == {"route": "hex", "params": {"x": "255"}}
        assert route_at(client, "/m/fg") is None


def test_two_routers_may_mean_different_things_by_one_converter(connect: Connect) -> None:
    app = App()
    letters = Router("/letters", converters={"code": Converter("[a-z]+")})
    digits = Router("/digits", converters={"code": Converter("[0-9]+", int)})
    for router in (letters, digits):
        router.get("/{x:code}")(answering("code"))
        app.mount("", router)
    client = connect(app)
    assert param_at(client, "/letters/ab") == "'ab'"
    assert param_at(client, "/digits/12") == "12"
    assert param_at(client, "/letters/12") is None
    assert param_at(client, "/digits/ab") is None


# --- url_path_for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "params", "path"),
    [
        ("/", {}, "/"),
        ("/naïve café", {}, "/na%C3%AFve%20caf%C3%A9"),
        ("/50%/{x}", {"x": "5%"}, "/50%25/5%25"),
        ("/{x}", {"x": "a b?c#d&e=f"}, "/a%20b%3Fc%23d&e=f"),
        ("/{x}", {"x": "a\r\nb\0"}, "/a%0D%0Ab%00"),
        ("/{x}", {"x": "a\\b"}, "/a%5Cb"),
        ("/{x}", {"x": 7}, "/7"),
        ("/{x:int}", {"x": 7}, "/7"),
        ("/{x:float}", {"x": 1.5}, "/1.5"),
        ("/{x:uuid}", {"x": UUID(SOME_UUID)}, f"/{SOME_UUID}"),
        ("/{x:path}", {"x": "a/b c/d"}, "/a/b%20c/d"),
        ("/{x:path}/edit", {"x": "a/b"}, "/a/b/edit"),
        ("/{x}.{y}/z", {"x": "a b", "y": "txt"}, "/a%20b.txt/z"),
        ("/{name}", {"name": "ada"}, "/ada"),
        ("/{self}", {"self": "ada"}, "/ada"),
        ("/{x:hex}", {"x": 255}, "/ff"),
        ("/{x:date}", {"x": date(2024, 2, 29)}, "/2024-02-29"),
    ],
)
def test_a_path_is_made_of_a_name_and_parameters(
    template: str, params: dict[str, Any], path: str
) -> None:
    app = App(converters={"hex": HEX, "date": DATE})
    app.get(template, name="it")(lambda request, **params: "")
    made = app.url_path_for("it", **params)
    if "float" in template:
        assert float(made[1:]) == params["x"]
    else:
        assert made == path


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(min_size=1, max_size=20).filter(lambda text: "/" not in text),
    "int": st.integers(0, 10**19 - 1),
    "float": st.integers(0, 10**15).map(lambda number: number / 10**6)
    | st.sampled_from([0.1234567, 0.1 + 0.2, 1e-7, 2.5e-10, 1e18, 1 / 3]),
    "uuid": st.uuids(),
    "path": st.text(min_size=1, max_size=20),
    "hex": st.integers(0, 2**200),
    "date": st.dates(),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_path_that_was_made_leads_back_with_the_same_values(kind: str) -> None:
    router = Router(converters={"hex": HEX, "date": DATE})
    router.get(f"/{{x:{kind}}}", name="one")(lambda request, **params: "")
    router.get(f"/of/{{x:{kind}}}/end", name="two")(lambda request, **params: "")

    @settings(max_examples=100, deadline=None)
    @given(VALUES[kind])
    def check(value: Any) -> None:
        for name in ("one", "two"):
            path = router.url_path_for(name, x=value)
            assert re.fullmatch(r"/[!-~]*", path)
            assert router.match("GET", unquote(path))[1] == {"x": value}

    check()


@pytest.mark.parametrize("value", ["/evil.example", "//evil.example", "/\\evil.example"])
def test_a_path_that_was_made_never_leads_to_another_host(value: str) -> None:
    router = Router()
    router.get("/{x:path}", name="page")(lambda request, x: "")
    path = router.url_path_for("page", x=value)
    assert is_local(path)
    assert router.match("GET", unquote(path))[1] == {"x": value}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("/{x}", ""),
        ("/{x}", "a/b"),
        ("/{x}", "\ud800"),
        ("/{x:int}", -1),
        ("/{x:int}", 10**19),
        ("/{x:int}", "seven"),
        ("/{x:int}", True),
        ("/{x:int}", 1.5),
        ("/{x:float}", -1.5),
        ("/{x:float}", float("nan")),
        ("/{x:float}", float("inf")),
        ("/{x:float}", 1e300),
        ("/{x:uuid}", "not a uuid"),
        ("/{x:path}", ""),
        ("/{x:any}", "a/b"),
        ("/v{x:any}", "a/b"),
    ],
)
def test_a_value_that_the_route_would_not_match_is_refused(template: str, value: object) -> None:
    router = Router(converters={"any": Converter(".+")})
    router.get(template, name="it")(lambda request, x: "")
    with pytest.raises(ValueError, match=r"."):
        router.url_path_for("it", x=value)


def test_a_value_that_does_not_fit_is_named_with_its_route() -> None:
    router = Router()
    router.get("/{x:int}", name="it")(lambda request, x: "")
    message = error_of(lambda: router.url_path_for("it", x="seven"), ValueError)
    assert all(part in message for part in ("'/{x:int}'", "x='seven'", "{x:int}"))


@pytest.mark.parametrize("params", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}])
def test_missing_and_unknown_parameters_are_named(params: dict[str, Any]) -> None:
    router = Router()
    router.get("/{a}/{b}", name="it")(lambda request, a, b: "")
    message = error_of(lambda: router.url_path_for("it", **params), TypeError)
    assert "'/{a}/{b}'" in message
    assert "a, b" in message
    assert (", ".join(params) or "(none)") in message


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    app = serving(["/a", "/b"])
    message = error_of(lambda: app.url_path_for("/c"), LookupError)
    assert "'/c'" in message
    assert "/a, /b" in message
    assert "none at all" in error_of(lambda: Router().url_path_for("x"), LookupError)


def test_a_name_that_two_routes_share_names_both() -> None:
    app = App()
    app.get("/a", name="it")(lambda request: "")
    app.get("/b", name="it")(lambda request: "")
    message = error_of(lambda: app.url_path_for("it"), LookupError)
    assert "'it'" in message
    assert "'/a'" in message
    assert "'/b'" in message


def test_two_methods_of_one_path_may_share_a_name() -> None:
    app = App()
    app.get("/a/{x}", name="it")(lambda request, x: "")
    app.post("/a/{x}", name="it")(lambda request, x: "")
    assert app.url_path_for("it", x=1) == "/a/1"


def test_a_route_is_called_like_its_function_and_the_decorator_returns_that() -> None:
    app = App()

    def show(request: Request) -> str:
        return ""

    assert app.get("/a")(show) is show
    assert app.url_path_for("show") == "/a"


def test_one_function_may_serve_several_routes(connect: Connect) -> None:
    app = App()

    @app.get("/a", name="a")
    @app.get("/b/{x}", name="b")
    @app.post("/a", name="c")
    def show(request: Request, x: str = "default") -> str:
        return f"{request.method} {x}"

    client = connect(app)
    assert client.get("/a").text == "GET default"
    assert client.get("/b/1").text == "GET 1"
    assert client.post("/a").text == "POST default"


# --- What is refused at registration ------------------------------------------------------


def plain(request: Request) -> str:
    return ""


def with_x(request: Request, x: str) -> str:
    return x


MISTAKES: list[tuple[str, Callable[..., Any], type[Exception], list[str]]] = [
    ("users", plain, ValueError, ["'users'", "slash", "'/users'"]),
    ("", plain, ValueError, ["''", "slash", "'/'"]),
    ("{x}", with_x, ValueError, ["'{x}'", "slash", "'/{x}'"]),
    ("/{x:integer}", with_x, ValueError, ["'/{x:integer}'", "'integer'", "int", "float", "path"]),
    ("/{x:}", with_x, ValueError, ["'/{x:}'", "no converter ''"]),
    ("/{x:int:str}", with_x, ValueError, ["'/{x:int:str}'", "'int:str'"]),
    ("/{}", plain, ValueError, ["'/{}'", "identifier"]),
    ("/{a b}", plain, ValueError, ["{a b}", "identifier"]),
    ("/{1a}", plain, ValueError, ["{1a}", "identifier"]),
    ("/{x", with_x, ValueError, ["'/{x'", "brace"]),
    ("/x}", with_x, ValueError, ["'/x}'", "brace"]),
    ("/{{x}}", with_x, ValueError, ["'/{{x}}'", "brace"]),
    ("/{x}{y}", plain, ValueError, ["'/{x}{y}'", "between"]),
    ("/{x}/{x}", with_x, ValueError, ["'/{x}/{x}'", "'x'", "twice"]),
    ("/{x}-{x}", with_x, ValueError, ["'/{x}-{x}'", "'x'", "twice"]),
    ("/{x:path}/{y:path}", plain, ValueError, ["'/{x:path}/{y:path}'", "two path"]),
    ("/v{x:path}", with_x, ValueError, ["'/v{x:path}'", "segment of its own"]),
    ("/{a}-{b}-{c}", plain, ValueError, ["'/{a}-{b}-{c}'", "more than two"]),
    ("/{x}", plain, TypeError, ["'/{x}'", "plain", "(request, x)", place_of(plain)]),
    ("/", with_x, TypeError, ["'/'", "with_x", "(request)", "'x'", place_of(with_x)]),
    ("/{y}", with_x, TypeError, ["'/{y}'", "with_x", "(request, y)"]),
    ("/{x}/{request}", with_x, TypeError, ["'/{x}/{request}'", "with_x", "request"]),
    ("/", lambda: "", TypeError, ["'/'", "<lambda>", "(request)"]),
]


@pytest.mark.parametrize(("template", "handler", "kind", "words"), MISTAKES)
def test_a_mistake_is_refused_with_what_where_and_the_mend(
    template: str, handler: Callable[..., Any], kind: type[Exception], words: list[str]
) -> None:
    message = error_of(lambda: App().get(template)(handler), kind)
    for word in words:
        assert word in message


@pytest.mark.parametrize(("template", "handler", "kind", "words"), MISTAKES[3:])
def test_a_mistake_in_a_router_is_named_with_its_prefix(
    template: str, handler: Callable[..., Any], kind: type[Exception], words: list[str]
) -> None:
    message = error_of(lambda: Router("/prefix").get(template)(handler), kind)
    assert "'/prefix/" in message


def test_a_handler_that_is_no_function_is_refused() -> None:
    wrong: Any = "handler"
    message = error_of(lambda: App().get("/x")(wrong), TypeError)
    assert "'/x'" in message
    assert "'handler'" in message


@pytest.mark.parametrize("method", ["get", "FETCH", "", "GET,POST", "CONNECT"])
def test_an_unknown_method_is_refused(method: str) -> None:
    register = App().route("/x", methods=["POST", method])
    message = error_of(lambda: register(plain), ValueError)
    assert "'/x'" in message
    assert repr(method) in message
    assert "GET, POST" in message


def test_methods_that_are_a_str_are_refused() -> None:
    message = error_of(lambda: App().route("/x", methods="GET")(plain), TypeError)
    assert "'/x'" in message
    assert "['GET']" in message


def test_a_route_that_takes_no_method_at_all_is_refused() -> None:
    message = error_of(lambda: App().route("/x", methods=[])(plain), ValueError)
    assert "'/x'" in message


def same_again() -> Iterator[tuple[str, Callable[[Callable[..., Any], Callable[..., Any]], None]]]:
    def direct(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        app = App()
        app.get("/a/{x}")(first)
        app.get("/a/{y}")(second)

    def among_methods(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        app = App()
        app.route("/a/{x}", methods=["POST", "PUT"])(first)
        app.route("/a/{y}", methods=["PATCH", "PUT"])(second)

    def mounted_after(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        app, router = App(), Router("/a")
        router.get("/{y}")(second)
        app.get("/a/{x}")(first)
        app.mount("", router)

    def mounted_before(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        app, router = App(), Router("/a")
        app.mount("", router)
        app.get("/a/{x}")(first)
        router.get("/{y}")(second)

    def without_parameters(first: Callable[..., Any], second: Callable[..., Any]) -> None:
        app = App()
        app.get("/a")(first)
        app.get("/a")(second)

    for act in (direct, among_methods, mounted_after, mounted_before, without_parameters):
        yield act.__name__, act


@pytest.mark.parametrize(("name", "act"), list(same_again()))
def test_a_duplicate_is_refused_and_both_places_are_named(
    name: str, act: Callable[[Callable[..., Any], Callable[..., Any]], None]
) -> None:
    def first(request: Request, **params: str) -> str:
        return ""

    def second(request: Request, **params: str) -> str:
        return ""

    message = error_of(lambda: act(first, second), ValueError)
    assert "first" in message
    assert "second" in message
    assert place_of(first) in message
    assert place_of(second) in message
    assert "/a" in message
    assert "PUT" in message or "GET" in message


def test_a_refused_duplicate_leaves_the_first_route_as_it_was(connect: Connect) -> None:
    app = App()
    app.get("/{x}")(answering("first"))
    register = app.route("/{y}", methods=["POST", "GET"], name="second")
    error_of(lambda: register(answering("second")), ValueError)
    client = connect(app)
    assert route_at(client, "/1") == "first"
    assert client.post("/1").status_code == 405
    error_of(lambda: app.url_path_for("second", y=1), LookupError)


def takes_prefix(prefix: str) -> None:
    Router(prefix)


def takes_mount(prefix: str) -> None:
    App().mount(prefix, Router())


@pytest.mark.parametrize("prefix", ["admin", "/admin/", "admin/", "//", "/a/b/"])
@pytest.mark.parametrize("take", [takes_prefix, takes_mount])
def test_the_mend_that_a_wrong_prefix_is_told_is_one(
    take: Callable[[str], None], prefix: str
) -> None:
    message = error_of(lambda: take(prefix), ValueError)
    assert repr(prefix) in message
    mends = re.findall(r"write it as '([^']*)'", message)
    assert len(mends) == 1
    take(mends[0])


@pytest.mark.parametrize("prefix", ["", "/"])
def test_the_root_as_a_prefix_is_written_either_way(connect: Connect, prefix: str) -> None:
    app, router = App(), Router(prefix)
    router.get("/a")(answering("a"))
    app.mount(prefix, router)
    assert route_at(connect(app), "/a") == "a"


def test_a_mount_prefix_with_parameters_is_refused() -> None:
    message = error_of(lambda: App().mount("/{x}", Router()), ValueError)
    assert "'/{x}'" in message
    assert "Router(prefix=" in message


def test_a_router_inside_itself_is_refused() -> None:
    one, two, three = Router("/1"), Router("/2"), Router("/3")
    one.mount("", two)
    two.mount("", three)
    for outer, inner in ((one, one), (three, one), (two, one), (three, two)):
        message = error_of(partial(outer.mount, "/x", inner), ValueError)
        assert "itself" in message
        assert "'/x'" in message


def test_an_app_inside_an_app_is_refused() -> None:
    message = error_of(lambda: App().mount("/x", App()), TypeError)
    assert "'/x'" in message
    assert "Router" in message


@pytest.mark.parametrize("kind", ["int", "str", "path", "uuid", "float"])
def test_a_converter_cannot_take_the_name_of_one_that_is_built_in(kind: str) -> None:
    for make in (Router, App):
        message = error_of(partial(make, converters={kind: HEX}), ValueError)
        assert repr(kind) in message


def test_a_converter_with_a_broken_pattern_is_named() -> None:
    def register() -> None:
        router = Router(converters={"broken": Converter("[a-")})
        router.get("/{x:broken}")(with_x)

    message = error_of(register, ValueError)
    assert "'broken'" in message
    assert "[a-" in message


# --- Hostile paths ------------------------------------------------------------------------

EVERY_KIND = [
    *["/", "/a", "/a/", "/a/{x}", "/a/{x}/", "/i/{x:int}", "/f/{x:float}", "/u/{x:uuid}"],
    *["/m/{x}.{y}", "/m/{x}-{y}", "/m/v{x:int}", "/p/{x:path}", "/q/{x:path}/end", "/d/{x:date}"],
    *["/{x}", "/{x:int}", "/{x}/{y}", "/{x}/{y}/{z:int}/"],
]

HOSTILE_PATHS = [
    *["/%0A", "/a%0A", "/i/7%0A", "/i/7%0D%0A", "/%00", "/i/%007", "/a/%00", "/%7F", "/%1B[31m"],
    *["/.", "/..", "/%2E%2E/%2E%2E", "/a/%2E%2E/%2E%2E/etc/passwd", "/...", "/a/%2E/"],
    *["//", "///", "////////", "//a", "/a//", "/a//x", "//a//", "/i//7", "/%2F", "/%2Fa", "/a%2Fx"],
    *["/a%2F", "/%2F%2Fevil.example", "/%5C", "/%5C%5Cevil.example", "/a%5Cx", "/%25", "/%252F"],
    *["/%FF", "/%C3", "/a/%C3%28", "/i/%FF", "/%ED%A0%80", "/%F4%90%80%80", "/%C0%AF", "/%80" * 50],
    *["/%F0%9F%98%80", "/%EF%BC%97", "/i/%D9%A3", "/%E2%80%AE", "/%EF%BB%BF", "/%E2%80%A8"],
    *["/" + "x" * 8192, "/a/" + "x" * 8192, "/m/" + "." * 8192, "/m/" + "-" * 8192],
    *["/m/v" + "9" * 8192, "/" + "%FF" * 8192, "/" + "%0A" * 8192, "/m/" + "a.b-" * 2048],
    *["/i/" + "9" * 5000, "/f/" + "9" * 5000 + ".5", "/f/0." + "9" * 5000, "/u/" + "f" * 8192],
    *["/d/9999-99-99", "/d/0000-00-00", "/d/2023-02-30", "/x/y/" + "1" * 30],
    *["/a" * 5000, "/" * 20000, "/7" * 5000, "/p" + "/a" * 5000, "/q" + "/end" * 5000],
    *["/q" + "/a" * 5000, "/{x}", "/{x:int}", "/a/{x}/", "/*", "/a*", "/;a=b", "/a;b/c", "/@:80"],
]


def test_no_path_that_a_client_can_send_is_answered_with_a_5xx(connect: Connect) -> None:
    client = connect(serving(EVERY_KIND, converters={"date": DATE}))
    for path in HOSTILE_PATHS:
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            response = client.request(method, "http://testserver" + path)
            expected = {"GET": (200, 308, 404), "HEAD": (200, 308, 404)}.get(
                method, (204, 308, 404, 405)
            )
            assert response.status_code in expected, (method, path[:80])


def test_no_path_that_hypothesis_can_find_is_answered_with_a_5xx(connect: Connect) -> None:
    client = connect(serving(EVERY_KIND, converters={"date": DATE}))
    starts = st.sampled_from(["/", "/a/", "/i/", "/f/", "/m/", "/p/", "/q/", "/x/y/1"])

    @settings(max_examples=200, deadline=None)
    @given(starts, st.binary(max_size=30), st.booleans())
    def check(start: str, rest: bytes, every: bool) -> None:
        encoded = "".join(f"%{byte:02X}" for byte in rest) if every else quote(rest)
        response = client.get("http://testserver" + start + encoded)
        assert response.status_code in (200, 308, 404)

    check()


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/%FF", {"x": "\ufffd"}),
        ("/%C3%28", {"x": "\ufffd("}),
        ("/a%2Fb", {"x": "a", "y": "b"}),
        ("/%252F", {"x": "%2F"}),
        ("/%2E%2E", {"x": ".."}),
        ("/%E2%82%AC", {"x": "€"}),
    ],
)
def test_a_path_is_decoded_once_and_alike_through_both_doors(
    connect: Connect, path: str, params: dict[str, str]
) -> None:
    client = connect(serving(["/{x}", "/{x}/{y}"]))
    expected = {name: repr(value) for name, value in params.items()}
    assert client.get("http://testserver" + path).json()["params"] == expected


@pytest.mark.parametrize(
    "path",
    [
        *["/" + "x" * 10**6, "/m/" + "." * 10**6, "/m/" + "-" * 10**6, "/i/" + "9" * 10**6],
        *["/f/" + "9" * 10**6, "/" * 10**6, "/a" * 10**6, "/p" + "/a" * 10**6],
        *["/q" + "/end" * 10**6, "/q" + "/a" * 10**6, "/u/" + "f-" * 10**6, "/m/v" + "9" * 10**6],
    ],
    ids=lambda path: f"{path[:8]}...",
)
def test_a_path_of_a_million_parts_takes_no_more_than_linear_time(path: str) -> None:
    # With a cost that grows as the square of the path's length this would not end today.
    router = serving(EVERY_KIND, converters={"date": DATE})
    before = steps(lambda: router.match("GET", path[:2000]))
    assert steps(lambda: router.match("GET", path)) <= before + 20


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/literal-3/x"),
        ("GET", "/users/ada/section-3"),
        ("GET", "/7/number-3"),
        ("GET", "/files/a/b/c/end-3"),
        ("DELETE", "/users/ada/section-3"),
        ("GET", "/users/ada/nothing"),
        ("GET", "/nothing/at/all"),
        ("GET", "/literal-3"),
    ],
)
def test_the_work_of_a_match_does_not_grow_with_the_number_of_routes(
    method: str, path: str
) -> None:
    def router_with(count: int) -> Router:
        router = Router()
        for number in range(count):
            for template in (
                f"/literal-{number}/x",
                f"/users/{{name}}/section-{number}",
                f"/{{id:int}}/number-{number}",
                f"/files/{{name:path}}/end-{number}",
            ):
                router.get(template)(answering(template))
        return router

    few, many = router_with(5), router_with(500)
    assert steps(lambda: few.match(method, path)) == steps(lambda: many.match(method, path))


def test_a_router_that_nobody_gave_a_route_answers_404(connect: Connect) -> None:
    client = connect(App())
    assert client.get("/").status_code == 404
    assert client.options("/").status_code == 404


def test_a_template_of_thousands_of_segments_is_no_deep_recursion(connect: Connect) -> None:
    literal, mixed = "/a" * 5000, "/{x}" + "/b" * 5000
    app = serving([literal, mixed])
    client = connect(app)
    assert route_at(client, literal) == literal
    assert route_at(client, "/c" + "/b" * 5000) == mixed
    assert route_at(client, literal + "/b") is None
    assert app.url_path_for(literal) == literal
