"""What only the ASGI door can show: scopes, messages, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, JSONResponse, Request, Response, StreamingResponse

from .asgi_validator import validator
from .conftest import spelled

Scope = dict[str, Any]
Message = dict[str, Any]
CallNext = Callable[[Request], Awaitable[Response]]

SECONDS = 10  # until a test that hangs is given up
MORE: Message = {"type": "http.request", "body": b"", "more_body": True}
END: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def make_scope(path: str = "/", method: str = "GET", **more: Any) -> Scope:
    """What the specification asks for, and nothing else."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [],
        **more,
    }


class Server:
    """Plays the server for one call: hands out `messages`, then waits until the client leaves."""

    def __init__(
        self, *messages: Message, fails_at: int | None = None, leaves_at: int | None = None
    ) -> None:
        self.messages = list(messages)
        self.fails_at = fails_at  # the send that raises OSError, as all after it
        self.leaves_at = leaves_at  # the send with which the client leaves, in silence
        self.sent: list[Message] = []
        self.received = 0

    def __call__(self, app: Any, scope: Scope, *, valid: bool = True) -> Server:
        """Run the call to its end, on a loop of its own."""

        async def call() -> None:
            self.gone = asyncio.Event()
            async with asyncio.timeout(SECONDS):
                await (validator(app) if valid else app)(scope, self.receive, self.send)

        asyncio.run(call())
        return self

    async def receive(self) -> Message:
        self.received += 1
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return GONE

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self.fails_at is not None and len(self.sent) >= self.fails_at:
            self.gone.set()
            raise OSError("the client has left")
        if self.leaves_at is not None and len(self.sent) >= self.leaves_at:
            self.gone.set()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])


def seen_by_handler(look: Callable[[Request], Any], scope: Scope, *, valid: bool = True) -> Any:
    """What a handler on every path sees of a request with this scope."""
    seen: list[Any] = []
    app = App()

    @app.get("/{rest:path}")
    @app.get("/")
    async def handler(request: Request, rest: str = "") -> None:
        seen.append(look(request))

    server = Server(END)(app.asgi, scope, valid=valid)
    assert server.status == 204
    (value,) = seen
    return value


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- The scope ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root_path", "path", "expected"),
    [
        ("", "/users", ("", "/users")),
        ("", "", ("", "/")),
        ("/api", "/api/users", ("/api", "/users")),  # uvicorn, as the specification says
        ("/api", "/users", ("/api", "/users")),  # hypercorn, daphne, granian
        ("/api", "/api", ("/api", "/")),
        ("/api", "/api/", ("/api", "/")),
        ("/api", "", ("/api", "/")),
        ("/api", "/", ("/api", "/")),
        ("/api", "/apiary", ("/api", "/apiary")),
        ("/api", "/users/api/x", ("/api", "/users/api/x")),
        ("/api/", "/api/users", ("/api", "/users")),
        ("/a/b", "/a/b/c", ("/a/b", "/c")),
        ("/a/b", "/a/c", ("/a/b", "/a/c")),
        ("/café", "/café/crème", ("/café", "/crème")),
    ],
)
def test_root_path_is_taken_off_the_path_where_it_is_there_and_as_whole_segments(
    root_path: str, path: str, expected: tuple[str, str]
) -> None:
    scope = make_scope(path, root_path=root_path)
    assert seen_by_handler(lambda r: (r.root_path, r.path), scope) == expected


@pytest.mark.parametrize("path", ["/api/users", "/users"])
def test_a_url_has_its_root_path_once(path: str) -> None:
    headers = [(b"host", b"example.org")]
    scope = make_scope(path, root_path="/api", headers=headers, query_string=b"a=1")
    assert seen_by_handler(lambda r: r.url, scope) == "http://example.org/api/users?a=1"


@pytest.mark.parametrize("path", ["/api/users/", "/users/"])
def test_a_slash_redirect_keeps_the_root_path(path: str) -> None:
    app = App()
    app.get("/users")(lambda request: "users")
    server = Server(END)(app.asgi, make_scope(path, root_path="/api"))
    assert server.status == 308
    assert server.headers[b"location"] == b"/api/users"


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (None, None),
        (("10.0.0.1", 80), ("10.0.0.1", 80)),
        (["10.0.0.1", 80], ("10.0.0.1", 80)),
        (("::1", 0), ("::1", 0)),
        (("", 0), None),
    ],
)
def test_the_client_is_a_pair_or_none(client: Any, expected: Any) -> None:
    assert seen_by_handler(lambda r: r.client, make_scope(client=client)) == expected


