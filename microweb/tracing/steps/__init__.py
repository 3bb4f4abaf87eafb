"""Steps: what a trace tells, exchange by exchange, in values that any picture can be made of.

- `step`: what a step is
- `pairing`: from events to steps, a call and its return in one where nothing happened between
- `wire`, `seam`, `inside`: what the events of each band say
- `scene`: what is known of an exchange as a whole
- `values`: how a recorded value is written
- `shorten`, `align`: long runs cut short; two exchanges, row by row
- `summary`: what came of it
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..format import Event, Trace
from .align import Row, align
from .pairing import steps_of
from .scene import Scene, mapping
from .shorten import shortened
from .step import Detail, Exchange, Step, Words
from .summary import answer_told, compared, request_told, summary_told
from .values import plain

__all__ = ["Detail", "Exchange", "Row", "Step", "Words", "align", "aside", "compared", "exchanges"]


def exchanges(trace: Trace, run: int) -> list[Exchange]:
    """The exchanges of one run of a trace, in the order in which they began."""
    by_number: dict[int, list[Event]] = {}
    for event in _events(trace, run):
        if event.exchange is not None:
            by_number.setdefault(event.exchange, []).append(event)
    is_instrumented = any(event.side == "framework" for event in _events(trace, run))
    return [
        _told(number, Scene(trace.runs[run], events, is_instrumented, _hows(trace, run, number)))
        for number, events in by_number.items()
    ]


def _hows(trace: Trace, run: int, exchange: int) -> dict[str, str]:
    return {
        str(origin.key): origin.how
        for each in trace.provenance
        if (each.run, each.exchange) == (run, exchange)
        for origin in each.origins
        if origin.of in ("environ", "scope") and origin.how
    }


def _told(number: int, scene: Scene) -> Exchange:
    steps = shortened(steps_of(scene))
    return Exchange(
        scene.run,
        number,
        request_told(scene),
        steps,
        answer_told(scene),
        len(scene.crossings()),
        summary_told(scene),
    )


def aside(trace: Trace, run: int) -> str:
    """What belongs to no request: how the lifespan went, if the server ran one."""
    messages = [
        mapping(event.data.get("message"))
        for event in _events(trace, run)
        if event.exchange is None and event.kind == "send.call"
    ]
    said = [text for message in messages if (text := _of_lifespan(message))]
    return f"Lifespan: {', '.join(said)}" if said else ""


def _of_lifespan(message: Mapping[str, Any]) -> str:
    """`startup.complete`; nothing, if the message is none of the lifespan's."""
    before, _, kind = plain(message.get("type")).partition("lifespan.")
    why = plain(message.get("message"))
    return "" if before else f"{kind}: {why}" if why else kind


def _events(trace: Trace, run: int) -> list[Event]:
    return [event for event in trace.events if event.run == run]
