"""Server-sent events: their encoding, streams of them, and the pings that keep those alive."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, EventSourceResponse, Request, Response, ServerSentEvent
from microweb.gateways import pings
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol
from .servers import DOORS, PATIENCE, Server, serving, until

FORMS = ["plain", "async"]
SECONDS = 20  # until a test that hangs is given up
OFTEN = 0.001  # seconds between pings
OPEN = b": open\n\n"
PING = b": ping\n\n"

both_forms = pytest.mark.parametrize("form", FORMS)


# --- One event ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "encoded"),
    [
        (ServerSentEvent("hello"), "data: hello\n\n"),
        (ServerSentEvent(""), "data: \n\n"),
        (ServerSentEvent(" kept"), "data:  kept\n\n"),
        (ServerSentEvent("a\nb\rc\r\nd\n"), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
        (ServerSentEvent("a\u2028b\x0bc\x85"), "data: a\u2028b\x0bc\x85\n\n"),
        (ServerSentEvent("zero \0"), "data: zero \0\n\n"),
        (ServerSentEvent("lone \ud800"), "data: lone ?\n\n"),
        (ServerSentEvent({"größe": [1, None]}), 'data: {"größe":[1,null]}\n\n'),
        (ServerSentEvent([]), "data: []\n\n"),
        (ServerSentEvent("x", event="mail", id="7"), "event: mail\nid: 7\ndata: x\n\n"),
        (ServerSentEvent(id=""), "id: \n\n"),
        (ServerSentEvent(retry=0), "retry: 0\n\n"),
        (ServerSentEvent(comment="two\nlines"), ": two\n: lines\n\n"),
    ],
)
def test_an_event_is_encoded_line_by_line(event: ServerSentEvent, encoded: str) -> None:
    assert event.encode() == encoded.encode()


@pytest.mark.parametrize("field", ["event", "id"])
@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
def test_what_would_begin_another_field_is_refused(field: str, character: str) -> None:
    fields: dict[str, Any] = {field: f"x{character}data: forged"}
    with pytest.raises(ValueError, match=f"{field}='x.*CR, LF or NUL"):
        ServerSentEvent("x", **fields)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"data": 7}, TypeError, "data=7.*a dict or list"),
        ({"data": b"x"}, TypeError, "data=b'x'"),
        ({"data": {"x": {1}}}, TypeError, "JSON"),
        ({"data": "x", "id": 7}, TypeError, r"id=7.*write id=str\("),
        ({"data": "x", "event": 7}, TypeError, "event=7"),
        ({"comment": 7}, TypeError, "comment=7"),
        ({"event": "done"}, ValueError, 'never dispatched.*data=""'),
        ({"retry": -1}, ValueError, "retry=-1"),
        ({"retry": 1.5}, ValueError, "retry=1.5"),
        ({"retry": True}, ValueError, "retry=True"),
    ],
)
def test_a_wrong_field_is_an_error_where_the_event_is_made(
    fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ServerSentEvent(**fields)


def test_an_event_is_a_value() -> None:
    event = ServerSentEvent({"a": 1}, id="7")
    assert event == ServerSentEvent('{"a":1}', id="7")
    assert len({event, ServerSentEvent('{"a":1}', id="7")}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.data = "changed"  # type: ignore[misc]


class Dispatched(NamedTuple):
    type: str
    data: str
    last_id: str


class EventSource:
    """A client, written from the algorithm of WHATWG HTML, 9.2.6, and from nothing else."""

    def __init__(self) -> None:
        self.dispatched: list[Dispatched] = []
        self.comments: list[str] = []
        self.retry: int | None = None
        self.last_id = ""
        self._type = self._data = self._id = ""

    def read(self, stream: bytes) -> None:
        text = stream.decode("utf-8").removeprefix("\ufeff")
        line, position = "", 0
        while position < len(text):
            character = text[position]
            position += 1
            if character not in "\r\n":
                line += character
                continue
            if character == "\r" and text[position : position + 1] == "\n":
                position += 1
            self._take(line)
            line = ""
        # A line without its end, and an event without its empty line, are thrown away.

    def _take(self, line: str) -> None:
        if line == "":
            self._dispatch()
        elif line[0] == ":":
            self.comments.append(line[1:].removeprefix(" "))
        else:
            name, _, value = line.partition(":")
            self._field(name, value.removeprefix(" "))

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self._id = value
        elif name == "retry" and value and all(digit in "0123456789" for digit in value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_id = self._id
        if self._data:
            data = self._data.removesuffix("\n")
            self.dispatched.append(Dispatched(self._type or "message", data, self.last_id))
        self._data = self._type = ""


def as_lines(text: str) -> str:
    """What is left of the ends of lines: a client sees only LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


