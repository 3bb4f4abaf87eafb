"""The client of a trace: it sends what it was asked to send, and says how that ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection, events

from microweb.tracing.asked import Asked, asked, kind_of
from microweb.tracing.client import Answer, ask

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
HOST = "127.0.0.1"
Answering = Callable[["Peer"], Awaitable[None]]


class Peer:
    """A server's side of one connection, and all that it was sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = b""

    async def until(self, end: bytes) -> None:
        """Read until this was received."""
        while end not in self.received:
            data = await self.reader.read(65536)
            assert data, self.received
            self.received += data

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def serving(answer: Answering) -> AsyncIterator[tuple[int, list[Peer]]]:
    """A server that answers each connection so; its port, and the connections."""
    peers: list[Peer] = []
    tasks: list[asyncio.Task[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await answer(peers[-1])
        finally:
            writer.close()

    server = await asyncio.start_server(accept, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], peers
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


def visit(request: Asked, answer: Answering, **more: Any) -> tuple[Answer, bytes]:
    """The answer, and the bytes that the server has received."""

    async def main() -> tuple[Answer, bytes]:
        async with serving(answer) as (port, peers):
            result = await ask(HOST, port, request, **more)
        return result, peers[0].received.replace(f"{HOST}:{port}".encode(), b"HOST")

    return asyncio.run(main())


async def at_once(peer: Peer) -> None:
    """Answer a request without a body."""
    await peer.until(b"\r\n\r\n")
    await peer.say(OK)


def answering(end: bytes) -> Answering:
    """Answer when these bytes have come."""

    async def answer(peer: Peer) -> None:
        await peer.until(end)
        await peer.say(OK)

    return answer


# --- what is sent -----------------------------------------------------------------------------


def test_a_get() -> None:
    answer, sent = visit(asked("GET", "/a b/é?q=%20", ["X-One: 1"], []), at_once)
    first, host, agent, accept, own, *rest = sent.split(b"\r\n")
    assert first == b"GET /a%20b/%C3%A9?q=%20 HTTP/1.1"
    assert (host, accept, own, rest) == (b"host: HOST", b"accept: */*", b"X-One: 1", [b"", b""])
    assert agent.startswith(b"user-agent: microweb/")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"hi")
    assert (answer.ended, answer.size, answer.headers) == (
        *("complete", 2),
        [("content-length", "2")],
    )


def test_what_is_given_is_not_added() -> None:
    headers = ["Host: other", "accept: x/y", "USER-AGENT: me"]
    _, sent = visit(asked("GET", "/", headers, []), at_once)
    assert sent == b"GET / HTTP/1.1\r\nHost: other\r\naccept: x/y\r\nUSER-AGENT: me\r\n\r\n"


def test_one_piece_has_a_length() -> None:
    _, sent = visit(asked("POST", "/", [], ["a=b"]), answering(b"a=b"))
    assert b"\r\ncontent-length: 3\r\n" in sent
    assert b"\r\ncontent-type: application/x-www-form-urlencoded\r\n" in sent
    assert sent.endswith(b"\r\n\r\na=b")


def test_several_pieces_are_chunks_and_wait_for_each_other() -> None:
    arrived: list[bytes] = []

    async def main() -> None:
        taken = asyncio.Event()

        async def answer(peer: Peer) -> None:
            for end in (b"3\r\none\r\n", b"5\r\nthree\r\n0\r\n\r\n"):
                await peer.until(end)
                arrived.append(peer.received)
                taken.set()
            await peer.say(OK)

        async with serving(answer) as (port, _):
            pieces = asked("POST", "/", [], ["one", "three"])
            assert (await ask(HOST, port, pieces, between=taken.wait)).status == 200

    asyncio.run(main())
    assert b"transfer-encoding: chunked\r\n" in arrived[0]
    assert b"three" not in arrived[0]


def test_a_length_that_is_given_is_believed() -> None:
    _, sent = visit(asked("POST", "/", ["content-length: 3"], ["a", "b"]), answering(b"ab"))
    assert sent.count(b"content-length") == 1
    assert sent.endswith(b"\r\n\r\nab")


def test_an_empty_body_that_was_asked_for_is_one() -> None:
    _, sent = visit(asked("POST", "/", [], [""]), at_once)
    assert b"content-length: 0\r\n" in sent


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"a": 1}', "application/json"),
        (b"[1]", "application/json"),
        (b"{no json", "text/plain; charset=utf-8"),
        (b"a=b&c=", "application/x-www-form-urlencoded"),
        (b"two words", "text/plain; charset=utf-8"),
        (b"\xff\xfe", "application/octet-stream"),
        (b"[" * 100_000, "text/plain; charset=utf-8"),
    ],
)
def test_what_a_body_looks_like(body: bytes, kind: str) -> None:
    assert kind_of(body) == kind


