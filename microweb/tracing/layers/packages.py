"""Packages: whose a line of code is: a distribution's, Python's own, or yours."""

from __future__ import annotations

import functools
import platform
import sysconfig
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

PYTHON, YOU = "python", "you"

# The demo of microweb is an application like one of yours.
_OWN = str(Path(__file__).parents[2])
_DEMO = f"{_OWN}/demo/"
_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib")})
_STANDARD = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")})


@functools.cache
def package_of(file: str) -> str:
    """The name of the distribution that a file is from, or PYTHON, or YOU."""
    if file.startswith(_OWN):
        return YOU if file.startswith(_DEMO) else "microweb"
    for folder in _INSTALLED:
        if file.startswith(folder):
            # Not the module's name, which may be __main__.
            root = Path(file).relative_to(folder).parts[0].removesuffix(".py")
            return _distributions().get(root, [root])[0]
    # What has no file of its own, <frozen runpy> or <string>, is made by what has one.
    return PYTHON if file.startswith((*_STANDARD, "<")) else YOU


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