anything = st.text() | st.text(alphabet="a :\r\n\0\x0b\x85\u2028\ufeff")
one_line = anything.map(lambda text: text.translate({13: None, 10: None, 0: None}))


@st.composite
def any_event(draw: st.DrawFn) -> ServerSentEvent:
    data = draw(st.none() | anything)
    return ServerSentEvent(
        data,
        event=None if data is None else draw(st.none() | one_line),
        id=draw(st.none() | one_line),
        retry=draw(st.none() | st.integers(0, 10**12)),
        comment=draw(st.none() | anything),
    )


@given(st.lists(any_event(), max_size=5))
def test_any_events_are_what_a_client_reads(events: list[ServerSentEvent]) -> None:
    client = EventSource()
    client.read(b"".join(event.encode() for event in events))
    expected, comments, last_id, retry = [], [], "", None
    for event in events:
        last_id = last_id if event.id is None else event.id
        retry = retry if event.retry is None else event.retry
        if event.comment is not None:
            comments.append(as_lines(event.comment))
        if event.data is not None:
            expected.append(Dispatched(event.event or "message", as_lines(event.data), last_id))
    assert client.dispatched == expected
    assert "\n".join(client.comments) == "\n".join(comments)
    assert (client.last_id, client.retry) == (last_id, retry)


# --- The response -------------------------------------------------------------------------


def events_of(form: str, *events: Any) -> Iterator[Any] | AsyncIterator[Any]:
    async def asynchronous() -> AsyncIterator[Any]:
        for event in events:
            await asyncio.sleep(0)
            yield event

    return iter(events) if form == "plain" else asynchronous()


def serving_events(events: Any, **arguments: Any) -> App:
    app = App()
    app.get("/")(lambda request: EventSourceResponse(events, **arguments))
    return app


@both_forms
@pytest.mark.parametrize("ping", [15.0, None])
def test_events_strs_and_none_are_streamed(connect: Connect, form: str, ping: float | None) -> None:
    events = events_of(form, ServerSentEvent("a", id="1"), None, "two\nlines", "")
    response = connect(serving_events(events, ping=ping)).get("/")
    assert response.content == OPEN + b"id: 1\ndata: a\n\ndata: two\ndata: lines\n\ndata: \n\n"
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in response.headers


@both_forms
def test_retry_is_said_before_all_else(connect: Connect, form: str) -> None:
    response = connect(serving_events(events_of(form, "x"), retry=3000)).get("/")
    assert response.text == ": open\nretry: 3000\n\ndata: x\n\n"


def test_headers_of_ones_own_win(connect: Connect) -> None:
    headers = {"Cache-Control": "no-cache", "X-Feed": "notes"}
    response = connect(serving_events(["x"], headers=headers)).get("/")
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-feed"] == "notes"
    assert response.headers["content-type"] == "text/event-stream"


def test_a_list_may_be_sent_again_and_again(connect: Connect) -> None:
    kept = EventSourceResponse(["a", "b"])
    app = App()
    app.get("/")(lambda request: kept)
    client = connect(app)
    assert client.get("/").text == client.get("/").text == ": open\n\ndata: a\n\ndata: b\n\n"


@pytest.mark.parametrize(
    "wrong", ["text", b"bytes", {"a": 1}, None, 7, ServerSentEvent("x"), lambda: iter("ab")]
)
def test_what_is_no_iterator_is_refused_where_it_is_given(wrong: Any) -> None:
    with pytest.raises(TypeError, match="EventSourceResponse takes an iterator"):
        EventSourceResponse(wrong)


