"""Values: what a trace holds of a value, written as Python would write it, and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST = 160  # characters: more than a line of any terminal has room for
MOST = 6  # of the items of a list or a mapping
DEEPEST = 3


def written(value: Any, depth: int = 0) -> str:
    """A value of an event's data: `b'abc'`, `'/café'`, `<io.BufferedReader>`."""
    if isinstance(value, Mapping):
        return _special(value) or _mapping(value, depth)
    if isinstance(value, list):
        if depth == DEEPEST:
            return "[...]"
        return "[" + ", ".join(_bounded([written(each, depth + 1) for each in value])) + "]"
    return _cut(repr(value))


def _special(value: Mapping[str, Any]) -> str:
    """What JSON has no word for; empty where it is an ordinary mapping."""
    if "$bytes" in value:
        return _cut(_with_size(repr(octets(value)), len(octets(value)), size(value), "bytes"))
    if "$text" in value:
        text = str(value["$text"])
        return _cut(_with_size(repr(text), len(text), size(value), "characters"))
    if "$type" in value:
        return f"<{value['$type']}>"
    if set(value) == {"$more"}:
        return f"... {value['$more']} more"
    return ""


def _with_size(text: str, seen: int, whole: int, unit: str) -> str:
    """The size comes first, where there is more than is shown: what is cut is the end."""
    return text if whole <= seen and len(text) <= 40 else f"{whole:,} {unit} {text}"


def octets(value: Any) -> bytes:
    """The bytes that a trace holds of some bytes: all of them, or the first."""
    found = value.get("$bytes", "") if isinstance(value, Mapping) else ""
    return str(found).encode("latin-1", "replace")


def size(value: Any) -> int:
    """How many there were, of the bytes or characters of which a trace may hold only some."""
    if not isinstance(value, Mapping):
        return len(value) if isinstance(value, str) else 0
    found = value.get("size", value.get("length"))
    return found if isinstance(found, int) else len(octets(value))


def plain(value: Any) -> str:
    """A value that is text by nature, a name or a path, without its quotes."""
    if isinstance(value, Mapping):
        value = value.get("$text", value.get("$bytes", value.get("$type", "?")))
    return _cut("" if value is None else str(value))


def _mapping(value: Mapping[str, Any], depth: int) -> str:
    if depth == DEEPEST:
        return "{...}"
    items = [
        f"... {each} more" if key == "$more" else f"{key!r}: {written(each, depth + 1)}"
        for key, each in value.items()
    ]
    return "{" + ", ".join(_bounded(items)) + "}"


def _bounded(items: list[str]) -> list[str]:
    if len(items) <= MOST:
        return items
    return [*items[:MOST], f"... {len(items) - MOST} more"]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def counted(number: int, one: str, many: str = "") -> str:
    """`1 header`, `2 headers`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
