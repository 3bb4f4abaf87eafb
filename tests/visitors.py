"""What visitors of the demo do: read a page, send its forms, leave notes and images."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from .servers import Server, serving

GUESTBOOK = "/guestbook"


@contextmanager
def both_doors(folder: Path) -> Iterator[dict[str, Server]]:
    """The demo as it is meant to be run: each server on a port of its own, over one database."""
    data = {"MICROWEB_DEMO_DATA": str(folder / "data")}
    with (
        serving("gunicorn gthread", "wsgi_app:app", folder, environment=data) as wsgi,
        serving("uvicorn", "asgi_app:app", folder, environment=data) as asgi,
    ):
        yield {"wsgi": wsgi, "asgi": asgi}


class Page(HTMLParser):
    """An HTML page taken apart: its links to elsewhere, its text, its tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""
        self.tags: list[tuple[str, list[str]]] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "a":
            href = dict(attrs).get("href") or ""
            self.links += [href] if not href.startswith("#") else []

    def handle_data(self, data: str) -> None:
        self.text += data

    def element(self, **attributes: str) -> dict[str, str]:
        """The attributes of the one element that has these."""
        [found] = [own for _, own in self.elements if own.items() >= attributes.items()]
        return found


def page_of(response: httpx.Response) -> Page:
    """The page that a response is."""
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Page(response.text)


def csrf_of(client: httpx.Client, path: str = GUESTBOOK) -> str:
    """The secret in a page's forms."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found is not None, f"{path} has no form"
    return found[1]


def leave(
    client: httpx.Client,
    name: str = "Ada",
    text: str = "Hello",
    image: bytes | None = None,
    *,
    root_path: str = "",
    **fields: str,
) -> httpx.Response:
    """Send the guestbook's form as a browser does: with an empty file where none was chosen."""
    path = root_path + GUESTBOOK
    data = {"csrf": csrf_of(client, path), "name": name, "text": text, **fields}
    chosen: Any = ("photo.bin", image, "image/png") if image is not None else ("", b"", OCTETS)
    return client.post(path, data=data, files={"image": chosen})


def sign_in(client: httpx.Client, account: str, password: str = "open sesame") -> httpx.Response:
    """Send the form of the session's page."""
    data = {"csrf": csrf_of(client, "/session"), "account": account, "password": password}
    return client.post("/session/sign-in", data=data)


def png(width: int = 2, height: int = 2) -> bytes:
    """A small image, black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(width)) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


OCTETS = "application/octet-stream"
