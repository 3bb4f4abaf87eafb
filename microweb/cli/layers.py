"""microweb layers"""

from __future__ import annotations

import sys

import click

from .trace import ASGI, SERVER, TIMEOUT, WSGI, Doors


@click.command(cls=Doors, short_help="Print who stands above a handler.")
@click.argument("words", nargs=-1, metavar="[TARGET] [METHOD] [PATH]")
@WSGI
@ASGI
@SERVER
@TIMEOUT
def layers(
    words: tuple[str, ...],
    wsgi: tuple[str, ...],
    asgi: tuple[str, ...],
    servers: tuple[str, ...],
    timeout: float,
) -> None:
    """Print which packages stand where between the socket and the handler.

    \b
    microweb layers shop:app GET /orders
    microweb layers --wsgi flask_app:app --asgi fastapi_app:app GET /

    It is taken from the call stack at the handler that answers the request, under a real
    server. So name a path for which you have a handler.
    """
    from ..tracing.layers.view import show_layers
    from ..tracing.terminal import console_for
    from .trace import taken

    recordings, trace = taken(words, wsgi, asgi, servers, timeout, layers=True)
    show_layers(trace, console_for())
    sys.exit(0 if all(each.was_called for each in recordings) else 1)