# --- 100 Continue -----------------------------------------------------------------------------

EXPECTS = asked("POST", "/", ["expect: 100-continue"], ["wanted"])


def test_a_body_waits_for_100() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        assert not peer.received.endswith(b"wanted")
        await peer.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.until(b"wanted")
        await peer.say(OK)

    answer_, sent = visit(EXPECTS, answer, continue_after=60)
    assert (answer_.interim, answer_.status) == ([100], 200)
    assert sent.endswith(b"\r\n\r\nwanted")


def test_early_hints_are_no_leave_to_go_on() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await peer.say(OK)

    answer_, sent = visit(EXPECTS, answer, continue_after=60)
    assert (answer_.interim, answer_.status) == ([103], 200)
    assert sent.endswith(b"\r\n\r\n")


def test_a_body_that_is_not_wanted_stays() -> None:
    answer, sent = visit(EXPECTS, at_once, continue_after=60)
    assert answer.status == 200
    assert sent.endswith(b"\r\n\r\n")


def test_a_body_does_not_wait_for_ever() -> None:
    answer, sent = visit(EXPECTS, answering(b"wanted"), continue_after=0.01)
    assert (answer.interim, answer.status) == ([], 200)
    assert sent.endswith(b"wanted")


# --- how it ends ------------------------------------------------------------------------------


def test_who_leaves_tears_the_connection() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\nfirst")
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()

    result, _ = visit(asked("GET", "/", [], [], leave=True), answer)
    assert (result.ended, result.body) == ("left", b"first")


def test_nobody_listens() -> None:
    async def main() -> Answer:
        async with serving(at_once) as (port, _):
            pass
        return await ask(HOST, port, asked("GET", "/", [], []))

    assert asyncio.run(main()).ended == "refused"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "without an answer"),
        (OK[:-1], "closed connection"),
        (b"HTTP/1.1 200 OK\r\n", "without an answer"),
        (b"\x00\x01 garbage\r\n\r\n", "illegal status line"),
    ],
)
def test_an_answer_that_is_cut(said: bytes, why: str) -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(said)

    result, _ = visit(asked("GET", "/", [], []), answer)
    assert result.ended == "cut"
    assert why in result.why


def test_a_server_that_is_silent() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await peer.reader.read()

    result, _ = visit(asked("GET", "/", [], []), answer, timeout=0.1)
    assert (result.ended, result.status) == ("late", None)


def test_a_large_answer_is_counted_and_not_kept() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1_000_000))

    result, _ = visit(asked("GET", "/", [], []), answer)
    assert (result.ended, result.size, len(result.body)) == ("complete", 1_000_000, 65536)


def test_a_server_that_answers_and_reads_no_more() -> None:
    over = asyncio.Event()

    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(OK)
        await over.wait()

    async def main() -> Answer:
        async with serving(answer) as (port, _):
            try:
                large = Asked("POST", "/", (), (bytes(32 * 1024 * 1024),))
                return await asyncio.wait_for(ask(HOST, port, large), 10)
            finally:
                over.set()

    assert asyncio.run(main()).ended == "complete"


def test_a_head_of_half_a_megabyte_is_read() -> None:
    async def answer(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"a" * 500_000))

    result, _ = visit(asked("GET", "/", [], []), answer)
    assert (result.ended, result.status) == ("complete", 200)


def test_who_is_cancelled_goes_away() -> None:
    async def main() -> None:
        asked_for, gone = asyncio.Event(), asyncio.Event()

        async def answer(peer: Peer) -> None:
            await peer.until(b"\r\n\r\n")
            asked_for.set()
            with pytest.raises(ConnectionResetError):
                await peer.reader.read()
            gone.set()

        async with serving(answer) as (port, _):
            task = asyncio.create_task(ask(HOST, port, asked("GET", "/", [], [])))
            await asked_for.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(gone.wait(), 10)

    asyncio.run(main())


# --- a WebSocket ------------------------------------------------------------------------------


