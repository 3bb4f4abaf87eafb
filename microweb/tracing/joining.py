"""Joining: what was seen on the wire and what was seen at the seam, put together into exchanges.

A call of the application tells the client's port, which is the tap's own, and so its connection;
the first call on a connection belongs to the first request on it, the second to the second. A
request without a call is one that the server has answered by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .anatomy import Message
from .format import Direction, Event, Protocol, Provenance, Run, Trace
from .provenance import origins_of
from .tap import Connection, Sight
from .values import is_secret, masked, plain_bytes


@dataclass(slots=True, eq=False)
class Exchange:
    """One request, the calls that came of it, and its response."""

    begin: int  # its time
    connection: Connection | None = None
    ordinal: int = 0  # of the request on its connection
    calls: list[Event] = field(default_factory=list)
    number: int = 0

    @property
    def request(self) -> Message | None:
        """The request on the wire."""
        if self.connection is None:
            return None
        return next(
            (each for each in self.connection.anatomy.requests if each.exchange == self.ordinal),
            None,
        )


def joined(
    run: Run, connections: Sequence[Connection], events: Sequence[Event], secrets: bool = False
) -> Trace:
    """The trace of one run; its exchanges are numbered in the order in which they began."""
    exchanges = [each for connection in connections for each in _on_wire(connection)]
    calls, others = _by_exchange(events)
    for own in calls:
        _owner(exchanges, own[0]).calls = own
    exchanges.sort(key=lambda each: each.begin)
    for number, exchange in enumerate(exchanges, 1):
        exchange.number = number
        for event in exchange.calls:
            event.exchange = number
    numbers = {(each.connection, each.ordinal): each.number for each in exchanges}
    wire = [event for each in connections for event in _seen_on(each, numbers, secrets)]
    told = [event for exchange in exchanges for event in exchange.calls]
    return Trace(
        [run],
        sorted([*wire, *told, *others], key=lambda event: event.time),
        [each for exchange in exchanges for each in _provenance(run.protocol, exchange)],
    )


# --- which calls belong to which request ------------------------------------------------------


def _on_wire(connection: Connection) -> Iterator[Exchange]:
    """The exchanges that were seen on a connection."""
    anatomy = connection.anatomy
    begins: dict[int, int] = {}
    for message in [*anatomy.requests, *anatomy.responses]:
        begins.setdefault(message.exchange, _time_of(connection, message))
    for ordinal, begin in begins.items():
        yield Exchange(begin, connection, ordinal)


def _time_of(connection: Connection, message: Message) -> int:
    """When the first byte of a message was seen."""
    return next(
        sight.time
        for sight in connection.sights
        if sight.kind == "bytes"
        and sight.direction == message.direction
        and sight.offset <= message.start < sight.offset + sight.size
    )


def _by_exchange(events: Sequence[Event]) -> tuple[list[list[Event]], list[Event]]:
    """The events of each exchange, in the order in which they began, and those of none."""
    # A recorder numbers what it sees, and each process of a server has one of its own.
    own: dict[tuple[int, int], list[Event]] = {}
    others = []
    for event in sorted(events, key=lambda event: event.time):
        if event.exchange is None or event.where is None:
            others.append(event)
        else:
            own.setdefault((event.where["process"], event.exchange), []).append(event)
    return list(own.values()), others


def _owner(exchanges: list[Exchange], call: Event) -> Exchange:
    """The exchange to which a call of the application belongs."""
    port = _port_of(call)
    fitting = [
        each
        for each in exchanges
        if not each.calls
        and each.begin <= call.time
        and (port is None or (each.connection is not None and each.connection.port == port))
        and _fits(each.request, call)
    ]
    if not fitting:
        exchanges.append(Exchange(call.time))  # it came by another way than through the tap
        return exchanges[-1]
    return min(fitting, key=lambda each: each.begin)


def _port_of(call: Event) -> int | None:
    """The client's port; None where the server does not tell it."""
    environ, scope = call.data.get("environ"), call.data.get("scope")
    if isinstance(environ, dict):
        port = environ.get("REMOTE_PORT")
    else:
        client = scope.get("client") if isinstance(scope, dict) else None
        port = client[1] if isinstance(client, list) and len(client) == 2 else None
    return int(str(port)) if str(port).isdecimal() else None


