"""The tap passes on bytes and endings as they come; home collects; joining puts both together."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest

from microweb.tracing.format import Event, Run, Trace
from microweb.tracing.home import Home, home
from microweb.tracing.joining import joined, together
from microweb.tracing.sending import Sender
from microweb.tracing.tap import HOST, Connection, Tap, tapped

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def behind_tap(serve: Serve, one_at_a_time: bool = False) -> AsyncIterator[Tap]:
    """A tap in front of a server that does this with each connection."""

    over = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.Event())
        is_over = over[-1]
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.close()
            is_over.set()

    async with (
        asyncio.timeout(20),
        await asyncio.start_server(accept, HOST, 0) as server,
    ):
        async with tapped(server.sockets[0].getsockname()[1], one_at_a_time) as tap:
            yield tap
        for each in over:
            await each.wait()


async def until(holds: Callable[[], Any]) -> None:
    """Wait until something holds that nobody tells of."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


def tear(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def sights(tap: Tap) -> list[tuple[str, str]]:
    return [(each.kind, each.direction) for each in tap.connections[0].sights]


def is_seen(tap: Tap, data: bytes) -> bool:
    return any(data in sight.held for each in tap.connections for sight in each.sights)


def test_bytes_are_passed_on_and_seen() -> None:
    async def main() -> None:
        ports = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ports.append(writer.get_extra_info("peername")[1])
            assert await reader.readexactly(len(GET)) == GET
            writer.write(OK)
            await writer.drain()

        async with behind_tap(serve) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            writer.write(GET)
            assert await reader.read() == OK
            writer.close()
            await until(lambda: ("eof", "in") in sights(tap))
            (connection,) = tap.connections
            assert connection.port == ports[0]
            assert sights(tap) == [
                *[("connect", "in"), ("bytes", "in"), ("bytes", "out")],
                *[("eof", "out"), ("eof", "in")],
            ]
            assert [each.held for each in connection.sights if each.kind == "bytes"] == [GET, OK]

    asyncio.run(main())


def test_half_a_connection_may_end_before_the_other() -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.read() == b"all"  # until the client says that this was all
            writer.write(b"answer")
            await writer.drain()

        async with behind_tap(serve) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            writer.write(b"all")
            writer.write_eof()
            assert await reader.read() == b"answer"
            writer.close()

    asyncio.run(main())


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_torn_connection_is_torn_on_the_other_side(who: str) -> None:
    async def main() -> None:
        is_torn = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)
            if who == "server":
                tear(writer)
                return
            with pytest.raises(ConnectionResetError):
                await reader.read()
            is_torn.set()

        async with behind_tap(serve) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            writer.write(b"x")
            if who == "client":
                await until(lambda: ("bytes", "in") in sights(tap))
                tear(writer)
                await is_torn.wait()
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                writer.close()
            assert sights(tap)[-1] == ("reset", "in" if who == "client" else "out")

    asyncio.run(main())


def test_a_client_that_closes_and_is_written_to_is_gone_for_the_server_too() -> None:
    async def main() -> None:
        is_gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    writer.write(bytes(1000))
                    await writer.drain()
                    await asyncio.sleep(0)
            except ConnectionError:
                is_gone.set()

        async with behind_tap(serve) as tap:
            reader, writer = await asyncio.open_connection(HOST, tap.port)
            await reader.readexactly(10)
            writer.close()
            await is_gone.wait()

    asyncio.run(main())


def test_a_server_that_is_not_there() -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            async with tapped(taken.getsockname()[1]) as tap:
                reader, writer = await asyncio.open_connection(HOST, tap.port)
                with pytest.raises(ConnectionResetError):
                    await reader.read()
                writer.close()

    asyncio.run(main())


def test_a_slow_receiver_holds_up_the_sender() -> None:
    """What is on its way is bounded, however much somebody wants to send."""

    async def main() -> int:
        sent = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await reader.readexactly(1)
            writer.transport.set_write_buffer_limits(0)
            while sent < 200_000_000:
                writer.write(bytes(1_000_000))
                await writer.drain()
                sent += 1_000_000

        async with behind_tap(serve) as tap:
            peer = socket.create_connection((HOST, tap.port))
            peer.setblocking(False)
            peer.send(b"x")
            before = -1
            while before != sent or not sent:
                before = sent
                await asyncio.sleep(0.2)
            peer.close()
        return sent

    assert asyncio.run(main()) < 100_000_000


