"""What it costs to be recorded, per event, and what it costs not to be: nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import count
from multiprocessing import Process
from pathlib import Path
from time import perf_counter
from typing import Any
from wsgiref.util import setup_testing_defaults

from microweb import App
from microweb.tracing.asgi import RecordedASGI
from microweb.tracing.format import Event
from microweb.tracing.sending import Sender
from microweb.tracing.wsgi import RecordedWSGI

ROUNDS = 15
REQUESTS = 300
GOAL = 50.0  # microseconds an event, at most

BROWSER = {
    "host": "127.0.0.1:8000",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "de,en-US;q=0.7,en;q=0.3",
    "accept-encoding": "gzip, deflate, br, zstd",
    "cookie": "session=eyJ1c2VyIjogMX0.aBcDeF.0123456789abcdef",
}


def run(folder: Path) -> bool:
    """Print the table; whether the goal is met."""
    path = str(folder / "home")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        reader = Process(target=_drain, args=[listening], daemon=True)
        reader.start()
        print("\nrecording, to a socket that another process reads: a request of a browser's")
        sender = Sender(path)
        met = all([_wsgi(sender), _asgi(sender)])
        reader.terminate()
        reader.join()
        return met


def _drain(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        while connection.recv(1 << 20):
            pass


def _app(observer: Callable[[Any], object] | None = None) -> App:
    app = App()
    app.get("/hello/{name}")(lambda request, name: f"Hello, {name}!")
    if observer is not None:
        app.observe(observer)
    return app


class _Emit:
    """Sends events, and counts them."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.count = count()
        self.made = 0

    def __call__(self, event: Event) -> None:
        self.made = next(self.count) + 1
        self.sender.event(event)


def _wsgi(sender: Sender) -> bool:
    def ask(app: Callable[..., Any]) -> None:
        environ: dict[str, Any] = {"PATH_INFO": "/hello/ada"}
        setup_testing_defaults(environ)
        for name, value in BROWSER.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        iterable = app(environ, lambda status, headers, exc_info=None: lambda data: None)
        assert b"".join(iterable) == b"Hello, ada!"

    return _measured("WSGI", ask, lambda app: app.wsgi, RecordedWSGI, sender)


def _asgi(sender: Sender) -> bool:
    runner = asyncio.Runner()
    headers = [(name.encode(), value.encode()) for name, value in BROWSER.items()]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    def ask(app: Callable[..., Any]) -> None:
        scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1"}
        scope |= {"method": "GET", "path": "/hello/ada", "query_string": b"", "headers": headers}
        scope |= {"client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8000), "scheme": "http"}
        runner.run(app(scope, receive, send))

    with runner:
        return _measured("ASGI", ask, lambda app: app.asgi, RecordedASGI, sender)


def _measured(
    name: str,
    ask: Callable[[Any], None],
    door: Callable[[App], Any],
    kind: Callable[..., Any],
    sender: Sender,
) -> bool:
    emit = _Emit(sender)
    observers: list[Callable[[Any], object]] = []
    app = _app(lambda observation: observers[0](observation))
    recorded = kind(door(app), emit)
    observers.append(recorded.recorder.observe)
    bare = door(_app())
    rounds = [(_time(ask, bare), _time(ask, recorded)) for _ in range(ROUNDS)]
    events = emit.made / ROUNDS / REQUESTS
    plain = sorted(each for each, _ in rounds)[ROUNDS // 2]
    with_it = sorted(each for _, each in rounds)[ROUNDS // 2]
    cost = (with_it - plain) / events
    verdict = "met" if cost <= GOAL else "missed"
    print(
        f"  {name}: {plain:6.1f} us unrecorded, {with_it:6.1f} us with {events:.0f} events:"
        f" {cost:.1f} us an event   goal: at most {GOAL:.0f}, {verdict}"
    )
    return cost <= GOAL


def _time(ask: Callable[[Any], None], app: Any) -> float:
    started = perf_counter()
    for _ in range(REQUESTS):
        ask(app)
    return (perf_counter() - started) / REQUESTS * 1e6
