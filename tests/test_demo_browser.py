"""The demo in a visitor's own browser: every room, by keyboard, in both lights, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from .browser import ColorScheme
from .servers import PATIENCE, Server, until
from .visitors import both_doors, leave, png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Doors = dict[str, Server]

ROOMS = ["/", "/guestbook", "/feed", "/chat", "/session", "/whoami"]

# Texts that are hard to read: the contrast of their colours is below what WCAG 2.2 asks for
# (1.4.3: 4.5, or 3 for large ones).
HARD_TO_READ = """() => {
    const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const colour = (text) => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = text;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data];
    };
    const luminance = ([red, green, blue]) => [red, green, blue]
        .map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const found = colour(getComputedStyle(element).backgroundColor);
            if (found[3] === 255) return found;
        }
        return [255, 255, 255, 255];
    };
    const hard = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility() || element.matches(":disabled")) continue;
        const style = getComputedStyle(element);
        const [high, low] = [colour(style.color), behind(element)].map(luminance)
            .sort((one, other) => other - one);
        const large = parseFloat(style.fontSize) >= 24;
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < (large ? 3 : 4.5)) hard.push(`${contrast.toFixed(1)} ${element.outerHTML}`);
    }
    return hard;
}"""


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Both servers over one folder, in which some notes are already."""
    with both_doors(tmp_path_factory.mktemp("doors")) as doors:
        for door in doors.values():
            with httpx.Client(base_url=door.url, timeout=PATIENCE) as client:
                leave(client, "A" * 40, "https://example.com/" + "a-long-path/" * 20)
                leave(client, "Ada", "with an image", png(300, 200))
        yield doors


@pytest.fixture(params=["wsgi", "asgi"])
def url(request: pytest.FixtureRequest, doors: Doors) -> str:
    """Where this run's door is."""
    return doors[request.param].url


def focused(page: Page) -> str:
    """The id of the element that the keyboard goes to."""
    found: str = page.evaluate("document.activeElement.id")
    return found


# Not by Playwright's wait_for_function: it evaluates text in the page, whose policy forbids that.
def width_of_image(page: Page) -> int:
    """How wide the first image of a note is, in pixels of its own; 0 until it is loaded."""
    found: int = page.evaluate("document.querySelector('.note img')?.naturalWidth ?? 0")
    return found


# --- every room -------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_no_room_is_wider_than_its_window(page: Page, url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    for room in ROOMS:
        page.goto(url + room)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, room


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_every_text_can_be_read(page: Page, url: str, color_scheme: ColorScheme) -> None:
    for room in ROOMS:
        page.goto(url + room)
        assert page.evaluate(HARD_TO_READ) == [], room


def test_every_control_is_reached_by_keyboard_and_seen_to_be(page: Page, url: str) -> None:
    for room in ROOMS:
        page.goto(url + room)
        controls = page.locator(
            "a:visible, button:visible:enabled, input:visible:enabled, textarea"
        )
        wanted = controls.evaluate_all("all => all.map((one) => one.outerHTML)")
        reached: dict[str, str] = {}
        for _ in range(len(wanted) + 8):
            page.keyboard.press("Tab")
            html, outline = page.evaluate(
                "[document.activeElement.outerHTML,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            reached[html] = outline
        assert set(wanted) - {"<body>"} <= set(reached), room
        assert all(outline != "none" for html, outline in reached.items() if "<body" not in html)


def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(page: Page, url: str) -> None:
    page.goto(url + "/guestbook")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focused(page) == "name"


# --- the guestbook ----------------------------------------------------------------------------


def test_a_note_is_left_by_keyboard_and_a_slip_is_told_where_it_is(
    page: Page, url: str, troubles: list[str]
) -> None:
    page.goto(url + "/guestbook")
    page.focus("#name")
    page.keyboard.type("Grace")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the text, which stays empty
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("#text:focus")
    described = page.get_attribute("#text", "aria-describedby")
    assert page.inner_text(f"#{described}") == "A note needs some text."
    assert page.input_value("#name") == "Grace"
    assert [trouble for trouble in troubles if "422" not in trouble] == []
    troubles.clear()
    page.keyboard.type("By keyboard alone.")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".flash")
    assert page.locator(".note .text").first.inner_text() == "By keyboard alone."
    page.reload()  # a GET: nothing is sent twice
    assert page.locator(".flash").count() == 0
    page.get_by_role("button", name=re.compile("^Take note")).first.click()
    page.wait_for_selector(".flash")
    assert "By keyboard alone." not in page.inner_text("main")


