"""A real browser for tests: Chromium as the distribution ships it, driven by Playwright.

A test that takes `page` drives it, and `axe` finds what keeps people from using a page. Any
console error, uncaught exception or request to another machine fails the test; one that
expects such a thing takes it out of `troubles`.
Where there is no Chromium these tests are left out, and the summary says so; to demand them,
as `.ci/run` does, name the program in the environment: MICROWEB_CHROMIUM=/usr/bin/chromium.
(Named as nothing, MICROWEB_CHROMIUM=, they are left out wherever it is.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

from .servers import HOST, PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, WebError

ColorScheme = Literal["light", "dark"]

PROGRAMS = ("/usr/bin/chromium", "/usr/bin/google-chrome")
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    # A request to anywhere else fails by itself, machine on line or not.
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",
)
INNER_SCHEMES = {"about", "blob", "data"}  # what a page may load without asking any host
# What a test may need that a machine may lack: the fixture, what is missing, and the mend.
NEEDS = {
    "axe": ("axe-core", "npm install axe-core, and its axe.min.js named by MICROWEB_AXE"),
    "browser": ("Chromium", "apt-get install chromium"),
}
LEFT_OUT = pytest.StashKey[dict[str, int]]()


def chromium() -> str | None:
    """The program: what MICROWEB_CHROMIUM names, there or not, or the first one that is."""
    if "MICROWEB_CHROMIUM" in os.environ:
        return os.environ["MICROWEB_CHROMIUM"] or None
    return next((path for path in PROGRAMS if Path(path).exists()), None)


def axe_core() -> Path | None:
    """The program that finds what keeps people from using a page: named by MICROWEB_AXE."""
    return Path(named) if (named := os.environ.get("MICROWEB_AXE")) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a browser, or axe-core, where there is none."""
    lacking = {"axe": axe_core() is None, "browser": chromium() is None}
    left_out = dict.fromkeys(NEEDS, 0)
    kept = []
    for item in items:
        for fixture in NEEDS:
            if lacking[fixture] and fixture in getattr(item, "fixturenames", ()):
                left_out[fixture] += 1
                config.hook.pytest_deselected(items=[item])
                break
        else:
            kept.append(item)
    items[:] = kept
    config.stash[LEFT_OUT] = left_out


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes run the tests, each tells the one that writes the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """All processes have collected, and so left out, the same."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say in a line each what was left out, and the mend."""
    for fixture, count in config.stash.get(LEFT_OUT, {}).items():
        if count:
            missing, mend = NEEDS[fixture]
            terminalreporter.write_line(
                f"{count} browser tests were left out, for want of {missing}: {mend}", yellow=True
            )


# Not for the whole session: as long as Playwright runs, this thread seems to be inside an
# event loop, and no test could start one of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, started for the tests of one module."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(),
            args=FLAGS,
            chromium_sandbox=os.geteuid() != 0,  # it cannot be had as root
            timeout=PATIENCE * 1000,
        )
        with browser:
            yield browser


@pytest.fixture
def color_scheme() -> ColorScheme:
    """What the visitor prefers; parametrize it to look at a page in the dark too."""
    return "light"


@pytest.fixture
def troubles() -> list[str]:
    """What `page` has met so far that should not be; whatever is left at the end fails the test."""
    return []


@pytest.fixture
def page(browser: Browser, color_scheme: ColorScheme, troubles: list[str]) -> Iterator[Page]:
    """A page in a fresh profile, whose troubles fail the test."""
    with browser.new_context(color_scheme=color_scheme) as context:
        context.set_default_timeout(PATIENCE * 1000)

        def met_console(message: ConsoleMessage) -> None:
            # A browser asks for this icon unbidden; that a site has none is no error of a page.
            url = message.location["url"]
            if message.type == "error" and not url.endswith("/favicon.ico"):
                troubles.append(f"console error: {message.text} ({url})")

        def met_exception(error: WebError) -> None:
            troubles.append(f"uncaught exception: {error.error}")

        def met_request(url: str, is_page: bool = False) -> None:
            parts = urlsplit(url)
            is_inner = parts.scheme in INNER_SCHEMES or (parts.scheme == "file" and is_page)
            if not is_inner and parts.hostname != HOST:
                troubles.append(f"request to another host: {url}")

        context.on("console", met_console)
        context.on("weberror", met_exception)
        context.on(
            "request", lambda request: met_request(request.url, request.is_navigation_request())
        )
        page = context.new_page()
        page.on("websocket", lambda websocket: met_request(websocket.url))
        yield page
    assert troubles == []


Axe = Callable[[], list[str]]


@pytest.fixture
def axe(page: Page) -> Axe:
    """What axe-core finds on the page that is serious or critical, with where it is."""
    program = axe_core()
    assert program is not None
    source = program.read_text("utf-8")

    def found() -> list[str]:
        page.evaluate(source)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['help']}: {[node['html'] for node in each['nodes'][:3]]}"
            for each in result["violations"]
            if each["impact"] in ("serious", "critical")
        ]

    return found
