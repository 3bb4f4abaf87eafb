"""Every behaviour is written once and runs through both doors, under a strict checker each."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Literal
from wsgiref.validate import validator as wsgi_validator

import pytest
from hypothesis import HealthCheck, settings

from microweb import App
from microweb.testing import TestClient
from microweb.tracing.asgi import RecordedASGI
from microweb.tracing.format import KINDS, Event
from microweb.tracing.wsgi import RecordedWSGI

from .asgi_validator import validator as asgi_validator

# No test depends on how fast the machine is.
settings.register_profile("microweb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("microweb")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--recorded`: every behaviour once more, with a recorder between server and application."""
    parser.addoption("--recorded", action="store_true", help="put a recorder before each app")


def pytest_configure(config: pytest.Config) -> None:
    """What visitors leave in the demo while it is tested is kept apart from the user's own."""
    folder = TemporaryDirectory(prefix="microweb-demo-")
    config.add_cleanup(folder.cleanup)
    os.environ["MICROWEB_DEMO_DATA"] = folder.name


pytest_plugins = ["tests.browser", "tests.parity"]

# It measures what the application needs, and a recorder needs more.
_UNRECORDED = ("test_a_body_in_tiny_pieces_costs_a_few_times_its_size",)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--recorded`, those that ask an app through `connect`, or the foreign `sites`."""
    if config.getoption("--recorded"):
        items[:] = [
            item
            for item in items
            if {"connect", "sites"} & set(getattr(item, "fixturenames", ()))
            and not item.name.startswith(_UNRECORDED)
        ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Processes that share the tests tell each other what was logged in UTF-8, which has no
    half characters; some tests log them."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


# What they ask of a process, only Linux tells (proc(5)).
_OF_LINUX = ["test_disconnects.py", "test_memory.py", "test_server_load.py"]
collect_ignore = [] if sys.platform == "linux" else _OF_LINUX

Protocol = Literal["wsgi", "asgi"]
Connect = Callable[..., TestClient]

CHECKERS: dict[str, Callable[[Any], Any]] = {"wsgi": wsgi_validator, "asgi": asgi_validator}
RECORDERS: dict[str, Callable[..., Any]] = {"wsgi": RecordedWSGI, "asgi": RecordedASGI}


def recorded(protocol: str, app: Any) -> Any:
    """A door with a recorder, and a strict checker on both sides of it.

    What is recorded is read back from JSON, as whoever shows it reads it.
    """
    checker, events = CHECKERS[protocol], []

    def emit(event: Event) -> None:
        assert KINDS[event.kind][0] == event.side
        events.append(json.loads(json.dumps(asdict(event), allow_nan=False)))

    return checker(RECORDERS[protocol](checker(app), emit))


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """`microweb run` and some frameworks set up the log, as if the process were their own."""
    before = [
        (logger, logger.level, logger.propagate, logger.handlers[:])
        for logger in map(
            logging.getLogger, ("", "microweb", "microweb.access", "microweb.servers")
        )
    ]
    yield
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


@pytest.fixture(params=["wsgi", "asgi"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    """The door of this run."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def connect(protocol: Protocol, pytestconfig: pytest.Config) -> Iterator[Connect]:
    """`connect(app)` is a client of the app, through this run's door; its lifespan runs."""
    is_recorded = pytestconfig.getoption("--recorded")
    wrap = partial(recorded, protocol) if is_recorded else CHECKERS[protocol]
    with ExitStack() as stack:

        def enter(app: App, **arguments: Any) -> TestClient:
            client = TestClient(app, protocol, wrap=wrap, **arguments)
            return stack.enter_context(client)

        yield enter


@pytest.fixture
def client(connect: Connect, request: pytest.FixtureRequest) -> TestClient:
    """A client of the test module's own `app`."""
    return connect(request.module.app)


def spelled(value: object) -> str:
    """The id of a test with this value, the same in each process that collects the tests."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def steps(act: Callable[[], object]) -> int:
    """How many lines of Python run: a measure of work that is the same on any machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count
