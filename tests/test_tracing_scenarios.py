"""What crosses the boundary under real gunicorn and uvicorn, recorded as it happens.

Each scenario is asked once of each server, through the tap; the tests read the traces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from microweb.tracing.asked import Asked, asked
from microweb.tracing.client import Answer, ask
from microweb.tracing.format import Event, Protocol, Provenance, Trace
from microweb.tracing.home import Home
from microweb.tracing.order import Order
from microweb.tracing.recording import Recording, recording
from microweb.tracing.servers import USUAL
from microweb.tracing.tap import HOST

from .servers import PATIENCE

TARGET = "tests.traced_app:app"
FORM = ["content-type: application/x-www-form-urlencoded"]
SCENARIOS: dict[str, Asked] = {
    "text": asked("GET", "/text", [], []),
    "json": asked("GET", "/json", ["authorization: Basic c2VjcmV0", "cookie: sid=secret"], []),
    "path": asked("GET", "/people/josé?q=a+b", [], []),
    "form": asked("POST", "/form", FORM, ["name=Ada+Lovelace"]),
    "stream": asked("GET", "/stream", [], []),
    "pieces": asked("POST", "/upload", [], ["one", "three", "eleven bytes"]),
    "head": asked("HEAD", "/text", [], []),
    "404": asked("GET", "/nowhere", [], []),
    "before": asked("GET", "/before", [], []),
    "after": asked("GET", "/after", [], []),
    "expect": asked("POST", "/upload", ["expect: 100-continue"], ["wanted"]),
    "leave": asked("GET", "/endless", [], [], leave=True),
    "websocket": asked("GET", "/talk", ["upgrade: websocket"], ["hi"]),
    "file": asked("GET", "/file", [], []),
    "unwanted": asked("POST", "/nowhere", ["expect: 100-continue"], ["unwanted"]),
    # Asked at once: the second lets the first go on.
    "gated": asked("GET", "/gated", [], []),
    "open": asked("GET", "/open", [], []),
}
PROTOCOLS: tuple[Protocol, ...] = ("wsgi", "asgi")


class Seen(NamedTuple):
    """One scenario under one server."""

    answer: Answer
    events: list[Event]
    provenance: list[Provenance]

    def kinds(self, *prefixes: str) -> list[str]:
        """The kinds of the events, or of those of these sides or names."""
        return [each.kind for each in self.events if not prefixes or _is(each, prefixes)]

    def all(self, *prefixes: str) -> list[Event]:
        """The events of these sides or names."""
        return [each for each in self.events if _is(each, prefixes)]

    def first(self, *prefixes: str) -> Event:
        """The first of them."""
        return self.all(*prefixes)[0]

    def wire(self, direction: str) -> list[Event]:
        """The bytes of a direction."""
        return [e for e in self.events if e.kind == "bytes" and e.direction == direction]

    def sent(self, direction: str) -> str:
        """All of them, each as the character of its number."""
        return "".join(event.data["bytes"]["$bytes"] for event in self.wire(direction))


def _is(event: Event, prefixes: tuple[str, ...]) -> bool:
    return event.side in prefixes or event.kind.startswith(prefixes)


async def see(protocol: Protocol) -> tuple[Trace, list[Answer]]:
    """All scenarios under one server, one after the other."""
    order = Order(f"{TARGET}.{protocol}", protocol, "", observe=TARGET)
    answers = []
    async with recording(order, USUAL[protocol]) as made:
        *alone, gated, opening = SCENARIOS.values()
        for scenario in alone:
            number = len(made.tap.connections) + 1
            between = reads(made, number)
            answer = await ask(HOST, made.tap.port, scenario, timeout=PATIENCE, between=between)
            await made.home.until(partial(is_over, number))
            answers.append(answer)
        first = asyncio.create_task(ask(HOST, made.tap.port, gated, timeout=PATIENCE))
        while not is_begun(made, len(answers) + 1):
            await asyncio.sleep(0.001)
        second = await ask(HOST, made.tap.port, opening, timeout=PATIENCE)
        answers += [await first, second]
        await made.home.until(partial(is_over, len(answers)))
    return made.trace(), answers


def is_begun(made: Recording, exchange: int) -> bool:
    """Whether a response is as far as it can get before its first chunk is there."""
    if made.run.protocol == "asgi":
        connections = made.tap.connections[exchange - 1 :]
        return any(each.direction == "out" for own in connections for each in own.sights)
    return any((e.exchange, e.kind) == (exchange, "next.call") for e in made.home.events)


def is_over(number: int, home: Home) -> bool:
    """Whether the application was called so often for requests, and has done with them all."""
    calls = sum(each.kind == "app.call" and each.exchange is not None for each in home.events)
    return calls >= number and not home.open


def reads(made: Recording, exchange: int) -> Callable[[], Awaitable[None]]:
    """Wait until a piece is on the wire alone, and was taken, or waited for: then the next."""
    sent = 0

    def is_taken() -> bool:
        if len(made.tap.connections) < exchange:
            return False
        requests = made.tap.connections[-1].anatomy.requests
        bodies = sum(part.name == "body" for each in requests for part in each.parts)
        kinds = [each.kind for each in made.home.events if each.exchange == exchange]
        # gunicorn's one read goes on until the end; with ASGI each piece is a message.
        is_read = "wsgi.input.call" in kinds or kinds.count("receive.return") >= sent
        return is_read and bodies >= sent

    async def until_taken() -> None:
        nonlocal sent
        sent += 1
        while not is_taken():
            await asyncio.sleep(0.001)

    return until_taken


@pytest.fixture(scope="module")
def traces() -> dict[Protocol, tuple[Trace, list[Answer]]]:
    """What was seen under both servers."""
    return {protocol: asyncio.run(see(protocol)) for protocol in PROTOCOLS}


Look = Callable[[str], Seen]


@pytest.fixture(params=PROTOCOLS)
def look(
    request: pytest.FixtureRequest, traces: dict[Protocol, tuple[Trace, list[Answer]]]
) -> Look:
    """`look(scenario)` is what was seen of it, in this run's protocol."""
    trace, answers = traces[request.param]

    def seen(name: str) -> Seen:
        number = list(SCENARIOS).index(name) + 1
        events = [each for each in trace.events if each.exchange == number]
        return Seen(
            answers[number - 1], events, [e for e in trace.provenance if e.exchange == number]
        )

    return seen


