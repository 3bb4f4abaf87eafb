"""The bottom of the story: its commands do what their docstring shows, and bear any client."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from microweb.servers import sockets

from .servers import HOST, PATIENCE, ROOT, Server, read_all, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

COMMAND = "python -m microweb.servers.sockets"
TEXT = "These bytes were written by hand."
WAITS = "accept() waits"
CTRL_C = 130  # the exit status
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: to close is to reset the connection (socket(7))

# What the docstring shows, by command: the lines below each prompt.
TRANSCRIPTS = {
    found[1]: re.sub(r"^ {4}", "", found[2], flags=re.M)
    for found in re.finditer(
        rf"^ {{4}}\$ {COMMAND} (\w+)\n((?: {{4}}.*\n)+)", sockets.__doc__ or "", re.M
    )
}


def plain(text: str) -> str:
    """A transcript without what differs each time: the ports, and how wide they are."""
    text = re.sub(r"(127\.0\.0\.1(?::|', ))\d+", r"\1PORT", text)
    return re.sub(r" +# ", " # ", text)


def shown(command: str) -> str:
    """A regular expression of what the docstring shows for a command; `...` is any lines."""
    lines = plain(TRANSCRIPTS[command]).replace("^C\n", "\n").splitlines(keepends=True)
    return "".join("(?:.*\n)+?" if line.strip() == "..." else re.escape(line) for line in lines)


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Server]:
    """A command in a terminal of its own, killed at the end."""
    log = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
    # Without it, lines must come out by themselves, even into a file.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    # Were Ctrl+C ignored here, as in a shell's background, it would be there too (execve(2)).
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *COMMAND.split()[1:], *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    signal.signal(signal.SIGINT, before)
    try:
        yield Server(process, log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def serving(folder: Path, command: str, port: int = 0) -> Iterator[Server]:
    """The command `echo` or `browser`, as soon as it waits for a client."""
    with running(folder, command, "--port", str(port)) as server:
        waits_again(server, 1)
        found = re.search(r"^bind\(\('127\.0\.0\.1', (\d+)\)\)", server.log(), re.M)
        assert found
        server.port = int(found[1])
        yield server


def waits_again(server: Server, times: int) -> None:
    """Return when the server waits for a client, for the nth time."""

    def waits() -> bool:
        if server.process.poll() is not None:
            raise AssertionError(f"the server has ended:\n{server.log()}")
        return server.log().count(f"\n{WAITS}") >= times

    until(f"the server waits for client {times}", waits, server.log)


def ran(*arguments: str | bytes) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, *COMMAND.split()[1:], *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def aside(act: Callable[[], None]) -> Future[None]:
    """Do something in a thread, for which nobody waits longer than for its result."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            act()
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def leave_rudely(connection: socket.socket) -> None:
    """Close without a word of farewell: a reset, where others say that they have finished."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def said_again(server: Server, data: bytes) -> bytes:
    """What the echo server says to one client, who says it all and then closes its side."""
    with server.connect() as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


@pytest.fixture(scope="module")
def echo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The echo server; no test may spoil it for the next."""
    with serving(tmp_path_factory.mktemp("sockets"), "echo") as server:
        yield server


