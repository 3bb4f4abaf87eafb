"""Watch: sees each call into your code, in a server's process, and the whole stack above it.

The call of the application is remembered in a context variable, which goes along to wherever
the request is carried on: see `places`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any

from ..format import Protocol
from .packages import PYTHON, YOU, package_of, version_of
from .passed import Passed, is_import, is_ours, module_of
from .places import Place, stack_of

MOST_STACKS = 40  # of one exchange

Tell = Callable[[dict[str, Any], dict[str, Any]], None]


class Call:
    """One call of the application by a server, and what was called because of it."""

    def __init__(self, native: dict[str, Any], tell: Tell, frame: FrameType) -> None:
        self.native = native
        self.tell = tell
        self.above = stack_of(frame)  # the server's, and ours as the last
        self._places: list[Place] = []
        self.seen: set[Any] = set()
        self.passed = Passed()

    def at(self, place: Place) -> Place:
        """Where the request is now."""
        now = place.here()
        if now is not place and now.left:
            self._places.append(now)
        return now

    def see(self, frame: FrameType, place: Place) -> None:
        """A function is called; it is looked at more closely where it is one of yours."""
        code = frame.f_code
        package = package_of(code.co_filename)
        if package == YOU:
            if code in self.seen or len(self.seen) >= MOST_STACKS or not _is_function(frame):
                return
            if told := self._told(frame, place):
                self.seen.add(code)
                self.tell(self.native, told)
        else:
            self.passed.see(package, frame)

    def over(self) -> None:
        """The application has returned: frames, and what is in them, are not held longer."""
        self.above = []
        for place in self._places:
            place.left = []

    def _told(self, frame: FrameType, place: Place) -> dict[str, Any] | None:
        if above := self.above:
            inside = place.below(above, frame)
        else:
            # Only what iterates is still on its way, and it does so through the recorder.
            stack = stack_of(frame)
            seam = next((i for i, each in enumerate(stack) if is_ours(each)), None)
            if seam is None:
                return None
            above, inside = stack[:seam], stack[seam:]
        frames = [_frame(each) for each in (*above, *inside) if not is_ours(each)]
        return {
            "frames": frames,
            "seam": sum(not is_ours(each) for each in above),
            "on_the_way": self.passed.told({each["package"] for each in frames}),
        }


PLACE: ContextVar[Place | None] = ContextVar("microweb.tracing.place", default=None)


def watched(app: Callable[..., Any], protocol: Protocol, tell: Tell) -> Callable[..., Any]:
    """An application, and `tell(environ or scope, stack)` for each of your functions called."""

    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        # It stays set: a generator of yours begins when the server iterates over it.
        call = Call(environ, tell, sys._getframe())
        PLACE.set(Place(call))
        try:
            return app(environ, start_response)
        finally:
            call.over()

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope.get("type") == "lifespan":
            return await app(scope, receive, send)  # it is no way to a handler
        call = Call(scope, tell, sys._getframe())
        PLACE.set(Place(call))
        try:
            return await app(scope, receive, send)
        finally:
            call.over()

    begin()
    return wsgi if protocol == "wsgi" else asgi


def begin() -> None:
    """From here on look at each call, in this thread and in those that are still to come.

    Where an application has a profiler of its own, that is left alone, and nothing is seen.
    """
    if sys.getprofile() is None and threading.getprofile() is None:
        threading.setprofile(_profile)
        sys.setprofile(_profile)


def end() -> None:
    """Look no more, in this thread and in those that are still to come."""
    if sys.getprofile() is _profile:
        threading.setprofile(None)
        sys.setprofile(None)


def _profile(frame: FrameType, event: str, _argument: Any) -> None:
    if event != "call" or (place := PLACE.get()) is None:
        return
    try:
        # Only a framework hands a request on; Python's own code is passed through on the way.
        if package_of(frame.f_code.co_filename) == PYTHON or is_ours(frame):
            return
        now = place.call.at(place)
        if now is not place:
            PLACE.set(now)
        now.call.see(frame, now)
    except Exception:
        PLACE.set(None)  # the application is not to suffer


def _is_function(frame: FrameType) -> bool:
    """Whether it is a function of a module; a template is of none, and an import calls none."""
    return bool(module_of(frame)) and not is_import(frame)


def _frame(frame: FrameType) -> dict[str, Any]:
    package = package_of(frame.f_code.co_filename)
    return {
        "module": module_of(frame),
        "file": frame.f_code.co_filename,
        "line": frame.f_lineno,
        "function": frame.f_code.co_qualname,
        "package": package,
        "version": version_of(package),
    }
