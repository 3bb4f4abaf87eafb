"""Clients leave real servers in the middle of everything; nothing of them stays behind."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from wsproto import ConnectionType, WSConnection, events

from .disconnect_app import THREADS
from .processes import open_files
from .servers import HOST, PATIENCE, Server, read_head, serving, until
from .transfers import BLOCK, LARGE, form_head

LEAVERS = 2 * THREADS + 1  # in each test, so that a thread lost to each of them would be missed
SOME = 64 * 1024  # bytes, of a body that has no end

SERVERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gunicorn sync": ("tests.disconnect_app:wsgi", ()),
    "gunicorn gthread": ("tests.disconnect_app:wsgi", ("--threads", str(THREADS))),
    "uvicorn": ("tests.disconnect_app:asgi", ("--ws", "wsproto")),
    "microweb wsgi": ("tests.disconnect_app:wsgi", ("--threads", str(THREADS))),
    "microweb asgi": ("tests.disconnect_app:asgi", ()),
}


Leave = Callable[[socket.socket], None]


class Running(NamedTuple):
    """A server of a kind, the folder for its temporary files, and the process that answers."""

    kind: str
    server: Server
    temporary: Path
    pid: int


@pytest.fixture(scope="module", params=SERVERS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The app of the leavers, behind this run's server."""
    kind = request.param
    target, options = SERVERS[kind]
    folder = tmp_path_factory.mktemp("disconnects")
    temporary = folder / "temporary"
    temporary.mkdir()
    with (folder / "large.bin").open("wb") as file:
        file.truncate(LARGE)  # all of it a hole
    environment = {"TMPDIR": str(temporary), "DISCONNECT_APP_FILE": file.name}
    if kind.startswith("gunicorn"):
        # Its workers show that they live by a temporary file, which is not looked for here.
        options = (*options, "--worker-tmp-dir", str(folder))
    with serving(kind, target, folder, options, environment) as server:
        yield Running(kind, server, temporary, ask(server, "/state")["pid"])


def ask(server: Server, path: str) -> Any:
    response = httpx.get(server.url + path, headers={"connection": "close"}, timeout=PATIENCE)
    return response.json()


# --- how a client leaves ------------------------------------------------------------------


