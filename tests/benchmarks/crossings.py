"""What it costs to cross: from plain to async code and back, and from one protocol to the other."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from microweb import App

from .calls import Ask, Exchange, asgi_time, live, wsgi_answer, wsgi_time
from .overhead import end
from .peers import peer
from .rounds import Contender, compare

ROUNDS = 15
CALLS = 200
TEXT, ASYNC, PLAIN = Ask("GET", "/text"), Ask("GET", "/async"), Ask("GET", "/plain")


def run(folder: Path) -> bool:
    """Print the tables; whether all goals are met."""
    del folder
    with asyncio.Runner() as runner:
        met = all(
            [
                _async_under_wsgi(),
                _plain_under_asgi(runner),
                _wsgi_in_asgi(runner),
                _asgi_in_wsgi(),
            ]
        )
        runner.run(end())
    return met


def _async_under_wsgi() -> bool:
    entries = [("microweb", 0.15), ("microdot", None), ("flask", None)]
    contenders = [
        _wsgi(name, module.wsgi(0, 0), ASYNC, goal)
        for name, goal in entries
        if (module := peer(name)) is not None
    ]
    return compare("an async handler under WSGI, a call", "us", contenders, ROUNDS)


def _plain_under_asgi(runner: asyncio.Runner) -> bool:
    entries = [("microweb", 0.6), ("litestar", None), ("starlette", None)]
    contenders = [
        _asgi(runner, name, module.asgi(0, 0), PLAIN, goal)
        for name, goal in entries
        if (module := peer(name)) is not None
    ]
    contenders.insert(0, _asgi(runner, "a thread and back", _bare_thread(), PLAIN, None))
    return compare("a plain handler under ASGI, a call", "us", contenders, ROUNDS)


def _bare_thread() -> Any:
    """What no framework that uses asyncio's own way can go below."""
    bare = peer("bare")
    assert bare is not None
    inner = bare.asgi(0, 0)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.get_running_loop().run_in_executor(None, int)
        await inner(scope, receive, send)

    return app


def _wsgi_in_asgi(runner: asyncio.Runner) -> bool:
    from a2wsgi import WSGIMiddleware

    bare = peer("bare")
    assert bare is not None
    site = App()
    site.mount("", wsgi=bare.wsgi(0, 0))
    contenders = [
        _asgi(runner, "microweb", site.asgi, TEXT, 0.4),
        _asgi(runner, "a2wsgi", WSGIMiddleware(bare.wsgi(0, 0)), TEXT, None),
    ]
    return compare("a WSGI application under ASGI, a call", "us", contenders, ROUNDS)


def _asgi_in_wsgi() -> bool:
    from a2wsgi import ASGIMiddleware

    bare = peer("bare")
    assert bare is not None
    site = App()
    site.mount("", asgi=bare.asgi(0, 0))
    contenders = [
        _wsgi("microweb", site.wsgi, TEXT, 0.4),
        _wsgi("a2wsgi", ASGIMiddleware(bare.asgi(0, 0)), TEXT, None),
    ]
    return compare("an ASGI application under WSGI, a call", "us", contenders, ROUNDS)


def _wsgi(name: str, app: Any, ask: Ask, goal: float | None) -> Contender:
    def check() -> None:
        assert wsgi_answer(app, ask) == (200, b"hello"), name

    return Contender(name, check, partial(wsgi_time, app, ask, CALLS), goal)


def _asgi(runner: asyncio.Runner, name: str, app: Any, ask: Ask, goal: float | None) -> Contender:
    def check() -> None:
        runner.run(live(app))
        assert runner.run(Exchange(ask).call(app)) == (200, b"hello"), name

    return Contender(name, check, lambda: runner.run(asgi_time(app, ask, CALLS)), goal)
