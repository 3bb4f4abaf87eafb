"""WebSockets: the handshake through the layers, the conversation, and how either may end."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from microweb import (
    App,
    HTTPException,
    Request,
    Response,
    Router,
    StreamingResponse,
    WebSocket,
    WebSocketDisconnect,
)
from microweb.cli import main
from microweb.gateways import conversation
from microweb.model.origins import parse_origin
from microweb.testing import TestClient, WebSocketRefused

from .asgi_validator import validator
from .conftest import CHECKERS, Connect, Protocol

CallNext = Callable[[Request], Awaitable[Response]]
Message = dict[str, Any]
Talk = Callable[[WebSocket], Awaitable[object]]

SECONDS = 10  # until a test that hangs is given up
UPGRADE = {"upgrade": "WebSocket", "connection": "keep-alive, Upgrade"}


def app_of(talk: Talk, *layers: Callable[..., Any], **options: Any) -> App:
    """An app whose WebSocket at / is this handler."""
    app = App(**options)
    app.websocket("/")(talk)
    for layer in layers:
        app.middleware(layer)
    return app


def client_of(app: App, **arguments: Any) -> TestClient:
    return TestClient(app, "asgi", wrap=validator, **arguments)


def refusal(
    app: App,
    path: str = "/",
    protocol: Protocol = "asgi",
    base_url: str = "http://testserver",
    **arguments: Any,
) -> Any:
    """The response with which a handshake is refused."""
    client = TestClient(app, protocol, wrap=CHECKERS[protocol], base_url=base_url)
    with pytest.raises(WebSocketRefused) as caught, client.websocket_connect(path, **arguments):
        pass
    return caught.value.response


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "microweb"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


async def echo(ws: WebSocket) -> None:
    await ws.accept()
    async for message in ws:
        if isinstance(message, str):
            await ws.send_text(message)
        else:
            await ws.send_bytes(message)


# --- The conversation ---------------------------------------------------------------------


def test_texts_and_bytes_go_both_ways() -> None:
    with client_of(app_of(echo)).websocket_connect("/") as ws:
        for text in ("hello", "", "größe Ω", "x" * 100_000):
            ws.send_text(text)
            assert ws.receive_text() == text
        for data in (b"hello", b"", bytes(range(256))):
            ws.send_bytes(data)
            assert ws.receive_bytes() == data


def test_json_goes_both_ways() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        value = await ws.receive_json()
        await ws.send_json({"doubled": [item * 2 for item in value]})

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        ws.send_json([1, "ä"])
        assert ws.receive_json() == {"doubled": [2, "ää"]}


def test_bytes_like_things_are_sent_as_bytes() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        data = await ws.receive_bytes()
        await ws.send_bytes(bytearray(data))
        await ws.send_bytes(memoryview(data)[1:])

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        ws.send_bytes(b"array")
        assert [ws.receive_bytes(), ws.receive_bytes()] == [b"array", b"rray"]


def test_a_lone_surrogate_does_not_end_the_conversation() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        text = (await ws.receive_json())["name"]
        await ws.send_text(text)
        await ws.send_json(text)

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        ws.send_text(r'{"name": "a\ud800"}')
        assert ws.receive_text() == "a?"
        assert ws.receive_text() == r'"a\ud800"'


def test_a_handler_is_given_the_paths_parameters_and_the_handshake() -> None:
    app = App()

    @app.websocket("/rooms/{room:int}")
    async def room(ws: WebSocket, room: int) -> None:
        request = ws.request
        await ws.accept()
        await ws.send_json(
            [
                room,
                request.method,
                request.path,
                request.path_params,
                request.query["a"],
                request.headers["x-a"],
                request.cookies,
                request.protocol,
                request.scheme,
                request.url,
                request.url_for("room", room=8),
                request.route.path if request.route else None,
            ]
        )

    client = client_of(app, cookies={"user": "ada"})
    with client.websocket_connect("/rooms/7?a=b", headers={"x-a": "c"}) as ws:
        assert ws.receive_json() == [
            7,
            "GET",
            "/rooms/7",
            {"room": 7},
            "b",
            "c",
            {"user": "ada"},
            "asgi",
            "http",
            "http://testserver/rooms/7?a=b",
            "http://testserver/rooms/8",
            "/rooms/{room:int}",
        ]


def test_a_secure_websocket_begins_with_a_request_by_https() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        await ws.send_text(ws.request.url)

    client = client_of(app_of(talk), base_url="https://example.org", root_path="/mount")
    with client.websocket_connect("/mount/") as ws:
        assert ws.receive_text() == "https://example.org/mount/"


def test_a_return_closes_with_1000() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        for _ in range(2):
            with pytest.raises(WebSocketDisconnect) as caught:
                ws.receive_text()
            assert (caught.value.code, caught.value.reason) == (1000, "")


def test_close_tells_its_code_and_its_reason() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        await ws.close(4001, "enough")
        await ws.close(1000)  # it is over: nothing happens

    with (
        client_of(app_of(talk)).websocket_connect("/") as ws,
        pytest.raises(WebSocketDisconnect, match="4001 enough"),
    ):
        ws.receive_text()


@pytest.mark.parametrize("how", ["receive_text", "receive_bytes", "receive_json"])
def test_who_receives_is_told_that_the_client_left_and_how(how: str) -> None:
    ends: list[WebSocketDisconnect] = []

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        for _ in range(3):
            with pytest.raises(WebSocketDisconnect) as caught:
                await getattr(ws, how)()
            ends.append(caught.value)
        for send in (ws.send_text("a"), ws.send_bytes(b"a"), ws.send_json("a")):
            with pytest.raises(WebSocketDisconnect) as caught:
                await send
            ends.append(caught.value)
        await ws.close()
        assert [message async for message in ws] == []
        raise ends[0]

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        ws.close(4002, "bye")
        with pytest.raises(WebSocketDisconnect, match="4002 bye"):
            ws.receive_text()
        with pytest.raises(WebSocketDisconnect, match="4002 bye"):
            ws.send_text("too late")
    assert {(end.code, end.reason) for end in ends} == {(4002, "bye")}
    assert len(set(map(id, ends))) == len(ends)


def test_async_for_ends_when_the_client_leaves_and_what_follows_it_runs() -> None:
    said: list[object] = []

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        async for message in ws:
            said.append(message)
        await asyncio.sleep(0)
        said.append("the end")

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        ws.send_text("one")
        ws.send_bytes(b"two")
    assert said == ["one", b"two", "the end"]


@pytest.mark.parametrize(
    ("how", "sent", "code"),
    [
        ("receive_text", b"bytes", 1003),
        ("receive_bytes", "text", 1003),
        ("receive_json", b"{}", 1003),
        ("receive_json", "{", 1007),
        ("receive_json", "", 1007),
        ("receive_json", "NaN", 1007),
        ("receive_json", "[" * 100_000, 1007),
        ("receive_json", "9" * 10_000, 1007),
    ],
)
def test_what_is_not_expected_ends_the_conversation_and_is_no_error(
    how: str, sent: str | bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        await getattr(ws, how)()

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        if isinstance(sent, str):
            ws.send_text(sent)
        else:
            ws.send_bytes(sent)
        with pytest.raises(WebSocketDisconnect) as caught:
            ws.receive_text()
    assert caught.value.code == code
    assert caught.value.reason.startswith("This takes")
    assert logged(caplog) == []


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=int)  # which takes no NaN
    except ValueError:
        return False
    return True


@given(text=st.text() | st.text('[]{}:,"01.eE-+ ntfu\\') | json_values.map(json.dumps))
def test_any_text_is_json_or_ends_the_conversation(text: str) -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        await ws.send_json([await ws.receive_json()])

    with client_of(app_of(talk), raise_server_exceptions=True).websocket_connect("/") as ws:
        ws.send_text(text)
        if is_json(text):
            assert ws.receive_json() == [json.loads(text)]
        else:
            with pytest.raises(WebSocketDisconnect, match="1007"):
                ws.receive_json()


def test_several_tasks_may_send_and_receive_at_once() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()

        async def one(number: int) -> None:
            await ws.send_text(await ws.receive_text())
            await asyncio.gather(*(ws.send_text(str(number)) for _ in range(5)))

        async with asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(one(number))

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        for number in range(10):
            ws.send_text(str(number))
        heard = sorted(ws.receive_text() for _ in range(60))
        assert heard == sorted(str(number) for number in range(10) for _ in range(6))


def test_a_room_of_several_members() -> None:
    app = App()
    members: set[WebSocket] = set()

    @app.websocket("/chat/{name}")
    async def chat(ws: WebSocket, name: str) -> None:
        await ws.accept()
        members.add(ws)
        await ws.send_text("in")
        try:
            async for message in ws:
                for member in members:
                    await member.send_text(f"{name}: {message!s}")
        finally:
            members.discard(ws)

    client = client_of(app)
    with client.websocket_connect("/chat/ada") as ada, client.websocket_connect("/chat/bob") as bob:
        assert (ada.receive_text(), bob.receive_text()) == ("in", "in")
        ada.send_text("hello")
        assert ada.receive_text() == bob.receive_text() == "ada: hello"
        bob.send_text("hi")
        assert ada.receive_text() == bob.receive_text() == "bob: hi"
    assert members == set()


# --- The wrong use of it ------------------------------------------------------------------

MISUSES: list[tuple[Talk, type[Exception], str]] = [
    (lambda ws: ws.receive_text(), RuntimeError, r"receive_text before accept: .*await ws\.acc"),
    (lambda ws: ws.receive_bytes(), RuntimeError, "receive_bytes before accept"),
    (lambda ws: ws.receive_json(), RuntimeError, "receive_text before accept"),
    (lambda ws: ws.send_text("a"), RuntimeError, "send_text before accept"),
    (lambda ws: ws.send_bytes(b"a"), RuntimeError, "send_bytes before accept"),
    (lambda ws: ws.send_json(1), RuntimeError, "send_json before accept"),
    (lambda ws: anext(ws), RuntimeError, "async for before accept"),
    (lambda ws: ws.accept("talk"), ValueError, r"'talk' is not offered; .*'chat', 'super'"),
    (lambda ws: ws.accept(headers={"upgrade": "x"}), ValueError, "hop-by-hop"),
    (lambda ws: ws.accept(headers={"a": "b\r\nc: d"}), ValueError, "control characters"),
    (
        lambda ws: ws.accept(headers={"Sec-WebSocket-Protocol": "chat"}),
        ValueError,
        r"'sec-websocket-protocol' is the server's .*accept\(subprotocol=",
    ),
    (lambda ws: ws.close(1005), ValueError, "1005 is no code to be sent.*from 4000 to 4999"),
    (lambda ws: ws.close(1000, "é" * 62), ValueError, "longer than 123 bytes"),
    (lambda ws: returning("hello"), TypeError, r"talk .* returned an object of type str"),
]


async def returning(value: object) -> object:
    return value


@pytest.mark.parametrize(("misuse", "kind", "words"), MISUSES)
def test_a_misuse_before_accept_is_an_error_of_the_handshake(
    misuse: Talk, kind: type[Exception], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(ws: WebSocket) -> object:
        return await misuse(ws)

    app = app_of(talk)
    response = refusal(app, subprotocols=["chat", "super"])
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert logged(caplog) == ["GET '/' failed"]
    client = client_of(app, raise_server_exceptions=True)
    with (
        pytest.raises(kind, match=words),
        client.websocket_connect("/", subprotocols=["chat", "super"]),
    ):
        pass


LATER_MISUSES: list[tuple[Talk, type[Exception], str]] = [
    (lambda ws: ws.accept(), RuntimeError, "called twice"),
    (lambda ws: ws.send_text(b"a"), TypeError, "send_text takes str, not bytes"),  # type: ignore[arg-type]
    (lambda ws: ws.send_bytes("a"), TypeError, "send_bytes takes bytes, not str"),  # type: ignore[arg-type]
    (lambda ws: ws.send_json({1, 2}), TypeError, "is not JSON"),
    (lambda ws: ws.close(4999 + 1), ValueError, "5000 is no code"),
    (lambda ws: returning(0), TypeError, r"talk .* returned an object of type int"),
]


@pytest.mark.parametrize(("misuse", "kind", "words"), LATER_MISUSES)
def test_a_misuse_after_accept_closes_with_1011_and_is_logged(
    misuse: Talk, kind: type[Exception], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(ws: WebSocket) -> object:
        await ws.accept()
        return await misuse(ws)

    app = app_of(talk)
    with client_of(app).websocket_connect("/") as ws, pytest.raises(WebSocketDisconnect) as end:
        ws.receive_text()
    assert (end.value.code, end.value.reason) == (1011, "")
    (record,) = caplog.records
    assert record.getMessage() == "WEBSOCKET '/' failed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], kind)

    with client_of(app, raise_server_exceptions=True).websocket_connect("/") as ws:
        with pytest.raises(kind, match=words):
            ws.receive_text()
        with pytest.raises(WebSocketDisconnect, match="has ended"):
            ws.receive_text()


def test_the_end_of_another_conversation_is_an_error_in_this_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        raise WebSocketDisconnect(1006)  # as another's `send_text` does

    with (
        client_of(app_of(talk)).websocket_connect("/") as ws,
        pytest.raises(WebSocketDisconnect, match="1011"),
    ):
        ws.receive_text()
    assert logged(caplog) == ["WEBSOCKET '/' failed"]


def test_a_task_group_may_end_with_the_conversation(caplog: pytest.LogCaptureFixture) -> None:
    cleaned = []

    async def talk(ws: WebSocket) -> None:
        await ws.accept()

        async def never() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(never())
            await ws.receive_text()

    with client_of(app_of(talk)).websocket_connect("/"):
        pass
    assert cleaned == [True]
    assert logged(caplog) == []


def test_a_handler_whose_own_task_is_cancelled_has_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(ws: WebSocket) -> None:
        if "soon" not in ws.request.query:
            await ws.accept()
        raise asyncio.CancelledError

    app = app_of(talk)
    with (
        client_of(app).websocket_connect("/") as ws,
        pytest.raises(WebSocketDisconnect, match="1011"),
    ):
        ws.receive_text()
    assert refusal(app, "/?soon").status_code == 500
    assert logged(caplog) == ["WEBSOCKET '/' failed", "GET '/' failed"]


# --- The handshake ------------------------------------------------------------------------


def test_a_subprotocol_and_headers_go_with_the_acceptance() -> None:
    async def talk(ws: WebSocket) -> None:
        assert ws.subprotocols == ("chat", "superchat")
        await ws.accept("superchat", headers=[("x-a", "1"), ("x-a", "2")])

    client = client_of(app_of(talk))
    with client.websocket_connect("/", subprotocols=["chat", "superchat"]) as ws:
        assert ws.subprotocol == "superchat"
        assert ws.headers.get_list("x-a") == ["1", "2"]
        assert "content-type" not in ws.headers


def test_no_subprotocol_is_chosen_where_none_is_offered() -> None:
    seen = []

    async def talk(ws: WebSocket) -> None:
        seen.append(ws.subprotocols)
        await ws.accept()

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        assert ws.subprotocol is None
    assert seen == [()]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/page", "/chat/", "/", "//chat", "/chat\n", "/rooms/x"]
)
def test_a_path_without_a_websocket_is_404_and_redirects_nobody(path: str) -> None:
    app = App()
    app.websocket("/chat")(echo)
    app.websocket("/rooms/{room:int}")(with_parameters(echo))
    app.get("/page")(lambda request: "a page")
    response = refusal(app, path.replace("\n", "%0a"))
    assert (response.status_code, response.text) == (404, "Not Found")


def with_parameters(talk: Talk) -> Callable[..., Awaitable[None]]:
    async def handler(ws: WebSocket, **params: Any) -> None:
        await talk(ws)

    return handler


def test_an_http_exception_before_accept_is_the_answer() -> None:
    async def talk(ws: WebSocket) -> None:
        raise HTTPException(401, "Who are you?", {"www-authenticate": "Bearer"})

    response = refusal(app_of(talk))
    assert (response.status_code, response.text) == (401, "Who are you?")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-length"] == "12"


def test_close_before_accept_is_403(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.close(reason=ws.request.query.get("reason", ""))
        await ws.close()
        with pytest.raises(WebSocketDisconnect):
            await ws.accept()
        with pytest.raises(WebSocketDisconnect):
            await ws.receive_text()

    app = app_of(talk)
    response = refusal(app)
    assert (response.status_code, response.text) == (403, "Forbidden")
    assert refusal(app, "/?reason=full").text == "full"
    assert logged(caplog) == []


def test_a_return_without_accept_is_403_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(ws: WebSocket) -> None: ...

    assert refusal(app_of(talk)).status_code == 403
    assert logged(caplog) == ["WEBSOCKET '/': ended without ws.accept()"]


def test_an_error_before_accept_is_a_500_and_a_page_in_debug_mode() -> None:
    async def talk(ws: WebSocket) -> None:
        raise LookupError("a secret")

    assert refusal(app_of(talk)).text == "Internal Server Error"
    response = refusal(app_of(talk, debug=True), headers={"accept": "text/html"})
    assert response.status_code == 500
    assert "LookupError" in response.text
    assert 'raise LookupError("a secret")' in response.text.replace("&quot;", '"')


def test_exception_handlers_answer_for_websockets_as_well() -> None:
    async def talk(ws: WebSocket) -> None:
        raise {"error": KeyError("x"), "crash": LookupError("y")}[ws.request.query["with"]]

    app = app_of(talk)

    @app.exception_handler(KeyError)
    def lacking(request: Request, error: KeyError) -> Any:
        return "no such thing", 418

    @app.exception_handler(404)
    async def nowhere(request: Request, error: HTTPException) -> str:
        return f"not {request.path}"

    @app.exception_handler(500)
    def failed(request: Request, error: Exception) -> str:
        return "sorry"

    response = refusal(app, "/?with=error")
    assert (response.status_code, response.text) == (418, "no such thing")
    assert refusal(app, "/there").text == "not /there"
    assert refusal(app, "/?with=crash").text == "sorry"


def test_cookies_go_there_and_come_back() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept(headers={"set-cookie": "seen=yes; Path=/"})
        await ws.send_json(ws.request.cookies)

    client = client_of(app_of(talk))
    for expected in ({}, {"seen": "yes"}):
        with client.websocket_connect("/") as ws:
            assert ws.receive_json() == expected


# --- Who asks -----------------------------------------------------------------------------

SITE = "https://example.org"
ORIGINS: list[tuple[str, str, tuple[str, ...], bool]] = [
    # The site that is asked, the page that asks, what is allowed beside the site's own.
    (SITE, "https://example.org", (), True),
    (SITE, "https://EXAMPLE.org", (), True),
    (SITE, "HTTPS://example.org:443", (), True),
    (SITE + ":8443", "https://example.org:8443", (), True),
    (SITE + ":8443", "https://example.org", (), False),
    (SITE, "https://example.org:8443", (), False),
    (SITE, "http://example.org", (), False),
    ("http://example.org", "http://example.org", (), True),
    ("http://example.org", "http://example.org:80", (), True),
    ("http://example.org", "https://example.org", (), True),  # behind a proxy
    ("http://example.org", "http://example.org:443", (), False),
    ("http://localhost:8000", "http://localhost:8000", (), True),
    ("http://localhost:8000", "http://localhost:3000", (), False),
    ("http://localhost:8000", "http://127.0.0.1:8000", (), False),
    ("http://[::1]:8000", "http://[::1]:8000", (), True),
    (SITE, "https://evil.example", (), False),
    (SITE, "https://example.org.evil.example", (), False),
    (SITE, "https://evil-example.org", (), False),
    (SITE, "https://sub.example.org", (), False),
    (SITE, "https://example.org@evil.example", (), False),
    (SITE, "https://evil.example#@example.org", (), False),
    (SITE, "https://example.org/", (), False),
    (SITE, "https://example.org evil", (), False),
    (SITE, "https://example.org, https://evil.example", (), False),
    (SITE, "null", (), False),
    (SITE, "", (), False),
    (SITE, "example.org", (), False),
    (SITE, "capacitor://example.org", (), False),
    (SITE, "https://other.example", ("https://other.example",), True),
    (SITE, "https://OTHER.example:443", ("https://other.example",), True),
    (SITE, "http://other.example", ("https://other.example",), False),
    (SITE, "https://other.example:1", ("https://other.example",), False),
    (SITE, "https://example.org", ("https://other.example",), True),
    (SITE, "https://third.example", ("https://a.example", "https://third.example"), True),
    (SITE, "capacitor://localhost", ("capacitor://localhost",), True),
    (SITE, "null", ("null",), True),
    (SITE, "null", ("*",), True),
    (SITE, "https://evil.example", ("*",), True),
]


@pytest.mark.parametrize(("site", "origin", "allowed", "opens"), ORIGINS)
def test_only_a_page_of_this_site_or_one_allowed_may_open_a_websocket(
    site: str, origin: str, allowed: tuple[str, ...], opens: bool
) -> None:
    called = []

    async def talk(ws: WebSocket) -> None:
        called.append(ws)
        await ws.accept()

    app = App()
    app.websocket("/", origins=allowed)(talk)
    if opens:
        client = client_of(app, base_url=site)
        with client.websocket_connect("/", headers={"origin": origin}):
            return
    response = refusal(app, base_url=site, headers={"origin": origin})
    assert response.status_code == 403
    assert response.text == "A page of another site may not open this WebSocket."
    assert called == []


@pytest.mark.parametrize("host", ["", "a b", "example.org:", "[::1", "example.org:99999999", ":80"])
def test_a_host_that_is_none_owns_no_page(host: str) -> None:
    app = app_of(echo)
    for origin in ("https://example.org", f"https://{host}"):
        assert refusal(app, headers={"host": host, "origin": origin}).status_code == 403


def test_who_sends_no_origin_is_no_browser() -> None:
    with client_of(app_of(echo)).websocket_connect("/"):
        pass


@given(st.text(st.sampled_from("aA:/.[]@#*, 0\x00é") | st.characters()))
def test_any_text_is_an_origin_or_is_not(text: str) -> None:
    assert parse_origin(text) is None or "://" in text


@pytest.mark.parametrize(
    ("origins", "kind", "words"),
    [
        ("https://a.example", TypeError, r"origins is a tuple, \('https://a\.example',\)"),
        (["https://a.example/"], ValueError, "without a path or a slash at its end"),
        (["a.example"], ValueError, "'a.example' is no origin"),
        (["https://*.example"], None, ""),
    ],
)
def test_origins_are_checked_when_the_route_is_registered(
    origins: Any, kind: type[Exception] | None, words: str
) -> None:
    app = App()
    if kind is None:
        app.websocket("/", origins=origins)(echo)
        return
    with pytest.raises(kind, match=words):
        app.websocket("/", origins=origins)


# --- The layers ---------------------------------------------------------------------------


def layer_of(
    form: str,
    before: Callable[[Request], Any] = lambda request: None,
    after: Callable[[Request, Response], Any] = lambda request, response: None,
) -> Callable[..., Any]:
    def generator(request: Request) -> Generator[None, Response, Any]:
        answer = before(request)
        if answer is not None:
            return answer
        response = yield
        return after(request, response)

    async def asynchronous(request: Request, call_next: CallNext) -> Any:
        answer = before(request)
        if answer is not None:
            return answer
        response = await call_next(request)
        await asyncio.sleep(0)
        answer = after(request, response)
        return response if answer is None else answer

    return generator if form == "generator" else asynchronous


both_forms = pytest.mark.parametrize("form", ["generator", "async"])


@both_forms
def test_a_layer_sees_a_get_and_a_101_and_may_add_to_it(form: str) -> None:
    seen: list[object] = []

    def before(request: Request) -> None:
        seen.append((request.method, request.path))
        request.state.user = "ada"

    def after(request: Request, response: Response) -> None:
        seen.append((response.status, response.body, response.headers.get("x-handler")))
        response.headers["x-layer"] = "yes"
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")

    async def talk(ws: WebSocket) -> None:
        await ws.accept(headers={"x-handler": "yes"})
        await ws.send_text(ws.request.state.user)

    client = client_of(app_of(talk, layer_of(form, before, after)))
    with client.websocket_connect("/") as ws:
        assert ws.receive_text() == "ada"
        assert (ws.headers["x-handler"], ws.headers["x-layer"]) == ("yes", "yes")
        assert [cookie[:3] for cookie in ws.headers.get_list("set-cookie")] == ["a=1", "b=2"]
    assert dict(client.cookies) == {"a": "1", "b": "2"}
    assert seen == [("GET", "/"), (101, b"", "yes")]


@both_forms
def test_a_layer_may_refuse_before_the_handler_is_called(form: str) -> None:
    called = []

    async def talk(ws: WebSocket) -> None:
        called.append(ws)

    response = refusal(app_of(talk, layer_of(form, lambda request: ("not today", 503))))
    assert (response.status_code, response.text, called) == (503, "not today", [])


@both_forms
@pytest.mark.parametrize("how", ["another", "status", "raise", "crash"])
def test_a_layer_may_refuse_what_the_handler_accepted(
    form: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    def after(request: Request, response: Response) -> Any:
        if how == "another":
            return "no", 409
        if how == "raise":
            raise HTTPException(409, "no")
        if how == "crash":
            raise LookupError
        response.status = 409
        return None

    async def talk(ws: WebSocket) -> None:
        try:
            await ws.accept()
        except WebSocketDisconnect as end:
            ends.append(str(end))
            raise

    response = refusal(app_of(talk, layer_of(form, after=after)))
    assert response.status_code == (500 if how == "crash" else 409)
    assert ends == ["1006 the handshake was refused"]
    assert logged(caplog) == (["GET '/' failed"] if how == "crash" else [])


def test_a_layer_that_gives_another_status_than_there_is_has_failed() -> None:
    def layer(request: Request) -> Iterator[None]:
        response: Any = yield
        response.status = 102

    app = app_of(echo, layer)
    assert refusal(app).status_code == 500


def test_no_other_response_can_be_a_101() -> None:
    with pytest.raises(ValueError, match="from 200 to 599"):
        Response(b"", 101)

    def layer(request: Request) -> Generator[None, Response, Response]:
        yield
        response = Response(b"")
        response.status = 101
        return response

    assert refusal(app_of(echo, layer)).status_code == 500


def test_the_onion_is_done_before_the_conversation_begins() -> None:
    events: list[str] = []

    def layer(request: Request) -> Iterator[None]:
        events.append("in")
        yield
        events.append("out")

    async def talk(ws: WebSocket) -> None:
        events.append("asked")
        await ws.accept()
        events.append("accepted")
        await ws.receive_text()
        events.append("heard")

    with client_of(app_of(talk, layer)).websocket_connect("/") as ws:
        ws.send_text("hello")
        with pytest.raises(WebSocketDisconnect):
            ws.receive_text()
    assert events == ["in", "asked", "out", "accepted", "heard"]


def test_a_handler_sees_the_context_of_the_layers_and_no_other_conversations() -> None:
    var: ContextVar[str] = ContextVar("var", default="nobody")

    async def layer(request: Request, call_next: CallNext) -> Response:
        assert var.get() == "nobody"
        var.set(request.query["name"])
        return await call_next(request)

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        async for _ in ws:
            await ws.send_text(var.get())
            var.set(var.get() + "!")

    client = client_of(app_of(talk, layer))
    with client.websocket_connect("/?name=a") as a, client.websocket_connect("/?name=b") as b:
        for session, expected in ((a, "a"), (b, "b"), (a, "a!"), (b, "b!")):
            session.send_text("")
            assert session.receive_text() == expected


def test_a_layer_may_set_the_handler_a_time_to_accept() -> None:
    cancelled = []

    async def layer(request: Request, call_next: CallNext) -> Any:
        try:
            async with asyncio.timeout(0):
                return await call_next(request)
        except TimeoutError:
            return "too slow", 503

    async def talk(ws: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    response = refusal(app_of(talk, layer))
    assert (response.status_code, response.text, cancelled) == (503, "too slow", [True])


@pytest.mark.parametrize("late", ["accept", "close"])
def test_a_handler_that_would_not_be_cancelled_is_too_late(late: str) -> None:
    ends: list[str] = []

    async def layer(request: Request, call_next: CallNext) -> Any:
        try:
            async with asyncio.timeout(0):
                return await call_next(request)
        except TimeoutError:
            return "too slow", 503

    async def talk(ws: WebSocket) -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            await getattr(ws, late)()
        except WebSocketDisconnect as end:
            ends.append(str(end))

    response = refusal(app_of(talk, layer))
    assert (response.status_code, response.text) == (503, "too slow")
    assert ends == (["1006"] if late == "accept" else [])


def test_a_layer_may_not_ask_the_handler_twice(caplog: pytest.LogCaptureFixture) -> None:
    async def layer(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return await call_next(request)

    client = client_of(app_of(echo, layer), raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match="called call_next twice"), client.websocket_connect("/"):
        pass


def test_a_layer_may_refuse_with_a_stream() -> None:
    closed = []

    async def chunks() -> AsyncIterator[str]:
        try:
            yield "not "
            await asyncio.sleep(0)
            yield "today"
        finally:
            closed.append(True)

    layer = layer_of("generator", lambda request: StreamingResponse(chunks(), 503))
    response = refusal(app_of(echo, layer))
    assert (response.status_code, response.text, closed) == (503, "not today", [True])


def test_a_refusal_that_fails_in_mid_body_is_cut() -> None:
    def chunks() -> Iterator[str]:
        yield "not "
        raise LookupError("a part of the test")

    app = app_of(echo, layer_of("generator", lambda request: StreamingResponse(chunks(), 503)))
    with (
        pytest.raises(httpx.RemoteProtocolError, match="failed in mid-body"),
        client_of(app).websocket_connect("/"),
    ):
        pass


@pytest.mark.parametrize("refused", [False, True])
def test_a_responses_background_runs_when_the_conversation_is_over(refused: bool) -> None:
    events: list[str] = []

    def after(request: Request, response: Response) -> None:
        response.background = lambda: events.append("background")

    async def talk(ws: WebSocket) -> None:
        if refused:
            raise HTTPException(403)
        await ws.accept()
        await ws.send_text("last words")
        events.append("said")

    app = app_of(talk, layer_of("generator", after=after))
    if refused:
        assert refusal(app).status_code == 403
        assert events == ["background"]
    else:
        with client_of(app).websocket_connect("/") as ws:
            assert ws.receive_text() == "last words"
        assert events == ["said", "background"]


# --- The routes ---------------------------------------------------------------------------


def test_a_page_and_a_websocket_live_at_one_path(connect: Connect, protocol: Protocol) -> None:
    app = app_of(echo)
    app.get("/", name="page")(lambda request: "the page")
    app.post("/")(lambda request: "posted")
    client = connect(app)
    assert (client.get("/").text, client.post("/").text) == ("the page", "posted")
    assert client.put("/").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert app.methods() == {"GET", "HEAD", "POST"}
    if protocol == "asgi":
        with client.websocket_connect("/") as ws:
            ws.send_text("hello")
            assert ws.receive_text() == "hello"


def test_routers_take_websockets_with_their_prefix_and_their_name() -> None:
    inner = Router("/rooms", name="rooms")

    @inner.websocket("/{number:int}", origins=["https://other.example"])
    async def room(ws: WebSocket, number: int) -> None:
        await ws.accept()
        await ws.send_json(number)

    app = App()
    app.mount("/chat", inner)
    assert app.url_path_for("rooms.room", number=3) == "/chat/rooms/3"
    headers = {"origin": "https://other.example"}
    with client_of(app).websocket_connect("/chat/rooms/3", headers=headers) as ws:
        assert ws.receive_json() == 3
    assert [route.methods for route in app.routes] == [("WEBSOCKET",)]
    assert app.methods() == set()


async def takes_nothing() -> None: ...


def plain(ws: WebSocket) -> None: ...


async def generator(ws: WebSocket) -> AsyncIterator[str]:
    yield ""


ROUTE_SLIPS: list[tuple[Callable[[App], Any], type[Exception], str]] = [
    (lambda app: app.websocket(echo), TypeError, r'write @app\.websocket\("/\.\.\."\) above echo'),  # type: ignore[arg-type]
    (lambda app: app.websocket("/")(plain), TypeError, "plain .* write `async def`"),
    (lambda app: app.websocket("/")(generator), TypeError, "generator .* write `async def`"),
    (lambda app: app.websocket("/")(3), TypeError, "3 is no function"),  # type: ignore[type-var]
    (lambda app: app.websocket("/")(takes_nothing), TypeError, r"should be \(ws\)"),
    (lambda app: app.websocket("/{room}")(echo), TypeError, r"should be \(ws, room\)"),
    (lambda app: app.websocket("chat")(echo), ValueError, "'chat'"),
    (
        lambda app: [app.websocket("/")(echo) for _ in range(2)],
        ValueError,
        r"route WEBSOCKET '/' for echo .* is there already",
    ),
    (
        lambda app: app.route("/", methods=["WEBSOCKET"])(echo),
        ValueError,
        "no method 'WEBSOCKET'",
    ),
]


@pytest.mark.parametrize(("slip", "kind", "words"), ROUTE_SLIPS)
def test_a_slip_in_a_route_is_told_with_its_mend(
    slip: Callable[[App], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        slip(App())


def test_objects_with_an_async_call_are_handlers_too() -> None:
    class Greeter:
        async def __call__(self, ws: WebSocket) -> None:
            await ws.accept()
            await ws.send_text("hello")

    app = App()
    app.websocket("/")(Greeter())
    with client_of(app).websocket_connect("/") as ws:
        assert ws.receive_text() == "hello"


table_app = App()
table_app.websocket("/chat", name="chat")(echo)


def test_the_route_table_names_websockets_as_what_they_are() -> None:
    result = CliRunner().invoke(main, ["routes", f"{__name__}:table_app"])
    assert result.output.split()[:3] == ["WEBSOCKET", "/chat", "chat"]


def test_an_app_without_websockets_does_not_load_them() -> None:
    program = (
        "import sys\n"
        "from microweb import App\n"
        "from microweb.testing import TestClient\n"
        "app = App()\n"
        "app.get('/')(lambda request: 'hello')\n"
        "assert TestClient(app, 'asgi').get('/').text == 'hello'\n"
        "parts = ('websocket', 'conversation', 'handshake', 'origins')\n"
        "loaded = [name for name in sys.modules if name.startswith('microweb.')]\n"
        "assert not [name for name in loaded if name.endswith(parts)], loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# --- Where WebSocket cannot be carried ----------------------------------------------------


def test_a_handshake_in_a_mere_request_is_501_and_told_why(
    connect: Connect, protocol: Protocol
) -> None:
    app = App()
    app.websocket("/chat")(echo)
    app.get("/{rest:path}")(lambda request, rest: f"page {rest}")
    app.get("/chat")(lambda request: "the page")
    client = connect(app)
    response = client.get("/chat", headers=UPGRADE)
    assert response.status_code == 501
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    why = {"wsgi": "WSGI cannot carry one", "asgi": "no WebSocket library"}[protocol]
    assert why in response.text
    # It is the WebSocket's path alone, and a handshake alone.
    assert client.get("/other", headers=UPGRADE).text == "page other"
    assert client.get("/chat").text == "the page"
    assert client.get("/chat", headers={"upgrade": "websocket"}).text == "the page"
    assert client.get("/chat", headers={"upgrade": "h2c", "connection": "upgrade"}).text
    assert client.post("/chat", headers=UPGRADE).status_code == 405


def test_through_wsgi_a_test_client_is_refused_with_the_501() -> None:
    response = refusal(app_of(echo), protocol="wsgi")
    assert response.status_code == 501
    assert "there is no way to go on talking" in response.text


def test_layers_see_the_501() -> None:
    seen = []

    def after(request: Request, response: Response) -> None:
        seen.append(response.status)

    app = app_of(echo, layer_of("generator", after=after))
    assert refusal(app, protocol="wsgi").status_code == 501
    assert seen == [501]


def test_a_websockets_path_says_so_to_who_asks_for_a_page(connect: Connect) -> None:
    client = connect(app_of(echo))
    response = client.get("/")
    assert response.status_code == 400
    assert "This address is a WebSocket" in response.text
    response = client.post("/")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, OPTIONS")
    response = client.options("/")
    assert (response.status_code, response.headers["allow"]) == (204, "GET, OPTIONS")


# --- The protocol, message by message -----------------------------------------------------

CONNECT: Message = {"type": "websocket.connect"}
GONE: Message = {"type": "websocket.disconnect", "code": 1001}
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


def text(said: str) -> Message:
    return {"type": "websocket.receive", "text": said}


class Wire:
    """Plays the server for one call, and notes what goes over the wire."""

    def __init__(self, *messages: Message) -> None:
        self.sent: list[Message] = []
        self.received = 0
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.accepted = asyncio.Event()
        self.on_send: Callable[[Message], Awaitable[None]] | None = None
        for message in (CONNECT, *messages):
            self.inbox.put_nowait(message)

    async def receive(self) -> Message:
        message = await self.inbox.get()
        if message["type"] == "websocket.receive":
            await self.accepted.wait()
        self.received += 1
        return message

    async def send(self, message: Message) -> None:
        if self.on_send is not None:
            await self.on_send(message)
        self.sent.append(message)
        if message["type"] == "websocket.accept":
            self.accepted.set()

    @property
    def said(self) -> list[str]:
        return [message["type"].removeprefix("websocket.") for message in self.sent]


def call(app: App, wire: Wire, *, valid: bool = True, **more: Any) -> Awaitable[None]:
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": "/",
        "headers": [],
        **more,
    }
    door: Any = validator(app.asgi) if valid else app.asgi
    return door(scope, wire.receive, wire.send)  # type: ignore[no-any-return]


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        before = asyncio.all_tasks()
        async with asyncio.timeout(SECONDS):
            await main()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before  # nothing is left behind

    asyncio.run(bounded())


def test_a_scope_may_say_no_more_than_it_must() -> None:
    seen: list[object] = []

    async def talk(ws: WebSocket) -> None:
        request = ws.request
        seen.extend([request.scheme, request.http_version, request.client, request.query_string])
        seen.append(ws.subprotocols)
        await ws.accept()

    async def main() -> None:
        wire = Wire()
        await call(app_of(talk), wire, query_string=None)
        assert wire.sent == [
            {"type": "websocket.accept", "headers": []},
            {"type": "websocket.close", "code": 1000, "reason": ""},
        ]

    run(main)
    assert seen == ["http", "1.1", None, "", ()]


class Chunks(AsyncIterator[str]):
    """A stream that notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    async def __anext__(self) -> str:
        self.done.append("asked")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.done.append("closed")


