"""What is left of a framework's cost behind a real server, under load: beside no framework."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import httpx

from .rounds import Contender, compare
from .served import site_served
from .servers import CLIENTS, KEPT, measure

ROUNDS = 11
SECONDS = 2  # of a round of wrk
# What is written, the kind of server, its options, and the door.
SERVERS = [
    ("gunicorn's threads", "gunicorn gthread", (), "wsgi"),
    ("uvicorn, on h11", "uvicorn", ("--http", "h11"), "asgi"),
    ("uvicorn, on httptools", "uvicorn", ("--http", "httptools"), "asgi"),
]


def run(folder: Path) -> bool:
    """Print the tables; whether the goal is met under each server."""
    load = _wrk if shutil.which("wrk") else partial(measure, request=KEPT, clients=CLIENTS)
    name = "wrk" if shutil.which("wrk") else "a client in Python, itself the slower side"
    print(f"\nload by {name}, {CLIENTS} connections; 1 / 0.95 of the time is 0.95 of the speed")
    met = True
    for where, kind, options, door in SERVERS:
        if "httptools" in options and not find_spec("httptools"):
            continue
        with ExitStack() as stack:
            contenders = [
                _contender(
                    title,
                    stack.enter_context(site_served(kind, f"{site}:{door}", folder, options)).port,
                    load,
                    goal,
                )
                for title, site, goal in [
                    ("microweb", "hello", 1 / 0.95),
                    ("no framework", "text", None),
                ]
            ]
            met &= compare(f"a request of text, under {where}", "us", contenders, ROUNDS)
    return met


def _contender(name: str, port: int, load: Callable[[int], float], goal: float | None) -> Contender:
    def check() -> None:
        answer = httpx.get(f"http://127.0.0.1:{port}/")
        assert (answer.status_code, answer.text) == (200, "Hello, world!\n")

    return Contender(name, check, partial(load, port), goal)


def _wrk(port: int) -> float:
    """Microseconds for a request, at full load."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in told, told
    found = re.search(r"^Requests/sec:\s+([\d.]+)", told, re.MULTILINE)
    assert found is not None, told
    return 1e6 / float(found[1])
