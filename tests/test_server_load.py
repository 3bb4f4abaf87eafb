"""Crowds before the two small servers: the slow and the silent keep nobody else waiting.

No verdict depends on how fast the machine is: that somebody is not kept waiting is seen from
those who are still there, unfinished, when he has had all his answers.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from microweb.servers.listening import GRACE
from microweb.servers.settings import Settings

from . import load_app
from .crowds import (
    GET,
    Place,
    Slow,
    SlowBody,
    SlowChunks,
    SlowHead,
    SlowReader,
    Visitor,
    stirred,
)
from .load_app import TOGETHER
from .processes import KIB, open_files, resident, threads, worked
from .servers import DOORS, PATIENCE, Server, serving, until
from .small_servers import Door, Small, small_server

KINDS = ["microweb wsgi", "microweb asgi"]
IDLE = 1000
QUICK = 200  # requests
MIB = KIB * KIB

both_kinds = pytest.mark.parametrize("kind", KINDS)
APPS: dict[Door, Any] = {"wsgi": load_app.wsgi, "asgi": load_app.asgi}

both_doors = pytest.mark.parametrize("door", ["wsgi", "asgi"])


def load_server(kind: str, folder: Path) -> Any:
    """A real server over load_app."""
    return serving(kind, f"tests.load_app:{DOORS[kind]}", folder)


@contextmanager
def small(door: Door, **settings: Any) -> Iterator[Small]:
    """The same application behind a server in this process."""
    load_app.forget()
    with small_server(APPS[door], door, **settings) as server:
        yield server


def census(place: Place) -> dict[str, Any]:
    """What the application says of those who are in it, but for the one who asks."""
    with Visitor(place) as visitor:
        status, body = visitor.ask(b"GET /census HTTP/1.1\r\nHost: test\r\n\r\n")
    assert status == 200
    return json.loads(body)  # type: ignore[no-any-return]


@contextmanager
def descriptors(number: int) -> Iterator[None]:
    """As many descriptors for this process and those that it starts; skips where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < number:
        pytest.skip(f"only {hard} descriptors are allowed here, and {number} needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- the slow and the silent --------------------------------------------------------------

CROWD: list[tuple[Callable[[Place], Slow], int]] = [
    (SlowHead, 13),
    (SlowBody, 13),
    (SlowChunks, 12),
    (SlowReader, 12),
]


@both_kinds
def test_a_thousand_idle_and_fifty_slow_clients_keep_nobody_waiting(
    kind: str, tmp_path: Path
) -> None:
    with descriptors(2 * IDLE), load_server(kind, tmp_path) as server, ExitStack() as stack:
        with Visitor(server) as first:
            first.ask()
        before = resident(server.process.pid)
        idle = [stack.enter_context(Visitor(server)) for _ in range(IDLE)]
        for visitor in idle[::2]:  # some have had an answer, some have said nothing yet
            assert visitor.ask() == (200, b"hello")
        each = (resident(server.process.pid) - before) / IDLE
        slow = [sort(server) for sort, number in CROWD for _ in range(number)]
        for one in slow:
            stack.enter_context(one.visitor)

        asked = ask_among(server, slow)

        assert asked >= 20
        assert census(server)["running"] == {"/count": 25, "/large": 12}
        assert stirred([one.visitor for one in slow if not isinstance(one, SlowReader)]) == 0
        assert stirred(idle) == 0
        # And they are no dead weight: all of them can go on.
        for one in slow:
            one.finish()
        for visitor in idle[:: IDLE // 20]:
            assert visitor.ask() == (200, b"hello")
        until("the readers are gone", lambda: census(server)["running"]["/large"] == 0, server.log)
        assert "Traceback" not in server.log()
        assert each < 32 * KIB


def ask_among(place: Place, slow: list[Slow]) -> int:
    """Send QUICK requests while the slow make their steps; how many were answered.

    They are fewer on a machine that would take so long for all of them that the server loses its
    patience with the slow.
    """
    end = time.monotonic() + Settings().head_timeout / 2
    with Visitor(place) as regular:
        for number in range(QUICK):
            if number % 10 == 0:
                with Visitor(place) as new:
                    assert new.ask() == (200, b"hello")
                for one in slow:
                    one.step()
            assert regular.ask() == (200, b"hello")
            if time.monotonic() > end:
                break
    return number


def test_two_threads_are_enough_where_who_waits_stands_aside() -> None:
    both = threading.Barrier(2)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/both":
            both.wait(PATIENCE)
        return load_app.wsgi(environ, start_response)

    load_app.forget()
    with small_server(app, "wsgi", threads=2) as server, ExitStack() as stack:
        slow: list[Slow] = [SlowBody(server) for _ in range(5)]
        slow += [SlowChunks(server) for _ in range(5)]
        slow += [SlowReader(server) for _ in range(10)]
        for one in slow:
            stack.enter_context(one.visitor)
        everybody = {"/count": 10, "/large": 10}
        until("all are in", lambda: census(server)["running"] == everybody)
        ask_among(server, slow)
        # Both threads are there for others: these two are answered together, or not at all.
        with Visitor(server) as one_of_two, Visitor(server) as other:
            one_of_two.send(b"GET /both HTTP/1.1\r\nHost: test\r\n\r\n")
            other.send(b"GET /both HTTP/1.1\r\nHost: test\r\n\r\n")
            assert one_of_two.answer()[0] == other.answer()[0] == 404
        assert census(server)["running"] == everybody
        for one in slow:
            one.finish()
        until("all are out", lambda: set(census(server)["running"].values()) == {0})


# --- ten thousand requests ----------------------------------------------------------------

CLIENTS = 4
WARM_UP = 60  # rounds
ROUNDS = 300
HOST_LINE = b" HTTP/1.1\r\nHost: test\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"


def keep_alive(place: Place) -> int:
    """Requests of many kinds, one after the other, and the last asks for the end."""
    with Visitor(place) as visitor:
        for _ in range(10):
            assert visitor.ask() == (200, b"hello")
        for _ in range(3):
            length = b"POST /count" + HOST_LINE + b"Content-Length: 12\r\n\r\nhello, world"
            assert visitor.ask(length) == (200, b"12")
            chunks = b"POST /count" + HOST_LINE + CHUNKED + CHUNKS
            assert visitor.ask(chunks) == (200, b"12")
            assert visitor.ask(b"GET /stream" + HOST_LINE + b"\r\n") == (200, b"one\ntwo\nthree\n")
        assert visitor.ask(b"GET /nowhere" + HOST_LINE + b"\r\n")[0] == 404
        assert visitor.ask(b"HEAD /" + HOST_LINE + b"\r\n", has_body=False) == (200, b"")
        unread = b"POST /" + HOST_LINE + b"Content-Length: 5\r\n\r\nhello"  # by the application
        assert visitor.ask(unread) == (200, b"hello")
        assert visitor.ask(b"GET /" + HOST_LINE + b"Connection: close\r\n\r\n") == (200, b"hello")
        assert visitor.rest() == b""
    return 23


def pipelined(place: Place) -> int:
    """Several at once."""
    with Visitor(place) as visitor:
        visitor.send(GET * 3)
        assert [visitor.answer() for _ in range(3)] == [(200, b"hello")] * 3
    return 3


def old(place: Place) -> int:
    """HTTP/1.0: the connection's end is the end of a body."""
    with Visitor(place) as visitor:
        assert visitor.ask(b"GET /stream HTTP/1.0\r\n\r\n") == (200, b"one\ntwo\nthree\n")
    return 1


def fails(place: Place) -> int:
    """The application does, before the answer and in its middle."""
    with Visitor(place) as visitor:
        assert visitor.ask(b"GET /boom" + HOST_LINE + b"\r\n")[0] == 500
    with Visitor(place) as visitor:
        visitor.send(b"GET /break" + HOST_LINE + b"\r\n")
        assert visitor.rest().endswith(b"\r\n5\r\nhello\r\n")  # the last chunk is missing
    return 2


def refused(place: Place) -> int:
    """What is no request, and what is too much of one."""
    with Visitor(place) as visitor:
        assert visitor.ask(b"GET / HTTP/1.1\r\nHost : test\r\n\r\n")[0] == 400
    with Visitor(place) as visitor:
        much = b"POST /count" + HOST_LINE + b"Content-Length: 9999999999999\r\n\r\n"
        assert visitor.ask(much)[0] == 413
    return 2


def leaves(place: Place) -> int:
    """In the middle of a head, of a body, of an answer; with a reset, and in order."""
    upload = b"POST /count" + HOST_LINE + b"Content-Length: 100000\r\n\r\nhello"
    for request, reads in (
        (GET[:20], 0),
        (upload, 0),
        (b"GET /large" + HOST_LINE + b"\r\n", 1000),
    ):
        with Visitor(place) as visitor:
            visitor.send(request)
            visitor.read(reads)
            visitor.reset()
        with Visitor(place) as visitor:
            visitor.send(request)
            visitor.read(reads)
    return 4


def talks(place: Place) -> int:
    """A WebSocket, by hand: a handshake, text that is echoed, a close that is answered."""
    handshake = (
        b"GET /talk" + HOST_LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    mask = b"\0\0\0\0"  # which leaves everything as it is
    with Visitor(place) as visitor:
        assert visitor.ask(handshake, has_body=False)[0] == 101
        for _ in range(2):
            visitor.send(b"\x81\x85" + mask + b"hello")
            assert visitor.read(7) == b"\x81\x05hello"
        visitor.send(b"\x88\x82" + mask + b"\x03\xe8")
        assert visitor.rest() == b"\x88\x02\x03\xe8"
    with Visitor(place) as visitor:
        assert visitor.ask(handshake, has_body=False)[0] == 101
        visitor.reset()
    return 2


KINDS_OF_VISIT = (keep_alive, pipelined, old, fails, refused, leaves)


def visit(place: Place, rounds: int, door: str) -> int:
    """A few clients at once go through all kinds of visits, so many times; how many requests."""
    kinds = (*KINDS_OF_VISIT, talks) if door == "asgi" else KINDS_OF_VISIT

    def round_(_: int) -> int:
        return sum(kind(place) for kind in kinds)

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(round_, range(rounds)))


@both_kinds
def test_nothing_is_left_of_ten_thousand_requests(kind: str, tmp_path: Path) -> None:
    with load_server(kind, tmp_path) as server:
        pid = server.process.pid
        if DOORS[kind] == "wsgi":
            call_all_threads(server)
            assert threads(pid) == 1 + TOGETHER
            call_more_threads(server)
            until("they are not kept", lambda: threads(pid) == 1 + TOGETHER, server.log)
        visit(server, WARM_UP, DOORS[kind])
        until("it is quiet", lambda: set(census(server)["running"].values()) == {0}, server.log)
        until("who leaves is gone", lambda: len(sockets(pid)) <= OWN_SOCKETS, server.log)
        descriptors, tasks = len(open_files(pid)), census(server)["tasks"]
        workers, memory = threads(pid), resident(pid)

        assert visit(server, ROUNDS, DOORS[kind]) >= 10_000

        until("descriptors are closed", lambda: len(open_files(pid)) <= descriptors, server.log)
        until("tasks end", lambda: census(server)["tasks"] <= tasks, server.log)
        until("threads end", lambda: threads(pid) <= workers, server.log)
        assert set(census(server)["running"].values()) == {0}
        assert resident(pid) - memory < 3 * MIB
        log = server.log()
        # Each traceback in it is one that was asked for.
        assert log.count("Traceback") == log.count("ValueError: on purpose") > 0
        assert "a worker's job failed" not in log
        assert "never retrieved" not in log


OWN_SOCKETS = 3  # the one that listens, and the pair that wakes the loop


def sockets(pid: int) -> list[str]:
    return [name for name in open_files(pid) if name.startswith("socket:")]


def call_all_threads(server: Server) -> None:
    """Have all the threads run that may, so that none need come later."""
    with ExitStack() as stack:
        together = [stack.enter_context(Visitor(server)) for _ in range(TOGETHER)]
        for visitor in together:
            visitor.send(b"GET /together" + HOST_LINE + b"\r\n")
        assert {visitor.answer() for visitor in together} == {(200, b"hello")}


def call_more_threads(server: Server) -> None:
    """Have more clients waited for than there are threads that may run."""
    with ExitStack() as stack:
        slow: list[Slow] = [SlowBody(server) for _ in range(2 * TOGETHER)]
        for one in slow:
            stack.enter_context(one.visitor)
        in_there = {"/count": len(slow)}
        until("all are in", lambda: census(server)["running"] == in_there, server.log)
        for one in slow:
            one.finish()


# --- more connections than descriptors ----------------------------------------------------

FEW = 64  # descriptors


@both_kinds
def test_with_more_idle_connections_than_descriptors_others_are_served(
    kind: str, tmp_path: Path
) -> None:
    with load_server(kind, tmp_path) as server, ExitStack() as stack:
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
        idle = [stack.enter_context(Visitor(server)) for _ in range(3 * FEW)]
        for _ in range(5):
            with Visitor(server) as other:  # behind them all in the kernel's queue
                assert other.ask() == (200, b"hello")
                # Some descriptors are left for the application's own use.
                assert other.ask(b"GET /files" + HOST_LINE + b"\r\n")[0] == 200
        assert len(open_files(pid)) <= FEW
        # Those who have been idle longest had to go, and the last ones may stay.
        assert stirred(idle) > 2 * FEW
        assert stirred(idle[:FEW]) == FEW
        assert stirred(idle[-10:]) == 0
        assert idle[-1].ask() == (200, b"hello")
        assert_rests(pid)
        assert "Traceback" not in server.log()


@both_kinds
def test_with_more_busy_connections_than_descriptors_the_rest_waits_for_its_turn(
    kind: str, tmp_path: Path
) -> None:
    with load_server(kind, tmp_path) as server, ExitStack() as stack:
        pid = server.process.pid
        readers: list[Slow] = [SlowReader(server) for _ in range(5)]
        until("all are in", lambda: census(server)["running"].get("/large") == 5, server.log)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
        senders: list[Slow] = [SlowBody(server) for _ in range(2 * FEW)]
        for one in (*readers, *senders):
            stack.enter_context(one.visitor)
        until("there is no more room", lambda: len(open_files(pid)) >= FEW // 2, server.log)
        assert_rests(pid)
        assert len(open_files(pid)) < FEW
        # Nobody who is in is thrown out, and no thread needs a descriptor to wait: the loop has
        # an epoll, and it is the only one.
        assert open_files(pid).count("anon_inode:[eventpoll]") == 1
        for reader in readers:
            assert len(reader.visitor.read(4 * MIB)) == 4 * MIB
        for sender in senders:
            sender.step()
        assert stirred([sender.visitor for sender in senders]) == 0
        for reader in readers:
            reader.finish()
        for sender in senders:
            sender.finish()
            sender.visitor.socket.close()
        assert_serves(server)
        assert "Traceback" not in server.log()


@both_kinds
def test_where_the_application_has_taken_all_descriptors(kind: str, tmp_path: Path) -> None:
    with load_server(kind, tmp_path) as server:
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
        hoarder = SlowBody(server, b"/hoard")
        with hoarder.visitor:
            until("none is left", lambda: len(open_files(pid)) == FEW, server.log)
            with Visitor(server) as newcomer:
                newcomer.send(GET)
                # Where nobody can be hung up on, it waits until there is one again.
                assert_rests(pid)
                assert stirred([newcomer]) == 0
                hoarder.finish()
                assert newcomer.answer() == (200, b"hello")
        assert_serves(server)


@both_doors
def test_more_connections_than_are_wanted_cost_the_one_that_has_been_idle_longest(
    door: Door,
) -> None:
    with small(door, max_connections=5) as server, ExitStack() as stack:
        busy = SlowBody(server)
        stack.enter_context(busy.visitor)
        until("it is busy", lambda: census(server)["running"].get("/count") == 1)
        idle = []
        for _ in range(4):
            idle.append(stack.enter_context(Visitor(server)))
            assert idle[-1].ask() == (200, b"hello")
        time.sleep(2 * GRACE)  # before that they count as newcomers
        assert idle[0].ask() == (200, b"hello")  # and is no longer the one who waits longest
        time.sleep(2 * GRACE)
        with Visitor(server) as other:
            assert other.ask() == (200, b"hello")
            # The other three were idle equally long, or nearly so.
            gone = [visitor for visitor in idle if stirred([visitor])]
            assert len(gone) == 1
            assert idle[0] not in gone
            assert gone[0].rest() == b""
        busy.finish()
        for visitor in idle:
            if visitor not in gone:
                assert visitor.ask() == (200, b"hello")


@both_doors
def test_who_is_busy_is_not_hung_up_on_and_newcomers_wait(door: Door) -> None:
    with small(door, max_connections=2) as server, ExitStack() as stack:
        busy: list[Slow] = [SlowBody(server) for _ in range(10)]
        for one in busy:
            stack.enter_context(one.visitor)
        until("there is no room", lambda: load_app.peak.get("/count") == 2)
        for one in busy:
            one.finish()
            one.visitor.socket.close()
        assert_serves(server)
    assert load_app.peak == {"/count": 2}


@both_doors
def test_who_was_refused_and_does_not_go_makes_room(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"microweb.servers.{door}.LEAVE_TIMEOUT", 3600.0)
    with small(door, max_connections=5) as server, ExitStack() as stack:
        for _ in range(15):
            visitor = stack.enter_context(Visitor(server))
            assert visitor.ask(b"no request\r\n\r\n")[0] == 400
        assert_serves(server)


def test_where_no_more_threads_are_to_be_had_those_that_are_there_do_it_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    workers: list[threading.Thread] = []

    def may_start(thread: threading.Thread) -> None:
        if thread.name == "microweb-worker":
            if len(workers) == 3:
                raise RuntimeError("can't start new thread")
            workers.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", may_start)
    with small("wsgi") as server, ExitStack() as stack:
        slow: list[Slow] = [SlowBody(server) for _ in range(10)]
        for one in slow:
            stack.enter_context(one.visitor)
        until("the threads are taken", lambda: len(workers) == 3)
        for one in slow:
            one.finish()
        assert census(server)["running"]["/count"] == 0


def assert_rests(pid: int) -> None:
    """Nothing goes round in circles: for a moment, next to nothing is done."""
    before = worked(pid)
    time.sleep(0.5)
    assert worked(pid) - before < 0.1


# --- who takes too long -------------------------------------------------------------------

SOON = 0.2  # seconds
POST = b"POST /count" + HOST_LINE


@both_doors
def test_who_says_nothing_is_hung_up_on_without_a_word(door: Door) -> None:
    with small(door, idle_timeout=SOON) as server:
        with Visitor(server) as silent:
            assert silent.rest() == b""
        with Visitor(server) as satisfied:
            status = satisfied.ask(GET)[0]
            assert (status, satisfied.rest()) == (200, b"")
        assert_serves(server)


@both_doors
@pytest.mark.parametrize("steps", [0, 3])
def test_a_head_that_does_not_end_is_408(door: Door, steps: int) -> None:
    with small(door, head_timeout=SOON) as server:
        slow = SlowHead(server)
        with slow.visitor:
            for _ in range(steps):  # it is the head as a whole that must not take so long
                time.sleep(SOON / 4)
                slow.step()
            assert_hung_up(slow.visitor, 408)
        assert_serves(server)


@both_doors
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n", CHUNKED + b"64\r\n"])
def test_a_body_that_does_not_end_is_408(door: Door, framing: bytes) -> None:
    with small(door, body_timeout=SOON) as server:
        with Visitor(server) as visitor:
            visitor.send(POST + framing + b"a part of it")
            assert_hung_up(visitor, 408)
        until("the application knows", lambda: census(server)["running"]["/count"] == 0)
        assert_serves(server)


@both_doors
def test_bytes_that_dribble_do_not_buy_time_without_end(door: Door) -> None:
    # Each byte gives a thousandth of a second back, and takes more.
    with small(door, body_timeout=SOON, min_rate=1000) as server:
        slow = SlowBody(server)
        with slow.visitor:
            while not stirred([slow.visitor]):
                slow.step()
                time.sleep(SOON / 10)
            assert_hung_up(slow.visitor, 408)
        assert_serves(server)


@both_doors
def test_a_slow_body_that_is_quick_enough_may_take_longer_than_the_timeout(door: Door) -> None:
    # A byte gives all of the patience back.
    with small(door, body_timeout=5 * SOON, min_rate=1) as server:
        slow = SlowBody(server)
        with slow.visitor:
            end = time.monotonic() + 6 * SOON
            while time.monotonic() < end:
                slow.step()
                time.sleep(SOON / 10)
            slow.finish()


@both_doors
def test_who_does_not_read_is_hung_up_on(door: Door) -> None:
    with small(door, body_timeout=SOON) as server:
        with Visitor(server, receives=4096) as visitor:
            visitor.send(b"GET /large" + HOST_LINE + b"\r\n")
            until("it is in", lambda: census(server)["running"].get("/large") == 1)
            until("it is out", lambda: census(server)["running"].get("/large") == 0)
            assert len(visitor.rest()) < load_app.MOST
        assert_serves(server)


@both_doors
def test_none_of_them_leaves_a_traceback(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    brief = {"idle_timeout": SOON, "head_timeout": SOON, "body_timeout": SOON}
    with small(door, **brief) as server, ExitStack() as stack:
        slow: list[Slow] = [sort(server) for sort, _ in CROWD]
        for visitor in (*(one.visitor for one in slow), Visitor(server)):
            stack.enter_context(visitor)
            visitor.rest()
    assert [record for record in caplog.records if record.exc_info] == []


# --- who sends too much -------------------------------------------------------------------


@both_doors
def test_a_length_that_is_too_large_is_413_and_no_application_is_called(door: Door) -> None:
    with small(door, max_body=1000) as server:
        with Visitor(server) as visitor:
            visitor.send(POST + b"Content-Length: 1001\r\n\r\n" + b"z" * 1001)
            assert_hung_up(visitor, 413)
        with Visitor(server) as visitor:  # nor is it asked to go on
            visitor.send(POST + b"Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n")
            assert_hung_up(visitor, 413)
        assert "/count" not in census(server)["running"]
        with Visitor(server) as visitor:
            just = POST + b"Content-Length: 1000\r\n\r\n" + b"z" * 1000
            assert visitor.ask(just) == (200, b"1000")


@both_doors
def test_chunks_that_become_too_many_are_413(door: Door) -> None:
    chunk = b"64\r\n" + b"z" * 100 + b"\r\n"
    with small(door, max_body=1000) as server:
        with Visitor(server) as visitor:
            assert visitor.ask(POST + CHUNKED + chunk * 10 + b"0\r\n\r\n") == (200, b"1000")
        with Visitor(server) as visitor:
            visitor.send(POST + CHUNKED)
            for _ in range(11):
                visitor.send(chunk)
            assert_hung_up(visitor, 413)
        until("the application knows", lambda: census(server)["running"]["/count"] == 0)
        assert_serves(server)


def assert_hung_up(visitor: Visitor, status: int) -> None:
    """The answer has this status, says that it is the last, and is."""
    head, _, body = visitor.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head.lower()
    assert body.startswith(b"%d " % status)


def assert_serves(place: Place) -> None:
    """The server lives, and others are served."""
    with Visitor(place) as visitor:
        assert visitor.ask() == (200, b"hello")


# --- small pieces -------------------------------------------------------------------------


@both_doors
def test_small_pieces_do_not_wait_for_each_other(door: Door) -> None:
    # Else the kernel would keep the second piece of a stream until the first is acknowledged,
    # which the client's kernel may take 40 ms for (RFC 9293, section 3.7.4).
    with small(door) as server, Visitor(server) as visitor:
        assert visitor.ask() == (200, b"hello")
        [of_the_server] = [
            option
            for peer, option in nodelay_of_own_sockets()
            if peer == visitor.socket.getsockname()
        ]
    assert of_the_server


def nodelay_of_own_sockets() -> Iterator[tuple[Any, int]]:
    """The peer of each connection that this process has, and whether it sends without delay."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError), socket.socket(fileno=os.dup(int(name))) as own:
            option = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            yield own.getpeername(), option
