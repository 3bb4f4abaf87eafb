"""What 256 MiB up and down do to the memory of the process that serves them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..processes import begin_peak, peak
from ..transfers import LARGE, MIB, Answer, download, upload, upload_form
from .served import prepare, site_served

GOAL = 16  # MiB

SERVED = [
    ("microweb", "uvicorn", "micro:asgi"),
    ("microweb", "gunicorn gthread", "micro:wsgi"),
    ("microweb", "gunicorn sync", "micro:wsgi"),
    ("Starlette", "uvicorn", "star:asgi"),
    ("Flask", "gunicorn gthread", "werk:wsgi"),
]
TRANSFERS: dict[str, Callable[[int], Answer]] = {
    "down": lambda port: download(port, "/file"),
    "up as a form": lambda port: upload_form(port, "/upload"),
    "up as a stream": lambda port: upload(port, "/stream"),
    "up as a stream, async": lambda port: upload(port, "/async/stream"),
}


def run(folder: Path) -> bool:
    """Print the table; whether microweb's goal is met."""
    prepare(folder)
    print(f"\nhow much a worker grows beyond idle; goal of microweb: at most {GOAL} MiB")
    most = 0.0
    for name, kind, target in SERVED:
        for transfer in TRANSFERS:
            if name != "microweb" and "stream" in transfer:
                continue
            grown = growth(kind, target, transfer, folder) / MIB
            print(f"  {name:12}{kind:20}{transfer:24}{grown:8.1f} MiB", flush=True)
            if name == "microweb":
                most = max(most, grown)
    print(f"  {'met' if most <= GOAL else 'missed'}")
    return most <= GOAL


def growth(kind: str, target: str, transfer: str, folder: Path) -> int:
    """How many bytes of memory the worker takes, at the most, beyond what it has when idle."""
    with site_served(kind, target, folder) as server:
        pid = int(download(server.port, "/pid").end)
        idle = begin_peak(pid)
        answer = TRANSFERS[transfer](server.port)
        assert answer.status == 200
        if transfer == "down":
            assert answer.length == LARGE
        else:
            assert b'"size":%d' % LARGE in answer.end.replace(b" ", b"")
        return peak(pid) - idle
