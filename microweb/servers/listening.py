"""What both servers do before the first client and after the last: listen, and be told to stop."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .settings import CannotServe, Settings

try:
    import resource
except ImportError:  # on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

GRACE = 0.1  # seconds for which nobody counts as idle: a request may be on its way
WAIT = 0.01  # seconds, where all connections are busy, until one of them may be over
LEAVE_TIMEOUT = 2.0  # seconds for a client to read its last response and hang up
BACKLOG = 2048  # connections that the kernel holds until they are accepted
_log = logging.getLogger("microweb.servers")


def listen(settings: Settings) -> socket.socket:
    """A socket that is bound and listens: `socket`, `setsockopt`, `bind`, `listen` in one.

    Raises CannotServe where the address cannot be had.
    """
    place = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # SO_REUSEADDR, which create_server sets where it is meant so, lets a server start again
        # while old connections linger in TIME_WAIT; it does not let two servers share a port.
        listener = socket.create_server(found[0][4][:2], family=found[0][0], backlog=BACKLOG)
    except (OSError, UnicodeError, OverflowError) as error:
        code = getattr(error, "errno", None)
        raise CannotServe(
            _MENDS.get(code, "cannot listen on {}: {}").format(place, error)
        ) from None
    listener.setblocking(False)
    return listener


_MENDS: dict[int | None, str] = {
    errno.EADDRINUSE: (
        "cannot listen on {}: another program does already. Stop that one, or choose another"
        " port: --port 8001"
    ),
    errno.EACCES: (
        "cannot listen on {}: ports below 1024 are not for everyone. Choose a higher one:"
        " --port 8000"
    ),
    errno.EADDRNOTAVAIL: (
        "cannot listen on {}: this machine does not have that address. 127.0.0.1 is for this"
        " machine alone, 0.0.0.0 for all its networks"
    ),
    socket.EAI_NONAME: "cannot listen on {}: no machine of that name is known",
}


def announce(listener: socket.socket, kind: str) -> None:
    """Say where the server listens."""
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    _log.info("microweb running on http://%s:%d (%s); Ctrl+C stops it", host, port, kind)


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT call `stop`: the first gently, a second with more force.

    Signals are delivered to the main thread alone; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def caught(_number: int, _frame: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, caught) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def most_connections(settings: Settings) -> int:
    """How many connections are kept at most, so that the application can open its files too."""
    if resource is None:
        return settings.max_connections
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return settings.max_connections
    return min(settings.max_connections, max(limit // 2, limit - max(32, limit // 8)))


def no_descriptor_left(error: OSError) -> bool:
    """Whether `accept` failed because this process, or the whole machine, has too many files open.

    The connection stays where it is, in the kernel's queue, until one is closed here.
    """
    return error.errno in (errno.EMFILE, errno.ENFILE)