def test_the_port_of_the_client_may_be_a_str() -> None:
    # granian sends it so; the checker would refuse.
    scope = make_scope(client=("10.0.0.1", "8080"))
    assert seen_by_handler(lambda r: r.client, scope, valid=False) == ("10.0.0.1", 8080)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (lambda r: r.client, None),
        (lambda r: r.scheme, "http"),
        (lambda r: r.root_path, ""),
        (lambda r: dict(r.headers), {}),
        (lambda r: dict(r.query), {}),
        (lambda r: dict(r.cookies), {}),
        (lambda r: vars(r.state), {}),
        (lambda r: r.url.startswith("http://"), True),
    ],
)
def test_what_is_optional_in_a_scope_may_be_missing(look: Any, expected: Any) -> None:
    assert seen_by_handler(look, make_scope()) == expected


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (("10.0.0.1", 8000), "http://10.0.0.1:8000/x"),
        (("10.0.0.1", 80), "http://10.0.0.1/x"),
        (("example.org", None), "http://example.org/x"),
    ],
)
def test_a_url_without_a_host_header_names_the_server(server: Any, expected: str) -> None:
    assert seen_by_handler(lambda r: r.url, make_scope("/x", server=server)) == expected


@pytest.mark.parametrize("server", [None, ("/run/app.sock", None)])
def test_a_url_is_a_str_where_the_server_has_no_name(server: Any) -> None:
    url = seen_by_handler(lambda r: r.url, make_scope("/x", server=server))
    assert url.startswith("http://")
    assert url.endswith("/x")


@pytest.mark.parametrize(
    "more",
    [
        {"asgi": {"version": "3.0", "spec_version": "99.9"}},
        {"asgi": {"version": "3.0", "spec_version": "2.0"}},
        {"state": {"database": object()}},
        {"extensions": {"http.response.push": {}, "unknown": {"a": 1}}},
        {"raw_path": b"/elsewhere"},
        {"http_version": "2"},
        {"http_version": "1.0"},
        {"scheme": "https"},
        {"scheme": "gopher"},
        {"unknown": object()},
    ],
    ids=spelled,
)
def test_nothing_that_a_scope_may_hold_stands_in_the_way(more: Scope) -> None:
    scope = make_scope(**more)
    assert seen_by_handler(lambda r: (r.path, r.scope), scope) == ("/", scope)


def test_the_scope_is_handed_on_as_it_came() -> None:
    scope = make_scope("/api/x", root_path="/api", extensions={}, unknown=object())
    before = dict(scope)
    assert seen_by_handler(lambda r: r.scope is scope and r.environ is None, scope)
    assert scope == before


@pytest.mark.parametrize("pairs", [list, tuple])
def test_headers_are_found_in_any_case_and_repeats_are_kept(pairs: Any) -> None:
    headers = pairs([(b"x-tag", b"one"), (b"accept", b"*/*"), (b"x-tag", b"two")])

    def look(request: Request) -> Any:
        return (
            request.headers["X-TAG"],
            request.headers.getlist("x-Tag"),
            request.headers.multi_items(),
        )

    assert seen_by_handler(look, make_scope(headers=headers)) == (
        "one, two",
        ["one", "two"],
        [("x-tag", "one"), ("accept", "*/*"), ("x-tag", "two")],
    )


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_header_bytes_are_latin_1_and_never_an_error(values: list[bytes]) -> None:
    names = [b"x-tag", b"cookie", b"content-type", b"host", b"accept"]
    clean = [value.translate(None, b"\0\r\n") for value in values]
    scope = make_scope(headers=list(zip(names, clean, strict=False)))

    def look(request: Request) -> Any:
        assert isinstance(request.cookies, dict)
        assert isinstance(request.url, str)
        return [value.encode("latin-1") for _, value in request.headers.multi_items()]

    assert seen_by_handler(look, scope) == clean


def test_several_cookie_headers_are_one() -> None:
    # HTTP/2 may split them (RFC 9113, 8.2.3).
    headers = [(b"cookie", b"a=1; b=2"), (b"accept", b"*/*"), (b"cookie", b"c=3")]
    scope = make_scope(headers=headers)
    assert seen_by_handler(lambda r: r.cookies, scope) == {"a": "1", "b": "2", "c": "3"}
    assert seen_by_handler(lambda r: r.headers["cookie"], scope) == "a=1; b=2; c=3"


