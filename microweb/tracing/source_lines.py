"""Source lines: the text of the lines that a trace names, read when the trace is put together.

So a trace that is looked at elsewhere, or later, still shows the code that ran. Where a file has
been changed since the server imported it, its lines are the new ones.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .format import Event

LONGEST = 200  # characters of a line
_MOST_DECORATED = 30  # lines from a function's first decorator to its name
_DEFINITIONS = ("def ", "async def ", "class ")


def with_text(events: list[Event]) -> Iterator[Event]:
    """The events, each with the text of its source's line, where there is one to be read."""
    linecache.checkcache()
    for event in events:
        if event.source is None:
            yield replace(event)
        else:
            yield replace(event, source=_with_text(event.source))


def _with_text(source: dict[str, Any]) -> dict[str, Any]:
    file, line = source["file"], source["line"]
    text = linecache.getline(file, line).strip()
    if text.startswith("@"):
        # Python counts a function from its first decorator; a reader looks for its name.
        for number in range(line, line + _MOST_DECORATED):
            below = linecache.getline(file, number).strip()
            if below.startswith(_DEFINITIONS):
                line, text = number, below
                break
    return {**source, "line": line, "text": text[:LONGEST] or None}