def test_a_server_that_cannot_pass_a_response_on_says_no() -> None:
    async def refuses(ws: WebSocket) -> None:
        raise HTTPException(401)

    chunks = Chunks()

    def streams(request: Request) -> Generator[None, Response, Any]:
        yield
        return StreamingResponse(chunks)

    async def main() -> None:
        for app in (app_of(refuses), app_of(echo, streams)):
            wire = Wire()
            await call(app, wire)
            assert wire.sent == [{"type": "websocket.close"}]

    run(main)
    assert chunks.done[-1] == "closed"


def test_a_response_without_content_refuses_without_content() -> None:
    async def main() -> None:
        wire = Wire()
        layer = layer_of("generator", lambda request: Response(b"", 204))
        await call(app_of(echo, layer), wire, **DENIAL)
        assert wire.sent == [
            {"type": "websocket.http.response.start", "status": 204, "headers": []},
            {"type": "websocket.http.response.body", "body": b""},
        ]

    run(main)


def test_one_message_is_read_ahead_and_no_more() -> None:
    async def main() -> None:
        go = asyncio.Event()
        heard: list[object] = []

        async def talk(ws: WebSocket) -> None:
            await ws.accept()
            await go.wait()
            async for message in ws:
                heard.append(message)

        wire = Wire(*(text(str(number)) for number in range(5)))
        running = asyncio.ensure_future(call(app_of(talk), wire))
        for _ in range(50):
            await asyncio.sleep(0)
        assert wire.received == 2  # the connect, and one
        go.set()
        wire.inbox.put_nowait(GONE)
        await running
        assert heard == ["0", "1", "2", "3", "4"]

    run(main)


