"""Real gunicorn and uvicorn processes: what only a real server shows."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest

from .live_app import TOGETHER
from .live_app import wsgi as live_wsgi
from .servers import (
    DOORS,
    PATIENCE,
    Server,
    is_written,
    launched,
    read_all,
    read_head,
    serving,
    until,
)

GUNICORNS = ["gunicorn sync", "gunicorn gthread"]
OUR_OWN = ["microweb wsgi", "microweb asgi"]
OTHERS = [*GUNICORNS, "uvicorn"]
KINDS = [*OTHERS, *OUR_OWN]
PARALLEL_KINDS = ["gunicorn gthread", "uvicorn", *OUR_OWN]
# uvicorn stops gracefully, and then dies of the signal that it was sent.
GRACEFUL = dict.fromkeys(KINDS, 0) | {"uvicorn": -signal.SIGTERM}
HOOKS = ("-c", "python:microweb.gunicorn_conf")

Serve = Callable[[str], Server]


def target_for(kind: str) -> str:
    return f"tests.live_app:{DOORS[kind]}"


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(kind)` is that kind of server over the live app, started at its first use."""
    folder = tmp_path_factory.mktemp("servers")
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def get(kind: str) -> Server:
            if kind not in running:
                running[kind] = stack.enter_context(serving(kind, target_for(kind), folder))
            return running[kind]

        yield get


@pytest.fixture(params=KINDS)
def server(serve: Serve, request: pytest.FixtureRequest) -> Server:
    """A running server of this run's kind."""
    return serve(request.param)


parallel_servers = pytest.mark.parametrize("server", PARALLEL_KINDS, indirect=True)
both_forms = pytest.mark.parametrize("form", ["", "/async"], ids=["plain", "async"])


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    # Each request ends its connection: none is left idle, for either side to close under another.
    limits = httpx.Limits(max_connections=None)
    headers = {"connection": "close"}
    with httpx.Client(timeout=PATIENCE, limits=limits, headers=headers) as client:
        yield client


def ask(server: Server, *lines: str, body: bytes = b"") -> bytes:
    """All that the server answers to a raw request that asks for the connection's end."""
    head = "\r\n".join([*lines, "Host: test", "Connection: close", "", ""])
    with server.connect() as connection:
        connection.sendall(head.encode("latin-1") + body)
        return read_all(connection)


def dechunked(response: bytes) -> bytes:
    """The body of a whole raw response, taken out of its chunks if it came in such."""
    head, _, rest = response.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return body
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


# --- the plain answers --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"), [("/", "hello from plain code"), ("/async", "hello from async code")]
)
def test_text_is_served(server: Server, http: httpx.Client, path: str, body: str) -> None:
    response = http.get(server.url + path)
    assert (response.status_code, response.text) == (200, body)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-length"] == str(len(body))


def test_json_is_served_and_says_which_door_it_came_through(
    server: Server, http: httpx.Client, request: pytest.FixtureRequest
) -> None:
    response = http.get(server.url + "/json")
    assert response.headers["content-type"] == "application/json"
    protocol = DOORS[request.node.callspec.params["server"]]
    assert response.json() == {"protocol": protocol, "words": ["größe", "Ω"]}


def test_an_unknown_path_is_404(server: Server, http: httpx.Client) -> None:
    response = http.get(server.url + "/nowhere")
    assert (response.status_code, response.text) == (404, "Not Found")


def test_a_wrong_method_is_405_and_told_the_right_ones(server: Server, http: httpx.Client) -> None:
    response = http.post(server.url + "/json")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_a_missing_trailing_slash_is_not_a_trap(server: Server, http: httpx.Client) -> None:
    response = http.get(server.url + "/json/?a=1")
    assert response.status_code == 308
    assert response.headers["location"] == "/json?a=1"


@pytest.mark.parametrize("path", ["/json", "/async", "/gated?gate=never", "/nowhere", "/boom"])
def test_head_has_the_headers_of_get_and_no_byte_of_a_body(server: Server, path: str) -> None:
    response = ask(server, f"HEAD {path} HTTP/1.1")
    head, end, body = response.partition(b"\r\n\r\n")
    assert end
    assert body == b""
    assert b"content-type" in head.lower()


