"""The explorer as its visitor meets it: each ready request, sent through both doors and drawn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from microweb.explorer.scenarios import OF_DEMO

from .browser import Axe, ColorScheme
from .servers import Server, serving, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

EXPLORE = "microweb explore"


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo, explored."""
    with serving(EXPLORE, "microweb.demo:site", tmp_path_factory.mktemp("demo")) as server:
        yield server


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are left of what was seen: MICROWEB_SCREENSHOTS, or a folder of the run."""
    named = os.environ.get("MICROWEB_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose(page: Page, scenario: str) -> None:
    """Send a ready request, and wait until it is drawn."""
    page.click(f"#scenario-{scenario}")
    page.wait_for_selector(".send:not([aria-disabled])")
    page.wait_for_selector(".player")


def steps(page: Page) -> list[str]:
    """The sentence of each step, by keyboard from the first to the last."""
    last = int(page.get_attribute("#scrub", "max") or 0)
    told = [page.inner_text(".sentence")]
    for _ in range(last):
        page.keyboard.press("ArrowRight")
        told.append(page.inner_text(".sentence"))
    return told


def row(page: Page, name: str) -> list[str]:
    """A row of the table of what is the same and what is different, for both halves."""
    cells = page.locator(".compared tbody tr", has=page.get_by_text(name)).locator("td")
    texts = cells.all_inner_texts()
    return texts if len(texts) == 2 else texts * 2


class Expected(NamedTuple):
    statuses: list[str]  # on the wire, through WSGI and through ASGI
    told: list[str]  # of the sentences, what none but this request tells


OK = ["200", "200"]
EXPECTED = {
    "text": Expected(
        OK, ["Your handler is called: text(request), right here, in the server's own thread"]
    ),
    "path": Expected(OK, ["in the path: name='café'", "hello(request, name='café')"]),
    "form": Expected(OK, ["before the handler is called: 33 bytes"]),
    "json": Expected(OK, ["before the handler is called: 28 bytes"]),
    "stream": Expected(OK, ["a body that is made only while it is sent"]),
    "chunked": Expected(OK, ["more_body says that there is more"]),
    "head": Expected(OK, ['beginning with "HEAD /text HTTP/1.1"']),
    "missing": Expected(["404", "404"], ["No route has this path: no handler will be called."]),
    "crash": Expected(
        ["500", "500"],
        ["Your handler raises RuntimeError: raised on purpose by the demo's /error."],
    ),
    "halfway": Expected(
        OK,
        [
            "The answer has begun: gunicorn can only break it off.",
            "The answer has begun: uvicorn can only break it off.",
        ],
    ),
    "continue": Expected(
        ["100, 200", "100, 200"],
        ['gunicorn sends "HTTP/1.1 100 Continue"', 'uvicorn sends "HTTP/1.1 100 Continue"'],
    ),
    "leave": Expected(OK, ["The client has torn the connection: it is gone."]),
    "websocket": Expected(
        ["501", "101"],
        [
            "websocket.connect: a client asks for a WebSocket",
            "A message of the client's: 'Is anybody here?'",
            "from here on this connection carries frames",
        ],
    ),
}


def test_each_ready_request_is_looked_at() -> None:
    assert set(EXPECTED) == {each.name for each in OF_DEMO}


@pytest.mark.parametrize("scenario", EXPECTED)
def test_a_ready_request_is_sent_drawn_and_stepped_through(
    page: Page, explorer: Server, screenshots: Path, scenario: str
) -> None:
    page.set_viewport_size({"width": 1400, "height": 900})
    page.goto(explorer.url)
    choose(page, scenario)
    assert page.inner_text(".status") == ""
    told = steps(page)
    position = page.inner_text(".position")
    number = position.rpartition(" ")[2]
    assert position == f"ASGI · Step {number} of {number}"
    statuses, fragments = EXPECTED[scenario]
    assert row(page, "status on the wire") == statuses
    for fragment in fragments:
        assert any(fragment in text for text in told), (fragment, told)
    for half in ("wsgi", "asgi"):
        assert page.locator(f".half.{half} .event").count() > 10
        assert page.locator(f".half.{half} .bar").count() > 0
    assert page.locator(".trouble").count() == (2 if scenario == "halfway" else 0)
    page.screenshot(path=screenshots / f"{scenario}.png", full_page=True)


def test_a_message_is_followed_through_its_masked_frame(page: Page, explorer: Server) -> None:
    page.goto(explorer.url)
    choose(page, "websocket")
    row_ = page.locator(".band.seam [data-half='1'] tr", has_text="websocket.receive").first
    row_.hover()
    assert "Is anybody here?" in row_.inner_text()
    wire = page.locator(".band.wire [data-half='1'] pre").first.locator(".lit")
    assert wire.count() == 1
    assert len(wire.get_attribute("data-spans") or "") > 3
    sent = page.locator(".band.seam [data-half='1'] tr", has_text="websocket.send").last
    assert "Is anybody here?" in sent.inner_text()
    sent.hover()
    lit = page.locator(".band.wire [data-half='1'] pre").nth(1).locator(".lit").all_inner_texts()
    assert len(lit) == 1
    assert '"text":"Is anybody here?"' in lit[0]
    assert page.locator(".half.asgi .lit").count() >= 2


def test_a_recording_is_kept_and_opened_from_disk(
    page: Page, explorer: Server, tmp_path: Path
) -> None:
    page.goto(explorer.url)
    choose(page, "path")
    told = steps(page)
    with page.expect_download() as download:
        page.click("#keep")
    assert download.value.suggested_filename == "recording.html"
    file = tmp_path / "kept.html"
    download.value.save_as(file)
    page.goto(file.as_uri())
    assert steps(page) == told
    assert page.locator("#keep, form").count() == 0


# --- the form ---------------------------------------------------------------------------------


def test_a_request_is_typed_and_sent_by_keyboard(page: Page, explorer: Server) -> None:
    page.goto(explorer.url)
    page.focus("#method")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("POST")
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("/echo")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("x-mine: yes")
    page.keyboard.press("Tab")
    page.keyboard.type("[1, 2]")
    page.focus("#target")
    page.keyboard.press("Enter")
    page.wait_for_selector(".player")
    request = page.inner_text(".band.wire [data-half='1'] pre >> nth=0")
    assert request.startswith("POST /echo HTTP/1.1\n")
    assert "\nx-mine: yes\n" in request
    assert request.endswith("\n[1, 2]")


def test_arrows_in_a_field_move_the_cursor_and_not_the_step(page: Page, explorer: Server) -> None:
    page.goto(explorer.url)
    choose(page, "text")
    before = page.inner_text(".position")
    page.focus("#target")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.type("/x")
    assert page.inner_text(".position") == before
    assert page.input_value("#target") == "/tex/xt"


def test_what_cannot_be_sent_is_said_beside_the_form(
    page: Page, explorer: Server, troubles: list[str]
) -> None:
    page.goto(explorer.url)
    page.fill("#headers", "no colon here")
    page.click(".send")
    until("it is said", lambda: "has no colon" in page.inner_text(".status"))
    assert page.input_value("#headers") == "no colon here"  # nothing is lost
    assert all("422" in trouble for trouble in troubles)
    troubles.clear()


def test_a_change_of_language_keeps_what_was_typed(page: Page, explorer: Server) -> None:
    page.goto(explorer.url)
    page.fill("#target", "/mine")
    page.fill("#body", "a body")
    page.check("#leave")
    page.click("#language-zh")
    assert page.input_value("#target") == "/mine"
    assert page.input_value("#body") == "a body"
    assert page.is_checked("#leave")
    assert page.inner_text(".send") == "发送"


def test_where_the_explorer_is_gone_the_page_says_so(
    page: Page, tmp_path: Path, troubles: list[str]
) -> None:
    with serving(EXPLORE, "microweb.demo:site", tmp_path, ["--wsgi"]) as server:
        page.goto(server.url)
    page.click(".send")
    until(
        "it is said", lambda: "Is `microweb explore` still running?" in page.inner_text(".status")
    )
    troubles.clear()


# --- before the first request -----------------------------------------------------------------


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_empty_page_explains_itself_and_keeps_nobody_out(
    page: Page, explorer: Server, axe: Axe, color_scheme: ColorScheme, screenshots: Path
) -> None:
    page.goto(explorer.url)
    for name in ("WSGI (PEP 3333) is a call", "ASGI is a conversation", "A server (gunicorn"):
        assert name in page.inner_text("main")
    for language in ("en", "zh"):
        page.click(f"#language-{language}")
        assert axe() == []
        page.screenshot(path=screenshots / f"empty-{language}-{color_scheme}.png")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_form_fits_every_window(page: Page, explorer: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(explorer.url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


# --- others than the demo ---------------------------------------------------------------------


def test_flask_and_fastapi_in_one_picture(page: Page, tmp_path: Path, screenshots: Path) -> None:
    options = ["--wsgi", "tests.foreign.flask_app:app", "--asgi"]
    environment = {"FOREIGN_LIFE": str(tmp_path / "life")}
    target = "tests.foreign.fastapi_app:app"
    with serving(EXPLORE, target, tmp_path, options, environment) as server:
        page.goto(server.url)
        page.fill("#target", "/people/caf%C3%A9")
        page.click(".send")
        page.wait_for_selector(".player")
        assert row(page, "status on the wire") == OK
        assert page.locator(".inside").all_inner_texts() == [
            "flask does not tell of its steps: inside is dark",
            "fastapi does not tell of its steps: inside is dark",
        ]
        page.locator(".band.wire [data-half='0'] pre").get_by_text("/people/caf%C3%A9").hover()
        lit = page.locator(".band.seam .lit td").all_inner_texts()
        assert any(text.startswith("'/people/cafÃ©' percent-decoded") for text in lit)
        assert any(text.startswith("'/people/café' percent-decoded") for text in lit)
        packages = set()
        for _ in range(int(page.get_attribute("#scrub", "max") or 0)):
            page.keyboard.press("ArrowRight")
            packages |= {text.split("/")[0] for text in page.locator(".place").all_inner_texts()}
        # On what Flask and FastAPI stand, and who serves them.
        assert packages == {"gunicorn", "werkzeug", "uvicorn", "starlette"}
        page.screenshot(path=screenshots / "flask-fastapi.png", full_page=True)


def test_a_crash_is_shown_with_what_the_server_wrote(page: Page, tmp_path: Path) -> None:
    with serving(EXPLORE, "tests.troubled_app:app", tmp_path) as server:
        page.goto(server.url)
        page.fill("#target", "/die")
        page.click(".send")
        page.wait_for_selector(".trouble")
        assert page.locator(".trouble").count() == 2
        page.click("#language-zh")
        assert (
            page.locator(".trouble p").first.inner_text().startswith("WSGI gunicorn 的响应中途断了")
        )
        page.click("#language-en")
        page.fill("#target", "/")
        page.click(".send")
        until("it is well again", lambda: page.locator(".trouble").count() == 0)
        assert row(page, "status on the wire") == OK
