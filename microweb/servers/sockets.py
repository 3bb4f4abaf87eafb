r"""What has all this to do with sockets? The bottom of the story, to be watched in two terminals.

A socket is what the kernel gives to a program that wants to talk with another one, on the same
machine or across the world. The kernel carries the bytes (that is TCP); the programs make a few
calls, which are printed here as they return. In one terminal a server, which says again what it
hears:

    $ python -m microweb.servers.sockets echo
    socket()                                 # a socket, connected to nothing yet
    bind(('127.0.0.1', 9000))                # clients will find it here
    listen()                                 # from now on they may come, and queue
    accept() waits                           # for a client; Ctrl+C ends it
    accept() -> socket, ('127.0.0.1', 50312) # a second socket, for this one alone
    recv(4096) -> b'Hello, sockets!'
    sendall(b'Hello, sockets!')
    recv(4096) -> b''                        # the other side has closed
    close()                                  # the second socket; the first stays
    accept() waits                           # for a client; Ctrl+C ends it
    ^C
    close()                                  # and the port is free again

In the other, while the server waits, a client. (It says other words too: `client one two`.)

    $ python -m microweb.servers.sockets client
    socket()                                 # a socket, connected to nothing yet
    connect(('127.0.0.1', 9000))             # the other end is the server's
    sendall(b'Hello, sockets!')
    recv(10) -> b'Hello, soc'
    recv(10) -> b'kets!'
    close()                                  # the server hears of it: b''

The next step is the same server with a browser for its client. What comes is text, and so is
what goes back: HTTP is nothing but an agreement on what they say (RFC 9112, section 2.1).

    $ python -m microweb.servers.sockets browser
    ...
    accept() waits                           # open http://127.0.0.1:9001
    accept() -> socket, ('127.0.0.1', 50318) # a second socket, for this one alone
    recv(4096) -> b'GET / HTTP/1.1\r\n'
                  b'Host: 127.0.0.1:9001\r\n'
                  ...
                  b'\r\n'
    sendall(b'HTTP/1.1 200 OK\r\n'
            b'Content-Type: text/html; charset=utf-8\r\n'
            b'Content-Length: 91\r\n'
            b'Connection: close\r\n'
            b'\r\n'
            b'<!doctype html><html lang="en"><title>By hand</title>\n'
            b'<p>These bytes were written by hand.\n')
    shutdown(SHUT_WR)                        # all is said, but it still listens
    recv(4096) -> b''                        # the other side has closed
    close()                                  # the second socket; the first stays
    accept() waits                           # open http://127.0.0.1:9001

In place of the dots a browser says who it is and what it prefers. It may also come again, for
an icon, or to keep a spare connection. What is missing here is what makes a server: to read
what was asked for, bodies, many clients at once. Read on in http11.py and wsgi.py.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Callable

HOST = "127.0.0.1"  # this machine alone; nobody else can connect
MOST = 4096  # bytes: what one recv() may bring; it brings what is there, and waits for the first

Talk = Callable[[socket.socket], None]


def serve(port: int, talk: Talk, waits_for: str) -> None:
    """The server's calls: socket, bind, listen, and accept, for one client after the other.

    One at a time: a client that says nothing keeps all others waiting. That is why real servers
    have threads, like wsgi.py, or a loop that watches many sockets, like asgi.py.
    """
    # INET: an address is a machine's number and a port, which tells its programs apart (IPv4).
    # STREAM: and TCP carries the bytes.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        say("socket()", "a socket, connected to nothing yet")
        # TCP remembers a connection for a minute after its end (TIME-WAIT; RFC 9293, section
        # 3.3.2). Without this a server that starts again meanwhile would find its port in use.
        if os.name == "posix":  # on Windows it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        address = listener.getsockname()  # for port 0 the kernel has chosen one
        say(f"bind({address})", "clients will find it here")
        listener.listen()
        say("listen()", "from now on they may come, and queue")
        while True:
            say("accept() waits", waits_for.format(*address))
            try:
                connection, peer = listener.accept()
                with connection:
                    say(f"accept() -> socket, {peer}", "a second socket, for this one alone")
                    talk(connection)
            except OSError as error:  # it left rudely, or took too long: the next one, please
                say(type(error).__name__, str(error))
            say("close()", "the second socket; the first stays")


def echo(connection: socket.socket) -> None:
    """The echo server's part of the conversation: whatever is heard is said again."""
    while data := recv(connection, MOST):  # b"" means that the client has closed its side
        sendall(connection, data)