def protocol_of(seen: Seen) -> Any:
    """The protocol in which the application was called."""
    return "wsgi" if "environ" in seen.first("app.call").data else "asgi"


# --- what every scenario shows ----------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_exchange_begins_on_the_wire_and_is_seen_to_its_end(look: Look, name: str) -> None:
    seen = look(name)
    assert seen.kinds()[:2] == ["connect", "bytes"]
    port = seen.first("connect").data["port"]
    native = seen.first("app.call").data
    told = native["environ"]["REMOTE_PORT"] if "environ" in native else native["scope"]["client"][1]
    assert int(told) == port
    assert seen.kinds("app.return", "app.raise")
    assert [each.time for each in seen.events] == sorted(each.time for each in seen.events)


@pytest.mark.parametrize("name", SCENARIOS)
def test_calls_and_returns_belong_together(look: Look, name: str) -> None:
    open_calls: list[str] = []
    # What listens for the client's departure does so beside the rest.
    for kind in look(name).kinds("app", "start_response", "iter", "next", "close", "send"):
        what, _, step = kind.rpartition(".")
        if step == "call":
            open_calls.append(what)
        else:
            assert open_calls.pop() == what
    assert not open_calls


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_framework_tells_its_steps_between_the_call_and_the_answer(
    look: Look, name: str
) -> None:
    seen = look(name)
    steps = seen.kinds("framework")
    assert steps[:3] == ["request", "layer.call", "match"]
    assert "response" in steps
    kinds = seen.kinds()
    answer = next(k for k in kinds if k in ("start_response.call", "send.call"))
    assert kinds.index("app.call") < kinds.index("request") < kinds.index(answer)


# --- one by one -------------------------------------------------------------------------------


