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
from contextlib import suppress
from functools import partial

from .access import Access, log_cut_off, log_refusal, log_stop
from .connection import Connection
from .heads import Refusal, Request
from .listening import announce, listen, no_descriptor_left, stop_signals
from .settings import KIB, Settings
from .threads import Threads
from .waiting import Waiting
from .wsgi_call import Application, WSGICall

ACCEPTED_AT_ONCE = 64
LEAVE_TIMEOUT = 2.0  # seconds


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
        self._answered: deque[tuple[Connection, bool]] = deque()
        self._waiting = (self._idle, self._heads, self._leaving)
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
                self._run_out(connection, waiting)

    # --- accept -----------------------------------------------------------------------------

    def _accept(self) -> None:
        """Take the connections that have been made; each has a socket of its own."""
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, address = self._listener.accept()
                connection = Connection(sock, address, self._settings, self._threads)
            except BlockingIOError:
                return
            except OSError as error:
                if not no_descriptor_left(error):
                    continue  # the client was gone before it was served
                if not self._make_room():
                    time.sleep(0.01)  # all are busy: let them go on
                    return
            else:
                if len(self._busy) + sum(map(len, self._waiting)) >= self._settings.max_connections:
                    self._make_room()
                self._watch(connection, self._idle)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; False where none is."""
        idlest = next(iter(self._idle), None) or next(iter(self._heads), None)
        if idlest is not None:
            self._close(idlest)
        return idlest is not None

    # --- until a head is whole --------------------------------------------------------------

    def _watch(self, connection: Connection, waiting: Waiting) -> None:
        """Look after a connection until something comes, or the time of `waiting` is up."""
        act = self._drop if waiting is self._leaving else self._read
        self._selector.register(connection.sock, selectors.EVENT_READ, partial(act, connection))
        waiting.add(connection)

    def _unwatch(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        for waiting in self._waiting:
            waiting.discard(connection)

    def _read(self, connection: Connection) -> None:
        try:
            connection.receive()
        except OSError:
            self._close(connection)
        else:
            self._look(connection)

    def _look(self, connection: Connection) -> None:
        """Hand over a request if there is one, refuse it if it is none, else wait on."""
        http = connection.http
        try:
            request = http.next_request()
        except Refusal as refusal:
            self._refuse(connection, refusal)
            return
        if request is not None:
            self._unwatch(connection)
            self._busy.add(connection)
            self._threads.submit(partial(self._answer, connection, request))
        elif http.client_is_done:
            self._close(connection)
        elif http.unread and connection in self._idle:
            self._idle.discard(connection)
            self._heads.add(connection)

    def _run_out(self, connection: Connection, waiting: Waiting) -> None:
        """A connection's time is up (RFC 9110, section 15.5.9; RFC 9112, section 9.5)."""
        if waiting is self._heads:
            self._refuse(connection, Refusal(408, "The head of the request does not end."))
        else:
            self._close(connection)

    def _refuse(self, connection: Connection, refusal: Refusal) -> None:
        log_refusal(connection.client, refusal)
        with suppress(OSError):
            connection.sock.send(connection.http.refuse(refusal))
        self._unwatch(connection)
        self._leave(connection)

    # --- in a thread, and back --------------------------------------------------------------

    def _answer(self, connection: Connection, request: Request) -> None:
        """The job of a thread: call the application, and bring the connection back."""
        again = False
        try:
            connection.http.last |= self._stops > 0
            access = Access(connection.client, request)
            is_whole = WSGICall(connection, request).run(self._app, self._settings)
            access.end(connection.http)
            again = is_whole and connection.http.next_cycle()
        finally:
            self._answered.append((connection, again))
            self._ring()

    def _ring(self) -> None:
        with suppress(BlockingIOError):  # it rings already
            self._rope.send(b"!")

    def _heed(self) -> None:
        """Other threads have something to tell: take back the connections they are done with."""
        self._bell.recv(4096)
        while self._answered:
            connection, again = self._answered.popleft()
            self._busy.discard(connection)
            if again and not self._stops:
                self._watch(connection, self._idle)
                self._look(connection)
            else:
                self._leave(connection)

    # --- the end ----------------------------------------------------------------------------

    def _leave(self, connection: Connection) -> None:
        """Close a connection whose client may still be sending.

        Were it closed at once, the kernel would answer what still comes with a reset, on which
        the client's kernel throws away the response before it is read. So only this side is
        closed, and a moment is given to the other (RFC 9112, section 9.6).
        """
        try:
            if connection.http.client_may_send:
                connection.sock.shutdown(socket.SHUT_WR)
                self._watch(connection, self._leaving)
                return
        except OSError:
            pass
        connection.sock.close()

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
        for connection in self._busy:
            connection.http.last = True
        end = time.monotonic() + self._settings.stop_timeout
        while self._busy and self._stops < 2 and time.monotonic() < end:
            self._turn(end)
        if self._busy:
            log_cut_off(len(self._busy))

    def _close_all(self) -> None:
        self._selector.close()
        for connection in [*self._idle, *self._heads, *self._leaving, *self._busy]:
            connection.sock.close()
        self._bell.close()
        self._rope.close()