def test_head_tells_the_length_that_get_would_have(server: Server) -> None:
    lengths = [
        line
        for method in ("HEAD", "GET")
        for line in ask(server, f"{method} /json HTTP/1.1").lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    assert len(lengths) == 2
    assert lengths[0] == lengths[1]


# --- odd targets --------------------------------------------------------------------------

ODD_TARGETS = [
    "/dump/caf%C3%A9?x=%C3%A9&x=2&y",
    "/dump/a%2Fb",
    "/dump/a%252Fb",
    "/dump//a//b/",
    "/dump/../b/./c",
    "/dump/%ff%C3%28",
    "/dump/%00%0A%0D",
    "/dump/100%",
    "/dump/%zz",
    "/dump/a;b=c?",
    "/dump/a?b?c=d",
    "/dump/?a",
    "/dump",
    "/%64ump/x",
    "//dump/x",
    "///",
    "/.",
    "/json%20",
    "/json%0A",
    "/json/%2E%2E",
    "/json%5C/",
    "//evil.example/json/",
]


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_every_server_answers_an_odd_target_alike(serve: Serve, target: str) -> None:
    answers = {}
    for kind in KINDS:
        response = ask(serve(kind), f"GET {target} HTTP/1.1")
        location = [line for line in response.split(b"\r\n") if line.lower().startswith(b"locat")]
        answers[kind] = (response[:12], location, dechunked(response))
    first = answers[KINDS[0]]
    assert answers == dict.fromkeys(KINDS, first)
    assert first[0] in (b"HTTP/1.1 200", b"HTTP/1.1 404", b"HTTP/1.1 308")


def test_options_for_the_whole_server_is_answered(server: Server) -> None:
    response = ask(server, "OPTIONS * HTTP/1.1")
    assert response.startswith(b"HTTP/1.1 204 ")
    assert b"allow: get, head, options, post\r\n" in response.lower()


@pytest.mark.parametrize("value", ["x\xe9y", "a,b; c", '"', "=\t;"])
def test_every_server_hands_on_odd_header_bytes_alike(serve: Serve, value: str) -> None:
    lines = ["GET /dump/x HTTP/1.1", f"X-Test: {value}", f"Cookie: a={value}; b=2; =c; d"]
    answers = [json.loads(dechunked(ask(serve(kind), *lines))) for kind in KINDS]
    assert answers == [answers[0]] * len(KINDS)
    assert answers[0]["x"] == value


# --- failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "trouble"), [("/boom", "plain"), ("/async/boom", "async")])
def test_an_exception_is_a_plain_500_and_its_traceback_is_in_the_servers_log(
    server: Server, http: httpx.Client, path: str, trouble: str
) -> None:
    response = http.get(server.url + path)
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    until("the error is logged", lambda: f"ValueError: {trouble} trouble" in server.log())
    assert "Traceback (most recent call last)" in server.log()
    assert "live_app.py" in server.log()
    assert http.get(server.url + "/").status_code == 200


@both_forms
def test_an_exception_in_mid_stream_is_a_broken_transfer(server: Server, form: str) -> None:
    response = ask(server, f"GET {form}/torn HTTP/1.1")
    assert response.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding: chunked" in response.lower()
    assert b"first\n" in response
    assert not response.endswith(b"0\r\n\r\n")
    until("the error is logged", lambda: "ValueError: torn in" in server.log(), server.log)


@both_forms
def test_a_client_library_sees_that_a_stream_was_torn(
    server: Server, http: httpx.Client, form: str
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"{server.url}{form}/torn")
    assert http.get(server.url + "/").status_code == 200


# --- streams ------------------------------------------------------------------------------


@both_forms
def test_the_first_chunk_arrives_before_the_last_is_made(
    server: Server, http: httpx.Client, tmp_path: Path, form: str
) -> None:
    gate = tmp_path / "gate"
    with http.stream("GET", f"{server.url}{form}/gated", params={"gate": str(gate)}) as response:
        chunks = response.iter_raw()
        assert next(chunks) == b"first\n"
        gate.touch()  # only now can there be a second one
        assert b"".join(chunks) == b"second\n"


@both_forms
def test_a_client_that_leaves_in_mid_stream_closes_the_iterator_and_the_server_goes_on(
    server: Server, http: httpx.Client, tmp_path: Path, form: str
) -> None:
    closed = tmp_path / "closed"
    url = f"{server.url}{form}/endless"
    with http.stream("GET", url, params={"closed": str(closed)}) as response:
        assert next(response.iter_raw()).startswith(b"more and more\n")
    until("the iterator is closed", lambda: is_written(closed), server.log)
    assert http.get(server.url + "/").text == "hello from plain code"
    assert closed.read_text() == "closed\n"


# --- many at once -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/async"])
def test_200_parallel_requests_all_get_their_answer(
    server: Server, http: httpx.Client, path: str
) -> None:
    with ThreadPoolExecutor(200) as pool:
        responses = list(pool.map(http.get, [server.url + path] * 200))
    bodies = {(response.status_code, response.text) for response in responses}
    assert bodies == {(200, f"hello from {'async' if path == '/async' else 'plain'} code")}


@parallel_servers
@both_forms
def test_eight_requests_are_inside_their_handlers_at_once(
    server: Server, http: httpx.Client, form: str
) -> None:
    with ThreadPoolExecutor(TOGETHER) as pool:
        responses = list(pool.map(http.get, [f"{server.url}{form}/together"] * TOGETHER))
    assert {response.text for response in responses} == {"together"}


@pytest.mark.parametrize("form", ["", "/async", "/stream", "/async/stream"])
def test_a_context_variable_of_one_request_is_never_seen_by_another(
    server: Server, http: httpx.Client, form: str
) -> None:
    names = [f"v{number}" for number in range(40)]
    urls = [f"{server.url}{form}/visitor/{name}" for name in names]
    with ThreadPoolExecutor(16) as pool:
        answers = [response.text for response in pool.map(http.get, urls)]
    assert answers == [f"nobody {name}" for name in names]


# --- the loop lives as long as its process ------------------------------------------------


def test_an_object_bound_to_the_loop_in_one_request_works_in_the_next(
    server: Server, http: httpx.Client
) -> None:
    assert http.post(server.url + "/bound").text == "bound"
    assert http.get(server.url + "/bound").text == "one loop: it is"


def test_a_task_made_in_a_request_finishes_after_its_response(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    go, done = tmp_path / "go", tmp_path / "done"
    files = {"go": str(go), "done": str(done)}
    assert http.post(server.url + "/task", params=files).text == "begun"
    assert not done.exists()
    go.touch()
    until("the task finishes", done.exists, server.log)


# --- uploads ------------------------------------------------------------------------------

PIECES = [b"one", b"two" * 30000, b"", b"three"]
LENGTH_OF_ABC = b'{"length":3,"sum":294}'
WHOLE = {"length": len(b"".join(PIECES)), "sum": sum(b"".join(PIECES))}


@both_forms
def test_an_upload_with_a_content_length_arrives_whole(
    server: Server, http: httpx.Client, form: str
) -> None:
    response = http.post(f"{server.url}{form}/length", content=b"".join(PIECES))
    assert response.json() == WHOLE


@both_forms
def test_an_upload_in_chunks_arrives_whole(server: Server, http: httpx.Client, form: str) -> None:
    response = http.post(f"{server.url}{form}/length", content=iter(PIECES))
    assert response.request.headers["transfer-encoding"] == "chunked"
    assert response.json() == WHOLE


@both_forms
def test_a_client_that_expects_100_continue_is_told_before_it_sends_the_body(
    server: Server, form: str
) -> None:
    lines = [f"POST {form}/length HTTP/1.1", "Host: test", "Content-Length: 3"]
    lines += ["Expect: 100-continue", "", ""]
    with server.connect() as connection, connection.makefile("rb") as reader:
        connection.sendall("\r\n".join(lines).encode())
        status, head = read_head(connection, reader)
        assert (status, head.split(b"\r\n")[0]) == (100, b"HTTP/1.1 100 Continue")
        connection.sendall(b"abc")
        status, _ = read_head(connection, reader)
        assert status == 200
        assert reader.read(len(LENGTH_OF_ABC)) == LENGTH_OF_ABC


def test_a_client_that_leaves_in_mid_upload_troubles_nobody(
    server: Server, http: httpx.Client
) -> None:
    before = server.log().count("Traceback")
    with server.connect() as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: 99\r\n\r\nabc")
    assert http.get(server.url + "/").status_code == 200
    assert server.log().count("Traceback") == before


@parallel_servers
def test_two_requests_on_one_connection_get_two_answers(server: Server) -> None:
    post = b"POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc"
    with server.connect() as connection, connection.makefile("rb") as reader:
        for _ in range(2):
            connection.sendall(post)
            status, _ = read_head(connection, reader)
            assert status == 200
            assert reader.read(len(LENGTH_OF_ABC)) == LENGTH_OF_ABC


@parallel_servers
def test_an_unread_body_is_not_taken_for_the_next_request(server: Server) -> None:
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"
    head = f"POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: {len(smuggled)}\r\n\r\n"
    last = b"GET /async HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode() + smuggled + last)
        answers = read_all(connection)
    # Either the server went on after the body, or it closed the connection.
    first, *others = answers.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"404 ")
    assert all(other.startswith(b"200 ") for other in others)


# --- the end ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@both_forms
def test_a_graceful_stop_loses_no_request_whose_handler_has_started(
    kind: str, form: str, tmp_path: Path, http: httpx.Client
) -> None:
    started, finish = tmp_path / "started", tmp_path / "finish"
    files = {"started": str(started), "finish": str(finish)}
    with serving(kind, target_for(kind), tmp_path) as server, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.get, f"{server.url}{form}/slow", params=files)
        until("the handler has started", started.exists, server.log)
        server.signal()
        until("the server knows", lambda: knows_that_it_ends(server), server.log)
        finish.touch()
        response = answer.result(PATIENCE)
        assert (response.status_code, response.text) == (200, "finished all the same")
        assert server.wait() == GRACEFUL[kind]


