"""One client's socket, as a thread uses it: plain calls that wait, each within bounds."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from .access import log_refusal
from .heads import Refusal
from .http11 import HTTP11
from .patience import Patience
from .settings import KIB, Settings
from .threads import Threads

RECEIVED_AT_ONCE = 64 * KIB
# Unlike epoll and kqueue, poll takes no descriptor of its own, of which there may be none left.
Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
REST = 0.01  # seconds that a thread stays with its connection, in case another request follows


class ClientLeft(OSError):
    """The client is gone, or reads too slowly: nothing more can be sent to it."""


def tells_of_client(error: BaseException | None) -> bool:
    """Whether an error of the application is only its way to say what we told it of the client."""
    seen: set[int] = set()  # a chain of causes may go round in a circle
    while error is not None and id(error) not in seen:
        if isinstance(error, ClientLeft | Refusal):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class Connection:
    """A socket that never blocks, and the HTTP/1.1 that is spoken over it.

    While a request's head comes in it belongs to the server's loop, which calls `receive`;
    then, until the response is over, to the thread that makes it, which calls the rest.
    """

    def __init__(
        self, sock: socket.socket, address: Any, settings: Settings, threads: Threads
    ) -> None:
        sock.setblocking(False)
        # What is sent here is whole; the kernel need not wait for more to put into a packet.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.client: tuple[str, int] = address[:2]
        self.server: tuple[str, int] = sock.getsockname()[:2]
        self.http = HTTP11(settings)
        self._settings = settings
        self._threads = threads

    def receive(self) -> bool:
        """Take what has come; False where nothing has. Raises OSError where it is reset."""
        try:
            data = self.sock.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return False
        self.http.receive(data)
        return True

    def begin(self) -> None:
        """A request begins: its client is waited for with fresh patience, both ways."""
        self._reading = Patience(self._settings)
        self._writing = Patience(self._settings)

    def another_comes(self) -> bool:
        """Whether a request is there, after a moment's wait if a thread can be spared for it."""
        http = self.http
        try:
            if not http.is_ready() and not self.receive() and self._threads.may_rest:
                with self._threads.aside():
                    self._receive_within(REST)
        except OSError:
            return False  # nothing came, or the client is gone, as the loop will see too
        return http.is_ready()

    def refuse(self, refusal: Refusal) -> None:
        """Say what is wrong with a request that no application will see."""
        log_refusal(self.client, refusal)
        self.begin()
        with suppress(ClientLeft):
            self.send(self.http.refuse(refusal))

    def read_piece(self) -> bytes:
        """The next piece of the request's body, waited for; b"" at its end.

        Raises Refusal for a body that is broken, too large or too slow.
        """
        while (piece := self.http.next_piece()) is None:
            self.send(self.http.go_ahead())
            try:
                if not self.receive():
                    with self._threads.aside(), self._reading as seconds:
                        self._receive_within(seconds)
            except TimeoutError:
                raise Refusal(408, "The body does not come, or too slowly.") from None
            except OSError as error:
                raise Refusal(400, f"The body ended before its end: {error}.") from None
        self._reading.moved(len(piece))
        return piece

    def _receive_within(self, seconds: float) -> None:
        """Take what comes. Raises TimeoutError where nothing does."""
        self.sock.settimeout(seconds)
        try:
            self.http.receive(self.sock.recv(RECEIVED_AT_ONCE))
        finally:
            self.sock.settimeout(0)

    def send(self, data: bytes) -> None:
        """Hand all of `data` to the kernel, as fast as the client reads it.

        Raises ClientLeft where it does not, or no more.
        """
        view = memoryview(data)
        while view:
            view = view[self._send_some(self.sock.send, view) :]

    def send_file(self, file: IO[bytes], size: int) -> int:
        """Have the kernel send up to `size` bytes of an open file, from where it stands.

        How many it were: fewer, where the file ends before.
        """
        offset = start = file.tell()
        end = start + size
        while offset < end:
            sent = self._send_some(
                os.sendfile, self.sock.fileno(), file.fileno(), offset, end - offset
            )
            if not sent:
                break
            offset += sent
        return offset - start

    def _send_some(self, send: Callable[..., int], *arguments: Any) -> int:
        """What one call of `send` takes, after a wait until it takes any."""
        while True:
            try:
                sent = send(*arguments)
            except BlockingIOError:
                try:
                    self._wait_to_write()
                except TimeoutError:
                    raise ClientLeft("is hung up on, as it reads too slowly") from None
            except OSError as error:
                raise ClientLeft(f"left before the response was over: {error}") from None
            else:
                self._writing.moved(sent)
                return sent

    def _wait_to_write(self) -> None:
        with (
            self._threads.aside(),
            self._writing as seconds,
            Selector() as selector,
        ):
            selector.register(self.sock, selectors.EVENT_WRITE)
            selector.select(seconds)  # in vain, if patience ends here: then the next wait raises
