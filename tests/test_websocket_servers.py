"""WebSockets over real uvicorn and gunicorn: what only a real server and a raw client show."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from wsproto import ConnectionType, WSConnection, events
from wsproto.connection import ConnectionState

from .servers import PATIENCE, Server, serving, until

KINDS = ["uvicorn", "gunicorn asgi", "microweb asgi"]
TARGET = "tests.live_websocket:asgi"
OPTIONS = {"uvicorn": ("--ws", "wsproto", "--ws-max-size", "2000000")}

Serve = Callable[[str], Server]


class Client:
    """A WebSocket's client on a raw socket; wsproto knows the protocol."""

    def __init__(self, server: Server, path: str, **request: Any) -> None:
        self.connection = server.connect()
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: Iterator[events.Event] = iter(())
        self._server = server
        host = f"127.0.0.1:{server.port}"
        self.send(events.Request(host=host, target=path, **request))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, event: events.Event) -> None:
        self.connection.sendall(self._protocol.send(event))

    def next(self) -> events.Event:
        """The next event; at the connection's end a CloseConnection with the code 1006."""
        for event in self._events:
            if isinstance(event, events.Ping):
                self.send(event.response())
            else:
                return event
        try:
            data = self.connection.recv(65536)
        except TimeoutError:
            raise AssertionError(f"the server says nothing:\n{self._server.log()}") from None
        if not data:
            return events.CloseConnection(code=1006)
        self._protocol.receive_data(data)
        self._events = self._protocol.events()
        return self.next()

    def message(self) -> str | bytes:
        """The next message, whole."""
        parts: list[Any] = []
        while True:
            event = self.next()
            assert isinstance(event, (events.TextMessage, events.BytesMessage)), event
            parts.append(event.data)
            if event.message_finished:
                return type(parts[0])().join(parts)  # type: ignore[no-any-return]

    def closing(self) -> events.CloseConnection:
        """The server's close, which is answered."""
        event = self.next()
        assert isinstance(event, events.CloseConnection), event
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self.send(event.response())
        return event

    def reset(self) -> None:
        """Vanish as a client that is killed: the connection is reset, and nothing is said."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(kind)` is that kind of server, started at its first use."""
    folder = tmp_path_factory.mktemp("websocket-servers")
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Server:
            if kind not in running:
                running[kind] = stack.enter_context(
                    serving(kind, TARGET, folder, OPTIONS.get(kind, ()))
                )
            return running[kind]

        yield get


@pytest.fixture(params=KINDS)
def server(serve: Serve, request: pytest.FixtureRequest) -> Server:
    """A running server of this run's kind."""
    return serve(request.param)


def opened(client: Client) -> Client:
    accepted = client.next()
    assert isinstance(accepted, events.AcceptConnection), accepted
    return client


def marked(file: Path, server: Server) -> str:
    """What the handler wrote into its file, as soon as the line is whole."""

    def is_whole() -> bool:
        return file.exists() and file.read_text().endswith("\n")

    until("the handler ends", is_whole, server.log)
    return file.read_text().strip()


def test_messages_go_both_ways_small_and_large(server: Server) -> None:
    with opened(Client(server, "/echo")) as client:
        for text in ("hello", "", "größe Ω 😀", "ä" * 500_000):
            client.send(events.TextMessage(text))
            assert client.message() == text
        for data in (b"\x00\xff", b"x" * 1_500_000):
            client.send(events.BytesMessage(data))
            assert client.message() == data
        # In pieces, which the server joins.
        client.send(events.TextMessage("one, ", message_finished=False))
        client.send(events.TextMessage("two"))
        assert client.message() == "one, two"


def test_the_acceptance_carries_subprotocol_and_headers(server: Server) -> None:
    with Client(server, "/echo", subprotocols=["talk", "chat"]) as client:
        accepted = client.next()
        assert isinstance(accepted, events.AcceptConnection)
        assert accepted.subprotocol == "chat"
        headers = dict(accepted.extra_headers)
        assert (headers[b"set-cookie"], headers[b"x-path"]) == (b"a=1", b"/echo")


def test_a_ping_is_answered_by_the_server(server: Server) -> None:
    with opened(Client(server, "/echo")) as client:
        client.send(events.Ping(b"are you there"))
        pong = client.next()
        assert isinstance(pong, events.Pong)
        assert bytes(pong.payload) == b"are you there"


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4321])
def test_the_handlers_closing_code_reaches_the_client(server: Server, code: int) -> None:
    with opened(Client(server, f"/closes/{code}")) as client:
        closing = client.closing()
        assert (closing.code, closing.reason) == (code, "grüße")


def test_a_return_closes_with_1000(server: Server) -> None:
    with opened(Client(server, "/returns")) as client:
        assert client.message() == "last words"
        assert client.closing().code == 1000