def client(port: int, words: list[str]) -> None:
    """The client's calls: socket and connect; then it says each word, and waits for its echo."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        say("socket()", "a socket, connected to nothing yet")
        connection.connect((HOST, port))
        say(f"connect({(HOST, port)})", "the other end is the server's")
        for word in map(os.fsencode, words):  # sockets carry bytes, and know no text
            sendall(connection, word)
            # TCP carries a stream without borders (RFC 9293, section 2.2): what one call sends,
            # several may receive. So one must know when all is there; 10 is little, to show it.
            # (Words are short. Who sends much must receive meanwhile, or both sides wait for
            # good, each of them for the other to read.)
            received = b""
            while len(received) < len(word):
                data = recv(connection, 10)
                if not data:
                    raise ConnectionError("it closed before the whole echo was there")
                received += data
    say("close()", "the server hears of it: b''")


# --- the next step: a browser -------------------------------------------------------------

# Browsers open spare connections and say nothing on them until they need one. As only one is
# served at a time, who is silent for so many seconds must go, or the page might never come.
# (Who sends a byte a second may stay: a real server has a limit for the head as a whole.)
PATIENCE = 2.0
MAX_HEAD = 64 * 1024  # bytes: who comes from outside must not decide how much memory is taken

PAGE = (
    b'<!doctype html><html lang="en"><title>By hand</title>\n'  # HTML: to HTTP it is just bytes
    b"<p>These bytes were written by hand.\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"  # a stream has no borders: this says where the page ends
    b"Connection: close\r\n"
    b"\r\n"
    b"%s"
) % (len(PAGE), PAGE)


def answer(connection: socket.socket) -> None:
    """A server's part of HTTP, as small as it gets: any request is answered with one page."""
    connection.settimeout(PATIENCE)
    head = b""
    # The head may come in any pieces; it ends with a blank line (RFC 9112, section 2.1).
    while b"\r\n\r\n" not in head:
        data = recv(connection, MOST)
        if not data:
            return  # it has closed without a request
        head += data
        if len(head) > MAX_HEAD:
            raise ConnectionError("this head never ends")
    sendall(connection, RESPONSE)
    # To close while the client still sends would reset the connection, and might destroy the
    # answer on its way. So only this side is closed, and the rest is heard (section 9.6).
    connection.shutdown(socket.SHUT_WR)
    say("shutdown(SHUT_WR)", "all is said, but it still listens")
    for _ in range(256):  # and then it is enough
        if not recv(connection, MOST):
            break


# --- the calls, printed -------------------------------------------------------------------


def recv(connection: socket.socket, most: int) -> bytes:
    """At most so many bytes, as soon as there are any; b"" when the other side has closed."""
    data = connection.recv(most)
    say(f"recv({most}) -> {spelled(data, 14)}", "" if data else "the other side has closed")
    return data


def sendall(connection: socket.socket, data: bytes) -> None:
    """Give all of the data to the kernel; `send` may take a part, and says how much it took."""
    connection.sendall(data)
    say(f"sendall({spelled(data, 8)})")


def spelled(data: bytes, indent: int) -> str:
    """Bytes as Python spells them, one literal for each line."""
    return ("\n" + " " * indent).join(map(repr, data.splitlines(keepends=True) or [data]))


def say(call: str, why: str = "") -> None:
    """Print a line at once, into a pipe too."""
    print(f"{call:<40} # {why}" if why else call, flush=True)


PORTS = {"echo": 9000, "client": 9000, "browser": 9001}


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m microweb.servers.sockets",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, port in PORTS.items():
        what = f"{port}, if not given; 0 takes one that is free"
        commands.add_parser(name).add_argument("--port", type=int, default=port, help=what)
    commands.choices["client"].add_argument("words", nargs="*", default=["Hello, sockets!"])
    asked = parser.parse_args(arguments)
    try:
        if asked.command == "client":
            client(asked.port, asked.words)
        elif asked.command == "echo":
            serve(asked.port, echo, "for a client; Ctrl+C ends it")
        else:
            serve(asked.port, answer, "open http://{}:{}")
    except KeyboardInterrupt:
        print()  # the terminal has shown ^C
        say("close()", "and the port is free again")
        return 130  # as shells have it for whoever was ended by SIGINT
    except (OSError, OverflowError) as error:
        print(mend(error, asked.port), file=sys.stderr)
        return 1
    return 0


def mend(error: Exception, port: int) -> str:
    """What went wrong, for somebody who meets it for the first time, and what to do."""
    match error:
        case OverflowError():
            return f"there is no port {port}: they go from 0 to 65535. Take another: --port 9000"
        case PermissionError() if port < 1024:
            return f"ports below 1024, like {port}, are not for everyone. Take another: --port 9002"
        case OSError(errno=errno.EADDRINUSE):
            return f"port {port} is in use. Stop who listens there, or take a free one: --port 0"
        case ConnectionRefusedError():
            return (
                f"nobody listens on port {port}. First start the server, in another terminal:\n"
                f"    python -m microweb.servers.sockets echo --port {port}"
            )
        case ConnectionError():
            return f"the server ended the conversation ({error}). Its terminal says why."
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
