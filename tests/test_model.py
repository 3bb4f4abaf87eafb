"""The model: headers, cookies, query, JSON, responses, and what a request says of itself."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microweb import (
    App,
    Headers,
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
from microweb.model.cookies import format_cookie, parse_cookies
from microweb.model.headers import HOP_BY_HOP, MultiDict, RequestHeaders
from microweb.model.response import encode_json, to_response
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol, spelled, steps

TOKENS = st.text("abzAZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
BIG = 10**6  # with a cost that grows as the square of the input's length this ends in days


Alter = Callable[..., TestClient]


@pytest.fixture
def altered(protocol: Protocol) -> Iterator[Alter]:
    """`altered(app, environ={...}, scope={...})` is a client whose every request arrives with
    these keys changed; None takes one away."""

    def changed(native: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        merged = {**native, **changes}
        return {key: value for key, value in merged.items() if value is not None}

    with ExitStack() as stack:

        def enter(app: App, *, environ: dict[str, Any], scope: dict[str, Any]) -> TestClient:
            def wrap(door: Any) -> Any:
                checked = CHECKERS[protocol](door)
                if protocol == "wsgi":
                    return lambda native, start: checked(changed(native, environ), start)

                async def asgi(native: dict[str, Any], receive: Any, send: Any) -> None:
                    if native["type"] == "http":
                        native = changed(native, scope)
                    await checked(native, receive, send)

                return asgi

            return stack.enter_context(TestClient(app, protocol, wrap=wrap))

        yield enter


def asked(
    connect: Connect, ask: Callable[[Request], Any], *, root_path: str = ""
) -> Callable[..., Any]:
    """A function that sends a request and gives what `ask` says of it in a handler."""
    app = App()
    seen: list[Any] = []

    def handler(request: Request, **params: str) -> str:
        seen.append(ask(request))
        return ""

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.route("/", methods=methods, name="root")(handler)
    app.route("/{rest:path}", methods=methods, name="rest")(handler)
    client = connect(app, root_path=root_path)

    def send(url: str = "/", method: str = "GET", **arguments: Any) -> Any:
        response = client.request(method, root_path + url, **arguments)
        assert response.status_code == 200, response.text
        return seen.pop()

    return send


# --- MultiDict ----------------------------------------------------------------------------

PAIRS = [("a", "1"), ("b", "2"), ("a", "3"), ("A", "4"), ("", "5")]


def test_a_multidict_gives_the_first_value_and_on_request_all() -> None:
    values = MultiDict(PAIRS)
    assert values["a"] == "1"
    assert values.get("a") == "1"
    assert values.getlist("a") == ["1", "3"]
    assert values["A"] == "4"
    assert values[""] == "5"


def test_a_multidict_says_what_is_not_there() -> None:
    values = MultiDict(PAIRS)
    assert "c" not in values
    assert values.get("c") is None
    assert values.get("c", "default") == "default"
    assert values.getlist("c") == []
    with pytest.raises(KeyError, match="c"):
        values["c"]


def test_a_multidict_lists_each_name_once_and_each_pair_in_order() -> None:
    values = MultiDict(PAIRS)
    assert list(values) == list(values.keys()) == ["a", "b", "A", ""]
    assert list(values.items()) == [("a", "1"), ("b", "2"), ("A", "4"), ("", "5")]
    assert list(values.values()) == ["1", "2", "4", "5"]
    assert dict(values) == {"a": "1", "b": "2", "A": "4", "": "5"}
    assert values.multi_items() == PAIRS
    assert len(values) == 4
    assert values
    assert not MultiDict()


def test_a_multidict_cannot_be_changed_from_outside() -> None:
    pairs = list(PAIRS)
    values = MultiDict(pairs)
    pairs.clear()
    values.multi_items().clear()
    values.getlist("a").clear()
    assert values.multi_items() == PAIRS
    unchangeable: Any = values
    with pytest.raises(TypeError):
        unchangeable["a"] = "9"
    with pytest.raises(TypeError):
        del unchangeable["a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("123"))))
def test_a_multidict_agrees_with_its_pairs(pairs: list[tuple[str, str]]) -> None:
    values = MultiDict(pairs)
    assert values.multi_items() == pairs
    assert set(values) == {name for name, _ in pairs}
    for name in values:
        assert values.getlist(name) == [value for key, value in pairs if key == name]
        assert values[name] == values.getlist(name)[0] == dict(values.items())[name]


# --- Headers ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RequestHeaders, Headers])
def test_headers_are_found_in_any_case_and_repeats_are_joined(
    kind: Callable[..., RequestHeaders],
) -> None:
    headers = kind([("Accept", "a"), ("X-One", "1"), ("ACCEPT", "b, c")])
    assert headers["accept"] == headers["ACCEPT"] == headers.get("Accept") == "a, b, c"
    assert headers.getlist("aCCept") == ["a", "b, c"]
    assert "x-ONE" in headers
    assert "x-two" not in headers
    assert headers.get("x-two") is None
    assert headers.getlist("x-two") == []
    assert list(headers) == ["accept", "x-one"]
    assert list(headers.items()) == [("accept", "a, b, c"), ("x-one", "1")]
    assert headers.multi_items() == [("accept", "a"), ("x-one", "1"), ("accept", "b, c")]
    assert len(headers) == 2
    with pytest.raises(KeyError):
        headers["x-two"]


def test_repeated_cookie_headers_are_joined_as_one(connect: Connect) -> None:
    headers = RequestHeaders([("Cookie", "a=1"), ("cookie", "b=2")])
    assert headers["cookie"] == "a=1; b=2"
    assert dict(headers.items()) == {"cookie": "a=1; b=2"}
    send = asked(connect, lambda request: request.headers["cookie"])
    assert send(headers=[("cookie", "a=1"), ("cookie", "b=2")]) == "a=1; b=2"


@given(st.lists(st.tuples(st.sampled_from(["a", "A", "cookie", "b"]), st.sampled_from("123"))))
def test_the_items_of_headers_agree_with_their_values(pairs: list[tuple[str, str]]) -> None:
    headers = RequestHeaders(pairs)
    assert dict(headers.items()) == {name: headers[name] for name in headers}
    assert [name for name, _ in headers.items()] == list(headers)


def test_a_header_that_is_set_takes_the_place_of_all_with_its_name() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])
    headers["A"] = "4"
    assert sorted(headers.multi_items()) == [("a", "4"), ("b", "2")]
    headers.add("B", "5")
    assert headers.getlist("b") == ["2", "5"]
    del headers["B"]
    assert headers.multi_items() == [("a", "4")]
    with pytest.raises(KeyError):
        del headers["b"]
    assert headers.multi_items() == [("a", "4")]


def test_headers_have_the_methods_of_a_dict() -> None:
    headers = Headers({"A": "1"})
    assert headers.setdefault("a", "2") == "1"
    assert headers.setdefault("b", "2") == "2"
    headers.update({"B": "3", "c": "4"})
    assert headers.pop("C") == "4"
    assert headers.pop("c", "gone") == "gone"
    assert headers == {"a": "1", "b": "3"}
    headers.clear()
    assert not headers


def test_a_copy_of_headers_is_independent() -> None:
    headers = Headers([("a", "1"), ("a", "2")])
    twin = headers.copy()
    twin.add("a", "3")
    headers["b"] = "1"
    assert headers.multi_items() == [("a", "1"), ("a", "2"), ("b", "1")]
    assert twin.multi_items() == [("a", "1"), ("a", "2"), ("a", "3")]


@pytest.mark.parametrize("kind", [RequestHeaders, Headers])
def test_headers_made_of_headers_keep_repeats_apart(kind: Callable[..., RequestHeaders]) -> None:
    cookies = [("set-cookie", "a=1"), ("x", "1"), ("set-cookie", "b=2")]
    assert Headers(kind(cookies)).multi_items() == cookies


def test_set_cookie_is_never_merged_on_its_way_out(connect: Connect) -> None:
    app = App()
    cookies = Headers([("set-cookie", "a=1"), ("set-cookie", "b=2; Path=/")])
    app.get("/response")(lambda request: Response("x", headers=cookies))
    app.get("/tuple")(lambda request: ("x", 200, cookies))
    app.get("/json")(lambda request: JSONResponse([], headers=cookies))
    app.get("/redirect")(lambda request: RedirectResponse("/", headers=cookies))

    @app.get("/error")
    def error(request: Request) -> None:
        raise HTTPException(400, headers=cookies)

    client = connect(app)
    for path in ("/response", "/tuple", "/json", "/redirect", "/error"):
        sent = client.get(path).headers.get_list("set-cookie")
        assert sent == ["a=1", "b=2; Path=/"], path


BAD_NAMES = ["", " ", "a b", "a:", ":a", "a\r\nb", "a\n", "a\0", "é", "a\tb", "a,b", "(a)", '"a"']
BAD_VALUES = ["a\r\nb: c", "a\n", "\r", "a\0b", "a\x0bb", "a\x1b", "\x7f", "€", "\ud800", "a\n b"]


def header_setters() -> dict[str, Callable[[Any, Any], Any]]:
    return {
        "Headers(pairs)": lambda name, value: Headers([(name, value)]),
        "Headers(mapping)": lambda name, value: Headers({name: value}),
        "[]": lambda name, value: Headers().__setitem__(name, value),
        "add": lambda name, value: Headers().add(name, value),
        "update": lambda name, value: Headers().update({name: value}),
        "setdefault": lambda name, value: Headers().setdefault(name, value),
        "Response": lambda name, value: Response("", 200, {name: value}),
        "StreamingResponse": lambda name, value: StreamingResponse(iter([]), 200, {name: value}),
        "RedirectResponse": lambda name, value: RedirectResponse("/", 302, {name: value}),
        "JSONResponse": lambda name, value: JSONResponse(0, 200, [(name, value)]),
        "HTTPException": lambda name, value: HTTPException(400, None, {name: value}),
        "to_response": lambda name, value: to_response(("", 200, {name: value}), header_setters),
    }


@pytest.mark.parametrize("setter", header_setters())
def test_what_would_break_a_message_is_refused_where_a_header_is_set(setter: str) -> None:
    set_header = header_setters()[setter]
    for name in BAD_NAMES:
        with pytest.raises(ValueError, match="not a token"):
            set_header(name, "value")
    for value in BAD_VALUES:
        with pytest.raises(ValueError, match="control characters or text beyond Latin-1"):
            set_header("x-name", value)
    for name in HOP_BY_HOP:
        with pytest.raises(ValueError, match="hop-by-hop"):
            set_header(name.title(), "value")
    for pair in (("x", 5), ("x", b"v"), ("x", None), (b"x", "v")):
        with pytest.raises(TypeError, match="must both be str"):
            set_header(*pair)


@given(TOKENS, st.text(" \t\n\x7faé;", max_size=5))
def test_a_header_that_was_taken_can_be_sent(name: str, value: str) -> None:
    try:
        headers = Headers([(name, value)])
    except ValueError:
        return
    ((sent_name, sent_value),) = headers.multi_items()
    assert sent_name == name.lower()
    # What every server takes: RFC 9110, 5.5, without blanks at the ends.
    assert re.fullmatch(r"([!-~\x80-\xff]([ -~\t\x80-\xff]*[!-~\x80-\xff])?)?", sent_value)
    assert sent_value == value.strip(" \t")


@given(st.text(max_size=5), st.text(max_size=10))
def test_no_header_at_all_gets_past_the_checks_with_a_control_character(
    name: str, value: str
) -> None:
    try:
        headers = Headers([(name, value)])
    except ValueError:
        return
    for text in headers.multi_items()[0]:
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text)
        text.encode("latin-1")


def test_the_error_of_a_header_names_it() -> None:
    with pytest.raises(ValueError, match=r"'x-name'.*'a\\nb'.*percent-encode"):
        Headers({"x-name": "a\nb"})
    with pytest.raises(ValueError, match=r"'x name'"):
        Headers({"x name": "a"})
    with pytest.raises(ValueError, match=r"'connection'.*the server"):
        Headers({"Connection": "close"})


def test_headers_refused_leave_the_others_as_they_were() -> None:
    headers = Headers({"a": "1"})
    for act in (headers.add, headers.__setitem__):
        with pytest.raises(ValueError, match="control"):
            act("a", "\n")
    assert headers.multi_items() == [("a", "1")]


def test_the_work_on_headers_grows_no_faster_than_their_number() -> None:
    def work(count: int, act: Callable[[RequestHeaders], object]) -> int:
        headers = RequestHeaders([(f"x-{number}", "1") for number in range(count)])
        return steps(lambda: act(headers))

    for act in (
        lambda headers: dict(headers.items()),
        lambda headers: headers.getlist("x-1"),
        lambda headers: headers.get("none"),
        lambda headers: headers.multi_items(),
        len,
        list,
    ):
        assert work(2000, act) < 3 * work(1000, act) + 100


def test_the_headers_of_a_request_are_read_only_and_keep_their_values(connect: Connect) -> None:
    def ask(request: Request) -> Any:
        unchangeable: Any = request.headers
        with pytest.raises(TypeError):
            unchangeable["x-a"] = "2"
        with pytest.raises(TypeError):
            del unchangeable["x-a"]
        assert not hasattr(unchangeable, "add")
        return request.headers["X-A"], request.headers.get("x-b"), "x-c" in request.headers

    send = asked(connect, ask)
    assert send(headers={"X-a": "naïve".encode("latin-1")}) == ("naïve", None, False)
    assert send(headers=[("x-a", ""), ("x-b", 'q="a, b"')]) == ("", 'q="a, b"', False)


def test_repeated_headers_of_a_request_are_joined_alike(connect: Connect) -> None:
    send = asked(connect, lambda request: request.headers["accept"].replace(", ", ","))
    assert send(headers=[("accept", "a/b"), ("Accept", "c/d")]) == "a/b,c/d"


def test_content_type_and_length_are_headers_like_the_others(connect: Connect) -> None:
    names = ("content-type", "content-length")
    send = asked(connect, lambda request: [request.headers.get(name) for name in names])
    assert send(method="POST", content=b"abc", headers={"content-type": "a/b"}) == ["a/b", "3"]
    assert send() == [None, None]


def test_any_bytes_in_a_header_are_no_5xx(connect: Connect) -> None:
    app = App()

    @app.get("/")
    def show(request: Request) -> list[str]:
        return [*request.headers.values(), *request.cookies.values(), request.url]

    client = connect(app)
    names = ["x-a", "cookie", "host", "accept", "content-type", "referer"]

    @settings(max_examples=60, deadline=None)
    @given(st.sampled_from(names), st.binary(max_size=30))
    def check(name: str, value: bytes) -> None:
        value = bytes(byte for byte in value if byte not in b"\0\r\n")
        response = client.get("/", headers={name.encode(): value})
        assert response.status_code < 500

    check()


# --- Cookies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "cookies"),
    [
        ("", {}),
        (";", {}),
        (" ; ; ", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        (" a = 1 ;\tb\t=\t2\t", {"a": "1", "b": "2"}),
        ("a=1; a=2", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a==", {"a": "="}),
        ("a=1 2", {"a": "1 2"}),
        ("a=1,b=2", {"a": "1,b=2"}),
        ("A=1; a=2", {"A": "1", "a": "2"}),
        # What is nameless is no name, and hides nothing.
        ("secret", {}),
        ("=secret", {}),
        ("=a=1", {}),
        ("junk; a=1", {"a": "1"}),
        ("=x; a=1", {"a": "1"}),
        ("a=1; junk; b=2", {"a": "1", "b": "2"}),
        ("{[@]}; a=1", {"a": "1"}),
        # Quotes are taken off, and do not reach across a semicolon.
        ('a="1"', {"a": "1"}),
        ('a=""', {"a": ""}),
        ('a="', {"a": '"'}),
        ('a="1', {"a": '"1'}),
        ('a=1"', {"a": '1"'}),
        ('a="1; b=2; c=3"', {"a": '"1', "b": "2", "c": '3"'}),
        ('a="x"y"', {"a": 'x"y'}),
        ('a="\\"b\\""', {"a": '"b"'}),
        (r'a="\054\073"', {"a": ",;"}),
        (r'a="\303\251"', {"a": "é"}),
        (r'a="\999"', {"a": "999"}),
        (r'a="\777"', {"a": "777"}),
        ('a="\\"', {"a": "\\"}),
        (r"a=\054", {"a": r"\054"}),
        # Bytes come as Latin-1, and browsers mean UTF-8.
        ("a=Ã©", {"a": "é"}),
        ("a=é", {"a": "\ufffd"}),
        ("Ã©=1", {"é": "1"}),
        ("$Version=1; a=1", {"$Version": "1", "a": "1"}),
        ("__proto__=1; a=1", {"__proto__": "1", "a": "1"}),
    ],
)
def test_a_cookie_header_is_read_pair_by_pair(header: str, cookies: dict[str, str]) -> None:
    assert parse_cookies(header) == cookies


def cookie_of(set_cookie: str) -> str:
    """What a browser sends back for a Set-Cookie header (RFC 6265, 5.2)."""
    return set_cookie.partition(";")[0]


@given(TOKENS, st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_a_cookie_comes_back_as_it_was_set(name: str, value: str) -> None:
    sent = format_cookie(name, value)
    assert re.fullmatch(r"[ -~]+", sent)
    assert parse_cookies(cookie_of(sent)) == {name: value}
    assert parse_cookies(f"x=1; {cookie_of(sent)};y=2") == {"x": "1", "y": "2", name: value} | (
        {name: {"x": "1"}.get(name, value)}
    )


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_name_and_no_value_adds_a_cookie_or_an_attribute(name: str, value: str) -> None:
    try:
        sent = format_cookie(name, value, path=None, samesite=None)
    except ValueError:
        return
    assert ";" not in sent
    Headers({"set-cookie": sent})


ATTRIBUTES = ["a; Secure", "a\r\nb: c", "a\n", "\0", "a\tb", "é", "a;"]


@pytest.mark.parametrize("value", ATTRIBUTES)
@pytest.mark.parametrize("attribute", ["path", "domain", "samesite"])
def test_an_attribute_cannot_bring_another_one(attribute: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"(?i)'name'.*{attribute}") as caught:
        format_cookie("name", "value", **{attribute: value})  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a,b", "é", "a\n", '"a"', "a\0", "[a]"])
def test_a_cookie_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="token"):
        format_cookie(name, "1")
    with pytest.raises(ValueError, match="token"):
        Response().set_cookie(name, "1")
    with pytest.raises(ValueError, match="token"):
        Response().delete_cookie(name)


@pytest.mark.parametrize(
    ("arguments", "attributes"),
    [
        ({}, ["Path=/", "SameSite=Lax"]),
        ({"path": None, "samesite": None}, []),
        ({"path": "/a b", "samesite": "Strict"}, ["Path=/a b", "SameSite=Strict"]),
        ({"max_age": 60}, ["Max-Age=60", "Path=/", "SameSite=Lax"]),
        ({"max_age": 0}, ["Max-Age=0", "Path=/", "SameSite=Lax"]),
        ({"max_age": -1}, ["Max-Age=-1", "Path=/", "SameSite=Lax"]),
        ({"max_age": timedelta(hours=1)}, ["Max-Age=3600", "Path=/", "SameSite=Lax"]),
        ({"domain": "example.org"}, ["Domain=example.org", "Path=/", "SameSite=Lax"]),
        (
            {"secure": True, "httponly": True, "samesite": "none"},
            ["HttpOnly", "Path=/", "SameSite=None", "Secure"],
        ),
        (
            {"expires": datetime(1994, 11, 6, 9, 49, 37, tzinfo=timezone(timedelta(hours=1)))},
            ["Expires=Sun, 06 Nov 1994 08:49:37 GMT", "Path=/", "SameSite=Lax"],
        ),
        (
            {"expires": datetime(1, 1, 1, tzinfo=UTC)},
            ["Expires=Mon, 01 Jan 0001 00:00:00 GMT", "Path=/", "SameSite=Lax"],
        ),
    ],
)
def test_the_attributes_of_a_cookie_are_written_as_browsers_read_them(
    arguments: dict[str, Any], attributes: list[str]
) -> None:
    response = Response()
    response.set_cookie("a", "1", **arguments)
    cookie, *written = response.headers["set-cookie"].split("; ")
    assert cookie == "a=1"
    assert sorted(written) == attributes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"expires": datetime(2024, 1, 1)}, "time zone"),
        ({"samesite": "none"}, "without secure"),
        ({"samesite": "loose"}, "strict, lax or none"),
    ],
)
def test_a_cookie_that_browsers_would_refuse_is_refused(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=f"'a'.*{words}"):
        format_cookie("a", "1", **arguments)


def test_cookies_are_set_beside_each_other_and_deleted_with_their_attributes() -> None:
    response = Response()
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    response.delete_cookie("a", path="/x", domain="example.org", secure=True, samesite="none")
    first, second, third = response.headers.getlist("set-cookie")
    assert first.startswith("a=1;")
    assert second.startswith("b=2;")
    assert third.startswith("a=;")
    for part in ("Max-Age=0", "Path=/x", "Domain=example.org", "Secure", "SameSite=None"):
        assert part in third.split("; ")


def test_the_cookies_of_a_request_are_read_alike(connect: Connect) -> None:
    send = asked(connect, lambda request: request.cookies)
    assert send() == {}
    assert send(headers={"cookie": 'a=1; junk; b="2"'}) == {"a": "1", "b": "2"}
    assert send(headers={"cookie": "a=é".encode()}) == {"a": "é"}
    assert send(headers=[("cookie", "a=1"), ("cookie", "b=2; a=3")]) == {"a": "1", "b": "2"}


def test_a_cookie_goes_to_the_client_and_comes_back(connect: Connect) -> None:
    app = App()
    value = 'naïve; "café", = \\ €\n'

    @app.get("/set")
    def set_it(request: Request) -> Response:
        response = Response("x")
        response.set_cookie("it", value)
        return response

    @app.get("/get")
    def get_it(request: Request) -> str:
        return request.cookies["it"]

    client = connect(app)
    sent = cookie_of(client.get("/set").headers["set-cookie"])
    assert connect(app).get("/get", headers={"cookie": sent}).text == value


@pytest.mark.parametrize(
    "piece", [";", "a=1;", '"', "\\", '\\"', '"\\', "=", " ", "\t ", "\\05", ","]
)
@pytest.mark.parametrize("start", ["", "a=", 'a="'])
def test_a_hostile_cookie_header_takes_linear_time(start: str, piece: str) -> None:
    for end in ("", '"'):
        cookies = parse_cookies(start + piece * (BIG // len(piece)) + end)
        assert len(cookies) <= 2


def test_the_work_on_cookies_grows_no_faster_than_their_number() -> None:
    def work(count: int) -> int:
        header = "; ".join(f'c{number}="\\"\\054"' for number in range(count))
        return steps(lambda: parse_cookies(header))

    assert work(2000) < 3 * work(1000)


# --- Query --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("=1", [("", "1")]),
        ("a=b=c", [("a", "b=c")]),
        ("&&a=1&&", [("a", "1")]),
        ("a=1;b=2", [("a", "1;b=2")]),
        ("a+b=c+d", [("a b", "c d")]),
        ("a%20b=c%2Bd", [("a b", "c+d")]),
        ("a=%26%3D%3F", [("a", "&=?")]),
        ("q=caf%C3%A9", [("q", "café")]),
        ("q=%FF", [("q", "\ufffd")]),
        ("q=%C3", [("q", "\ufffd")]),
        ("q=%ED%A0%80", [("q", "\ufffd\ufffd\ufffd")]),
        ("q=%zz%", [("q", "%zz%")]),
        ("q=%4", [("q", "%4")]),
        ("q=%00%0A", [("q", "\0\n")]),
        ("%71=1", [("q", "1")]),
        ("a[]=1&a[]=2", [("a[]", "1"), ("a[]", "2")]),
    ],
)
def test_a_query_is_read_pair_by_pair(
    connect: Connect, query: str, pairs: list[tuple[str, str]]
) -> None:
    send = asked(connect, lambda request: request.query.multi_items())
    assert send(f"/?{query}") == pairs


def test_a_query_of_bytes_that_nobody_encoded_is_read_as_utf_8(altered: Alter) -> None:
    app = App()
    app.get("/")(lambda request: [request.query["q"], request.query["é"]])
    raw = "q=naïve €&é=%C3%A9".encode()
    changes = {"QUERY_STRING": raw.decode("latin-1")}
    client = altered(app, environ=changes, scope={"query_string": raw})
    assert client.get("/").json() == ["naïve €", "é"]


@pytest.mark.filterwarnings("ignore:QUERY_STRING is not in the WSGI environment")
def test_no_query_is_an_empty_one(altered: Alter) -> None:
    app = App()
    app.get("/")(lambda request: [len(request.query), request.query_string, request.url[-1]])
    for empty in ("", None):
        scope = {"query_string": b""}
        client = altered(app, environ={"QUERY_STRING": empty}, scope=scope)
        assert client.get("/").json() == [0, "", "/"]


def test_the_query_is_a_read_only_multidict(connect: Connect) -> None:
    def ask(request: Request) -> Any:
        query: Any = request.query
        with pytest.raises(TypeError):
            query["a"] = "9"
        return query["a"], query.get("b"), query.getlist("a"), dict(query.items())

    send = asked(connect, ask)
    assert send("/?a=1&a=2") == ("1", None, ["1", "2"], {"a": "1"})


@pytest.mark.parametrize("query", ["a=1&" * 1000 + "a=1", "&" * 1000, "a&" * 5000, "=&" * 1001])
def test_too_many_parameters_are_400(connect: Connect, query: str) -> None:
    app = App()
    app.get("/")(lambda request: request.query.get("a"))
    response = connect(app).get(f"/?{query}")
    assert response.status_code == 400
    assert "1000 parameters" in response.text


def test_a_thousand_parameters_are_not_too_many(connect: Connect) -> None:
    send = asked(connect, lambda request: len(request.query.getlist("a")))
    assert send("/?" + "&".join(["a=1"] * 1000)) == 1000


def test_a_query_that_nobody_asked_for_is_not_parsed(connect: Connect) -> None:
    app = App()
    app.get("/")(lambda request: "not asked for")
    assert connect(app).get("/?" + "a&" * 2000).text == "not asked for"


def test_any_query_is_read_back_as_it_was_written(connect: Connect) -> None:
    send = asked(connect, lambda request: request.query.multi_items())
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(text, text), max_size=5))
    def check(pairs: list[tuple[str, str]]) -> None:
        assert send("/?" + urlencode(pairs)) == pairs

    check()


def test_no_query_that_a_client_can_send_is_a_5xx(connect: Connect) -> None:
    app = App()
    app.get("/")(lambda request: [*map(list, request.query.multi_items()), request.url])
    client = connect(app)

    @settings(max_examples=100, deadline=None)
    @given(st.text("%&=+;?é\\<0aF", max_size=40))
    def check(query: str) -> None:
        assert client.get(f"/?{query}").status_code == 200

    check()
    assert client.get("/?" + "%" * 20000).status_code == 200
    assert client.get("/?a=" + "%C3" * 10000).status_code == 200


# --- request.json -------------------------------------------------------------------------


def json_app() -> App:
    app = App()

    @app.post("/plain")
    def plain(request: Request) -> dict[str, Any]:
        return {"got": request.json()}

    @app.post("/async")
    async def awaited(request: Request) -> dict[str, Any]:
        return {"got": request.json()}

    @app.get("/plain")
    def without_body(request: Request) -> dict[str, Any]:
        return {"got": request.json()}

    return app


app = json_app()


@pytest.mark.parametrize("path", ["/plain", "/async"])
@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        (b' \r\n\t"x" \n', "x"),
        (b"0", 0),
        ('"é\\u20ac\\ud83d\\ude00"'.encode(), "é€😀"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"-1e3", -1000.0),
        (b"1" * 4300, int("1" * 4300)),
        (b"[" * 50 + b"]" * 50, None),
    ],
)
def test_a_json_body_is_read(client: TestClient, path: str, body: bytes, value: object) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert value is None or response.json() == {"got": value}


NO_JSON: dict[str, tuple[bytes, str]] = {
    # what it is: the body, and what is in the answer
    "empty": (b"", "JSON"),
    "blank": (b"  \n", "JSON"),
    "cut": (b'{"a": ', "line 1"),
    "trailing": (b"{} {}", "line 1"),
    "comma": (b"[1,]", "line 1"),
    "quotes": (b"{'a': 1}", "line 1"),
    "text": (b"hello", "line 1"),
    "form": (b"a=1&b=2", "line 1"),
    "control": (b'"a\nb"', "control"),
    "second line": (b"[1,\n x]", "line 2"),
    "NaN": (b"[NaN]", "NaN"),
    "Infinity": (b"[Infinity]", "Infinity"),
    "-Infinity": (b"-Infinity", "Infinity"),
    "latin-1": ('"é"'.encode("latin-1"), "UTF-8"),
    "utf-16": ('"é"'.encode("utf-16"), "UTF-8"),
    "utf-8 cut": (b'"\xc3', "UTF-8"),
    "surrogate": (b'"\xed\xa0\x80"', "UTF-8"),
    "overlong": (b'"\xc0\xaf"', "UTF-8"),
    "BOM": (b"\xef\xbb\xbf{}", "JSON"),
    "NUL": (b"\0", "JSON"),
    "bottomless list": (b"[" * 100_000, "deep|levels"),
    "bottomless list, closed": (b"[" * 100_000 + b"]" * 100_000, "deep|levels"),
    "bottomless dict": (b'{"a":' * 100_000, "deep|levels"),
    "huge number": (b"1" * 5000, "long|digits"),
    "hugest number": (b"-" + b"9" * 1_000_000, "long|digits"),
    "huge number inside": (b'{"a": [' + b"1" * 5000 + b"]}", "long|digits"),
    "leading zero": (b"01", "line 1"),
    "hexadecimal": (b"0x10", "line 1"),
}


@pytest.mark.parametrize("what", NO_JSON)
@pytest.mark.parametrize("path", ["/plain", "/async"])
def test_a_body_that_is_no_json_is_400_and_says_why(
    client: TestClient, path: str, what: str
) -> None:
    body, words = NO_JSON[what]
    response = client.post(path, content=body)
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("text/plain")
    assert re.search(words, response.text)
    assert len(response.text) < 200


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"[1.5, 1e400]", b"9" * 400 + b".0"])
def test_a_number_that_overflows_is_the_clients_error(client: TestClient, number: bytes) -> None:
    # Python reads it as infinity, which cannot be sent back.
    assert client.post("/plain", content=number).status_code == 400


@pytest.mark.parametrize("path", ["/plain", "/async"])
def test_whatever_depth_can_be_read_can_be_sent_back(client: TestClient, path: str) -> None:
    limit = sys.getrecursionlimit()
    for depth in [*range(10, limit - 150, 100), *range(limit - 150, limit + 20, 7)]:
        for body in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            assert client.post(path, content=body).status_code in (200, 400), depth


@pytest.mark.parametrize(
    "value", ["[" * 300, '"[' * 300, "\\" * 3 + '"{[' * 300, [[]] * 300, {"[" * 300: [{}] * 300}]
)
def test_brackets_that_are_no_depth_are_not_taken_for_it(client: TestClient, value: Any) -> None:
    assert client.post("/plain", json=value).json() == {"got": value}


@pytest.mark.parametrize("start", [b"", b"[" * 300, b"[" * 300 + b'"', b'{"":' * 300 + b'"\\'])
@pytest.mark.parametrize(
    "piece", [b'\\"', b'"', b"\\", b'""', b"[", b"[]", b"{", b"]", b'"[', b"1"]
)
def test_a_hostile_json_body_takes_linear_time(
    client: TestClient, start: bytes, piece: bytes
) -> None:
    assert client.post("/plain", content=start + piece * BIG).status_code == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=latin-1",
        " application/json ",
        "application/problem+json",
        "application/vnd.api+json; v=1",
    ],
)
def test_json_is_taken_under_its_content_types(client: TestClient, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert client.post("/plain", content=b"1", headers=headers).json() == {"got": 1}


def test_json_is_taken_without_a_content_type(client: TestClient) -> None:
    assert client.post("/plain", content=b"1").json() == {"got": 1}
    assert client.post("/plain", content=b"1", headers={"content-type": ""}).json() == {"got": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        *["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
        *["text/json", "application/jsonp", "application/jsonx", "json", "*/*", "application/"],
        *["text/plain; application/json", "text/plain, application/json", "; application/json"],
        *["text/plain;a=+json", "é", "application/javascript"],
    ],
)
def test_another_content_type_is_415_whatever_the_body(
    client: TestClient, content_type: str
) -> None:
    # A multipart body has been parsed by then, and must be one.
    for body in (b"--x--\r\n",) if "multipart" in content_type else (b"{}", b"no json"):
        headers = {b"content-type": content_type.encode("latin-1")}
        response = client.post("/plain", content=body, headers=headers)
        assert response.status_code == 415
        assert "application/json" in response.text


def test_a_get_has_no_body_and_so_no_json(client: TestClient) -> None:
    response = client.request("GET", "/plain", content=b"{}")
    assert response.status_code == 400


def test_no_body_that_a_client_can_send_is_a_5xx(client: TestClient) -> None:
    @settings(max_examples=100, deadline=None)
    @given(
        st.binary(max_size=20) | st.text('{}[]":,\\u0dD8eE+-.1nul ', max_size=30).map(str.encode)
    )
    def check(body: bytes) -> None:
        assert client.post("/plain", content=body).status_code in (200, 400)

    check()


def test_a_lone_surrogate_goes_in_and_out(client: TestClient) -> None:
    response = client.post("/plain", content=rb'["\ud800", {"\udfff": "\ud83d"}, "\u00e9"]')
    assert response.status_code == 200
    expected = ["\ud800", {"\udfff": "\ud83d"}, "é"]
    assert json.loads(response.content) == {"got": expected}


# --- Responses ----------------------------------------------------------------------------

OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "status", [0, 1, 99, 100, 101, 199, 600, 999, -200, "200", "OK", None, 200.5, 404.0, True, []]
)
def test_a_status_outside_200_to_599_is_refused(status: Any) -> None:
    makers: list[Callable[..., Response]] = [
        partial(Response, b""),
        partial(PlainTextResponse, "x"),
        partial(HTMLResponse, "x"),
        partial(JSONResponse, {}),
        partial(StreamingResponse, iter([])),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="200 to 599") as caught:
            make(status)
        assert repr(status) in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 299, 304, 418, 599, HTTPStatus.NOT_FOUND])
def test_any_status_between_is_taken_as_an_int(connect: Connect, status: int) -> None:
    app = App()
    app.get("/response")(lambda request: Response("x", status))
    app.get("/tuple")(lambda request: ("x", status))
    client = connect(app)
    assert Response(status=status).status == status
    assert type(Response(status=status).status) is int
    for path in ("/response", "/tuple"):
        assert client.get(path).status_code == status


@pytest.mark.parametrize("body", [5, 1.5, None, [b"a"], {"a": 1}, object(), iter([b"a"])])
def test_a_body_is_bytes_or_str(body: Any) -> None:
    with pytest.raises(TypeError, match=f"bytes or str.*{type(body).__name__}"):
        Response(body)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b"a", b"a"),
        ("é", "é".encode()),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        ("\ud800", b"?"),
        ("", b""),
    ],
)
def test_a_body_is_kept_as_bytes(body: Any, sent: bytes) -> None:
    assert Response(body).body == sent
    assert type(Response(body).body) is bytes


def test_each_response_has_a_content_type_of_its_own() -> None:
    assert Response().content_type == OCTETS
    assert PlainTextResponse("").content_type == TEXT
    assert HTMLResponse("").content_type == "text/html; charset=utf-8"
    assert JSONResponse({}).content_type == "application/json"
    assert StreamingResponse(iter([])).content_type == TEXT
    assert Response(content_type="a/b").content_type == "a/b"
    assert StreamingResponse(iter([]), content_type="a/b").headers["content-type"] == "a/b"


def test_the_content_type_in_the_headers_wins() -> None:
    response = Response(b"", headers={"Content-Type": "a/b"}, content_type="c/d")
    assert response.headers.getlist("content-type") == ["a/b"]
    response.content_type = "e/f"
    assert response.headers.getlist("content-type") == ["e/f"]
    with pytest.raises(ValueError, match="control"):
        response.content_type = "a/b\r\nx: y"


def test_the_headers_given_are_not_shared_with_the_response() -> None:
    given_headers = Headers({"content-type": "a/b", "x": "1"})
    response = Response(b"", headers=given_headers)
    response.headers["x"] = "2"
    assert given_headers["x"] == "1"
    assert Response().headers is not Response().headers


def test_a_copy_of_a_response_can_be_changed_alone() -> None:
    response = PlainTextResponse("a", 201, {"x": "1"})
    twin = response.copy()
    twin.status, twin.body = 202, b"b"
    twin.headers["x"] = "2"
    twin.set_cookie("a", "1")
    assert type(twin) is PlainTextResponse
    assert (response.status, response.body, response.headers["x"]) == (201, b"a", "1")
    assert "set-cookie" not in response.headers
    untouched = PlainTextResponse("a")
    untouched.copy().headers["x"] = "1"
    assert "x" not in untouched.headers


@pytest.mark.parametrize("wrong", ["text", b"bytes", 5, None, object()])
def test_a_stream_needs_something_to_iterate(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"StreamingResponse.*{type(wrong).__name__}"):
        StreamingResponse(wrong)


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/a", "/a"),
        ("https://example.org/a?b=c&d=%20#e", "https://example.org/a?b=c&d=%20#e"),
        ("http://[::1]:8000/", "http://[::1]:8000/"),
        ("/naïve café", "/na%C3%AFve%20caf%C3%A9"),
        ("/a\r\nset-cookie: b=c", "/a%0D%0Aset-cookie:%20b=c"),
        ("/\0\t\x7f", "/%00%09%7F"),
        ("/\\evil.example", "/%5Cevil.example"),
        ('/"<>`{}|^', "/%22%3C%3E%60%7B%7D%7C%5E"),
        ("/%zz", "/%zz"),
        ("?a=1", "?a=1"),
        ("", ""),
    ],
)
def test_a_redirect_leads_to_an_ascii_location(connect: Connect, location: str, sent: str) -> None:
    app = App()
    app.get("/")(lambda request: RedirectResponse(location))
    response = connect(app).get("/")
    assert (response.status_code, response.headers["location"]) == (302, sent)


@given(st.text(max_size=30))
def test_any_location_is_printable_ascii(location: str) -> None:
    try:
        response = RedirectResponse(location)
    except ValueError:
        assert re.search("[\ud800-\udfff]", location)
    else:
        assert re.fullmatch("[!-~]*", response.headers["location"])


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 400, "302", None])
def test_a_redirect_has_a_status_of_a_redirect(status: Any) -> None:
    with pytest.raises(ValueError, match="RedirectResponse"):
        RedirectResponse("/", status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, HTTPStatus.SEE_OTHER])
def test_every_status_of_a_redirect_may_be_had(status: int) -> None:
    assert RedirectResponse("/", status).status == status


# --- to_response --------------------------------------------------------------------------


class Text(str):
    """A str of an application's own, as template engines make them."""


