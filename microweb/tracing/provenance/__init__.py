"""Provenance: which bytes of the wire each value came from, and which the server made up.

Nothing is claimed that was not compared: a value that is not what its bytes stand for is said
to be the server's. Of a secret, whose value is not recorded, only the length is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..anatomy import Message
from ..format import Event, Origin, Protocol
from ..sent import Sent
from .environ import of_environ
from .request import of_params, of_request
from .rules import NOT_SENT, mapping_of, size_of
from .scope import of_scope

__all__ = ["origins_of"]


def origins_of(
    protocol: Protocol, request: Message, head: bytes, events: Sequence[Event]
) -> list[Origin]:
    """Where the values of one exchange came from.

    `head` is what was sent from the request's start to the end of its head; `events` are those
    at the seam and in the framework.
    """
    sent = Sent(request, head)
    found: list[Origin] = []
    native: Mapping[str, Any] = {}
    reads = 0
    for event in events:
        if event.kind == "app.call":
            native = mapping_of(event.data.get("environ" if protocol == "wsgi" else "scope"))
            found += of_environ(sent, native) if protocol == "wsgi" else of_scope(sent, native)
        elif event.kind in ("wsgi.input.return", "receive.return"):
            found += _of_read(sent, event, reads)
            reads += 1
        elif event.kind == "request":
            found += [_unless_made_up(each, native) for each in of_request(sent, event.data)]
        elif event.kind == "match":
            found += of_params(sent, event.data, events)
    return found


def _unless_made_up(origin: Origin, native: Mapping[str, Any]) -> Origin:
    """The scope of a WebSocket tells no method: a framework that has one has it of its own."""
    if (origin.of, origin.key) == ("request", "method") and native.get("type") == "websocket":
        return Origin(origin.of, origin.key, "server", [], NOT_SENT)
    return origin


def _of_read(sent: Sent, event: Event, index: int) -> Iterator[Origin]:
    of = "wsgi.input" if event.kind == "wsgi.input.return" else "receive"
    message = mapping_of(event.data.get("message"))
    body = message.get("body") if message else event.data.get("bytes")
    size, offset = size_of(body), event.data.get("offset")
    if isinstance(offset, int) and (spans := sent.body(offset, size)):
        how = f"in {len(spans)} chunks" if len(spans) > 1 else ""
        yield Origin(of, index, "wire", spans, how)
