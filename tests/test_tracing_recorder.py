"""The recorders: the application cannot tell that they are there, and nothing is left out.

`pytest --recorded` runs all behaviour tests through them; here is what those do not look at.
"""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest

from microweb import App
from microweb.testing import TestClient
from microweb.tracing.asgi import RecordedASGI
from microweb.tracing.format import KINDS, Event
from microweb.tracing.recorder import MOST_EVENTS
from microweb.tracing.wsgi import RecordedWSGI


class Served(NamedTuple):
    """What came of one call of a WSGI application, and what was recorded of it."""

    iterable: Any
    environ: dict[str, Any]
    events: list[Event]

    def kinds(self) -> list[str]:
        """The kinds of the events so far."""
        return [event.kind for event in self.events]

    def data(self, kind: str) -> dict[str, Any]:
        """What the first event of a kind says."""
        return next(event.data for event in self.events if event.kind == kind)


def serve(
    app: Callable[..., Any], start_response: Callable[..., Any] | None = None, **environ: Any
) -> Served:
    """Call a recorded application, as a server would."""
    native: dict[str, Any] = {key.replace("__", "."): value for key, value in environ.items()}
    setup_testing_defaults(native)
    events: list[Event] = []
    iterable = RecordedWSGI(app, events.append)(native, start_response or starting)
    assert all(KINDS[event.kind][:2] == (event.side, event.direction) for event in events)
    return Served(iterable, native, events)


def starting(status: str, headers: list[Any], exc_info: Any = None) -> Callable[[bytes], object]:
    """A server's start_response; before anything was sent it takes another."""
    return lambda data: None


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("content-type", "text/plain")])
    return [b"hello"]


# --- WSGI: what is passed on ------------------------------------------------------------------


def test_a_plain_exchange_in_all_its_calls() -> None:
    served = serve(plain)
    assert list(served.iterable) == [b"hello"]
    assert served.kinds() == [
        *("app.call", "start_response.call", "start_response.return", "app.return"),
        *("iter.call", "iter.return", "next.call", "next.return", "next.call", "next.raise"),
    ]
    assert served.data("start_response.call") == {
        "status": "200 OK",
        "headers": [["content-type", "text/plain"]],
        "exc_info": None,
    }
    assert served.data("app.return") == {"type": "list", "length": 1, "file_wrapper": False}
    assert served.data("next.return") == {"bytes": {"$bytes": "hello", "size": 5}}
    assert served.data("next.raise")["type"] == "StopIteration"


def test_an_event_says_when_where_and_whose_line_it_was() -> None:
    served = serve(plain)
    call, started = served.events[0], served.events[1]
    assert call.time < started.time
    assert call.exchange == started.exchange == 1
    assert call.where is not None
    assert (call.where["thread"], call.where["task"]) == ("MainThread", None)
    assert call.source is not None
    assert started.source is not None
    assert (call.source["function"], started.source["function"]) == ("serve", "plain")
    assert started.source["module"] == __name__


def test_the_environ_stays_the_same_object_and_all_else_in_it() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append(environ)
        environ["mine"] = 1
        return plain(environ, start_response)

    marker = object()
    served = serve(app, a__marker=marker)
    assert seen[0] is served.environ
    assert type(seen[0]) is dict
    assert served.environ["mine"] == 1
    assert served.environ["a.marker"] is marker
    assert served.data("app.call")["environ"]["a.marker"] == {"$type": "object"}


def test_nothing_is_asked_of_the_iterable_that_the_server_does_not_ask() -> None:
    deeds: list[str] = []

    class Lazy:
        def __iter__(self) -> Iterator[bytes]:
            deeds.append("iter")
            yield b"one"
            deeds.append("between")
            yield b"two"

        def __len__(self) -> int:
            deeds.append("len")
            return 2

        def close(self) -> None:
            deeds.append("close")

        def other(self) -> str:
            return "mine"

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Lazy:
        plain(environ, start_response)
        return Lazy()

    served = serve(app)
    iterable = served.iterable
    assert deeds == []
    assert isinstance(iterable, Lazy)
    assert iterable.other() == "mine"
    iterator = iter(iterable)
    assert next(iterator) == b"one"
    assert deeds == ["iter"]
    assert len(iterable) == 2
    iterable.close()
    assert deeds == ["iter", "len", "close"]
    assert served.kinds()[-2:] == ["close.call", "close.return"]