class Color(StrEnum):
    RED = "red"


def numbers() -> Iterator[str]:
    yield "1"


async def numbers_later() -> AsyncIterator[str]:
    yield "1"


def source(request: Request) -> None:
    """The handler that is named in errors."""


SOURCE = re.escape(f"source ({source.__code__.co_filename}:{source.__code__.co_firstlineno})")


@pytest.mark.parametrize(
    ("value", "status", "content_type", "body"),
    [
        ("é", 200, TEXT, "é".encode()),
        ("", 200, TEXT, b""),
        ("\ud800", 200, TEXT, b"?"),
        (Text("a"), 200, TEXT, b"a"),
        (b"a", 200, OCTETS, b"a"),
        (bytearray(b"a"), 200, OCTETS, b"a"),
        (memoryview(b"a"), 200, OCTETS, b"a"),
        ({"a": 1}, 200, "application/json", b'{"a":1}'),
        ({}, 200, "application/json", b"{}"),
        ([1, "é"], 200, "application/json", '[1,"é"]'.encode()),
        (OrderedDict(a=1), 200, "application/json", b'{"a":1}'),
        (defaultdict(int, a=1), 200, "application/json", b'{"a":1}'),
        (None, 204, OCTETS, b""),
        (("a", 201), 201, TEXT, b"a"),
        (("a", HTTPStatus.CREATED), 201, TEXT, b"a"),
        ((None, 201), 201, OCTETS, b""),
        ((None, 200), 200, OCTETS, b""),
        (([], 404), 404, "application/json", b"[]"),
        ((b"a", 200, {}), 200, OCTETS, b"a"),
        (("a", 200, {"content-type": "a/b"}), 200, "a/b", b"a"),
        (("a", 200, [("Content-Type", "a/b")]), 200, "a/b", b"a"),
    ],
)
def test_each_kind_of_value_becomes_its_response(
    value: Any, status: int, content_type: str, body: bytes
) -> None:
    response = to_response(value, source)
    assert type(response.status) is int
    assert (response.status, response.content_type, response.body) == (status, content_type, body)