def reset(connection: socket.socket) -> None:
    """As the kernel does for a client that has died with something unread: RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def finish(connection: socket.socket) -> None:
    """In order: FIN, whatever is still unread."""
    connection.shutdown(socket.SHUT_WR)
    connection.close()


# --- in the middle of what ----------------------------------------------------------------


class Ways(NamedTuple):
    """What a scenario needs to know: who serves, and where is marked what begins and ends."""

    running: Running
    begun: Path
    ended: Path

    def request(self, method: str, path: str, *headers: str) -> bytes:
        """The head of a request."""
        lines = (f"{method} {self.target(path)} HTTP/1.1", f"Host: {HOST}", *headers, "", "")
        return "\r\n".join(lines).encode()

    def target(self, path: str) -> str:
        """A path, with the query that says where to leave marks."""
        return f"{path}?begun={self.begun}&ended={self.ended}"


Scenario = Callable[[socket.socket, Ways], None]


def download(path: str, size: int = SOME) -> Scenario:
    """Ask for a body without an end, and read a little of it."""

    def begin(connection: socket.socket, ways: Ways) -> None:
        connection.sendall(ways.request("GET", path))
        read_some(connection, size)

    return begin


def listen(path: str) -> Scenario:
    """Ask for events, and hear the first one."""

    def begin(connection: socket.socket, ways: Ways) -> None:
        connection.sendall(ways.request("GET", path))
        with connection.makefile("rb") as reader:
            assert b"data: first\n" in iter(reader.readline, b"")

    return begin


def chat(path: str) -> Scenario:
    """Open a WebSocket, and say something that is answered."""

    def begin(connection: socket.socket, ways: Ways) -> None:
        protocol = WSConnection(ConnectionType.CLIENT)

        def met() -> events.Event:
            while True:
                for event in protocol.events():
                    return event
                data = connection.recv(65536)
                assert data, "the server ends the conversation"
                protocol.receive_data(data)

        opening = events.Request(host=HOST, target=ways.target(path))
        connection.sendall(protocol.send(opening))
        assert isinstance(met(), events.AcceptConnection)
        connection.sendall(protocol.send(events.TextMessage("hello")))
        assert isinstance(met(), events.TextMessage)

    return begin


def upload(path: str) -> Scenario:
    """Send the beginning of a body that the handler takes as it comes."""

    def begin(connection: socket.socket, ways: Ways) -> None:
        before = count(ways.begun)
        connection.sendall(ways.request("POST", path, "Content-Length: 99999999") + BLOCK)
        until("the handler reads", lambda: count(ways.begun) > before, ways.running.server.log)

    return begin


def echo(path: str) -> Scenario:
    """Send the beginning of a body that comes back as it goes."""

    def begin(connection: socket.socket, ways: Ways) -> None:
        connection.sendall(ways.request("POST", path, "Content-Length: 99999999") + BLOCK)
        read_some(connection, SOME)

    return begin


HANDLED: dict[str, Scenario] = {
    "an endless download, plain": download("/endless"),
    "an endless download, async": download("/async/endless"),
    "a file": download("/file/watched"),
    "events, plain": listen("/events"),
    "events, async": listen("/async/events"),
    "an upload, plain": upload("/upload"),
    "an upload, async": upload("/async/upload"),
    "an echo, plain": echo("/echo"),
    "an echo, async": echo("/async/echo"),
}

# WSGI has no conversations, and in a pause it does not tell of a client who leaves: it learns
# of it when it next has something to send.
HANDLED_BY_ASGI: dict[str, Scenario] = {
    "a stream that says no more": download("/silent", 1),
    "a conversation": chat("/chat"),
}


def send_form(connection: socket.socket, ways: Ways) -> None:
    """Send the beginning of a large form, until it has gone to disk."""
    connection.sendall(form_head(ways.target("/form")) + BLOCK * 3)
    until("the form goes to disk", lambda: spooled(ways.running), ways.running.server.log)


def spooled(running: Running) -> bool:
    """Whether the server writes a temporary file: without a name, but the kernel knows where."""
    return any(file.startswith(str(running.temporary)) for file in open_files(running.pid))


def read_some(connection: socket.socket, size: int, expected: int = 200) -> None:
    """Read the head of a response with the expected status, and so much of its body."""
    with connection.makefile("rb") as reader:
        status, _ = read_head(connection, reader)
        assert status == expected
        assert len(reader.read(size)) == size


def count(marks: Path) -> int:
    return len(marks.read_text().splitlines()) if marks.exists() else 0


# --- what must not stay -------------------------------------------------------------------


@contextmanager
def nothing_is_left(running: Running) -> Iterator[None]:
    """What is done in here leaves no task, file, thread or traceback behind in the server."""
    kind, server, temporary, pid = running
    ask(server, "/state")  # so that all has been used once, the app's loop too
    tasks, files = ask(server, "/state")["tasks"], Counter(open_files(pid))
    yield
    until("its tasks end", lambda: ask(server, "/state")["tasks"] <= tasks, server.log)
    until("its files are closed", lambda: Counter(open_files(pid)) <= files, server.log)
    assert list(temporary.iterdir()) == []
    if kind != "gunicorn sync":
        with ThreadPoolExecutor(THREADS) as pool:
            answers = pool.map(lambda _: ask(server, "/together"), range(THREADS))
            assert list(answers) == ["together"] * THREADS
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("leave", [reset, finish])
@pytest.mark.parametrize("scenario", HANDLED)
def test_a_client_may_leave_in_the_middle_of(
    running: Running, scenario: str, leave: Leave, tmp_path: Path
) -> None:
    come_and_leave(running, HANDLED[scenario], leave, tmp_path)


@pytest.mark.parametrize("leave", [reset, finish])
@pytest.mark.parametrize("scenario", HANDLED_BY_ASGI)
@pytest.mark.parametrize("running", ["uvicorn", "microweb asgi"], indirect=True)
def test_through_asgi_a_client_may_leave_in_the_middle_of(
    running: Running, scenario: str, leave: Leave, tmp_path: Path
) -> None:
    come_and_leave(running, HANDLED_BY_ASGI[scenario], leave, tmp_path)


def come_and_leave(running: Running, scenario: Scenario, leave: Leave, folder: Path) -> None:
    """Assert that so many leavers leave nothing behind, and that each handler comes to its end."""
    ways = Ways(running, folder / "begun", folder / "ended")
    with nothing_is_left(running):
        for _ in range(LEAVERS):
            with running.server.connect() as connection:
                scenario(connection, ways)
                leave(connection)
        until("each has ended", lambda: count(ways.ended) == LEAVERS, running.server.log)


@pytest.mark.parametrize("range_", ["bytes=0-", "bytes=1000-200000000"])
@pytest.mark.parametrize("leave", [reset, finish])
def test_a_file_that_the_server_may_send_by_itself_is_closed(
    running: Running, leave: Leave, range_: str, tmp_path: Path
) -> None:
    ways = Ways(running, tmp_path / "begun", tmp_path / "ended")
    with nothing_is_left(running):
        for _ in range(LEAVERS):
            with running.server.connect() as connection:
                connection.sendall(ways.request("GET", "/file", f"Range: {range_}"))
                read_some(connection, SOME, 206)
                leave(connection)


@pytest.mark.parametrize("leave", [reset, finish])
def test_a_form_that_is_not_whole_calls_no_handler(
    running: Running, leave: Leave, tmp_path: Path
) -> None:
    ways = Ways(running, tmp_path / "begun", tmp_path / "ended")
    with nothing_is_left(running):
        for _ in range(LEAVERS):
            with running.server.connect() as connection:
                send_form(connection, ways)
                leave(connection)
            until("it leaves the disk", lambda: not spooled(running), running.server.log)
    assert not ways.ended.exists()
