"""Pairing: from the events of an exchange to its steps, each call with its return."""

from __future__ import annotations

from collections.abc import Iterator

from ..format import Event
from .inside import TOLD, event_words, handler_words, layer_words
from .phrases import base_of
from .scene import Scene
from .seam import CROSSINGS, call_words, return_words
from .step import Band, Step, Stroke, Words
from .values import written
from .wire import CONNECTION, Piece, connection_words, piece_words

# Calls whose return says nothing, but that it is over: the call is the step.
QUIET = ("start_response", "write", "send", "close", "wsgi.errors")
# Calls whose return is the step, where nothing else happened between.
TELLING = ("wsgi.input", "wsgi.file_wrapper", "iter", "next", "receive", "handler")
# Of these, calls that wait for the client, so that what comes over the wire is not nothing.
WAITING = ("wsgi.input", "receive")


def steps_of(scene: Scene) -> list[Step]:
    """All that happened in an exchange, in its order."""
    return list(_Walk(scene).steps())


class _Walk:
    """One walk along the events of an exchange."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.events = scene.events
        self.answers = answers(scene.events)
        self.calls = {answer: call for call, answer in self.answers.items()}
        self.spoken_for: set[int] = set()  # events that an earlier step has told
        self.depth = 0

    def steps(self) -> Iterator[Step]:
        alone = self.scene.first_answer() if self.scene.is_servers_own else None
        for index, event in enumerate(self.events):
            if event is alone:
                yield self.made(event, "server", Words("server alone", ALONE, tone="quiet"))
            if index not in self.spoken_for:
                yield from self.step(index, event)
            if event is self.scene.call and not self.scene.is_seen_inside:
                yield self.made(event, "framework", Words("inside", self.dark(), tone="quiet"))

    def dark(self) -> str:
        if self.scene.is_instrumented:  # a mounted application has answered, maybe
            return "nothing was seen inside"
        return f"{self.scene.framework} is not instrumented: inside is dark"

    def step(self, index: int, event: Event) -> Iterator[Step]:
        """The steps of one event: one, or none where a call's return says nothing."""
        kind, base = event.kind, base_of(event)
        if kind == "bytes":
            yield self.bytes(index)
        elif (kind, event.direction) in CONNECTION:
            yield self.made(event, "wire", connection_words(event))
        elif kind in TOLD:
            yield self.made(event, band_of(event), event_words(self.scene, event))
        elif base == "layer":
            yield self.layer(event)
        elif base == "handler" or base in CROSSINGS:
            yield from self.call_or_answer(index, base)
        else:
            yield self.made(event, band_of(event), Words(kind, kind, written(event.data)))

    def bytes(self, index: int) -> Step:
        """Bytes, and those that followed at once."""
        piece = Piece.of(self.events[index])
        for other in range(index + 1, len(self.events)):
            event = self.events[other]
            longer = piece.with_next(Piece.of(event)) if event.kind == "bytes" else None
            if longer is None:
                break
            piece = longer
            self.spoken_for.add(other)
        return self.made(piece.event, "wire", piece_words(self.scene, piece))

    def layer(self, event: Event) -> Step:
        is_in = event.kind == "layer.call"
        self.depth = max(0, self.depth - (not is_in))
        step = self.made(event, "framework", layer_words(event))
        self.depth += is_in
        return step

    def call_or_answer(self, index: int, base: str) -> Iterator[Step]:
        event = self.events[index]
        if not event.kind.endswith(".call"):
            if base not in QUIET or event.kind.endswith(".raise"):
                yield self.answer(index)
        elif not self.is_one_step(index, base):
            yield self.call(index)

    def is_one_step(self, index: int, base: str) -> bool:
        """Whether a call's return is told for both."""
        answer = self.answers.get(index)
        if base not in TELLING or answer is None:
            return False
        between = self.events[index + 1 : answer]
        if base in WAITING:
            return not between
        return all(event.side == "wire" for event in between)

    def call(self, index: int) -> Step:
        call, answer = self.events[index], self.answer_of(index)
        if base_of(call) == "handler":
            return self.made(call, "framework", handler_words(self.scene, call, None))
        return self.made(call, "seam", call_words(self.scene, call, answer), "call", answer)

    def answer(self, index: int) -> Step:
        answer, call = self.events[index], self.call_of(index)
        if base_of(answer) == "handler":
            is_both = call is not None and self.is_one_step(self.calls[index], "handler")
            words = handler_words(self.scene, call if is_both else None, answer)
            return self.made(answer, "framework", words)
        return self.made(answer, "seam", return_words(self.scene, call, answer), "return", call)

    def answer_of(self, index: int) -> Event | None:
        found = self.answers.get(index)
        return None if found is None else self.events[found]

    def call_of(self, index: int) -> Event | None:
        found = self.calls.get(index)
        return None if found is None else self.events[found]

    def made(
        self,
        event: Event,
        band: Band,
        words: Words,
        stroke: Stroke = "none",
        other: Event | None = None,
    ) -> Step:
        duration = abs(event.time - other.time) if other else 0
        time = event.time - self.scene.began
        return Step(words, band, event.direction, stroke, time, duration, self.depth)


ALONE = "The server keeps this for itself: the application is not called."


def band_of(event: Event) -> Band:
    """The band of an event's side; what this version does not know is put inside."""
    return event.side if event.side in ("wire", "seam") else "framework"


def answers(events: list[Event]) -> dict[int, int]:
    """From the index of each call to that of its return, or of the exception."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    for index, event in enumerate(events):
        if event.kind.endswith(".call"):
            waiting.append(index)
        elif event.kind.endswith((".return", ".raise")):
            call = _call_of(events, waiting, event)
            if call is not None:
                waiting.remove(call)
                found[call] = index
    return found


def _call_of(events: list[Event], waiting: list[int], answer: Event) -> int | None:
    """The latest call that an answer may belong to, of the same task or thread if there is one."""
    base = base_of(answer)
    fitting = [
        index
        for index in reversed(waiting)
        if base_of(events[index]) == base and _who(events[index]) == _who(answer)
    ]
    ours = [index for index in fitting if events[index].where == answer.where]
    return next(iter(ours or fitting), None)


def _who(event: Event) -> tuple[object, ...]:
    """Of several calls that look alike, whose it is."""
    return event.data.get("layer"), event.data.get("handler")
