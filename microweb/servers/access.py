"""What a server says of its work: a line in the log for each request, and for its own end."""

from __future__ import annotations

import logging
import time

from .heads import Refusal, Request
from .http11 import HTTP11

_log = logging.getLogger("microweb.access")
_server_log = logging.getLogger("microweb.servers")


class Access:
    """Begun with a request, and logged with the end of its response.

    All that a client can write into the line is its method and its target, in which the
    grammar allows visible ASCII alone (RFC 9112, section 3): no line can be forged.
    """

    def __init__(self, client: tuple[str, int] | None, request: Request) -> None:
        self._began = time.perf_counter()
        self._client = client[0] if client else "-"
        self._line = f"{request.method} {request.target.decode('ascii')} HTTP/{request.version}"

    def end(self, http: HTTP11) -> None:
        """Write the line: who, what, the status, the bytes of the body, and the time it took."""
        if _log.isEnabledFor(logging.INFO):
            took = (time.perf_counter() - self._began) * 1000
            status = str(http.status) if http.has_begun else "no response"
            _log.info('%s "%s" %s %d %.1f ms', self._client, self._line, status, http.sent, took)


def log_refusal(client: tuple[str, int] | None, refusal: Refusal) -> None:
    """Write the line of a request that no application has seen."""
    _log.info('%s "-" %d: %s', client[0] if client else "-", refusal.status, refusal.why)


def log_failure(request: Request) -> None:
    """Write the traceback of an error that an application has let through to its server."""
    _server_log.exception("the application failed: %s", request.target.decode("ascii"))


def log_stop(running: int) -> None:
    """Say that the server was told to stop, and what it still waits for."""
    _server_log.info("Shutting down; %d running requests are finished first", running)


def log_cut_off(running: int) -> None:
    """Say that the server waits no longer."""
    _server_log.warning("%d requests did not end in time, and are cut off", running)
