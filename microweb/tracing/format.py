"""The trace format, version 1: lines of JSON, each an object with a `record`.

The first line is the header. It says what was recorded:

    {"record": "header", "format": "microweb-trace", "version": 1, "runs": [RUN, ...]}

    RUN: protocol  "wsgi" or "asgi"
         server    its name and version: "gunicorn 27.0.1"
         target    the application, as module:attribute
         command   how the server was started
         software  {"python": "3.13.1", "flask": "3.1.0", ...}: who else takes part

An event is one thing that was seen, in the order in which it was:

    {"record": "event", "run": 0, "exchange": 1, "time": 81273998123, "side": "seam",
     "direction": "out", "kind": "start_response.call", "data": {...}, "where": {...},
     "source": {...}}

    run        the index of its RUN in the header
    exchange   the number of the request in its run, from 1; null where it belongs to none
    time       nanoseconds of the machine's monotonic clock: only differences mean something
    side       where it was seen: "wire", "seam" or "framework"
    direction  "in" towards the handler, "out" towards the client
    kind       what it was, see KINDS; .call, .return and .raise belong together
    data       what was passed, see KINDS
    where      who ran: {"process": 4711, "thread": "MainThread", "task": "Task-3" or null};
               null on the wire
    source     the line that made the call, or, in the framework, whose call it was:
               {"module": "flask.app", "file": "/.../flask/app.py", "line": 1536,
                "function": "wsgi_app", "text": "response = self.full_dispatch_request()"};
               text is null where the file could not be read, source where it is not known

And provenance says, for one exchange, which bytes of the wire its values came from:

    {"record": "provenance", "run": 0, "exchange": 1, "connection": 1, "origins": [ORIGIN, ...]}

    ORIGIN: of     what the value is found in: "environ", "scope", "headers" (of the scope),
                   "wsgi.input", "receive", "request" (the framework's)
            key    its key there: "PATH_INFO"; the number of a header, a read or a message;
                   "path_params.name"
            from   "wire": from the bytes in `spans`; "socket": from the connection, not from
                   what was sent on it; "server": the server made it up, or was configured
            spans  [[start, end], ...] offsets in all that the client sent on the connection
            how    what was done to them, for a reader; empty where they were left alone

Values are JSON's own where they can be. What JSON has no word for is an object with a `$`:

    {"$bytes": "GET /caf", "size": 8}   bytes, each as the character of its number (Latin-1)
    {"$text": "abc", "length": 9000}    a str, cut at a bound, as "$bytes" above may be; or one
                                        with what UTF-8 cannot carry, spelled as in "\\udce9"
    {"$type": "io.BufferedReader"}      anything else: its type, and nothing more
    ... "masked": true                  a secret: each character or byte of it became a *
    {"$more": 12}                       so many of a list or mapping were left out: the rest of
                                        a long one; of an environ, what the server's own process
                                        has in its environment
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TextIO

VERSION = 1

Protocol = Literal["wsgi", "asgi"]
Side = Literal["wire", "seam", "framework"]
Direction = Literal["in", "out"]

# Every kind of event: the side on which it is seen, its direction, and what is in its data.
# A call of the server's goes in and comes back out, one of the application's the other way.
KINDS: dict[str, tuple[Side, str, str]] = {
    # on the wire; `connection` is the number of the connection in its run
    "connect": ("wire", "in", "connection, port: the client's, as the server sees it"),
    "bytes": ("wire", "in or out", "connection, offset, bytes, parts: see anatomy.Part"),
    "eof": ("wire", "in or out", "connection: nothing more will be sent in this direction"),
    "reset": ("wire", "in or out", "connection: torn by the one who sends in this direction"),
    # at the seam of either protocol
    "load": ("seam", "in", "target: it was imported in this process, and can be called"),
    "app.call": ("seam", "in", "environ, or scope"),
    "app.return": (
        "seam",
        "out",
        "WSGI: type of the iterable, length: of a list or tuple, file_wrapper: whether it is the"
        " server's own, so that what is done with it crosses no seam",
    ),
    "app.raise": ("seam", "out", "type, message"),
    # at the seam of WSGI (PEP 3333)
    "start_response.call": ("seam", "out", "status, headers, exc_info: its type, or null"),
    "start_response.return": ("seam", "in", ""),
    "start_response.raise": ("seam", "in", "type, message"),
    "write.call": ("seam", "out", "bytes"),
    "write.return": ("seam", "in", ""),
    "write.raise": ("seam", "in", "type, message"),
    "wsgi.input.call": ("seam", "out", "method: read, readline, ...; arguments"),
    "wsgi.input.return": ("seam", "in", "method, bytes, offset: of them in the body"),
    "wsgi.input.raise": ("seam", "in", "method, type, message"),
    "wsgi.errors.call": ("seam", "out", "method, arguments"),
    "wsgi.file_wrapper.call": ("seam", "out", "arguments"),
    "wsgi.file_wrapper.return": ("seam", "in", "type"),
    "wsgi.file_wrapper.raise": ("seam", "in", "type, message"),
    "iter.call": ("seam", "in", ""),
    "iter.return": ("seam", "out", "type"),
    "iter.raise": ("seam", "out", "type, message"),
    "next.call": ("seam", "in", ""),
    "next.return": ("seam", "out", "bytes"),
    "next.raise": ("seam", "out", "type: StopIteration at the end; message"),
    "close.call": ("seam", "in", ""),
    "close.return": ("seam", "out", ""),
    "close.raise": ("seam", "out", "type, message"),
    # at the seam of ASGI (ASGI 3.0)
    "receive.call": ("seam", "out", ""),
    "receive.return": ("seam", "in", "message; offset: of its body in the whole body"),
    "receive.raise": ("seam", "in", "type, message"),
    "send.call": ("seam", "out", "message"),
    "send.return": ("seam", "in", ""),
    "send.raise": ("seam", "in", "type, message"),
    # in a framework that lets itself be observed
    "request": ("framework", "in", "the attributes of the Request, by name"),
    "layer.call": ("framework", "in", "layer"),
    "layer.return": ("framework", "out", "layer, status"),
    "layer.raise": (
        "framework",
        "out",
        "layer, type, message, status: of the answer made of it at the layer's edge, or null",
    ),
    "match": (
        "framework",
        "in",
        "route: null where none matches; then allow, redirect; else name, path_params, spans: of"
        " each parameter in the decoded path, in characters",
    ),
    "body": ("framework", "in", "bytes: null for a multipart form; form: its fields then"),
    "handler.call": ("framework", "in", "handler, is_async, arguments"),
    "handler.return": ("framework", "out", "handler, type; value, where it is one of JSON's"),
    "handler.raise": ("framework", "out", "handler, type, message"),
    "response": ("framework", "out", "status, headers, bytes: null where it is a stream"),
    # at each of your own functions, where `microweb layers` has asked for it
    "stack": (
        "seam",
        "in",
        "frames: the outermost first, each with module, file, line, function, package, version;"
        " seam: how many of them are the server's; on_the_way: the packages that were called"
        " before, and have returned",
    ),
    # of the recorder itself
    "cut": ("seam", "out", "why: from here on nothing more of this exchange was recorded"),
}


@dataclass(slots=True)
class Run:
    """One server with one application, recorded."""

    protocol: Protocol
    server: str
    target: str
    command: str = ""
    software: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Event:
    """One thing that was seen."""

    time: int
    side: Side
    direction: Direction
    kind: str
    data: dict[str, Any]
    run: int = 0
    exchange: int | None = None
    where: dict[str, Any] | None = None
    source: dict[str, Any] | None = None


@dataclass(slots=True)
class Origin:
    """Where one value came from."""

    of: str
    key: str | int
    source: Literal["wire", "socket", "server"]  # "from", in the file
    spans: list[tuple[int, int]] = field(default_factory=list)
    how: str = ""


@dataclass(slots=True)
class Provenance:
    """Where the values of one exchange came from."""

    run: int
    exchange: int
    connection: int
    origins: list[Origin]


@dataclass(slots=True)
class Trace:
    """A recording: of one server and application, or of two to be compared."""

    runs: list[Run]
    events: list[Event] = field(default_factory=list)
    provenance: list[Provenance] = field(default_factory=list)


class FormatError(ValueError):
    """What was read is no trace; the message says which line, and what is wrong with it."""


def dump(trace: Trace, file: TextIO) -> None:
    """Write a trace, a line of JSON for each of its records."""
    for record in records(trace):
        file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def records(trace: Trace) -> Iterator[dict[str, Any]]:
    """The records of a trace, each an object of JSON."""
    yield {
        "record": "header",
        "format": "microweb-trace",
        "version": VERSION,
        "runs": [asdict(run) for run in trace.runs],
    }
    yield from map(event_record, trace.events)
    for provenance in trace.provenance:
        origins = [_spelled(origin) for origin in provenance.origins]
        yield {"record": "provenance", **asdict(provenance), "origins": origins}


_EVENT = ("run", "exchange", "time", "side", "direction", "kind", "data", "where", "source")


def event_record(event: Event) -> dict[str, Any]:
    """An event as its line says it."""
    return {"record": "event", **{name: getattr(event, name) for name in _EVENT}}


def _spelled(origin: Origin) -> dict[str, Any]:
    fields = asdict(origin)
    fields["from"] = fields.pop("source")
    return fields


def load(lines: Iterable[str]) -> Trace:
    """Read a trace. Raises FormatError; records and fields that are not known are skipped."""
    trace: Trace | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if trace is None:
                trace = Trace(_runs(record))
            elif record["record"] == "event":
                trace.events.append(Event(**{name: record[name] for name in _EVENT}))
            elif record["record"] == "provenance":
                trace.provenance.append(_provenance(record))
        except FormatError as error:
            raise FormatError(f"line {number}: {error}") from None
        except KeyError as error:
            raise FormatError(f"line {number}: it has no {error}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise FormatError(f"line {number} is no record of a trace: {error}") from None
    if trace is None:
        raise FormatError("it is empty; a trace begins with a header")
    return trace


def _runs(header: Any) -> list[Run]:
    if not isinstance(header, dict) or header.get("format") != "microweb-trace":
        raise FormatError('a trace begins with a header: {"format": "microweb-trace", ...}')
    if header.get("version") != VERSION:
        raise FormatError(
            f"it is of version {header.get('version')!r}, and only {VERSION} is known here:"
            " read it with a newer microweb"
        )
    names = Run.__dataclass_fields__
    return [Run(**{name: run[name] for name in names if name in run}) for run in header["runs"]]


def _provenance(record: dict[str, Any]) -> Provenance:
    origins = [
        Origin(
            each["of"],
            each["key"],
            each["from"],
            [(start, end) for start, end in each["spans"]],
            each["how"],
        )
        for each in record["origins"]
    ]
    return Provenance(record["run"], record["exchange"], record["connection"], origins)