def talking(reply: Callable[[Any], list[Any]]) -> Answering:
    """A WebSocket server; what it says to each event of the client's."""

    async def answer(peer: Peer) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        while data := await peer.reader.read(65536):
            peer.received += data
            connection.receive_data(data)
            for event in connection.events():
                for each in reply(event):
                    await peer.say(connection.send(each))
                if isinstance(event, events.CloseConnection):
                    return

    return answer


def echo(event: Any) -> list[Any]:
    if isinstance(event, events.Request):
        return [events.AcceptConnection()]
    if isinstance(event, events.TextMessage):
        # In two frames, after a ping.
        half = len(event.data) // 2
        return [
            events.Ping(b"there?"),
            events.TextMessage(event.data[:half], message_finished=False),
            events.TextMessage(event.data[half:]),
        ]
    if isinstance(event, events.BytesMessage):
        return [events.BytesMessage(event.data)]
    return [event.response()] if isinstance(event, events.CloseConnection) else []


HANDSHAKE = ["Upgrade: websocket", "cookie: a=b"]


def test_a_conversation() -> None:
    request = Asked("GET", "/talk", (("upgrade", "websocket"), ("x", "y")), (b"hello", b"\xff"))
    answer, sent = visit(request, talking(echo))
    assert (answer.status, answer.interim, answer.ended) == (101, [101], "complete")
    assert answer.messages == ["hello", b"\xff"]
    assert b"sec-websocket-version: 13\r\n" in sent
    assert b"\r\nx: y\r\n" in sent


def test_a_conversation_with_nothing_to_say() -> None:
    answer, _ = visit(asked("GET", "/", HANDSHAKE, []), talking(echo))
    assert (answer.status, answer.messages, answer.ended) == (101, [], "complete")


def test_a_handshake_that_is_refused_is_an_answer() -> None:
    answer, _ = visit(asked("GET", "/", HANDSHAKE, ["never sent"]), at_once)
    assert (answer.status, answer.body) == (200, b"hi")


def test_a_conversation_that_the_client_leaves() -> None:
    async def answer(peer: Peer) -> None:
        with pytest.raises(ConnectionResetError):
            await talking(echo)(peer)

    result, _ = visit(asked("GET", "/", HANDSHAKE, [], leave=True), answer)
    assert result.ended == "left"


def test_a_greeting_is_no_answer() -> None:
    def room(event: Any) -> list[Any]:
        if isinstance(event, events.Request):
            return [events.AcceptConnection(), events.TextMessage("welcome")]
        return echo(event)

    answer, _ = visit(asked("GET", "/", HANDSHAKE, ["hi"]), talking(room))
    assert (answer.messages, answer.ended) == (["welcome", "hi"], "complete")


def test_a_ping_that_crosses_the_goodbye() -> None:
    async def answer(peer: Peer) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        while data := await peer.reader.read(65536):
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, events.Request):
                    await peer.say(connection.send(events.AcceptConnection()))
                elif isinstance(event, events.CloseConnection):
                    await peer.say(b"\x89\x00" + connection.send(event.response()))
                    return

    result, _ = visit(asked("GET", "/", HANDSHAKE, []), answer)
    assert result.ended == "complete"


def test_a_conversation_that_breaks_off() -> None:
    async def answer(peer: Peer) -> None:
        connection = WSConnection(ConnectionType.SERVER)
        connection.receive_data(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.say(connection.send(events.AcceptConnection()))

    result, _ = visit(asked("GET", "/", HANDSHAKE, ["hi"]), answer)
    assert (result.ended, result.why) == ("cut", "the WebSocket broke off, without a goodbye")


# --- as it is typed ---------------------------------------------------------------------------


def test_data_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_bytes(b'{"a": 1}')
    assert asked("POST", "/", [], [f"@{tmp_path}/order.json"]).pieces == (b'{"a": 1}',)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("GE T", "/", [], []), "'GE T' is no method, like GET or POST"),
        (("GET", "a", [], []), "'a' is no path: it begins with a slash, /a"),
        (("GET", "/", ["accept"], []), "has no colon; write it as 'accept: text/html'"),
        (("GET", "/", ["a b: c"], []), "'a b' is no name of a header, in 'a b: c'"),
        (("GET", "/", ["a: b\r\nc: d"], []), "the value of 'a' has a line break or a NUL in it"),
        (("POST", "/", [], ["@nowhere.json"]), "/nowhere.json: No such file or directory"),
        (("POST", "/", [], ["@."]), "Is a directory"),
    ],
)
def test_what_cannot_be_sent(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        asked(*arguments)
    assert message in str(caught.value)
