"""Phrases that more than one kind of event is told with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..format import Event
from .scene import Scene, mapping
from .step import At, Detail
from .values import counted, octets, plain, written


def base_of(event: Event) -> str:
    """What is called: `wsgi.input` of `wsgi.input.return`."""
    return event.kind.rpartition(".")[0]


def where(event: Event) -> str:
    """In which thread, or as which task, something ran."""
    place = event.where or {}
    thread, task = plain(place.get("thread")), plain(place.get("task"))
    if not thread:
        return ""
    return f"{task} on {thread}'s loop" if task else f"thread {thread}"


def source_detail(event: Event, at: At) -> tuple[Detail, ...]:
    """The line that made a call, where there is room for it."""
    return (Detail(text, "quiet", at, "wide"),) if (text := source(event)) else ()


def source(event: Event) -> str:
    """The line that made a call: `flask/app.py:1536 wsgi_app`."""
    function = plain((event.source or {}).get("function"))
    return f"{_line(event)} {function}" if _line(event) else ""


def _line(event: Event) -> str:
    found = event.source or {}
    if not found.get("file"):
        return ""
    folder_and_file = plain(found["file"]).replace("\\", "/").split("/")[-2:]
    return f"{'/'.join(folder_and_file)}:{found.get('line')}"


def place_of(event: Event) -> tuple[Detail, ...]:
    """Where what was called is written; its name is in the title."""
    text = _line(event)
    return (Detail(text, "quiet", room="wide"),) if text else ()


def raised(event: Event) -> str:
    """`raises ValueError: no such thing`."""
    message = plain(event.data.get("message"))
    return f"raises {type_of(event)}: {message}" if message else f"raises {type_of(event)}"


def type_of(event: Event) -> str:
    """The type of an exception."""
    return plain(event.data.get("type")).removeprefix("builtins.")


def a_kind(kind: Any) -> str:
    """`a list`, `an Iterator` of `some.module.Iterator`."""
    name = plain(kind).rpartition(".")[2]
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def arguments(event: Event) -> str:
    """Those of a call, positional or by name."""
    found = event.data.get("arguments")
    if isinstance(found, Mapping):
        return ", ".join(f"{name}={written(each)}" for name, each in found.items())
    return ", ".join(map(written, found)) if isinstance(found, list) else ""


def waited(scene: Scene, call: Event | None, answer: Event, how: str) -> Iterator[Detail]:
    """That a call took long, and who could do nothing else meanwhile."""
    took = answer.time - call.time if call else 0
    if scene.is_worth_saying(took):
        yield Detail(f"{how} {milliseconds(took)}", "quiet", "framework")


def milliseconds(nanoseconds: int) -> str:
    """`3.1 ms`, `250 ms`, `12.5 s`."""
    value = nanoseconds / 1_000_000
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if value >= 99.95 else f"{value:.1f} ms"


def header_details(headers: list[tuple[str, str]]) -> Iterator[Detail]:
    """Their names where there is no room for more."""
    if headers:
        names = ", ".join(name for name, _ in headers)
        yield Detail(names, "quiet", "framework", "narrow")
    for name, value in headers:
        yield Detail(f"{name}: {value}", at="framework", room="wide")


def chosen(scene: Scene, keys: tuple[str, ...], notes: Mapping[str, str]) -> Iterator[Detail]:
    """Some of an environ or a scope; with a question mark: where it says something.

    How the bytes of the wire became it is told where there is room, or else the note, if any.
    """
    given = scene.environ
    shown = [
        key.rstrip("?")
        for key in keys
        if key.rstrip("?") in given and (key[-1] != "?" or _says(given[key[:-1]]))
    ]
    width = max(map(len, shown), default=0)
    for key in shown:
        yield Detail(f"{key:<{width}}  {written(given[key])}", at="server")
        how = scene.hows.get(key)
        if key in notes:
            yield Detail(f"  {notes[key]}", "quiet", "server", "narrow" if how else "")
        if how:
            yield Detail(f"  {how}", "quiet", "server", "wide")


def _says(value: Any) -> bool:
    return bool(octets(value)) if "$bytes" in mapping(value) else bool(value)


def rest(given: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Detail]:
    """How many more there are."""
    others = given.keys() - {"$more", *(key.rstrip("?") for key in keys)}
    left_out = given.get("$more", 0)
    number = len(others) + (left_out if isinstance(left_out, int) else 0)
    if number:
        yield Detail(counted(number, "more key"), "quiet", "server")
