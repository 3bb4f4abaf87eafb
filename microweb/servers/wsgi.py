"""The WSGI server: one thread watches all sockets, others call the application.

socket, bind, listen          listening.py
accept                        here, and a Connection is made
recv, until a head is whole   here: an idle or slow client costs no thread
app(environ, start_response)  wsgi_call.py, in a thread: it reads the body and sends
and again, or close           here
"""

from __future__ import annotations

import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .access import Access, log_cut_off, log_stop
from .connection import Connection
from .heads import Refusal
from .listening import (
    GRACE,
    LEAVE_TIMEOUT,
    WAIT,
    announce,
    listen,
    most_connections,
    no_descriptor_left,
    stop_signals,
)
from .settings import KIB, Settings
from .threads import Threads
from .waiting import Waiting
from .wsgi_call import Application, WSGICall


def serve(app: Application, settings: Settings) -> None:
    """Serve a WSGI application until SIGTERM or SIGINT, and stop gracefully.

    Raises CannotServe where the address cannot be had.
    """
    with listen(settings) as listener:
        server = WSGIServer(app, settings, listener)
        with stop_signals(server.stop):
            server.run()


class WSGIServer:
    """A listening socket, the connections that came of it, and the application they are for."""

    def __init__(self, app: Application, settings: Settings, listener: socket.socket) -> None:
        self._app = app
        self._settings = settings
        self._listener = listener
        self._threads = Threads(settings.threads)
        self._selector = selectors.DefaultSelector()
        self._idle = Waiting(settings.idle_timeout)  # for the first byte of a request
        self._heads = Waiting(settings.head_timeout)  # for the rest of its head
        self._leaving = Waiting(LEAVE_TIMEOUT)  # for the client to read its last response
        self._busy: set[Connection] = set()
        self._answered: deque[Connection] = deque()
        self._waiting = (self._leaving, self._idle, self._heads)  # who has to go first, if any
        self._watched: dict[Connection, Waiting] = {}
        self._bell, self._rope = socket.socketpair()  # rung by other threads, to end a wait
        self._rope.setblocking(False)
        self._stops = 0

    def stop(self) -> None:
        """End `run` when the running requests are over; at once, if called again.

        It may be called by any thread, and by a signal handler.
        """
        self._stops += 1
        self._ring()

    def run(self) -> None:
        """Accept and answer, until `stop` is called."""
        announce(self._listener, f"WSGI, {self._settings.threads} threads")
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell, selectors.EVENT_READ, self._heed)
        try:
            while not self._stops:
                self._turn()
            self._finish()
        finally:
            self._close_all()

    def _turn(self, until: float = math.inf) -> None:
        """Wait until something happens or somebody's time is up, and see to it."""
        end = min(until, *(waiting.end for waiting in self._waiting))
        timeout = None if end == math.inf else max(0, end - time.monotonic())
        for key, _ in self._selector.select(timeout):
            key.data()
        for waiting in self._waiting:
            for connection in waiting.late():
                self._run_out(connection)

    # --- accept -----------------------------------------------------------------------------

    def _accept(self) -> None:
        """Take a connection that has been made; it has a socket of its own."""
        if not self._has_room():
            time.sleep(WAIT)
            return
        try:
            sock, address = self._listener.accept()
            connection = Connection(sock, address, self._settings, self._threads)
        except OSError as error:  # else the client has thought better of it already
            if no_descriptor_left(error) and not self._make_room():
                time.sleep(WAIT)
            return
        if self._threads.may_rest:
            # Most clients send at once: the thread that waits for it will answer it too.
            self._hand_over(connection, partial(self._answer, connection))
        else:
            self._read(connection)

    def _has_room(self) -> bool:
        """Whether another connection may be accepted; if need be, room is made for it."""
        most = most_connections(self._settings)
        while len(self._busy) + len(self._watched) >= most:
            if not self._make_room():
                return False
        return True

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; False where none is."""
        idlest = next(filter(None, (waiting.longest(GRACE) for waiting in self._waiting)), None)
        if idlest is not None:
            self._close(idlest)
        return idlest is not None

    # --- until a head is whole --------------------------------------------------------------

    def _wake(self, connection: Connection) -> None:
        """Something has come on a connection that is watched."""
        waiting = self._watched.get(connection)
        if waiting is self._leaving:
            self._drop(connection)
        elif waiting is not None:  # else it was closed in this very turn, to make room
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        """Take what has come, and see what it is, or becomes with what comes later."""
        try:
            if not connection.http.is_ready():
                connection.receive()
        except OSError:
            self._close(connection)
            return
        if connection.http.is_ready():
            self._hand_over(connection, partial(self._answer, connection))
        elif connection.http.client_is_done:
            self._close(connection)
        else:
            self._watch(connection, self._heads if connection.http.unread else self._idle)

    def _watch(self, connection: Connection, waiting: Waiting) -> None:
        """Look after a connection until something comes, or the time of `waiting` is up."""
        before = self._watched.get(connection)
        if before is waiting:
            return
        if before is None:
            act = partial(self._wake, connection)
            self._selector.register(connection.sock, selectors.EVENT_READ, act)
        else:
            before.discard(connection)
        waiting.add(connection)
        self._watched[connection] = waiting

    def _unwatch(self, connection: Connection) -> None:
        waiting = self._watched.pop(connection, None)
        if waiting is not None:
            self._selector.unregister(connection.sock)
            waiting.discard(connection)

    def _run_out(self, connection: Connection) -> None:
        """A connection's time is up (RFC 9110, section 15.5.9; RFC 9112, section 9.5)."""
        if self._watched[connection] is self._heads:
            late = Refusal(408, "The head of the request does not end.")
            self._hand_over(connection, partial(self._refuse, connection, late))
        else:
            self._close(connection)

    # --- in a thread ------------------------------------------------------------------------

    def _hand_over(self, connection: Connection, job: Callable[[], None]) -> None:
        self._unwatch(connection)
        self._busy.add(connection)
        self._threads.submit(job)

    def _answer(self, connection: Connection) -> None:
        """The job of a thread: answer what has come, and bring the connection back."""
        try:
            self._converse(connection)
        except Refusal as refusal:
            connection.refuse(refusal)
        finally:
            self._give_back(connection)

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        """The job of a thread: say what is wrong, and bring the connection back."""
        try:
            connection.refuse(refusal)
        finally:
            self._give_back(connection)

    def _converse(self, connection: Connection) -> None:
        """Answer a request, and those that follow at once. Raises Refusal for what is none.

        To give the connection back after each would have two threads woken for the next; that
        takes longer than all the rest of a small request.
        """
        http = connection.http
        while connection.another_comes() and (request := http.next_request()) is not None:
            http.last |= self._stops > 0
            access = Access(connection.client, request)
            is_whole = WSGICall(connection, request).run(self._app, self._settings)
            access.end(http)
            http.last |= not (is_whole and http.next_cycle())
            if http.last or self._threads.has_jobs:  # now it is another's turn
                break

    def _give_back(self, connection: Connection) -> None:
        http = connection.http
        http.last |= self._stops > 0 or (http.client_is_done and not http.unread)
        if http.last and not http.client_may_send:
            connection.sock.close()
            self._busy.discard(connection)
        else:
            self._answered.append(connection)
        if self._stops or not http.last or http.client_may_send:
            self._ring()

    def _ring(self) -> None:
        with suppress(OSError):  # it rings already, or nobody is there any more
            self._rope.send(b"!")

    def _heed(self) -> None:
        """Other threads have something to tell: take back the connections they are done with."""
        self._bell.recv(4096)
        while self._answered:
            connection = self._answered.popleft()
            self._busy.discard(connection)
            if connection.http.last:
                self._leave(connection)
            else:
                self._read(connection)

    # --- the end ----------------------------------------------------------------------------

    def _leave(self, connection: Connection) -> None:
        """Close a connection whose client may still be sending.

        Were it closed at once, the kernel would answer what still comes with a reset, on which
        the client's kernel throws away the response before it is read. So only this side is
        closed, and a moment is given to the other (RFC 9112, section 9.6).
        """
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            connection.sock.close()
        else:
            self._watch(connection, self._leaving)

    def _drop(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(64 * KIB)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._unwatch(connection)
        connection.sock.close()

    def _finish(self) -> None:
        """Accept no more, close what waits, and see the running requests to their end."""
        self._selector.unregister(self._listener)
        self._listener.close()
        log_stop(len(self._busy))
        for connection in [*self._idle, *self._heads]:
            self._close(connection)
        for connection in list(self._busy):
            connection.http.last = True
        end = time.monotonic() + self._settings.stop_timeout
        while self._busy and self._stops < 2 and time.monotonic() < end:
            self._turn(end)
        if self._busy:
            log_cut_off(len(self._busy))

    def _close_all(self) -> None:
        self._selector.close()
        for connection in [*self._watched, *self._busy]:
            connection.sock.close()
        self._bell.close()
        self._rope.close()