def test_an_error_closes_with_1011_and_is_in_the_log(server: Server) -> None:
    with opened(Client(server, "/fails")) as client:
        assert client.closing().code == 1011
    until("the error is logged", lambda: "trouble in a conversation" in server.log())


def test_the_clients_close_is_answered(server: Server) -> None:
    with opened(Client(server, "/echo")) as client:
        client.send(events.CloseConnection(code=4000, reason="enough"))
        assert client.closing().code in (4000, 1000)


@pytest.mark.parametrize("kind", ["uvicorn", "microweb asgi"])
def test_a_refusal_is_a_response(serve: Serve, kind: str) -> None:
    with Client(serve(kind), "/refuses") as client:
        rejected = client.next()
        assert isinstance(rejected, events.RejectConnection)
        assert rejected.status_code == 401
        headers = dict(rejected.headers)
        assert headers[b"www-authenticate"] == b"Bearer"
        body = client.next()
        assert isinstance(body, events.RejectData)
        assert bytes(body.data) == b"Who are you?"


@pytest.mark.parametrize("path", ["/refuses", "/nowhere"])
def test_a_refusal_without_the_extension_is_403(serve: Serve, path: str) -> None:
    with Client(serve("gunicorn asgi"), path) as client:
        rejected = client.next()
        assert isinstance(rejected, events.RejectConnection)
        assert rejected.status_code == 403


def test_a_foreign_page_is_refused(server: Server) -> None:
    foreign = [(b"origin", b"https://evil.example")]
    with Client(server, "/echo", extra_headers=foreign) as client:
        rejected = client.next()
        assert isinstance(rejected, events.RejectConnection)
        assert rejected.status_code == 403
    own = [(b"origin", f"http://127.0.0.1:{server.port}".encode())]
    with opened(Client(server, "/echo", extra_headers=own)):
        pass


@pytest.mark.parametrize("how", ["receives", "sends", "waits"])
@pytest.mark.parametrize("leaves", ["reset", "close"])
def test_a_client_that_is_gone_ends_its_handler_and_the_server_goes_on(
    server: Server, how: str, leaves: str, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    with opened(Client(server, f"/marked/{how}?ended={ended}")) as client:
        assert client.message() == "begun"
        if leaves == "reset":
            client.reset()
    expected = {"receives": "left", "sends": "WebSocketDisconnect", "waits": "CancelledError"}
    assert marked(ended, server) == expected[how]
    with opened(Client(server, "/returns")) as client:
        assert client.message() == "last words"
    assert "Disconnect" not in server.log()  # nobody's error


def test_too_large_a_message_is_refused_by_the_server(serve: Serve, tmp_path: Path) -> None:
    server, ended = serve("uvicorn"), tmp_path / "ended"
    with opened(Client(server, "/echo")) as client:
        client.send(events.BytesMessage(b"x" * 2_000_001))
        assert client.closing().code == 1009
    with opened(Client(server, f"/marked/sends?ended={ended}")) as client:
        client.send(events.BytesMessage(b"x" * 2_000_001))
        assert marked(ended, server) == "WebSocketDisconnect"
    assert "RuntimeError" not in server.log()


@pytest.mark.parametrize(("kind", "status"), [("uvicorn", -signal.SIGTERM), ("microweb asgi", 0)])
@pytest.mark.parametrize("how", ["receives", "sends", "waits"])
def test_a_server_that_stops_ends_its_conversations(
    how: str, kind: str, status: int, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    with serving(kind, TARGET, tmp_path, OPTIONS.get(kind, ())) as server:
        with opened(Client(server, f"/marked/{how}?ended={ended}")) as client:
            assert client.message() == "begun"
            assert server.stop() == status
        assert ended.exists()


HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("kind", "target", "options", "why"),
    [
        ("gunicorn sync", "tests.live_websocket:wsgi", (), "WSGI cannot carry one"),
        ("gunicorn gthread", "tests.live_websocket:wsgi", (), "WSGI cannot carry one"),
        ("microweb wsgi", "tests.live_websocket:wsgi", (), "WSGI cannot carry one"),
        ("uvicorn", TARGET, ("--ws", "none"), "no WebSocket library"),
    ],
)
def test_where_it_cannot_be_carried_a_handshake_is_501(
    kind: str, target: str, options: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    with serving(kind, target, tmp_path, options) as server:
        response = httpx.get(f"{server.url}/echo", headers=HANDSHAKE, timeout=PATIENCE)
        assert response.status_code == 501
        assert why in response.text
        page = httpx.get(f"{server.url}/echo", timeout=PATIENCE)
        assert (page.status_code, page.text) == (200, "the page")
