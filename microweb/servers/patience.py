"""How long a client may keep a server waiting in mid-body."""

from __future__ import annotations

import time
from types import TracebackType

from .settings import Settings


class Patience:
    """`body_timeout` seconds, used up by waiting; each `min_rate` bytes give one of them back.

    `with patience as seconds:` stands around one wait of at most so many seconds. Only
    waiting counts, not the time that the application takes for itself; and a client that
    sends a byte now and then runs out of it all the same.
    """

    def __init__(self, settings: Settings) -> None:
        self._left = self._most = settings.body_timeout
        self._rate = settings.min_rate

    def moved(self, size: int) -> None:
        """So many bytes have come or gone."""
        self._left = min(self._most, self._left + size / self._rate)

    def __enter__(self) -> float:
        """The seconds that are left. Raises TimeoutError where none are."""
        if self._left <= 0:
            raise TimeoutError("the client is too slow")
        self._began = time.monotonic()
        return self._left

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left -= time.monotonic() - self._began
