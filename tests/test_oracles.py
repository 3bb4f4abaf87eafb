"""The two small servers beside others: the same raw requests, and what each makes of them.

The table of cases was written beside gunicorn 27, waitress 3.0, uvicorn 0.54, hypercorn 0.18 and
h11 0.16. Where a later one does what its sentence in the table says that it does not, a test
fails, and the sentence is to be taken out.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .oracle_app import JSON, Saw, joined, shown
from .oracle_cases import (
    ABC,
    CASES,
    CHUNKED,
    END,
    GET,
    HOST,
    LARGE,
    POST,
    SMUGGLED,
    UNREAD,
    WHOLE,
    Case,
    Cut,
    get,
    head,
)
from .servers import Server, read_all, serving

OURS = {"microweb wsgi": "wsgi", "microweb asgi": "asgi"}
ORACLES = {
    "gunicorn gthread": "wsgi",
    "gunicorn asgi": "asgi",
    "waitress": "wsgi",
    "uvicorn": "asgi",
    "hypercorn": "asgi",
}
# It would take another parser, were it installed.
OPTIONS = {"uvicorn": ("--http", "h11")}
# These call the application only when all of the body is there, or when as much of it has come
# as came with the head. So of a body that breaks it may hear, or not, by chance.
CALLS_LATE = ("waitress", "gunicorn asgi")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """Each kind of server, over the application of its protocol."""
    folder = tmp_path_factory.mktemp("oracles")
    kinds = OURS | ORACLES
    with ExitStack() as stack, ThreadPoolExecutor(len(kinds)) as pool:

        def start(kind: str) -> Server:
            target = f"tests.oracle_app:{kinds[kind]}"
            return stack.enter_context(serving(kind, target, folder, OPTIONS.get(kind, ())))

        yield dict(zip(kinds, pool.map(start, kinds), strict=True))


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """So that the slowest server makes the others wait, and not each the next."""
    with ThreadPoolExecutor(len(ORACLES)) as pool:
        yield pool


# --- asking -------------------------------------------------------------------------------

# To learn whether a connection is still of use, it is used. There are two, for what takes the
# first one for a part of what was before it.
PROBES = ["/after", "/last"]
PROBE = head(b"GET /after HTTP/1.1", b"Host: a") + head(
    b"GET /last HTTP/1.1", b"Host: a", b"Connection: close"
)


@dataclass(frozen=True)
class Outcome:
    """What came of a request, or of several on one connection."""

    statuses: Sequence[int]
    calls: Sequence[Saw]
    answers: Sequence[Saw]  # of the application, as it has them from its calls
    is_open: bool | None  # None where that was not to be learned

    def spelled(self, looks_at: Sequence[str]) -> str:
        """As the table of cases has it."""
        words = [str(status) for status in self.statuses] or ["-"]
        if self.is_open is not None:
            words.append("open" if self.is_open else "closed")
        calls = [spelled(call, looks_at) for call in self.calls]
        return " ".join(words) + (": " if calls else "") + ", ".join(calls)


def spelled(call: Saw, looks_at: Sequence[str]) -> str:
    """A call of the application, as the table of cases has it."""
    words = [call["method"], call["path"] + ("?" if call["query"] else "") + call["query"]]
    if call["body"]:
        words.append("broken" if call["body"] == "broken" else repr(call["body"]))
    seen = [f"{name}: {call['headers'][name]}" for name in looks_at if name in call["headers"]]
    if seen:
        words.append("{" + "; ".join(seen) + "}")
    return " ".join(words)


def ask(server: Server, case: Case, cut: Cut = None) -> Outcome:
    """Send what the case says, in pieces as `cut` says, and see what comes of it."""
    pieces = [case.raw] if isinstance(case.raw, bytes) else case.raw
    with server.connect() as connection:
        received = b""
        # Whoever refuses the beginning may hang up before the end.
        with suppress(OSError):
            for number, piece in enumerate(pieces, 1):
                if piece is None:
                    received += connection.recv(65536)
                elif number < len(pieces) or case.fin:
                    send(connection, piece, cut)
                else:
                    send(connection, piece + PROBE, cut)
            if case.fin:
                connection.shutdown(socket.SHUT_WR)
        received += read_all(connection)
    statuses, answers = responses(received)
    calls = calls_of(server)
    if case.fin:
        return Outcome(statuses, calls, answers, None)
    is_open = [spelled(call, ()) for call in calls[-2:]] == [f"GET {path}" for path in PROBES]
    if is_open:
        assert statuses[-2:] == [200, 200]
        statuses, calls, answers = statuses[:-2], calls[:-2], answers[:-2]
    return Outcome(statuses, calls, answers, is_open)


def send(connection: socket.socket, data: bytes, cut: Cut) -> None:
    """Send it as a whole, in pieces of `cut` bytes, or in pieces that end with `cut`."""
    if cut is None:
        pieces = [data]
    elif isinstance(cut, int):
        pieces = [data[start : start + cut] for start in range(0, len(data), cut)]
    else:
        pieces = [piece + cut for piece in data.split(cut)]
        pieces[-1] = pieces[-1].removesuffix(cut)
    for piece in pieces:
        connection.sendall(piece)


def calls_of(server: Server) -> list[Saw]:
    """What the application was called with since the last time, told on another connection."""
    with server.connect() as connection:
        connection.sendall(head(b"GET /calls HTTP/1.1", b"Host: a", b"Connection: close"))
        _, [calls] = responses(read_all(connection))
    assert isinstance(calls, list), calls
    return calls


STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})(?: [^\r\n]*)?\r\n")


def responses(raw: bytes) -> tuple[list[int], list[Any]]:
    """The statuses of all responses in `raw`, and what the application has said in them.

    What is no response of HTTP/1 is taken for one with the status 0.
    """
    statuses: list[int] = []
    said: list[Any] = []
    while raw:
        found = STATUS_LINE.match(raw)
        if found is None:
            return [*statuses, 0], said
        statuses.append(int(found[1]))
        top, _, raw = raw.partition(b"\r\n\r\n")
        headers = {}
        for field in top.decode("latin-1").split("\r\n")[1:]:
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        if statuses[-1] < 200 or not raw or STATUS_LINE.match(raw):
            continue  # it has no body, maybe because it is an answer to HEAD
        size = int(headers.get("content-length", len(raw)))
        body, raw = raw[:size], raw[size:]
        if headers.get("content-type") == JSON:
            said.append(json.loads(body))
    return statuses, said


# --- the table of cases -------------------------------------------------------------------


def named(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", [*CASES, *LARGE], ids=named)
@pytest.mark.parametrize("kind", OURS)
def test_ours(servers: dict[str, Server], kind: str, case: Case) -> None:
    for cut in case.cuts:
        outcome = ask(servers[kind], case, cut)
        assert outcome.spelled(case.looks_at) == case.outcome, f"cut: {cut!r}"
        # Each answer went to the request that it is for, and none to HEAD had a body.
        assert outcome.answers == [
            call for call in outcome.calls if call["body"] != "broken" and call["method"] != "HEAD"
        ]


@pytest.mark.parametrize("case", CASES, ids=named)
def test_others(servers: dict[str, Server], pool: ThreadPoolExecutor, case: Case) -> None:
    def compare(kind: str) -> str | None:
        """What the table has to be told, if anything."""
        expected = comparable(case.outcome, kind, case)
        for cut in cuts_for(kind, case):
            found = comparable(ask(servers[kind], case, cut).spelled(case.looks_at), kind, case)
            if found == expected and kind in case.differs:
                return f"{kind} does the same; the table says that it {case.differs[kind]}"
            if found != expected and kind not in case.differs:
                return f"{kind} does otherwise, cut {cut!r}; the table does not say why: {found}"
        return None

    assert not [fault for fault in pool.map(compare, ORACLES) if fault], case.outcome


def cuts_for(kind: str, case: Case) -> Sequence[Cut]:
    """How a server is asked so that it is no matter of chance what it does; [] if not at all."""
    if case.fin and ": " in case.outcome and kind == "gunicorn asgi":
        return []  # it cancels a call when the client closes its side, if it hears of it in time
    if case.fin and "200" in case.outcome and kind == "hypercorn":
        return []  # it waits for another request all the same, for seconds
    if "200 closed" in case.outcome and kind == "hypercorn":
        return [None]  # what it does depends on what has come before the response: AFTER_LAST
    return [cut for cut in case.cuts if cut in (None, 1)]


def comparable(outcome: str, kind: str, case: Case) -> str:
    """An outcome without that in which servers may differ, or do by chance."""
    words, _, calls = outcome.partition(": ")
    if case.fin:
        # What breaks off may be answered with 400, or not (RFC 9112, section 8).
        words = words.removesuffix("400").strip() or "-"
    if kind in CALLS_LATE and calls.endswith(" broken"):
        calls = calls.rpartition(", ")[0]
    return f"{words}: {calls}" if calls else words


def test_the_table_explains_nothing_that_is_not_asked() -> None:
    for case in CASES:
        for kind in case.differs:
            assert cuts_for(kind, case), (case.name, kind)


# --- clients that leave -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("kind", OURS)
def test_a_client_may_leave_at_any_byte(tmp_path: Path, kind: str, how: str) -> None:
    with serving(kind, f"tests.oracle_app:{OURS[kind]}", tmp_path) as server:
        for size in range(len(WHOLE) + 1):
            with server.connect() as connection:
                if how == "reset":  # as the kernel does where a client has not read all
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.sendall(WHOLE[:size])
        with server.connect() as connection:
            connection.sendall(get(b"Connection: close"))
            assert responses(read_all(connection))[0] == [200]
        assert server.stop() == 0  # it waits for all that has begun
        assert "Traceback" not in server.log()


# --- bodies that nobody reads -------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000, 100_000, 1_000_000])
@pytest.mark.parametrize("framing", ["a length", "chunks"])
@pytest.mark.parametrize("kind", OURS)
def test_no_body_is_ever_taken_for_a_request(
    servers: dict[str, Server], kind: str, framing: str, size: int
) -> None:
    """How much of it has come by the end of the response is a matter of chance."""
    body = SMUGGLED * (size // len(SMUGGLED))
    if framing == "chunks":
        raw = head(UNREAD, HOST, CHUNKED) + b"%x\r\n%s\r\n" % (len(body), body) + END
    else:
        raw = head(UNREAD, HOST, b"Content-Length: %d" % len(body)) + body
    outcome = ask(servers[kind], Case(framing, raw, ""))
    assert outcome.statuses == [200]
    assert [spelled(call, []) for call in outcome.calls] == ["POST /unread"]


# --- whatever else may come ---------------------------------------------------------------

FIRST_LINES = [
    *[GET, POST, b"GET /a%20b?c HTTP/1.1", b"HEAD / HTTP/1.1", b"GET / HTTP/1.0"],
    *[b"GET http://b/x HTTP/1.1", b"OPTIONS * HTTP/1.1", b"PUT /caf%C3%A9 HTTP/1.1"],
]
FIELDS = [
    *[b"Connection: close", b"Connection: keep-alive, x", b"Expect: 100-continue", b"X_A: 1"],
    *[b"X-A: 1", b"X-A:\t2 ", b"X-A:", b"x-a: \xe9", b"Cookie: a=1", b"Cookie: b=2"],
]
BODIES = [
    ([], b""),
    ([b"Content-Length: 3"], b"abc"),
    ([b"content-length: %d" % len(SMUGGLED)], SMUGGLED),
    ([CHUNKED], ABC + END),
    (
        [b"transfer-encoding: Chunked"],
        b"0003;a=b\r\nabc\r\n" + ABC + b"0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
    ),
]
BAD_LINES = [
    *[b"Content-Length: 3", b"Content-Length: 13", b"Content-Length: 03", b"Content_Length: 9"],
    *[CHUNKED, b"Transfer-Encoding: gzip", b"Host: b", b"X-A : 1", b" folded", b"\tfolded"],
    *[b"no colon", b": 1", b"X-A: a\x00b", b"X-A: a\rb", b"X-A: a\nb", b"0", b"3", b""],
]
# What a byte may be replaced with, or be followed by.
BYTES = [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b";", b"0", b"3", b"-", b"_", b"x"]
BYTES += [b"\x00", b"\x0b", b"\x1f", b"\x7f", b"\x85", b"\xa0", b"/", b"#", b"%", b"*"]
CHANGES = ["another byte", "more bytes", "a bad line", "a line twice", "a line less", "an end"]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Some requests, most of them good but for something."""
    raw = b""
    for _ in range(draw(st.integers(1, 3))):
        framing, body = draw(st.sampled_from(BODIES))
        fields = draw(st.lists(st.sampled_from(FIELDS), max_size=3))
        raw += head(draw(st.sampled_from(FIRST_LINES)), HOST, *fields, *framing) + body
    for change in draw(st.lists(st.sampled_from(CHANGES), max_size=2)):
        at = draw(st.integers(0, len(raw)))
        start, end = raw.rfind(b"\n", 0, at) + 1, raw.find(b"\n", at) + 1 or len(raw)
        match change:
            case "another byte":
                raw = raw[:at] + draw(st.sampled_from(BYTES)) + raw[at + 1 :]
            case "more bytes":
                raw = raw[:at] + draw(st.sampled_from(BYTES) | st.binary(max_size=3)) + raw[at:]
            case "a bad line":
                raw = raw[:start] + draw(st.sampled_from(BAD_LINES)) + b"\r\n" + raw[start:]
            case "a line twice":
                raw = raw[:end] + raw[start:]
            case "a line less":
                raw = raw[:start] + raw[end:]
            case _:
                raw = raw[:at]
    return raw