@pytest.mark.parametrize("ping", [0, -1, float("nan")])
def test_a_ping_that_is_no_time_is_refused(ping: float) -> None:
    with pytest.raises(ValueError, match="seconds above 0, or None"):
        EventSourceResponse([], ping=ping)


def test_a_retry_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="retry=-5"):
        EventSourceResponse([], retry=-5)


class Events:
    """Events that are made when they are asked for, and how often they were closed."""

    def __init__(self, *events: Any) -> None:
        self._events = iter(events)
        self.made = 0
        self.closed = 0

    def make(self) -> Any:
        event = next(self._events)
        self.made += 1
        if isinstance(event, Exception):
            raise event
        return event


class PlainEvents(Events):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.make()

    def close(self) -> None:
        self.closed += 1


class AsyncEvents(Events):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        try:
            return self.make()
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


class PlainTable:
    """Iterated by something else, which wants to be closed as well."""

    def __init__(self, *events: Any) -> None:
        self.rows = PlainEvents(*events)
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self.rows

    def close(self) -> None:
        self.closed += 1


class AsyncTable:
    def __init__(self, *events: Any) -> None:
        self.rows = AsyncEvents(*events)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.rows

    async def aclose(self) -> None:
        self.closed += 1


KINDS: dict[str, Callable[..., Any]] = {"plain": PlainEvents, "async": AsyncEvents}
TABLES: dict[str, Callable[..., Any]] = {"plain": PlainTable, "async": AsyncTable}
pinged_or_not = pytest.mark.parametrize("ping", [15.0, None], ids=["pinged", "unpinged"])


@both_forms
@pinged_or_not
def test_a_stream_is_closed_once_at_its_end(
    connect: Connect, form: str, ping: float | None
) -> None:
    events = KINDS[form]("a", "b")
    assert connect(serving_events(events, ping=ping)).get("/").text.endswith("data: b\n\n")
    assert (events.made, events.closed) == (2, 1)


@both_forms
@pinged_or_not
def test_a_source_and_its_iterator_are_both_closed_once(
    connect: Connect, form: str, ping: float | None
) -> None:
    table = TABLES[form]("a", "b")
    assert connect(serving_events(table, ping=ping)).get("/").text.endswith("data: b\n\n")
    assert (table.closed, table.rows.closed) == (1, 1)


@both_forms
@pinged_or_not
@pytest.mark.parametrize("wrong", [LookupError("no more"), {"a": 1}, 7, b"bytes"])
def test_a_stream_that_fails_is_torn_and_closed_once(
    connect: Connect, form: str, ping: float | None, wrong: Any
) -> None:
    events = KINDS[form]("a", wrong, "never")
    with connect(serving_events(events, ping=ping)).stream("GET", "/") as response:
        chunks = response.iter_raw()
        assert [next(chunks), next(chunks)] == [OPEN, b"data: a\n\n"]
        torn = None
        try:
            next(chunks)
        except httpx.RemoteProtocolError as error:
            torn = error
    assert "mid-body" in str(torn)
    assert (events.made, events.closed) == (2, 1)


@both_forms
def test_the_error_of_a_wrong_event_names_its_source(connect: Connect, form: str) -> None:
    def plain_feed() -> Iterator[Any]:
        yield {"note": 1}

    async def async_feed() -> AsyncIterator[Any]:
        yield {"note": 1}

    events = plain_feed() if form == "plain" else async_feed()
    client = connect(serving_events(events), raise_server_exceptions=True)
    with pytest.raises(TypeError, match=rf"{form}_feed yielded {{'note': 1}}; an event is"):
        client.get("/")


@both_forms
@pinged_or_not
@pytest.mark.parametrize("read", [0, 1, 3])
def test_a_stream_is_lazy_and_closed_once_when_the_client_leaves(
    connect: Connect, form: str, ping: float | None, read: int
) -> None:
    events = KINDS[form](*map(str, range(100)))
    app = serving_events(events, ping=ping)
    with connect(app).stream("GET", "/") as response:
        chunks = response.iter_raw()
        for expected in range(read):  # the first chunk opens the stream
            next(chunks)
            assert events.made == expected
        assert events.closed == 0
    assert events.closed == 1
    assert events.made <= read + 1