def _fits(request: Message | None, call: Event) -> bool:
    """Whether a call could have come of a request: a server may have refused some by itself."""
    if request is None or request.head_end is None:
        return False
    native = call.data.get("environ") or call.data.get("scope") or {}
    # A WebSocket's scope has no method, and is a GET on the wire.
    method = native.get("REQUEST_METHOD", native.get("method", "GET"))
    return bool(request.method == method)


# --- what was seen on the wire ----------------------------------------------------------------


def _seen_on(
    connection: Connection, numbers: dict[tuple[Connection | None, int], int], secrets: bool
) -> Iterator[Event]:
    """The events of a connection; bytes that belong to two messages are two events."""
    ordinal = 1  # of the exchange that the connection is at
    for sight in connection.sights:
        if sight.kind != "bytes":
            data: dict[str, Any] = {"connection": connection.number}
            if sight.kind == "connect":
                data["port"] = connection.port
            yield _event(sight, data, numbers.get((connection, ordinal)))
            continue
        end = sight.offset + sight.size
        cuts = connection.anatomy.boundaries(sight.direction, sight.offset, end)
        for start, stop in zip([sight.offset, *cuts], [*cuts, end], strict=True):
            message = connection.anatomy.message_at(sight.direction, start)
            ordinal = message.exchange if message else ordinal
            data = _bytes_of(connection, sight, start, stop, secrets)
            yield _event(sight, data, numbers.get((connection, ordinal)))


def _event(sight: Sight, data: dict[str, Any], exchange: int | None) -> Event:
    return Event(sight.time, "wire", sight.direction, sight.kind, data, 0, exchange)


def _bytes_of(
    connection: Connection, sight: Sight, start: int, stop: int, secrets: bool
) -> dict[str, Any]:
    parts = connection.anatomy.parts_in(sight.direction, start, stop)
    held = sight.held[start - sight.offset : stop - sight.offset]
    hidden = [
        (part.start - start, min(part.end - start, len(held)))
        for part in parts
        if part.of and is_secret(part.of) and part.start - start < len(held)
    ]
    if not secrets:
        held = masked(held, [*hidden, *_unparsed_secrets(connection, sight, start, held)])
    value = plain_bytes(held)
    value["size"] = stop - start
    return {
        "connection": connection.number,
        "offset": start,
        "bytes": value,
        "parts": [[part.name, part.start, part.end] for part in parts],
    }


_FIELD = re.compile(rb"(?m)^([^:\s]{1,100}):([^\n]*)")


def _unparsed_secrets(
    connection: Connection, sight: Sight, start: int, held: bytes
) -> Iterator[tuple[int, int]]:
    """Where secrets stand in a head that is not complete, or that makes no sense."""
    message = connection.anatomy.message_at(sight.direction, start)
    if message is None or message.head_end is None:
        for found in _FIELD.finditer(held):
            if is_secret(found[1]):
                yield found.span(2)


def _provenance(protocol: Protocol, exchange: Exchange) -> Iterator[Provenance]:
    request, connection = exchange.request, exchange.connection
    if not exchange.calls or request is None or connection is None or request.head_end is None:
        return
    head = _held(connection, "in", request.start, request.head_end)
    if len(head) == request.head_end - request.start:
        origins = origins_of(protocol, request, head, exchange.calls)
        yield Provenance(0, exchange.number, connection.number, origins)


def _held(connection: Connection, direction: Direction, start: int, end: int) -> bytes:
    """The bytes from one offset to another, as far as they were kept."""
    held = b""
    for sight in connection.sights:
        if sight.kind == "bytes" and sight.direction == direction and sight.offset < end:
            held += sight.held[max(start - sight.offset, 0) : end - sight.offset]
            if len(sight.held) < min(sight.size, end - sight.offset):
                break  # there is a hole in what was kept
    return held


def together(traces: Sequence[Trace]) -> Trace:
    """Several traces of one run each, as one of several."""
    whole = Trace([])
    for index, trace in enumerate(traces):
        whole.runs += trace.runs
        whole.events += [replace(event, run=index) for event in trace.events]
        whole.provenance += [replace(each, run=index) for each in trace.provenance]
    return whole
