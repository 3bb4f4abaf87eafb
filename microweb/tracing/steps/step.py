"""Step and Exchange: what a picture of a trace is made of, whatever draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..format import Direction, Event, Run

if TYPE_CHECKING:
    from .scene import Scene

Band = Literal["wire", "server", "seam", "framework"]
Stroke = Literal["call", "return", "none"]  # of what crosses the seam; nothing else has one
Tone = Literal["plain", "quiet", "problem"]
At = Literal["", "server", "framework"]
Room = Literal["", "narrow", "wide"]


@dataclass(frozen=True, slots=True)
class Detail:
    """A line below a step's title.

    What is plain is data, and may be cut; the other tones are prose. `at` is the side of the
    seam on which it belongs, where the step has two; `room` is the kind of picture it is for,
    where it is not for all.
    """

    text: str
    tone: Tone = "plain"
    at: At = ""
    room: Room = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What is to be said of something that happened, without when and where it did.

    The title stands on the side that calls, and is spelled as the specification spells it;
    the value is what crosses the seam, and stands on the side that it reaches or comes from.
    """

    key: str
    title: str
    value: str = ""
    details: tuple[Detail, ...] = ()
    tone: Tone = "plain"


# What a protocol's call says, or its return: the event, and the one that belongs to it, if any.
Teller = Callable[["Scene", Event, Event | None], Words]


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the picture: a call with its return, where nothing happened between.

    `key` says what happened in words of neither protocol: steps of equal keys stand side by
    side. `time` and `duration` are nanoseconds, the first since the exchange began.
    """

    words: Words
    band: Band
    direction: Direction
    stroke: Stroke = "none"
    time: int = 0
    duration: int = 0
    depth: int = 0  # how many layers of the framework are around it

    @property
    def key(self) -> str:
        """What happened, in words of neither protocol."""
        return self.words.key


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and all that was seen of it, told in steps."""

    run: Run
    number: int
    request: str  # "GET /hello/ada"
    steps: list[Step] = field(default_factory=list)
    answer: str = ""  # "200 OK"
    calls: int = 0  # over the seam, in both directions
    summary: str = ""
