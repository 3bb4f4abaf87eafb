"""loaded: the target that a command was given."""

from __future__ import annotations

from typing import Any

import click

from ..targets import TargetError, load


def loaded(target: str) -> Any:
    """What a target names; click.UsageError where it names nothing."""
    try:
        return load(target)
    except TargetError as error:
        raise click.UsageError(str(error)) from None