def test_options_of_the_server_as_a_whole_is_answered() -> None:
    app = App()
    app.post("/users")(lambda request: "made")
    server = Server(END)(app.asgi, make_scope("*", "OPTIONS"))
    assert server.status == 204
    assert b"POST" in server.headers[b"allow"]


@pytest.mark.parametrize("kind", ["http2", "webtransport", ""])
def test_a_scope_of_an_unknown_type_raises_and_says_nothing(kind: str) -> None:
    server = Server()
    with pytest.raises(ValueError, match="ASGI"):
        server(App().asgi, make_scope(type=kind), valid=False)
    assert (server.sent, server.received) == ([], 0)


def test_a_websocket_is_refused_before_it_is_accepted() -> None:
    app = App()
    app.get("/")(lambda request: "not for websockets")
    server = Server({"type": "websocket.connect"})
    server(app.asgi, make_scope(type="websocket", scheme="ws"))
    assert [message["type"] for message in server.sent] == ["websocket.close"]


# --- The messages of a request ------------------------------------------------------------


def echo() -> App:
    app = App(max_body_size=1000)
    app.post("/")(lambda request: request.body)
    return app


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"type": "http.request"}], b""),
        ([{"type": "http.request", "body": b"all"}], b"all"),
        ([{"type": "http.request", "more_body": True}, {"type": "http.request"}], b""),
        ([{"type": "http.request", "body": b"a", "more_body": True}, END], b"a"),
        ([MORE, MORE, {"type": "http.request", "body": b"b"}], b"b"),
        (
            [
                {"type": "http.request", "body": b"a", "more_body": True},
                MORE,
                {"type": "http.request", "body": b"b", "more_body": True},
                {"type": "http.request", "body": b"c", "more_body": False},
            ],
            b"abc",
        ),
        ([{"type": "http.request", "body": b"a"}, END], b"a"),
    ],
)
def test_the_messages_of_a_body_may_lack_keys_and_be_empty(
    messages: list[Message], expected: bytes
) -> None:
    server = Server(*messages)(echo().asgi, make_scope(method="POST"))
    assert (server.status, server.body) == (200, expected)


@given(st.lists(st.binary(max_size=50), max_size=10), st.booleans())
def test_a_body_is_what_its_messages_say_however_they_cut_it(
    pieces: list[bytes], ends_alone: bool
) -> None:
    messages: list[Message] = [{**MORE, "body": piece} for piece in pieces]
    messages += [END] if ends_alone or not pieces else [{**messages.pop(), "more_body": False}]
    server = Server(*messages)(echo().asgi, make_scope(method="POST"))
    assert (server.status, server.body) == (200, b"".join(pieces))


def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    pieces: list[Message] = [{**MORE, "body": b"x" * 400} for _ in range(100)]
    server = Server(*pieces)(echo().asgi, make_scope(method="POST"))
    assert server.status == 413
    assert server.received == 3


def test_a_content_length_over_the_limit_is_refused_unread() -> None:
    scope = make_scope(method="POST", headers=[(b"content-length", b"1001")])
    server = Server()(echo().asgi, scope)
    assert (server.status, server.received) == (413, 0)


@pytest.mark.parametrize("length", [b"abc", b"-1", b"+1", b"1_0", b"1.0", b"\xb2", b"5,5", b"0x5"])
def test_a_content_length_that_is_no_number_is_a_400(length: bytes) -> None:
    scope = make_scope(method="POST", headers=[(b"content-length", length)])
    server = Server()(echo().asgi, scope)
    assert server.status == 400
    assert b"Content-Length" in server.body


# --- The end of a request -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 200), ("GET", "/none", 404), ("PUT", "/", 405)]
)
def test_receive_is_never_called_where_no_body_is_wanted(
    method: str, path: str, status: int
) -> None:
    app = App()
    app.get("/")(lambda request: "hello")
    server = Server()(app.asgi, make_scope(path, method))
    assert (server.status, server.received) == (status, 0)


@pytest.mark.parametrize("form", ["plain", "async"])
def test_receive_is_not_waiting_when_the_last_message_of_a_stream_goes_out(form: str) -> None:
    app = App()
    app.get("/")(lambda request: counting(form, 3, []))
    waiting: list[bool] = []
    pending = 0

    async def receive() -> Message:
        nonlocal pending
        pending += 1
        try:
            await asyncio.Event().wait()
        finally:
            pending -= 1
        return GONE

    async def send(message: Message) -> None:
        # A turn of the loop, in which a cancelled listener ends
        await asyncio.sleep(0)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            waiting.append(pending > 0)

    async def call() -> None:
        async with asyncio.timeout(SECONDS):
            await validator(app.asgi)(make_scope(), receive, send)
        assert pending == 0

    asyncio.run(call())
    assert waiting == [False]


