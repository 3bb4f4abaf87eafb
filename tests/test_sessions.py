"""Sessions: what is remembered of a client, and everything that must not be believed."""

from __future__ import annotations

import json
import logging
import string
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from itsdangerous import URLSafeTimedSerializer

from microweb import (
    App,
    HTTPException,
    PlainTextResponse,
    Request,
    Response,
    SessionMiddleware,
    StreamingResponse,
)
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect

KEY = "a key that only these tests know"
OLD_KEY = b"the key of last year's tests...."
DAY = 24 * 60 * 60

kinds = pytest.mark.parametrize("kind", ["def", "async def"])


def app_of(
    *handlers: Callable[[Request], Any], kind: str = "def", key: Any = KEY, **options: Any
) -> App:
    """An app with sessions and each handler at /its-name."""
    app = App()
    app.middleware(SessionMiddleware(key, **options))
    for handler in handlers:
        app.route(f"/{handler.__name__}", methods=["GET", "POST"])(
            handler if kind == "def" else in_async_code(handler)
        )
    return app


def in_async_code(handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def asynchronous(request: Request) -> Any:
        return handler(request)

    return asynchronous


def show(request: Request) -> dict[str, Any]:
    return dict(request.session)


def count(request: Request) -> str:
    request.session["count"] = request.session.get("count", 0) + 1
    return str(request.session["count"])


def clear(request: Request) -> str:
    request.session.clear()
    return "forgotten"


def pay(request: Request) -> str:
    request.session["paid"] = True
    raise HTTPException(402, "not enough")


def ignore(request: Request) -> str:
    return "hello"


def cookie_of(response: httpx.Response) -> str:
    """The session's Set-Cookie, with its value cut out; '' if there is none."""
    lines = response.headers.get_list("set-cookie")
    assert len(lines) <= 1
    return "".join("; ".join(["session", *line.split("; ")[1:]]) for line in lines)


def signed(values: Any, key: Any = KEY, cookie: str = "session") -> str:
    """The value of a cookie with these values, as the layer itself makes it."""

    def keep(request: Request) -> str:
        request.session.update(values)
        return "kept"

    with TestClient(app_of(keep, key=key, cookie=cookie), "wsgi") as client:
        value = client.get("/keep").cookies[cookie]
    assert isinstance(value, str)
    return value


# --- What lasts ---------------------------------------------------------------------------


@kinds
def test_a_session_lasts_from_request_to_request(connect: Connect, kind: str) -> None:
    client = connect(app_of(count, kind=kind))
    assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]


def test_each_client_has_its_own(connect: Connect) -> None:
    app = app_of(count)
    first, second = connect(app), connect(app)
    assert [first.get("/count").text for _ in range(2)] == ["1", "2"]
    assert second.get("/count").text == "1"


def test_the_cookie_of_one_door_is_good_at_the_other() -> None:
    app = app_of(count)
    with TestClient(app, "wsgi") as wsgi, TestClient(app, "asgi") as asgi:
        wsgi.get("/count")
        asgi.cookies = wsgi.cookies
        assert asgi.get("/count").text == "2"


def test_all_that_json_can_hold_comes_back(connect: Connect) -> None:
    values = {"größe": 'Ω\n;"\\', "n": [1, -2.5, None, True], "deep": {"a": {"b": [{}]}}}

    def keep(request: Request) -> str:
        request.session.update(values)
        return "kept"

    client = connect(app_of(keep, show))
    client.get("/keep")
    assert client.get("/show").json() == values


def test_a_change_deep_inside_is_kept(connect: Connect) -> None:
    def buy(request: Request) -> str:
        request.session.setdefault("cart", {"items": []})["items"].append("book")
        return "bought"

    client = connect(app_of(buy, show))
    client.get("/buy")
    client.get("/buy")
    assert client.get("/show").json() == {"cart": {"items": ["book", "book"]}}


def test_an_answer_to_an_http_exception_keeps_the_session(connect: Connect) -> None:
    client = connect(app_of(pay, show))
    assert client.get("/pay").status_code == 402
    assert client.get("/show").json() == {"paid": True}


def test_an_unexpected_error_leaves_the_session_as_it_was(connect: Connect) -> None:
    def crash(request: Request) -> str:
        request.session["count"] = 1000
        raise ZeroDivisionError

    client = connect(app_of(count, crash))
    client.get("/count")
    assert client.get("/crash").status_code == 500
    assert client.get("/count").text == "2"


def test_a_shared_response_carries_no_cookie_to_the_next_client(connect: Connect) -> None:
    shared = PlainTextResponse("the same for all")

    def begin(request: Request) -> Response:
        if request.query.get("begin"):
            request.session["user"] = "ann"
        return shared

    app = app_of(begin)
    assert cookie_of(connect(app).get("/begin?begin=1"))
    assert "set-cookie" not in connect(app).get("/begin").headers


