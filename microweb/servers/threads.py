"""Threads for calls of an application: few run at once, and whoever waits makes room."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger("microweb.servers")


class Threads:
    """Jobs are done by threads, of which at most `limit` run at once.

    A thread that waits for a client stands aside meanwhile, and another may run. So there are
    `limit` threads, and one for each client that is waited for in mid-body; and no number of
    slow clients keeps a quick one from being served.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running = 0
        self._returning = 0  # stood aside, and go first when there is room again
        self._aside = 0
        self._idle = 0
        self._jobs: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._job = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)

    def submit(self, job: Callable[[], None]) -> None:
        """Have `job()` done by a thread, as soon as there is room."""
        with self._lock:
            self._jobs.append(job)
            self._call_worker()

    @property
    def may_rest(self) -> bool:
        """Whether a thread may stand aside though it need not: few do, and no job waits."""
        return self._aside < self._limit and not self._jobs

    @property
    def has_jobs(self) -> bool:
        """Whether a job waits for room."""
        return bool(self._jobs)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Stands in a job around a wait for its client: meanwhile another job may run."""
        with self._lock:
            self._aside += 1
            self._leave()
        try:
            yield
        finally:
            with self._lock:
                self._aside -= 1
                self._returning += 1
                while self._running >= self._limit:
                    self._room.wait()
                self._returning -= 1
                self._running += 1

    def _leave(self) -> None:
        self._running -= 1
        self._room.notify()
        self._call_worker()

    def _call_worker(self) -> None:
        if not self._may_take_a_job():
            return
        if self._idle:
            self._idle -= 1
            self._job.notify()
        else:
            try:
                threading.Thread(target=self._work, name="microweb-worker", daemon=True).start()
            except RuntimeError:  # the system allows no more: one of those that are there will come
                _log.warning("no more threads can be started; requests wait for those there are")

    def _may_take_a_job(self) -> bool:
        return bool(self._jobs) and self._running + self._returning < self._limit

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._may_take_a_job():
                    if self._idle >= self._limit:
                        return
                    self._idle += 1
                    self._job.wait()
                job = self._jobs.popleft()
                self._running += 1
            try:
                job()
            except BaseException:
                _log.exception("a worker's job failed")
            with self._lock:
                self._leave()
