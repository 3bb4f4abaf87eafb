"""The terminal view of a trace, drawn with rich: on a screen, in a pipe, in a file.

- `picture`: the whole, one run or two side by side
- `bands`, `gutter`: the two ways to draw a step, with much room and with little
- `layout`: what these have in common
- `strokes`: characters, colours, and text that does a terminal no harm
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderResult

from ..format import Trace
from .picture import Page
from .strokes import Pen

__all__ = ["Picture", "console_for", "show"]

WIDTH = 80  # of what is no terminal, unless COLUMNS says otherwise


def show(trace: Trace, console: Console | None = None) -> None:
    """Print the picture of a trace."""
    (console or console_for()).print(Picture(trace), markup=False, highlight=False, end="")


def console_for(file: TextIO | None = None) -> Console:
    """A console for a file: as wide as the terminal it is, or else of a width that is always so."""
    file = file or sys.stdout
    if file.isatty():
        return Console(file=file, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and int(columns) else WIDTH
    return Console(file=file, width=width, highlight=False)


class Picture:
    """What rich renders of a trace, as wide as it may be."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        pen = Pen.for_encoding(console.encoding)
        for line in Page(self.trace, options.max_width, pen).lines():
            line.rstrip()
            line.end = "\n"
            line.no_wrap = True
            yield line
