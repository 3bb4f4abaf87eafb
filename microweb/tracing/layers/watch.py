"""Watch: sees each call into your code, in a server's process, and the whole stack above it.

A handler may run in another thread or task than the one in which the server called the
application: a plain one in a worker thread of an asynchronous framework, an asynchronous one on
a loop beside a WSGI server's threads. Its own stack knows nothing of the framework then. So the
call of the application is remembered in a context variable, which goes along to wherever the
request is carried on, and the stack of the one who waits is put above that of the one who runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

from ..format import Protocol
from .packages import PYTHON, YOU, package_of, version_of

MOST_STACKS = 40  # of one exchange

Tell = Callable[[dict[str, Any], dict[str, Any]], None]


class Call:
    """One call of the application by a server, and what was called because of it."""

    def __init__(self, native: dict[str, Any], tell: Tell, frame: FrameType) -> None:
        self.native = native
        self.tell = tell
        self.above = list(_stack(frame))  # the server's, and ours as the last
        self.thread = threading.get_ident()
        self.task = _task()
        self.seen: set[Any] = set()
        # Of each package, how many calls went into it, and the last.
        self.on_the_way: dict[str, list[Any]] = {}

    def see(self, frame: FrameType) -> None:
        """A function is called; it is looked at more closely where it is one of yours."""
        code = frame.f_code
        package = package_of(code.co_filename)
        if package == YOU:
            if code in self.seen or len(self.seen) >= MOST_STACKS or _is_import(frame):
                return
            if told := self._told(frame):
                self.seen.add(code)
                self.tell(self.native, told)
        elif package != PYTHON and not _is_ours(frame) and not _is_import(frame):
            calls = self.on_the_way.setdefault(package, [0, ""])
            calls[0] += 1
            calls[1] = f"{_module(frame)}.{code.co_qualname}"

    def over(self) -> None:
        """The application has returned: frames, and what is in them, are not held longer."""
        self.above, self.task = [], None

    def _told(self, frame: FrameType) -> dict[str, Any] | None:
        stack = list(_stack(frame))
        seam = next((i for i, each in enumerate(stack) if _is_recorder(each)), None)
        if seam is not None:
            above, inside = stack[:seam], stack[seam:]
        elif self.above:
            above, inside = self.above, self._joined(stack)
        else:
            return None  # it goes on by itself, and nobody waits for it any more
        frames = [_frame(each) for each in (*above, *inside) if not _is_ours(each)]
        on_stack = {each["package"] for each in frames}
        return {
            "frames": frames,
            "seam": sum(not _is_ours(each) for each in above),
            "on_the_way": [
                {"package": name, "version": version_of(name), "calls": calls, "last": last}
                for name, (calls, last) in self.on_the_way.items()
                if name not in on_stack
            ],
        }

    def _joined(self, own: list[FrameType]) -> list[FrameType]:
        """What is below the server's call of the application, in the place of who waits there."""
        above = set(map(id, self.above))
        return [frame for frame in (*self._waiting(), *own) if id(frame) not in above]

    def _waiting(self) -> Iterator[FrameType]:
        """The stack of who waits meanwhile, in the thread or in the task of the call."""
        running = list(_stack(sys._current_frames().get(self.thread)))
        if self.task is None or self.above[-1] in running:
            return iter(running)
        return _coroutines(self.task.get_coro())


CALL: ContextVar[Call | None] = ContextVar("microweb.tracing.call", default=None)


def watched(app: Callable[..., Any], protocol: Protocol, tell: Tell) -> Callable[..., Any]:
    """An application, and `tell(environ or scope, stack)` for each of your functions called."""

    def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        # It stays set: a generator of yours begins when the server iterates over it.
        call = Call(environ, tell, sys._getframe())
        CALL.set(call)
        try:
            return app(environ, start_response)
        finally:
            call.over()

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope.get("type") == "lifespan":
            return await app(scope, receive, send)  # it is no way to a handler
        call = Call(scope, tell, sys._getframe())
        CALL.set(call)
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
    if event != "call" or (call := CALL.get()) is None:
        return
    try:
        call.see(frame)
    except Exception:
        CALL.set(None)  # the application is not to suffer


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that called it, from the outermost."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return reversed(frames)


def _coroutines(awaited: Any) -> Iterator[FrameType]:
    """The frames of a task that is suspended, from its own coroutine to what it waits for."""
    while awaited is not None:
        for prefix, further in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                awaited = getattr(awaited, further)
                break
        else:
            return


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _is_recorder(frame: FrameType) -> bool:
    return _module(frame).startswith("microweb.tracing.")


# What is there only because it is looked at
_OURS = ("microweb.tracing.", "microweb.observing")


def _is_ours(frame: FrameType) -> bool:
    return _module(frame).startswith(_OURS)


def _is_import(frame: FrameType | None) -> bool:
    """Whether something is being imported for the first time: that is no way to a handler."""
    while frame is not None:
        if _module(frame) == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _frame(frame: FrameType) -> dict[str, Any]:
    package = package_of(frame.f_code.co_filename)
    return {
        "module": _module(frame),
        "file": frame.f_code.co_filename,
        "line": frame.f_lineno,
        "function": frame.f_code.co_qualname,
        "package": package,
        "version": version_of(package),
    }


def _task() -> Any:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs in this thread