def test_plain_text(look: Look) -> None:
    seen = look("text")
    assert seen.answer.body == b"hello"
    assert seen.sent("in").startswith("GET /text HTTP/1.1\r\n")
    assert seen.sent("out").startswith("HTTP/1.1 200 OK\r\n")
    assert seen.sent("out").endswith("\r\n\r\nhello")
    if protocol_of(seen) == "wsgi":
        assert seen.kinds("seam") == [
            *("app.call", "start_response.call", "start_response.return", "app.return"),
            *("iter.call", "iter.return", "next.call", "next.return", "next.call", "next.raise"),
        ]
        assert seen.first("start_response.call").data["status"] == "200 OK"
    else:
        assert seen.kinds("seam") == [
            *("app.call", "send.call", "send.return", "send.call", "send.return", "app.return"),
        ]
        start, body = (each.data["message"] for each in seen.all("send.call"))
        assert (start["type"], start["status"]) == ("http.response.start", 200)
        assert body["body"] == {"$bytes": "hello", "size": 5}


def test_who_runs_the_handler(look: Look) -> None:
    """A plain one: the server's own thread, or one beside the loop. An async one: the reverse."""
    for name in ("text", "json"):
        seen = look(name)
        call, handler = seen.first("app.call").where, seen.first("handler.call").where
        assert call is not None
        assert handler is not None
        is_same = (call["thread"], call["task"]) == (handler["thread"], handler["task"])
        is_native = (protocol_of(seen) == "asgi") == (name == "json")
        assert is_same == is_native
        assert (handler["task"] is None) == (name == "text")


def test_secrets_are_masked_on_the_wire_at_the_seam_and_within(look: Look) -> None:
    seen = look("json")
    text = repr([each.data for each in seen.events])
    assert "c2VjcmV0" not in text
    assert "sid=secret" not in text
    assert "authorization: " + "*" * len("Basic c2VjcmV0") + "\r\n" in seen.sent("in")
    assert "masked" in text


def test_a_path_with_characters_beyond_ascii(look: Look) -> None:
    """`/people/jos%C3%A9` is mojibake in PATH_INFO, and itself in a scope (PEP 3333)."""
    seen = look("path")
    assert "GET /people/jos%C3%A9?q=a+b HTTP/1.1" in seen.sent("in")
    native = seen.first("app.call").data
    if protocol_of(seen) == "wsgi":
        assert native["environ"]["PATH_INFO"] == "/people/josÃ©"
    else:
        assert native["scope"]["path"] == "/people/josé"
    assert seen.first("match").data["path_params"] == {"name": "josé"}
    assert seen.answer.body.decode() == "josé"


def test_a_form(look: Look) -> None:
    seen = look("form")
    read = seen.first("wsgi.input.return", "receive.return").data
    body = read["bytes"] if "bytes" in read else read["message"]["body"]
    assert body == {"$bytes": "name=Ada+Lovelace", "size": 17}
    assert seen.answer.body == b"Ada Lovelace"


def test_a_stream_crosses_chunk_by_chunk(look: Look) -> None:
    seen = look("stream")
    chunks = [
        each.data.get("bytes") or each.data["message"]["body"]
        for each in [*seen.all("next.return"), *seen.all("send.call")[1:-1]]
    ]
    assert [chunk["$bytes"] for chunk in chunks] == ["one", "two", "three"]


def test_headers_of_a_stream_wait_for_its_first_chunk_under_wsgi_only(look: Look) -> None:
    seen = look("gated")
    first, opened = seen.wire("out")[0].time, look("open").first("handler.call").time
    assert seen.answer.body == b"late"
    if protocol_of(seen) == "wsgi":
        assert seen.first("start_response.return").time < opened < first
        assert seen.first("next.return").time < first
    else:
        assert first < opened < seen.all("send.call")[1].time


