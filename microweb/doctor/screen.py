"""What the doctor's report looks like: 80 columns, and colours on a terminal alone."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from pathlib import Path

import click

WIDTH = 80
_LONGEST = 300  # characters of a server's line
_MARKS = {True: ("✓", "yes"), False: ("✗", "no")}
_COLOURS = {True: "green", False: "red"}


def paragraph(text: str = "") -> None:
    """Write a text, filled, or as it is where it is indented or has lines, and an empty line."""
    is_filled = "\n" not in text
    _write(textwrap.fill(text, WIDTH, break_on_hyphens=False) if is_filled else text)
    if text:
        _write("")


def row(serves: bool, command: str, width: int, answer: str) -> None:
    """Write a line of the table: a mark, a command, padded to `width`, and an answer."""
    sign, word = _MARKS[serves]
    mark = click.style(sign if _can_write(sign) else f"{word:3}", fg=_COLOURS[serves], bold=True)
    line = f"{command:{width}}  {answer}"
    if len(line) > WIDTH - 4:
        line = f"{command}\n    {answer}"
    _write(f"{mark} {line}")


def below(text: str) -> None:
    """Write what belongs to a row, below it; nothing for an empty text."""
    if text:
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
        margin = " " * 4
        _write(
            textwrap.fill(
                click.unstyle(shown),
                WIDTH,
                initial_indent=margin,
                subsequent_indent=margin,
                break_on_hyphens=False,
            )
        )


def folder_to_type() -> str | None:
    """The folder of the commands, as it has to be typed before them; None if it need not be."""
    folder = Path(sys.executable).parent
    there = shutil.which("microweb", path=str(folder))
    found = shutil.which("microweb")
    if there is None or (found is not None and os.path.samefile(found, there)):
        return None
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    return f"{shown}{os.sep}"


def _can_write(text: str) -> bool:
    return _printable(text) == text


def _printable(text: str) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return text.encode(encoding, "replace").decode(encoding)


def _write(text: str) -> None:
    click.echo(_printable(text))
