"""Bands: where there is room, the wire, the server and the framework stand beside each other.

    0.0  ──▶ GET / HTTP/1.1                          ┃
    0.4          app(environ, start_response) ───────╂─▶ in thread MainThread
    0.6                                              ┃   match /

What stands on a side of the seam is at home there: a call on the side that makes it, a value
on the side that it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest

from rich.text import Text

from ..steps import Step
from .layout import TIME, Layout, padded, value_style
from .strokes import Pen, styled

NARROWEST = 76  # cells of a picture
WIDE = 120  # from here on there is more detail
BORDERED = 140  # from here on the wire has a band to itself
TURN = 4  # cells for an arrow on the wire
LANE = 3  # cells right of the seam for the end of an arrow
DEEPEST = 5  # layers that are told apart by how far they are set in


@dataclass(slots=True)
class _Sides:
    """What a step has in each band, in lines; what crosses the seam is in the first line."""

    wire: list[Text] = field(default_factory=list)
    server: list[Text] = field(default_factory=list)
    lane: str = ""
    right: list[Text] = field(default_factory=list)


class Bands(Layout):
    """Three bands in the width of a terminal, or of half a large one."""

    def __init__(self, width: int, pen: Pen) -> None:
        super().__init__(width, pen)
        self.is_wide = width >= WIDE
        self.is_bordered = width >= BORDERED
        # What there is beyond 80 cells is shared out among the three.
        more = width - 80
        self.right = 30 + int(more * 0.3)
        self.left = width - TIME - 1 - LANE - self.right
        # Where the server's band begins; the longest of its calls must fit into it.
        self.begin = min(7 + int(max(more, 0) * 0.5), self.left - 33)
        self.reach = self.left - self.begin
        # Narrow as it is, the wire's band may run into the server's: nothing is there then.
        self.wire = (self.begin - 2 if self.is_bordered else self.left - 1) - TURN

    def head(self) -> Text:
        wire, server = styled("WIRE", "wire"), styled("SERVER", "heading")
        if not self.is_bordered:
            wire, server = padded(wire, self.begin) + server, Text()
        return self._line("ms", wire, server, "", styled("FRAMEWORK", "framework"))

    def blank(self) -> Text:
        return self._line("", Text(), Text(), "", Text())

    def step(self, step: Step) -> list[Text]:
        sides = self._sides(step)
        rows = list(zip_longest(sides.wire, sides.server, sides.right))
        time = self.time(step)
        return [
            self._line(
                "" if index else time,
                wire or Text(),
                server or Text(),
                "" if index else sides.lane,
                right or Text(),
            )
            for index, (wire, server, right) in enumerate(rows)
        ]

    def _line(self, time: str, wire: Text, server: Text, lane: str, right: Text) -> Text:
        line = styled(f"{time:>{TIME - 1}} ", "time")
        if self.is_bordered:
            line += padded(wire, self.begin - 2) + styled(f"{self.strokes.border} ", "quiet")
            line += padded(server, self.reach)
        else:
            line += padded(wire if wire else Text(" " * self.begin) + server, self.left)
        line += styled(self.strokes.crossing if lane else self.strokes.seam, "seam")
        line += styled(lane or " " * LANE, "line") + right
        return padded(line, self.width)

    def _sides(self, step: Step) -> _Sides:
        if step.band == "wire":
            return self._on_wire(step)
        if step.band == "server" or (step.band == "seam" and step.stroke == "none"):
            return _Sides(server=self.titled(step, "server", self.reach - 1))
        if step.band == "framework":
            return self._inside(step)
        if step.direction == "in":
            return self._into(step)
        return self._out_of(step)

    def _on_wire(self, step: Step) -> _Sides:
        shaft = self.strokes.call * 2
        arrow = f"{shaft}{self.strokes.right} "
        if step.direction == "out":
            arrow = f"{self.strokes.left}{shaft} "
        lines = self.titled(step, "wire", self.wire)
        for detail in self.details(step):
            lines += self.told(detail.text, detail.tone, self.wire)
        starts = [styled(arrow, "wire"), *[Text(" " * TURN)] * len(lines)]
        return _Sides(wire=[start + line for start, line in zip(starts, lines, strict=False)])

    def _inside(self, step: Step) -> _Sides:
        indent = min(step.depth, DEEPEST)
        lines = self.titled(step, "framework", self.right - indent)
        for detail in self.details(step):
            below = self.told(detail.text, detail.tone, self.right - indent - 2)
            lines += [Text("  ") + line for line in below]
        return _Sides(right=[Text(" " * indent) + line for line in lines])

    # --- what crosses the seam ------------------------------------------------------------------

    def _into(self, step: Step) -> _Sides:
        """A call of the server's, or what the application's call gives back."""
        is_call = step.stroke == "call"
        text = step.words.title if is_call else step.words.value
        tone = step.words.tone
        shaft = self.strokes.call if is_call else self.strokes.back
        left = self.told(text, tone, self.reach - 2, "seam" if is_call else value_style(tone))
        right = [] if is_call else self.told(step.words.title, "plain", self.right, "seam")
        left[0] = self._arrow(left[0] + Text(" ") if left[0] else left[0], shaft)
        return self._with_details(step, left, f"{shaft}{self.strokes.right} ", right)

    def _out_of(self, step: Step) -> _Sides:
        """A call of the application's with what it carries, or what the server's gives back."""
        words, head = step.words, self.strokes.left
        if step.stroke == "call":
            shaft = self.strokes.call
            load = self.pen.cut(self.pen.safe(words.value), self.reach - 6)
            start = styled(f"{head}{shaft * 2} ", "line") + styled(f"{load} ", "server")
            left = [self._arrow(start if load else styled(head, "line"), shaft)]
            right = self.told(words.title, "plain", self.right, "seam")
        else:
            shaft = self.strokes.back
            title = self.pen.cut(self.pen.safe(words.title), self.reach - 3)
            left = [self._arrow(styled(title, "seam") + styled(f" {head}", "line"), shaft)]
            right = self.told(words.value, words.tone, self.right)
        return self._with_details(step, left, f"{shaft * 2} ", right)

    def _arrow(self, start: Text, shaft: str) -> Text:
        return start + styled(shaft * (self.reach - start.cell_len), "line")

    def _with_details(self, step: Step, left: list[Text], lane: str, right: list[Text]) -> _Sides:
        sides = _Sides(server=left, lane=lane, right=right)
        for detail in self.details(step, "server"):
            below = self.told(detail.text, detail.tone, self.reach - 3)
            sides.server += [Text("  ") + line for line in below]
        indent = 2 if right else 0
        for detail in self.details(step, "framework"):
            below = self.told(detail.text, detail.tone, self.right - indent)
            sides.right += [Text(" " * indent) + line for line in below]
        return sides
