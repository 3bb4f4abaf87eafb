"""Recorder: what the recorders of both protocols have in common. It makes the events.

A recorder stands between a server and an application, and neither can tell: what is passed is
passed on, the same objects in the same calls, and whatever goes wrong with a note goes wrong
with the note alone. Nothing is put where the application could find it, neither in the environ
or the scope nor in a context variable: an exchange is known by the identity of its environ or
scope, as long as it lasts.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from time import monotonic_ns
from types import FrameType, MappingProxyType
from typing import Any

from .format import KINDS, Event
from .values import Notation, told_of

Emit = Callable[[Event], None]

MOST_EVENTS = 10_000  # of one exchange


class Recorder:
    """Makes the events of one application's exchanges, and gives them to `emit`.

    `emit` is called in the thread that the event happened in, before it goes on. With `secrets`
    the values of Authorization, Cookie and their like are recorded as they are.
    """

    def __init__(self, emit: Emit, secrets: bool = False) -> None:
        self.emit = emit
        self.notation = Notation(secrets)
        self._numbers = count(1)
        self._open: dict[int, Exchange] = {}

    def loaded(self, target: str) -> None:
        """Tell that the application is there, and where."""
        self.emit(Event(monotonic_ns(), "seam", "in", "load", {"target": target}, where=_where()))

    def begin(self, native: dict[str, Any], is_request: bool = True) -> Exchange:
        """The exchange of one environ or scope."""
        exchange = Exchange(self, native, next(self._numbers) if is_request else None)
        self._open[id(native)] = exchange
        return exchange

    def end(self, exchange: Exchange) -> None:
        """No more is to come of it."""
        self._open.pop(id(exchange.native), None)
        exchange.native = {}  # it holds proxies that hold the exchange

    def observe(self, observation: Any) -> None:
        """What a framework tells of one of its steps: for `App.observe` of microweb.

        A step has a kind, a direction, data, a request with an environ or a scope, and perhaps
        a source. That of an exchange which is not recorded here, or is over, is passed over.
        """
        request = observation.request
        native = request.environ if request.environ is not None else request.scope
        if (exchange := self._open.get(id(native))) is not None:
            exchange.tell_step(observation)

    def tell(self, native: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
        """Record something else of the exchange of an environ or scope, if it is under way."""
        if (exchange := self._open.get(id(native))) is not None:
            exchange.tell(kind, None, **exchange.noted(data))


class Recorded:
    """An application that a server calls, and `emit` is told what happens: see `Recorder`."""

    def __init__(self, app: Callable[..., Any], emit: Emit, *, secrets: bool = False) -> None:
        self.app = app
        self.recorder = Recorder(emit, secrets)

    def __getattr__(self, name: str) -> Any:
        if name == "app":
            raise AttributeError(name)  # of one that is being copied, and has nothing yet
        return getattr(self.app, name)


class Exchange:
    """One call of an application, and all that it leads to."""

    def __init__(self, recorder: Recorder, native: dict[str, Any], number: int | None) -> None:
        self.recorder = recorder
        self.native = native  # held, so that no other can have its identity meanwhile
        self.number = number
        self.noted = recorder.notation.of
        self.taken = 0  # bytes of the request's body that the application has taken
        self._left = MOST_EVENTS

    def tell(self, kind: str, caller: FrameType | None = None, /, **data: Any) -> None:
        """Record what happens right now; `caller` is the frame whose doing it is."""
        time = monotonic_ns()
        side, direction, _ = KINDS[kind]
        source = None if caller is None else _source(caller)
        self._emit(Event(time, side, direction, kind, data, 0, self.number, None, source))  # type: ignore[arg-type]

    def through(
        self,
        kind: str,
        caller: FrameType | None,
        told: dict[str, Any],
        call: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """Record a call, make it, and record what it raises; what it returns, the caller tells."""
        self.tell(f"{kind}.call", caller, **told)
        try:
            return call(*arguments, **more)
        except BaseException as error:
            method = {"method": told["method"]} if "method" in told else {}
            self.tell_raised(f"{kind}.raise", error, **method)
            raise

    def tell_raised(self, kind: str, error: BaseException, **data: Any) -> None:
        """Record that a call ends with an exception."""
        self.tell(kind, None, **data, **self.noted(told_of(error)))

    def tell_step(self, step: Any) -> None:
        """Record a framework's own step."""
        time = monotonic_ns()
        source = None if step.source is None else step.source._asdict()
        data = self.noted(step.data)
        self._emit(
            Event(time, "framework", step.direction, step.kind, data, 0, self.number, None, source)
        )

    def take(self, size: int) -> int:
        """The offset in the body of so many bytes that were taken."""
        offset, self.taken = self.taken, self.taken + size
        return offset

    def _emit(self, event: Event) -> None:
        self._left -= 1
        if self._left < 0:
            return
        try:
            event.where = _where()
            self.recorder.emit(event)
        except Exception:
            self._left = 0  # whoever took the events does so no more
        if self._left == 1:
            self.tell("cut", None, why=f"it has {MOST_EVENTS - 1:,} events")


def _where() -> dict[str, Any]:
    # The task's name, where there may be one at all: a WSGI server need not have asyncio.
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with suppress(RuntimeError):  # where no loop runs in this thread
            task = asyncio.current_task()
    return {
        "process": os.getpid(),
        "thread": threading.current_thread().name,
        "task": None if task is None else task.get_name(),
    }


def _source(frame: FrameType) -> dict[str, Any]:
    code = frame.f_code
    return {
        "module": str(frame.f_globals.get("__name__", "?")),
        "file": code.co_filename,
        "line": frame.f_lineno,
        "function": code.co_qualname,
    }