def test_a_receive_that_was_given_up_loses_no_message() -> None:
    async def main() -> None:
        heard: list[str] = []

        async def talk(ws: WebSocket) -> None:
            await ws.accept()
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await ws.receive_text()
            wire.inbox.put_nowait(text("one"))
            wire.inbox.put_nowait(text("two"))
            heard.append(await ws.receive_text())
            heard.append(await ws.receive_text())

        wire = Wire()
        await call(app_of(talk), wire)
        assert heard == ["one", "two"]

    run(main)


def test_a_client_that_leaves_before_it_is_answered_is_not_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(talk: Talk) -> None:
        wire = Wire()
        app = app_of(talk)
        app.state.leave = lambda: wire.inbox.put_nowait(GONE)
        await call(app, wire, **DENIAL)
        assert wire.sent == []

    async def accepts(ws: WebSocket) -> None:
        ws.request.app.state.leave()
        for _ in range(5):
            await asyncio.sleep(0)
        with pytest.raises(WebSocketDisconnect, match="1001"):
            await ws.accept()
        await ws.accept()

    async def refuses(ws: WebSocket) -> None:
        ws.request.app.state.leave()
        for _ in range(5):
            await asyncio.sleep(0)
        raise HTTPException(401)

    for talk in (accepts, refuses):
        run(lambda talk=talk: main(talk))  # type: ignore[misc]
    assert logged(caplog) == []


