"""Large bodies over raw sockets: a client that costs next to nothing, and needs no memory."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .servers import HOST

MIB = 1024 * 1024
LARGE = 256 * MIB
KEPT = 1024  # bytes of the end of a body
PATIENCE = 60.0  # seconds that any one step may take
# Random, so that a search for the boundary meets as many false starts as in a real file.
BLOCK = random.Random(0).randbytes(MIB)
BOUNDARY = b"----------------------0123456789abcdef"

_PREAMBLE = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
_EPILOGUE = b"\r\n--" + BOUNDARY + b"--\r\n"
_buffer = memoryview(bytearray(MIB))


class Answer(NamedTuple):
    """A response: its status, the length of its body, the body's end, and its digest if asked."""

    status: int
    length: int
    end: bytes
    digest: str


def digest_of(size: int) -> str:
    """The SHA-256 of `size` bytes of BLOCKs, in hexadecimal."""
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(BLOCK)
    return digest.hexdigest()


def write_file(path: Path, size: int = LARGE) -> Path:
    """A file of `size` bytes of BLOCKs, a multiple of 1 MiB."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(BLOCK)
    return path


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A raw connection to a server on this machine."""
    with socket.create_connection((HOST, port), PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def download(port: int, target: str, digest: bool = False) -> Answer:
    """GET a target; its body is read, but for its end not kept."""
    with connected(port) as connection:
        connection.sendall(_head("GET", target))
        return _read(connection, digest)


def upload(port: int, target: str, size: int = LARGE) -> Answer:
    """POST a body of `size` bytes of BLOCKs, a multiple of 1 MiB, as it is."""
    with connected(port) as connection:
        connection.sendall(_head("POST", target, f"Content-Length: {size}"))
        _send_blocks(connection, size)
        return _read(connection)


def upload_form(port: int, target: str, size: int = LARGE) -> Answer:
    """POST a multipart form whose one file, called "file", has `size` bytes of BLOCKs."""
    with connected(port) as connection:
        connection.sendall(form_head(target, size))
        _send_blocks(connection, size)
        connection.sendall(_EPILOGUE)
        return _read(connection)


def form_head(target: str, size: int = LARGE) -> bytes:
    """The beginning of such a form's request, up to the first byte of the file."""
    length = len(_PREAMBLE) + size + len(_EPILOGUE)
    content_type = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    headers = (f"Content-Length: {length}", f"Content-Type: {content_type}")
    return _head("POST", target, *headers) + _PREAMBLE


def _head(method: str, target: str, *headers: str) -> bytes:
    lines = (f"{method} {target} HTTP/1.1", f"Host: {HOST}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode()


def _send_blocks(connection: socket.socket, size: int) -> None:
    for _ in range(size // MIB):
        connection.sendall(BLOCK)


def _read(connection: socket.socket, digest: bool = False) -> Answer:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise AssertionError(f"the connection ended in the head: {received!r}")
        received += piece
    head, _, end = received.partition(b"\r\n\r\n")
    length = len(end)
    hasher = hashlib.sha256(end)
    while count := connection.recv_into(_buffer):
        length += count
        end = (end + _buffer[max(0, count - KEPT) : count])[-KEPT:]
        if digest:
            hasher.update(_buffer[:count])
    return Answer(int(head.split(b" ", 2)[1]), length, end, hasher.hexdigest() if digest else "")
