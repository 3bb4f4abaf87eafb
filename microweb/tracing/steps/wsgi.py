"""What each call over the seam of WSGI says, spelled as PEP 3333 spells it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..format import Event
from .phrases import a_kind, arguments, chosen, header_details, rest, source_detail, waited, where
from .scene import Scene, pairs
from .step import Detail, Teller, Words
from .values import counted, octets, plain, written


def _app(scene: Scene, call: Event, _answer: Event | None) -> Words:
    place = Detail(where(call), "quiet", "framework")
    details = (*_environ(scene), place, *source_detail(call, "server"))
    return Words("call application", "app(environ, start_response)", details=details)


# What a reader wants to see of an environ; with a question mark, where it says something.
ENVIRON = ("REQUEST_METHOD", "SCRIPT_NAME?", "PATH_INFO", "QUERY_STRING?")


def _environ(scene: Scene) -> Iterator[Detail]:
    is_plain = plain(scene.environ.get("PATH_INFO")).isascii()
    yield from chosen(scene, ENVIRON, {} if is_plain else {"PATH_INFO": "as Latin-1 (PEP 3333)"})
    yield from rest(scene.environ, ENVIRON)


def _app_returned(_scene: Scene, answer: Event, _call: Event | None) -> Words:
    length, value = answer.data.get("length"), a_kind(answer.data.get("type"))
    if isinstance(length, int):
        value += f" of {counted(length, 'item')}"
    details: tuple[Detail, ...] = ()
    if answer.data.get("file_wrapper"):
        text = "It is the server's own: no chunk of the file crosses the seam."
        details = (Detail(text, "quiet", "server"),)
    return Words("iterable", "app(...)", f"returns {value}", details)


def _start_response(_scene: Scene, call: Event, _answer: Event | None) -> Words:
    headers = pairs(call.data.get("headers"))
    details = [*header_details(headers), *source_detail(call, "framework")]
    if call.data.get("exc_info"):
        text = f"exc_info: {plain(call.data['exc_info'])}, in place of what it said before"
        details.insert(0, Detail(text, "problem", "framework"))
    value = written(call.data.get("status"))
    return Words("start response", "start_response(...)", value, tuple(details))


def _write(_scene: Scene, call: Event, _answer: Event | None) -> Words:
    return Words("body chunk", "write(...)", written(call.data.get("bytes")))


def _read_called(_scene: Scene, call: Event, _answer: Event | None) -> Words:
    return Words("ask for body", reading(call), details=source_detail(call, "framework"))


def reading(event: Event | None) -> str:
    """`wsgi.input.read(1024)`."""
    if event is None:
        return "wsgi.input"
    return f"wsgi.input.{plain(event.data.get('method'))}({arguments(event)})"


def _read(scene: Scene, answer: Event, call: Event | None) -> Words:
    value = answer.data.get("bytes")
    ends = "" if octets(value) else ", the end"
    return Words(
        "read body",
        reading(call),
        written(value) + ends,
        (*waited(scene, call, answer, "blocked its thread"), *source_detail(answer, "framework")),
    )


def _errors(_scene: Scene, call: Event, _answer: Event | None) -> Words:
    title = f"wsgi.errors.{plain(call.data.get('method'))}(...)"
    return Words("log", title, arguments(call))


def _file_wrapper(_scene: Scene, _call: Event, _answer: Event | None) -> Words:
    return Words("file wrapper", "wsgi.file_wrapper(...)")


def _file_wrapper_returned(_scene: Scene, answer: Event, _call: Event | None) -> Words:
    return Words("file wrapper", "wsgi.file_wrapper(...)", a_kind(answer.data.get("type")))


def _iter(_scene: Scene, _call: Event, _answer: Event | None) -> Words:
    return Words("iterate", "iter(...)")


def _iterated(_scene: Scene, answer: Event, _call: Event | None) -> Words:
    return Words("iterate", "iter(...)", a_kind(answer.data.get("type")))


def _next(_scene: Scene, _call: Event, _answer: Event | None) -> Words:
    return Words("ask for chunk", "next()")


def _chunk(scene: Scene, answer: Event, call: Event | None) -> Words:
    details = tuple(waited(scene, call, answer, "held its thread"))
    return Words("body chunk", "next()", written(answer.data.get("bytes")), details)


def _close(scene: Scene, call: Event, _answer: Event | None) -> Words:
    details: tuple[Detail, ...] = ()
    if scene.departure is call:
        details = (Detail("before the end: the rest has no taker", "problem", "framework"),)
    return Words("application done", "close()", details=details)


CALLED: Mapping[str, Teller] = {
    "app": _app,
    "start_response": _start_response,
    "write": _write,
    "wsgi.input": _read_called,
    "wsgi.errors": _errors,
    "wsgi.file_wrapper": _file_wrapper,
    "iter": _iter,
    "next": _next,
    "close": _close,
}
RETURNED: Mapping[str, Teller] = {
    "app": _app_returned,
    "wsgi.input": _read,
    "wsgi.file_wrapper": _file_wrapper_returned,
    "iter": _iterated,
    "next": _chunk,
}
