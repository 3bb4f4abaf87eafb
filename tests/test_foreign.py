"""Applications that know nothing of microweb, on its servers and on those that they are used to.

The site of tests/foreign is written once in each framework. Whatever is asked of one is asked
of two servers, ours and gunicorn or uvicorn, and the answers are the same.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import httpx
import pytest
from wsproto import events

from microweb.tracing.format import Protocol
from microweb.tracing.order import Order

from .foreign.marks import ENDLESS, GREETING, PIECES
from .servers import PATIENCE, Server, is_written, read_all, read_head, serving, until
from .test_websocket_servers import Client, opened

FRAMEWORKS: dict[str, Protocol] = {
    "flask": "wsgi",
    "bottle": "wsgi",
    "falcon": "wsgi",
    "falcon_asgi": "asgi",
    "starlette": "asgi",
    "fastapi": "asgi",
    "litestar": "asgi",
}
ASYNCHRONOUS = [name for name, door in FRAMEWORKS.items() if door == "asgi"]
# Ours, and the one that it is compared with.
SERVERS: dict[Protocol, tuple[str, str]] = {
    "wsgi": ("microweb wsgi", "gunicorn gthread"),
    "asgi": ("microweb asgi", "uvicorn"),
}
HAVE_RANGES = [name for name in FRAMEWORKS if name != "litestar"]

# What a server adds as it sees fit: how the message is framed, and who and when it was.
OF_THE_SERVER = (b"connection", b"date", b"server", b"transfer-encoding")

CONTENT = random.Random(1).randbytes(300_000)
PHOTO = random.Random(2).randbytes(200_000)


class Site(NamedTuple):
    """A framework's application behind a server, and where it marks its beginning and end."""

    framework: str
    kind: str
    server: Server
    life: Path


class Answer(NamedTuple):
    """A response, without what is the server's."""

    status: int
    reason: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The one value of a header."""
        [value] = self.all(name)
        return value

    def json(self) -> Any:
        """What the body says."""
        return json.loads(self.body)

    def all(self, name: bytes) -> list[bytes]:
        """The values of a header, in their order."""
        return [value for own, value in self.headers if own == name]


Visit = Callable[[str, str], Site]


class Sites:
    """The servers that run, each started at its first use."""

    def __init__(self, folder: Path, stack: ExitStack, recorded: bool) -> None:
        self._folder = folder
        self._home = stack.enter_context(draining(folder)) if recorded else ""
        self._stack = stack
        self._running: dict[tuple[str, str], Site] = {}
        (folder / "files").mkdir()
        (folder / "files" / "report.txt").write_bytes(CONTENT)

    def get(self, framework: str, kind: str) -> Site:
        """A framework's application behind a kind of server."""
        if (framework, kind) not in self._running:
            life = self._folder / f"{framework} {kind} {len(list(self._folder.iterdir()))}"
            environment = {
                "FOREIGN_FOLDER": str(self._folder / "files"),
                "FOREIGN_LIFE": str(life),
                "PYTHONHASHSEED": "0",  # an Allow made of a set has one order
            }
            target = f"tests.foreign.{framework}_app:app"
            door = FRAMEWORKS[framework]
            if self._home and kind == SERVERS[door][0]:
                # One of the two is recorded, and their answers are the same.
                order = Order(target, door, self._home)
                target = "microweb.tracing.recorded:app"
                environment |= order.environment()
            server = self._stack.enter_context(
                serving(kind, target, self._folder, environment=environment)
            )
            self._running[framework, kind] = Site(framework, kind, server, life)
        return self._running[framework, kind]

    def take(self, framework: str, kind: str) -> Site:
        """The same, for a test that does not leave it as it was."""
        self.get(framework, kind)
        return self._running.pop((framework, kind))


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Sites]:
    """All the servers of this module."""
    with ExitStack() as stack:
        is_recorded = pytestconfig.getoption("--recorded")
        yield Sites(tmp_path_factory.mktemp("foreign"), stack, is_recorded)


