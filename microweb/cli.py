"""The `microweb` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from .app import App
from .model.response import describe
from .recognise import recognise
from .targets import TargetError, load


@click.group()
@click.version_option(package_name="microweb")
def main() -> None:
    """microweb: one application, two doors."""


# --- run --------------------------------------------------------------------------------------


def root_path(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A root path as servers and applications expect it, or click.BadParameter."""
    if value and not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not begin with a slash: /{value}")
    if value.endswith("/"):
        raise click.BadParameter(
            f"{value!r} ends with a slash: {value.rstrip('/') or 'leave the option out'}"
        )
    return value


@main.command()
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
    from .run import choose, serve
    from .servers.settings import CannotServe, Settings

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


# --- routes -----------------------------------------------------------------------------------


@main.command()
@click.argument("target")
def routes(target: str) -> None:
    """Print an application's routes and mounts.

    TARGET is module:attribute: an App, or one of its two doors.
    """
    app = app_of(target, loaded(target))
    here = f"{Path.cwd()}/"
    rows = [
        (" ".join(route.methods), route.path, route.name, describe(route.handler))
        for route in app.routes
    ]
    rows += [
        ("(all)", f"{mount.prefix}/...", f"({mount.protocol})", describe(mount.app))
        for mount in app.mounts
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        fixed = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False))
        click.echo(f"{fixed}  {row[3].replace(here, '')}")


def app_of(target: str, found: Any) -> App:
    """The App that was found, or whose door; click.UsageError says what it is otherwise."""
    app = found if isinstance(found, App) else getattr(found, "app", None)
    if not isinstance(app, App):
        raise click.UsageError(
            f"only a microweb App has a table of routes that could be printed here."
            f" {recognise(found).sentence(target)}"
        )
    return app


# --- doctor -----------------------------------------------------------------------------------


@main.command()
@click.argument("target")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Seconds that each command is given.",
)
def doctor(target: str, timeout: float) -> None:
    """Say what an application is, and which servers serve it.

    TARGET is module:attribute. It is recognised by its shape, and then the commands of
    gunicorn, uvicorn and this program that could serve it are tried: each one is started on
    a free port, is asked for / once, and stopped. So TARGET's module is imported once by each
    of them, two at a time, and whatever it does when it is imported it does that often.

    Exit status 0 if at least one of them serves it, otherwise 1.
    """
    from .doctor.report import examine

    finding = recognise(loaded(target))
    sys.exit(0 if examine(target, finding, timeout) else 1)


def loaded(target: str) -> Any:
    """What a target names; click.UsageError where it names nothing."""
    try:
        return load(target)
    except TargetError as error:
        raise click.UsageError(str(error)) from None