@both_forms
@pinged_or_not
def test_head_has_the_headers_and_closes_the_stream_once(
    connect: Connect, form: str, ping: float | None
) -> None:
    events = KINDS[form]("a")
    client = connect(serving_events(events, ping=ping))
    response = client.head("/")
    assert (response.content, response.headers["content-type"]) == (b"", "text/event-stream")
    assert (events.made, events.closed) == (0, 1)


# --- Pings --------------------------------------------------------------------------------


class Silence:
    """Two events, and between them a silence that lasts until the test has heard enough."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.ends: list[str] = []

    def plain(self) -> Iterator[str | None]:
        try:
            yield "before"
            for _ in range(SECONDS * 1000):
                if self.over.wait(0.001):
                    break
                yield None
            yield "after"
        finally:
            self.ends.append("closed")

    async def asynchronous(self) -> AsyncIterator[str]:
        try:
            yield "before"
            for _ in range(SECONDS * 1000):
                if self.over.is_set():
                    break
                await asyncio.sleep(0.001)
            yield "after"
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.ends.append("closed")

    def events(self, form: str) -> Iterator[str | None] | AsyncIterator[str]:
        return self.plain() if form == "plain" else self.asynchronous()


BEFORE = b"data: before"

# A thread cannot be cancelled; its source is closed where it has yielded.
ENDS = {"plain": ["closed"], "async": ["cancelled", "closed"]}


def read_pings(response: httpx.Response, enough: int = 1, after: bytes = b"") -> Iterator[bytes]:
    """Read a stream until it has pinged after a chunk; the chunks that are still to come."""
    chunks = response.iter_raw()
    while after not in next(chunks):
        pass
    while enough:
        enough -= next(chunks) == PING
    return chunks


@both_forms
def test_a_silent_stream_pings_until_its_next_event(connect: Connect, form: str) -> None:
    silence = Silence()
    app = serving_events(silence.events(form), ping=OFTEN)
    with connect(app).stream("GET", "/") as response:
        chunks = read_pings(response, 5, BEFORE)
        silence.over.set()
        assert b"".join(chunks).replace(PING, b"") == b"data: after\n\n"
    assert silence.ends == ["closed"]


@both_forms
@pytest.mark.parametrize("enough", [1, 3])
def test_a_client_that_leaves_a_silent_stream_closes_it_once(
    connect: Connect, form: str, enough: int
) -> None:
    silence = Silence()
    app = serving_events(
        silence.events(form), ping=OFTEN, background=lambda: silence.ends.append("background")
    )
    with connect(app).stream("GET", "/") as response:
        read_pings(response, enough, BEFORE)
        assert silence.ends == []
    assert silence.ends == [*ENDS[form], "background"]


def test_a_ping_asks_the_source_for_nothing(connect: Connect) -> None:
    gate = threading.Event()

    class Gated(AsyncEvents):
        async def __anext__(self) -> Any:
            if self.made == 1:
                async with asyncio.timeout(SECONDS):
                    while not gate.is_set():
                        await asyncio.sleep(0.001)
            return await super().__anext__()

    events = Gated("a", "b", "c")
    with connect(serving_events(events, ping=OFTEN)).stream("GET", "/") as response:
        chunks = read_pings(response, 3)
        assert events.made == 1
        gate.set()
        while next(chunks) == PING:
            pass
        assert events.made == 2
    assert events.closed == 1


@both_forms
def test_none_breaks_no_silence(connect: Connect, form: str) -> None:
    ping = 0.05
    heard = threading.Event()

    def plain() -> Iterator[None]:
        for _ in range(2000):
            if heard.wait(0.001):
                return
            yield None

    async def asynchronous() -> AsyncIterator[None]:
        for _ in range(2000):
            await asyncio.sleep(0.001)
            if heard.is_set():
                return
            yield None

    events = plain() if form == "plain" else asynchronous()
    with connect(serving_events(events, ping=ping)).stream("GET", "/") as response:
        read_pings(response)
        heard.set()


def test_a_stream_that_a_layer_has_put_into_another_is_never_pinged_into(
    connect: Connect,
) -> None:
    # Else a ping would stand in the middle of, say, compressed bytes.
    app = App()
    silence = Silence()

    @app.middleware
    def shout(request: Request) -> Any:
        response = yield
        chunks = response.iterator

        def louder() -> Iterator[bytes]:
            try:
                for chunk in chunks:
                    yield chunk.upper()
            finally:
                chunks.close()

        response.iterator = louder()

    def events() -> Iterator[str | None]:
        for number, event in enumerate(silence.plain()):
            if number == 50:
                silence.over.set()
            yield event

    app.get("/")(lambda request: EventSourceResponse(events(), ping=OFTEN))
    assert connect(app).get("/").text == ": OPEN\n\nDATA: BEFORE\n\nDATA: AFTER\n\n"
    assert silence.ends == ["closed"]


def test_a_timeout_inside_a_source_holds_across_its_events_and_the_pings(connect: Connect) -> None:
    heard = threading.Event()

    async def events() -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(loop.time() + SECONDS) as timeout:
                yield "before"
                while not heard.is_set():
                    await asyncio.sleep(0.001)
                timeout.reschedule(loop.time())
                await asyncio.Event().wait()
        except TimeoutError:
            yield "after"

    with connect(serving_events(events(), ping=OFTEN)).stream("GET", "/") as response:
        chunks = read_pings(response)
        heard.set()
        assert b"".join(chunks).replace(PING, b"") == b"data: after\n\n"


def test_a_source_whose_time_is_up_between_two_events_ends_its_stream(connect: Connect) -> None:
    """Its task is cancelled while nobody asks it for an event; who asks next must hear of it."""
    app = App()
    timeouts: list[asyncio.Timeout] = []
    closed: list[str] = []

    async def events() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(None) as timeout:
                timeouts.append(timeout)
                yield "only one"
        finally:
            closed.append("closed")

    @app.get("/")
    async def stream(request: Request) -> EventSourceResponse:
        return EventSourceResponse(events(), ping=OFTEN)

    @app.get("/up")
    async def time_is_up(request: Request) -> str:
        timeouts[0].reschedule(asyncio.get_running_loop().time())
        async with asyncio.timeout(SECONDS):
            while not closed:
                await asyncio.sleep(0)
        return "up"

    client = connect(app)
    with client.stream("GET", "/") as response:
        chunks = response.iter_raw()
        assert [next(chunks), next(chunks)] == [OPEN, b"data: only one\n\n"]
        assert client.get("/up").text == "up"
        with pytest.raises(httpx.RemoteProtocolError):
            list(itertools.islice(chunks, 100))
    assert closed == ["closed"]


@both_forms
def test_context_variables_go_through_the_source_to_the_background(
    connect: Connect, form: str
) -> None:
    trail: ContextVar[tuple[str, ...]] = ContextVar("trail", default=())
    seen: list[tuple[str, ...]] = []

    def leave(mark: str) -> None:
        trail.set((*trail.get(), mark))

    def plain() -> Iterator[str]:
        token = trail.set((*trail.get(), "own"))
        yield "x"
        trail.reset(token)
        leave("events")
        yield "y"

    async def asynchronous() -> AsyncIterator[str]:
        token = trail.set((*trail.get(), "own"))
        yield "x"
        trail.reset(token)
        leave("events")
        yield "y"

    app = App()

    @app.get("/")
    async def feed(request: Request) -> Response:
        leave("handler")
        return EventSourceResponse(
            plain() if form == "plain" else asynchronous(),
            background=lambda: seen.append(trail.get()),
        )

    client = connect(app)
    client.get("/")
    assert seen == [("handler", "events")]
    assert trail.get() == ()


def test_without_pings_a_plain_source_stays_in_the_thread_of_the_server() -> None:
    places: list[int] = []

    def events() -> Iterator[str]:
        places.append(threading.get_ident())
        yield "x"

    app = App()
    app.get("/{ping}")(
        lambda request, ping: EventSourceResponse(events(), ping=15.0 if ping == "on" else None)
    )
    with TestClient(app, "wsgi", wrap=CHECKERS["wsgi"]) as client:
        client.get("/off")
        client.get("/on")
    assert places[0] == threading.get_ident() != places[1]


def test_a_source_that_ignores_its_cancellation_is_closed_all_the_same(connect: Connect) -> None:
    ends: list[str] = []

    async def stubborn() -> AsyncIterator[str]:
        try:
            yield "x"
            while True:
                with suppress(asyncio.CancelledError):
                    async with asyncio.timeout(SECONDS):
                        await asyncio.Event().wait()
                yield "no matter"
        finally:
            ends.append("closed")

    with connect(serving_events(stubborn(), ping=OFTEN)).stream("GET", "/") as response:
        read_pings(response, after=b"data: x")
    assert ends == ["closed"]


def test_a_source_that_goes_on_without_its_client_is_told_of(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pings, "PATIENCE", OFTEN)
    told = threading.Event()
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())
            told.set()

    def unbounded() -> Iterator[str]:
        yield "x"
        told.wait(SECONDS)
        yield "y"

    listener = Listener()
    logging.getLogger("microweb").addHandler(listener)
    try:
        with connect(serving_events(unbounded(), ping=OFTEN)).stream("GET", "/") as response:
            read_pings(response, after=b"data: x")
    finally:
        logging.getLogger("microweb").removeHandler(listener)
    (complaint,) = complaints
    assert "unbounded" in complaint
    assert "yield None" in complaint


class ASGIServer:
    """One that never says that its client has left. `heard`: an event, and a ping after it."""

    def __init__(self, gone: bool = False) -> None:
        self.gone = gone
        self.sent: list[bytes] = []
        self.heard = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: dict[str, Any]) -> None:
        if self.gone:
            raise OSError("the client has left")
        self.sent.append(message.get("body", b""))
        if self.sent[-1] == PING and any(chunk.startswith(b"data") for chunk in self.sent):
            self.heard.set()

    async def run(self, app: App) -> None:
        path = {"method": "GET", "path": "/"}
        scope = {"type": "http", "http_version": "1.1", "headers": [], **path}
        await app.asgi(scope, self.receive, self.send)

    async def cancel_after_a_ping(self, app: App) -> None:
        async with asyncio.timeout(SECONDS):
            request = asyncio.create_task(self.run(app))
            await self.heard.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request


@both_forms
def test_a_server_that_cancels_the_request_closes_a_silent_stream_once(form: str) -> None:
    silence = Silence()
    ran: list[str] = []
    app = serving_events(
        silence.events(form), ping=OFTEN, background=lambda: ran.append(silence.ends[-1])
    )

    async def main() -> None:
        await ASGIServer().cancel_after_a_ping(app)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set()

    asyncio.run(main())
    assert silence.ends == ENDS[form]
    assert ran == ["closed"]


def test_a_second_cancellation_ends_a_source_that_hangs_in_its_close() -> None:
    ends: list[str] = []
    closing = asyncio.Event()

    async def hanging() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            closing.set()
            try:
                await asyncio.Event().wait()
            finally:
                ends.append("ended")

    async def main() -> None:
        server = ASGIServer()
        async with asyncio.timeout(SECONDS):
            request = asyncio.create_task(server.run(serving_events(hanging(), ping=OFTEN)))
            await server.heard.wait()
            request.cancel()
            await closing.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            while asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert ends == ["ended"]


@both_forms
def test_an_error_of_the_close_reaches_the_server(form: str) -> None:
    def plain() -> Iterator[str | None]:
        try:
            yield "x"
            for _ in range(SECONDS * 1000):
                yield None
                never.wait(0.001)
        finally:
            raise LookupError("nothing to close")

    async def asynchronous() -> AsyncIterator[str]:
        try:
            yield "x"
            await asyncio.Event().wait()
        finally:
            raise LookupError("nothing to close")

    never = threading.Event()
    app = serving_events(plain() if form == "plain" else asynchronous(), ping=OFTEN)

    async def main() -> None:
        server = ASGIServer()
        async with asyncio.timeout(SECONDS):
            request = asyncio.create_task(server.run(app))
            await server.heard.wait()
            server.gone = True
            with pytest.raises(LookupError):
                await request

    asyncio.run(main())


@both_forms
def test_a_stream_that_never_begins_is_closed_once(protocol: Protocol, form: str) -> None:
    events = KINDS[form]("a")
    app = serving_events(events)
    if protocol == "asgi":
        asyncio.run(asyncio.wait_for(ASGIServer(gone=True).run(app), SECONDS))
    else:
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        body: Any = app.wsgi(environ, lambda status, headers: None)
        body.close()
    assert (events.made, events.closed) == (0, 1)


# --- What the request tells ---------------------------------------------------------------


def test_last_event_id_is_where_the_client_left_off(connect: Connect) -> None:
    app = App()
    texts = ["zero", "one", "two"]

    @app.get("/")
    def feed(request: Request) -> EventSourceResponse:
        start = 0 if request.last_event_id is None else int(request.last_event_id.strip("№")) + 1
        return EventSourceResponse(
            ServerSentEvent(text, id=f"№{number}")
            for number, text in itertools.islice(enumerate(texts), start, None)
        )

    client = connect(app)
    source = EventSource()
    with client.stream("GET", "/") as response:
        received = b""
        for chunk in response.iter_raw():
            received += chunk
            if b"one" in received:
                break
    source.read(received)
    assert source.last_id == "№1"
    headers = [(b"Last-Event-ID", source.last_id.encode())]
    source.read(client.get("/", headers=headers).content)
    assert [event.data for event in source.dispatched] == texts


@pytest.mark.parametrize(
    ("sent", "seen"),
    [(None, None), (b"", None), (b"7", "7"), ("ü☃".encode(), "ü☃"), (b"\xff", "\ufffd")],
)
def test_last_event_id_is_utf_8(connect: Connect, sent: bytes | None, seen: str | None) -> None:
    app = App()
    app.get("/")(lambda request: {"id": request.last_event_id})
    headers = [] if sent is None else [(b"last-event-id", sent)]
    assert connect(app).get("/", headers=headers).json() == {"id": seen}


@pytest.mark.parametrize("multithread", [True, False])
def test_a_request_that_holds_the_only_worker_knows_it(
    protocol: Protocol, multithread: bool
) -> None:
    app = App()
    app.get("/")(lambda request: {"can_wait": request.can_wait})

    def server(door: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            return door({**environ, "wsgi.multithread": multithread}, start_response)

        return call if protocol == "wsgi" else door

    with TestClient(app, protocol, wrap=server) as client:
        expected = multithread or protocol == "asgi"
        assert client.get("/").json() == {"can_wait": expected}


# --- Real servers -------------------------------------------------------------------------

CAN_WAIT = {
    "gunicorn sync": False,
    "gunicorn gthread": True,
    "uvicorn": True,
    "microweb wsgi": True,
    "microweb asgi": True,
}


@pytest.mark.parametrize("kind", CAN_WAIT)
def test_a_real_server_notices_by_the_pings_that_the_client_of_a_silent_stream_has_left(
    kind: str, tmp_path: Path
) -> None:
    with (
        serving(kind, f"tests.live_events:{DOORS[kind]}", tmp_path) as server,
        httpx.Client(timeout=PATIENCE, headers={"connection": "close"}) as http,
    ):
        for form in FORMS:
            leave(http, server, form, tmp_path / form)
        assert http.get(f"{server.url}/can-wait").json() == {"can_wait": CAN_WAIT[kind]}


def leave(http: httpx.Client, server: Server, form: str, marks: Path) -> None:
    marks.touch()
    url = f"{server.url}/{form}"
    with http.stream("GET", url, params={"marks": str(marks)}) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(4)] == [": open", "", "data: only one", ""]
        assert next(lines) == ": ping"
        assert marks.read_text() == ""
    until("the stream is over", lambda: "background" in marks.read_text(), server.log)
    assert marks.read_text() == "closed\nbackground\n"