def test_an_image_is_chosen_shown_and_downloaded(page: Page, url: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png(80, 60))
    page.goto(url + "/guestbook")
    page.fill("#name", "Ada")
    page.fill("#text", "A picture.")
    page.set_input_files("#image", file)
    page.click("text=Leave it here")
    image = page.locator(".note img").first
    image.scroll_into_view_if_needed()
    until("the image is shown", lambda: width_of_image(page) == 80)
    with page.expect_download() as download:
        page.click("text=Download >> nth=0")
    assert download.value.path().read_bytes() == png(80, 60)
    assert re.fullmatch(r"note-\d+\.png", download.value.suggested_filename)


def test_the_guestbook_and_the_session_need_no_script(browser: Browser, url: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(url + "/session")
        page.fill("#account", "Alan")
        page.fill("#password", "open sesame")
        page.click("main button")
        assert page.inner_text("h1") == "Hello, Alan."
        page.goto(url + "/guestbook")
        page.fill("#text", "Without any script.")
        page.click("text=Leave it here")
        assert page.locator(".note h3").first.inner_text() == "Alan"


# --- the live feed ----------------------------------------------------------------------------


def live(page: Page) -> None:
    page.wait_for_selector("#status.on")


def test_a_note_from_either_door_appears_without_a_reload(
    page: Page, url: str, doors: Doors
) -> None:
    page.goto(url + "/feed")
    live(page)
    for protocol, door in doors.items():
        text = f"<b>live</b> by {protocol}, for {url}"
        with httpx.Client(base_url=door.url, timeout=PATIENCE) as client:
            leave(client, "Ada", text, png())
        page.wait_for_selector(f"text='{text}'")
        note = page.locator("#feed .note").first
        assert note.locator(".came").inner_text() == f"by {protocol.upper()}"
        until("the image is shown", lambda: width_of_image(page) == 2)


@pytest.mark.parametrize(("motion", "animation"), [("no-preference", "arrive"), ("reduce", "none")])
def test_a_new_note_moves_only_for_those_who_like_it(
    page: Page, doors: Doors, motion: Any, animation: str
) -> None:
    page.emulate_media(reduced_motion=motion)
    page.goto(doors["asgi"].url + "/feed")
    live(page)
    with httpx.Client(base_url=doors["wsgi"].url, timeout=PATIENCE) as client:
        leave(client)
    style = page.wait_for_selector(".note.new")
    assert style is not None
    assert style.evaluate("note => getComputedStyle(note).animationName") == animation


# --- the chat ---------------------------------------------------------------------------------


def test_two_visitors_talk(page: Page, browser: Browser, doors: Doors) -> None:
    room = doors["asgi"].url + "/chat/tea"
    page.goto(room)
    live(page)
    with browser.new_context() as context:
        other = context.new_page()
        other.goto(room)
        live(other)
        until("two are here", lambda: page.locator("#present li").count() == 2)
        assert focused(page) == "message"
        page.keyboard.type("<i>Milk</i> or sugar?")
        page.keyboard.press("Enter")
        for side in (page, other):
            side.wait_for_selector("#log >> text='<i>Milk</i> or sugar?'")
        assert page.input_value("#message") == ""
    until("one is here", lambda: page.locator("#present li").count() == 1)


def test_the_chat_explains_itself_by_wsgi_and_leads_to_the_door_that_carries_it(
    page: Page, doors: Doors
) -> None:
    page.goto(doors["asgi"].url + "/")  # the door is open from its first visitor on
    page.goto(doors["wsgi"].url + "/chat/library")
    assert "501 Not Implemented" in page.inner_text("main")
    page.click("text=To this room by the ASGI door")
    live(page)
    assert page.url == doors["asgi"].url + "/chat/library"


# --- the session ------------------------------------------------------------------------------


def test_who_signs_in_at_one_door_goes_through_the_other_as_the_same(
    page: Page, doors: Doors
) -> None:
    page.goto(doors["asgi"].url + "/")
    page.goto(doors["wsgi"].url + "/session")
    page.fill("#account", "Grace")
    page.fill("#password", "open sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("text='Hello, Grace.'")
    page.click(".doors a")
    assert page.url == doors["asgi"].url + "/session"
    assert page.inner_text("h1") == "Hello, Grace."
    page.click("main button")
    page.wait_for_selector("text='Hello, guest.'")
