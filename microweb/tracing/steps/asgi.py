"""What each call over the seam of ASGI says, spelled as ASGI 3.0 spells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..format import Event
from .phrases import chosen, header_details, rest, source_detail, waited, where
from .scene import Scene, mapping, pairs
from .step import Detail, Teller, Words
from .values import plain, size, written


def _app(scene: Scene, call: Event, _answer: Event | None) -> Words:
    place = Detail(where(call), "quiet", "framework")
    scope = (*chosen(scene, SCOPE, {}), *rest(scene.environ, SCOPE))
    details = (*scope, place, *source_detail(call, "server"))
    return Words("call application", "await app(scope, receive, send)", details=details)


# What a reader wants to see of a scope; with a question mark, where it says something.
SCOPE = ("type", "method?", "root_path?", "path", "query_string?", "subprotocols?")


def _app_returned(_scene: Scene, _answer: Event, _call: Event | None) -> Words:
    return Words("application done", "await app(...)", "returns")


def _receive_called(scene: Scene, call: Event, _answer: Event | None) -> Words:
    key = "ask for message" if scene.is_websocket else "ask for body"
    return Words(key, "receive()", details=source_detail(call, "framework"))


def _received(scene: Scene, answer: Event, call: Event | None) -> Words:
    message = mapping(answer.data.get("message"))
    kind = plain(message.get("type")) or "?"
    key, payload = RECEIVED.get(kind, (kind, ()))
    details = [*waited(scene, call, answer, "suspended its task")]
    if message.get("more_body"):
        details.append(Detail("more_body", "quiet", "server"))
    if kind == "http.disconnect" and scene.departure is answer:
        details.append(Detail("the client has left", "problem", "framework"))
    details += source_detail(answer, "framework")
    value = ", ".join(_payload(message, payload))
    return Words(key, "receive()", f"{kind} {value}".rstrip(), tuple(details))


# type of the message -> its key, and what it carries
RECEIVED = {
    "http.request": ("read body", ("body",)),
    "http.disconnect": ("client left", ()),
    "websocket.connect": ("handshake", ()),
    "websocket.receive": ("message in", ("text", "bytes")),
    "websocket.disconnect": ("client left", ("code", "reason")),
    "lifespan.startup": ("startup", ()),
    "lifespan.shutdown": ("shutdown", ()),
}
SENT = {
    "http.response.start": ("start response", ("status",)),
    "http.response.body": ("body chunk", ("body",)),
    "websocket.accept": ("start response", ("subprotocol",)),
    "websocket.send": ("message out", ("text", "bytes")),
    "websocket.close": ("end of conversation", ("code", "reason")),
    "websocket.http.response.start": ("start response", ("status",)),
    "websocket.http.response.body": ("body chunk", ("body",)),
    "lifespan.startup.complete": ("started", ()),
    "lifespan.startup.failed": ("started", ("message",)),
    "lifespan.shutdown.complete": ("stopped", ()),
    "lifespan.shutdown.failed": ("stopped", ("message",)),
}


def _payload(message: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """What a message carries, of what it may carry."""
    for name in names:
        value = message.get(name)
        if value is not None and value != "":
            yield written(value)


def _send(scene: Scene, call: Event, answer: Event | None) -> Words:
    message = mapping(call.data.get("message"))
    kind = plain(message.get("type")) or "?"
    key, names = SENT.get(kind, (kind, ()))
    payload = [*_payload(message, names)]
    if key == "body chunk" and not size(message.get("body")) and not message.get("more_body"):
        key = "end of body"
    headers = pairs(message.get("headers"))
    if message.get("more_body"):
        payload.append("more_body")
    details = (
        *header_details(headers),
        *(waited(scene, call, answer, "suspended its task") if answer else ()),
        *source_detail(call, "framework"),
    )
    return Words(key, f"send({kind})", ", ".join(payload), details)


CALLED: Mapping[str, Teller] = {"app": _app, "receive": _receive_called, "send": _send}
RETURNED: Mapping[str, Teller] = {"app": _app_returned, "receive": _received}