def test_an_upload_in_pieces_is_one_read_under_wsgi_and_as_many_messages_under_asgi(
    look: Look,
) -> None:
    seen = look("pieces")
    pieces = [each for each in seen.wire("in") if any(p[0] == "body" for p in each.data["parts"])]
    assert len(pieces) == 3
    if protocol_of(seen) == "wsgi":
        read, *rest = seen.all("wsgi.input.return")
        assert read.data["bytes"]["$bytes"] == "onethreeeleven bytes"
        assert [each.data["bytes"]["size"] for each in rest] == [0]
        # It has blocked its thread from the first piece to the last.
        assert seen.first("wsgi.input.call").time < pieces[-1].time < read.time
        assert seen.answer.body == b"20"
    else:
        messages = [each.data["message"] for each in seen.all("receive.return")]
        assert [m["body"]["$bytes"] for m in messages] == ["one", "three", "eleven bytes"]
        assert [m["more_body"] for m in messages] == [True, True, False]
        assert seen.answer.body == b"3,5,12"


def test_head_has_a_length_and_no_body(look: Look) -> None:
    seen = look("head")
    assert "content-length: 5\r\n" in seen.sent("out").lower()
    assert seen.sent("out").endswith("\r\n\r\n")
    assert (seen.answer.status, seen.answer.size) == (200, 0)


def test_404(look: Look) -> None:
    seen = look("404")
    assert seen.first("match").data["route"] is None
    assert not seen.kinds("handler")
    assert seen.answer.status == 404


def test_an_exception_before_the_first_byte_becomes_a_500(look: Look) -> None:
    seen = look("before")
    raised = seen.first("handler.raise").data
    assert (raised["type"], raised["message"]) == ("RuntimeError", "before the first byte")
    assert seen.answer.status == 500
    assert seen.answer.ended == "complete"


def test_an_exception_after_the_first_byte_can_only_cut_the_connection(look: Look) -> None:
    seen = look("after")
    assert (seen.answer.status, seen.answer.ended) == (200, "cut")
    raised = seen.first("next.raise", "app.raise")
    assert raised.data["message"] == "after the first byte"
    assert "0\r\n\r\n" not in seen.sent("out")  # the chunk that would say: this was all
    if protocol_of(seen) == "wsgi":
        assert seen.kinds()[-2:].count("reset") + seen.kinds("close").count("close.return") >= 1


def test_100_continue_goes_out_before_the_body(look: Look) -> None:
    seen = look("expect")
    assert seen.answer.interim == [100]
    assert seen.answer.body == b"6"
    interim = seen.wire("out")[0]
    assert interim.data["bytes"]["$bytes"] == "HTTP/1.1 100 Continue\r\n\r\n"
    body = next(e for e in seen.wire("in") if any(p[0] == "body" for p in e.data["parts"]))
    assert interim.time < body.time
    if protocol_of(seen) == "asgi":
        assert seen.first("receive.call").time < interim.time


def test_whether_100_continue_waits_for_the_application(look: Look) -> None:
    """It does under uvicorn; gunicorn sends it before the call, wanted or not."""
    seen = look("unwanted")
    assert not seen.kinds("wsgi.input", "receive")
    assert seen.answer.status == 404
    assert seen.answer.interim == ([100] if protocol_of(seen) == "wsgi" else [])


def test_how_an_application_learns_that_the_client_has_left(look: Look) -> None:
    """Under WSGI by close(), when the server could not send; under ASGI by a message."""
    seen = look("leave")
    assert seen.answer.ended == "left"
    assert seen.first("reset").direction == "in"
    left = seen.first("reset").time
    if protocol_of(seen) == "wsgi":
        assert seen.kinds("seam")[-2:] == ["close.call", "close.return"]
        assert seen.all("next.return")[-1].time > left
        assert "StopIteration" not in [each.data["type"] for each in seen.all("next.raise")]
    else:
        last = seen.all("receive.return")[-1]
        assert last.data["message"] == {"type": "http.disconnect"}
        assert last.time > left
        assert seen.kinds("seam")[-1] == "app.return"


