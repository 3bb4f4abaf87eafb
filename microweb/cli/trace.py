"""microweb trace"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from ..trace import Taken
    from ..tracing.format import Trace


class Doors(click.Command):
    """A command whose --wsgi and --asgi stand alone, or before the target that they are for."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        for word in args:
            if words[-1:] in (["--wsgi="], ["--asgi="]) and _is_target(word):
                words[-1] += word
            else:
                words.append(f"{word}=" if word in ("--wsgi", "--asgi") else word)
        return super().parse_args(ctx, words)


def _is_target(word: str) -> bool:
    """Whether a word is module:attribute, and no path and no option."""
    return ":" in word and not word.startswith(("/", "-"))


WSGI = click.option(
    "--wsgi", multiple=True, metavar="[TARGET]", help="Through WSGI; this one, if it is named here."
)
ASGI = click.option(
    "--asgi", multiple=True, metavar="[TARGET]", help="Through ASGI; this one, if it is named here."
)
SERVER = click.option(
    "--server",
    "servers",
    multiple=True,
    type=click.Choice(["gunicorn", "uvicorn", "microweb", "waitress", "hypercorn"]),
    help="If not given, gunicorn for WSGI and uvicorn for ASGI. Several are compared.",
)
TIMEOUT = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)


@click.command(cls=Doors, short_help="Record a request, and draw what crossed.")
@click.argument("words", nargs=-1, metavar="[TARGET] [METHOD] [PATH]")
@WSGI
@ASGI
@click.option("--both", is_flag=True, help="Through both; so it is for an App anyway.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header.")
@click.option(
    "-d",
    "--data",
    multiple=True,
    metavar="DATA",
    help="The body, or @FILE. Several are sent one by one, chunked.",
)
@click.option("--leave", is_flag=True, help="Go away as soon as the body of the answer begins.")
@SERVER
@TIMEOUT
@click.option("--secrets", is_flag=True, help="Show Authorization, Cookie and their like.")
@click.option(
    "--html",
    "page",
    type=click.File("w", encoding="utf-8"),
    help="Write it as a page to look at, in one file.",
)
@click.option(
    "--json",
    "file",
    type=click.File("w", encoding="utf-8"),
    help="Write the trace to a file, in lines of JSON; - is stdout.",
)
def trace(
    words: tuple[str, ...],
    wsgi: tuple[str, ...],
    asgi: tuple[str, ...],
    both: bool,
    headers: tuple[str, ...],
    data: tuple[str, ...],
    leave: bool,
    servers: tuple[str, ...],
    timeout: float,
    secrets: bool,
    page: TextIO | None,
    file: TextIO | None,
) -> None:
    """Record a request on its way from the wire to the handler and back, and draw it.

    \b
    microweb trace shop:app GET /orders -H 'accept: text/html'
    microweb trace shop:app POST /orders -d @order.json --asgi
    microweb trace --wsgi flask_app:app --asgi fastapi_app:app GET /

    TARGET is module:attribute: an App, which is recorded through both of its doors, or any
    WSGI or ASGI application. METHOD is GET, or POST where there is data, and PATH is /.

    The application is served by a real server, which is asked once and stopped again; a relay
    in front of it sees the bytes, and a recorder around the application sees the calls.

    Exit status 0 if the application was called, otherwise 1.
    """
    from ..tracing.format import dump
    from ..tracing.terminal import show

    recordings, recorded = taken(
        words, wsgi, asgi, servers, timeout, both, headers, data, leave, secrets
    )
    if file is not None:
        dump(recorded, file)
    if page is not None:
        from ..explorer.page import page_of

        page.write(page_of(recorded, [each.trouble for each in recordings]))
    if sys.stdout not in (file, page):
        show(recorded)
    sys.exit(0 if all(each.was_called for each in recordings) else 1)


def taken(
    words: Sequence[str],
    wsgi: Sequence[str],
    asgi: Sequence[str],
    servers: Sequence[str],
    timeout: float,
    both: bool = False,
    headers: Sequence[str] = (),
    data: Sequence[str] = (),
    leave: bool = False,
    secrets: bool = False,
    layers: bool = False,
) -> tuple[list[Taken], Trace]:
    """The recordings that a command line asks for; click's errors say what is wrong with it."""
    from .. import trace as tracing
    from ..targets import TargetError
    from ..tracing.asked import asked
    from ..tracing.servers import CannotRecord

    try:
        doors, rest = tracing.doors(words, wsgi, asgi, both)
        request = asked(*tracing.line(rest, "POST" if data else "GET"), headers, data, leave)
        plans = [plan for door in doors for plan in tracing.plans(*door, servers, secrets, layers)]
        recordings = tracing.record(plans, request, timeout)
    except (TargetError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    except CannotRecord as error:
        raise click.ClickException(str(error)) from None
    for each in recordings:
        if each.trouble is not None:
            click.echo(f"{each.trouble}\n", err=True)
    return recordings, tracing.together([each.trace for each in recordings])
