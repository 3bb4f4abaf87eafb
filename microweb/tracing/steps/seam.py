"""What crosses the seam, and what it means if it is an exception: the words of both protocols."""

from __future__ import annotations

from ..format import Event
from . import asgi, wsgi
from .phrases import base_of, raised, type_of
from .scene import Scene
from .step import Detail, Words

# A protocol's own words come first, for `app`, which both have.
_CALLED = {True: {**asgi.CALLED, **wsgi.CALLED}, False: {**wsgi.CALLED, **asgi.CALLED}}
_RETURNED = {True: {**asgi.RETURNED, **wsgi.RETURNED}, False: {**wsgi.RETURNED, **asgi.RETURNED}}
CROSSINGS = frozenset(_CALLED[True])


def call_words(scene: Scene, call: Event, answer: Event | None = None) -> Words:
    """What a call says; its return is given where it says nothing of its own."""
    return _CALLED[scene.is_wsgi][base_of(call)](scene, call, answer)


def return_words(scene: Scene, call: Event | None, answer: Event) -> Words:
    """What a return says, or an exception."""
    if answer.kind.endswith(".raise"):
        return _raised(scene, call, answer)
    return _RETURNED[scene.is_wsgi][base_of(answer)](scene, answer, call)


def _raised(scene: Scene, call: Event | None, answer: Event) -> Words:
    base = base_of(answer)
    if base == "next" and type_of(answer) == "StopIteration":
        # Where there is nothing to close, it is the last that happens.
        key = "end of body" if scene.first("close.call") else "application done"
        return Words(key, "next()", "StopIteration, the end")
    if base == "receive" and type_of(answer).endswith("CancelledError"):
        return Words("waits no longer", "receive()", "given up")
    details: tuple[Detail, ...] = ()
    if base in ("app", "next"):
        details = (Detail(_consequence(scene, answer), "problem", "server"),)
    title = _title(scene, base, call)
    return Words(f"{base} raises", title, raised(answer), details, "problem")


def _title(scene: Scene, base: str, call: Event | None) -> str:
    if base == "app":
        return "app(...)" if scene.is_wsgi else "await app(...)"
    if base == "wsgi.input":
        return wsgi.reading(call)
    if base == "send" and call:
        return call_words(scene, call).title
    return f"{base}()"


def _consequence(scene: Scene, answer: Event) -> str:
    """What an exception that crosses the seam leaves to the server."""
    for event in scene.events:
        if event is answer:
            break
        if scene.is_sent_by(event):
            return "The status is out: the server can only cut the connection."
    return "It left the application: the server must answer."