def test_one_at_a_time() -> None:
    """Where the server does not tell the port, the next request waits for the answer before."""

    async def main() -> list[str]:
        deeds: list[str] = []
        may_answer = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = await reader.readuntil(b"\r\n\r\n")
            deeds.append(f"asked {line[5:6].decode()}")
            await may_answer.wait()
            deeds.append(f"answers {line[5:6].decode()}")
            writer.write(OK)
            await writer.drain()

        async with behind_tap(serve, one_at_a_time=True) as tap:
            clients = [await asyncio.open_connection(HOST, tap.port) for _ in "abc"]
            for name, (_, writer) in zip(b"abc", clients, strict=True):
                writer.write(GET.replace(b"/", b"/%c" % name, 1))
                await until(partial(is_seen, tap, b"/%c" % name))
            clients[1][1].close()  # who goes away while it waits is passed over
            await until(lambda: deeds)
            may_answer.set()
            for reader, writer in (clients[0], clients[2]):
                await reader.readexactly(len(OK))
                writer.close()
        return deeds

    deeds = asyncio.run(main())
    assert deeds[:2] == ["asked a", "answers a"]
    assert deeds[-2:] == ["asked c", "answers c"]


# --- home -------------------------------------------------------------------------------------


def event(kind: str, time: int = 1, exchange: int | None = 1, **data: Any) -> Event:
    where = {"process": 7, "thread": "MainThread", "task": None}
    return Event(time, "seam", "in", kind, data, 0, exchange, where)


def test_events_come_home_from_threads_and_forked_processes() -> None:
    async def main() -> list[Event]:
        async with home() as collected:
            sender = Sender(collected.path)
            await asyncio.gather(
                *(asyncio.to_thread(sender.event, event("send.call", n)) for n in range(50))
            )
            child = os.fork()
            if child == 0:
                sender.event(event("app.call", 1000))
                os._exit(0)
            await asyncio.to_thread(os.waitpid, child, 0)
            await collected.until(lambda home: len(home.events) == 51)
            assert sender._socket is not None
            sender._socket.close()
            await collected.settled()
            return collected.events

    events = asyncio.run(main())
    assert sorted(each.time for each in events) == [*range(50), 1000]


def test_who_sends_to_nobody_is_told() -> None:
    async def main() -> str:
        async with home() as collected:
            return collected.path

    sender = Sender(asyncio.run(main()))
    for _ in range(2):
        with pytest.raises(OSError, match=r"o such file|nobody reads"):
            sender.event(event("app.call"))


@pytest.mark.parametrize(
    ("kinds", "is_open"),
    [
        (["app.call"], True),
        (["app.call", "app.raise"], False),
        (["app.call", "next.raise"], False),
        (["app.call", "next.return"], True),
        (["app.call", "close.return"], False),
    ],
)
def test_what_is_under_way(kinds: list[str], is_open: bool) -> None:
    async def main() -> bool:
        async with home() as collected:
            sender = Sender(collected.path)
            for kind in kinds:
                sender.event(event(kind))
            await collected.until(lambda home: len(home.events) == len(kinds))
            assert sender._socket is not None
            sender._socket.close()
            return bool(collected.open)

    assert asyncio.run(main()) == is_open


def test_what_was_under_way_in_a_process_that_is_gone_is_over() -> None:
    async def main() -> None:
        async with home() as collected:
            sender = Sender(collected.path)
            sender.event(event("app.call"))
            await collected.until(lambda home: bool(home.open))
            assert not collected.lost
            ((process, _),) = collected.open
            assert sender._socket is not None
            sender._socket.close()
            await asyncio.wait_for(collected.until(lambda home: not home.open), 10)
            assert collected.lost == {process}

    asyncio.run(main())


def test_half_a_line_is_passed_over() -> None:
    async def main() -> Home:
        async with home() as collected:
            _, writer = await asyncio.open_unix_connection(collected.path)
            writer.write(b'{"record": "event", "ti')
            await until(lambda: collected._readers)
            writer.close()
            await collected.settled()
            return collected

    assert asyncio.run(main()).events == []


# --- joining ----------------------------------------------------------------------------------