def test_a_client_that_leaves_while_the_layers_finish_is_not_accepted() -> None:
    ends: list[str] = []

    async def talk(ws: WebSocket) -> None:
        try:
            await ws.accept()
        except WebSocketDisconnect as end:
            ends.append(str(end))

    async def main() -> None:
        wire = Wire()

        async def layer(request: Request, call_next: CallNext) -> Response:
            response = await call_next(request)
            wire.inbox.put_nowait(GONE)
            for _ in range(5):
                await asyncio.sleep(0)
            return response

        await call(app_of(talk, layer), wire)
        assert wire.sent == []

    run(main)
    assert ends == ["1001"]


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("accept", OSError("gone")),
        ("send", OSError("gone")),
        ("send", ConnectionResetError()),
        ("send", RuntimeError("closed")),
        ("close", OSError("gone")),
        ("close", RuntimeError("closed")),
    ],
)
def test_a_server_that_fails_to_send_has_lost_its_client(
    error: Exception, at: str, caplog: pytest.LogCaptureFixture
) -> None:
    ends: list[str] = []

    async def talk(ws: WebSocket) -> None:
        try:
            await ws.accept()
            await ws.send_text("hello")
        except WebSocketDisconnect as end:
            ends.append(str(end))
            raise

    async def main() -> None:
        wire = Wire()

        async def fail(message: Message) -> None:
            if message["type"].endswith(at):
                raise error

        wire.on_send = fail
        await call(app_of(talk), wire, valid=False)

    run(main)
    assert ends == ([] if at == "close" else ["1006"])
    assert logged(caplog) == []


