"""What both servers can be told, and how they say that they cannot begin."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True)
class Settings:
    """Where a server listens, how much it does at once, and what it takes from a client.

    Sizes are in bytes, times in seconds. A client that goes beyond one of them is refused
    with the status that stands beside it, or hung up on where none does.
    """

    host: str = "127.0.0.1"
    port: int = 8000  # 0: one that the kernel chooses
    root_path: str = ""  # where the application is mounted: SCRIPT_NAME, or root_path in ASGI
    threads: int = 40  # how many calls of a WSGI application run at once
    # Beyond them the one that has been idle longest is closed; where none is, newcomers wait.
    max_connections: int = 4096

    max_line: int = 8 * KIB  # of the request line: 414
    max_head: int = 64 * KIB  # of the request line and all header fields: 431
    max_fields: int = 100  # header fields: 431
    max_body: int = 1024 * KIB * KIB  # 413
    max_message: int = 16 * KIB * KIB  # of a WebSocket: closed with 1009

    idle_timeout: float = 15.0  # from one request to the first byte of the next
    head_timeout: float = 10.0  # from the first byte of a head to its last: 408
    # Of waiting in mid-body, for the client to send (408) or to read; `min_rate` bytes, as they
    # come or go, give a second of it back.
    body_timeout: float = 20.0
    min_rate: int = 1 * KIB
    ping_interval: float = 20.0  # of silence on a WebSocket, before its client is asked for life
    stop_timeout: float = 30.0  # for the requests that run when the server is told to stop


class CannotServe(Exception):
    """The server did not begin; the message says what is in the way, and the mend."""
