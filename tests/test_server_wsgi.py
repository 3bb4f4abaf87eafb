"""The WSGI server: each duty that PEP 3333 lays upon the server side."""

from __future__ import annotations

import io
import logging
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from .servers import PATIENCE, read_all, read_head
from .small_servers import Small, small_server

Environ = dict[str, Any]
TEXT = [("Content-Type", "text/plain")]


def serving(app: Any, **settings: Any) -> Any:
    return small_server(app, "wsgi", **settings)


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed += 1


def answering(iterable: Iterable[bytes], status: str = "200 OK", **headers: str) -> Any:
    """An application that answers with this, under the eyes of wsgiref's validator."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, [*([] if status[:3] in ("204", "304") else TEXT), *pairs])
        return iterable

    return validator(app)


def failing_with(caplog: pytest.LogCaptureFixture) -> str:
    """What the one failure of an application was, as the log tells it."""
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "microweb.servers"
    assert record.exc_info is not None
    return str(record.exc_info[1])


# --- environ ------------------------------------------------------------------------------


class Asked:
    """An application that keeps what it was asked, and answers nothing."""

    def __init__(self) -> None:
        self.environ: Environ = {}
        self.body = b""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        self.environ = environ
        self.body = environ["wsgi.input"].read(1_000_000)
        start_response("200 OK", TEXT)
        return []


def test_environ_says_all_that_pep_3333_asks_for() -> None:
    asked = Asked()
    with serving(validator(asked), threads=3) as server:
        server.ask(
            b"POST /caf%C3%A9/%2F?a=%20b&c HTTP/1.1\r\nHost: example:80\r\nContent-Length: 3\r\n"
            b"Content-Type: text/plain\r\nX-Two: 1\r\nx-two: 2\r\nCookie: a=1\r\nCookie: b=2\r\n"
            b"X-Bytes: \xe9\r\nX_Forged: 1\r\nScript-Name: /evil\r\nConnection: close\r\n\r\nabc"
        )
        port = str(server.port)
    environ = asked.environ
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/caf\xc3\xa9//",
        "QUERY_STRING": "a=%20b&c",
        "REQUEST_URI": "/caf%C3%A9/%2F?a=%20b&c",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "microweb",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": "3",
        "CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "example:80",
        "HTTP_CONNECTION": "close",
        "HTTP_X_TWO": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_X_BYTES": "\xe9",
        "HTTP_SCRIPT_NAME": "/evil",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["REMOTE_PORT"].isdecimal()
    rest = set(environ) - set(expected) - {"REMOTE_PORT"}
    assert rest == {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper"}
    assert asked.body == b"abc"


def test_nothing_is_said_of_what_the_client_did_not_send() -> None:
    asked = Asked()
    with serving(asked, threads=1) as server:
        server.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert not {key for key in asked.environ if key.startswith(("HTTP_", "CONTENT_"))}
    assert asked.environ["QUERY_STRING"] == ""
    assert asked.environ["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert asked.environ["wsgi.multithread"] is False


@pytest.mark.parametrize(
    ("target", "path_info"),
    [("/mnt/a", "/a"), ("/mnt", ""), ("/mnt/", "/"), ("/a", "/a"), ("/mnto", "/mnto")],
)
def test_the_root_path_is_in_script_name_whether_or_not_a_proxy_left_it_in_the_path(
    target: str, path_info: str
) -> None:
    asked = Asked()
    with serving(validator(asked), root_path="/mnt") as server:
        server.get(target)
    assert (asked.environ["SCRIPT_NAME"], asked.environ["PATH_INFO"]) == ("/mnt", path_info)


# --- wsgi.input ---------------------------------------------------------------------------

LINES = b"one\ntwo\n" + b"x" * 100_000 + b"\nlast"
READINGS: dict[str, Callable[[Any], bytes]] = {
    "read()": lambda body: bytes(body.read()),
    "read(-1)": lambda body: bytes(body.read(-1)),
    "read(more)": lambda body: bytes(body.read(10_000_000)),
    "read(7)": lambda body: b"".join(iter(lambda: body.read(7), b"")),
    "readline()": lambda body: b"".join(iter(body.readline, b"")),
    "readline(5)": lambda body: b"".join(iter(lambda: body.readline(5), b"")),
    "readlines()": lambda body: b"".join(body.readlines()),
    "iteration": b"".join,
}
CHUNKED = b"%x\r\n%s\r\n1\r\n%s\r\n0\r\n\r\n" % (len(LINES) - 1, LINES[:-1], LINES[-1:])
BODIES = {
    "counted": b"Content-Length: %d\r\n\r\n%s" % (len(LINES), LINES),
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("body", BODIES)
def test_the_input_is_a_file_that_ends_where_the_body_does(reading: str, body: str) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        read = READINGS[reading](environ["wsgi.input"])
        assert environ["wsgi.input"].read(10) == b""
        start_response("200 OK", TEXT)
        return [b"all of it" if read == LINES else b"something else"]

    with serving(app) as server:
        head = b"POST / HTTP/1.1\r\nHost: a\r\n"
        both = head + BODIES[body] + head + b"Connection: close\r\n" + BODIES[body]
        answer = server.ask(both[:50], both[50:100_100], both[100_100:])
    assert answer.count(b"all of it") == 2


def test_100_continue_goes_out_when_the_application_first_reads() -> None:
    reads = threading.Event()

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        assert reads.wait(PATIENCE)
        return [environ["wsgi.input"].read(3)]

    with serving(app) as server, server.connect() as connection:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE)
        reads.set()
        with connection.makefile("rb") as reader:
            assert read_head(connection, reader)[1] == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"abc")
            assert read_head(connection, reader)[0] == 200
            assert reader.read(3) == b"abc"


def test_where_the_body_was_never_wanted_the_connection_ends() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with serving(answering([b"no"], "403 Forbidden")) as server:
        answer = server.ask(head)
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"100 Continue" not in answer


def test_what_an_application_keeps_cannot_reach_into_the_next_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[Any] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        if not kept:
            kept.extend([environ["wsgi.input"], write])
            return [b"first"]
        with pytest.raises(ValueError, match="closed"):
            kept[0].read(1)
        with pytest.raises(RuntimeError, match="after the response was over"):
            kept[1](b"smuggled")
        return [environ["wsgi.input"].read(4)]

    with serving(app) as server:
        answer = server.ask(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\n"
            b"Content-Length: 4\r\nConnection: close\r\n\r\nmine"
        )
    assert answer.endswith(b"mine")
    assert not caplog.records


# --- start_response, write and exc_info ---------------------------------------------------


def test_the_head_waits_for_the_first_piece_of_the_body() -> None:
    go = threading.Event()

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("500 Oops", TEXT)
        yield b""
        try:
            raise ValueError("nothing is sent yet")
        except ValueError:
            import sys

            start_response("200 OK", [*TEXT, ("X-Second", "yes")], sys.exc_info())
        yield b"first"
        assert go.wait(PATIENCE)
        yield b"second"

    with serving(validator(app)) as server, server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as reader:
            status, head = read_head(connection, reader)
            assert (status, b"X-Second: yes\r\n" in head) == (200, True)
            assert reader.readline() + reader.readline() == b"5\r\nfirst\r\n"
            go.set()  # only now is there a second one
            assert reader.read() == b"6\r\nsecond\r\n0\r\n\r\n"


def test_after_the_first_piece_exc_info_is_raised_and_the_transfer_is_broken_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        import sys

        start_response("200 OK", TEXT)
        yield b"first"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", TEXT, sys.exc_info())
        yield b"never"

    with serving(validator(app)) as server:
        _, body = server.get()
    assert body == b"5\r\nfirst\r\n"
    assert failing_with(caplog) == "too late"


def test_write_sends_at_once_and_what_is_returned_follows() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"written, ")
        write(b"")
        write(b"twice, ")
        return [b"returned"]

    with serving(app) as server:
        _, body = server.get()
        assert body == b"9\r\nwritten, \r\n7\r\ntwice, \r\n8\r\nreturned\r\n0\r\n\r\n"


def raising(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise LookupError("on purpose")


def leaving(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise SystemExit("out of here")


def silent(environ: Environ, start_response: Any) -> Iterable[bytes]:
    return [b"no start_response"]


def empty(environ: Environ, start_response: Any) -> Iterable[bytes]:
    return []


def twice(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return []


def textual(environ: Environ, start_response: Any) -> Iterable[Any]:
    start_response("200 OK", TEXT)
    return ["text"]


def starting(status: Any, *headers: Any) -> Any:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return [b"sent"]

    return app


BROKEN = [
    (raising, "on purpose"),
    (leaving, "out of here"),
    (silent, "did not call start_response"),
    (empty, "did not call start_response"),
    (twice, "called twice"),
    (textual, "made of bytes, not of str"),
    (starting("200"), "'200' is not a str like '200 OK'"),
    (starting(200), "200 is not a str like '200 OK'"),
    (starting("100 Continue"), "'100 Continue' is not"),
    (starting("200 OK\r\nX-Evil: 1"), "is not a str like"),
    (starting("200 OK", ("X-A", 1)), "'X-A': 1 is not made of two str"),
    (starting("200 OK", ("X A", "1")), "'X A': '1' has a character"),
    (starting("200 OK", ("X-A", "1\r\nX-Evil: 1")), "has a character that cannot be sent"),
    (starting("200 OK", ("X-A", "\u20ac")), "has a character that cannot be sent"),
    (starting("200 OK", ("Connection", "close")), "hop-by-hop"),
    (starting("200 OK", ("Transfer-Encoding", "chunked")), "hop-by-hop"),
    (starting("200 OK", ("Content-Length", "many")), "bad Content-Length"),
    (starting("200 OK", ("Content-Length", "1"), ("Content-Length", "2")), "conflicting"),
]


@pytest.mark.parametrize(("app", "complaint"), BROKEN)
def test_a_broken_application_is_a_500_and_the_log_says_why(
    app: Any, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(app) as server:
        head, body = server.get()
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert (
        body == b"500 Internal Server Error\nThe application failed; the server's log says how.\n"
    )
    assert complaint in failing_with(caplog)


# --- the body: counted, chunked, none -----------------------------------------------------


def test_one_piece_is_counted_and_several_are_chunked_and_none_is_zero() -> None:
    with serving(starting("200 OK", *TEXT)) as server:
        head, body = server.get()
        assert b"\r\nContent-Length: 4\r\n" in head
        assert body == b"sent"
    with serving(answering([b"one", b"two"])) as server:
        head, body = server.get()
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert server.ask(b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nonetwo")
    with serving(answering([])) as server:
        assert b"\r\nContent-Length: 0\r\n" in server.get()[0]


@pytest.mark.parametrize(
    ("status", "method"),
    [("204 No Content", "GET"), ("304 Not Modified", "GET"), ("200 OK", "HEAD")],
)
def test_some_responses_have_no_body_whatever_the_application_says(
    status: str, method: str
) -> None:
    iterable = Closing(b"a body", b"that is", b"not sent")
    with serving(answering(iterable, status)) as server:
        head, body = server.get(method=method)
        assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
        assert body == b""
    assert (b"Content-Length" in head) is False
    assert iterable.closed == 1


def test_a_head_has_the_length_of_the_get() -> None:
    with serving(answering([b""], Content_Length="42")) as server:
        assert b"\r\nContent-Length: 42\r\n" in server.get(method="HEAD")[0]
    with serving(answering([])) as server:
        assert b"Content-Length" not in server.get(method="HEAD")[0]


def test_an_endless_body_is_not_iterated_for_a_head() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"more"

    with serving(answering(endless())) as server:
        assert server.get(method="HEAD")[1] == b""


def test_more_than_the_content_length_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    with serving(answering([b"12", b"3456", b"789"], Content_Length="5")) as server:
        assert server.get()[1] == b"12345"
    assert "more than its Content-Length" in caplog.text


def test_less_than_the_content_length_breaks_the_transfer_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(answering([b"123"], Content_Length="5")) as server:
        answer = server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(b"\r\n\r\n123")
    assert "Too little data" in failing_with(caplog)


# --- close --------------------------------------------------------------------------------


def test_close_is_called_once_when_all_is_sent() -> None:
    iterable = Closing(b"one", b"two")
    with serving(answering(iterable)) as server:
        server.get()
    assert iterable.closed == 1


@pytest.mark.parametrize("before", [[], [b"sent"]])
def test_close_is_called_once_when_the_iteration_fails(
    before: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    iterable = Closing(*before, ValueError("torn"))
    with serving(answering(iterable)) as server:
        server.get()
    assert iterable.closed == 1
    assert failing_with(caplog) == "torn"


def test_close_is_called_once_when_the_client_leaves(caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    class Endless(Closing):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"more" * 10_000

        def close(self) -> None:
            super().close()
            closed.set()

    iterable = Endless()
    with serving(answering(iterable)) as server:
        with server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(10_000)
        assert closed.wait(PATIENCE)
        assert server.get  # it lives
    assert iterable.closed == 1
    assert not caplog.records


def test_an_error_in_close_is_logged_and_the_response_is_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Closing):
        def close(self) -> None:
            raise ValueError("in close")

    with serving(answering(Failing(b"all of it"))) as server:
        assert server.get()[1] == b"9\r\nall of it\r\n0\r\n\r\n"
    assert failing_with(caplog) == "in close"


# --- wsgi.file_wrapper --------------------------------------------------------------------


def sending(file: Any, start: int = 0, **headers: str) -> Any:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        start_response("200 OK", [*TEXT, *pairs])
        file.seek(start)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, 1000)
        return wrapped

    return app


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Any]:
    content = bytes(range(256)) * 40_000
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        file.write(content)
        file.flush()
        yield file


def test_a_file_is_sent_from_where_it_stands_and_closed(file: Any) -> None:
    with serving(sending(file, 1000)) as server:
        head, body = server.get()
    assert b"\r\nContent-Length: 10239000\r\n" in head
    assert body == (bytes(range(256)) * 40_000)[1000:]
    assert file.closed


def test_no_more_of_a_file_is_sent_than_its_content_length(file: Any) -> None:
    with serving(sending(file, 10, Content_Length="5")) as server:
        assert server.get()[1] == bytes(range(10, 15))


def test_a_file_that_is_shorter_than_its_content_length_breaks_the_transfer_off(
    file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(sending(file, 10_240_000 - 3, Content_Length="5")) as server:
        assert server.get()[1] == bytes([253, 254, 255])
    assert "Too little data" in failing_with(caplog)


def test_a_head_of_a_file_has_its_length_and_not_its_content(file: Any) -> None:
    with serving(sending(file)) as server:
        head, body = server.get(method="HEAD")
    assert (b"\r\nContent-Length: 10240000\r\n" in head, body) == (True, b"")
    assert file.closed


def test_what_is_like_a_file_and_is_none_is_iterated() -> None:
    file = io.BytesIO(b"x" * 2500)
    with serving(sending(file)) as server:
        head, body = server.get()
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert body.count(b"x") == 2500
    assert file.closed


# --- one connection, several requests -----------------------------------------------------


def test_pipelined_requests_are_answered_in_their_order() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [environ["PATH_INFO"].encode() + environ["wsgi.input"].read(10)]

    with serving(app, threads=8) as server:
        answer = server.ask(
            b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!"
            b"GET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n"
        )
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/one", b"/two!", b"/three"]


def test_a_body_that_nobody_reads_is_passed_over() -> None:
    inside = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(inside) + inside
    with serving(answering([b"ok"])) as server:
        last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert server.ask(post * 2 + last).count(b"HTTP/1.1 200 OK") == 3


def test_a_large_body_that_nobody_reads_does_not_hide_the_answer() -> None:
    size = 20_000_000
    with serving(answering([b"too much"], "403 Forbidden")) as server, server.connect() as sender:
        sender.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(OSError):  # of which the server takes as much as comes in a moment
            for _ in range(size // 100_000):
                sender.sendall(b"x" * 100_000)
        assert b"too much" in read_all(sender)


# --- the end ------------------------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[tuple[Small, threading.Event, threading.Event]]:
    """A server with an application that waits, whether it was called, and what lets it go on."""
    called, go = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        called.set()
        go.wait(PATIENCE)
        start_response("200 OK", TEXT)
        return [b"done"]

    with serving(app) as server:
        yield server, called, go
        go.set()


def test_a_stop_lets_running_requests_end_and_closes_idle_connections(
    held: tuple[Small, threading.Event, threading.Event],
) -> None:
    server, called, go = held
    with server.connect() as idle, server.connect() as begun, server.connect() as running:
        begun.sendall(b"GET / HT")
        running.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert called.wait(PATIENCE)
        server.stop()
        assert read_all(idle) == read_all(begun) == b""
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        go.set()
        answer = read_all(running)
        assert answer.endswith(b"done")
        assert b"\r\nConnection: close\r\n" in answer
    server.wait()


def test_a_second_stop_waits_for_nobody(
    held: tuple[Small, threading.Event, threading.Event], caplog: pytest.LogCaptureFixture
) -> None:
    server, called, _ = held
    with server.connect() as running:
        running.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert called.wait(PATIENCE)
        server.stop()
        server.stop()
        server.wait()
        assert read_all(running) == b""
    assert "1 requests did not end in time" in caplog.text


def test_clients_that_always_ask_again_do_not_keep_others_waiting() -> None:
    stop = threading.Event()

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return [b"ok"]

    def greedy(server: Small) -> None:
        with server.connect() as connection:
            while not stop.is_set():
                connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
                connection.recv(100_000)

    with serving(app, threads=2) as server:
        clients = [threading.Thread(target=greedy, args=(server,)) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            for _ in range(20):
                assert server.get()[1] == b"ok"
            assert all(client.is_alive() for client in clients)
        finally:
            stop.set()
            for client in clients:
                client.join(PATIENCE)