def knows_that_it_ends(server: Server) -> bool:
    return "Handling signal: term" in server.log() or "Shutting down" in server.log()


# --- the lifespan -------------------------------------------------------------------------


def lines_of(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("kind", KINDS)
def test_the_lifespan_runs_once_around_the_life_of_the_process(
    kind: str, tmp_path: Path, http: httpx.Client
) -> None:
    life = tmp_path / "life"
    environment = {"LIVE_APP_LIFE": str(life)}
    with serving(kind, target_for(kind), tmp_path, environment=environment) as server:
        seen = http.get(server.url + "/process").json()
        assert http.get(server.url + "/process").json() == seen
        assert seen["begun"] == seen["pid"]
        assert lines_of(life) == [["startup", str(seen["pid"])]]
        assert server.stop() == GRACEFUL[kind]
        assert "Traceback" not in server.log()
    assert lines_of(life) == [["startup", str(seen["pid"])], ["shutdown", str(seen["pid"])]]


@pytest.mark.parametrize("kind", GUNICORNS)
def test_gunicorns_hooks_begin_the_lifespan_before_any_request(kind: str, tmp_path: Path) -> None:
    life = tmp_path / "life"
    environment = {"LIVE_APP_LIFE": str(life)}
    with serving(kind, target_for(kind), tmp_path, HOOKS, environment) as server:
        until("it starts without a request", lambda: len(lines_of(life)) == 1, server.log)
        pid = lines_of(life)[0][1]
        assert httpx.get(server.url + "/process").json() == {"pid": int(pid), "begun": int(pid)}
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    assert lines_of(life) == [["startup", pid], ["shutdown", pid]]


@pytest.mark.parametrize("kind", GUNICORNS)
def test_without_hooks_the_lifespan_waits_for_the_first_request(kind: str, tmp_path: Path) -> None:
    life = tmp_path / "life"
    environment = {"LIVE_APP_LIFE": str(life)}
    with serving(kind, target_for(kind), tmp_path, environment=environment) as server:
        until("the worker is up", lambda: "Booting worker" in server.log(), server.log)
        with server.connect() as connection:  # the worker takes it, and no request follows
            connection.sendall(b"GET /process HTTP/1.1\r\n")
            assert lines_of(life) == []
            connection.sendall(b"Host: t\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        assert [event for event, _ in lines_of(life)] == ["startup"]


def test_uvicorn_does_not_start_where_the_lifespan_fails(tmp_path: Path) -> None:
    environment = {"LIVE_APP_LIFE": str(tmp_path / "life"), "LIVE_APP_FAILS": "1"}
    with launched("uvicorn", "tests.live_app:asgi", tmp_path, environment=environment) as server:
        assert server.wait() > 0
        assert "no database today" in server.log()
        assert "running on" not in server.log()


def test_gunicorn_with_hooks_does_not_start_where_the_lifespan_fails(tmp_path: Path) -> None:
    environment = {"LIVE_APP_LIFE": str(tmp_path / "life"), "LIVE_APP_FAILS": "1"}
    target = "tests.live_app:wsgi"
    with launched("gunicorn sync", target, tmp_path, HOOKS, environment) as server:
        assert server.wait() > 0
        assert "no database today" in server.log()


def test_gunicorn_without_hooks_answers_500_where_the_lifespan_fails(
    tmp_path: Path, http: httpx.Client
) -> None:
    environment = {"LIVE_APP_LIFE": str(tmp_path / "life"), "LIVE_APP_FAILS": "1"}
    target = "tests.live_app:wsgi"
    with serving("gunicorn gthread", target, tmp_path, environment=environment) as server:
        for _ in range(2):  # the second request tries again
            response = http.get(server.url + "/")
            assert (response.status_code, response.text) == (500, "Internal Server Error")
        said = "RuntimeError: no database today"
        until("it is logged twice", lambda: server.log().count(said) == 2, server.log)


@pytest.mark.parametrize("options", [(), HOOKS], ids=["first request", "hooks"])
def test_an_app_imported_before_the_fork_lives_in_each_worker(
    options: tuple[str, ...], tmp_path: Path, http: httpx.Client
) -> None:
    life, imports = tmp_path / "life", tmp_path / "imports"
    environment = {"LIVE_APP_LIFE": str(life), "LIVE_APP_IMPORTS": str(imports)}
    options = (*options, "--preload", "--workers", "2")
    target = "tests.live_app:wsgi"
    with serving("gunicorn gthread", target, tmp_path, options, environment) as server:

        def pid_of_an_answer() -> int:
            answer = http.get(server.url + "/process").json()
            assert answer["begun"] == answer["pid"]
            return int(answer["pid"])

        workers: set[int] = set()

        def both_have_answered() -> bool:
            workers.add(pid_of_an_answer())
            return len(workers) == 2

        until("both workers answer", both_have_answered, server.log)
        assert http.get(server.url + "/async").text == "hello from async code"
        assert lines_of(imports) == [[str(server.process.pid)]]
        assert server.process.pid not in workers
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    for event in ("startup", "shutdown"):
        assert {int(pid) for what, pid in lines_of(life) if what == event} == workers
    assert len(lines_of(life)) == 4


# --- a server is not a protocol -----------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "protocol"), [("uvicorn wsgi", "wsgi"), ("gunicorn asgi", "asgi")]
)
def test_a_server_of_one_name_speaks_the_other_protocol_too(
    serve: Serve, http: httpx.Client, tmp_path: Path, kind: str, protocol: str
) -> None:
    server = serve(kind)
    assert http.get(server.url + "/json").json()["protocol"] == protocol
    assert http.get(server.url + "/async").text == "hello from async code"
    assert http.post(server.url + "/length", content=b"".join(PIECES)).json() == WHOLE
    assert http.get(server.url + "/nowhere").status_code == 404
    assert http.get(server.url + "/boom").text == "Internal Server Error"
    gate = tmp_path / "gate"
    gate.touch()
    response = http.get(server.url + "/async/gated", params={"gate": str(gate)})
    assert response.text == "first\nsecond\n"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_wsgiref_serves_the_app_though_it_sends_an_empty_content_length(
    http: httpx.Client, tmp_path: Path
) -> None:
    lengths = []

    def spy(environ: dict[str, object], start_response: object) -> object:
        lengths.append(environ["CONTENT_LENGTH"])
        return live_wsgi(environ, start_response)  # type: ignore[arg-type]

    with make_server("127.0.0.1", 0, spy, handler_class=QuietHandler) as reference:  # type: ignore[arg-type]
        thread = threading.Thread(target=reference.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{reference.server_port}"
            assert http.get(url + "/").text == "hello from plain code"
            assert http.get(url + "/async").text == "hello from async code"
            assert http.post(url + "/length", content=b"abc").json()["length"] == 3
            assert http.post(url + "/length").json()["length"] == 0
            assert http.post(url + "/length", content=iter([b"a", b"b"])).status_code == 411
            assert http.head(url + "/json").content == b""
            assert http.get(url + "/nowhere").status_code == 404
        finally:
            reference.shutdown()
            thread.join(PATIENCE)
    assert "" in lengths


# --- pointed at the App itself ------------------------------------------------------------


@pytest.mark.parametrize("kind", [*OTHERS, "gunicorn asgi"])
def test_a_server_pointed_at_the_app_itself_is_told_of_the_two_doors(
    kind: str, tmp_path: Path, http: httpx.Client
) -> None:
    with serving(kind, "tests.live_app:site", tmp_path) as server:
        assert http.get(server.url + "/").status_code == 500
        until("the mend is logged", lambda: "two doors" in server.log(), server.log)
        assert "app = site.wsgi" in server.log()
        assert "app = site.asgi" in server.log()
