"""The home page: by which door the visitor came in, and what else there is to see."""

from __future__ import annotations

from urllib.parse import quote

from microweb import Request, Response, Router

from .doors import DOORS
from .pages import page
from .whereabouts import server_of, whereabouts

router = Router()

# For each group of links: (path, what it shows).
LINKS = {
    "The seam": [
        ("/whoami", "What the server handed over, beside the Request made of it."),
        (
            "/whoami/café",
            "The same with an é in the path, which the two protocols spell differently.",
        ),
    ],
    "What a handler returns": [
        ("/text", "A str becomes plain text."),
        ("/json", "A dict becomes JSON."),
        ("/hello/Ada", "A segment of the path becomes an argument of the handler."),
        ("/hello/<b>Ada", "A tag in it stays harmless, because a str is never sent as HTML."),
        ("/square/12", "The int converter makes a number of a segment."),
        ("/square/twelve", "Twelve in letters is no number, so no route matches."),
    ],
    "Plain and async code": [
        ("/plain", "The thread in which a def handler runs."),
        ("/async", "The thread and the event loop in which an async def handler runs."),
        ("/stream", "Five lines from a generator, each sent before the next one is made."),
        ("/stream/async", "The same from an async generator, and it streams by both doors."),
    ],
    "Other answers": [
        ("/redirect", "A 302 to a path built from the name of a route."),
        ("/teapot", "An HTTPException, raised by a handler, becomes its answer."),
        ("/error", "A bug gives the client a bare 500, and the server's log a traceback."),
        ("/nowhere", "The 404 page; a program that does not ask for HTML gets a line of text."),
        ("/api/notes", "The guestbook as JSON, for programs; they can POST to it, too."),
        ("/echo", "Only POST is taken here, so a link gets a 405; a command can do more:"),
    ],
}


@router.get("/")
def home(request: Request) -> Response:
    """Tell visitors which door they came in by."""
    made = whereabouts()
    return page(
        request,
        "home.html",
        door=DOORS[request.protocol],
        how_known=server_of(request)[1],
        here=request.state.arrival,
        made=made,
        called_right_there=made == request.state.arrival,
        started=request.app.state.started,
        links={
            title: [(quote(request.root_path + path), path, shows) for path, shows in group]
            for title, group in LINKS.items()
        },
    )