# --- The cookie ---------------------------------------------------------------------------


def test_a_session_that_nobody_looks_at_costs_and_says_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(app_of(ignore))
    client.cookies.set("session", signed({"count": 1}))
    verified: list[Any] = []
    monkeypatch.setattr(URLSafeTimedSerializer, "loads", lambda *args, **_: verified.append(args))
    response = client.get("/ignore")
    assert (response.text, verified) == ("hello", [])
    assert not {"set-cookie", "vary", "cache-control"} & set(response.headers)


def test_a_session_that_is_read_varies_with_the_cookie_and_sets_none(connect: Connect) -> None:
    client = connect(app_of(count, show))
    client.get("/count")
    response = client.get("/show")
    assert response.headers["vary"] == "Cookie"
    assert not {"set-cookie", "cache-control"} & set(response.headers)


def test_a_cookie_that_is_set_is_for_nobody_else(connect: Connect) -> None:
    response = connect(app_of(count)).get("/count")
    assert response.headers["vary"] == "Cookie"
    assert response.headers["cache-control"] == "private"
    assert cookie_of(response) == "session; Max-Age=1209600; Path=/; HttpOnly; SameSite=Lax"


def test_what_a_handler_says_of_caches_stays(connect: Connect) -> None:
    def careful(request: Request) -> Any:
        request.session["seen"] = True
        return "hello", 200, {"cache-control": "no-store", "vary": "Accept, cookie"}

    response = connect(app_of(careful)).get("/careful")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept, cookie"


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"max_age": None}, "session; Path=/; HttpOnly; SameSite=Lax"),
    (
        {"max_age": 60, "path": "/shop", "domain": "shop.example", "secure": True},
        "session; Max-Age=60; Domain=shop.example; Path=/shop; Secure; HttpOnly; SameSite=Lax",
    ),
    (
        {"samesite": "none", "secure": True},
        "session; Max-Age=1209600; Path=/; Secure; HttpOnly; SameSite=None",
    ),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_the_cookie_has_the_attributes_asked_for(
    connect: Connect, options: dict[str, Any], expected: str
) -> None:
    assert cookie_of(connect(app_of(count, **options)).get("/count")) == expected


@pytest.mark.parametrize(("options", "expected"), OPTIONS)
def test_an_emptied_session_deletes_the_cookie_that_was_set(
    connect: Connect, options: dict[str, Any], expected: str
) -> None:
    client = connect(app_of(clear, **options))
    client.cookies.set("session", signed({"count": 1}))
    attributes = [part for part in expected.split("; ") if not part.startswith("Max-Age")]
    attributes.insert(1, "Max-Age=0")
    assert cookie_of(client.get("/clear")) == "; ".join(attributes)


def test_emptying_an_empty_session_sets_no_cookie(connect: Connect) -> None:
    assert cookie_of(connect(app_of(clear)).get("/clear")) == ""


def test_another_name_for_the_cookie(connect: Connect) -> None:
    client = connect(app_of(count, cookie="visit"))
    assert client.get("/count").headers["set-cookie"].startswith("visit=")
    assert client.get("/count").text == "2"


# --- What must not be believed ------------------------------------------------------------


def forged() -> dict[str, str]:
    good = signed({"admin": True})
    payload, when, signature = good.rsplit(".", 2)
    unsigned = URLSafeTimedSerializer(KEY)  # another salt, another digest
    return {
        "nothing": "",
        "no signature": payload,
        "an empty signature": f"{payload}.{when}.",
        "another payload": f"{signed({'admin': 1}).split('.')[0]}.{when}.{signature}",
        "another time": f"{payload}.{when[::-1]}.{signature}",
        "another signature": f"{payload}.{when}.{signature[::-1]}",
        "another key": signed({"admin": True}, "another key of the same length.."),
        "another cookie's value": signed({"admin": True}, cookie="visit"),
        "another purpose's value": str(unsigned.dumps({"admin": True})),
        "in quotes, inside": f'"{good[:-2]}"',
        "too long": good + "a" * 5000,
        "no ASCII": "größe",
    }


@pytest.mark.parametrize("what", forged())
def test_a_forged_cookie_is_an_empty_session(connect: Connect, what: str) -> None:
    client = connect(app_of(show, count))
    value = forged()[what].encode()
    response = client.get("/show", headers=[(b"cookie", b"session=" + value)])
    assert (response.status_code, response.json()) == (200, {})
    assert client.get("/count", headers=[(b"cookie", b"session=" + value)]).text == "1"


FUZZED = app_of(show)
FUZZED_CLIENTS = [TestClient(FUZZED, door, wrap=CHECKERS[door]) for door in ("wsgi", "asgi")]
GOOD = signed({"admin": True})


