"""The demo's behaviour suite once more, over sockets: behind the two small servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from inspect import signature
from typing import Any

import httpx
import pytest

from microweb import App

from . import test_demo, test_demo_guestbook, test_demo_rooms
from .conftest import Protocol
from .servers import HOST, PATIENCE
from .small_servers import small_server
from .test_demo_guestbook import another, client, site

__all__ = ["another", "client", "connect", "site"]

# What is said of the test's own client there, or cannot come through a server.
DIFFERENT = {
    "test_the_home_page_says_by_which_door_and_where_the_visitor_came_in",  # its thread's name
    "test_plain_and_async_code_run_where_the_table_says",  # its loop's
    "test_pages_escape_what_they_echo",  # it has markup in its Host: see the end of this file
}
globals().update(
    {
        name: test
        for module in (test_demo, test_demo_guestbook, test_demo_rooms)
        for name, test in vars(module).items()
        if name.startswith("test_")
        and name not in DIFFERENT
        and not signature(test).parameters.keys().isdisjoint({"client", "connect"})
    }
)


@pytest.fixture
def connect(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`connect(app)` is a client of a server of this run's door, which serves the app."""
    # A feed that nobody reads any more ends with its next ping, and a server that stops waits.
    monkeypatch.setattr("microweb.demo.feed.PING", 0.1)
    with ExitStack() as stack:

        def enter(app: App, root_path: str = "") -> httpx.Client:
            door = getattr(app, protocol)
            server = stack.enter_context(small_server(door, protocol, root_path=root_path))
            client = httpx.Client(
                base_url=f"http://{HOST}:{server.port}",
                headers={"host": "testserver"},
                timeout=PATIENCE,
            )
            return stack.enter_context(client)

        yield enter


def test_a_host_with_markup_never_comes_through(client: httpx.Client) -> None:
    refused = client.get("/", headers={"host": "<script>", "accept": "text/html"})
    assert (refused.status_code, refused.headers["content-type"]) == (
        400,
        "text/plain; charset=utf-8",
    )
    assert "<script>" not in refused.text


def test_the_suite_is_here() -> None:
    assert {name for name in DIFFERENT if not hasattr(test_demo, name)} == set()
    assert len([name for name in globals() if name.startswith("test_")]) > 50
