"""WebSockets through the ASGI server: what the demo's own conversations do not show."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from wsproto import events

from .servers import PATIENCE, read_all, until
from .small_servers import small_server
from .test_websocket_servers import Client, opened

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Talk = Callable[[Receive, Send], Awaitable[None]]

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
HANDSHAKE = (
    b"GET /talk HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Talking:
    """An application that leads a conversation, and what was seen of it."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.scope: Scope = {}
        self.error: BaseException | None = None
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError
        self.scope = scope
        try:
            await self.talk(receive, send)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended.set()


def serving(app: Any, **settings: Any) -> Any:
    return small_server(app, "asgi", **settings)


def talking_to(server: Any, **request: Any) -> Client:
    server.log = str  # what the client tells of the server where it fails
    return Client(server, "/talk", **request)


async def echo(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def listen(receive: Receive, send: Send) -> None:
    """Accept, and hear what comes until the end."""
    await receive()
    await send(ACCEPT)
    while (await receive())["type"] != "websocket.disconnect":
        pass


def failing_with(caplog: pytest.LogCaptureFixture) -> str:
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    return str(record.exc_info[1])


# --- the handshake ------------------------------------------------------------------------


def test_the_scope_is_that_of_the_handshake() -> None:
    app = Talking(echo)
    with serving(app, root_path="/mnt") as server:
        headers = [(b"x-test", b"\xe9")]
        with opened(talking_to(server, subprotocols=["a", "b"], extra_headers=headers)):
            pass
        assert app.ended.wait(PATIENCE)
    scope = app.scope
    assert "method" not in scope
    assert (scope["type"], scope["scheme"]) == ("websocket", "ws")
    assert (scope["path"], scope["root_path"]) == ("/mnt/talk", "/mnt")
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"x-test", b"\xe9") in scope["headers"]


BROKEN = {
    "an old version": (b"Version: 13", b"Version: 8", b"426"),
    "no version": (b"Sec-WebSocket-Version: 13\r\n", b"", b"400"),
    "no key": (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"", b"400"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_handshake_never_reaches_the_application(broken: str) -> None:
    old, new, status = BROKEN[broken]
    app = Talking(echo)
    with serving(app) as server:
        answer = server.ask(HANDSHAKE.replace(old, new))
    assert answer.startswith(b"HTTP/1.1 %s " % status)
    assert (b"Sec-WebSocket-Version: 13\r\n" in answer) == ("version" in broken)
    assert b"This is no WebSocket handshake" in answer
    assert app.scope == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"Upgrade: WebSocket", b"Upgrade: h2c"), (b", Upgrade", b""), (b"GET", b"POST")],
)
def test_what_asks_for_no_websocket_is_a_plain_request(old: bytes, new: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": scope["type"].encode()})

    with serving(app) as server, server.connect() as connection:
        connection.sendall(HANDSHAKE.replace(old, new))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_what_is_sent_right_behind_the_handshake_is_heard() -> None:
    from wsproto import ConnectionType, WSConnection

    protocol = WSConnection(ConnectionType.CLIENT)
    handshake = protocol.send(events.Request(host="a", target="/talk"))
    with serving(Talking(echo)) as server, server.connect() as connection:
        frame = bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi"
        connection.sendall(handshake + frame)
        received = b""
        while not received.endswith(b"\x81\x02hi"):
            received += connection.recv(1000)
        assert received.startswith(b"HTTP/1.1 101 ")


async def refuse(receive: Receive, send: Send) -> None:
    await receive()
    await send(CLOSE)
    assert (await receive()) == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def neither(receive: Receive, send: Send) -> None:
    await receive()


async def fail(receive: Receive, send: Send) -> None:
    raise LookupError("on purpose")


async def wrong(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.send", "text": "too early"})


async def badly_accepted(receive: Receive, send: Send) -> None:
    await receive()
    await send({**ACCEPT, "subprotocol": "never offered"})


async def in_its_own_words(receive: Receive, send: Send) -> None:
    await receive()
    headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"Who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?"})


