"""The other door: where the demo is served through the other protocol, if it is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from microweb import Request


class Doors:
    """Each door leaves its port in a file of the common folder, for the other one to find.

    A real site knows its own addresses. The demo's doors are opened by hand, one after the
    other, on whatever ports; so each says where it is, and a page can link to its twin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ours: set[Path] = set()

    def other(self, request: Request) -> str | None:
        """The URL of the page that was asked for, by the other door; None if that is closed."""
        host, port = _host_and_port(request)
        if port != request.server[1]:
            return None  # there is a proxy between us and the browser; only it knows the ways
        self._leave(request.protocol, f"{port}{request.root_path}")
        there = self._read("asgi" if request.protocol == "wsgi" else "wsgi")
        other_port, slash, root_path = there.partition("/")
        if not other_port or int(other_port) == port:
            return None
        return f"{request.scheme}://{host}:{other_port}{quote(slash + root_path + request.path)}"

    def close(self) -> None:
        """Say no longer that this door is open."""
        for file in self._ours:
            file.unlink(missing_ok=True)

    def _leave(self, protocol: str, address: str) -> None:
        file = self.folder / f"{protocol}.door"
        self._ours.add(file)
        if self._read(protocol) != address:
            file.write_text(address, "utf-8")

    def _read(self, protocol: str) -> str:
        try:
            return (self.folder / f"{protocol}.door").read_text("utf-8")
        except FileNotFoundError:
            return ""


def _host_and_port(request: Request) -> tuple[str, int]:
    host, colon, port = request.host.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        return request.host, {"http": 80, "https": 443}[request.scheme]
    return host, int(port[:5])
