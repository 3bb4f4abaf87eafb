"""trail: the calls that led to an error, in the order of the calls, and the side each is on.

A traceback begins only where its error was caught, inside the framework. The server's calls
are above that, on the stack of the thread that the server lent us.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from types import FrameType, TracebackType
from typing import NamedTuple

from .request import Request

LINE = 300  # characters shown of a line of source

STDLIB = os.path.dirname(os.__file__) + os.sep
PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
# What this package holds beside the framework: an application, and what plays the server.
OUTSIDE = (
    "__main__.py",
    "cli",
    "demo",
    "explorer",
    "run.py",
    "servers",
    "testing.py",
    "testing_websocket.py",
    "tracing",
)


class Call(NamedTuple):
    """One call on the way to an error."""

    frame: FrameType
    line: int
    instruction: int  # where in the frame's bytecode
    stranger: str  # the side that the call is on if it is not the framework's

    @property
    def file(self) -> str:
        return self.frame.f_code.co_filename


class Line(NamedTuple):
    """A line of source, and the columns that failed, where they are known (PEP 657)."""

    number: int
    text: str
    start: int = 0
    end: int = 0


def chain_of(error: BaseException) -> list[tuple[str, BaseException]]:
    """The error and those it came from, each once, with a word on how they are related."""
    chain, seen = [("", error)], {id(error)}
    for _, known in chain:  # which grows meanwhile
        for how, origin in _origins(known):
            if id(origin) not in seen:
                seen.add(id(origin))
                chain.append((how, origin))
    return chain


def _origins(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    if error.__cause__ is not None:
        yield "caused by", error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        yield "raised while handling", error.__context__
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield "a member of the group", member


def trail_of(error: BaseException, stack: Sequence[Call] = ()) -> list[Call]:
    """The calls from the outermost to the one that raised.

    A frame of the framework that is there twice has caught the error and passed it on, or
    it ends the stack and begins the traceback. Between the two lies how the error was
    handled, not how it came about: that is left out.
    """
    calls = [*stack, *_raised_in(error)]
    last = {call.frame: index for index, call in enumerate(calls) if _is_framework(call)}
    trail = []
    index = 0
    while index < len(calls):
        index = last.get(calls[index].frame, index)
        trail.append(calls[index])
        index += 1
    return trail


def _raised_in(error: BaseException) -> Iterator[Call]:
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        yield Call(
            traceback.tb_frame, traceback.tb_lineno or 0, traceback.tb_lasti, stranger="handler"
        )
        traceback = traceback.tb_next


def stack_of(request: Request, frame: FrameType) -> list[Call]:
    """The calls still running, the server's outermost first, down to `frame`."""
    here = _running(frame)
    for innermost in sys._current_frames().values():
        # Async layers run on the app's loop under WSGI. This thread is that loop's then, and
        # the server's is another: the one that waits with the same request in its hands.
        there = _running(innermost)
        holding = [index for index, call in enumerate(there) if _holds(call, request)]
        if holding and there[0].frame is not here[0].frame:
            return there[: holding[-1] + 1] + here
    return here


def is_outermost(call: Call) -> bool:
    """Whether a thread's stack begins here. A call that is over has no caller to tell."""
    return call.stranger == "server" and call.frame.f_back is None


def _running(innermost: FrameType) -> list[Call]:
    calls = []
    frame: FrameType | None = innermost
    while frame is not None:
        calls.append(Call(frame, frame.f_lineno or 0, frame.f_lasti, stranger="server"))
        frame = frame.f_back
    return calls[::-1]


def _holds(call: Call, request: Request) -> bool:
    return _is_framework(call) and call.frame.f_locals.get("request") is request


def sides_of(trail: Sequence[Call]) -> list[tuple[str, list[Call]]]:
    """The trail in groups: server, framework or handler, and the calls there in one stretch.

    The standard library is on the side of its caller, whose tool it is. So asyncio and
    threading are the server's above the gateway, and the framework's where the bridge uses
    them: they run there because the bridge started them, and the server knows nothing of it.
    """
    side = ""
    sided = []
    for call in trail:
        if _is_framework(call):
            side = "framework"
        elif not side or not _is_stdlib(call):
            side = call.stranger
        sided.append((side, call))
    return [(side, [call for _, call in run]) for side, run in groupby(sided, itemgetter(0))]


def _is_framework(call: Call) -> bool:
    inside = call.file.removeprefix(PACKAGE)
    return inside != call.file and inside.split(os.sep)[0] not in OUTSIDE


def _is_stdlib(call: Call) -> bool:
    return call.file.startswith((STDLIB, "<frozen ")) and "-packages" not in call.file


def source_of(call: Call, around: int) -> list[Line]:
    """The call's line with those around it, without their common indent; [] if unreadable."""
    first = max(call.line - around, 1)
    texts = [text.rstrip()[:LINE] for text in _file_of(call)[first - 1 : call.line + around]]
    indent = min((len(text) - len(text.lstrip()) for text in texts if text), default=0)
    lines = []
    for number, text in enumerate(texts, first):
        start, end = _columns(call, text) if number == call.line else (indent, indent)
        lines.append(Line(number, text[indent:], start - indent, end - indent))
    return lines


def _file_of(call: Call) -> list[str]:
    try:
        linecache.checkcache(call.file)
        return linecache.getlines(call.file, call.frame.f_globals)
    except Exception:
        # Code may name any file and bring any loader; what fails to be read is not shown.
        return []


def _columns(call: Call, text: str) -> tuple[int, int]:
    # The compiler counts bytes of UTF-8.
    begin = len(text) - len(text.lstrip())
    positions = islice(call.frame.f_code.co_positions(), call.instruction // 2, None)
    _, last, start, end = next(positions, (None, None, None, None))
    if start is None or end is None:
        return begin, begin
    data = text.encode()
    first = len(data[:start].decode(errors="replace"))
    past = len(data[:end].decode(errors="replace")) if last == call.line else len(text)
    return (begin, begin) if (first, past) == (begin, len(text)) else (first, past)
