"""What the bytes on the wire say: requests and responses, their bodies, and how both end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..format import Event
from .lines import is_start
from .scene import MILLISECOND, Scene
from .step import Detail, Words
from .values import octets, plain, size, written


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that went over the wire at once, in one event or in several."""

    event: Event  # the first
    held: bytes  # those of them that the trace holds
    size: int
    last: int  # the time of the last event

    @classmethod
    def of(cls, event: Event) -> Piece:
        """The bytes of one event."""
        value = event.data.get("bytes")
        return cls(event, octets(value), size(value), event.time)

    @property
    def is_start(self) -> bool:
        """Whether a request or a response begins with it."""
        return is_start(self.held)

    def with_next(self, other: Piece) -> Piece | None:
        """Both as one, if somebody wrote them at once; else None."""
        mine, its = self.event, other.event
        is_next = (
            (mine.direction, mine.data.get("connection"))
            == (its.direction, its.data.get("connection"))
            and other.last - self.last < MILLISECOND
            and len(self.held) == self.size  # or there would be a hole in it
            and not other.is_start
        )
        if not is_next:
            return None
        return Piece(mine, self.held + other.held, self.size + other.size, other.last)


def piece_words(scene: Scene, piece: Piece) -> Words:
    """What some bytes are."""
    is_in = piece.event.direction == "in"
    if not piece.is_start:
        if scene.is_websocket:
            key, title = "frame in" if is_in else "frame out", _frame(piece.held)
            return Words(key, title, _bytes(piece.held, piece.size))
        key = "request body" if is_in else "response body"
        title = "body" if scene.request else "bytes"
        return Words(key, title, _bytes(piece.held, piece.size), tuple(_end(piece.held)))
    head, _, body = piece.held.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    rest = [*_body(body, piece.size - len(piece.held) + len(body))]
    if is_in:
        return Words("request bytes", first, details=(*_headers(lines), *_names(lines), *rest))
    if first.split(" ")[1:2] == ["100"]:
        return Words("continue", first, details=(Detail(_why(scene, piece.event), "quiet"),))
    if scene.method == "HEAD" and not body:
        rest = [Detail("no body: HEAD asks for none", "quiet")]
    names = _added(scene, lines) if scene.own_headers is not None else _names(lines)
    return Words("response bytes", first, details=(*_headers(lines), *names, *rest))


# The opcodes of RFC 6455, 5.2.
FRAMES = {0: "more", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


def _frame(held: bytes) -> str:
    """The kind of the first frame."""
    return f"{FRAMES.get(held[0] & 15, 'unknown')} frame" if held else "frame"


def _why(scene: Scene, event: Event) -> str:
    """Why the client is told to send its body."""
    for each in scene.events:
        if each is event:
            break
        if each.kind in ("wsgi.input.call", "receive.call"):
            return "for the application wants the body"
    return "before the application has asked"


def _headers(lines: list[str]) -> Iterator[Detail]:
    for line in filter(None, lines):
        yield Detail(line, room="wide")


def _names(lines: list[str]) -> Iterator[Detail]:
    """What the headers are called, where there is no room for more."""
    names = ", ".join(line.partition(":")[0] for line in lines if line)
    yield Detail(names, "quiet", room="narrow")


def _added(scene: Scene, lines: list[str]) -> Iterator[Detail]:
    """The headers that are the server's, and not the application's."""
    own = [name for name, _ in scene.own_headers or []]
    names = (line.partition(":")[0] for line in lines if line)
    if added := [name for name in names if name.lower() not in own]:
        yield Detail(f"the server's own: {', '.join(added)}", "quiet")


def _body(held: bytes, whole: int) -> Iterator[Detail]:
    if whole:
        yield Detail(f"body {_bytes(held, whole)}")
        yield from _end(held)


def _bytes(held: bytes, whole: int) -> str:
    return written({"$bytes": held.decode("latin-1"), "size": whole})


def _end(held: bytes) -> Iterator[Detail]:
    if held == b"0\r\n\r\n" or held.endswith(b"\r\n0\r\n\r\n"):
        yield Detail("its last chunk is empty: the end", "quiet")


# --- connections ------------------------------------------------------------------------------


def connection_words(event: Event) -> Words:
    """How a connection begins and ends."""
    key, title, is_problem = CONNECTION[event.kind, event.direction]
    port = event.data.get("port")
    title = title if port is None else f"{title} from port {plain(port)}"
    return Words(key, title, tone="problem" if is_problem else "quiet")


CONNECTION = {
    ("connect", "in"): ("connect", "connects", False),
    ("eof", "in"): ("eof in", "the client sends no more", False),
    ("eof", "out"): ("eof out", "the server hangs up", False),
    ("reset", "in"): ("reset in", "the client tears the connection", True),
    ("reset", "out"): ("reset out", "the server tears the connection", True),
}
