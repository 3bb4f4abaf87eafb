"""What one chunk of a streamed response costs: microweb beside Starlette, and beside Flask."""

from __future__ import annotations

import asyncio
from pathlib import Path
from threading import Lock, Thread
from time import perf_counter
from typing import Any

from ..transfers import download
from .calls import Ask, Exchange, wsgi_answer
from .rounds import Contender, compare
from .served import site_served
from .sites import CHUNK, micro, star, werk

ROUNDS = 15
COUNT = 2000
FORMS = {"plain": f"/chunks/{COUNT}", "async": f"/async/chunks/{COUNT}"}
# Of Starlette's time; a crossing between threads is most of what a plain chunk costs.
GOALS = {"plain": 0.4, "async": 1.0}


def run(folder: Path) -> bool:
    """Print the tables; whether all goals are met."""
    return all([_in_process(), _through_wsgi(), _under_uvicorn(folder)])


def _in_process() -> bool:
    met = True
    with asyncio.Runner() as runner:
        for form, path in FORMS.items():
            contenders = [
                Contender("microweb", *_calls(runner, micro.asgi, path), GOALS[form]),
                Contender("Starlette", *_calls(runner, star.asgi, path)),
            ]
            if form == "plain":
                contenders.insert(0, Contender("two threads in turn", *_turns()))
            title = f"one chunk of 1 KiB of a generator, {form}; called as uvicorn calls"
            met &= compare(title, "us", contenders, ROUNDS)
    return met


def _through_wsgi() -> bool:
    def contender(name: str, app: Any, form: str) -> Contender:
        ask = Ask("GET", FORMS[form])

        def check() -> None:
            assert wsgi_answer(app, ask) == (200, CHUNK * COUNT)

        def measure() -> float:
            started = perf_counter()
            wsgi_answer(app, ask)
            return (perf_counter() - started) / COUNT * 1e6

        return Contender(name, check, measure)

    contenders = [
        contender("microweb, async", micro.wsgi, "async"),  # Flask cannot stream one
        contender("microweb, plain", micro.wsgi, "plain"),
        contender("Flask, plain", werk.wsgi, "plain"),
    ]
    return compare("one chunk of 1 KiB of a generator, through WSGI", "us", contenders, ROUNDS)


def _turns() -> tuple[Any, Any]:
    """What no lazy way can go below: a thread makes a chunk, another takes it, and nothing else.

    Each chunk is made only when the one before it was taken, as a stream's must leave first.
    """

    def exchange() -> list[bytes]:
        wanted, made = Lock(), Lock()
        slot: list[bytes] = []
        chunks: list[bytes] = []
        wanted.acquire()
        made.acquire()

        def make() -> None:
            for _ in range(COUNT):
                wanted.acquire()
                slot.append(CHUNK)
                made.release()

        maker = Thread(target=make)
        maker.start()
        for _ in range(COUNT):
            wanted.release()
            made.acquire()
            chunks.append(slot.pop())
        maker.join()
        return chunks

    def check() -> None:
        assert exchange() == [CHUNK] * COUNT

    def measure() -> float:
        started = perf_counter()
        exchange()
        return (perf_counter() - started) / COUNT * 1e6

    return check, measure


def _under_uvicorn(folder: Path) -> bool:
    met = True
    with (
        site_served("uvicorn", "micro:asgi", folder) as ours,
        site_served("uvicorn", "star:asgi", folder) as theirs,
    ):
        for form, path in FORMS.items():
            contenders = [
                Contender("microweb", *_downloads(ours.port, path)),
                Contender("Starlette", *_downloads(theirs.port, path)),
            ]
            title = f"one chunk of 1 KiB of a generator, {form}; under uvicorn, whose cost is in"
            met &= compare(title, "us", contenders, ROUNDS)
    return met


def _calls(runner: asyncio.Runner, app: Any, path: str) -> tuple[Any, Any]:
    ask = Ask("GET", path)

    def check() -> None:
        assert runner.run(Exchange(ask).call(app)) == (200, CHUNK * COUNT)

    def measure() -> float:
        exchange = Exchange(ask)
        started = perf_counter()
        runner.run(exchange.call(app))
        return (perf_counter() - started) / COUNT * 1e6

    return check, measure


def _downloads(port: int, path: str) -> tuple[Any, Any]:
    def check() -> None:
        answer = download(port, path)
        assert answer.status == 200
        assert answer.end.endswith(b"\n\r\n0\r\n\r\n")
        assert answer.length > COUNT * len(CHUNK)

    def measure() -> float:
        started = perf_counter()
        download(port, path)
        return (perf_counter() - started) / COUNT * 1e6

    return check, measure