def test_a_server_that_fails_to_receive_has_lost_its_client() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        with pytest.raises(WebSocketDisconnect, match="1006"):
            await ws.receive_text()

    async def main() -> None:
        wire = Wire()
        app = app_of(talk)

        async def receive() -> Message:
            if wire.received:
                await wire.accepted.wait()
                raise LookupError("the server's own")
            return await Wire.receive(wire)

        wire.receive = receive  # type: ignore[method-assign]
        await call(app, wire, valid=False)

    run(main)


def test_who_only_sends_is_told_that_the_client_left() -> None:
    count = 0

    async def talk(ws: WebSocket) -> None:
        nonlocal count
        await ws.accept()
        while True:
            await ws.send_text("tick")
            count += 1
            if count == 3:
                ws.request.app.state.leave()
            await asyncio.sleep(0)

    async def main() -> None:
        wire = Wire()
        app = app_of(talk)
        app.state.leave = lambda: wire.inbox.put_nowait(GONE)
        await call(app, wire)
        assert wire.said[:4] == ["accept", "send", "send", "send"]
        assert "close" not in wire.said

    run(main)
    assert 3 <= count < 10


def test_who_waits_to_send_is_told_when_the_client_leaves_meanwhile() -> None:
    async def main() -> None:
        slow, go = asyncio.Event(), asyncio.Event()
        ends: list[BaseException | None] = []

        async def talk(ws: WebSocket) -> None:
            await ws.accept()
            sends = (ws.send_text("one"), ws.send_text("two"))
            ends.extend(await asyncio.gather(*sends, return_exceptions=True))

        async def hold(message: Message) -> None:
            if message["type"] == "websocket.send":
                slow.set()
                await go.wait()

        wire = Wire()
        wire.on_send = hold
        running = asyncio.ensure_future(call(app_of(talk), wire))
        await slow.wait()
        wire.inbox.put_nowait(GONE)
        for _ in range(5):
            await asyncio.sleep(0)
        go.set()
        await running
        assert wire.said == ["accept", "send"]
        assert list(map(str, ends)) == ["None", "1001"]

    run(main)


