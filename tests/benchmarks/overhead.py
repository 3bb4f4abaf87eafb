"""What a framework costs at the callable, the server left out: microweb and its peers."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .calls import Answer, Ask, Exchange, asgi_time, live, wsgi_answer, wsgi_time
from .chart import chart
from .peers import PEERS, described, peer

ROUNDS = 9
CALLS = 200  # of a round, for each contender
ROUTES = (100, 1000)
LAYERS = (1, 5)
SENT = b'{"name": "Ada", "n": [1, 2, 3]}'


class Case(NamedTuple):
    """A request, what must come of it, and microweb's share at most of the fastest peer's time."""

    ask: Ask
    holds: Callable[[Answer], bool]
    at_most: float = 0.8


CASES = {
    "text": Case(Ask("GET", "/text"), lambda answer: answer == (200, b"hello")),
    "JSON": Case(Ask("GET", "/json"), lambda answer: _is_json(answer, {"hello": "world"})),
    "parameter": Case(Ask("GET", "/users/42"), lambda answer: _is_json(answer, {"id": 42})),
    "echo": Case(Ask("POST", "/echo", SENT), lambda answer: _is_json(answer, json.loads(SENT))),
    "404": Case(Ask("GET", "/nowhere"), lambda answer: answer.status == 404, at_most=1.0),
}

CHARTED = "parameter"  # the case that is most like what people write
TITLE = "Microseconds for a call that finds a route with a parameter and answers in JSON"
CHART = Path(__file__).parent / "overhead.svg"

Costs = dict[str, float]  # microseconds of a call, by the peer's name, at the median
Time = Callable[[int], float]


def _is_json(answer: Answer, value: Any) -> bool:
    return answer.status == 200 and json.loads(answer.body) == value


def run(folder: Path) -> bool:
    """Print the tables, and draw the chart; whether all that must hold does."""
    del folder
    met = True
    shown: dict[str, Costs] = {}
    for protocol in PEERS:
        print(f"\n{protocol.upper()}: microseconds of a call, the server left out")
        print(f"  {', '.join(described(name) for name in PEERS[protocol] if peer(name))}")
        for name, case in CASES.items():
            plain = measured(protocol, case, 0, 0)
            met &= _print(f"{name}, no other routes", plain, case.at_most)
            if name == CHARTED:
                shown[protocol] = plain
            for number in ROUTES:
                met &= _with_routes(protocol, name, number, plain)
            for number in LAYERS:
                met &= _with_layers(protocol, name, number, plain)
    CHART.write_text(chart(shown, TITLE), "utf-8")
    return met


def _with_routes(protocol: str, name: str, number: int, plain: Costs) -> bool:
    """Print what a call costs among so many routes; whether it is as fast as without them."""
    case = CASES[name]
    costs = measured(protocol, case, number, 0)
    met = _print(f"{name}, {number:,} other routes", costs, case.at_most)
    ratio = costs["microweb"] / plain["microweb"]
    # What is equal is measured as equal, within a tenth.
    print(f"    {ratio:.2f} of microweb without them: {'met' if ratio <= 1.1 else 'missed'}")
    return met and ratio <= 1.1


def _with_layers(protocol: str, name: str, number: int, plain: Costs) -> bool:
    """Print what a call costs through so many layers; whether a layer is cheap enough."""
    costs = measured(protocol, CASES[name], 0, number)
    _print(f"{name}, {number} layers", costs, None)
    cost = (costs["microweb"] - plain["microweb"]) / number
    print(f"    a layer costs {cost:.2f} us; at most 1.5: {'met' if cost <= 1.5 else 'missed'}")
    return cost <= 1.5


def measured(protocol: str, case: Case, routes: int, layers: int) -> Costs:
    """What each peer needs, in turns; each answer was looked at before."""
    names = [name for name in PEERS[protocol] if peer(name)]
    with asyncio.Runner() as runner:
        times: dict[str, Time] = {}
        for name in names:
            if (app := getattr(peer(name), protocol)(routes, layers)) is not None:
                times[name] = _timed(runner, protocol, name, app, case)
        costs: dict[str, list[float]] = {name: [] for name in times}
        order = list(times)
        for number in range(ROUNDS):
            shift = number % len(order)
            for name in order[shift:] + order[:shift]:
                # Slow ones are called less often: a round of each is to take about as long.
                slow = costs[name] and costs[name][-1] > 100
                costs[name].append(times[name](CALLS // 10 if slow else CALLS))
        runner.run(end())
    return {name: statistics.median(own) for name, own in costs.items()}


def _timed(runner: asyncio.Runner, protocol: str, name: str, app: Any, case: Case) -> Time:
    if protocol == "wsgi":
        answer = wsgi_answer(app, case.ask)
        time: Time = partial(wsgi_time, app, case.ask)
    else:
        runner.run(live(app))
        answer = runner.run(Exchange(case.ask).call(app))

        def time(number: int) -> float:
            return runner.run(asgi_time(app, case.ask, number))

    if not case.holds(answer):
        raise AssertionError(f"{name} answers {case.ask.path} with {answer}")
    return time


async def end() -> None:
    """Let go of what the applications have begun."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def fastest(costs: Costs) -> str:
    """The fastest peer."""
    peers = {name: cost for name, cost in costs.items() if name not in ("bare", "microweb")}
    return min(peers, key=peers.__getitem__)


def _print(title: str, costs: Costs, at_most: float | None) -> bool:
    cells = "  ".join(f"{name} {cost:.1f}" for name, cost in costs.items())
    rival = fastest(costs)
    ratio = costs["microweb"] / costs[rival]
    line = f"  {title:28} {ratio:.2f} of {rival}"
    if at_most is not None:
        line += f"; at most {at_most}: {'met' if ratio <= at_most else 'missed'}"
    print(f"{line}\n    {cells}", flush=True)
    return at_most is None or ratio <= at_most
