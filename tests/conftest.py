"""Every behaviour is written once and runs through both doors, under a strict checker each."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Literal
from wsgiref.validate import validator as wsgi_validator

import pytest
from hypothesis import HealthCheck, settings

from microweb import App
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator

# No test depends on how fast the machine is.
settings.register_profile("microweb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("microweb")


def pytest_configure(config: pytest.Config) -> None:
    """What visitors leave in the demo while it is tested is kept apart from the user's own."""
    folder = TemporaryDirectory(prefix="microweb-demo-")
    config.add_cleanup(folder.cleanup)
    os.environ["MICROWEB_DEMO_DATA"] = folder.name


pytest_plugins = ["tests.browser", "tests.parity"]

# What they ask of a process, only Linux tells (proc(5)).
_OF_LINUX = ["test_disconnects.py", "test_memory.py", "test_server_load.py"]
collect_ignore = [] if sys.platform == "linux" else _OF_LINUX

Protocol = Literal["wsgi", "asgi"]
Connect = Callable[..., TestClient]

CHECKERS: dict[str, Callable[[Any], Any]] = {"wsgi": wsgi_validator, "asgi": asgi_validator}


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
def connect(protocol: Protocol) -> Iterator[Connect]:
    """`connect(app)` is a client of the app, through this run's door; its lifespan runs."""
    with ExitStack() as stack:

        def enter(app: App, **arguments: Any) -> TestClient:
            client = TestClient(app, protocol, wrap=CHECKERS[protocol], **arguments)
            return stack.enter_context(client)

        yield enter


@pytest.fixture
def client(connect: Connect, request: pytest.FixtureRequest) -> TestClient:
    """A client of the test module's own `app`."""
    return connect(request.module.app)


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
