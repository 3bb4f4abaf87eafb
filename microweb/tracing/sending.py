"""Sender: takes the events of a server's process to where they are collected.

An event is sent before its call goes on, so that nothing is lost when the process ends by a
signal, and so that what is seen first arrives first.
"""

from __future__ import annotations

import json
import os
import socket
import threading

from .format import Event, event_record

PATIENCE = 5.0  # seconds for the other end to read

_encode = json.JSONEncoder(separators=(",", ":")).encode  # made once, since it is slow to make


class Sender:
    """Sends records as lines of JSON over a Unix socket; each process has its own connection.

    Where nobody reads any more it raises OSError, and sends no more.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._begin()
        # The connection, and perhaps the lock, is then another's.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_over = False

    def event(self, event: Event) -> None:
        """Send an event."""
        line = _encode(event_record(event))
        with self._lock:
            if self._is_over:
                raise ConnectionError("nobody reads any more")
            try:
                self._send(line.encode("ascii") + b"\n")
            except OSError:
                self._is_over = True  # half a line may be out, and nothing can follow on that
                raise

    def _send(self, line: bytes) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(PATIENCE)
            try:
                self._socket.connect(self.path)
            except OSError:
                self._socket.close()
                raise
        self._socket.sendall(line)
