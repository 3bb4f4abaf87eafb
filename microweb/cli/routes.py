"""microweb routes"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..app import App
from ..model.response import describe
from ..recognise import recognise
from .loading import loaded


@click.command()
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
