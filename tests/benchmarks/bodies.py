"""256 MiB down and up through real servers: microweb, others, and no framework at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from ..transfers import LARGE, digest_of, download, upload_form
from .rounds import Contender, compare
from .served import prepare, site_served

ROUNDS = 7

Sides = tuple[Callable[[], object], Callable[[], float]]


class Entry(NamedTuple):
    """One server with one site, and its share of the reference's time at most."""

    name: str
    kind: str
    target: str
    at_most: float | None = None


# 0.9 of the speed is 1 / 0.9 of the time. The last entry is the reference.
DOWN = {
    "under uvicorn": [
        Entry("microweb", "uvicorn", "micro:asgi", 1 / 0.9),
        Entry("Starlette", "uvicorn", "star:asgi"),
        Entry("no framework", "uvicorn", "bare:asgi"),
    ],
    "under gunicorn": [
        Entry("microweb", "gunicorn gthread", "micro:wsgi", 1 / 0.9),
        Entry("Flask", "gunicorn gthread", "werk:wsgi"),
        Entry("no framework", "gunicorn gthread", "bare:wsgi"),
    ],
}
UP = {
    "under uvicorn": [
        Entry("microweb", "uvicorn", "micro:asgi", 1 / 1.3),
        Entry("Starlette", "uvicorn", "star:asgi"),
    ],
    "under gunicorn": [
        Entry("microweb", "gunicorn gthread", "micro:wsgi", 1 / 1.3),
        Entry("Flask", "gunicorn gthread", "werk:wsgi"),
    ],
}


def run(folder: Path) -> bool:
    """Print the tables; whether all goals are met."""
    prepare(folder)
    met = True
    for where, entries in DOWN.items():
        met &= _compare(f"a file of 256 MiB down, {where}", entries, downloads, folder)
    for where, entries in UP.items():
        met &= _compare(f"a form with a file of 256 MiB up, {where}", entries, uploads, folder)
    return met


def _compare(title: str, entries: list[Entry], sides: Callable[[int], Sides], folder: Path) -> bool:
    with ExitStack() as stack:
        contenders = []
        for entry in entries:
            port = stack.enter_context(site_served(entry.kind, entry.target, folder)).port
            contenders.append(Contender(entry.name, *sides(port), entry.at_most))
        return compare(title, "ms", contenders, ROUNDS)


def downloads(port: int) -> Sides:
    """The checked and the timed download from a port."""

    def check() -> None:
        answer = download(port, "/file", digest=True)
        assert (answer.status, answer.length, answer.digest) == (200, LARGE, digest_of(LARGE))

    def measure() -> float:
        started = perf_counter()
        assert download(port, "/file").length == LARGE
        return (perf_counter() - started) * 1e3

    return check, measure


def uploads(port: int) -> Sides:
    """The checked and the timed upload to a port."""

    def check() -> None:
        answer = upload_form(port, "/upload?digest")
        assert json.loads(answer.end) == {"size": LARGE, "digest": digest_of(LARGE)}

    def measure() -> float:
        started = perf_counter()
        assert json.loads(upload_form(port, "/upload").end)["size"] == LARGE
        return (perf_counter() - started) * 1e3

    return check, measure