@given(
    st.one_of(
        st.text(string.ascii_letters + string.digits + "-_.=,\"\\ '"),
        st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
        st.builds(
            lambda place, character: GOOD[:place] + character + GOOD[place + 1 :],
            st.integers(0, len(GOOD) - 1),
            st.sampled_from(string.ascii_letters + string.digits + "-_. "),
        ),
    )
)
@example(GOOD[:-1])
@example(".." + GOOD)
@example(".eJwDAAAAAAE." + GOOD.split(".", 1)[1])
def test_no_cookie_but_a_signed_one_is_a_session(value: str) -> None:
    # The last letter of a signature in base64 has bits that mean nothing.
    is_good = value[:-1] == GOOD[:-1] and len(value) == len(GOOD)
    for client in FUZZED_CLIENTS:
        headers = [(b"cookie", b"session=" + value.encode("latin-1"))]
        response = client.get("/show", headers=headers)
        assert response.status_code == 200
        assert response.json() == {} or is_good


def test_values_that_are_no_mapping_are_an_empty_session(connect: Connect) -> None:
    layer = SessionMiddleware(KEY)
    client = connect(app_of(show))
    client.cookies.set("session", str(layer._serializer.dumps(["admin"])))
    assert client.get("/show").json() == {}


def test_keys_rotate(connect: Connect) -> None:
    client = connect(app_of(count, key=OLD_KEY))
    client.get("/count")
    rotated = connect(app_of(count, show, key=[KEY, OLD_KEY]), cookies=client.cookies)
    assert rotated.get("/count").text == "2"
    after = connect(app_of(show, key=KEY), cookies=rotated.cookies)
    assert after.get("/show").json() == {"count": 2}
    late = connect(app_of(show, key=KEY), cookies=client.cookies)
    assert late.get("/show").json() == {}


