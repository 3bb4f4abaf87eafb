"""Scene: the facts of one exchange that the words for its events need, gathered beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ..format import Event, Run
from .lines import request_of
from .values import octets, plain, size

MILLISECOND = 1_000_000
STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
WEBSOCKET_ENDS = ("websocket.disconnect", "websocket.close")


class Scene:
    """One exchange as a whole."""

    def __init__(
        self, run: Run, events: list[Event], is_instrumented: bool, hows: Mapping[str, str]
    ) -> None:
        self.run = run
        self.events = events
        self.is_instrumented = is_instrumented  # the run, if not this exchange
        self.hows = hows  # how the values of environ or scope came from the bytes of the wire
        self.began = events[0].time if events else 0
        # A client may stay for long, when all is said.
        ends = [event.time for event in events if event.kind not in ("eof", "reset")]
        self.took = ends[-1] - self.began if ends else 0
        self.call = self.first("app.call")
        pieces = (octets(each.data.get("bytes")) for each in events if each.kind == "bytes")
        self.request = next(filter(None, map(request_of, pieces)), "")
        self.framework = framework_of(run, events)
        self.is_seen_inside = any(event.side == "framework" for event in events)

    def first(self, *kinds: str) -> Event | None:
        """The first event of one of these kinds."""
        return next((event for event in self.events if event.kind in kinds), None)

    @property
    def is_servers_own(self) -> bool:
        """Whether the application was left out of it."""
        return not any(event.side == "seam" for event in self.events)

    @property
    def is_wsgi(self) -> bool:
        """Which of the two protocols this is."""
        return self.run.protocol == "wsgi"

    @property
    def environ(self) -> Mapping[str, Any]:
        """The environ, or the scope, with which the application was called."""
        return mapping(self.call and (self.call.data.get("environ") or self.call.data.get("scope")))

    @property
    def method(self) -> str:
        """The request's method, as the application was told it."""
        return plain(self.environ.get("REQUEST_METHOD") or self.environ.get("method"))

    @property
    def is_websocket(self) -> bool:
        """Whether the application was called for a conversation."""
        return self.environ.get("type") == "websocket"

    def crossings(self) -> list[Event]:
        """The calls over the seam."""
        return [each for each in self.events if each.side == "seam" and each.kind[-5:] == ".call"]

    def first_answer(self) -> Event | None:
        """The first bytes that left."""
        return next(
            (each for each in self.events if (each.kind, each.direction) == ("bytes", "out")), None
        )

    @cached_property
    def failure(self) -> Event | None:
        """The exception that crossed the seam to the server, if one did."""
        for event in self.events:
            if event.kind == "app.raise" or (
                event.kind == "next.raise" and plain(event.data.get("type")) != "StopIteration"
            ):
                return event
        return None

    @cached_property
    def departure(self) -> Event | None:
        """The event by which the client was seen to leave before it had all of its answer."""
        is_over = False
        for index, event in enumerate(self.events):
            message = mapping(event.data.get("message"))
            kind = message.get("type")
            if (event.kind, event.direction) == ("reset", "in") and not is_over:
                return event
            if kind == "http.disconnect" and not is_over:
                return event
            if event.kind == "close.call" and self._is_unasked(index):
                return event
            is_over = is_over or self._is_last(event)
        return None

    def _is_last(self, event: Event) -> bool:
        """Whether with this event the answer is complete."""
        message = mapping(event.data.get("message"))
        if message.get("type") == "http.response.body":
            return not message.get("more_body")
        if self.is_servers_own:
            return (event.kind, event.direction) == ("bytes", "out")
        return event.kind == "next.raise" or message.get("type") in WEBSOCKET_ENDS

    def is_sent_by(self, event: Event) -> bool:
        """Whether after this event a response has begun, and can be replaced by no other."""
        if event.kind in ("bytes", "write.call", "next.return"):
            return event.direction == "out" and size(event.data.get("bytes")) > 0
        return mapping(event.data.get("message")).get("type") in STARTS

    def _is_unasked(self, close: int) -> bool:
        """Whether chunks were still to come when the server closed the iterable.

        A server that never asked for one had no use for any: it answers a HEAD. And one that
        has got as much as was announced need not ask for the end.
        """
        asked = [each for each in self.events[:close] if each.kind.startswith("next.")]
        if not asked or asked[-1].kind == "next.raise" or self.method == "HEAD":
            return False
        announced = dict(self.own_headers or []).get("content-length", "")
        taken = sum(size(each.data.get("bytes")) for each in asked)
        return not announced.isdecimal() or taken < int(announced)

    @cached_property
    def own_headers(self) -> list[tuple[str, str]] | None:
        """The headers that the application sent at last, by lower-case name; None if it did not."""
        for event in reversed(self.events):
            message = mapping(event.data.get("message"))
            if event.kind == "start_response.call":
                message = event.data
            elif event.kind != "send.call" or message.get("type") not in STARTS:
                continue
            return [(name.lower(), value) for name, value in pairs(message.get("headers"))]
        return None

    def is_worth_saying(self, duration: int) -> bool:
        """Whether a call took so long that a reader should know."""
        return duration >= 2 * MILLISECOND and duration * 10 >= self.took


def mapping(value: Any) -> Mapping[str, Any]:
    """A value that should be a mapping, or an empty one: a trace may come from anywhere."""
    return value if isinstance(value, Mapping) else {}


def pairs(headers: Any) -> list[tuple[str, str]]:
    """Headers as text, whichever protocol's; what is no header is left out."""
    found = headers if isinstance(headers, list) else []
    return [
        (_text(each[0]), _text(each[1]))
        for each in found
        if isinstance(each, list) and len(each) == 2
    ]


def _text(value: Any) -> str:
    return octets(value).decode("latin-1") if "$bytes" in mapping(value) else plain(value)


# --- who takes part ---------------------------------------------------------------------------

# As their makers spell them; another one is spelled as its package.
FRAMEWORKS = {
    "flask": "Flask",
    "fastapi": "FastAPI",
    "starlette": "Starlette",
    "django": "Django",
    "falcon": "Falcon",
    "bottle": "Bottle",
    "litestar": "Litestar",
    "microweb": "microweb",
}


def framework_of(run: Run, events: list[Event]) -> str:
    """The name of what was called, as far as a trace tells it."""
    for package, name in FRAMEWORKS.items():
        if package in run.software and not run.server.startswith(package):
            return name
    for event in events:
        if event.side == "seam" and event.direction == "out" and event.source:
            package = str(event.source.get("module", "")).partition(".")[0]
            if package:
                return FRAMEWORKS.get(package, package)
    return "the application"
