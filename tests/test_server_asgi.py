"""The ASGI server: each duty that ASGI 3.0 lays upon the server side."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from microweb.servers.settings import CannotServe

from .asgi_validator import validator
from .servers import PATIENCE, read_all, read_head, until
from .small_servers import Small, small_server

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TEXT = [(b"content-type", b"text/plain")]
START: Message = {"type": "http.response.start", "status": 200, "headers": TEXT}


def body(data: Any, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def serving(app: App, **settings: Any) -> Any:
    return small_server(app, "asgi", **settings)


def http(app: App) -> App:
    """The application, which knows no lifespan, under the eyes of the validator."""
    checked = validator(app)

    async def only_http(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await checked(scope, receive, send)

    return only_http


def saying(*messages: Message) -> App:
    """An application that sends these."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        for message in messages:
            await send(message)

    return app


def failing_with(caplog: pytest.LogCaptureFixture) -> str:
    """What the one failure of an application was, as the log tells it."""
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "microweb.servers"
    assert record.exc_info is not None
    return str(record.exc_info[1])


async def whole_body(receive: Receive) -> bytes:
    data, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        data += message["body"]
        more = message["more_body"]
    return data


# --- scope --------------------------------------------------------------------------------


class Asked:
    """An application that keeps what it was asked, and answers nothing."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.scope = scope
        await send(START)
        await send(body(b""))


def test_the_scope_says_all_that_asgi_asks_for() -> None:
    asked = Asked()
    with serving(asked) as server:
        server.ask(
            b"GET /caf%C3%A9/%2F%ff?a=%20b&c HTTP/1.1\r\nHost: example\r\nX-Two: 1\r\n"
            b"x-two: 2\r\nX-Bytes: \xe9\r\nConnection: close\r\n\r\n"
        )
        port = server.port
    client = asked.scope.pop("client")
    assert client[0] == "127.0.0.1"
    assert isinstance(client[1], int)
    assert asked.scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/café//\ufffd",
        "raw_path": b"/caf%C3%A9/%2F%ff",
        "query_string": b"a=%20b&c",
        "root_path": "",
        "headers": [
            (b"host", b"example"),
            (b"x-two", b"1"),
            (b"x-two", b"2"),
            (b"x-bytes", b"\xe9"),
            (b"connection", b"close"),
        ],
        "server": ("127.0.0.1", port),
        "state": {},
    }


@pytest.mark.parametrize(
    ("target", "path"),
    [("/mnt/a", "/mnt/a"), ("/mnt", "/mnt"), ("/a", "/mnt/a"), ("/mnto", "/mnt/mnto")],
)
def test_the_root_path_is_in_the_path_whether_or_not_a_proxy_left_it_there(
    target: str, path: str
) -> None:
    asked = Asked()
    with serving(http(asked), root_path="/mnt") as server:
        server.get(target)
    assert (asked.scope["root_path"], asked.scope["path"]) == ("/mnt", path)


# --- receive ------------------------------------------------------------------------------


def test_a_body_comes_in_the_pieces_in_which_it_was_sent() -> None:
    seen: list[Message] = []
    taken = threading.Semaphore(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not seen or seen[-1]["more_body"]:
            seen.append(await receive())
            taken.release()
        await send(START)
        await send(body(b""))

    with serving(http(app)) as server, server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two"):
            connection.sendall(b"3\r\n%s\r\n" % piece)
            assert taken.acquire(timeout=PATIENCE)
        connection.sendall(b"0\r\n\r\n")
        assert read_head(connection)[0] == 200
    assert seen == [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": False},
    ]


def test_a_small_body_is_one_message() -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        await send(START)
        await send(body(b""))

    with serving(http(app)) as server:
        server.ask(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        )
        server.get()
    assert seen == [
        {"type": "http.request", "body": b"abc", "more_body": False},
        {"type": "http.request", "body": b"", "more_body": False},
    ]


def test_100_continue_goes_out_when_the_application_first_receives() -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(go.wait, PATIENCE)
        data = await whole_body(receive)
        await send(START)
        await send(body(data))

    with serving(http(app)) as server, server.connect() as connection:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        go.set()
        with connection.makefile("rb") as reader:
            assert read_head(connection, reader)[1] == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"abc")
            assert read_head(connection, reader)[0] == 200


@pytest.mark.parametrize("leaves", ["closes", "closes its side"])
def test_an_application_that_waits_learns_that_the_client_has_left(leaves: str) -> None:
    waits, learnt = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waits.set()
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"
        learnt.set()

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)

    with serving(served) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert waits.wait(PATIENCE)
        connection.shutdown(1) if leaves == "closes its side" else connection.close()
        assert learnt.wait(PATIENCE)


def test_after_the_response_there_is_nothing_but_a_disconnect() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            waiting = asyncio.create_task(receive_twice(receive))
            await asyncio.sleep(0)
            await send(START)
            await send(body(b"response"))
            seen.append((await waiting)["type"])
            seen.append((await receive())["type"])

    async def receive_twice(receive: Receive) -> Message:
        await receive()
        return await receive()

    with serving(app) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_head(connection)[0] == 200
        until("it has learnt", lambda: len(seen) == 2)
    assert seen == ["http.disconnect"] * 2


# --- send ---------------------------------------------------------------------------------

WRONG: dict[str, tuple[list[Message], str]] = {
    "body first": ([body(b"a")], "before http.response.start"),
    "start twice": ([START, START], "sent twice"),
    "no such message": ([{"type": "http.response.push"}], "is no message of a response"),
    "text": ([START, body("text")], "made of bytes, not of str"),
    "a number": ([START, body(5)], "made of bytes, not of int"),
    "no status": ([{"type": "http.response.start"}, body(b"")], "status"),
    "status 100": ([{**START, "status": 100}, body(b"")], "Response status_code"),
    "a bad name": ([{**START, "headers": [(b"a b", b"")]}, body(b"")], "Illegal header name"),
    "a bad value": ([{**START, "headers": [(b"a", b"\n")]}, body(b"")], "Illegal header value"),
    "nothing": ([], "returned before its response was over"),
    "no body": ([START], "returned before its response was over"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_message_before_the_body_is_a_500_and_the_log_says_why(
    wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages, complaint = WRONG[wrong]
    with serving(saying(*messages)) as server:
        head, content = server.get()
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert content.endswith(b"The application failed; the server's log says how.\n")
    assert complaint in failing_with(caplog)


CUT: dict[str, tuple[list[Message], str]] = {
    "no more": ([START, body(b"first", True)], "returned before its response was over"),
    "text": ([START, body(b"first", True), body("text")], "made of bytes, not of str"),
    "start": ([START, body(b"first", True), START], "sent twice"),
}


@pytest.mark.parametrize("cut", CUT)
def test_a_failure_in_the_body_breaks_the_transfer_off(
    cut: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages, complaint = CUT[cut]
    with serving(saying(*messages)) as server:
        assert server.get()[1] == b"5\r\nfirst\r\n"
    assert complaint in failing_with(caplog)


def test_a_body_that_is_too_short_breaks_the_transfer_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = {**START, "headers": [*TEXT, (b"content-length", b"5")]}
    with serving(saying(start, body(b"123", True), body(b""))) as server:
        assert server.get()[1] == b"123"
    assert "Too little data" in failing_with(caplog)


def test_the_head_waits_for_the_body_so_that_an_error_between_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        await send(START)
        raise LookupError("on purpose")

    with serving(app) as server:
        assert server.get()[0].startswith(b"HTTP/1.1 500 ")
    assert failing_with(caplog) == "on purpose"


def test_an_empty_piece_sends_the_head_at_once() -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(b"", True))
        await asyncio.to_thread(go.wait, PATIENCE)
        await send(body(b"late"))

    with serving(http(app)) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert read_head(connection)[0] == 200
        go.set()
        assert read_all(connection) == b"4\r\nlate\r\n0\r\n\r\n"


def test_the_coding_of_the_transfer_is_the_server_s_business() -> None:
    start = {**START, "headers": [*TEXT, (b"transfer-encoding", b"gzip")]}
    with serving(saying(start, body(bytearray(b"one"), True), body(memoryview(b"two")))) as server:
        head, content = server.get()
        assert head.lower().count(b"transfer-encoding") == 1
        assert content == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert server.ask(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nonetwo")


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_some_responses_have_no_body_whatever_the_application_says(
    status: int, method: str
) -> None:
    with serving(saying({**START, "status": status}, body(b"one", True), body(b"two"))) as server:
        head, content = server.get(method=method)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert content == b""
        pair = b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode()
        last = pair.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert server.ask(pair + last).count(b"HTTP/1.1 %d " % status) == 2


def test_a_send_to_a_client_that_has_left_is_an_os_error() -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send(START)
        try:
            while True:
                await send(body(b"more" * 1000, True))
        except Exception as error:
            raised.append(error)
            raise

    with serving(app) as server:
        with server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.recv(1000)
        until("it is raised", lambda: bool(raised))
        assert isinstance(raised[0], OSError)


def test_a_send_after_the_response_is_an_error_that_nobody_sees(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(saying(START, body(b"all"), body(b"too late"))) as server:
        with server.connect() as connection:
            request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            for _ in range(2):  # the connection goes on
                connection.sendall(request)
                with connection.makefile("rb") as reader:
                    assert read_head(connection, reader)[0] == 200
                    assert reader.read(13) == b"3\r\nall\r\n0\r\n\r\n"
        until("both are logged", lambda: len(caplog.records) == 2)
    assert "after the response was over" in caplog.text


def test_a_client_that_does_not_read_holds_the_application_back() -> None:
    sent = [0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(200):
            await send(body(b"x" * 500_000, True))
            sent[0] += 500_000
        await send(body(b""))

    with serving(http(app)) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert server.get  # another task may run meanwhile
        before = -1
        while before != sent[0]:  # until it is full from end to end
            before = sent[0]
            threading.Event().wait(0.2)
        assert sent[0] < 50_000_000
        received = 0
        while count := len(connection.recv(1_000_000)):
            received += count
        assert received > 100_000_000
    assert sent[0] == 100_000_000


def test_an_application_that_does_not_receive_holds_the_client_back() -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(go.wait, PATIENCE)
        while (await receive())["more_body"]:
            pass
        await send(START)
        await send(body(b"all of it"))

    size = 50_000_000
    with serving(http(app)) as server, server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        connection.settimeout(0.3)
        sent = 0
        with suppress(TimeoutError):
            while sent < size:
                sent += connection.send(b"x" * 100_000)
        assert sent < 20_000_000
        go.set()
        connection.settimeout(PATIENCE)
        connection.sendall(b"x" * (size - sent))
        assert read_head(connection)[0] == 200


# --- after the response -------------------------------------------------------------------


def test_work_after_the_response_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    go, done = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(body(scope["raw_path"]))
        if scope["path"] == "/first":
            await asyncio.to_thread(go.wait, PATIENCE)
            done.set()
            raise LookupError("in the background")

    with serving(http(app)) as server:
        answer = server.ask(
            b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert (b"/first" in answer, b"/second" in answer) == (True, True)
        assert not done.is_set()
        go.set()
        assert done.wait(PATIENCE)
    assert failing_with(caplog) == "in the background"
    assert answer.count(b"HTTP/1.1") == 2


# --- lifespan -----------------------------------------------------------------------------


class Living:
    """An application with a lifespan, and what is seen of it."""

    def __init__(self, **answers: str) -> None:
        self.answers = {"startup": "complete", "shutdown": "complete", **answers}
        self.seen: list[str] = []
        self.states: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(scope, receive, send)
        else:
            self.states.append(dict(scope["state"]))
            scope["state"]["mine"] = "alone"
            await send(START)
            await send(body(b"alive"))

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        for event in ("startup", "shutdown"):
            message = await receive()
            self.seen.append(message["type"])
            scope["state"]["shared"] = "with all"
            answer = self.answers[event]
            if answer == "hang":
                await asyncio.Event().wait()
            why = {"message": "no database today"} if answer == "failed" else {}
            await send({"type": f"lifespan.{event}.{answer}", **why})


def test_the_lifespan_begins_before_the_first_request_and_ends_after_the_last() -> None:
    living = Living()
    with serving(validator(living)) as server:
        assert server.get()[1].endswith(b"alive\r\n0\r\n\r\n")
        server.get()
        assert living.seen == ["lifespan.startup"]
    assert living.seen == ["lifespan.startup", "lifespan.shutdown"]
    assert living.states == [{"shared": "with all"}] * 2  # each request has a copy


def test_a_start_that_fails_serves_nobody() -> None:
    with serving(Living(startup="failed")) as server:
        server.thread.join(PATIENCE)
        assert isinstance(server.error, CannotServe)
        assert "no database today" in str(server.error)


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_an_application_that_knows_no_lifespan_is_served_without(how: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            if how == "raises":
                raise ValueError("what is a lifespan?")
            return
        assert scope["state"] == {}
        await send(START)
        await send(body(b""))

    with serving(app) as server:
        assert server.get()[0].startswith(b"HTTP/1.1 200 ")


def test_a_failing_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Living(shutdown="failed")) as server:
        server.get()
    assert "did not end well: no database today" in caplog.text


@pytest.mark.parametrize("event", ["startup", "shutdown"])
def test_a_lifespan_that_hangs_does_not_keep_the_server_from_stopping(event: str) -> None:
    with serving(Living(**{event: "hang"}), stop_timeout=0.1) as server:
        if event == "shutdown":
            server.get()
        server.stop()
        server.wait()


# --- the end ------------------------------------------------------------------------------


class Held:
    """An application that waits until it is let go on."""

    def __init__(self) -> None:
        self.called, self.go, self.cancelled = (threading.Event() for _ in range(3))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.called.set()
        try:
            while not self.go.is_set():
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        await send(START)
        await send(body(b"done"))


def running(server: Small, held: Held) -> Any:
    connection = server.connect()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert held.called.wait(PATIENCE)
    return connection


def test_a_stop_lets_running_requests_end_and_closes_idle_connections() -> None:
    held = Held()
    with serving(held) as server, server.connect() as idle, server.connect() as begun:
        begun.sendall(b"GET / HT")
        with running(server, held) as connection:
            server.stop()
            assert read_all(idle) == read_all(begun) == b""
            with pytest.raises(ConnectionRefusedError):
                server.connect()
            held.go.set()
            answer = read_all(connection)
        assert b"4\r\ndone\r\n0\r\n\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        server.wait()


@pytest.mark.parametrize("why", ["asked again", "its time is up"])
def test_a_stop_that_waits_no_longer_cancels_what_runs(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    timeout = PATIENCE if why == "asked again" else 0.1
    with serving(held, stop_timeout=timeout) as server, running(server, held) as connection:
        server.stop()
        if why == "asked again":
            server.stop()
        server.wait()
        assert held.cancelled.is_set()
        assert read_all(connection) == b""
    assert ("1 requests did not end in time" in caplog.text) == (why != "asked again")


# --- what hostile or hasty clients do -----------------------------------------------------


def test_a_body_that_comes_while_it_is_asked_for_is_received() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        time.sleep(0.05)  # the loop stands still, so that `send` lets the others go on first
        await asyncio.sleep(0)
        data = await whole_body(receive)
        await send(START)
        await send(body(data))

    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n"
    with serving(http(app)) as server, server.connect() as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n")
        connection.sendall(b"abc")
        assert b"3\r\nabc\r\n0\r\n\r\n" in read_all(connection)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of all connections")
def test_connections_whose_clients_read_nothing_do_not_stay_open() -> None:
    with serving(saying(START, body(b"x" * 40_000)), body_timeout=0.2) as server:
        clients = [server.connect() for _ in range(5)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(2000):
                    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        gone = tcp_connections(server.port)
        until("the server has let them go", lambda: not gone())
        for client in clients:
            client.close()


def tcp_connections(port: int) -> Callable[[], int]:
    """How many connections of this port the server's side still holds open (proc(5))."""

    def count() -> int:
        here = f":{port:04X}"
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        fields = [line.split() for line in lines]
        return sum(one[1].endswith(here) and one[3] == "01" for one in fields)

    return count


def test_an_error_whose_causes_go_in_a_circle_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError
        try:
            try:
                raise KeyError("the cause")
            except KeyError as error:
                raise ValueError("the effect") from error
        except ValueError as error:
            raise error.__cause__ or error  # noqa: B904 - now each is in the other's chain

    with serving(app) as server:
        assert server.get()[0].startswith(b"HTTP/1.1 500 ")
    assert "the cause" in failing_with(caplog)
