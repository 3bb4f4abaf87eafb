"""The two doors, in words: what is called, what goes in, what comes out."""

from __future__ import annotations

from dataclasses import dataclass


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
