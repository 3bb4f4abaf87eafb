"""The two doors, in words: what is called, what goes in, what comes out; and their picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from .pages import code


@dataclass(frozen=True)
class Door:
    """How one of the two protocols lets a server and an application speak."""

    call: str
    verb: str
    inward: tuple[str, str]
    outward: tuple[str, str]
    specification: str
    other: str  # the command that opens the other door


DOORS = {
    "wsgi": Door(
        call="app.wsgi(environ, start_response)",
        verb="called",
        inward=("environ", "wsgi.input.read()"),
        outward=("start_response(status, headers)", "an iterable of bytes"),
        specification="WSGI (PEP 3333)",
        other=".venv/bin/uvicorn asgi_app:app --port 8001",
    ),
    "asgi": Door(
        call="app.asgi(scope, receive, send)",
        verb="awaited",
        inward=("scope", "await receive()"),
        outward=("await send(start)", "await send(body)"),
        specification="ASGI 3.0",
        other=".venv/bin/gunicorn --threads 4 -b 127.0.0.1:8001 wsgi_app:app",
    ),
}


def picture(protocol: str, server: str) -> str:
    """The two sides and the seam between them, as HTML that turns upright on a phone."""
    door = DOORS[protocol]
    inward = "".join(f'<li class="in">{code(step)}</li>' for step in door.inward)
    outward = "".join(f'<li class="out">{code(step)}</li>' for step in door.outward)
    return f"""
<figure class="picture">
<div class="side server">
<h2>Server</h2>
<p class="name">{escape(server) or "without a name"}</p>
<ul><li>sockets and bytes</li><li>reading and writing HTTP</li>
<li>processes, threads, loops</li></ul>
</div>
<div class="seam">
<p>{escape(door.specification)}</p>
<ul>{inward}{outward}</ul>
</div>
<div class="side framework">
<h2>Framework</h2>
<p class="name">microweb</p>
<ul><li>Request and Response</li><li>layers and routes</li><li>your handlers</li></ul>
</div>
<figcaption>Arrows point the way that data goes, whoever makes the call.</figcaption>
</figure>"""