@given(raw=requests(), sizes=st.lists(st.integers(1, 60), max_size=5))
@settings(max_examples=300)
def test_whatever_comes(servers: dict[str, Server], raw: bytes, sizes: list[int]) -> None:
    pieces, rest = [], raw
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    cases = [Case("whole", raw, "", fin=True), Case("cut", [*pieces, rest], "", fin=True)]
    told, *others = [both_doors_tell(ask(servers[kind], case)) for case in cases for kind in OURS]
    assert others == [told, told, told]
    statuses, calls = told
    assert set(statuses) <= {200, 400, 413, 414, 431, 501, 505}
    # h11 alone, to which all is given at once, takes the same requests, and maybe more.
    read, is_all = read_by_h11(raw)
    whole = [call for call in calls if call["body"] != "broken"]
    assert whole == read[: len(whole)]
    assert len(whole) == statuses.count(200)
    if set(statuses) <= {200} and is_all:
        assert len(whole) == len(read)


def both_doors_tell(outcome: Outcome) -> tuple[list[int], list[Saw]]:
    """What depends neither on the door nor on the pieces in which a request comes."""
    statuses = [status for status in outcome.statuses if status >= 200]
    calls = [{**call, "headers": comparable_headers(call["headers"])} for call in outcome.calls]
    return statuses, calls


