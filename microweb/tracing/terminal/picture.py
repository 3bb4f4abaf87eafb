"""Picture: a whole trace in lines, its runs below each other or, if there are two, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest

from rich.text import Text

from ..format import Trace
from ..steps import Exchange, align, aside, compared, exchanges
from .bands import NARROWEST, Bands
from .gutter import Gutter
from .layout import Layout, padded
from .strokes import Pen, styled

GAP = "  "  # between two runs


def layout_for(width: int, pen: Pen) -> Layout:
    """The better layout for a width."""
    return Bands(width, pen) if width >= NARROWEST else Gutter(width, pen)


class Page:
    """A trace in one width."""

    def __init__(self, trace: Trace, width: int, pen: Pen) -> None:
        self.trace = trace
        self.width = width
        self.pen = pen
        self.half = (width - len(GAP)) // 2

    def lines(self) -> Iterator[Text]:
        """All of it; no line is wider than the width."""
        if len(self.trace.runs) == 2:
            yield from self._both()
            yield from self._legend()
            return
        for run in range(len(self.trace.runs)):
            yield from self._run(run)
        yield from self._legend()

    def _prose(self, text: str, style: str = "server", width: int = 0) -> Iterator[Text]:
        for line in self.pen.wrapped(self.pen.safe(text), width or self.width, 8):
            yield styled(line, style)

    def _who(self, run: int, width: int) -> Iterator[Text]:
        """What was recorded, and what went on beside the requests."""
        described = self.trace.runs[run]
        yield from self._prose(
            f"{described.protocol.upper()}: {described.server}", "heading", width
        )
        yield from self._prose(described.target, "quiet", width)
        if text := aside(self.trace, run):
            yield from self._prose(text, "quiet", width)

    def _request(self, request: str, index: int, number: int) -> Iterator[Text]:
        which = f"Request {index} of {number}: " if number > 1 else ""
        yield Text()
        yield styled(self.pen.cut(self.pen.safe(which + request), self.width), "heading")

    def _legend(self) -> Iterator[Text]:
        call, back, head = self.pen.strokes.call, self.pen.strokes.back, self.pen.strokes.right
        yield Text()
        yield from self._prose(
            f"{call}{head} call, {back}{head} return;"
            " the thick line is the seam between server and application",
            "quiet",
        )

    # --- one run --------------------------------------------------------------------------------

    def _run(self, run: int) -> Iterator[Text]:
        yield from self._who(run, self.width)
        told = exchanges(self.trace, run)
        if not told:
            yield from self._prose("No request was seen.")
        for index, exchange in enumerate(told, 1):
            yield from self._request(exchange.request, index, len(told))
            layout = layout_for(self.width, self.pen)
            yield layout.head()
            for step in exchange.steps:
                yield from layout.step(step)
            yield Text()
            yield from self._prose(exchange.summary)

    # --- two runs -------------------------------------------------------------------------------

    def _both(self) -> Iterator[Text]:
        yield from self._beside(self._who(0, self.half), self._who(1, self.half), Text())
        left, right = exchanges(self.trace, 0), exchanges(self.trace, 1)
        number = max(len(left), len(right))
        if not number:
            yield from self._prose("No request was seen.")
        for index, (one, other) in enumerate(zip_longest(left, right), 1):
            requests = dict.fromkeys(each.request for each in (one, other) if each)
            yield from self._request(" / ".join(requests), index, number)
            yield from self._pair(one, other)
            if one and other:
                yield from self._prose(compared(one, other))

    def _pair(self, left: Exchange | None, right: Exchange | None) -> Iterator[Text]:
        mine, its = layout_for(self.half, self.pen), layout_for(self.half, self.pen)
        blank = mine.blank()
        yield from self._beside([mine.head()], [its.head()], blank)
        for one, other in align(left.steps if left else [], right.steps if right else []):
            yield from self._beside(
                mine.step(one) if one else [], its.step(other) if other else [], blank
            )
        yield Text()
        yield from self._beside(self._summary(left), self._summary(right), Text())

    def _summary(self, exchange: Exchange | None) -> Iterator[Text]:
        text = exchange.summary if exchange else "No request was seen."
        yield from self._prose(text, "server", self.half)

    def _beside(self, left: Iterable[Text], right: Iterable[Text], blank: Text) -> Iterator[Text]:
        for one, other in zip_longest(left, right):
            yield padded((one or blank).copy(), self.half) + Text(GAP) + (other or blank)
