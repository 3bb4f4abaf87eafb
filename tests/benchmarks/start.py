"""How soon a framework has answered its first request, and how much memory that has taken."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROUNDS = 15

# What each does in a process of its own, from its import to the end of its first answer.
WSGI = """
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": "",
           "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
           "wsgi.url_scheme": "http", "wsgi.multithread": True, "wsgi.multiprocess": False,
           "wsgi.run_once": False, "wsgi.version": (1, 0), "wsgi.errors": sys.stderr,
           "wsgi.input": io.BytesIO(), "HTTP_HOST": "x"}
body = b"".join(app(environ, lambda status, headers, exc_info=None: None))
"""
ASGI = """
chunks = []
scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
         "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
         "headers": [(b"host", b"x")], "client": ("127.0.0.1", 1), "server": ("x", 80)}
async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
async def send(message): chunks.append(message.get("body", b""))
asyncio.run(app(scope, receive, send))
body = b"".join(chunks)
"""
PROGRAMS: dict[str, tuple[str, str]] = {
    "microweb, WSGI": (
        "from microweb import App\n"
        "site = App()\n"
        "site.get('/')(lambda request: 'hello')\n"
        "app = site.wsgi\n",
        WSGI,
    ),
    "bottle": ("from bottle import Bottle\napp = Bottle()\napp.get('/')(lambda: 'hello')\n", WSGI),
    "flask": (
        "from flask import Flask\napp = Flask('x')\napp.get('/')(lambda: 'hello')\n",
        WSGI,
    ),
    "microweb, ASGI": (
        "from microweb import App\n"
        "site = App()\n"
        "@site.get('/')\n"
        "async def hello(request): return 'hello'\n"
        "app = site.asgi\n",
        ASGI,
    ),
    "starlette": (
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "async def hello(request): return PlainTextResponse('hello')\n"
        "app = Starlette(routes=[Route('/', hello)])\n",
        ASGI,
    ),
}
BEGIN = "import sys, io{also}\nfrom time import perf_counter\nstarted = perf_counter()\n"
END = """
assert body == b"hello", body
took = (perf_counter() - started) * 1e3
with open("/proc/self/status") as status:
    size = next(line.split()[1] for line in status if line.startswith("VmRSS"))
print(took, int(size) / 1024)
"""


def program(name: str) -> str:
    """What is run. That a server of ASGI has imported asyncio before is taken for granted."""
    make, call = PROGRAMS[name]
    return BEGIN.format(also=", asyncio" if call is ASGI else "") + make + call + END


def measured(name: str) -> tuple[float, float]:
    """Milliseconds from the import to the first answer, and MiB of memory after it."""
    command = [sys.executable, "-c", program(name)]
    # Everything is compiled once, as it is where packages are installed.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    took, size = ran.stdout.split()
    return float(took), float(size)


def run(folder: Path) -> bool:
    """Print the table; whether microweb is the first, and the smallest, of its protocol."""
    del folder
    names = [name for name in PROGRAMS if name.startswith("microweb") or find_spec(name)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            found[name].append(measured(name))
    print("\nfrom the import to the first answer, in a process of its own; and its memory then")
    medians = {}
    for name, own in found.items():
        times, sizes = zip(*own, strict=True)
        medians[name] = statistics.median(times), statistics.median(sizes)
        print(f"  {name:20}{medians[name][0]:8.1f} ms {medians[name][1]:8.1f} MiB")
    return all(
        [_is_least("microweb, WSGI", medians, WSGI), _is_least("microweb, ASGI", medians, ASGI)]
    )


def _is_least(name: str, medians: dict[str, tuple[float, float]], call: str) -> bool:
    rivals = [own for other, own in medians.items() if other != name and PROGRAMS[other][1] is call]
    met = all(medians[name][index] <= min(each[index] for each in rivals) for index in (0, 1))
    print(f"  {name}: goal: no more of either than any other, {'met' if met else 'missed'}")
    return met
