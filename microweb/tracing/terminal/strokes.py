"""Strokes: the characters, the styles, and text that is safe to print and fits where it stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

# Few, and readable on light and on dark: nothing is told by a colour alone.
STYLES = {
    "wire": "cyan",
    "server": "",
    "seam": "bold",
    "framework": "green",
    "quiet": "dim",
    "problem": "bold red",
    "time": "dim",
    "line": "",
    "heading": "bold",
}


@dataclass(frozen=True, slots=True)
class Strokes:
    """The characters that a picture is drawn with, all of one cell."""

    seam: str  # the one heavy stroke
    crossing: str
    call: str  # of an arrow; that of what comes back is broken
    back: str
    left: str  # the heads of arrows
    right: str
    border: str  # between the wire and the server
    mark: str  # of what happens on one side of the seam
    cut: str


UNICODE = Strokes("┃", "╂", "─", "┄", "◀", "▶", "│", "•", "…")
ASCII = Strokes("|", "+", "-", ".", "<", ">", ":", "*", "~")


@dataclass(frozen=True, slots=True)
class Pen:
    """Strokes, and an encoding that has to carry all that is written."""

    strokes: Strokes
    encoding: str

    @classmethod
    def for_encoding(cls, encoding: str) -> Pen:
        """The finest strokes that an encoding can carry."""
        try:
            "".join(getattr(UNICODE, name) for name in Strokes.__slots__).encode(encoding)
        except (UnicodeError, LookupError):
            return cls(ASCII, encoding)
        return cls(UNICODE, encoding)

    def safe(self, text: str) -> str:
        """A text without anything that a terminal would do more with than show it."""
        if not (text.isascii() and text.isprintable()):
            text = "".join(map(_shown, text))
        try:
            return text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        except LookupError:
            return text.encode("ascii", "backslashreplace").decode("ascii")

    def cut(self, text: str, width: int) -> str:
        """A text in one line of so many cells at most."""
        if cell_len(text) <= width:
            return text
        if width < 1:
            return ""
        return set_cell_size(text[: width * 4], width - 1).rstrip() + self.strokes.cut

    def wrapped(self, text: str, width: int, most: int = 4) -> list[str]:
        """A text in lines, broken between its words; what goes on is set off by two cells."""
        indent = text[: len(text) - len(text.lstrip(" "))]
        lines = list(_lines(text.split(), width - len(indent)))
        if len(lines) > most:
            lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
        return [self.cut(indent + line, width) for line in lines]


def _shown(character: str) -> str:
    # A variation selector makes its neighbour wider in some terminals, and not in others.
    if character.isprintable() and unicodedata.name(character, "")[:18] != "VARIATION SELECTOR":
        return character
    return character.encode("unicode_escape").decode("ascii")


def _lines(words: list[str], width: int) -> Iterator[str]:
    line = ""
    for word in words:
        # What does not fit into any line is broken where a name has its joints.
        pieces = _PIECE.findall(word) if cell_len(word) > width else [word]
        for index, piece in enumerate(pieces):
            longer = f"{line} {piece}" if line and not index else line + piece
            if line.strip() and cell_len(longer) > width:
                yield line
                longer = "  " + piece  # what goes on is set off from what begins
            line = longer
    yield line


_PIECE = re.compile(r"[^./(_-]+[./(_-]?|[./(_-]")


def styled(text: str, name: str) -> Text:
    """A text in the style of this name; no markup in it is obeyed."""
    # As a span of it: the style of a Text itself would go on in what is added to it.
    return Text(end="", no_wrap=True).append(text, STYLES[name])
