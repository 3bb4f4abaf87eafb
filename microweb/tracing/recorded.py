"""The application that a server is given when it is recorded: `microweb.tracing.recorded:app`.

What it stands for, and where its events go, is told in the environment, since a server passes
on nothing else to the application that it imports.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pkgutil import resolve_name
from typing import Any

from .asgi import RecordedASGI
from .format import Protocol
from .recorder import Recorder
from .sending import Sender
from .wsgi import RecordedWSGI

VARIABLE = "MICROWEB_TRACE"
RECORDERS: dict[Protocol, Callable[..., Any]] = {"wsgi": RecordedWSGI, "asgi": RecordedASGI}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be recorded in a server's process."""

    target: str  # module:attribute of the application that the server is to call
    protocol: Protocol
    home: str  # the path of the Unix socket to which events are sent
    observe: str = ""  # module:attribute of what has an `observe(callback)`, as a microweb App has
    secrets: bool = False  # whether to record them as they are
    layers: bool = False  # whether to look at the call stack at each function of yours

    def environment(self) -> dict[str, str]:
        """The environment that says all this."""
        return {VARIABLE: json.dumps(asdict(self))}


def recorded(order: Order) -> Any:
    """The application with its recorder. Raises what importing it raises."""
    recorder = RECORDERS[order.protocol](
        resolve_name(order.target), Sender(order.home).event, secrets=order.secrets
    )
    if order.layers:
        from .layers.watch import watched

        tell = partial(_tell_stack, recorder.recorder)
        recorder.app = watched(recorder.app, order.protocol, tell)
    if order.observe:
        resolve_name(order.observe).observe(recorder.recorder.observe)
    return recorder


def _tell_stack(recorder: Recorder, native: dict[str, Any], stack: dict[str, Any]) -> None:
    recorder.tell(native, "stack", stack)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = app = recorded(Order(**json.loads(os.environ[VARIABLE])))
    return app