def test_what_has_no_length_and_no_close_has_none() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        plain(environ, start_response)
        return map(bytes, [[1], [2]])

    iterable = serve(app).iterable
    assert not hasattr(iterable, "close")
    with pytest.raises(TypeError):
        len(iterable)
    assert list(iterable) == [b"\1", b"\2"]


def test_a_generator_is_closed_where_it_stands() -> None:
    ended: list[str] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"one"
            yield b"two"
        except GeneratorExit:
            ended.append("left")
            raise

    served = serve(app)
    iterator = iter(served.iterable)
    assert iterator is served.iterable  # as it is of a generator
    assert next(iterator) == b"one"
    served.iterable.close()
    assert ended == ["left"]


def test_the_very_chunk_is_passed_on() -> None:
    chunk = bytearray(b"mutable")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[Any]:
        return [chunk]

    (passed,) = serve(app).iterable
    assert passed is chunk


def test_write_is_the_servers_and_recorded() -> None:
    written: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"by hand")
        return []

    served = serve(app, lambda status, headers, exc_info=None: written.append)
    assert written == [b"by hand"]
    assert served.data("write.call") == {"bytes": {"$bytes": "by hand", "size": 7}}


def test_exc_info_reaches_the_server_and_what_that_raises_the_application() -> None:
    def start(status: str, headers: list[Any], exc_info: Any = None) -> Any:
        if exc_info:
            raise exc_info[1].with_traceback(exc_info[2])

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise KeyError("late")
        except KeyError:
            with pytest.raises(KeyError, match="late"):
                start_response("500 Oh", [], sys.exc_info())
            with pytest.raises(KeyError, match="late"):
                start_response("500 Oh", [], exc_info=sys.exc_info())
        return []

    served = serve(app, start)
    assert served.kinds().count("start_response.raise") == 2
    calls = [event.data for event in served.events if event.kind == "start_response.call"]
    assert [call["exc_info"] for call in calls] == [None, "KeyError", "KeyError"]