def test_a_client_that_leaves_ends_the_stream_that_refuses_it() -> None:
    async def main() -> None:
        closed: list[bool] = []

        async def chunks() -> AsyncIterator[str]:
            try:
                yield "one"
                wire.inbox.put_nowait(GONE)
                await asyncio.Event().wait()
            finally:
                closed.append(True)

        wire = Wire()
        layer = layer_of("generator", lambda request: StreamingResponse(chunks(), 503))
        await call(app_of(echo, layer), wire, **DENIAL)
        assert closed == [True]
        assert wire.said == ["http.response.start", "http.response.body"]

    run(main)


def test_a_handler_may_finish_what_it_does_when_the_client_leaves() -> None:
    async def main() -> None:
        saved: list[object] = []
        busy, go = asyncio.Event(), asyncio.Event()

        async def talk(ws: WebSocket) -> None:
            await ws.accept()
            async for message in ws:
                busy.set()
                await go.wait()
                saved.append(message)
            saved.append("all")

        wire = Wire(text("one"))
        running = asyncio.ensure_future(call(app_of(talk), wire))
        await busy.wait()
        wire.inbox.put_nowait(GONE)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not running.done()
        go.set()
        await running
        assert saved == ["one", "all"]

    run(main)


@pytest.mark.parametrize("how", ["waits", "has closed", "is refused", "has a task"])
def test_a_handler_that_does_not_end_with_its_conversation_is_cancelled(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(conversation, "GRACE", 0.01)
    cleaned: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async def talk(ws: WebSocket) -> None:
        if how == "is refused":
            await ws.close()
            await wait()
        await ws.accept()
        ws.request.app.state.leave()
        if how == "has closed":
            await ws.close()
        elif how == "has a task":
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wait())
                async for _ in ws:
                    pass
        await wait()

    async def main() -> None:
        wire = Wire()
        app = app_of(talk)
        app.state.leave = lambda: None if how == "has closed" else wire.inbox.put_nowait(GONE)
        await call(app, wire)

    run(main)
    assert cleaned == [True]
    assert logged(caplog) == [
        "WEBSOCKET '/': 0.01 s after its end the handler still ran, and is cancelled"
    ]


