"""Layout: what the two ways to draw a step have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from rich.cells import cell_len
from rich.text import Text

from ..steps import Detail, Step
from .strokes import Pen, styled

TIME = 6  # cells: "123.4 "


class Layout(ABC):
    """A way to draw the steps of one exchange in lines of one width, the seam in one column."""

    is_wide = False

    def __init__(self, width: int, pen: Pen) -> None:
        self.width = width
        self.pen = pen
        self.strokes = pen.strokes
        self._time = ""

    @abstractmethod
    def head(self) -> Text:
        """The names of the bands."""

    @abstractmethod
    def step(self, step: Step) -> list[Text]:
        """The lines of a step."""

    @abstractmethod
    def blank(self) -> Text:
        """A line of nothing but time that goes by."""

    def time(self, step: Step) -> str:
        """When a step was, if that is not what the step before it says."""
        text = _milliseconds(step.time)
        if text == self._time:
            return ""
        self._time = text
        return text

    def details(self, step: Step, at: str = "") -> Iterator[Detail]:
        """The details for which there is room, on one side of the seam or on both."""
        for detail in step.words.details:
            room = "wide" if self.is_wide else "narrow"
            if detail.text and detail.room in ("", room) and (not at or detail.at == at):
                yield detail

    def told(self, text: str, tone: str, width: int, style: str = "") -> list[Text]:
        """A text in lines: data is cut, where it is too long; prose goes on in the next line."""
        text = self.pen.safe(text)
        if tone == "plain":
            return [styled(self.pen.cut(text, width), style or "server")]
        return [styled(line, tone) for line in self.pen.wrapped(text, width)]

    def titled(self, step: Step, style: str, width: int, joint: str = "  ") -> list[Text]:
        """A title, and its value beside it or below."""
        words = step.words
        title, value = self.pen.safe(words.title), self.pen.safe(words.value)
        name = words.tone if words.tone != "plain" else style
        if value and cell_len(title + joint + value) <= width:
            return [styled(title, name) + styled(joint + value, value_style(words.tone))]
        lines = [styled(line, name) for line in self.pen.wrapped(title, width)]
        if value:
            below = self.told(value, words.tone, width - 2)
            lines += [styled("  ", "line") + line for line in below]
        return lines


def value_style(tone: str) -> str:
    """The style of a value: that of its step, if there is something the matter with it."""
    return "server" if tone == "plain" else tone


def padded(text: Text, width: int) -> Text:
    """A text made as wide as its place."""
    text.pad_right(max(0, width - text.cell_len))
    return text


def _milliseconds(nanoseconds: int) -> str:
    """In five cells, as long as it can be."""
    value = nanoseconds / 1_000_000
    if value >= 99_999:
        return f"{value / 60_000:.0f}min"
    return f"{value:.0f}" if value >= 999.95 else f"{value:.1f}"