def test_exceptions_pass_as_they_are() -> None:
    error = ValueError("mine")

    def fails(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise error

    events: list[Event] = []
    recorder = RecordedWSGI(fails, events.append)
    with pytest.raises(ValueError, match="mine") as caught:
        recorder({}, starting)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert [event.kind for event in events] == ["app.call", "app.raise"]

    def fails_later(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        yield b"x"
        raise error

    served = serve(fails_later)
    iterator = iter(served.iterable)
    next(iterator)
    with pytest.raises(ValueError, match="mine") as caught:
        next(iterator)
    assert caught.value is error
    assert served.data("next.raise") == {"type": "ValueError", "message": "mine"}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_passes_too(kind: type[BaseException]) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        raise kind

    with pytest.raises(kind):
        serve(app)


def test_an_app_that_is_called_wrongly_is_told_by_the_server() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response()
        return []

    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        serve(app)


# --- WSGI: the streams of the environ ---------------------------------------------------------

READS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "read": (lambda stream: stream.read(), b"one\ntwo\nthree"),
    "read some": (lambda stream: (stream.read(2), stream.read(3)), (b"on", b"e\nt")),
    "readline": (lambda stream: stream.readline(), b"one\n"),
    "readlines": (lambda stream: stream.readlines(), [b"one\n", b"two\n", b"three"]),
    "iterate": (lambda stream: [*stream], [b"one\n", b"two\n", b"three"]),
    "next": (lambda stream: next(stream), b"one\n"),
    "read1": (lambda stream: stream.read1(4), b"one\n"),
    "readinto": (lambda stream: stream.readinto(bytearray(5)), 5),
    "buffered": (lambda stream: io.BufferedReader(stream).readline(), b"one\n"),
    "text": (lambda stream: [*io.TextIOWrapper(stream, "ascii")], ["one\n", "two\n", "three"]),
}


@pytest.mark.parametrize("how", READS)
def test_the_body_is_read_as_the_application_reads_it(how: str) -> None:
    read, expected = READS[how]
    original = io.BytesIO(b"one\ntwo\nthree")
    results = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        stream = environ["wsgi.input"]
        assert isinstance(stream, io.BytesIO)
        assert (stream.closed, stream.tell(), stream.seekable()) == (False, 0, True)
        results.append(read(stream))
        return plain(environ, start_response)

    served = serve(app, wsgi__input=original)
    assert results == [expected]
    told = [event.data for event in served.events if event.kind == "wsgi.input.return"]
    assert told
    size = sum(each["bytes"]["size"] for each in told)
    assert "".join(each["bytes"]["$bytes"] for each in told) == "one\ntwo\nthree"[:size]
    offsets = [each["offset"] for each in told]
    assert offsets == [sum(each["bytes"]["size"] for each in told[:n]) for n in range(len(told))]


def test_nothing_is_read_ahead() -> None:
    original = io.BytesIO(b"abc")
    serve(plain, wsgi__input=original)
    assert original.tell() == 0


def test_a_read_that_fails_fails() -> None:
    class Torn(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise ConnectionResetError("gone")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with pytest.raises(ConnectionResetError, match="gone"):
            environ["wsgi.input"].read(1)
        return []

    told = serve(app, wsgi__input=Torn()).data("wsgi.input.raise")
    assert told == {"method": "read", "type": "ConnectionResetError", "message": "gone"}


def test_attributes_of_a_stream_can_be_set_and_deleted() -> None:
    class Stream(io.BytesIO):
        pass

    original = Stream()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        environ["wsgi.input"].note = 1
        assert environ["wsgi.input"].note == 1
        del environ["wsgi.input"].note
        assert not hasattr(environ["wsgi.input"], "note")
        assert repr(environ["wsgi.input"]) == repr(original)
        return []

    serve(app, wsgi__input=original)


def test_what_is_logged_arrives_and_is_recorded() -> None:
    log = io.StringIO()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        print("oh", file=environ["wsgi.errors"])
        environ["wsgi.errors"].writelines(["a", "b"])
        environ["wsgi.errors"].flush()
        return []

    served = serve(app, wsgi__errors=log)
    assert log.getvalue() == "oh\nab"
    told = [event.data for event in served.events if event.kind == "wsgi.errors.call"]
    assert [each["method"] for each in told] == ["write", "write", "writelines", "flush"]


def file_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"content"), 4)


def test_the_servers_own_file_wrapper_comes_back_to_it_as_it_is() -> None:
    served = serve(file_app, wsgi__file_wrapper=FileWrapper)
    assert type(served.iterable) is FileWrapper
    assert served.environ["wsgi.file_wrapper"] is FileWrapper
    assert served.data("app.return")["file_wrapper"] is True


def test_a_file_wrapper_that_is_a_function_is_known_by_what_it_returned() -> None:
    made = []

    def wrapper(file: Any, size: int) -> Any:
        made.append(iter([file.read()]))
        return made[0]

    served = serve(file_app, wsgi__file_wrapper=wrapper)
    assert served.iterable is made[0]
    assert served.data("wsgi.file_wrapper.call")["arguments"][1] == 4
    assert served.data("app.return")["file_wrapper"] is True


# --- WSGI: what is left behind ----------------------------------------------------------------


