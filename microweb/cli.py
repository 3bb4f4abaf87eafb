"""The `microweb` command."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from .app import App
from .model.response import describe


@click.group()
@click.version_option(package_name="microweb")
def main() -> None:
    """microweb: one application, two doors."""


@main.command()
@click.argument("target")
def routes(target: str) -> None:
    """Print an application's routes and mounts.

    TARGET is module:attribute: an App, or one of its two doors.
    """
    app = load_app(target)
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


def load_app(target: str) -> App:
    """The App that `module:attribute[.attribute]` names.

    Raises click.UsageError, saying which part of the target could not be found.
    """
    module_name, colon, attributes = target.partition(":")
    if not (module_name and colon and attributes):
        raise click.UsageError(f"{target!r} is not module:attribute, like wsgi_app:app")
    # As with gunicorn and uvicorn, modules are looked for in the current folder first.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise click.UsageError(
                f"no module {error.name!r} from {Path.cwd()} or the installed packages"
            ) from None
        raise
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise click.UsageError(f"{target!r}: there is no {attribute!r} in {found!r}")
        found = getattr(found, attribute)
    app = found if isinstance(found, App) else getattr(found, "app", None)
    if not isinstance(app, App):
        raise click.UsageError(
            f"{target!r} is a {type(found).__name__}; give an App, its .wsgi or its .asgi"
        )
    return app
