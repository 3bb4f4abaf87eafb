"""The demo put together: one App, its layers, and the rooms of the house."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from microweb import App, HTTPException, Request, Response, SessionMiddleware

from . import account, api, chat, examples, feed, guestbook, home, whoami
from .layers import arrival, security_headers, timing
from .neighbours import Doors
from .notes import Notes
from .pages import page
from .settings import COOKIE, secret_key

# What an error can be told in; the first is for those who take anything.
FORMS = ("text/plain", "application/problem+json", "application/json", "text/html")

ROUTERS = (home, whoami, guestbook, api, feed, chat, account, examples)


def make_site(folder: Path) -> App:
    """The demo, with what visitors leave in `folder`; its layers from the outermost inwards."""
    site = App(max_upload_size=16 * 1024 * 1024)
    site.middleware(timing)
    site.middleware(arrival)
    site.middleware(security_headers)
    site.middleware(SessionMiddleware(secret_key(folder), cookie=COOKIE))
    for room in ROUTERS:
        site.mount("", room.router)
    site.static("/static", Path(__file__).parent / "static")
    site.exception_handler(HTTPException)(error_page)

    @site.lifespan
    def life(app: App) -> Iterator[dict[str, Any]]:  # noqa: ARG001
        """Runs once in each process: before the yield at its start, after it at its end."""
        images = folder / "images"
        images.mkdir(exist_ok=True)
        notes = Notes(folder / "notes.sqlite3")
        with notes.opened(), closing(Doors(folder)) as doors:
            yield {
                "started": datetime.now(UTC),
                "notes": notes,
                "images": images,
                "doors": doors,
            }

    return site


def error_page(request: Request, error: HTTPException) -> Response:
    """A page of the house for browsers. Programs get the framework's own answer, as if raised."""
    if error.status < 400 or request.prefers(*FORMS) != "text/html":
        raise error
    phrase = HTTPException(error.status).detail  # the status's own
    response = page(request, "error.html", error.status, error=error, phrase=phrase)
    response.headers["vary"] = "accept"
    return response
