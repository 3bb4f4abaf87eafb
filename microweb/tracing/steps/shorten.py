"""Shortening: a long run of equal steps becomes its beginning, a count, and its end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from .phrases import milliseconds
from .step import Step, Words
from .values import counted

# Keys of steps that come in one flow, in whatever order -> the flow, and what is counted in it.
FLOWS = {
    "body chunk": "response",
    "ask for chunk": "response",
    "response body": "response",
    "read body": "request",
    "ask for body": "request",
    "request body": "request",
    "message in": "conversation",
    "message out": "conversation",
    "ask for message": "conversation",
    "frame in": "conversation",
    "frame out": "conversation",
}
COUNTED = {
    "response": ("chunk", ("body chunk",)),
    "request": ("read", ("read body",)),
    "conversation": ("message", ("message in", "message out")),
}
FIRST, LAST = 6, 3  # steps of a run that are kept
MOST = 240  # steps of an exchange that are kept, whatever they are


def shortened(steps: list[Step]) -> list[Step]:
    """The steps without the middle of long runs."""
    short = [
        step for flow, run in groupby(steps, _flow) for step in _short(list(run), flow, FIRST, LAST)
    ]
    return list(_short(short, "", MOST // 2, MOST // 2))


def _flow(step: Step) -> str:
    return FLOWS.get(step.key, step.key)


def _short(run: list[Step], flow: str, first: int, last: int) -> Iterator[Step]:
    middle = run[first:-last]
    if len(middle) < 3:
        yield from run
        return
    yield from run[:first]
    yield _in_place_of(middle, flow)
    yield from run[-last:]


def _in_place_of(middle: list[Step], flow: str) -> Step:
    unit, keys = COUNTED.get(flow, ("step", ()))
    number = sum(step.key in keys for step in middle)
    if not number:
        unit, number = "step", len(middle)
    took = milliseconds(middle[-1].time - middle[0].time)
    words = Words(f"more {flow}", f"... {counted(number, f'more {unit}')} in {took}", tone="quiet")
    some = next((step for step in middle if step.key in keys), middle[0])
    band = "server" if some.band == "seam" else some.band
    return Step(words, band, some.direction, time=middle[0].time, depth=some.depth)
