"""Packages: whose a line of code is: a distribution's, Python's own, or yours."""

from __future__ import annotations

import functools
import platform
import sysconfig
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

PYTHON, YOU = "python", "you"

_OWN = f"{Path(__file__).parents[2]}/"
# The demo of microweb is an application like one of yours.
_DEMO = f"{_OWN}demo/"
# Wherever they are: a virtual environment's, a user's, those of the Python underneath.
_INSTALLED = ("site-packages", "dist-packages")
# Of a module that is a script as well, as bottle.py is, Python may find the script first.
_SCRIPTS = Path(sysconfig.get_path("scripts"))
_STANDARD = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")})


@functools.cache
def package_of(file: str) -> str:
    """The name of the distribution that a file is from, or PYTHON, or YOU."""
    if file.startswith(_OWN):
        return YOU if file.startswith(_DEMO) else "microweb"
    # Before the standard library, whose folder has the site-packages of its Python in it.
    if inside := within(file):
        # Not the module's name, which may be __main__.
        root = inside[0].removesuffix(".py")
        return _distributions().get(root, [root])[0]
    # What has no file of its own, <frozen runpy> or <string>, is made by what has one.
    return PYTHON if file.startswith((*_STANDARD, "<")) else YOU


def within(file: str) -> tuple[str, ...]:
    """The parts of a file's path below where packages are installed; none of another file's."""
    parts = Path(file).parts
    for index in reversed(range(len(parts) - 1)):
        if parts[index] in _INSTALLED:
            return parts[index + 1 :]
    return parts[-1:] if Path(file).parent == _SCRIPTS else ()


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return {root: list(names) for root, names in packages_distributions().items()}


@functools.cache
def version_of(package: str) -> str:
    """The version of a package; empty for what has none."""
    if package == PYTHON:
        return platform.python_version()
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