@contextmanager
def draining(folder: Path) -> Iterator[str]:
    """A home for events, which reads them as they come and keeps none."""
    path = f"{folder}/home"
    begun: list[bytes] = []

    def drain(connection: socket.socket) -> None:
        with connection:
            begun.append(connection.recv(65536))
            while connection.recv(65536):
                pass

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):  # it is closed at the end
            while True:
                threading.Thread(target=drain, args=[listening.accept()[0]], daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        thread = threading.Thread(target=accept, args=[listening], daemon=True)
        thread.start()
        yield path
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
    assert begun
    assert all(each.startswith(b'{"record":"event"') for each in begun)


Ask = Callable[..., Answer]


@pytest.fixture(scope="module", params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    """The framework of this run."""
    return request.param  # type: ignore[no-any-return]


some_frameworks = pytest.mark.parametrize("framework", HAVE_RANGES, indirect=True)
asynchronous_frameworks = pytest.mark.parametrize("framework", ASYNCHRONOUS, indirect=True)


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    # Each request ends its connection: none is left idle, for a server to close under another.
    with httpx.Client(timeout=PATIENCE, headers={"connection": "close"}) as client:
        yield client


@pytest.fixture
def pair(sites: Sites, framework: str) -> list[Site]:
    """The framework's application behind our server, and behind the other."""
    return [sites.get(framework, kind) for kind in SERVERS[FRAMEWORKS[framework]]]


@pytest.fixture(params=["ours", "theirs"])
def site(request: pytest.FixtureRequest, sites: Sites, framework: str) -> Site:
    """The framework's application behind one of the two, for what is seen by no answer."""
    ours, theirs = SERVERS[FRAMEWORKS[framework]]
    return sites.get(framework, ours if request.param == "ours" else theirs)


@pytest.fixture
def ask(pair: list[Site], http: httpx.Client) -> Ask:
    """`ask(method, path, ...)` is what both servers answer; arguments as httpx has them.

    With `chunks`, the body is sent in such, without a Content-Length.
    """

    def asked(method: str, path: str, chunks: Sequence[bytes] = (), **arguments: Any) -> Answer:
        ours, theirs = (answered(site, method, path, chunks, **arguments) for site in pair)
        assert ours == theirs
        return ours

    def answered(
        site: Site, method: str, path: str, chunks: Sequence[bytes], **arguments: Any
    ) -> Answer:
        if chunks:
            arguments["content"] = iter(chunks)
        # The same at both, as some of the answers have it in them.
        headers = {"host": "foreign.test", **arguments.pop("headers", {})}
        response = http.request(method, site.server.url + path, headers=headers, **arguments)
        http.cookies.clear()
        pairs = [(name.lower(), value) for name, value in response.headers.raw]
        names = [name for name, _ in pairs]
        assert [names.count(name) for name in (b"date", b"server")] == [1, 1]
        pairs = [pair for pair in pairs if pair[0] not in OF_THE_SERVER]
        return Answer(response.status_code, response.reason_phrase, pairs, response.content)

    return asked


# --- what comes back ----------------------------------------------------------------------


def test_text(ask: Ask) -> None:
    answer = ask("GET", "/text")
    assert (answer.status, answer.body.decode()) == (200, "hello, größe")
    assert answer.header(b"content-type").startswith(b"text/plain")
    assert answer.header(b"content-length") == b"14"


def test_a_head_has_the_headers_of_the_get_and_no_body(ask: Ask, framework: str) -> None:
    answer = ask("HEAD", "/text")
    assert (answer.status, answer.body) == (200, b"")
    if framework != "litestar":  # a route of its own, which answers for itself
        assert answer.headers == ask("GET", "/text").headers


def test_json(ask: Ask) -> None:
    answer = ask("GET", "/json")
    assert answer.header(b"content-type").startswith(b"application/json")
    assert answer.json() == {"words": ["größe", "Ω"]}


@pytest.mark.parametrize("name", ["ada", "Jürgen", "Ω mega", "100%", "a+b", "漢字"])
def test_a_path_parameter(ask: Ask, name: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    answer = ask("GET", f"/people/{quoted}")
    assert answer.json() == {"name": name}


def test_a_query(ask: Ask) -> None:
    answer = ask("GET", "/search", params={"q": "größe & mehr", "tag": ["a b", "+", "Ω"]})
    expected = {"q": "größe & mehr", "tags": ["a b", "+", "Ω"]}
    assert answer.json() == expected


def test_what_is_not_there(ask: Ask) -> None:
    assert ask("GET", "/nowhere/%C3%BC").status == 404


def test_a_method_that_is_not_allowed(ask: Ask, framework: str) -> None:
    answer = ask("DELETE", "/json")
    assert answer.status == 405
    assert b"GET" in answer.header(b"allow")


def test_a_redirect(ask: Ask) -> None:
    answer = ask("GET", "/old")
    assert answer.status in (302, 303, 307)
    assert answer.header(b"location").endswith(b"/text")


def test_cookies(ask: Ask) -> None:
    lines = ask("GET", "/cookies").all(b"set-cookie")
    assert {line.partition(b";")[0] for line in lines} >= {b"flavour=vanilla", b"count=2"}
    answer = ask("GET", "/basket", headers={"cookie": "flavour=vanilla; count=2"})
    given = {"flavour": "vanilla", "count": "2"}
    assert answer.json() == given
    answer = ask("GET", "/basket")
    assert answer.json() == dict.fromkeys(given)


# --- what is sent -------------------------------------------------------------------------


def test_a_form(ask: Ask) -> None:
    answer = ask("POST", "/login", data={"user": "Jürgen & co", "password": "a+b=100%"})
    given = {"user": "Jürgen & co", "password": "a+b=100%"}
    assert (answer.status, answer.json()) == (200, given)


def test_a_form_with_a_file(ask: Ask) -> None:
    headers = {"content-type": "multipart/form-data; boundary=frontier"}  # the same at both
    parts = {"data": {"title": "größe"}, "files": {"file": ("photo.bin", PHOTO)}}
    answer = ask("POST", "/photos", headers=headers, **parts)
    digest = hashlib.sha256(PHOTO).hexdigest()
    assert answer.json() == {
        "title": "größe",
        "name": "photo.bin",
        "size": len(PHOTO),
        "digest": digest,
    }


@pytest.mark.parametrize("size", [0, 1, 65536, len(PHOTO)])
def test_a_body_with_a_length(ask: Ask, size: int) -> None:
    answer = ask("POST", "/echo", content=PHOTO[:size])
    assert (answer.status, answer.body) == (200, PHOTO[:size])


def test_a_body_in_chunks(ask: Ask, framework: str) -> None:
    chunks = [PHOTO[:1], PHOTO[1:5], PHOTO[5:70_000], PHOTO[70_000:]]
    answer = ask("POST", "/echo", chunks)
    if framework == "bottle":
        # It looks for the chunks itself, which no server leaves in a body.
        assert answer.status == 400
    else:
        assert (answer.status, answer.body) == (200, PHOTO)


def test_a_body_that_waits_to_be_asked_for(site: Site) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
    with site.server.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert read_head(connection, reader)[0] == 100
        connection.sendall(b"hello")
        assert read_head(connection, reader)[0] == 200
        assert reader.read() == b"hello"


# --- streams and files --------------------------------------------------------------------


def test_a_stream(ask: Ask) -> None:
    answer = ask("GET", "/stream")
    assert (answer.status, answer.body.decode()) == (200, "".join(PIECES))
    assert answer.all(b"content-length") == []


def test_a_stream_for_a_client_of_http_1_0(site: Site) -> None:
    # It knows no chunks: the end of the connection is the end of the body.
    with site.server.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall(b"GET /stream HTTP/1.0\r\n\r\n")
        status, head = read_head(connection, reader)
        assert status == 200
        assert b"transfer-encoding" not in head.lower()
        assert reader.read().decode() == "".join(PIECES)


def test_a_file(ask: Ask) -> None:
    answer = ask("GET", "/files/report.txt")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.header(b"content-length") == str(len(CONTENT)).encode()
    assert b"report.txt" in answer.header(b"content-disposition")


def test_a_file_that_is_not_there(ask: Ask, framework: str) -> None:
    answer = ask("GET", "/files/nothing.txt")
    # Some call it an error of the application.
    assert answer.status == (500 if framework in ("starlette", "fastapi", "litestar") else 404)


@some_frameworks
@pytest.mark.parametrize(
    ("asked", "status", "piece"),
    [
        ("bytes=0-", 206, CONTENT),
        ("bytes=100000-100009", 206, CONTENT[100_000:100_010]),
        ("bytes=-7", 206, CONTENT[-7:]),
        ("bytes=400000-", 416, None),
    ],
)
def test_a_part_of_a_file(ask: Ask, asked: str, status: int, piece: bytes | None) -> None:
    answer = ask("GET", "/files/report.txt", headers={"range": asked})
    assert answer.status == status
    if piece is not None:
        assert answer.body == piece
        assert answer.header(b"content-length") == str(len(piece)).encode()
        assert answer.header(b"content-range").endswith(b"/300000")


def test_a_file_that_has_not_changed(ask: Ask) -> None:
    whole = ask("GET", "/files/report.txt")
    headers = {"if-modified-since": whole.header(b"last-modified").decode()}
    if etags := whole.all(b"etag"):
        headers["if-none-match"] = etags[0].decode()
    answer = ask("GET", "/files/report.txt", headers=headers)
    # Not each of the frameworks compares; what matters is that a 304 has no body.
    assert (answer.status, answer.body) in ((200, CONTENT), (304, b""))


# --- several on one connection --------------------------------------------------------------


def test_several_requests_on_one_connection(pair: list[Site]) -> None:
    bodies = [several(site) for site in pair]
    assert bodies[0] == bodies[1]
    assert b"hello, gr" in bodies[0][0]


def several(site: Site) -> list[bytes]:
    """The bodies of some responses that came over one connection."""
    host = b" HTTP/1.1\r\nHost: test\r\n"
    asked = [
        b"GET /text" + host + b"\r\n",
        b"POST /echo" + host + b"Content-Length: 5\r\n\r\nfirst",
        b"GET /nowhere" + host + b"\r\n",
        b"POST /echo" + host + b"Transfer-Encoding: chunked\r\n\r\n6\r\nsecond\r\n0\r\n\r\n",
        b"HEAD /text" + host + b"\r\n",
        b"GET /files/report.txt" + host + b"\r\n",
        b"GET /text" + host + b"\r\n",
    ]
    bodies = []
    with site.server.connect() as connection, connection.makefile("rb") as reader:
        for request in asked:
            connection.sendall(request)
            bodies.append(read_body(reader, has_body=not request.startswith(b"HEAD")))
    return bodies


def read_body(reader: BinaryIO, has_body: bool = True) -> bytes:
    """The body of the next response, whose head says how long it is."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        assert line, f"the connection ended in the head: {head!r}"
        head += line
    found = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.IGNORECASE)
    assert found is not None, head
    size = int(found[1]) if has_body else 0
    body = reader.read(size)
    assert len(body) == size
    return body


# --- errors -------------------------------------------------------------------------------


def test_an_error_is_a_500_and_a_traceback_in_the_servers_log(ask: Ask, pair: list[Site]) -> None:
    with told(pair[0], "trouble at once"), told(pair[1], "trouble at once"):
        assert ask("GET", "/boom").status == 500


def test_an_error_before_the_first_piece_is_still_a_500(
    pair: list[Site], http: httpx.Client
) -> None:
    # The head has been given to the server, which keeps it until the body begins. (uvicorn does
    # not, and breaks off a 200.)
    assert http.get(pair[0].server.url + "/break?pieces=0").status_code == 500


def test_an_error_in_mid_stream_breaks_the_transfer(site: Site, http: httpx.Client) -> None:
    got: list[bytes] = []
    with (
        told(site, "trouble in mid-stream"),
        http.stream("GET", site.server.url + "/break?pieces=2") as response,
    ):
        assert response.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):  # it does not pass for the whole
            got.extend(response.iter_raw())
    assert b"".join(got) == b"piece\n" * 2


@contextmanager
def told(site: Site, trouble: str) -> Iterator[None]:
    """What is done in here has the server's log tell of a ValueError, with its traceback."""
    log = site.server.log
    before = len(log())
    yield
    until(f"the log tells of {trouble}", lambda: f"ValueError: {trouble}" in log()[before:], log)
    assert "Traceback" in log()[before:]


def test_an_error_in_mid_stream_of_http_1_0(site: Site) -> None:
    # Only the log can tell of it: such a body ends with its connection.
    with told(site, "trouble in mid-stream"), site.server.connect() as connection:
        connection.sendall(b"GET /break?pieces=2 HTTP/1.0\r\n\r\n")
        assert read_all(connection).endswith(b"piece\n" * 2)


# --- clients that leave -------------------------------------------------------------------


def test_a_client_that_leaves_ends_a_stream(site: Site, tmp_path: Path) -> None:
    if (site.framework, site.kind) == ("falcon_asgi", "uvicorn"):
        pytest.skip("uvicorn does not tell who sends, and Falcon does not ask: it goes on for ever")
    closed = tmp_path / "closed"
    with site.server.connect() as connection:
        connection.sendall(f"GET /endless?closed={closed} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        with connection.makefile("rb") as reader:
            assert read_head(connection, reader)[0] == 200
            assert ENDLESS[:10] in reader.read(100_000)
            reset(connection)
    until("the stream is closed", lambda: is_written(closed), site.server.log)
    assert closed.read_text() == "closed\n"


def test_a_client_that_leaves_an_upload_costs_nobody_else_anything(
    site: Site, http: httpx.Client
) -> None:
    for _ in range(10):
        with site.server.connect() as connection:
            head = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n"
            connection.sendall(head + PHOTO)
            reset(connection)
    assert http.get(site.server.url + "/text").status_code == 200


def reset(connection: socket.socket) -> None:
    """Leave rudely: with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# --- what only ASGI has -------------------------------------------------------------------


@asynchronous_frameworks
def test_the_lifespan_leaves_something_for_the_requests(ask: Ask, pair: list[Site]) -> None:
    answer = ask("GET", "/state")
    assert answer.json() == {"greeting": GREETING}
    assert [site.life.read_text() for site in pair] == ["startup\n"] * 2


@asynchronous_frameworks
@pytest.mark.parametrize("which", [0, 1], ids=["ours", "theirs"])
def test_the_lifespan_ends_with_the_server(sites: Sites, framework: str, which: int) -> None:
    site = sites.take(framework, SERVERS["asgi"][which])
    site.server.stop()
    assert site.life.read_text() == "startup\nshutdown\n"


@asynchronous_frameworks
def test_work_after_the_answer_keeps_nobody_waiting(site: Site, tmp_path: Path) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    host = " HTTP/1.1\r\nHost: test\r\n\r\n"
    bodies = []
    with site.server.connect() as connection, connection.makefile("rb") as reader:
        for path in (f"/background?gate={gate}&done={done}", "/text"):
            # The second on the same connection, while the first is not done with.
            connection.sendall(f"GET {path}{host}".encode())
            bodies.append(read_body(reader))
    assert json.loads(bodies[0]) == {"answered": True}
    assert bodies[1].decode() == "hello, größe"
    assert not done.exists()
    gate.touch()
    until("the work is done", lambda: is_written(done), site.server.log)


@asynchronous_frameworks
def test_a_conversation(site: Site) -> None:
    with Client(site.server, "/talk", subprotocols=["other", "echo"]) as client:
        accepted = client.next()
        assert isinstance(accepted, events.AcceptConnection)
        assert accepted.subprotocol == "echo"
        for text in ("hello", "größe Ω", "", "x" * 100_000):
            client.send(events.TextMessage(text))
            assert client.message() == text
        client.send(events.TextMessage("bye"))
        assert client.closing().code == 3001


@asynchronous_frameworks
def test_a_conversation_in_bytes(site: Site) -> None:
    with Client(site.server, "/talk/bytes") as client:
        opened(client)
        for data in (b"\0\xff", PHOTO):
            client.send(events.BytesMessage(data))
            assert client.message() == data
        client.send(events.CloseConnection(1000))
        assert client.closing().code == 1000


@asynchronous_frameworks
def test_a_conversation_that_the_client_leaves(site: Site, http: httpx.Client) -> None:
    for _ in range(5):
        client = opened(Client(site.server, "/talk"))
        client.send(events.TextMessage("hello"))
        assert client.message() == "hello"
        client.reset()
    assert http.get(site.server.url + "/text").status_code == 200


@asynchronous_frameworks
def test_a_handshake_that_is_not_accepted(site: Site) -> None:
    with Client(site.server, "/nowhere") as client:
        refused = client.next()
        assert isinstance(refused, events.RejectConnection), refused
        assert refused.status_code in (403, 404)


# --- and at the end -----------------------------------------------------------------------


def test_our_server_has_not_failed_itself(sites: Sites, framework: str) -> None:
    kind = SERVERS[FRAMEWORKS[framework]][0]
    log = sites.get(framework, kind).server.log()
    assert "a worker's job failed" not in log
    assert "never retrieved" not in log