def test_nothing_is_kept_alive_by_the_recorder() -> None:
    class Stream(io.BytesIO):
        pass

    original = Stream()
    recorder = RecordedWSGI(plain, lambda event: None)
    environ: dict[str, Any] = {"wsgi.input": original}
    iterable = recorder(environ, starting)
    gc.disable()
    try:
        list(iterable)
        gone = weakref.ref(original)
        del iterable, environ, original
        assert gone() is None
    finally:
        gc.enable()
    assert not recorder.recorder._open


def test_who_takes_the_events_may_fail_and_the_application_does_not() -> None:
    taken = []

    def emit(event: Event) -> None:
        taken.append(event)
        raise ConnectionError("nobody is there")

    iterable = RecordedWSGI(plain, emit)({}, starting)
    assert list(iterable) == [b"hello"]
    assert len(taken) == 1  # and is not asked again


def test_an_exchange_without_end_is_recorded_up_to_a_bound() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        for _ in range(MOST_EVENTS):
            yield b"x"

    served = serve(app)
    assert len(list(served.iterable)) == MOST_EVENTS
    assert len(served.events) == MOST_EVENTS
    assert served.events[-1].kind == "cut"


def test_the_recorder_has_the_attributes_of_the_application() -> None:
    app = App()
    recorder = RecordedWSGI(app.wsgi, lambda event: None)
    assert recorder.startup == app.wsgi.startup
    with pytest.raises(AttributeError):
        recorder.nothing  # noqa: B018


# --- what a framework tells -------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_what_an_app_tells_of_itself_belongs_to_its_exchange(protocol: Any) -> None:
    app = App()
    app.get("/{name}")(lambda request, name: name)
    events: list[Event] = []
    recorders = []

    def wrap(door: Any) -> Any:
        kind = RecordedWSGI if protocol == "wsgi" else RecordedASGI
        recorders.append(kind(door, events.append))
        app.observe(recorders[0].recorder.observe)
        return recorders[0]

    client = TestClient(app, protocol, wrap=wrap)
    for name in ("ada", "bob"):
        assert client.get(f"/{name}", headers={"cookie": "sid=secret"}).text == name
    for number, name in enumerate(("ada", "bob"), 1):
        told = [e for e in events if e.exchange == number and e.side == "framework"]
        assert [each.kind for each in told] == [
            *("request", "match", "handler.call", "handler.return", "response"),
        ]
        assert told[1].data["path_params"] == {"name": name}
        assert told[0].data["cookies"]["sid"] == {"$text": "******", "length": 6, "masked": True}
        assert told[2].source is not None
        assert told[2].source["file"] == __file__
    assert not recorders[0].recorder._open


def test_what_is_told_of_another_exchange_is_passed_over() -> None:
    events: list[Event] = []
    app = App()
    app.get("/")(lambda request: "hello")
    app.observe(RecordedWSGI(app.wsgi, events.append).recorder.observe)
    assert TestClient(app, "wsgi").get("/").text == "hello"
    assert events == []


# --- ASGI -------------------------------------------------------------------------------------