@pytest.mark.parametrize("messages", [[], [MORE], [{**MORE, "body": b"half"}]])
@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_client_that_leaves_in_mid_body_meets_no_handler_and_no_answer(
    messages: list[Message], async_layer: bool, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    called: list[str] = []

    if async_layer:

        @app.middleware
        async def layer(request: Request, call_next: CallNext) -> Response:
            await request.read()
            return await call_next(request)

    @app.post("/plain")
    def plain(request: Request) -> None:
        called.append("plain")

    @app.post("/async")
    async def asynchronous(request: Request) -> None:
        called.append("async")

    server = Server(*messages, GONE)(app.asgi, make_scope(f"/{form}", "POST"))
    assert (called, server.sent) == ([], [])
    assert errors_in(caplog) == []


def test_a_client_that_leaves_in_mid_body_is_sent_nothing_even_by_a_layer_that_answers() -> None:
    app = App()

    @app.middleware
    def layer(request: Request) -> Generator[None, Response, Response]:
        yield
        return Response("something else")

    app.post("/")(lambda request: "never")
    assert Server(GONE)(app.asgi, make_scope(method="POST")).sent == []


def test_a_client_that_leaves_in_mid_body_gets_no_stream_but_it_is_closed() -> None:
    app = App()
    stream = Closable()
    app.post("/")(lambda request: "never")
    app.exception_handler(400)(lambda request, error: StreamingResponse(stream))
    assert Server(GONE)(app.asgi, make_scope(method="POST")).sent == []
    assert (stream.made, stream.closed) == (0, 1)


# --- Clients that leave during the response -----------------------------------------------


class Closable:
    """An endless plain iterator that counts its chunks and its closes."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.made += 1
        return f"{self.made} "

    def close(self) -> None:
        self.closed += 1


def counting(form: str, count: int, events: list[str]) -> Iterator[str] | AsyncIterator[str]:
    """`count` chunks, and a word in `events` for each and for the close."""

    def plain() -> Iterator[str]:
        try:
            for n in range(count):
                events.append("chunk")
                yield str(n)
        finally:
            events.append("closed")

    async def asynchronous() -> AsyncIterator[str]:
        try:
            for n in range(count):
                await asyncio.sleep(0)
                events.append("chunk")
                yield str(n)
        finally:
            events.append("closed")

    return plain() if form == "plain" else asynchronous()


@pytest.mark.parametrize("fails_at", [1, 2])
def test_oserror_from_send_ends_a_plain_response_in_silence(
    fails_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    ran: list[str] = []
    app.get("/")(lambda request: Response("hello", background=lambda: ran.append("background")))
    server = Server(fails_at=fails_at)(app.asgi, make_scope())
    assert len(server.sent) == fails_at
    assert ran == ["background"]
    assert errors_in(caplog) == []


@pytest.mark.parametrize("fails_at", [1, 2, 4])
@pytest.mark.parametrize("form", ["plain", "async"])
def test_oserror_from_send_ends_a_stream_and_closes_its_iterator(
    form: str, fails_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    events: list[str] = []
    app.get("/")(
        lambda request: StreamingResponse(
            counting(form, 1000, events), background=lambda: events.append("background")
        )
    )
    server = Server(END, fails_at=fails_at)(app.asgi, make_scope())
    assert len(server.sent) == fails_at
    # One that was never started has nothing to close.
    assert events == ["chunk"] * (fails_at - 1) + ["closed"] * (fails_at > 1) + ["background"]
    assert errors_in(caplog) == []


@pytest.mark.parametrize("form", ["plain", "async"])
def test_an_error_of_send_that_is_no_oserror_passes_and_closes_the_iterator(form: str) -> None:
    app = App()
    events: list[str] = []
    app.get("/")(lambda request: counting(form, 1000, events))

    async def send(message: Message) -> None:
        if message.get("body"):
            raise LookupError("a defect of the server")

    async def receive() -> Message:
        await asyncio.Event().wait()
        return GONE

    async def run() -> None:
        async with asyncio.timeout(SECONDS):
            await app.asgi(make_scope(), receive, send)

    with pytest.raises(LookupError):
        asyncio.run(run())
    assert events == ["chunk", "closed"]


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_client_that_leaves_ends_a_stream_even_where_send_succeeds(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    events: list[str] = []
    app.get("/")(
        lambda request: StreamingResponse(
            counting(form, 100_000, events), background=lambda: events.append("background")
        )
    )
    server = Server(END, leaves_at=4)(app.asgi, make_scope())
    assert 3 <= events.count("chunk") < 1000
    assert events[-2:] == ["closed", "background"]
    assert events.count("closed") == 1
    assert len(server.sent) < 1000
    assert errors_in(caplog) == []


def test_a_client_that_leaves_ends_a_stream_that_never_waits_for_anything() -> None:
    # Nothing in it suspends, nor in this `send`: the loop must get a turn all the same.
    app = App()
    made = 0

    async def busy() -> AsyncIterator[str]:
        nonlocal made
        while made < 10_000:
            made += 1
            yield "chunk"

    app.get("/")(lambda request: busy())
    Server(END, leaves_at=4)(app.asgi, make_scope())
    assert made < 9_000


@pytest.mark.parametrize("first", [[], [END]], ids=["at once", "after the end"])
def test_a_client_that_leaves_ends_a_stream_that_waits(first: list[Message]) -> None:
    app = App()
    events: list[str] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "first"
            events.append("waiting")
            asyncio.get_running_loop().call_soon(server.gone.set)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    @app.get("/")
    async def handler(request: Request) -> AsyncIterator[str]:
        return waiting()

    server = Server(*first)
    server(app.asgi, make_scope())
    assert events == ["waiting", "cancelled", "closed"]
    assert [message.get("body") for message in server.sent] == [None, b"first"]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("ends", [1, 2])
def test_a_client_that_leaves_is_noticed_however_often_the_body_was_ended(
    ends: int, method: str
) -> None:
    # granian and hypercorn send the end twice.
    app = App()
    closed: list[str] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    app.route("/", methods=["GET", "POST"], name="stream")(lambda request: waiting())
    Server(*[END] * ends, leaves_at=2)(app.asgi, make_scope(method=method))
    assert closed == ["closed"]


def test_a_client_that_leaves_while_a_plain_stream_waits_closes_it_after_that_step() -> None:
    app = App()
    events: list[str] = []
    began, may_go_on = threading.Event(), threading.Event()

    def waiting() -> Iterator[str]:
        try:
            yield "first"
            began.set()
            assert may_go_on.wait(SECONDS)
            events.append("woke")
            yield "second"
            events.append("never")
        finally:
            events.append("closed")

    app.get("/")(lambda request: waiting())

    class Leaving(Server):
        async def receive(self) -> Message:
            if self.received == 0:
                return await super().receive()
            await asyncio.to_thread(began.wait, SECONDS)
            asyncio.get_running_loop().call_soon(may_go_on.set)
            return GONE

    server = Leaving(END)(app.asgi, make_scope())
    assert events == ["woke", "closed"]
    assert server.body == b"first"


def test_a_stream_that_swallows_the_cancellation_sends_nothing_more() -> None:
    app = App()

    async def stubborn() -> AsyncIterator[str]:
        yield "first"
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        yield "into the void"
        yield "never"

    app.get("/")(lambda request: stubborn())
    server = Server(END, leaves_at=2)(app.asgi, make_scope())
    assert b"never" not in server.body


def test_a_timeout_of_the_server_around_the_call_still_works_after_a_client_left() -> None:
    app = App()
    events: list[str] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            events.append("closed")

    app.get("/")(lambda request: waiting())

    async def call() -> None:
        server = Server(END, leaves_at=2)
        server.gone = asyncio.Event()
        await app.asgi(make_scope(), server.receive, server.send)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # would raise, if a cancellation were left over
        events.append("went on")

    asyncio.run(call())
    assert events == ["closed", "went on"]


@pytest.mark.parametrize("form", ["plain", "async"])
def test_a_cancelled_call_closes_the_stream_and_stays_cancelled(form: str) -> None:
    app = App()
    events: list[str] = []
    app.get("/")(lambda request: counting(form, 1000, events))

    async def run() -> None:
        sending = asyncio.Event()

        async def send(message: Message) -> None:
            if message.get("body"):
                sending.set()
                await asyncio.Event().wait()

        async def receive() -> Message:
            await asyncio.Event().wait()
            return GONE

        task = asyncio.create_task(app.asgi(make_scope(), receive, send))
        async with asyncio.timeout(SECONDS):
            await sending.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert events == ["chunk", "closed"]


def test_a_cancelled_call_cancels_its_handler_and_stays_cancelled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    events: list[str] = []

    @app.middleware
    def layer(request: Request) -> Iterator[None]:
        try:
            yield
        finally:
            events.append("layer")

    @app.get("/")
    async def handler(request: Request) -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            events.append("handler")

    began = asyncio.Event()

    async def run() -> None:
        server = Server()
        task = asyncio.create_task(app.asgi(make_scope(), server.receive, server.send))
        async with asyncio.timeout(SECONDS):
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert server.sent == []

    asyncio.run(run())
    assert events == ["handler", "layer"]
    assert errors_in(caplog) == []


@pytest.mark.parametrize("form", ["plain", "async"])
def test_an_error_in_mid_stream_reaches_the_server_and_no_end_is_sent(form: str) -> None:
    app = App()

    def plain() -> Iterator[str]:
        yield "first"
        raise LookupError("in mid-stream")

    async def asynchronous() -> AsyncIterator[str]:
        yield "first"
        raise LookupError("in mid-stream")

    app.get("/")(lambda request: plain() if form == "plain" else asynchronous())
    server = Server(END)
    with pytest.raises(LookupError, match="in mid-stream"):
        server(app.asgi, make_scope())
    assert server.body == b"first"
    assert all(message.get("more_body") for message in server.sent[1:])


# --- The messages of a response -----------------------------------------------------------


def test_a_response_is_one_start_and_one_body() -> None:
    app = App()
    app.get("/")(lambda request: JSONResponse({"a": 1}, headers={"X-Tag": "caf\xe9"}))
    server = Server()(app.asgi, make_scope())
    assert server.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"x-tag", b"caf\xe9"),
                (b"content-length", b"7"),
            ],
        },
        {"type": "http.response.body", "body": b'{"a":1}'},
    ]


def test_the_head_of_a_stream_leaves_before_its_first_chunk_is_made() -> None:
    app = App()
    events: list[str] = []
    app.get("/")(lambda request: counting("async", 2, events))

    class Noting(Server):
        async def send(self, message: Message) -> None:
            events.append(message["type"])
            await super().send(message)

    Noting(END)(app.asgi, make_scope())
    body = "http.response.body"
    assert events == ["http.response.start", "chunk", body, "chunk", body, "closed", body]


def test_background_runs_after_the_last_message() -> None:
    app = App()
    server = Server()
    sent: list[int] = []
    app.get("/")(lambda request: Response("x", background=lambda: sent.append(len(server.sent))))
    server(app.asgi, make_scope())
    assert sent == [2]


@pytest.mark.parametrize("phase", ["startup", "shutdown"])
def test_a_lifespan_that_fails_says_so_and_does_not_raise(
    phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    @app.lifespan
    async def life(app: App) -> AsyncIterator[None]:
        if phase == "startup":
            raise RuntimeError("no database")
        yield
        raise RuntimeError("no database")

    server = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    server(app.asgi, {"type": "lifespan", "asgi": {"version": "3.0"}})
    assert server.sent[-1]["type"] == f"lifespan.{phase}.failed"
    assert "no database" in server.sent[-1]["message"]
    assert "no database" in caplog.text


def test_an_app_whose_server_knows_no_lifespan_starts_at_the_first_request() -> None:
    app = App()
    events: list[str] = []

    @app.lifespan
    async def life(app: App) -> AsyncIterator[dict[str, str]]:
        events.append("started")
        yield {"word": "ready"}

    app.get("/")(lambda request: request.app.state.word)

    async def run() -> None:
        async def ask() -> bytes:
            server = Server()
            await validator(app.asgi)(make_scope(), server.receive, server.send)
            return server.body

        assert await asyncio.gather(*[ask() for _ in range(5)]) == [b"ready"] * 5
        assert events == ["started"]

    assert events == []
    asyncio.run(run())


def test_an_app_works_again_on_another_loop() -> None:
    app = App()
    app.get("/plain")(lambda request: "plain")

    @app.get("/async")
    async def asynchronous(request: Request) -> str:
        await asyncio.sleep(0)
        return "async"

    for _ in range(3):  # each call runs on a loop of its own
        assert Server()(app.asgi, make_scope("/plain")).body == b"plain"
        assert Server()(app.asgi, make_scope("/async")).body == b"async"
