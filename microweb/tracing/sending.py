"""Sender: takes the events of a server's process to where they are collected.

An event is sent before its call goes on, so that nothing is lost when the process ends by a
signal, and so that what is seen first arrives first.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import asdict
from typing import Any

from .format import Event

PATIENCE = 5.0  # seconds for the other end to read


class Sender:
    """Sends records as lines of JSON over a Unix socket; each process has its own connection.

    Where nobody reads any more it raises OSError, and sends no more.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._process = 0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def event(self, event: Event) -> None:
        """Send an event."""
        self.record({"record": "event", **asdict(event)})

    def record(self, record: dict[str, Any]) -> None:
        """Send a record of another kind."""
        line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
        if self._process != os.getpid():
            # At first, and after a fork, when the connection, and perhaps the lock, is another's.
            self._connect()
        with self._lock:
            if self._socket is None:
                raise ConnectionError("nobody reads any more")
            try:
                self._socket.sendall(line)
            except OSError:
                self._socket = None  # half a line may be out, and nothing can follow on that
                raise

    def _connect(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(self.path)
        except OSError:
            self._socket = None
            raise
