"""The anatomy of a connection: which bytes mean what, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.tracing.anatomy import MOST_OF_A_HEAD, MOST_PIECES, Anatomy, Message, taking
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


def test_an_upgrade_before_the_request_is_whole() -> None:
    head = b"POST / HTTP/1.1\r\nUpgrade: it\r\nContent-Length: 3\r\n\r\n"
    anatomy = of(head + b"ab", b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    anatomy.feed("in", b"cGET / HTTP/1.1\r\n\r\n")
    (request,) = anatomy.requests
    assert told(request, head + b"abcGET / HTTP/1.1\r\n\r\n")[-2:] == [
        ("body", b"abc"),
        ("opaque", b"GET / HTTP/1.1\r\n\r\n"),
    ]
    assert not anatomy.is_idle


def test_a_request_is_there_with_its_first_byte() -> None:
    anatomy = of(b"\r\n")
    assert anatomy.requests == []
    assert anatomy.is_idle
    anatomy.feed("in", b"P")
    assert not anatomy.is_idle
    anatomy.feed("out", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    anatomy.eof("in")
    (request,), (response,) = anatomy.requests, anatomy.responses
    assert (request.start, request.head_end, request.end) == (2, None, None)
    assert response.exchange == request.exchange == 1


def test_an_answer_before_the_request_is_whole() -> None:
    anatomy = of(b"HEAD / HTTP/1.1\r\nContent-Length: 2\r\n\r\n", OK[:-2])
    assert anatomy.responses[0].end is not None
    assert not anatomy.is_idle
    anatomy.feed("in", b"hi")
    assert anatomy.is_idle


def test_a_coding_that_is_not_chunked_hides_where_a_body_ends() -> None:
    head = b"Transfer-Encoding: chunked, gzip\r\nContent-Length: 1\r\n\r\n"
    anatomy = of(b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + head + b"abc")
    assert anatomy.responses[0].end is None
    anatomy.eof("out")
    assert anatomy.responses[0].parts[-1].name == "body"
    assert anatomy.is_idle
    (request,) = of(b"POST / HTTP/1.1\r\n" + head + GET).requests
    assert request.parts[-1].name == "unreadable"


def test_chunked_goes_before_a_length() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
    answered = head + b"2\r\nhi\r\n0\r\n\r\n"
    (response,) = of(GET, answered).responses
    assert body(response, answered) == b"hi"
    assert response.end == len(answered)


def test_a_response_that_nobody_asked_for() -> None:
    anatomy = of(b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert anatomy.responses[0].exchange == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 TLS, perhaps\r\n",
        b"GET /\r\n",
        b"GET  HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
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


@pytest.mark.parametrize("spaced", [b"  x: y\r\n", b" \t\r\n"])
def test_a_line_with_nothing_to_go_on_with_is_passed_over(spaced: bytes) -> None:
    sent = b"GET / HTTP/1.1\r\n" + spaced + b"\r\n"
    (request,) = of(sent).requests
    assert request.fields == []
    assert request.parts[-1].name == "version"
    assert request.end == len(sent)


def test_an_empty_line_in_a_value_is_not_of_it() -> None:
    (request,) = of(b"GET / HTTP/1.1\r\nX: y\r\n \r\n\r\n").requests
    assert request.fields == [("X", "y")]
    assert request.parts[-1] == ("field.value", 19, 20, "x")


def test_a_trailer_may_be_folded_and_is_no_field() -> None:
    head = b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = head + b"0\r\nX: y\r\n z\r\n\r\n"
    (request,) = of(sent).requests
    assert told(request, sent)[-1] == ("trailer.value", b"y\r\n z")
    assert request.fields == [("Transfer-Encoding", "chunked")]


FIELDS = b"a: b\r\n" * (MOST_OF_A_HEAD // 6)
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        (b"GET /" + b"x" * MOST_OF_A_HEAD, 0),
        (GET + b"GET /" + b"x" * MOST_OF_A_HEAD, 1),
        (GET + b"GET / HTTP/1.1\r\n" + FIELDS, 1),
        (CHUNKED + b"1;" + b"x" * MOST_OF_A_HEAD, 0),
        (CHUNKED + b"1\r\nx" + b" " * MOST_OF_A_HEAD + b"\r\n", 0),
        (CHUNKED + b"0\r\n" + FIELDS, 0),
    ],
)
def test_what_is_too_long_for_a_head_is_given_up(sent: bytes, last: int) -> None:
    *_, message = of(sent + GET).requests
    assert message.exchange == last + 1
    assert message.end is None
    assert message.parts[-1].name == "unreadable"
    assert message.parts[-1].end == len(sent + GET)
    assert sum(part.name == "unreadable" for part in message.parts) == 1


def test_a_head_may_be_as_long_as_the_bound() -> None:
    line = b"GET / HTTP/1.1\r\nx: "
    sent = line + b"y" * (MOST_OF_A_HEAD - len(line) - 4) + b"\r\n\r\n"
    assert of(sent).requests[0].end == MOST_OF_A_HEAD
    longer = sent.replace(b"x:", b"xx:")
    assert of(longer).requests[0].parts[-1] == ("unreadable", MOST_OF_A_HEAD - 1, len(longer), "")


def test_only_lines_are_bounded() -> None:
    head = CHUNKED[:-2] + b"x: " + b"y" * (MOST_OF_A_HEAD - len(CHUNKED) - 5) + b"\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (MOST_OF_A_HEAD, b"x" * MOST_OF_A_HEAD)
    sent = head + 2 * chunk + b"0\r\n\r\n"
    (request,) = of(sent).requests
    assert request.head_end == MOST_OF_A_HEAD
    assert request.end == len(sent)


@pytest.mark.parametrize(
    "line",
    [
        b"GET" + b" " * 250_000 + b"x",
        b"GET " + b"x" * 100_000 + b" " * 100_000 + b"x",
        b"GET /" + b"?" * 250_000 + b" x",
        b"GET http" + b"+" * 250_000 + b" x",
        b"GET a://" + b"/" * 250_000 + b" x",
        b"x" * 250_000,
        b"\r" * 250_000 + b"x",
        b"GET / HTTP/1.1\r\n" + b"x" * 250_000,
        b"GET / HTTP/1.1\r\nx" + b" " * 250_000 + b":",
    ],
)
def test_no_line_takes_long(line: bytes) -> None:
    """Not a matter of a few seconds: what takes time by the square never ends here."""
    (request,) = of(line + b"\r\n").requests
    assert request.parts[-1].name == "unreadable"


def test_the_pieces_of_a_body_are_bounded_and_nothing_else_is() -> None:
    sent = CHUNKED + b"1\r\nx\r\n" * 5000
    (request,) = of(sent + b"0\r\nT: v\r\n\r\n").requests
    names = [part.name for part in request.parts]
    assert names.count("body") == names.count("chunk.size") == MOST_PIECES
    assert names[-2:] == ["trailer.name", "trailer.value"]
    assert {part.end - part.start for part in request.parts if part.name == "body"} == {1}
    assert request.end == len(sent) + 11
    (request,) = of(sent + b"nonsense\r\n").requests
    assert request.parts[-1].name == "unreadable"


def test_many_fields_leave_room_for_the_body() -> None:
    sent = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n" + b"a: b\r\n" * 2000 + b"\r\nhi"
    assert body(of(sent).requests[0], sent) == b"hi"


def test_nothing_of_a_body_is_kept() -> None:
    anatomy = of(b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n" + b"x" * 50)
    assert len(anatomy._requests._held) == 0


def test_the_parts_of_a_range_are_cut_to_it() -> None:
    (part,) = of(GET).parts_in("in", 1, 2)
    assert part == ("method", 1, 2, "")
    assert of(GET).parts_in("in", 3, 4) == []  # a space
    assert of(GET).parts_in("in", 1, 1) == []
    assert of(b"").message_at("in", 0) is None


def test_a_range_over_several_messages() -> None:
    anatomy = of(GET * 3)
    size = len(GET)
    found = anatomy.parts_in("in", size - 5, 2 * size + 3)
    assert [(part.name, part.start) for part in found] == [
        ("field.value", size - 5),
        *((part.name, part.start) for part in anatomy.requests[1].parts),
        ("method", 2 * size),
    ]
    assert anatomy.boundaries("in", size, 2 * size) == []
    assert anatomy.boundaries("in", size - 1, 2 * size + 1) == [size, 2 * size]


# --- an oracle --------------------------------------------------------------------------------

TOKEN = st.text("abcXYZ-0", min_size=1, max_size=8)
TARGET = st.text("/?&=%abc.;", max_size=12).map(lambda text: "/" + text)
VALUE = st.text("ab c;=,é", max_size=12).map(str.strip)
FIELD_LINES = st.lists(st.tuples(TOKEN, VALUE), max_size=4)
BODIES = st.lists(st.binary(max_size=20), max_size=4)
FRAMINGS = st.sampled_from(["length", "chunked"])
Fields = list[tuple[str, str]]


@st.composite
def exchanges(draw: st.DrawFn, start: str) -> bytes:
    """A message of this start line, all of it valid."""
    pieces, how = draw(BODIES), draw(FRAMINGS)
    size = sum(map(len, pieces))
    framing = f"Content-Length: {size}" if how == "length" else "Transfer-Encoding: chunked"
    head = written([start, *lines_of(draw(FIELD_LINES)), framing])
    if how == "length":
        return head + b"".join(pieces)
    extension = draw(st.sampled_from(["", ";a", ";a=b", ';a="b c"'])).encode()
    chunks = [b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in pieces if each]
    return head + b"".join(chunks) + b"0\r\n" + written(lines_of(draw(FIELD_LINES)))


def lines_of(fields: Fields) -> list[str]:
    return [f"x-{name}: {value}" for name, value in fields]


def written(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def heard(parser: h11.Connection, data: bytes) -> tuple[Any, bytes, list[tuple[bytes, bytes]]]:
    """What h11 makes of a message: its head, its body and its trailer fields."""
    parser.receive_data(data)
    head, content = parser.next_event(), b""
    while isinstance(event := parser.next_event(), h11.Data):
        content += event.data
    assert isinstance(event, h11.EndOfMessage)
    return head, content, [*event.headers]


def seen(message: Message, sent: bytes) -> tuple[list[Any], bytes, list[Any]]:
    """The same, as the parts say it; the names in lower case, as h11 has them."""
    head, trailers = (paired(message, sent, kind) for kind in ("field", "trailer"))
    encoded = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in message.fields]
    assert head == encoded
    return head, body(message, sent), trailers


def paired(message: Message, sent: bytes, kind: str) -> list[tuple[bytes, bytes]]:
    parts = told(message, sent)
    names = [data.lower() for name, data in parts if name == f"{kind}.name"]
    values = [data for name, data in parts if name == f"{kind}.value"]
    return list(zip(names, values, strict=True))


@given(st.data(), TARGET)
def test_h11_reads_a_request_in_the_same_way(data: st.DataObject, target: str) -> None:
    sent = data.draw(exchanges(f"POST {target} HTTP/1.1\r\nHost: x"))
    event, content, trailers = heard(h11.Connection(h11.SERVER), sent)
    (request,) = of(sent).requests
    assert (request.method, request.target) == (event.method.decode(), event.target.decode())
    assert seen(request, sent) == ([*event.headers], content, trailers)
    assert request.end == len(sent)
    path, mark, query = target.partition("?")
    parts = dict(told(request, sent))
    assert (parts["path"], parts.get("query")) == (path.encode(), query.encode() if mark else None)


@given(st.data(), st.integers(200, 599))
def test_h11_reads_a_response_in_the_same_way(data: st.DataObject, status: int) -> None:
    answered = data.draw(exchanges(f"HTTP/1.1 {status} Fine"))
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    parser.send(h11.EndOfMessage())
    event, content, trailers = heard(parser, answered)
    response = of(GET, answered).responses[0]
    assert (response.status, dict(told(response, answered))["phrase"]) == (
        event.status_code,
        event.reason,
    )
    if status not in (204, 304):
        assert seen(response, answered) == ([*event.headers], content, trailers)
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
    return anatomy


def shape(anatomy: Anatomy) -> Iterator[Any]:
    for each in [*anatomy.requests, *anatomy.responses]:
        yield each.exchange, each.start, each.head_end, each.end, each.parts
        yield each.method, each.target, each.status, each.fields
    yield anatomy.is_idle


@given(FLOWS, st.sampled_from([30, MOST_OF_A_HEAD]))
def test_whatever_comes_it_goes_on_and_byte_by_byte_is_the_same(flow: Flow, most: int) -> None:
    with patch.object(taking, "MOST_OF_A_HEAD", most):
        anatomy, again = fed(flow, False), fed(flow, True)
    assert [*shape(anatomy)] == [*shape(again)]
    for each in (anatomy, again):
        each.eof("out")
        each.eof("in")
    assert [*shape(anatomy)] == [*shape(again)]
    sides: list[tuple[Direction, list[Message]]] = [
        ("in", anatomy.requests),
        ("out", anatomy.responses),
    ]
    for direction, messages in sides:
        size = sum(len(data) for own, data in flow if own == direction)
        check_order(messages, size)
        check_ranges(anatomy, direction, messages, size)


def check_order(messages: list[Message], size: int) -> None:
    """Messages and parts follow each other, parts are in their message, a path in its target."""
    end = 0
    for message in messages:
        assert end <= message.start
        end = message.start
        target = (end, end)
        for part in message.parts:
            if part.name in ("path", "query"):
                assert target[0] <= part.start <= part.end <= target[1]
                continue
            assert end <= part.start <= part.end <= size
            end = part.end
            target = (part.start, part.end)
        assert message.end is None or end <= message.end <= size
        end = end if message.end is None else message.end


def check_ranges(
    anatomy: Anatomy, direction: Direction, messages: list[Message], size: int
) -> None:
    """Ranges side by side have all parts that have bytes, and all beginnings but that at 0."""
    cuts = pairwise([*range(0, size, 7), size])
    covered = [part for start, end in cuts for part in anatomy.parts_in(direction, start, end)]
    parts = [part for message in messages for part in message.parts]
    assert sum(p.end - p.start for p in covered) == sum(p.end - p.start for p in parts)
    for message in messages:
        assert anatomy.message_at(direction, message.start) is message
    starts = [message.start for message in messages if message.start > 0]
    assert anatomy.boundaries(direction, 0, size) == starts
