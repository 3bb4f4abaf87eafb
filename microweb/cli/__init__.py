"""The `microweb` command."""

from __future__ import annotations

import click

from .doctor import doctor
from .explore import explore
from .layers import layers
from .routes import routes
from .run import run
from .trace import trace


@click.group()
@click.version_option(package_name="microweb")
def main() -> None:
    """microweb: one application, two doors."""


for command in (run, routes, doctor, trace, layers, explore):
    main.add_command(command)
