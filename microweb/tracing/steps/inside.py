"""What each step inside a framework says, where the framework lets itself be observed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..format import Event
from .phrases import a_kind, milliseconds, place_of, raised, type_of, where
from .scene import Scene, mapping
from .step import Detail, Words
from .values import counted, plain, size, written


def event_words(scene: Scene, event: Event) -> Words:
    """What an event says that is no call."""
    return TOLD[event.kind](scene, event)


def _request(_scene: Scene, event: Event) -> Words:
    data = event.data
    title = f"Request {plain(data.get('method'))} {written(data.get('path'))}"
    return Words("request made", title, details=tuple(_attributes(event)))


def _attributes(event: Event) -> Iterator[Detail]:
    """Those that say something, where there is room for them."""
    for name in ("query", "cookies", "client"):
        if value := event.data.get(name):
            yield Detail(f"{name}  {written(value)}", room="wide")


def _match(_scene: Scene, event: Event) -> Words:
    data = event.data
    if data.get("route") is not None:
        params = _arguments(data.get("path_params"))
        return Words("match", f"match {plain(data['route'])}", params)
    if data.get("redirect"):
        return Words("match", "no route matches", details=(_redirect(data["redirect"]),))
    if allow := data.get("allow"):
        methods = ", ".join(map(plain, allow)) if isinstance(allow, list) else plain(allow)
        return Words("match", "no route for this method", details=(Detail(f"allow  {methods}"),))
    return Words("match", "no route matches")


def _redirect(target: Any) -> Detail:
    return Detail(f"but one would at {written(target)}")


def _arguments(value: Any) -> str:
    return ", ".join(f"{name}={written(each)}" for name, each in mapping(value).items())


def _body(_scene: Scene, event: Event) -> Words:
    value = event.data.get("bytes")
    if value is None:
        form = event.data.get("form")
        number = len(form) if isinstance(form, list) else 0
        return Words("body", "body, parsed as it came", counted(number, "field"))
    return Words("body", "whole body", written(value))


def _response(_scene: Scene, event: Event) -> Words:
    value = event.data.get("bytes")
    body = "a stream" if value is None else counted(size(value), "byte")
    status = plain(event.data.get("status"))
    return Words("response", f"Response {status}, {body}")


def _cut(_scene: Scene, event: Event) -> Words:
    text = f"from here on nothing was recorded: {plain(event.data.get('why'))}"
    return Words("cut", text, tone="problem")


TOLD: dict[str, Callable[[Scene, Event], Words]] = {
    "request": _request,
    "match": _match,
    "body": _body,
    "response": _response,
    "cut": _cut,
}


# --- layers and the handler ---------------------------------------------------------------------


def layer_words(event: Event) -> Words:
    """A layer of middleware, on the way in or on the way out."""
    name = short(event.data.get("layer"))
    if event.kind == "layer.call":
        return Words(f"in through {name}", f"in through {name}", details=place_of(event))
    if event.kind == "layer.raise":
        return Words(f"out of {name}", f"out of {name}", _passing(event), tone="problem")
    return Words(f"out of {name}", f"out of {name}", plain(event.data.get("status")))


def _passing(event: Event) -> str:
    """The exception that a layer lets pass, or answers; its message was told further inside."""
    kind, status = type_of(event).rpartition(".")[2], event.data.get("status")
    return f"raises {kind}" if status is None else f"raises {kind}, answered {plain(status)}"


def short(name: Any) -> str:
    """`hello` of `site.<locals>.hello (home.py:12)`."""
    text = plain(name).partition(" (")[0]
    return text.rpartition(".")[2] or text


def handler_words(scene: Scene, call: Event | None, answer: Event | None) -> Words:
    """The handler: its call, its return, or both where nothing happened between."""
    details: list[Detail] = []
    if call is not None:
        details += [Detail(place(scene, call), "quiet"), *place_of(call)]
    took = answer.time - call.time if call and answer else 0
    if scene.is_worth_saying(took):
        details.append(Detail(f"took {milliseconds(took)}", "quiet"))
    key = "handler" if call is not None else "handler returns"
    title = _called(scene, call or answer)
    if answer is None:
        return Words(key, title, details=tuple(details))
    if answer.kind == "handler.raise":
        return Words(key, title, raised(answer), tuple(details), "problem")
    return Words(key, title, f"returns {_value(answer)}", tuple(details))


def _called(scene: Scene, event: Event | None) -> str:
    data = event.data if event else {}
    name = short(data.get("handler"))
    if "arguments" not in data:
        return f"{name}(...)"
    subject = "ws" if scene.is_websocket else "request"
    return f"{name}({', '.join(filter(None, [subject, _arguments(data['arguments'])]))})"


def place(scene: Scene, call: Event) -> str:
    """Where a handler runs, and who waits for it meanwhile."""
    name, there = where(call), scene.call.where if scene.call else None
    if not name or not there or not call.where:
        return name
    if call.where == there:
        return "in the server's thread" if scene.is_wsgi else "in the server's task"
    if scene.is_wsgi:
        return f"{name}; the server's thread waits"
    if call.where.get("thread") != there.get("thread"):
        return f"{name}; the loop goes on"
    return name


def _value(answer: Event) -> str:
    if "value" in answer.data:
        return written(answer.data["value"])
    return a_kind(answer.data.get("type"))
