"""Server-sent events: texts that a browser's EventSource reads as they come (WHATWG HTML, 9.2).

The values and their encoding; what sends pings while there is none is `gateways/pings.py`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .response import Chunks, HeaderSource, StreamingResponse, describe, encode_json

# The ends of a line are these three alone (9.2.5); str.splitlines knows eight more.
_END_OF_LINE = re.compile(r"\r\n|\r|\n")
_UNFIT = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, init=False)
class ServerSentEvent:
    """One event: `ServerSentEvent("3 new", event="mail", id="17")`.

    `data` is text of any number of lines, or a dict or list, which becomes JSON. `event` is
    the type that the page listens for ("message" without one). `id` comes back as
    `request.last_event_id` when the client connects again. `retry` is how many milliseconds
    it waits before that. `comment` is text that it ignores.

    Raises ValueError for CR, LF or NUL in `event` or `id`, where they would begin another
    field or void this one, for an `event` without data, which no client dispatches (9.2.6),
    and for a `retry` that is no int or negative; TypeError for other text that is no str.
    """

    data: str | None
    event: str | None
    id: str | None
    retry: int | None
    comment: str | None

    def __init__(
        self,
        data: str | dict[str, Any] | list[Any] | None = None,
        *,
        event: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's own name
        retry: int | None = None,
        comment: str | None = None,
    ) -> None:
        if isinstance(data, (dict, list)):
            data = encode_json(data).decode()
        _check_text("data", data, "a str, or a dict or list, which become JSON")
        _check_text("comment", comment, "a str")
        _check_field("event", event)
        _check_field("id", id)
        if retry is not None and (type(retry) is not int or retry < 0):
            raise ValueError(f"ServerSentEvent(retry={retry!r:.200}): an int, 0 or more, or None")
        if event is not None and data is None:
            raise ValueError(
                f"ServerSentEvent(event={event!r:.200}) without data is never dispatched"
                ' (WHATWG HTML, 9.2.6); give it data=""'
            )
        # Frozen is for everybody else: the fields are set once, here.
        vars(self).update(data=data, event=event, id=id, retry=retry, comment=comment)

    def encode(self) -> bytes:
        """The event as it is sent: a line for each field and line of text, and an empty one."""
        lines = [f": {line}" for line in _lines_of(self.comment)]
        lines += [
            f"{name}: {value}"
            for name, value in (("event", self.event), ("id", self.id), ("retry", self.retry))
            if value is not None
        ]
        lines += [f"data: {line}" for line in _lines_of(self.data)]
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


Events = Iterable[ServerSentEvent | str | None] | AsyncIterable[ServerSentEvent | str | None]


class EventSourceResponse(StreamingResponse):
    """A stream of events: each is sent as `iterator`, plain or async, yields it.

    A str is an event of that data, and None is no event: nothing is sent. First of all goes a
    comment, so that the browser knows at once that it is connected, and `retry` with it: the
    milliseconds until it connects again when the stream has ended or was cut. Then
    `request.last_event_id` says where to go on.

    `ping` is in seconds. Whenever the iterator has been silent for so long, a comment is sent:
    it keeps proxies from cutting the connection, and shows that a client has left. None sends
    none; nor does a stream whose `iterator` a layer has put into another.

    An async iterator waits as it likes, and is cancelled when its client has left. A plain one
    that is pinged runs in worker threads, each step perhaps in another, and a thread cannot be
    interrupted: it should wait in bounded steps, such as `queue.get(timeout=5)`, and yield None
    after each, since that is when it can be closed. While it waits it holds its thread, under
    ASGI one of `App(threads)`; a warning is logged where it goes on for 10 seconds after its
    client has left.

    The status is always 200: at any other an EventSource gives up (9.2.2). Raises TypeError
    for what is no such iterator, ValueError for a ping that is not above zero, and what
    `ServerSentEvent` and `Headers` raise.
    """

    # It is always UTF-8 (9.2.5), so a charset would say nothing.
    _content_type = "text/event-stream"

    def __init__(
        self,
        iterator: Events,
        headers: HeaderSource | None = None,
        *,
        ping: float | None = 15.0,
        retry: int | None = None,
        background: Callable[[], Any] | None = None,
    ) -> None:
        if ping is not None and not ping > 0:
            raise ValueError(f"EventSourceResponse(ping={ping!r}): seconds above 0, or None")
        opening = ServerSentEvent(comment="open", retry=retry).encode()
        super().__init__(_event_stream(iterator, opening, ping), 200, headers, None, background)
        for name, value in _HEADERS.items():
            self.headers.setdefault(name, value)


_HEADERS = {
    "cache-control": "no-store",
    # nginx, and others that follow it, would hold events back until a buffer is full.
    "x-accel-buffering": "no",
}


class EventStream:
    """The chunks that events become. Whoever iterates it has to close it as well.

    `ping_seconds` is what the gateway reads. It stands here and not on the response, so that
    no ping ever breaks into a stream that a layer has encoded otherwise.
    """

    def __init__(self, source: Any, opening: bytes, ping: float | None) -> None:
        self.ping_seconds = ping
        self._source = source
        self._opening = opening

    def _encoded(self, item: Any) -> bytes:
        if isinstance(item, ServerSentEvent):
            return item.encode()
        if isinstance(item, str):
            return ServerSentEvent(item).encode()
        if item is None:
            return b""
        raise TypeError(
            f"{describe(self._source)} yielded {item!r:.200}; an event is a ServerSentEvent, a"
            " str, or None for nothing yet"
        )

    def __repr__(self) -> str:
        return f"<event stream of {describe(self._source)}>"


class PlainEventStream(EventStream, Iterable[bytes]):
    """The stream of a plain iterator."""

    def __iter__(self) -> Iterator[bytes]:
        yield self._opening
        events = iter(self._source)
        try:
            for event in events:
                yield self._encoded(event)
        finally:
            if events is not self._source and hasattr(events, "close"):
                events.close()

    def close(self) -> None:
        """Close what the events come from, whether it was started or not."""
        if hasattr(self._source, "close"):
            self._source.close()


class AsyncEventStream(EventStream, AsyncIterable[bytes]):
    """The stream of an async iterator."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._opening
        events = aiter(self._source)
        try:
            async for event in events:
                yield self._encoded(event)
        finally:
            if events is not self._source and hasattr(events, "aclose"):
                await events.aclose()

    async def aclose(self) -> None:
        """Close what the events come from, whether it was started or not."""
        if hasattr(self._source, "aclose"):
            await self._source.aclose()


def _event_stream(source: Any, opening: bytes, ping: float | None) -> Chunks:
    if isinstance(source, AsyncIterable):
        return AsyncEventStream(source, opening, ping)
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes, Mapping)):
        return PlainEventStream(source, opening, ping)
    raise TypeError(
        "EventSourceResponse takes an iterator of ServerSentEvent or str, not"
        f" {source!r:.200}{'; call it' if callable(source) else ''}"
    )


def _lines_of(text: str | None) -> list[str]:
    return [] if text is None else _END_OF_LINE.split(text)


def _check_text(name: str, text: Any, mend: str) -> None:
    if not isinstance(text, str | None):
        raise TypeError(f"ServerSentEvent({name}={text!r:.200}): {mend}")


def _check_field(name: str, text: Any) -> None:
    _check_text(name, text, f"a str; write {name}=str(...)")
    if text is not None and _UNFIT.search(text):
        raise ValueError(f"ServerSentEvent({name}={text!r:.200}): no CR, LF or NUL in it")