def test_a_response_is_taken_as_it_is() -> None:
    response = Response("a", 404)
    assert to_response(response, source) is response


def test_iterators_are_streamed_and_not_touched() -> None:
    for value in (numbers(), numbers_later(), iter([b"a"]), map(str, [1])):
        response = to_response(value, source)
        assert isinstance(response, StreamingResponse)
        assert response.iterator is value
        assert response.content_type == TEXT
    stream = numbers()
    response = to_response((stream, 201, {"x": "1"}), source)
    assert (response.status, response.headers["x"], response.iterator) == (201, "1", stream)


@pytest.mark.parametrize(
    "value",
    [
        *[5, 0, 1.5, True, False, ..., object(), {1, 2}, frozenset(), range(3), Exception("x")],
        *[int, numbers, Decimal(1), date(2024, 1, 1), UUID(int=0), HTTPException(404)],
        *[(), ("a",), ("a", "200"), ("a", None), ("a", 200.0), ("a", True), (200, "a")],
        *[("a", 200, {}, 1), ("a", {"x": "1"}), (Response("a"), 200), (("a", 200), 200)],
        *[(5, 200), (object(), 200), (Response("a"), 200, {"x": "1"})],
    ],
    ids=spelled,
)
def test_anything_else_is_a_type_error_that_names_the_handler(value: Any) -> None:
    with pytest.raises(TypeError, match=SOURCE):
        to_response(value, source)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (("a", 99), ValueError),
        (("a", 600), ValueError),
        (("a", 200, {"a\n": "b"}), ValueError),
        (("a", 200, {"a": 5}), TypeError),
        (("a", 200, 5), TypeError),
        (("a", 200, ["ab", "c"]), ValueError),
        ({"a": object()}, TypeError),
        ([math.nan], ValueError),
    ],
)
def test_whatever_is_wrong_inside_a_value_names_the_handler_too(
    value: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        to_response(value, source)
    told = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert re.search(SOURCE, told)


def test_a_coroutine_gets_a_hint_at_the_missing_await() -> None:
    async def later() -> str:
        return "later"

    coroutine = later()
    with pytest.raises(TypeError, match=rf"{SOURCE}.*coroutine.*await"):
        to_response(coroutine, source)
    coroutine.close()


# --- JSON out -----------------------------------------------------------------------------


@dataclasses.dataclass
class Point:
    x: int
    y: Any = None


class Level(IntEnum):
    HIGH = 3


ZONE = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.5, None, True]}, '{"b":1,"a":[1.5,null,true]}'),
        ("é€😀", '"é€😀"'),
        ('"\\\n\x01\x7f</script>', '"\\"\\\\\\n\\u0001\x7f</script>"'),
        ({1: 2, None: 3, False: 4, 1.5: 5}, '{"1":2,"null":3,"false":4,"1.5":5}'),
        ((1, 2), "[1,2]"),
        (datetime(2024, 2, 29, 12, 30, tzinfo=UTC), '"2024-02-29T12:30:00+00:00"'),
        (datetime(2024, 2, 29, 12, 30, 0, 5, tzinfo=ZONE), '"2024-02-29T12:30:00.000005+02:00"'),
        (datetime(2024, 2, 29, 12, 30), '"2024-02-29T12:30:00"'),
        (date(2024, 2, 29), '"2024-02-29"'),
        (time(12, 30), '"12:30:00"'),
        (UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (Decimal("1.10"), '"1.10"'),
        (Decimal("NaN"), '"NaN"'),
        (Point(1, [Point(2)]), '{"x":1,"y":[{"x":2,"y":null}]}'),
        (Point(1, {"at": date(2024, 2, 29)}), '{"x":1,"y":{"at":"2024-02-29"}}'),
        (Level.HIGH, "3"),
        (Color.RED, '"red"'),
        (10**400, "1" + "0" * 400),
        ({}, "{}"),
    ],
)
def test_a_value_becomes_compact_json(value: Any, text: str) -> None:
    response = JSONResponse(value)
    assert response.body.decode() == text
    assert response.content_type == "application/json"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_never_reach_the_output(value: float) -> None:
    for wrapped in (value, [value], {"a": value}, {value: 1}, Point(1, value), ["\ud800", value]):
        with pytest.raises(ValueError, match=r"."):
            JSONResponse(wrapped)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 1j, Point, timedelta(1), iter([]), {(1, 2): 3}, [object()]],
)
def test_what_is_no_json_is_a_type_error_that_names_its_type(value: Any) -> None:
    with pytest.raises(TypeError, match=r"bytes|object|set|complex|type|timedelta|iter|keys"):
        JSONResponse(value)


