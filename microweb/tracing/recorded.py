"""The application that a server is given when it is recorded: `microweb.tracing.recorded:app`.

What it stands for, and where its events go, is told in the environment, since a server passes
on nothing else to the application that it imports.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pkgutil import resolve_name
from typing import Any

from .asgi import RecordedASGI
from .format import Protocol
from .order import Order
from .recorder import Recorder
from .sending import Sender
from .wsgi import RecordedWSGI

RECORDERS: dict[Protocol, Callable[..., Any]] = {"wsgi": RecordedWSGI, "asgi": RecordedASGI}


def recorded(order: Order) -> Any:
    """The application with its recorder. Raises what importing it raises."""
    found = resolve_name(order.target)
    recorder = RECORDERS[order.protocol](found, Sender(order.home).event, secrets=order.secrets)
    if order.layers:
        from .layers.watch import watched

        tell = partial(_tell_stack, recorder.recorder)
        recorder.app = watched(recorder.app, order.protocol, tell)
    if order.observe:
        resolve_name(order.observe).observe(recorder.recorder.observe)
    recorder.recorder.loaded(order.target)
    return recorder


def _tell_stack(recorder: Recorder, native: dict[str, Any], stack: dict[str, Any]) -> None:
    recorder.tell(native, "stack", stack)


app = recorded(Order.of_environment())