@pytest.fixture(scope="module")
def browser_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of the next step; no test may spoil it for the next."""
    with serving(tmp_path_factory.mktemp("sockets"), "browser") as server:
        yield server


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Queue[str]:
    """What is printed by what is called right here; and it has all the time that it needs."""
    lines: Queue[str] = Queue()
    monkeypatch.setattr(sockets, "say", lambda call, why="": lines.put(call))
    monkeypatch.setattr(sockets, "PATIENCE", PATIENCE)
    return lines


# --- the docstring ------------------------------------------------------------------------


def test_the_docstring_shows_three_commands_on_eighty_columns() -> None:
    assert list(TRANSCRIPTS) == ["echo", "client", "browser"]
    assert all(len(line) <= 80 for text in TRANSCRIPTS.values() for line in text.splitlines())


def test_server_and_client_print_what_the_docstring_shows(tmp_path: Path) -> None:
    with serving(tmp_path, "echo") as server:
        client = ran("client", "--port", str(server.port))
        assert (client.returncode, client.stderr) == (0, "")
        assert re.fullmatch(shown("client"), plain(client.stdout)), client.stdout
        waits_again(server, 2)
        server.signal(signal.SIGINT)
        assert server.wait() == CTRL_C
        assert re.fullmatch(shown("echo"), plain(server.log())), server.log()


def test_the_next_step_prints_what_the_docstring_shows(tmp_path: Path) -> None:
    with serving(tmp_path, "browser") as server:
        assert f"# open {server.url}\n" in server.log()
        assert TEXT in httpx.get(server.url).text
        waits_again(server, 2)
        assert re.fullmatch(shown("browser"), plain(server.log())), server.log()


def test_a_real_browser_shows_the_page_and_the_server_the_browser(
    page: Page, tmp_path: Path
) -> None:
    with serving(tmp_path, "browser") as server:
        page.goto(server.url)
        assert page.title() == "By hand"
        assert page.inner_text("body").strip() == TEXT
        waits_again(server, 2)
        assert re.match(shown("browser"), plain(server.log())), server.log()
        assert r"b'Connection: keep-alive\r\n'" in server.log()
        page.reload()
        assert page.inner_text("body").strip() == TEXT


def test_help_is_the_docstring() -> None:
    assert sockets.__doc__ is not None
    assert sockets.__doc__.strip() in ran("--help").stdout
    assert "9001, if not given" in ran("browser", "--help").stdout


# --- the echo server ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", bytes(range(256)), "žluťoučký kůň\n".encode(), b"\r\n" * 5000, b"\xff\xfe'\""],
    ids=["nothing", "zero", "every byte", "text", "lines", "quotes"],
)
def test_bytes_of_any_kind_come_back(echo_server: Server, data: bytes) -> None:
    assert said_again(echo_server, data) == data


def test_a_mebibyte_in_odd_pieces_comes_back(echo_server: Server) -> None:
    data = os.urandom(1024 * 1024)

    def say_it(connection: socket.socket) -> None:
        start, size = 0, 1
        while start < len(data):
            connection.sendall(data[start : start + size])
            start, size = start + size, size * 3 % 8191
        connection.shutdown(socket.SHUT_WR)

    # Both at once: were nobody to read, neither side could go on.
    with echo_server.connect() as connection:
        saying = aside(lambda: say_it(connection))
        assert read_all(connection) == data
        saying.result(PATIENCE)


def test_clients_are_served_one_after_the_other(echo_server: Server) -> None:
    with echo_server.connect() as first, echo_server.connect() as second:
        second.sendall(b"second")
        first.sendall(b"first")
        assert first.recv(100) == b"first"
        first.close()
        assert second.recv(100) == b"second"


def test_who_leaves_rudely_does_not_end_the_server(tmp_path: Path) -> None:
    with serving(tmp_path, "echo") as server:
        connection = server.connect()
        connection.sendall(b"I shall be rude")
        assert connection.recv(100) == b"I shall be rude"
        leave_rudely(connection)
        waits_again(server, 2)
        assert re.search(r"^ConnectionResetError +# .+\nclose\(\)", server.log(), re.M)
        # And in the middle of much, of which nothing is read.
        connection = server.connect()
        connection.setblocking(False)
        with suppress(BlockingIOError):  # the server waits to be read
            while True:
                connection.send(b"more and more" * 1000)
        leave_rudely(connection)
        waits_again(server, 3)
        assert said_again(server, b"still there?") == b"still there?"


def test_no_trouble_with_one_client_ends_the_server(lines: Queue[str]) -> None:
    troubles: Iterator[BaseException] = iter(
        [
            BrokenPipeError(errno.EPIPE, "Broken pipe"),
            OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
            TimeoutError("timed out"),
            KeyboardInterrupt(),
        ]
    )

    def talk(connection: socket.socket) -> None:
        raise next(troubles)

    serving = aside(lambda: sockets.serve(0, talk, "for trouble"))
    _, bound, _, _ = (lines.get(timeout=PATIENCE) for _ in range(4))  # now it waits
    port = int(re.findall(r"\d+", bound)[-1])
    for _ in range(4):
        socket.create_connection((HOST, port), PATIENCE).close()
    with pytest.raises(KeyboardInterrupt):
        serving.result(PATIENCE)
    assert [line for line in lines.queue if "Error" in line] == [
        "BrokenPipeError",
        "OSError",
        "TimeoutError",
    ]


def test_a_server_that_starts_again_gets_its_port(tmp_path: Path) -> None:
    with serving(tmp_path, "browser") as server:
        # It has closed its side first: the kernel remembers this connection on its side.
        assert TEXT in httpx.get(server.url).text
        # And this one is cut off in the middle.
        with server.connect() as connection:
            until("it is accepted", lambda: server.log().count("accept() ->") == 2, server.log)
            server.signal(signal.SIGINT)
            assert server.wait() == CTRL_C
            with serving(tmp_path, "browser", server.port) as again:
                assert TEXT in httpx.get(again.url).text
            assert read_all(connection) == b""


# --- the client ---------------------------------------------------------------------------


def test_the_client_says_each_word_and_hears_it_whole(echo_server: Server) -> None:
    client = ran("client", "--port", str(echo_server.port), "one", "two three", "", b"\xff\n.")
    assert client.returncode == 0
    assert client.stdout.splitlines()[2:-1] == [
        "sendall(b'one')",
        "recv(10) -> b'one'",
        "sendall(b'two three')",
        "recv(10) -> b'two three'",
        "sendall(b'')",
        r"sendall(b'\xff\n'",
        "        b'.')",
        r"recv(10) -> b'\xff\n'",
        "              b'.'",
    ]


def test_the_longest_word_there_can_be_comes_back(echo_server: Server) -> None:
    word = "x" * (128 * 1024 - 1)  # MAX_ARG_STRLEN (execve(2))
    client = ran("client", "--port", str(echo_server.port), word)
    heard = re.findall(r"^recv\(10\) -> b'(x+)'$", client.stdout, re.M)
    assert (client.returncode, "".join(heard)) == (0, word)


def scripted(script: Callable[[socket.socket], None]) -> int:
    """The port of a server that serves one client by a script."""
    listener = socket.create_server((HOST, 0))
    port: int = listener.getsockname()[1]

    def serve() -> None:
        with listener, listener.accept()[0] as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script(connection)

    aside(serve)
    return port


def test_the_client_waits_until_all_has_come() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in connection.recv(100):
            connection.sendall(bytes([byte]))
        connection.recv(100)

    client = ran("client", "--port", str(scripted(drip)), "a few words")
    heard = re.findall(r"^recv\(10\) -> b'(.+)'$", client.stdout, re.M)
    assert (client.returncode, "".join(heard)) == (0, "a few words")


@pytest.mark.parametrize("leave", [socket.socket.close, leave_rudely], ids=["politely", "rudely"])
def test_a_server_that_leaves_early_is_told_of_in_a_sentence(
    leave: Callable[[socket.socket], None],
) -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(connection.recv(100)[:5])
        leave(connection)

    client = ran("client", "--port", str(scripted(half)), "a few words")
    assert client.returncode == 1
    assert re.fullmatch(
        r"the server ended the conversation \(.+\)\. Its terminal says why\.\n", client.stderr
    )


# --- Ctrl+C, and what else may happen to a newcomer ---------------------------------------


@pytest.mark.parametrize("command", ["echo", "browser"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a client"])
def test_ctrl_c_ends_a_server(tmp_path: Path, command: str, busy: bool) -> None:
    with serving(tmp_path, command) as server, socket.socket() as connection:
        if busy:
            connection.connect((HOST, server.port))
            until("it is accepted", lambda: "accept() ->" in server.log(), server.log)
        server.signal(signal.SIGINT)
        assert server.wait() == CTRL_C
        assert re.search(r"\n\nclose\(\) +# and the port is free again\n\Z", server.log())


def test_ctrl_c_ends_a_client_whose_server_does_not_answer(tmp_path: Path) -> None:
    with (
        socket.create_server((HOST, 0)) as listener,
        running(tmp_path, "client", "--port", str(listener.getsockname()[1])) as client,
    ):
        until("it has spoken", lambda: "sendall(" in client.log(), client.log)
        client.signal(signal.SIGINT)
        assert client.wait() == CTRL_C
        assert "Traceback" not in client.log()


@pytest.mark.parametrize("command", ["echo", "browser"])
def test_a_port_in_use_is_told_of_in_a_sentence(command: str) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        server = ran(command, "--port", str(port))
    assert server.returncode == 1
    assert server.stderr == (
        f"port {port} is in use. Stop who listens there, or take a free one: --port 0\n"
    )


def test_a_client_before_its_server_is_told_what_to_start() -> None:
    with socket.socket() as nobody:  # it has the port, and does not listen
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
        client = ran("client", "--port", str(port))
    assert client.returncode == 1
    assert client.stderr == (
        f"nobody listens on port {port}. First start the server, in another terminal:\n"
        f"    {COMMAND} echo --port {port}\n"
    )


@pytest.mark.parametrize("command", ["echo", "client", "browser"])
@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_out_of_range_is_told_of_in_a_sentence(command: str, port: str) -> None:
    ended = ran(command, "--port", port)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"there is no port {port}: they go from 0 to 65535. Take another: --port 9000\n"
    )


@pytest.mark.parametrize(
    ("port", "says"),
    [
        ("80", "ports below 1024, like 80, are not for everyone. Take another: --port 9002\n"),
        ("9000", "[Errno 13] Permission denied\n"),  # some other ban, which speaks for itself
    ],
)
def test_a_port_for_others_is_told_of_in_a_sentence(
    port: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Forbidden(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    assert sockets.main(["echo", "--port", port]) == 1
    assert capsys.readouterr().err == says


# --- the browser's server -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/favicon.ico"), ("GET", "/<script>?a=b"), ("POST", "/"), ("PUT", "/")],
)
def test_any_request_gets_the_same_page(browser_server: Server, method: str, path: str) -> None:
    response = httpx.request(method, browser_server.url + path, content=b"", timeout=PATIENCE)
    assert response.status_code == 200
    assert response.content == sockets.PAGE
    assert dict(response.headers) == {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(sockets.PAGE)),
        "connection": "close",
    }


HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextmanager
def answered() -> Iterator[socket.socket]:
    """The browser's end of a connection that is answered in a thread."""
    with (
        socket.create_server((HOST, 0)) as listener,
        socket.create_connection(listener.getsockname(), PATIENCE) as browser,
        listener.accept()[0] as connection,
    ):
        browser.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answering = aside(lambda: sockets.answer(connection))
        yield browser
        browser.close()
        answering.result(PATIENCE)


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_a_head_in_two_pieces_is_heard_whole(lines: Queue[str], cut: int) -> None:
    with answered() as browser:
        browser.sendall(HEAD[:cut])
        assert lines.get(timeout=PATIENCE).startswith("recv(4096) -> b'G")
        browser.sendall(HEAD[cut:])
        assert lines.get(timeout=PATIENCE).startswith("recv(4096) -> b")
        assert read_all(browser) == sockets.RESPONSE


