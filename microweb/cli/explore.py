"""microweb explore"""

from __future__ import annotations

import click

from .trace import ASGI, SERVER, TIMEOUT, WSGI, Doors


@click.command(cls=Doors, short_help="Watch requests cross, on a page in your browser.")
@click.argument("words", nargs=-1, metavar="[TARGET]")
@WSGI
@ASGI
@SERVER
@TIMEOUT
@click.option("--secrets", is_flag=True, help="Show Authorization, Cookie and their like.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where the page is served, at a port:"
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0 takes one that is free.",
)
@click.option("--open/--no-open", "opens", default=True, help="Whether a browser is opened.")
def explore(
    words: tuple[str, ...],
    wsgi: tuple[str, ...],
    asgi: tuple[str, ...],
    servers: tuple[str, ...],
    timeout: float,
    secrets: bool,
    host: str,
    port: int,
    opens: bool,
) -> None:
    """Send requests through both doors of an application, and watch them cross, until Ctrl+C.

    \b
    microweb explore
    microweb explore shop:app
    microweb explore --wsgi flask_app:app --asgi fastapi_app:app
    microweb explore shop:app --asgi --server uvicorn --server hypercorn

    TARGET is module:attribute: an App, which is served through both of its doors, or any WSGI
    or ASGI application; the demo, if you name none. A relay in front of each server sees the
    bytes, and a recorder around the application sees the calls.

    The page is for this machine alone: whoever can open it can send requests to the
    application. A recording is kept by a link on it, or by microweb trace --html FILE.
    """
    import asyncio
    from contextlib import suppress

    from ..explorer.explore import explore as serve
    from ..explorer.scenarios import DEMO, scenarios_for
    from ..servers.settings import CannotServe, Settings
    from ..targets import TargetError
    from ..trace import doors, plans
    from ..tracing.servers import CannotRecord

    try:
        named = words if words or any(wsgi) or any(asgi) else (DEMO,)
        found, rest = doors(named, wsgi, asgi, both=False)
        if rest:
            raise ValueError(f"{' '.join(rest)!r}: requests are made on the page, not here")
        planned = [plan for door in found for plan in plans(*door, servers, secrets)]
        settings = Settings(host=host, port=port, stop_timeout=1.0)
        with suppress(asyncio.CancelledError):  # by a signal, before the page was served
            asyncio.run(serve(planned, scenarios_for(found[0][0]), settings, timeout, opens))
    except (TargetError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    except (CannotRecord, CannotServe) as error:
        raise click.ClickException(str(error)) from None
