"""Places: the threads and tasks that a request goes through, and their stacks put together.

A handler may run elsewhere than the server called the application: a plain one in a worker
thread of an asynchronous framework, an asynchronous one on a loop beside a WSGI server's
threads, either of them in a further task that a layer has made. Its own stack knows nothing of
the framework then. But who hands a request on hands on the context too, and waits meanwhile.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any


class Place:
    """A thread, or a task in one, in which a request is carried on, and who handed it on."""

    def __init__(self, call: Any, before: Place | None = None) -> None:
        self.call = call
        self.before = before
        self.thread = threading.get_ident()
        # Not held: its context holds this.
        self._task = _reference(_task())
        # Where the thread of the one before stood: it may be called back, and be further then.
        self.left = before.frames() if before and not before._task else []

    def here(self) -> Place:
        """The place in which this code runs; a new one, where none before was that."""
        task = _task()
        if task is None:
            is_here = self._task is None and self.thread == threading.get_ident()
            return self if is_here else Place(self.call, self)
        # A task that runs again waits for none of those after it.
        for place in self._back():
            if place._task and place._task() is task:
                return place
        return Place(self.call, self)

    def frames(self) -> list[FrameType]:
        """The stack of this place, which is to wait meanwhile."""
        running = stack_of(sys._current_frames().get(self.thread))
        if self._task is None:
            return running
        task = self._task()
        waiting = list(_coroutines(task.get_coro())) if task else []
        # It may be on its way to wait still; then it is in the middle of its thread's stack.
        return running if waiting and waiting[0] in running else waiting

    def below(self, above: list[FrameType], frame: FrameType) -> list[FrameType]:
        """What is below the last of the server's frames, from there to a frame of this place."""
        own = stack_of(frame)
        chain = [*self._back()][::-1]
        if above[-1] not in own:
            waiting = [each for place in chain[:-1] for each in place.frames()]
            return _without(above, [*waiting, *own])
        # By its position: a task that has waited is resumed by other frames than before.
        own = own[own.index(above[-1]) + 1 :]
        away = [place for place in chain[1:-1] if place.thread != self.thread]
        if not away:
            return own
        # The server's thread is called back by one that it waits for: that is in between.
        split = sum(each in away[0].left for each in own)
        between = _without(above, (each for place in away for each in place.frames()))
        return [*own[:split], *between, *own[split:]]

    def _back(self) -> Iterator[Place]:
        place: Place | None = self
        while place is not None:
            yield place
            place = place.before


def stack_of(frame: FrameType | None) -> list[FrameType]:
    """A frame and those that called it, the outermost first."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _without(above: list[FrameType], frames: Iterable[FrameType]) -> list[FrameType]:
    return [frame for frame in dict.fromkeys(frames) if frame not in above]


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


def _reference(task: Any) -> weakref.ref[Any] | None:
    return None if task is None else weakref.ref(task)


def _task() -> Any:
    # A WSGI server need not have asyncio, and is not to get it from here.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # no loop runs in this thread
