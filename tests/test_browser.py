"""The demo in a visitor's own browser; and the browser of the tests, which must see troubles."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .browser import ColorScheme
from .servers import HOST, ROOT, Server, serving, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

DOORS = {
    "WSGI": ("gunicorn gthread", "wsgi_app:app"),
    "ASGI": ("uvicorn", "asgi_app:app"),
}


@pytest.fixture(scope="module", params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    """The protocol of this run."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(door: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo, behind this run's door."""
    with serving(*DOORS[door], tmp_path_factory.mktemp("browser")) as server:
        yield server


# --- the demo -----------------------------------------------------------------------------


def test_the_home_page_says_through_which_door_the_browser_came(
    page: Page, server: Server, door: str
) -> None:
    page.goto(server.url + "/")
    assert "microweb" in page.title()
    assert f"through the {door} door" in " ".join(page.inner_text("main").split())


def test_every_link_is_reached_by_keyboard_and_seen_to_be(page: Page, server: Server) -> None:
    page.goto(server.url + "/")
    links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    reached: dict[str, str] = {}
    for _ in range(page.locator("a, button, input, select, textarea, summary").count()):
        page.keyboard.press("Tab")
        href, outline = page.evaluate(
            "[document.activeElement.href, getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached[href] = outline
    assert links
    assert set(links) <= set(reached)
    assert "none" not in reached.values()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_page_is_light_or_dark_as_the_visitor_prefers(
    page: Page, server: Server, color_scheme: ColorScheme
) -> None:
    page.goto(server.url + "/")
    lightness = page.evaluate(
        """() => {
            const paint = document.createElement("canvas").getContext("2d");
            paint.fillStyle = getComputedStyle(document.body).backgroundColor;
            paint.fillRect(0, 0, 1, 1);
            return Math.max(...paint.getImageData(0, 0, 1, 1).data.slice(0, 3));
        }"""
    )
    assert (lightness > 127) == (color_scheme == "light")


# --- the fixtures themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        ("<script>console.error('dear me')</script>", "console error: dear me"),
        ("<script>nothing.like.it()</script>", "uncaught exception: nothing is not defined"),
        ("<img src='http://elsewhere.example/x.png'>", "request to another host: http://elsewh"),
        ("<script>new WebSocket('ws://elsewhere.example')</script>", "request to another host: ws"),
        (f"<img src='http://{HOST}:9/x.png'>", "console error: Failed to load resource"),
    ],
)
def test_trouble_on_a_page_is_seen(
    page: Page, troubles: list[str], content: str, trouble: str
) -> None:
    page.set_content(content)

    def is_seen() -> bool:
        page.title()  # Playwright tells of events only while it is being called
        return any(met.startswith(trouble) for met in troubles)

    until(f"{trouble} is seen", is_seen, lambda: str(troubles))
    troubles.clear()


@pytest.mark.parametrize("processes", [(), ("-n", "1")], ids=["one", "several"])
def test_where_there_is_no_chromium_the_summary_names_the_mend(processes: tuple[str, ...]) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-k", "by_keyboard")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *processes, __file__],
        cwd=ROOT,
        env={**os.environ, "MICROWEB_CHROMIUM": "", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, ran.stdout
    assert "browser tests were left out, for want of Chromium: apt-get install chromium" in (
        ran.stdout
    )
