"""Passed: the packages that are called on the way, and return before the handler is called."""

from __future__ import annotations

from types import FrameType
from typing import Any

from .packages import PYTHON, package_of, version_of

MOST_CALLS = 20_000  # of one exchange; a handler that works hard is not to be slowed down for ever


class Passed:
    """What was called in one exchange, by package."""

    def __init__(self) -> None:
        self._left = MOST_CALLS
        self._packages: dict[str, _Package] = {}

    def see(self, package: str, frame: FrameType) -> None:
        """A function of a package is called."""
        if self._left <= 0 or is_import(frame):
            return
        self._left -= 1
        self._packages.setdefault(package, _Package()).see(frame, *_entry(package, frame))

    def told(self, on_stack: set[str]) -> list[dict[str, Any]]:
        """All that have returned, since they are not on this stack; the first called first."""
        return [
            {"package": name, "version": version_of(name), **each.told()}
            for name, each in [*self._packages.items()]  # others may go on meanwhile
            if name not in on_stack
        ]


class _Package:
    """The calls of one package's functions."""

    def __init__(self) -> None:
        self.calls = 0
        self.last = ""
        self.by: dict[str, None] = {}  # the packages that called it
        # Of each function that others called: how many calls that led to within the package.
        self.entries: dict[str, int] = {}

    def see(self, frame: FrameType, entry: FrameType, caller: str) -> None:
        name = _name(entry)
        self.entries[name] = self.entries.get(name, 0) + 1
        self.calls += 1
        self.last = _name(frame)
        if caller:
            self.by[caller] = None

    def told(self) -> dict[str, Any]:
        into, calls = max([*self.entries.items()], key=lambda item: item[1])
        return {
            "calls": self.calls,
            "last": self.last,
            "by": [*self.by],
            "into": {"function": into, "calls": calls},
        }


def _entry(package: str, frame: FrameType) -> tuple[FrameType, str]:
    """The frame in which a package was entered, and the package that called it there, if any."""
    entry, outer = frame, frame.f_back
    while outer is not None and not is_ours(outer):
        caller = package_of(outer.f_code.co_filename)
        if caller == package:
            entry = outer
        elif caller != PYTHON:
            return entry, caller
        outer = outer.f_back
    return entry, ""


def _name(frame: FrameType) -> str:
    return f"{module_of(frame)}.{frame.f_code.co_qualname}"


def module_of(frame: FrameType) -> str:
    """The name of the module that a frame's code is of; empty for what is of none."""
    return str(frame.f_globals.get("__name__") or "")


# What is there only because it is looked at
_OURS = ("microweb.tracing.", "microweb.observing")


def is_ours(frame: FrameType) -> bool:
    """Whether it is of what records: never called by an application, and never shown."""
    return module_of(frame).startswith(_OURS)


def is_import(frame: FrameType | None) -> bool:
    """Whether something is being imported for the first time: that is no way to a handler."""
    while frame is not None:
        if module_of(frame) == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
