"""Summary: what came of an exchange, and of two of them, in a sentence or two."""

from __future__ import annotations

from collections import Counter
from http.client import responses

from .lines import status_of
from .phrases import base_of, milliseconds
from .scene import Scene, mapping
from .step import Exchange
from .values import counted, octets, plain, written


def request_told(scene: Scene) -> str:
    """`GET /caf%C3%A9`, as it was on the wire; or else as the application was told."""
    if scene.request:
        return scene.request
    if scene.call is not None:
        path = scene.environ.get("PATH_INFO", scene.environ.get("path"))
        return f"{scene.method or plain(scene.environ.get('type'))} {written(path)}"
    sent = scene.first("bytes")
    return f"no request of HTTP: {written(sent.data.get('bytes'))}" if sent else "no request"


def answer_told(scene: Scene) -> str:
    """`200 OK`: the last status on the wire; at the seam, if that is all that was recorded."""
    for event in reversed(scene.events):
        status = status_of(octets(event.data.get("bytes"))) if event.kind == "bytes" else ""
        if status:
            return status
    if scene.first("bytes"):
        return ""  # what was meant to be answered has not left
    for event in reversed(scene.events):
        if event.kind == "start_response.call":
            return plain(event.data.get("status"))
        code = mapping(event.data.get("message")).get("status")
        if isinstance(code, int):
            return f"{code} {responses.get(code, '')}".rstrip()
    return ""


def summary_told(scene: Scene) -> str:
    """All of it."""
    return " ".join(filter(None, [_outcome(scene), _crossings(scene)]))


def _outcome(scene: Scene) -> str:
    told, took = answer_told(scene), milliseconds(scene.took)
    answer = told or "No answer"
    failure = scene.failure
    if scene.is_servers_own:
        return f"{answer} after {took}, from the server alone: the application was not called."
    departure = scene.departure
    if failure is not None and not (departure and departure.time <= failure.time):
        kind = plain(failure.data.get("type")).rpartition(".")[2]
        if failure.kind == "next.raise" or scene.own_headers is not None:
            return f"{answer}, but then {kind} left the application, and the answer broke off."
        return f"{kind} left the application; the client got from the server: {answer}."
    if scene.is_websocket and answer.startswith("101"):
        return f"A conversation of {took}: {_messages(scene)}."
    if departure is not None and not told:
        return f"The client left without an answer, after {took}."
    if departure is not None:
        return f"{answer}, but the client left before the end, after {took}."
    return f"{answer} in {took}."


def _messages(scene: Scene) -> str:
    kinds = Counter(mapping(event.data.get("message")).get("type") for event in scene.events)
    messages = counted(kinds["websocket.receive"], "message")
    return f"{messages} in, {kinds['websocket.send']:,} out"


def _crossings(scene: Scene) -> str:
    """Who called whom over the seam, and how often."""
    calls = scene.crossings()
    ins = Counter(base_of(call) for call in calls if call.direction == "in")
    outs = Counter(base_of(call) for call in calls if call.direction == "out")
    if not calls:
        return ""
    return f"The server called {_listed(ins)}; the application called {_listed(outs)}."


def _listed(calls: Counter[str]) -> str:
    """`app, iter, next (twice) and close`."""
    listed = [name + _times(number) for name, number in calls.items()]
    return " and ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]])) or "nothing"


def _times(number: int) -> str:
    return {1: "", 2: " (twice)"}.get(number, f" ({number:,} times)")


def compared(left: Exchange, right: Exchange) -> str:
    """What two exchanges have come to, next to each other."""
    mine, its = left.run.protocol.upper(), right.run.protocol.upper()
    if mine == its:
        mine, its = "the left", "the right"
    if left.answer == right.answer:
        crossings = (
            f"{mine} in {counted(left.calls, 'call')} over the seam, {its} in {right.calls:,}"
        )
        return f"Both answer {left.answer or 'nothing'}: {crossings}."
    first, second = left.answer or "nothing", right.answer or "nothing"
    return f"The answers differ: {first} from {mine}, {second} from {its}."