def comparable_headers(headers: dict[str, str]) -> dict[str, str]:
    """Those that both doors can tell of."""
    return {
        name: value
        for name, value in headers.items()
        if "_" not in name and (value or name != "content-type")
    }


def read_by_h11(raw: bytes) -> tuple[list[Saw], bool]:
    """The requests that h11 finds in `raw`, and whether nothing is left but empty lines."""
    found: list[Saw] = []
    while raw := raw.lstrip(b"\r\n"):
        connection = h11.Connection(h11.SERVER, 64 * 1024)
        connection.receive_data(raw)
        connection.receive_data(b"")
        try:
            request = connection.next_event()
            assert isinstance(request, h11.Request)
            body = b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
        except h11.RemoteProtocolError:
            return found, False
        assert isinstance(event, h11.EndOfMessage)
        found.append(saw(request, body))
        connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
        if connection.our_state is not h11.DONE:
            break
        raw = connection.trailing_data[0]
    return found, True


def saw(request: h11.Request, body: bytes) -> Saw:
    """What an application must see of a request."""
    headers = joined(request.headers)
    target = request.target.decode("ascii")
    if url := re.fullmatch(r"[^/?]*://([^/?]*)(/?)(.*)", target):
        headers["host"], target = url[1], f"/{url[3]}"
    path, _, query = target.partition("?")
    return {
        "method": request.method.decode("ascii"),
        "path": unquote(path, errors="replace"),
        "query": query,
        "headers": comparable_headers(headers),
        "body": shown(body),
    }