class Clock:
    """time.time, set ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)


@pytest.mark.parametrize(
    ("age", "options", "expected"),
    [
        (0.4 * DAY, {"max_age": DAY}, ({"n": 1}, "")),
        (0.6 * DAY, {"max_age": DAY}, ({"n": 1}, "renewed")),
        (1.1 * DAY, {"max_age": DAY}, ({}, "")),
        (-0.1 * DAY, {"max_age": DAY}, ({}, "")),
        (3650 * DAY, {"max_age": None}, ({"n": 1}, "")),
    ],
)
def test_a_session_in_use_is_renewed_and_an_old_one_is_empty(
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    age: float,
    options: dict[str, Any],
    expected: tuple[dict[str, int], str],
) -> None:
    value = signed({"n": 1})
    client = connect(app_of(show, ignore, **options))
    clock = Clock(monkeypatch)
    clock.ahead = age
    assert "set-cookie" not in ask(client, "/ignore", value).headers
    response = ask(client, "/show", value)
    renewed = cookie_of(response) and "renewed"
    assert (response.json(), renewed) == expected
    if renewed:
        clock.ahead += 0.8 * DAY
        assert ask(client, "/show", value).json() == {}
        assert ask(client, "/show", response.cookies["session"]).json() == {"n": 1}


def ask(client: TestClient, path: str, session: str) -> httpx.Response:
    client.cookies.clear()  # the jar's clock is set ahead as well
    return client.get(path, headers={"cookie": f"session={session}"})


@pytest.mark.parametrize(
    "key", ["", b"", [], None, "short", b"fifteen bytes..", "a" * 64, [KEY, ""], [KEY, "changeme"]]
)
def test_weak_keys_are_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(ValueError, match="at least 16 random bytes") as caught:
        SessionMiddleware(key)
    assert KEY not in str(caught.value)
    assert "changeme" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"cookie": "a b"}, "not a token"),
        ({"path": "/;Domain=evil"}, "Path cannot be"),
        ({"samesite": "none"}, "without secure"),
        ({"samesite": "loose"}, "strict, lax or none"),
        ({"max_age": 0}, "1 or more, or None"),
    ],
)
def test_impossible_attributes_are_refused_at_once(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SessionMiddleware(KEY, **options)


# --- What cannot be kept ------------------------------------------------------------------


def test_a_session_too_large_for_a_cookie_is_an_error_that_says_so(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    def hoard(request: Request) -> str:
        # What does not compress
        request.session["things"] = [Random(n).random() for n in range(1000)]
        return "hoarded"

    assert connect(app_of(hoard)).get("/hoard").status_code == 500
    assert "keep large things in a database" in str(caplog.records[-1].exc_info)


def test_a_cookie_may_be_as_large_as_browsers_keep_and_no_larger(connect: Connect) -> None:
    random = Random(4096)
    letters = "".join(random.choices(string.ascii_letters + string.digits, k=4000))

    def hoard(request: Request) -> str:
        request.session["things"] = letters[: int(request.query["size"])]
        return "hoarded"

    client = connect(app_of(hoard))
    answers = [client.get(f"/hoard?size={size}") for size in range(3300, 4000, 7)]
    sizes = [len(answer.headers.get("set-cookie", "")) for answer in answers]
    largest = max(sizes)
    assert 4080 <= largest <= 4096
    assert [answer.status_code == 200 for answer in answers] == [size > 0 for size in sizes]
    assert sizes == sorted(sizes[: sizes.index(largest) + 1]) + [0] * sizes.count(0)


def test_a_value_that_is_no_json_is_an_error_that_says_so(connect: Connect) -> None:
    def keep(request: Request) -> str:
        request.session["app"] = request.app
        return "kept"

    client = connect(app_of(keep), raise_server_exceptions=True)
    with pytest.raises(TypeError, match=r"request\.session holds what JSON cannot: .*App"):
        client.get("/keep")


def test_a_key_that_is_no_str_is_refused_where_it_is_set(connect: Connect) -> None:
    def keep(request: Request) -> str:
        request.session[1] = "one"  # type: ignore[index]
        return "kept"

    client = connect(app_of(keep), raise_server_exceptions=True)
    with pytest.raises(TypeError, match=r"request\.session\[1\]: a key must be a str"):
        client.get("/keep")


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        ("change", "changed after the response's headers"),
        ("delete", "changed after the response's headers"),
        ("read", "read for the first time after the response's headers"),
    ],
)
def test_what_a_stream_does_too_late_is_an_error(
    connect: Connect, caplog: pytest.LogCaptureFixture, kind: str, act: str, complaint: str
) -> None:
    errors: list[str] = []

    def late(request: Request) -> str:
        try:
            match act:
                case "change":
                    request.session["late"] = True
                case "delete":
                    del request.session["n"]
                case "read":
                    request.session.get("n")
        except RuntimeError as error:
            errors.append(str(error))
        return "streamed"

    def plain(request: Request) -> Iterator[str]:
        yield late(request)

    async def asynchronous(request: Request) -> AsyncIterator[str]:
        yield late(request)

    def stream(request: Request) -> Response:
        if act != "read":
            assert request.session["n"] == 1
        return StreamingResponse(plain(request) if kind == "plain" else asynchronous(request))

    client = connect(app_of(stream), cookies={"session": signed({"n": 1})})
    response = client.get("/stream")
    assert response.text == "streamed"
    assert ("vary" in response.headers) == (act != "read")
    assert len(errors) == 1
    assert complaint in errors[0]


@kinds
def test_a_stream_reads_on_in_a_session_that_was_read_before(connect: Connect, kind: str) -> None:
    def stream(request: Request) -> Iterator[str]:
        session = request.session
        session["seen"] = True

        def chunks() -> Iterator[str]:
            yield json.dumps(dict(session))

        return chunks()

    client = connect(app_of(stream, kind=kind), cookies={"session": signed({"n": 1})})
    response = client.get("/stream")
    assert response.json() == {"n": 1, "seen": True}
    assert cookie_of(response)


def test_a_websocket_reads_its_session_after_the_handshake() -> None:
    request = Request()
    request.cookies = {"session": signed({"n": 1})}
    layer = SessionMiddleware(KEY)(request)
    next(layer)
    switching = Response()
    switching.status = 101
    with pytest.raises(StopIteration):
        layer.send(switching)
    assert request.session["n"] == 1
    with pytest.raises(RuntimeError, match="changed after"):
        request.session["n"] = 2


def test_a_session_shows_what_it_holds_without_being_read_for_that(connect: Connect) -> None:
    def debug(request: Request) -> list[str]:
        return [repr(request.session), str(dict(request.session)), repr(request.session)]

    client = connect(app_of(debug), cookies={"session": signed({"n": 1})})
    assert client.get("/debug").json() == [
        "<Session not read yet>",
        "{'n': 1}",
        "<Session {'n': 1}>",
    ]


def test_without_the_layer_the_error_names_it(connect: Connect) -> None:
    app = App()
    app.get("/show")(show)
    client = connect(app, raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match=r"app\.middleware\(SessionMiddleware"):
        client.get("/show")


def test_an_app_without_the_ready_made_layers_does_not_import_them() -> None:
    program = (
        "import sys, microweb\n"
        "app = microweb.App()\n"
        "app.wsgi\n"
        "assert 'itsdangerous' not in sys.modules\n"
        "layers = sorted(name for name in sys.modules if 'microweb.middleware' in name)\n"
        "assert layers == ['microweb.middleware', 'microweb.middleware.onion'], layers\n"
        "microweb.SessionMiddleware('a key that only these tests know')\n"
        "assert 'itsdangerous' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nothing_is_logged_of_sessions_that_are_not_believed(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "microweb"):
        connect(app_of(show), cookies={"session": "garbage"}).get("/show")
    assert caplog.records == []