def test_a_circle_is_an_error_and_no_endless_loop() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValueError, match=r"[Cc]ircular"):
        JSONResponse(circle)


JSON_TEXTS = st.text() | st.text('\ud800\udfff\ud83d\ude00aé"\\\u2028', max_size=5)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | JSON_TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_any_json_value_is_written_as_utf_8_and_reads_back_the_same(value: Any) -> None:
    data = encode_json(value)
    # Read as a pair of halves, two lone surrogates in a row are one character: that is JSON's.
    assert json.dumps(json.loads(data.decode("utf-8"))) == json.dumps(json.loads(json.dumps(value)))


@given(JSON_VALUES)
def test_json_for_python_and_for_browsers_is_strict(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(encode_json(value), parse_constant=refuse)


# --- HTTPException ------------------------------------------------------------------------


def test_an_http_exception_carries_status_detail_and_headers() -> None:
    error = HTTPException(403, "No.", {"X-A": "1"})
    assert (error.status, error.detail, error.headers["x-a"]) == (403, "No.", "1")
    assert str(error) == "403 No."
    assert HTTPException(404).detail == "Not Found"
    assert HTTPException(404, "").detail == ""
    assert HTTPException(599).detail
    assert HTTPException(404).headers == {}
    assert HTTPException(HTTPStatus.NOT_FOUND).status == 404
    assert str(HTTPException(HTTPStatus.NOT_FOUND)) == "404 Not Found"


@pytest.mark.parametrize("status", [-1, 0, 100, 200, 204, 299, 600, 1000, True])
def test_an_http_exception_is_no_success(status: int) -> None:
    with pytest.raises(ValueError, match=f"HTTPException\\({status}\\).*300 to 599"):
        HTTPException(status)


@pytest.mark.parametrize("status", ["404", None, 404.5, [404]])
def test_the_status_of_an_http_exception_is_an_int(status: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        HTTPException(status)


@pytest.mark.parametrize("detail", [5, b"bytes", {"error": "no"}, ["no"]])
def test_the_detail_of_an_http_exception_is_text_where_it_is_raised(detail: Any) -> None:
    with pytest.raises(TypeError, match=r"HTTPException.*detail"):
        HTTPException(400, detail)


def test_http_exceptions_do_not_share_their_headers() -> None:
    headers = Headers({"a": "1"})
    error = HTTPException(400, headers=headers)
    error.headers["a"] = "2"
    assert headers["a"] == "1"
    assert HTTPException(400).headers is not HTTPException(400).headers


def test_an_http_exception_echoes_text_as_text(connect: Connect) -> None:
    app = App()

    @app.get("/")
    def fail(request: Request) -> None:
        raise HTTPException(418, f"<script> {request.query['q']}", {"x-why": "tea"})

    response = connect(app).get("/", params={"q": "é\r\n\0"})
    assert response.status_code == 418
    assert response.text == "<script> é\r\n\0"
    assert response.headers["content-type"] == TEXT
    assert response.headers["x-why"] == "tea"


# --- What a request says of itself --------------------------------------------------------


def test_the_url_is_absolute_and_encoded(connect: Connect) -> None:
    send = asked(connect, lambda request: request.url)
    assert send("/") == "http://testserver/"
    assert send("/a%20b/caf%C3%A9?q=%C3%A9&r=1") == (
        "http://testserver/a%20b/caf%C3%A9?q=%C3%A9&r=1"
    )
    assert send("/%3Fa%23b%25") == "http://testserver/%3Fa%23b%25"
    assert send("/a", headers={"host": "example.org:8443"}) == "http://example.org:8443/a"


def test_the_url_is_printable_ascii_whatever_was_sent(connect: Connect) -> None:
    send = asked(connect, lambda request: request.url)

    @settings(max_examples=60, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
    def check(text: str) -> None:
        url = send("/x" + quote(text, safe=""), params={"q": text})
        assert re.fullmatch("http://testserver/[!-~]*", url)

    check()


def test_a_raw_query_is_encoded_in_the_url(altered: Alter) -> None:
    app = App()
    app.get("/")(lambda request: request.url)
    raw = b'q=\xc3\xa9 <"> \\'
    changes = {"QUERY_STRING": raw.decode("latin-1")}
    client = altered(app, environ=changes, scope={"query_string": raw})
    assert re.fullmatch(r"http://testserver/\?q=%C3%A9%20[!-~]+", client.get("/").text)


def test_url_for_is_the_absolute_url_of_a_route(connect: Connect) -> None:
    app = App()
    router = Router("/r", "r")

    @app.get("/of/{name}")
    def hello(request: Request, name: str) -> str:
        return request.url_for("hello", name=name)

    @router.get("/{x:path}")
    def deep(request: Request, x: str) -> str:
        return request.url_for("r.deep", x=x + "/é")

    app.mount("", router)
    for root_path, root in (("", ""), ("/my app", "/my%20app")):
        client = connect(app, root_path=root_path)
        base = f"http://testserver{root}"
        assert client.get(f"{root_path}/of/ada lovelace").text == f"{base}/of/ada%20lovelace"
        assert client.get(f"{root_path}/r/a/b").text == f"{base}/r/a/b/%C3%A9"


@pytest.mark.parametrize("name", ["name", "self", "request", "app", "path"])
def test_url_for_takes_parameters_of_any_name(connect: Connect, name: str) -> None:
    app = App()
    app.get(f"/{{{name}}}", name="it")(lambda _, **params: "")
    app.get("/ask/it")(lambda request: request.url_for("it", **{name: "ada"}))
    assert connect(app).get("/ask/it").text == "http://testserver/ada"


def test_url_for_has_the_errors_of_url_path_for(connect: Connect) -> None:
    def ask(request: Request) -> None:
        with pytest.raises(LookupError, match="'nowhere'"):
            request.url_for("nowhere")
        with pytest.raises(TypeError, match="rest"):
            request.url_for("rest")
        with pytest.raises(ValueError, match="rest"):
            request.url_for("rest", rest="")

    asked(connect, ask)()


def test_path_and_root_path_are_decoded_and_apart(connect: Connect) -> None:
    def ask(request: Request) -> Any:
        return request.root_path, request.path, request.path_params.get("rest")

    assert asked(connect, ask)("/caf%C3%A9") == ("", "/café", "café")
    send = asked(connect, ask, root_path="/mein café")
    assert send("/a%20b") == ("/mein café", "/a b", "a b")
    assert send("/") == ("/mein café", "/", None)
    assert send("") == ("/mein café", "/", None)
    assert send("/mein café/x") == ("/mein café", "/mein café/x", "mein café/x")


def test_root_path_is_taken_off_whole_segments_only(altered: Alter) -> None:
    app = App()
    app.get("/{x:path}")(lambda request, x: [request.root_path, request.path])
    for root, path in (("/app", "/apple"), ("/app/v1", "/app/v10/x")):
        # A server that leaves root_path out of the path, which then only looks like it.
        client = altered(
            app,
            environ={"SCRIPT_NAME": root, "PATH_INFO": path},
            scope={"root_path": root, "path": path},
        )
        assert client.get("/").json() == [root, path]


def test_the_url_of_a_mounted_app_has_its_root_path(connect: Connect) -> None:
    send = asked(connect, lambda request: request.url, root_path="/mein café")
    assert send("/a?b=c") == "http://testserver/mein%20caf%C3%A9/a?b=c"


def test_method_scheme_and_version_are_what_the_server_said(altered: Alter) -> None:
    app = App()

    def show(request: Request) -> list[str]:
        return [request.method, request.scheme, request.http_version, request.url]

    app.route("/", methods=["GET", "POST"])(show)
    client = altered(
        app,
        environ={"wsgi.url_scheme": "https", "SERVER_PROTOCOL": "HTTP/1.0"},
        scope={"scheme": "https", "http_version": "1.0"},
    )
    assert client.get("/").json() == ["GET", "https", "1.0", "https://testserver/"]
    assert client.post("/").json()[0] == "POST"
    client = altered(app, environ={"SERVER_PROTOCOL": "HTTP/1.1"}, scope={"scheme": None})
    assert client.get("/").json() == ["GET", "http", "1.1", "http://testserver/"]


NO_PORT = {"client": ("192.0.2.1", 0)}


@pytest.mark.parametrize(
    ("environ", "scope", "client"),
    [
        (
            {"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "4711"},
            {"client": ("192.0.2.1", 4711)},
            ["192.0.2.1", 4711],
        ),
        ({"REMOTE_ADDR": "::1", "REMOTE_PORT": "1"}, {"client": ["::1", 1]}, ["::1", 1]),
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": None}, NO_PORT, ["192.0.2.1", 0]),
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "x"}, NO_PORT, ["192.0.2.1", 0]),
        ({"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": ""}, NO_PORT, ["192.0.2.1", 0]),
        ({"REMOTE_ADDR": "", "REMOTE_PORT": ""}, {"client": ("", 0)}, None),
        ({"REMOTE_ADDR": None, "REMOTE_PORT": None}, {"client": None}, None),
    ],
)
def test_the_client_is_host_and_port_or_nobody(
    altered: Alter, environ: dict[str, Any], scope: dict[str, Any], client: list[Any] | None
) -> None:
    app = App()
    app.get("/")(lambda request: {"client": request.client})
    assert altered(app, environ=environ, scope=scope).get("/").json()["client"] == client


def test_the_host_is_what_the_client_asked_for(connect: Connect) -> None:
    send = asked(connect, lambda request: request.host)
    assert send() == "testserver"
    assert send(headers={"host": "example.org:81"}) == "example.org:81"


@pytest.mark.parametrize(
    ("name", "port", "scheme", "host"),
    [
        ("example.org", 80, "http", "example.org"),
        ("example.org", 8000, "http", "example.org:8000"),
        ("example.org", 443, "https", "example.org"),
        ("example.org", 80, "https", "example.org:80"),
    ],
)
def test_without_a_host_header_the_host_is_the_servers(
    altered: Alter, name: str, port: int, scheme: str, host: str
) -> None:
    app = App()
    app.get("/")(lambda request: request.url)
    client = altered(
        app,
        environ={
            "HTTP_HOST": None,
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "wsgi.url_scheme": scheme,
        },
        scope={"headers": [], "server": (name, port), "scheme": scheme},
    )
    assert client.get("/").text == f"{scheme}://{host}/"


def test_the_native_object_is_there_on_its_own_side_only(
    connect: Connect, protocol: Protocol
) -> None:
    def ask(request: Request) -> Any:
        native = request.environ if protocol == "wsgi" else request.scope
        other = request.scope if protocol == "wsgi" else request.environ
        assert native is not None
        assert other is None
        method = native["REQUEST_METHOD"] if protocol == "wsgi" else native["method"]
        return request.protocol, method

    assert asked(connect, ask)() == (protocol, "GET")


def test_the_path_params_and_the_app_are_the_requests_own(connect: Connect) -> None:
    app = App()

    @app.get("/{a}/{b:int}")
    def show(request: Request, **params: Any) -> list[Any]:
        assert params == request.path_params
        return [request.app is app, request.path_params]

    assert connect(app).get("/x/7").json() == [True, {"a": "x", "b": 7}]


def test_state_is_shared_by_the_layers_of_one_request_and_by_no_other(connect: Connect) -> None:
    app = App()

    @app.middleware
    def count(request: Request) -> Iterator[None]:
        assert not hasattr(request.state, "seen")
        request.state.seen = ["layer"]
        response: Any = yield
        response.headers["x-seen"] = ",".join(request.state.seen)

    @app.get("/")
    def plain(request: Request) -> str:
        request.state.seen.append("handler")
        return ""

    @app.get("/async")
    async def awaited(request: Request) -> str:
        request.state.seen.append("async handler")
        return ""

    client = connect(app)
    for _ in range(2):
        assert client.get("/").headers["x-seen"] == "layer,handler"
        assert client.get("/async").headers["x-seen"] == "layer,async handler"


def test_state_says_by_name_what_nobody_set(connect: Connect) -> None:
    def ask(request: Request) -> None:
        with pytest.raises(AttributeError, match="user"):
            _ = request.state.user

    asked(connect, ask)()


def test_body_and_text_are_what_was_sent(connect: Connect) -> None:
    send = asked(connect, lambda request: (request.body, request.text))
    assert send(method="POST", content="é".encode()) == ("é".encode(), "é")
    assert send(method="PUT", content=b"\xff") == (b"\xff", "\ufffd")
    assert send(method="DELETE") == (b"", "")
    assert send(content=b"ignored") == (b"", "")