REFUSALS: dict[str, tuple[Talk, bytes, bytes, str]] = {
    "a close": (refuse, b"403 Forbidden", b"does not accept this WebSocket.\n", ""),
    "a return": (neither, b"500 Internal", b"log says how.\n", "neither accepted"),
    "an error": (fail, b"500 Internal", b"log says how.\n", "on purpose"),
    "a message": (wrong, b"500 Internal", b"log says how.\n", "cannot be sent: it is connecting"),
    "a subprotocol": (badly_accepted, b"500 Internal", b"log says how.\n", "subprotocol"),
    "a response": (in_its_own_words, b"401 Unauthorized", b"8\r\nare you?\r\n0\r\n\r\n", ""),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_before_the_acceptance_an_end_is_a_plain_response(
    refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    talk, status, end, complaint = REFUSALS[refusal]
    with serving(Talking(talk)) as server:
        answer = server.ask(HANDSHAKE)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(end)
    assert b"\r\nConnection: close\r\n" in answer
    if complaint:
        assert complaint in failing_with(caplog)
    else:
        assert not [record for record in caplog.records if record.levelno == logging.ERROR]


# --- messages -----------------------------------------------------------------------------


def test_frames_and_pieces_of_frames_become_whole_messages() -> None:
    with serving(Talking(echo)) as server, opened(talking_to(server)) as client:
        for part, last in (("on", False), ("", False), ("e é", True)):
            client.send(events.TextMessage(part, message_finished=last))
        assert client.message() == "one é"
        frame = bytes([0x82, 0x84, 0, 0, 0, 0]) + b"\x00\xff\x00\xff"
        for byte in frame:
            client.connection.sendall(bytes([byte]))
        assert client.message() == b"\x00\xff\x00\xff"


def test_too_large_a_message_closes_with_1009() -> None:
    app = Talking(listen)
    with serving(app, max_message=1000) as server, opened(talking_to(server)) as client:
        client.send(events.BytesMessage(b"x" * 1000))
        client.send(events.BytesMessage(b"x" * 600, message_finished=False))
        client.send(events.BytesMessage(b"x" * 600, message_finished=False))
        assert client.closing().code == 1009
        assert app.ended.wait(PATIENCE)


@pytest.mark.parametrize(
    "frame",
    [
        bytes([0x81, 0x02]) + b"hi",  # not masked
        bytes([0xC1, 0x82, 0, 0, 0, 0]) + b"hi",  # a reserved bit
        bytes([0x83, 0x80, 0, 0, 0, 0]),  # a reserved opcode
        bytes([0x80, 0x80, 0, 0, 0, 0]),  # goes on with nothing
        bytes([0x81, 0x81, 0, 0, 0, 0]) + b"\xff",  # no UTF-8
    ],
)
def test_what_is_no_frame_closes_the_conversation(
    frame: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = Talking(listen)
    with serving(app) as server, opened(talking_to(server)) as client:
        client.connection.sendall(frame)
        assert client.closing().code in (1002, 1007)
        assert app.ended.wait(PATIENCE)
    assert app.error is None
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


def test_an_application_that_does_not_receive_holds_the_client_back() -> None:
    go = threading.Event()
    heard: list[int] = []

    async def slow(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.to_thread(go.wait, PATIENCE)
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(len(message["bytes"]))
            if len(heard) == 500:
                await send({"type": "websocket.send", "text": "all"})

    with serving(Talking(slow)) as server, opened(talking_to(server)) as client:
        frame = bytes([0x82, 0xFF, *(100_000).to_bytes(8, "big"), 0, 0, 0, 0]) + b"x" * 100_000
        everything = memoryview(frame * 500)
        sent = 0
        client.connection.settimeout(0.3)
        with suppress(TimeoutError):
            while sent < len(everything):
                sent += client.connection.send(everything[sent : sent + 100_000])
        assert sent < 25_000_000
        go.set()
        client.connection.settimeout(PATIENCE)
        client.connection.sendall(everything[sent:])
        assert client.message() == "all"
    assert heard == [100_000] * 500


# --- the end ------------------------------------------------------------------------------


def test_a_silent_client_is_asked_for_a_sign_of_life() -> None:
    app = Talking(listen)
    with serving(app, ping_interval=0.05) as server, opened(talking_to(server)) as client:
        for _ in range(3):
            client._protocol.receive_data(client.connection.recv(100))
            [ping] = client._protocol.events()
            assert isinstance(ping, events.Ping)
            client.send(ping.response())
        assert not app.ended.is_set()


def test_a_client_that_gives_none_is_gone() -> None:
    codes: list[Any] = []

    async def hear(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        message = await receive()
        codes.append(message["code"])
        assert await receive() == message  # as often as it asks
        await send({"type": "websocket.send", "text": "too late"})

    app = Talking(hear)
    with serving(app, ping_interval=0.05) as server, opened(talking_to(server)) as client:
        assert app.ended.wait(PATIENCE)
        read_all(client.connection)
    assert codes == [1006]
    assert isinstance(app.error, OSError)


@pytest.mark.parametrize(
    ("closing", "code", "reason"),
    [(events.CloseConnection(4000, "enough"), 4000, "enough"), (None, 1006, "")],
)
def test_the_application_learns_how_the_client_left(
    closing: events.CloseConnection | None, code: int, reason: str
) -> None:
    heard: list[Message] = []

    async def hear(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        heard.append(await receive())

    app = Talking(hear)
    with serving(app) as server, opened(talking_to(server)) as client:
        if closing is not None:
            client.send(closing)
            assert client.closing().code == 4000
        client.connection.close()
        assert app.ended.wait(PATIENCE)
    assert heard == [{"type": "websocket.disconnect", "code": code, "reason": reason}]


def test_after_its_own_close_the_application_can_say_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send({**CLOSE, "code": 3001, "reason": "bye"})
        await send({"type": "websocket.send", "text": "one more thing"})

    with serving(Talking(talk)) as server, opened(talking_to(server)) as client:
        closing = client.closing()
        assert (closing.code, closing.reason) == (3001, "bye")
    until("it is logged", lambda: "cannot be sent: it is" in caplog.text)


def test_an_error_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        raise LookupError("on purpose")

    with serving(Talking(talk)) as server, opened(talking_to(server)) as client:
        assert client.closing().code == 1011
    assert failing_with(caplog) == "on purpose"


def test_a_server_that_stops_says_so_to_both_sides() -> None:
    codes: list[int] = []

    async def hear(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        codes.append((await receive())["code"])

    with serving(Talking(hear)) as server, opened(talking_to(server)) as client:
        server.stop()
        assert client.closing().code == 1012
        server.wait()
    assert codes == [1012]


# --- what hostile or hasty clients do -----------------------------------------------------


def test_frames_of_several_senders_never_mix() -> None:
    size = 8_000_000

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await asyncio.gather(
            send({"type": "websocket.send", "bytes": b"x" * size}),
            send({"type": "websocket.send", "text": "in between"}),
        )
        await receive()

    with serving(Talking(talk)) as server, opened(talking_to(server)) as client:
        client.send(events.Ping(b"ping"))
        assert client.message() == b"x" * size
        client.send(events.CloseConnection(1000))
        others = [client.next(), client.next()]
    assert {type(event) for event in others} <= {events.Pong, events.TextMessage}


def test_an_application_that_has_closed_learns_that_a_silent_client_is_gone() -> None:
    codes: list[int] = []

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE)
        codes.append((await receive())["code"])

    app = Talking(talk)
    with serving(app, ping_interval=0.05) as server, opened(talking_to(server)):
        assert app.ended.wait(PATIENCE)
    assert codes == [1006]


def test_an_application_that_has_not_decided_learns_that_the_client_has_left() -> None:
    heard: list[str] = []

    async def talk(receive: Receive, send: Send) -> None:
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])

    app = Talking(talk)
    with serving(app) as server:
        with server.connect() as connection:
            connection.sendall(HANDSHAKE)
            until("it is asked", lambda: bool(heard))
        assert app.ended.wait(PATIENCE)
    assert heard == ["websocket.connect", "websocket.disconnect"]


def test_a_refusal_without_its_body_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})

    with serving(Talking(talk)) as server:
        assert server.ask(HANDSHAKE).startswith(b"HTTP/1.1 500 ")
    assert "neither accepted" in failing_with(caplog)


@pytest.mark.parametrize("line", [b"Host: xn--a-", b"Host: a\r\nSec-WebSocket-Protocol: \xe9"])
def test_a_handshake_beyond_ascii_is_refused_and_nobody_s_failure(
    line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = Talking(echo)
    with serving(app) as server:
        assert server.ask(HANDSHAKE.replace(b"Host: a", line)).startswith(b"HTTP/1.1 400 ")
    assert app.scope == {}
    assert not [record for record in caplog.records if record.levelno == logging.ERROR]


def test_any_number_of_empty_fragments_makes_one_message() -> None:
    with serving(Talking(echo)) as server, opened(talking_to(server)) as client:
        client.connection.sendall(bytes([0x02, 0x80, 0, 0, 0, 0]))
        client.connection.sendall(bytes([0x00, 0x80, 0, 0, 0, 0]) * 10_000)
        client.connection.sendall(bytes([0x80, 0x81, 0, 0, 0, 0]) + b"!")
        assert client.message() == b"!"


def test_what_was_asked_for_before_the_acceptance_comes_after_it() -> None:
    heard: list[Message] = []

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        asked = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send(ACCEPT)
        heard.append(await asked)

    app = Talking(talk)
    with serving(app) as server, opened(talking_to(server)) as client:
        server.stop()
        assert client.closing().code == 1012
        assert app.ended.wait(PATIENCE)
    assert heard[0]["code"] == 1012