def test_a_client_that_reads_nothing_does_not_hold_the_handlers_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "GRACE", 0.01)

    async def talk(ws: WebSocket) -> None:
        await ws.accept()

    async def main() -> None:
        wire = Wire()

        async def stuck(message: Message) -> None:
            if message["type"] == "websocket.close":
                await asyncio.Event().wait()

        wire.on_send = stuck
        await call(app_of(talk), wire)
        assert wire.said == ["accept"]

    run(main)


@pytest.mark.parametrize("accepted", [False, True])
def test_a_cancellation_by_the_server_cancels_the_handler_and_goes_on(accepted: bool) -> None:
    async def main() -> None:
        waiting = asyncio.Event()
        cleaned = []

        async def talk(ws: WebSocket) -> None:
            if accepted:
                await ws.accept()
            try:
                waiting.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(True)

        wire = Wire()
        running = asyncio.ensure_future(call(app_of(talk), wire))
        await waiting.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert cleaned == [True]

    run(main)


def test_the_applications_life_begins_before_its_first_websocket() -> None:
    app = app_of(echo)
    events: list[str] = []

    @app.lifespan
    async def life(app: App) -> AsyncIterator[dict[str, str]]:
        events.append("begun")
        yield {"pool": "open"}

    @app.websocket("/state")
    async def state(ws: WebSocket) -> None:
        await ws.accept()
        await ws.send_text(ws.request.app.state.pool)

    async def main() -> None:
        wires = [Wire(), Wire()]
        await asyncio.gather(*(call(app, wire, path="/state") for wire in wires))
        for wire in wires:
            assert wire.sent[1] == {"type": "websocket.send", "text": "open"}
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # the life, which nobody ends in here
            await asyncio.gather(task, return_exceptions=True)

    run(main)
    assert events == ["begun"]


