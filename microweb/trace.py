"""What `microweb trace` does: choose doors and servers, ask each once, and keep what was seen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from typing import Any, NamedTuple

from .app import App
from .run import choose
from .targets import load
from .tracing.asked import Asked
from .tracing.client import Answer, ask
from .tracing.format import Protocol, Trace
from .tracing.joining import together
from .tracing.order import Order
from .tracing.recording import recording
from .tracing.servers import USUAL, CannotRecord
from .tracing.tap import HOST

__all__ = ["doors", "line", "plans", "record", "together"]

# A target, and the protocols in which it is to be recorded; none: those that it has
Door = tuple[str, tuple[Protocol, ...]]


# --- what was typed ---------------------------------------------------------------------------


def doors(
    words: Sequence[str], wsgi: Sequence[str], asgi: Sequence[str], both: bool
) -> tuple[list[Door], Sequence[str]]:
    """The targets that the words and options of a command name, and the words that are left.

    An option has a value for each time that it is given, which is empty where it names no
    target of its own. Raises ValueError.
    """
    given: list[tuple[Protocol, str]] = []
    given += [("wsgi", target) for target in wsgi]
    given += [("asgi", target) for target in asgi]
    if both and given:
        raise ValueError("--both, and --wsgi or --asgi: give the one or the other")
    if given and all(target for _, target in given):
        return [(target, (protocol,)) for protocol, target in given], words
    if not words:
        raise ValueError("name an application, as module:attribute: microweb trace shop:app GET /")
    target, *rest = words
    if not given:
        return [(target, ("wsgi", "asgi") if both else ())], rest
    return [(named or target, (protocol,)) for protocol, named in given], rest


def line(words: Sequence[str], usual: str) -> tuple[str, str]:
    """The method, or the usual one, and the path that words name. Raises ValueError."""
    match words:
        case []:
            return usual, "/"
        case [path] if path.startswith("/") or path == "*":
            return usual, path
        case [method]:
            return method, "/"
        case [method, path]:
            return method, path
    raise ValueError(
        f"{' '.join(words)!r} is more than a method and a path;"
        " a header goes after -H, and data after -d, each in quotes"
    )


# --- what is recorded -------------------------------------------------------------------------


class Plan(NamedTuple):
    """One recording that is to be made."""

    order: Order
    server: str
    software: dict[str, str]


def plans(
    target: str,
    protocols: tuple[Protocol, ...],
    servers: Sequence[str] = (),
    secrets: bool = False,
    layers: bool = False,
) -> list[Plan]:
    """How a target is recorded: in each protocol under each of these servers, or the usual one.

    Raises TargetError for what cannot be served so.
    """
    found = load(target)
    is_app = isinstance(found, App)
    chosen: Sequence[Protocol | None] = protocols or (("wsgi", "asgi") if is_app else (None,))
    made = []
    for each in chosen:
        protocol, door = choose(target, each)
        name = f"{target}.{protocol}" if is_app else target
        order = Order(name, protocol, "", _observed(target, found), secrets, layers)
        software = software_of(door)
        made += [Plan(order, server, software) for server in servers or [USUAL[protocol]]]
    return made


def _observed(target: str, found: Any) -> str:
    """The microweb App behind a target, which can tell of its steps."""
    if isinstance(found, App):
        return target
    return f"{target}.app" if isinstance(getattr(found, "app", None), App) else ""


def software_of(app: Any) -> dict[str, str]:
    """The packages, with their versions, that an application's classes come from."""
    installed = packages_distributions()
    roots = [kind.__module__.partition(".")[0] for kind in type(app).__mro__]
    names = [name for root in dict.fromkeys(roots) for name in installed.get(root, ())]
    return {name.lower(): version(name) for name in names}


# --- recording --------------------------------------------------------------------------------


TROUBLES = {
    "cut": "The answer of {server} was cut short{why}.",
    "late": "{server} had not answered in full when the time was up: see --timeout.",
    "refused": "{server} took no connection{why}.",
    "hung": "The application has not come to an end: {server} is stopped, and started again"
    " for the next request.",
    "down": "{server} did not start{why}",
}


class Trouble(NamedTuple):
    """What went wrong, beside what the application was seen to do."""

    kind: str  # one of TROUBLES
    server: str
    why: str
    log: str  # what the server has written

    def __str__(self) -> str:
        why = f": {self.why}" if self.why else ""
        told = TROUBLES[self.kind].format(server=self.server, why=why)
        return f"{told} It says:\n\n{self.log}"


class Taken(NamedTuple):
    """A recording that was made."""

    trace: Trace
    was_called: bool
    trouble: Trouble | None


def record(plans: Sequence[Plan], asked: Asked, timeout: float) -> list[Taken]:
    """Make the recordings; all servers are up before the first is asked, each in its turn.

    Raises CannotRecord.
    """
    try:
        return asyncio.run(_record(plans, asked, timeout))
    except* CannotRecord as errors:
        raise errors.exceptions[0] from None


async def _record(plans: Sequence[Plan], asked: Asked, timeout: float) -> list[Taken]:
    are_up, turn = asyncio.Barrier(len(plans)), asyncio.Lock()

    async def one(plan: Plan) -> Taken:
        async with recording(*plan) as made:
            await are_up.wait()
            async with turn:
                answer = await ask(HOST, made.tap.port, asked, timeout=timeout)
                await made.ended()
        return Taken(made.trace(), made.was_called, trouble(plan, answer, made.log))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(plan)) for plan in plans]
    return [task.result() for task in tasks]


def trouble(plan: Plan, answer: Answer, log: str) -> Trouble | None:
    """What the trace itself does not tell; None where all is well."""
    if answer.ended not in TROUBLES:
        return None
    return Trouble(answer.ended, plan.server, answer.why, log.strip())
