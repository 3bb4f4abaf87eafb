"""The frame of every page: what base.html needs to know, whichever page it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microweb import Request, Response, Templates

from .csrf import csrf_token
from .visitor import signed_in
from .whereabouts import server_of

templates = Templates(Path(__file__).parent / "templates")

# The rooms of the house, as the navigation shows them: (name of the route, what it is called).
ROOMS = (
    ("home", "Seam"),
    ("guestbook.index", "Guestbook"),
    ("feed.index", "Feed"),
    ("chat.index", "Chat"),
    ("session.index", "Session"),
)


def page(request: Request, name: str, status: int = 200, **context: Any) -> Response:
    """The template `name` in the frame, for this visitor."""
    response = templates.response(
        request,
        name,
        status,
        rooms=ROOMS,
        account=signed_in(request),
        flash=request.session.pop("flash", None),
        csrf_token=lambda: csrf_token(request),  # called where there is a form, and only there
        server=server_of(request)[0],
        other_door=request.app.state.doors.other(request),
        source=request.route.handler.__module__ if request.route else __name__,
        **context,
    )
    # It is one visitor's page, with the secret of their forms in it: nobody may keep a copy.
    response.headers["cache-control"] = "no-store"
    return response
