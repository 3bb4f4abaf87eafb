"""Gutter: where there is little room, the bands are narrow, and what they say is beside them.

─▶  ┃   GET / HTTP/1.1
  ──╂─▶ app(environ, start_response)
    ┃ • match /
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ..steps import Step
from .layout import TIME, Layout, padded
from .strokes import Pen, styled

GUTTER = 8  # cells: four, the seam, and three
TIMED = 46  # from here on there is room for the time as well
DEEPEST = 3  # layers that are told apart by how far they are set in


class Gutter(Layout):
    """One column of text, with the seam and the arrows in front of it."""

    def __init__(self, width: int, pen: Pen) -> None:
        super().__init__(width, pen)
        self.is_timed = width >= TIMED
        self.text = width - GUTTER - (TIME if self.is_timed else 0)

    def head(self) -> Text:
        names = self.pen.cut("wire, server, framework", self.text)
        return self._line("ms", "w s ", " f ", styled(names, "quiet"))

    def blank(self) -> Text:
        return self._line("", "", "", Text())

    def step(self, step: Step) -> list[Text]:
        time, (before, after) = self.time(step), self._turn(step)
        first, *rest = self._texts(step)
        return [
            self._line(time, before, after, first),
            *[self._line("", "", "", line) for line in rest],
        ]

    def _line(self, time: str, before: str, after: str, text: Text) -> Text:
        line = styled(f"{time:>{TIME - 1}} " if self.is_timed else "", "time")
        is_crossed = before[-1:].strip() and after[:1].strip()
        line += styled(f"{before:<4}", "line")
        line += styled(self.strokes.crossing if is_crossed else self.strokes.seam, "seam")
        line += styled(f"{after:<3}", "line") + text
        return padded(line, self.width)

    def _turn(self, step: Step) -> tuple[str, str]:
        """What is drawn on both sides of the seam."""
        left, right = self.strokes.left, self.strokes.right
        if step.band == "wire":
            call = self.strokes.call
            return (f"{call}{right}", "") if step.direction == "in" else (f"{left}{call}", "")
        if step.band != "seam" or step.stroke == "none":
            return ("", f" {self.strokes.mark}") if step.band == "framework" else ("", "")
        shaft = self.strokes.call if step.stroke == "call" else self.strokes.back
        if step.direction == "in":
            return f"  {shaft * 2}", f"{shaft}{right}"
        return f"  {left}{shaft}", shaft * 2

    def _texts(self, step: Step) -> Iterator[Text]:
        indent = " " * min(step.depth, DEEPEST) if step.band == "framework" else ""
        width = self.text - len(indent)
        style = step.band if step.band != "server" else "quiet"
        joint = " -> " if step.stroke == "return" and step.words.tone == "plain" else "  "
        for line in self.titled(step, style, width, joint):
            yield Text(indent) + line
        for detail in self.details(step):
            for line in self.told(detail.text, detail.tone, width - 2):
                yield Text(f"{indent}  ") + line