def seen(port: int, *flow: tuple[str, bytes]) -> Connection:
    """A connection on which all this was seen."""
    connection = Connection(1, port)
    connection.see("connect", "in")
    for direction, data in flow:
        connection.see("bytes", direction, data)  # type: ignore[arg-type]
    return connection


def call(port: int | None, time: int, method: str = "GET", exchange: int = 1) -> Event:
    environ: dict[str, Any] = {"REQUEST_METHOD": method}
    if port is not None:
        environ["REMOTE_PORT"] = str(port)
    return event("app.call", time, exchange, environ=environ)


def exchanges(trace: Trace) -> list[tuple[str, int | None]]:
    return [(each.kind, each.exchange) for each in trace.events]


RUN = Run("wsgi", "some", "a:b")


def test_a_call_belongs_to_the_request_of_its_port_and_turn() -> None:
    first = seen(4000, ("in", GET + GET), ("out", OK), ("out", OK))
    second = seen(5000, ("in", GET), ("out", OK))
    second.number = 2
    later = second.sights[-1].time
    events = [call(5000, later + 1, exchange=1), call(4000, later + 2, exchange=2)]
    events.append(call(4000, later + 3, exchange=3))
    trace = joined(RUN, [first, second], events)
    assert [e.exchange for e in trace.events if e.kind == "app.call"] == [3, 1, 2]
    wire = [(e.data["connection"], e.exchange) for e in trace.events if e.kind == "bytes"]
    assert wire == [(1, 1), (1, 2), (1, 1), (1, 2), (2, 3), (2, 3)]
    assert [each.exchange for each in trace.provenance] == [1, 2, 3]


def test_a_segment_with_two_requests_is_two_events() -> None:
    trace = joined(RUN, [seen(1, ("in", GET + GET))], [])
    first, second = (each.data for each in trace.events if each.kind == "bytes")
    assert (first["offset"], second["offset"]) == (0, len(GET))
    assert first["bytes"] == {"$bytes": GET.decode(), "size": len(GET)}
    assert second["parts"][0] == ["method", len(GET), len(GET) + 3]


def test_a_request_that_the_server_answers_by_itself_takes_no_call() -> None:
    odd = b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"
    connection = seen(1, ("in", odd + GET), ("out", OK + OK))
    trace = joined(RUN, [connection], [call(1, connection.sights[-1].time + 1)])
    assert [e.exchange for e in trace.events if e.kind == "app.call"] == [2]


def test_without_a_port_the_order_decides() -> None:
    connection = seen(1, ("in", GET), ("out", OK))
    trace = joined(RUN, [connection], [call(None, connection.sights[-1].time + 1)])
    assert {exchange for _, exchange in exchanges(trace)} == {1}


def test_a_call_that_did_not_come_through_the_tap_is_an_exchange_of_its_own() -> None:
    connection = seen(1, ("in", GET), ("out", OK))
    trace = joined(RUN, [connection], [call(9, connection.sights[-1].time + 1)])
    assert exchanges(trace)[-1] == ("app.call", 2)


def test_secrets_are_masked_in_bytes_unless_they_are_asked_for() -> None:
    sent = b"GET / HTTP/1.1\r\nCookie: sid=secret\r\nX: y\r\n\r\n"
    for secrets in (False, True):
        trace = joined(RUN, [seen(1, ("in", sent[:30]), ("in", sent[30:]))], [], secrets)
        text = "".join(e.data["bytes"]["$bytes"] for e in trace.events if e.kind == "bytes")
        assert text == (sent.decode() if secrets else sent.decode().replace("sid=secret", "*" * 10))


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: sid=secret",
        b"no HTTP at all\r\nCookie: sid=secret\r\n",
    ],
)
def test_secrets_are_masked_in_a_head_that_is_cut_or_makes_no_sense(sent: bytes) -> None:
    trace = joined(RUN, [seen(1, ("in", sent))], [])
    text = "".join(e.data["bytes"]["$bytes"] for e in trace.events if e.kind == "bytes")
    assert "secret" not in text
    assert len(text) == len(sent)


def test_traces_of_two_runs_in_one() -> None:
    one = joined(RUN, [seen(1, ("in", GET))], [])
    both = together([one, one])
    assert len(both.runs) == 2
    assert {each.run for each in both.events} == {0, 1}
