"""The anatomy of a connection: which bytes mean what, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.tracing import anatomy as anatomy_module
from microweb.tracing.anatomy import MOST_PARTS, Anatomy, Message
from microweb.tracing.format import Direction

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def of(sent: bytes, answered: bytes = b"") -> Anatomy:
    """The anatomy of a connection on which the client speaks first."""
    anatomy = Anatomy()
    anatomy.feed("in", sent)
    anatomy.feed("out", answered)
    return anatomy


def told(message: Message, sent: bytes) -> list[tuple[str, bytes]]:
    """The parts of a message, and the bytes that they are."""
    return [(part.name, sent[part.start : part.end]) for part in message.parts]


def body(message: Message, sent: bytes) -> bytes:
    return b"".join(data for name, data in told(message, sent) if name == "body")


def test_a_request_in_all_its_parts() -> None:
    sent = (
        b"POST /caf%C3%A9?x=1 HTTP/1.1\r\nHost: a\r\nX-Odd:  spaced \t\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nSum: 5\r\n\r\n"
    )
    (request,) = of(sent).requests
    assert told(request, sent) == [
        ("method", b"POST"),
        ("target", b"/caf%C3%A9?x=1"),
        ("path", b"/caf%C3%A9"),
        ("query", b"x=1"),
        ("version", b"HTTP/1.1"),
        ("field.name", b"Host"),
        ("field.value", b"a"),
        ("field.name", b"X-Odd"),
        ("field.value", b"spaced"),
        ("field.name", b"Transfer-Encoding"),
        ("field.value", b"chunked"),
        ("chunk.size", b"3"),
        ("chunk.extension", b";ext=1"),
        ("body", b"abc"),
        ("chunk.size", b"2"),
        ("body", b"de"),
        ("chunk.size", b"0"),
        ("trailer.name", b"Sum"),
        ("trailer.value", b"5"),
    ]
    assert (request.method, request.target) == ("POST", "/caf%C3%A9?x=1")
    assert request.fields[1] == ("X-Odd", "spaced")
    assert sent[: request.head_end].endswith(b"chunked\r\n\r\n")
    assert (request.start, request.end) == (0, len(sent))
    assert [part.of for part in request.parts if part.of] == [
        *("host", "x-odd", "transfer-encoding", "sum"),
    ]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", None),
        (b"/a/b?", b"/a/b", b""),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"*", b"*", None),
        (b"http://host:80/a?b", b"/a", b"b"),
        (b"http://host?b", None, b"b"),
        (b"host:443", None, None),
        (b"a/b", None, None),
    ],
)
def test_the_forms_of_a_target(target: bytes, path: bytes | None, query: bytes | None) -> None:
    sent = b"GET " + target + b" HTTP/1.1\r\n\r\n"
    parts = dict(told(of(sent).requests[0], sent))
    assert parts["target"] == target
    assert (parts.get("path"), parts.get("query")) == (path, query)


def test_several_requests_in_one_segment_and_their_answers() -> None:
    post = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    anatomy = of(GET + post + GET, OK + OK)
    assert [each.exchange for each in anatomy.requests] == [1, 2, 3]
    assert [each.exchange for each in anatomy.responses] == [1, 2]
    assert anatomy.boundaries("in", 0, 500) == [len(GET), len(GET + post)]
    assert not anatomy.is_idle
    anatomy.feed("out", OK)
    assert anatomy.is_idle
    at = anatomy.message_at("in", len(GET) + 5)
    assert at is anatomy.requests[1]


def test_an_interim_response_leaves_the_request_unanswered() -> None:
    anatomy = of(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n")
    anatomy.feed("out", b"HTTP/1.1 100 Continue\r\n\r\n")
    anatomy.feed("in", b"x")
    assert not anatomy.is_idle
    anatomy.feed("out", OK)
    assert [(each.exchange, each.status) for each in anatomy.responses] == [(1, 100), (1, 200)]
    assert anatomy.is_idle


@pytest.mark.parametrize(
    ("request_line", "status_line"),
    [
        (b"HEAD / HTTP/1.1", b"HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 204 No Content"),
        (b"GET / HTTP/1.1", b"HTTP/1.1 304 Not Modified"),
    ],
)
def test_responses_without_a_body(request_line: bytes, status_line: bytes) -> None:
    head = status_line + b"\r\nContent-Length: 5\r\n\r\n"
    anatomy = of(request_line + b"\r\n\r\n" + GET, head + OK)
    assert [each.status for each in anatomy.responses][1:] == [200]
    assert anatomy.responses[0].end == len(head)


def test_a_response_until_the_end_of_the_connection() -> None:
    answer = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
    anatomy = of(GET, answer)
    assert anatomy.responses[0].end is None
    assert not anatomy.is_idle
    anatomy.eof("out")
    assert anatomy.responses[0].end == len(answer)
    assert body(anatomy.responses[0], answer) == b"until the end"
    assert anatomy.is_idle


def test_a_body_that_is_cut_stays_incomplete() -> None:
    anatomy = of(GET, OK[:-1])
    anatomy.eof("out")
    assert anatomy.responses[0].end is None


@pytest.mark.parametrize(
    ("method", "status"), [(b"GET", b"101 Switching Protocols"), (b"CONNECT", b"200 OK")]
)
def test_after_an_upgrade_all_is_opaque(method: bytes, status: bytes) -> None:
    sent = method + b" / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    answered = b"HTTP/1.1 " + status + b"\r\n\r\n"
    anatomy = of(sent, answered + b"\x81\x02hi")
    anatomy.feed("in", b"GET / HTTP/1.1\r\n\r\n")
    assert told(anatomy.responses[0], answered + b"\x81\x02hi")[-1] == ("opaque", b"\x81\x02hi")
    assert len(anatomy.requests) == 1
    assert anatomy.requests[0].parts[-1].name == "opaque"
    assert anatomy.requests[0].end is None
    anatomy.eof("in")
    assert anatomy.requests[0].end is not None


def test_a_response_that_nobody_asked_for() -> None:
    anatomy = of(b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert anatomy.responses[0].exchange == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 TLS, perhaps\r\n",
        b"GET /\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ],
)
def test_what_makes_no_sense_is_unreadable_and_so_is_what_follows(sent: bytes) -> None:
    (request,) = of(sent + GET).requests
    name, data = told(request, sent + GET)[-1]
    assert name == "unreadable"
    assert data.endswith(GET)


def test_lenient_where_servers_are() -> None:
    sent = b"\r\n\nGET / HTTP/1.1\nHost: a\nX-Long: one\n  two\n\n" + GET
    first, second = of(sent).requests
    assert first.fields == [("Host", "a"), ("X-Long", "one two")]
    assert told(first, sent)[-1] == ("field.value", b"one\n  two")
    assert second.fields == [("Host", "a")]


def test_a_head_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy_module, "MOST_OF_A_HEAD", 1000)
    (request,) = of(b"GET /" + b"x" * 2000).requests
    assert [part.name for part in request.parts] == ["unreadable"]


def test_the_parts_of_a_body_are_bounded() -> None:
    sent = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5000
    (request,) = of(sent + b"0\r\n\r\n").requests
    assert len(request.parts) == MOST_PARTS
    assert request.end == len(sent) + 5


def test_the_parts_of_a_range_are_cut_to_it() -> None:
    (part,) = of(GET).parts_in("in", 1, 2)
    assert part == ("method", 1, 2, "")
    assert of(GET).parts_in("in", 3, 4) == []  # a space
    assert of(b"").message_at("in", 0) is None


# --- an oracle --------------------------------------------------------------------------------

TOKEN = st.text("abcXYZ-0", min_size=1, max_size=8)
VALUE = st.text("ab c;=,é", max_size=12).map(str.strip)
BODIES = st.lists(st.binary(max_size=20), max_size=4)


def message_bytes(
    start: str, fields: list[tuple[str, str]], pieces: list[bytes], how: str
) -> bytes:
    """A message as h11 would write it, but for its start line."""
    lines = [start, *(f"x-{name}: {value}" for name, value in fields)]
    framing = {"length": f"Content-Length: {sum(map(len, pieces))}"}
    lines.append(framing.get(how, "Transfer-Encoding: chunked"))
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    if how == "length":
        return head + b"".join(pieces)
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return head + b"".join(chunks) + b"0\r\n\r\n"


def heard(parser: h11.Connection, data: bytes) -> tuple[Any, bytes]:
    """What h11 makes of a message."""
    parser.receive_data(data)
    head, content = parser.next_event(), b""
    while isinstance(event := parser.next_event(), h11.Data):
        content += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, content


@given(TOKEN, st.lists(st.tuples(TOKEN, VALUE), max_size=4), BODIES, st.sampled_from("lc"))
def test_h11_reads_a_request_in_the_same_way(
    target: str, fields: list[tuple[str, str]], pieces: list[bytes], how: str
) -> None:
    start = f"POST /{target} HTTP/1.1\r\nHost: x"
    sent = message_bytes(start, fields, pieces, {"l": "length", "c": "chunked"}[how])
    event, content = heard(h11.Connection(h11.SERVER), sent)
    (request,) = of(sent).requests
    assert (request.method, request.target) == (event.method.decode(), event.target.decode())
    assert [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in request.fields] == [
        *event.headers,
    ]
    assert body(request, sent) == content
    assert request.end == len(sent)


@given(st.integers(200, 599), BODIES, st.sampled_from(["length", "chunked"]))
def test_h11_reads_a_response_in_the_same_way(status: int, pieces: list[bytes], how: str) -> None:
    answered = message_bytes(f"HTTP/1.1 {status} Fine", [], pieces, how)
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    parser.send(h11.EndOfMessage())
    event, content = heard(parser, answered)
    response = of(GET, answered).responses[0]
    assert response.status == event.status_code
    if status not in (204, 304):
        assert body(response, answered) == content
        assert response.end == len(answered)


# --- hostile bytes ----------------------------------------------------------------------------

VALID = [
    GET,
    b"POST /a?b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    OK,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
]
DIRECTIONS: st.SearchStrategy[Direction] = st.sampled_from(["in", "out"])


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Some messages with a few bytes of them changed, left out or put in."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(VALID), max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            start = draw(st.integers(0, len(data) - 1))
            data[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


Flow = list[tuple[Direction, bytes]]
FLOWS = st.lists(st.tuples(DIRECTIONS, st.one_of(spoiled(), st.binary(max_size=60))), max_size=6)


def fed(flow: Flow, in_bytes: bool) -> Anatomy:
    anatomy = Anatomy()
    for direction, data in flow:
        for piece in [bytes([each]) for each in data] if in_bytes else [data]:
            anatomy.feed(direction, piece)
    anatomy.eof("out")
    return anatomy


def shape(anatomy: Anatomy) -> Iterator[Any]:
    for each in [*anatomy.requests, *anatomy.responses]:
        yield each.exchange, each.start, each.head_end, each.end, each.parts, each.fields


@given(FLOWS)
def test_whatever_comes_it_goes_on_and_byte_by_byte_is_the_same(flow: Flow) -> None:
    anatomy = fed(flow, False)
    assert [*shape(anatomy)] == [*shape(fed(flow, True))]
    for direction, messages in (("in", anatomy.requests), ("out", anatomy.responses)):
        size = sum(len(data) for own, data in flow if own == direction)
        end = 0
        for message in messages:
            assert message.start >= end
            end = message.start
            for part in message.parts:
                if part.name in ("path", "query"):
                    continue
                assert end <= part.start <= part.end <= size
                end = part.end
            assert message.end is None or end <= message.end <= size
