"""Who waits for whom, and until when."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import takewhile

from .connection import Connection


class Waiting:
    """Connections that wait for the same, in the order in which their time runs out."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._ends: dict[Connection, float] = {}

    def add(self, connection: Connection) -> None:
        self._ends[connection] = time.monotonic() + self._timeout

    def discard(self, connection: Connection) -> None:
        self._ends.pop(connection, None)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._ends)

    def longest(self, least: float) -> Connection | None:
        """Who has waited longest, if it is `least` seconds or more."""
        first = next(iter(self._ends), None)
        if first is None or time.monotonic() < self._ends[first] - self._timeout + least:
            return None
        return first

    @property
    def end(self) -> float:
        """When the first one's time is up."""
        return next(iter(self._ends.values()), math.inf)

    def late(self) -> list[Connection]:
        """Those whose time is up."""
        now = time.monotonic()
        return list(takewhile(lambda connection: self._ends[connection] <= now, self._ends))
