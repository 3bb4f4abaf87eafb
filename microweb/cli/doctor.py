"""microweb doctor"""

from __future__ import annotations

import sys

import click

from ..recognise import recognise
from .loading import loaded


@click.command()
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
    from ..doctor.report import examine

    finding = recognise(loaded(target))
    sys.exit(0 if examine(target, finding, timeout) else 1)