def test_where_the_life_does_not_begin_handshakes_are_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(echo)
    tries = []

    @app.lifespan
    def life(app: App) -> Iterator[None]:
        tries.append(True)
        if len(tries) < 3:
            raise LookupError("no database")
        yield

    async def main() -> None:
        for status in (500, 500, 404):
            wire = Wire()
            await call(app, wire, path="/nowhere", **DENIAL)
            assert wire.sent[0]["status"] == status
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main)
    assert logged(caplog) == ["GET '/nowhere' failed"] * 2


# --- TestClient's part --------------------------------------------------------------------


def test_a_session_waits_for_the_end_of_the_handler() -> None:
    ended = []

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        async for _ in ws:
            pass
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append(True)

    with client_of(app_of(talk)).websocket_connect("/"):
        pass
    assert ended == [True]


@pytest.mark.parametrize("accepts", [False, True])
def test_a_handler_that_says_nothing_fails_the_test_in_time(
    accepts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microweb.testing_websocket.PATIENCE", 0.05)
    cancelled = threading.Event()

    async def talk(ws: WebSocket) -> None:
        if accepts:
            await ws.accept()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    client = client_of(app_of(talk))
    with pytest.raises(AssertionError, match="said nothing"), client.websocket_connect("/") as ws:
        ws.receive_text()
    assert cancelled.wait(SECONDS)


def test_a_handler_that_does_not_end_fails_the_test_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("microweb.testing_websocket.PATIENCE", 0.05)

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        await asyncio.Event().wait()

    with (
        pytest.raises(AssertionError, match="goes on"),
        client_of(app_of(talk)).websocket_connect("/"),
    ):
        pass


def test_an_error_that_nobody_received_is_raised_at_the_end_of_the_block() -> None:
    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        raise LookupError("a part of the test")

    app = app_of(talk)
    with (
        pytest.raises(LookupError, match="a part of the test"),
        client_of(app, raise_server_exceptions=True).websocket_connect("/"),
    ):
        pass
    with client_of(app).websocket_connect("/"):
        pass


def test_a_handler_that_sends_without_end_waits_for_its_client() -> None:
    sent = SimpleNamespace(count=0)

    async def talk(ws: WebSocket) -> None:
        await ws.accept()
        while True:
            await ws.send_text("more")
            sent.count += 1

    with client_of(app_of(talk)).websocket_connect("/") as ws:
        for _ in range(200):
            assert ws.receive_text() == "more"
    assert 200 <= sent.count <= 300


def test_a_session_tells_the_kinds_of_messages_apart() -> None:
    with client_of(app_of(echo)).websocket_connect("/") as ws:
        ws.send_bytes(b"a")
        with pytest.raises(AssertionError, match="sent no text"):
            ws.receive_text()
        ws.send_text("a")
        with pytest.raises(AssertionError, match="sent no bytes"):
            ws.receive_bytes()


def test_the_offered_subprotocols_are_a_list() -> None:
    with (
        pytest.raises(TypeError, match=r"a list, \['chat'\]"),
        client_of(app_of(echo)).websocket_connect("/", subprotocols="chat"),
    ):
        pass


def test_a_test_client_serves_applications_of_others() -> None:
    async def other(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/no":
            await send({"type": "websocket.close"})
        elif scope["path"] == "/":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})

    client = TestClient(other, "asgi", wrap=validator)
    with client.websocket_connect("/") as ws, pytest.raises(WebSocketDisconnect, match="1000"):
        ws.receive_text()
    with pytest.raises(WebSocketRefused, match="403") as caught, client.websocket_connect("/no"):
        pass
    assert caught.value.response.status_code == 403
    silent = TestClient(other, "asgi", raise_server_exceptions=True)
    with (
        pytest.raises(RuntimeError, match="without an answer"),
        silent.websocket_connect("/silent"),
    ):
        pass
    with (
        pytest.raises(AssertionError, match="last message unsent"),
        client.websocket_connect("/silent"),
    ):
        pass


def test_a_websocket_shows_what_it_is() -> None:
    shown = []

    async def talk(ws: WebSocket) -> None:
        shown.append(repr(ws))
        await ws.accept()
        shown.append(repr(ws))

    with client_of(app_of(talk)).websocket_connect("/"):
        pass
    assert shown == ["<WebSocket '/' connecting>", "<WebSocket '/' open>"]


def test_a_conversation_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG, "microweb"),
        client_of(app_of(echo)).websocket_connect("/") as ws,
    ):
        ws.send_text("hello")
        ws.receive_text()
    assert logged(caplog) == []