def test_a_head_byte_by_byte_is_heard_whole(lines: Queue[str]) -> None:
    with answered() as browser:
        for byte in HEAD:
            browser.sendall(bytes([byte]))
            assert lines.get(timeout=PATIENCE) == f"recv(4096) -> {bytes([byte])!r}"
        assert read_all(browser) == sockets.RESPONSE


def test_who_closes_its_side_after_the_head_is_answered(browser_server: Server) -> None:
    with browser_server.connect() as connection:
        connection.sendall(HEAD)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == sockets.RESPONSE


def test_who_closes_before_the_end_of_the_head_is_not(browser_server: Server) -> None:
    with browser_server.connect() as connection:
        connection.sendall(HEAD[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""


def test_an_answer_is_not_lost_on_a_client_that_still_sends(browser_server: Server) -> None:
    with browser_server.connect() as connection:
        connection.sendall(HEAD.replace(b"GET", b"POST") + b"x" * 500_000)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == sockets.RESPONSE


@pytest.mark.parametrize(
    "begin", [b"GET / HTTP/1.1\r\n", HEAD], ids=["in its head", "after its head"]
)
def test_who_never_ends_is_left(browser_server: Server, begin: bytes) -> None:
    with browser_server.connect() as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            connection.sendall(b"X-More: and more\r\n" * 2_000_000)
    assert TEXT in httpx.get(browser_server.url, timeout=PATIENCE).text


def test_who_leaves_the_page_rudely_does_not_end_the_server(browser_server: Server) -> None:
    for _ in range(50):
        connection = browser_server.connect()
        connection.sendall(HEAD)
        leave_rudely(connection)
    assert TEXT in httpx.get(browser_server.url, timeout=PATIENCE).text


def test_a_spare_connection_that_says_nothing_does_not_keep_the_page(tmp_path: Path) -> None:
    with serving(tmp_path, "browser") as server, server.connect():
        until("it is accepted", lambda: "accept() ->" in server.log(), server.log)
        assert TEXT in httpx.get(server.url, timeout=PATIENCE).text
        assert re.search(r"^TimeoutError +# timed out\nclose\(\)", server.log(), re.M)


def test_what_a_client_sends_cannot_command_the_terminal(browser_server: Server) -> None:
    with browser_server.connect() as connection:
        connection.sendall(HEAD.replace(b"127.0.0.1", b"\x1b[2J\x07\x9b\0"))
        assert read_all(connection) == sockets.RESPONSE
    assert r"b'Host: \x1b[2J\x07\x9b\x00\r\n'" in browser_server.log()
    assert re.fullmatch(r"[ -~\n]*", browser_server.log())
