"""microweb run"""

from __future__ import annotations

import click

from ..targets import TargetError


def root_path(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A root path as servers and applications expect it, or click.BadParameter."""
    if value and not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not begin with a slash: /{value}")
    if value.endswith("/"):
        raise click.BadParameter(
            f"{value!r} ends with a slash: {value.rstrip('/') or 'leave the option out'}"
        )
    return value


@click.command()
@click.argument("target")
@click.option("--wsgi", is_flag=True, help="Serve it through WSGI.")
@click.option("--asgi", is_flag=True, help="Serve it through ASGI.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; 0.0.0.0 for all networks.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes one that is free.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="How many WSGI calls run at once; 40 if not given.",
)
@click.option(
    "--root-path",
    default="",
    callback=root_path,
    help="The path, as /shop, below which a proxy makes it seen.",
)
@click.option(
    "--access-log/--no-access-log",
    default=True,
    show_default=True,
    help="A line on stderr for each request.",
)
def run(
    target: str,
    wsgi: bool,
    asgi: bool,
    host: str,
    port: int,
    threads: int | None,
    root_path: str,
    access_log: bool,
) -> None:
    """Serve an application until Ctrl+C.

    TARGET is module:attribute: an App, or any WSGI or ASGI application, of whatever
    framework; it is recognised by its shape. An App is served through ASGI, because only ASGI
    carries its WebSockets, and through WSGI with --wsgi.

    The two servers behind this command are there to be read: microweb/servers. For
    production there are gunicorn and uvicorn.
    """
    from ..run import choose, serve
    from ..servers.settings import CannotServe, Settings

    if wsgi and asgi:
        raise click.UsageError("--wsgi and --asgi: give one of them")
    try:
        protocol, app = choose(target, "wsgi" if wsgi else "asgi" if asgi else None)
    except TargetError as error:
        raise click.UsageError(str(error)) from None
    settings = Settings(host=host, port=port, root_path=root_path)
    if threads is not None:
        if protocol == "asgi":
            raise click.UsageError(
                "--threads is for WSGI, where each call takes one: add --wsgi, or leave it out."
                " Through ASGI an App has its own: App(threads=...)"
            )
        settings = Settings(host=host, port=port, root_path=root_path, threads=threads)
    try:
        serve(protocol, app, settings, access_log)
    except CannotServe as error:
        raise click.ClickException(str(error)) from None