def test_a_websocket_is_a_scope_of_its_own_under_asgi_and_a_mere_get_under_wsgi(
    look: Look,
) -> None:
    seen = look("websocket")
    native = seen.first("app.call").data
    if protocol_of(seen) == "wsgi":
        assert native["environ"]["REQUEST_METHOD"] == "GET"
        assert native["environ"]["HTTP_UPGRADE"] == "websocket"
        assert seen.answer.status == 501
        return
    assert native["scope"]["type"] == "websocket"
    assert seen.answer.status == 101
    assert seen.answer.messages == ["hi"]
    sent = [each.data["message"]["type"] for each in seen.all("send.call")]
    assert sent == ["websocket.accept", "websocket.send"]
    received = [each.data["message"]["type"] for each in seen.all("receive.return")]
    assert received == ["websocket.connect", "websocket.receive", "websocket.disconnect"]
    assert seen.wire("in")[-1].data["parts"][0][0] == "opaque"


def test_a_file_that_the_server_sends_by_itself_crosses_no_seam(look: Look) -> None:
    seen = look("file")
    assert seen.answer.body.startswith(b'"""An application with a route')
    if protocol_of(seen) == "wsgi":
        is_servers = seen.first("app.return").data["file_wrapper"]
        assert is_servers == (not seen.kinds("next"))


# --- provenance -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_provenance_is_exact_for_what_was_sent(look: Look, name: str) -> None:
    """The bytes of each span, decoded as its origin says, are the value that was seen."""
    seen = look(name)
    (provenance,) = seen.provenance
    found = {(each.of, each.key): each for each in provenance.origins}
    wire = seen.sent("in")
    method, target, _ = wire.split("\r\n")[0].split(" ")
    path, _, query = target.partition("?")

    def bytes_of(of: str, key: str | int) -> list[str]:
        origin = found[of, key]
        assert origin.source == "wire"
        return [wire[start:end] for start, end in origin.spans]

    if protocol_of(seen) == "wsgi":
        assert bytes_of("environ", "REQUEST_METHOD") == [method]
        assert bytes_of("environ", "PATH_INFO") == [path]
        assert bytes_of("environ", "RAW_URI") == [target]
        assert bytes_of("environ", "SERVER_PROTOCOL") == ["HTTP/1.1"]
        if query:
            assert bytes_of("environ", "QUERY_STRING") == [query]
        assert found["environ", "wsgi.version"].source == "server"
        assert found["environ", "REMOTE_PORT"].source == "socket"
    else:
        if name != "websocket":
            assert bytes_of("scope", "method") == [method]
        assert bytes_of("scope", "path") == [path]
        assert bytes_of("scope", "http_version") == ["1.1"]
        if query:
            assert bytes_of("scope", "query_string") == [query]
        assert found["scope", "asgi"].source == "server"
        assert found["scope", "client"].source == "socket"
    names = [line.partition(":")[0] for line in wire.partition("\r\n\r\n")[0].split("\r\n")[1:]]
    for number, header in enumerate(names):
        value = bytes_of("request", f"headers.{header}")
        assert f"{header}: {value[0]}\r\n" in wire
        if protocol_of(seen) == "asgi":
            assert bytes_of("headers", number) == [header, *value]
    body = "".join(
        wire[start:end]
        for each in provenance.origins
        if each.of in ("wsgi.input", "receive")
        for start, end in each.spans
    )
    if name not in ("websocket", "unwanted"):  # of which no body is read
        assert body == b"".join(SCENARIOS[name].pieces).decode()


def test_provenance_of_parameters(look: Look) -> None:
    seen = look("path")
    origins = {(each.of, each.key): each for each in seen.provenance[0].origins}
    wire = seen.sent("in")
    ((start, end),) = origins["request", "path_params.name"].spans
    assert wire[start:end] == "jos%C3%A9"
    (name, value) = origins["request", "query.q"].spans
    assert [wire[slice(*name)], wire[slice(*value)]] == ["q", "a+b"]


def test_the_scope_of_a_websocket_tells_no_method(look: Look) -> None:
    seen = look("websocket")
    (method,) = [
        origin
        for provenance in seen.provenance
        for origin in provenance.origins
        if (origin.of, origin.key) == ("request", "method")
    ]
    is_handshake = "environ" not in seen.first("app.call").data
    assert method.source == ("server" if is_handshake else "wire")
    assert method.spans == ([] if is_handshake else [(0, 3)])