class Conversation:
    """A server's side of ASGI: messages to receive, and those that were sent."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[dict[str, Any]] = []
        self.events: list[Event] = []

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def kinds(self) -> list[str]:
        """The kinds of the events so far."""
        return [event.kind for event in self.events]

    async def run(self, app: Callable[..., Any], scope: dict[str, Any] | None = None) -> Any:
        """Call a recorded application."""
        recorded = RecordedASGI(app, self.events.append)
        try:
            return await recorded(scope or {"type": "http"}, self.receive, self.send)
        finally:
            assert not recorded.recorder._open
            for event in self.events:
                assert KINDS[event.kind][:2] == (event.side, event.direction)


def test_messages_and_scope_are_the_very_same() -> None:
    scope: dict[str, Any] = {"type": "http", "headers": [(b"x", b"y")]}
    incoming = {"type": "http.request", "body": b"abc", "more_body": True}
    outgoing = {"type": "http.response.start", "status": 200, "headers": []}
    seen: list[Any] = []

    async def app(own: Any, receive: Any, send: Any) -> str:
        seen.extend([own, await receive()])
        await send(outgoing)
        return "returned"

    conversation = Conversation(incoming)
    assert asyncio.run(conversation.run(app, scope)) == "returned"
    assert seen[0] is scope
    assert seen[1] is incoming
    assert conversation.sent[0] is outgoing
    assert conversation.kinds() == [
        *("app.call", "receive.call", "receive.return", "send.call", "send.return", "app.return"),
    ]
    received = conversation.events[2].data
    assert received["message"]["body"] == {"$bytes": "abc", "size": 3}
    assert received["offset"] == 0


def test_nothing_is_received_that_is_not_asked_for() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})

    conversation = Conversation({"type": "http.request"})
    asyncio.run(conversation.run(app))
    assert len(conversation.messages) == 1


def test_the_offsets_of_a_body_in_pieces() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass

    pieces = [{"type": "http.request", "body": b"abc", "more_body": True}]
    conversation = Conversation(*pieces, {"type": "http.request", "body": b"de"})
    asyncio.run(conversation.run(app))
    told = [event.data["offset"] for event in conversation.events if "offset" in event.data]
    assert told == [0, 3]


def test_a_send_is_over_when_the_server_says_so() -> None:
    """Backpressure: the application goes on when the server's own send returns."""
    steps: list[str] = []

    async def main() -> None:
        may_go = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            steps.append("server takes")
            await may_go.wait()
            steps.append("server is ready")

        async def app(scope: Any, receive: Any, own_send: Any) -> None:
            await own_send({"type": "x"})
            steps.append("application goes on")

        recorded = RecordedASGI(app, lambda event: None)
        task = asyncio.create_task(recorded({"type": "http"}, None, send))  # type: ignore[arg-type]
        while not steps:
            await asyncio.sleep(0)
        may_go.set()
        await task

    asyncio.run(main())
    assert steps == ["server takes", "server is ready", "application goes on"]


def test_no_turn_is_given_away() -> None:
    """What does not suspend by itself does not suspend: a coroutine can be stepped by hand."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(await receive())

    conversation = Conversation({"type": "x"})
    recorded = RecordedASGI(app, conversation.events.append)
    with pytest.raises(StopIteration):
        recorded({"type": "http"}, conversation.receive, conversation.send).send(None)


def test_cancellation_reaches_the_application_and_comes_back() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await receive()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> list[str]:
        events: list[Event] = []
        asked = asyncio.Event()

        async def receive() -> None:
            asked.set()
            await asyncio.Event().wait()

        recorded = RecordedASGI(app, events.append)
        task = asyncio.create_task(recorded({"type": "http"}, receive, None))  # type: ignore[arg-type]
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return [event.kind for event in events]

    assert asyncio.run(main()) == ["app.call", "receive.call", "receive.raise", "app.raise"]
    assert seen == ["cancelled"]


def test_what_send_raises_reaches_the_application() -> None:
    error = OSError("gone")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(OSError, match="gone") as caught:
            await send({"type": "x"})
        assert caught.value is error

    async def send(message: Any) -> None:
        raise error

    events: list[Event] = []
    asyncio.run(RecordedASGI(app, events.append)({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert [event.kind for event in events][1:3] == ["send.call", "send.raise"]


def test_a_lifespan_is_of_no_exchange() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})

    conversation = Conversation({"type": "lifespan.startup"})
    asyncio.run(conversation.run(app, {"type": "lifespan", "state": {}}))
    assert {event.exchange for event in conversation.events} == {None}
    assert conversation.events[0].where is not None
    assert str(conversation.events[0].where["task"]).startswith("Task-")


def test_servers_recognise_the_recorder_as_what_it_is() -> None:
    import inspect

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    assert inspect.iscoroutinefunction(RecordedASGI(app, lambda event: None).__call__)
    assert not inspect.iscoroutinefunction(RecordedWSGI(plain, lambda event: None).__call__)
