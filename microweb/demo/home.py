"""The home page: by which door the visitor came in, and what else there is to see."""

from __future__ import annotations

from datetime import datetime
from html import escape

from microweb import Request

from .doors import DOORS, picture
from .pages import code, facts, href, page
from .whereabouts import server_of, whereabouts

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
        ("/echo", "Only POST is taken here, so a link gets a 405; a command can do more:"),
    ],
}


def home_page(request: Request, started: datetime) -> str:
    """The page for this visitor; `started` is when this process began to serve."""
    door = DOORS[request.protocol]
    name = request.protocol.upper()
    server, how_known = server_of(request)
    here = request.state.arrival
    loop = f"on the event loop {code(here.loop)}" if here.loop else "without an event loop"
    content = f"""
<p class="back">microweb demo</p>
<h1>You came in through the <strong class="door {request.protocol}">{name}</strong> door.</h1>
<p class="lead"><b>{escape(server) or "A server without a name"}</b> {door.verb}
{code(door.call)} in process <b>{here.process}</b>, thread <b>{escape(here.thread)}</b>, {loop}.</p>
{picture(request.protocol, server)}
{facts(_details(request, how_known, started))}
<p>To come in by the other door, run {code(door.other)} in a second terminal, and open
port 8001. The handlers are the same, to the letter; only the gateway is another.</p>
{"".join(_group(request, title) for title in LINKS)}
<pre>{escape(_echo_command(request))}</pre>"""
    return page(request, f"microweb: the {name} door", content)


def _details(request: Request, how_known: str, started: datetime) -> list[tuple[str, str]]:
    made = whereabouts()
    if made == request.state.arrival:
        why = "a plain handler is called right there, where the server called the application."
    else:
        why = "a plain handler runs in a worker thread, so that it cannot stop the loop."
    return [
        ("Which server", escape(how_known)),
        ("Page made in", f"Thread {code(made.thread)}: {why}"),
        ("Serving since", f"{started:%H:%M:%S} UTC, as the lifespan noted in this process."),
    ]


def _group(request: Request, title: str) -> str:
    items = [
        f'<li><a href="{href(request, path)}">{code(path)}</a> <span>{escape(shows)}</span></li>'
        for path, shows in LINKS[title]
    ]
    return f'<h2>{escape(title)}</h2><ul class="links">{"".join(items)}</ul>'


def _echo_command(request: Request) -> str:
    # url_for gives an absolute URL. Its host is what the client claims: good enough to show.
    return f"""curl -H 'content-type: application/json' -d '{{"tea": "green"}}' \\
     {request.url_for("echo")}"""
