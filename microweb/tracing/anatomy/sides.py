"""Sides: what only a request does on its way, and what only a response."""

from __future__ import annotations

from .grammar import read_request_line, read_status_line
from .way import Way


class Requests(Way):
    """What the client sends."""

    direction = "in"

    def _exchange(self) -> int:
        return len(self.messages) + 1

    def _read_start_line(self, line: bytes, start: int) -> bool:
        return read_request_line(self._message, line, start)

    def _with_unknown_coding(self) -> None:
        # "the message body length cannot be determined reliably" (RFC 9112, 6.3)
        self._next = self._unreadable

    def _without_length(self) -> None:
        self._end()


class Responses(Way):
    """What the server sends: in the order of the requests, any number of interim ones to each."""

    direction = "out"

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self.final = 0  # how many have a complete head, and are not interim

    def _exchange(self) -> int:
        return self.final + 1  # even where no request has come: a server may refuse to wait

    def _read_start_line(self, line: bytes, start: int) -> bool:
        return read_status_line(self._message, line, start)

    def _body_begins(self) -> None:
        message = self._message
        asked = self._requests.messages[message.exchange - 1 : message.exchange]
        method = asked[0].method if asked else ""
        self.final += not message.is_interim
        if message.status == 101 or (method == "CONNECT" and 200 <= message.status < 300):
            self._requests.turn_opaque()
            self.turn_opaque()
            self._end()
        elif method == "HEAD" or message.status in (204, 304) or message.is_interim:
            self._end()
        else:
            super()._body_begins()

    def _with_unknown_coding(self) -> None:
        self._next = self._until_eof

    def _without_length(self) -> None:
        self._next = self._until_eof
