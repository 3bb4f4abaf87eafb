"""The explorer's page as a file that is opened from disk: what is shown there, and followed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from microweb.explorer.page import page_of
from microweb.tracing.format import KINDS, Event, Run, Trace, load

from .browser import Axe, ColorScheme
from .servers import ROOT, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

TARGET = "tests.troubled_app:app"
ORDER = ["POST", "/orders/caf%C3%A9?lang=fr", "-H", "x-table: seven", "-d", '{"tea": "oolong"}']

Open = Callable[[], "Page"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of real servers, as a page and as lines of JSON beside it."""
    file = tmp_path_factory.mktemp("recorded") / "order.html"
    lines = file.with_suffix(".jsonl")
    words = ["trace", TARGET, *ORDER, "--html", str(file), "--json", str(lines)]
    # In a process of its own: here Playwright has a loop.
    command = [sys.executable, "-m", "microweb", *words]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    return file


@pytest.fixture
def trace(recorded: Path) -> Trace:
    """The same as a trace."""
    return load(recorded.with_suffix(".jsonl").read_text("utf-8").splitlines())


@pytest.fixture
def order(page: Page, recorded: Path) -> Page:
    """The page, opened from disk."""
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(recorded.as_uri())
    return page


def sentence(page: Page) -> str:
    return page.inner_text(".sentence")


def position(page: Page) -> str:
    return page.inner_text(".position")


def events_of(trace: Trace, run: int) -> list[Event]:
    return [event for event in trace.events if event.run == run and event.exchange is not None]


# --- stepping ---------------------------------------------------------------------------------


def test_it_is_stepped_through_by_keyboard_to_its_end(order: Page, trace: Trace) -> None:
    numbers = [len(events_of(trace, run)) for run in (0, 1)]
    assert position(order) == f"WSGI · Step 1 of {numbers[0]}"
    assert sentence(order).startswith("A client connects to gunicorn, from port ")
    told = []
    for _ in range(sum(numbers) - 1):
        order.keyboard.press("ArrowRight")
        told.append((position(order), sentence(order)))
    assert told[-1][0] == f"ASGI · Step {numbers[1]} of {numbers[1]}"
    assert len({at for at, _ in told}) == len(told)
    story = " ".join(text for _, text in told)
    for fragment in (
        "gunicorn calls the application with environ",
        "uvicorn awaits the application with scope",
        "Its thread stands still until the bytes are there",
        "its coroutine is suspended, and the loop is free for others",
        "The router finds the route /orders/{name}, and in the path: name='café'",
        "is called: order(request, name='café'), right here, in the server's own thread",
        "in thread microweb_0; the loop goes on meanwhile",
        "StopIteration: that was all of the body",
    ):
        assert fragment in story, fragment


def test_the_keys_lead_to_both_ends_and_not_beyond(order: Page) -> None:
    order.keyboard.press("End")
    last = position(order)
    order.keyboard.press("ArrowRight")
    assert position(order) == last
    order.keyboard.press("Home")
    order.keyboard.press("ArrowLeft")
    assert position(order).startswith("WSGI · Step 1 of ")
    order.keyboard.press("ArrowRight")
    order.keyboard.press("ArrowRight")
    order.keyboard.press("ArrowLeft")
    assert position(order).startswith("WSGI · Step 2 of ")


def test_it_plays_and_pauses(order: Page) -> None:
    order.keyboard.press(" ")
    assert order.get_attribute("#play", "aria-label") == "Pause"
    until("it goes on", lambda: not position(order).startswith("WSGI · Step 1 of"))
    order.click("#play")
    assert order.get_attribute("#play", "aria-label") == "Play"


def test_it_is_scrubbed(order: Page) -> None:
    order.focus("#scrub")
    order.keyboard.press("End")
    assert position(order).startswith("ASGI")
    order.keyboard.press("ArrowLeft")
    assert position(order).startswith("ASGI")


def test_a_click_in_the_picture_leads_to_its_step(order: Page, trace: Trace) -> None:
    index = next(
        index for index, event in enumerate(events_of(trace, 1)) if event.kind == "handler.call"
    )
    order.locator(f".half.asgi [data-index='{index}'] .touch").click()
    assert position(order).startswith(f"ASGI · Step {index + 1} of ")
    assert sentence(order).startswith("Your handler is called: order(request, name='café')")
    whose, place, line = order.inner_text(".source").split("\n")
    assert (whose, place.partition(":")[0]) == ("yours", "tests/troubled_app.py")
    assert line == "def order(request: Request, name: str) -> dict[str, object]:"


def test_each_line_says_whose_it_is(order: Page, trace: Trace) -> None:
    found = {}
    for event in events_of(trace, 0):
        found[event.kind] = order.locator(".whose").all_inner_texts()
        order.keyboard.press("ArrowRight")
    assert found["connect"] == []
    assert found["app.call"] == ["the server's"]
    assert found["next.call"] == ["the server's"]
    assert found["match"] == ["the framework's"]
    assert found["start_response.call"] == ["the framework's"]
    assert found["handler.call"] == ["yours"]


def test_the_story_in_words_is_the_same_as_that_of_the_steps(order: Page, trace: Trace) -> None:
    order.click("summary:text('The story in words')")
    items = order.locator(".story li")
    until("it is told", lambda: items.count() > 0)
    assert items.count() == len(events_of(trace, 0)) + len(events_of(trace, 1))
    for text in items.all_inner_texts():
        assert text.endswith(sentence(order)), text
        order.keyboard.press("ArrowRight")


# --- the picture ------------------------------------------------------------------------------


def test_wsgi_blocks_where_asgi_waits(order: Page) -> None:
    for half, bars in (("wsgi", "hatch"), ("asgi", "dots")):
        other = {"hatch": "dots", "dots": "hatch"}[bars]
        assert order.locator(f".half.{half} .bar.{bars}").count() >= 3
        assert order.locator(f".half.{half} .bar.{other}").count() == 0
        assert order.locator(f".half.{half} .bar.runs").count() == 1


def test_the_seam_is_one_line_across_the_page(order: Page) -> None:
    seams = order.evaluate(
        """() => [...document.querySelectorAll(".bands")].map((bands) => {
            const {left, right, top} = bands.getBoundingClientRect();
            return [left, right, top];
        })"""
    )
    (left, middle, top), (start, _, other) = seams
    assert top == other
    assert abs(middle - start) < 1
    assert left < 40


def test_time_that_is_to_come_is_paler_and_the_seam_is_not(order: Page) -> None:
    def covered() -> list[float]:
        places: list[float] = order.evaluate(
            """() => [...document.querySelectorAll(".veil")].map((veil) => {
                const {left} = veil.getBoundingClientRect();
                return left - veil.closest("svg").getBoundingClientRect().left;
            })"""
        )
        return places

    assert covered()[1] == 0
    order.keyboard.press("End")
    assert min(covered()) > 300


# --- the bytes --------------------------------------------------------------------------------

# What is lit, by half and band, but for the picture: the innermost, without quotes.
LIT = """() => {
    const found = {};
    for (const node of document.querySelectorAll(".carried .lit")) {
        if (node.querySelector(".lit")) continue;
        const half = ["wsgi", "asgi"][node.closest("[data-half]").dataset.half];
        const band = node.closest(".band").className.replace("band ", "");
        const parts = node.matches("tr") ? [...node.querySelector("td").childNodes] : [node];
        const text = parts.filter((part) => part.className !== "how")
            .map((part) => part.textContent).join("");
        (found[`${half} ${band}`] ??= []).push(text);
    }
    return found;
}"""
PICTURE = """() => [0, 1].map((half) =>
    [...document.querySelectorAll(`svg[data-half="${half}"] .lit`)]
        .map((node) => Number(node.dataset.index)))"""


def on_the_wire(page: Page, half: int, text: str) -> Locator:
    return page.locator(f".band.wire [data-half='{half}'] pre [data-spans]").get_by_text(
        text, exact=True
    )


FOLLOWED: dict[str, dict[str, list[str]]] = {
    "caf%C3%A9": {
        "wire": ["caf%C3%A9"],
        "wsgi seam": ["caf%C3%A9", "cafÃ©"],
        "asgi seam": ["café", "caf%C3%A9"],
        "framework": ["café"],
        "handler": ["'café'"],
    },
    "fr": {
        "wire": ["fr"],
        "wsgi seam": ["fr", "fr"],
        "asgi seam": ["fr"],
        "framework": ["fr", "'fr'"],
    },
    "seven": {
        "wire": ["seven"],
        "wsgi seam": ["'seven'"],
        "asgi seam": ["b'seven'"],
        "framework": ["'seven'"],
    },
    '{"tea": "oolong"}': {
        "wire": ['{"tea": "oolong"}'],
        "wsgi seam": ['b\'{"tea": "oolong"}\''],
        "asgi seam": ['body=b\'{"tea": "oolong"}\' more_body=False'],
        "framework": ['b\'{"tea": "oolong"}\''],
    },
}


@pytest.mark.parametrize("pointed", [0, 1])
@pytest.mark.parametrize("text", FOLLOWED)
def test_the_same_bytes_light_up_in_every_band_of_both_halves(
    order: Page, trace: Trace, text: str, pointed: int
) -> None:
    on_the_wire(order, pointed, text).hover()
    lit = order.evaluate(LIT)
    expected = {
        place: texts
        for half in ("wsgi", "asgi")
        for band, texts in FOLLOWED[text].items()
        if (place := band if " " in band else f"{half} {band}").startswith(half)
    }
    assert {place: sorted(texts) for place, texts in lit.items()} == {
        place: sorted(texts) for place, texts in expected.items()
    }
    for run, indexes in enumerate(order.evaluate(PICTURE)):
        kinds = {events_of(trace, run)[index].kind for index in indexes}
        assert "bytes" in kinds
        if "handler" in FOLLOWED[text]:
            assert kinds >= {"app.call", "request", "handler.call"}


def test_what_is_lit_goes_out_again(order: Page) -> None:
    on_the_wire(order, 0, "fr").hover()
    assert order.evaluate(LIT) != {}
    order.hover("h1")
    order.mouse.move(1, 1)
    assert order.evaluate(LIT) == {}


def test_bytes_are_followed_by_keyboard_too(order: Page) -> None:
    row = order.locator("[data-half='0'] tr", has_text="QUERY_STRING").first
    row.focus()
    lit = order.evaluate(LIT)
    assert lit["wsgi wire"] == ["lang", "=", "fr"]
    assert lit["asgi framework"] == ["lang", "=", "fr", "'fr'"]
    order.keyboard.press("Tab")
    assert order.evaluate(LIT) != lit


def test_the_host_is_not_the_same_since_each_server_has_its_own_port(order: Page) -> None:
    order.locator("[data-half='0'] tr", has_text="HTTP_HOST").first.hover()
    lit = order.evaluate(LIT)
    assert "wsgi framework" in lit
    assert not any("127.0.0.1" in text for text in lit.get("asgi wire", []))


def test_bytes_that_nobody_has_claimed_are_grey(order: Page) -> None:
    for half in (0, 1):
        # SERVER_PROTOCOL is all of HTTP/1.1, and http_version the number alone.
        piece = on_the_wire(order, half, "HTTP/")
        assert ("kept" in (piece.get_attribute("class") or "")) == (half == 1)
        assert "kept" not in (on_the_wire(order, half, "seven").get_attribute("class") or "")
    colon = order.locator(".band.wire pre .kept", has_text=":")
    assert colon.count() >= 2


@pytest.mark.parametrize(("half", "own"), [(0, "Server"), (1, "server")])
def test_of_the_answer_the_servers_part_is_grey_and_the_rest_is_followed(
    order: Page, half: int, own: str
) -> None:
    wire = order.locator(f".band.wire [data-half='{half}'] .message").nth(1)
    assert wire.get_by_text(own, exact=True).get_attribute("class") == "kept"
    given = wire.get_by_text("application/json", exact=True)
    assert given.get_attribute("class") is None
    given.hover()
    lit = order.evaluate(LIT)
    name = ["wsgi", "asgi"][half]
    # A header of WSGI is text, and one of ASGI is bytes.
    assert lit[f"{name} seam"] == [["'application/json'"], ["b'application/json'"]][half]
    assert "application/json" in lit[f"{name} wire"]


# --- the same and the different ---------------------------------------------------------------


def test_what_is_the_same_and_what_is_different(order: Page) -> None:
    rows = {
        row[0]: row[1:]
        for row in order.evaluate(
            """() => [...document.querySelectorAll(".compared tbody tr")].map((row) =>
                [row.querySelector("th").firstChild.data,
                 ...[...row.querySelectorAll("td")].map((cell) => cell.textContent)])"""
        )
    }
    assert rows["the path"] == [
        "environ[\"PATH_INFO\"] = '/orders/cafÃ©'",
        "scope[\"path\"] = '/orders/café'",
    ]
    assert rows["the query"] == [
        "environ[\"QUERY_STRING\"] = 'lang=fr'",
        "scope[\"query_string\"] = b'lang=fr'",
    ]
    assert rows["the body is taken by"] == [
        "wsgi.input.read(), \u00d7 1",
        "receive() → http.request, \u00d7 1",
    ]
    assert rows["the answer begins with"] == ["start_response(…)", "send(http.response.start)"]
    assert rows["while somebody waits"][0] == "a thread stands still"
    assert rows["status on the wire"] == ["200"]
    assert rows["body on the wire"] == ["59 bytes"]


# --- languages, widths, colours ---------------------------------------------------------------


def test_all_of_it_is_there_in_chinese(order: Page, trace: Trace) -> None:
    order.click("#language-zh")
    assert order.get_attribute("html", "lang") == "zh-Hans"
    assert order.inner_text("h1") == "microweb 探索器"
    assert order.evaluate("document.activeElement.id") == "language-zh"
    chinese = re.compile("[\u4e00-\u9fff]")
    for _ in range(len(events_of(trace, 0)) + len(events_of(trace, 1))):
        assert chinese.search(sentence(order)), sentence(order)
        order.keyboard.press("ArrowRight")
    labels = order.locator("h2, h3, summary, .note, .key span, .said th, .compared tbody th")
    for text in labels.all_inner_texts():
        assert chinese.search(text), text
    named = order.evaluate(
        """() => [...document.querySelectorAll("[aria-label]")].map((node) => node.ariaLabel)"""
    )
    assert [text for text in named if not chinese.search(text)] == []


def test_a_change_of_language_stays_at_its_step(order: Page) -> None:
    for _ in range(7):
        order.keyboard.press("ArrowRight")
    order.click("#language-zh")
    assert position(order).startswith("WSGI · 第 8 步")


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_never_wider_than_its_window(order: Page, width: int, language: str) -> None:
    order.set_viewport_size({"width": width, "height": 800})
    order.click(f"#language-{language}")
    order.keyboard.press("End")
    assert order.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_jumps_while_it_is_stepped_through(order: Page, trace: Trace) -> None:
    for width in (390, 1280):
        order.set_viewport_size({"width": width, "height": 800})
        order.keyboard.press("Home")
        tops = set()
        for _ in range(len(events_of(trace, 0)) + len(events_of(trace, 1))):
            tops.add(order.evaluate("document.querySelector('.halves').offsetTop"))
            order.keyboard.press("ArrowRight")
        assert len(tops) == 1, width


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_keeps_people_from_using_it(
    order: Page, axe: Axe, color_scheme: ColorScheme, width: int, language: str
) -> None:
    order.set_viewport_size({"width": width, "height": 800})
    order.click(f"#language-{language}")
    for summary in order.locator("summary").all():
        summary.click()
    on_the_wire(order, 0, "seven").hover()
    assert axe() == []


# --- other recordings -------------------------------------------------------------------------

Show = Callable[[Trace], "Page"]


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Show:
    """Open a recording that was not made by servers."""

    def shown(trace: Trace) -> Page:
        file = tmp_path / f"{len(trace.events)}.html"
        file.write_text(page_of(trace, [None] * len(trace.runs)), "utf-8")
        page.goto(file.as_uri())
        return page

    return shown


def made(number: int) -> Trace:
    """A stream with so many events in each half."""
    runs = [Run("wsgi", "gunicorn 1", "a:b"), Run("asgi", "uvicorn 1", "a:b")]
    where = {"process": 1, "thread": "MainThread", "task": None}
    events = []
    for run, base in enumerate(["next", "send"]):
        chunk: dict[str, Any] = {"bytes": {"$bytes": "x", "size": 1}}
        message = {"message": {"type": "http.response.body", "body": chunk["bytes"]}}
        for index in range(0, number, 2):
            into, back = ("in", "out") if run == 0 else ("out", "in")
            data = {} if run == 0 else message
            events.append(Event(index, "seam", into, f"{base}.call", data, run, 1, where))  # type: ignore[arg-type]
            data = chunk if run == 0 else {}
            events.append(Event(index + 1, "seam", back, f"{base}.return", data, run, 1, where))  # type: ignore[arg-type]
    return Trace(runs, events)


# How many nodes a step changes: what it costs, on any machine.
CHANGES = """async () => {
    let changes = 0;
    const observer = new MutationObserver((records) => { changes += records.length; });
    observer.observe(document.body, {subtree: true, childList: true, attributes: true,
                                     characterData: true});
    document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
    await new Promise((done) => setTimeout(done));
    observer.disconnect();
    return changes;
}"""


def test_a_step_changes_no_more_with_two_thousand_events_than_with_twenty(show: Show) -> None:
    few = show(made(20)).evaluate(CHANGES)
    page = show(made(2000))
    assert 0 < page.evaluate(CHANGES) <= few
    page.keyboard.press("End")
    assert position(page) == "ASGI · Step 2000 of 2000"
    page.keyboard.press("ArrowLeft")
    scrolled = page.evaluate("[...document.querySelectorAll('.scroller')].map((n) => n.scrollLeft)")
    assert scrolled[1] > 20_000
    # The step is in the window of its picture.
    assert page.locator(".half.asgi .current").bounding_box()["x"] < 1280  # type: ignore[index]


@pytest.mark.parametrize(
    "trace",
    [
        Trace([Run("wsgi", "gunicorn 1", "a:b")]),
        Trace([Run("asgi", "uvicorn 1", "a:b"), Run("asgi", "hypercorn 1", "a:b")]),
        Trace([Run("asgi", f"s{n} 1", "a:b") for n in range(4)], made(8).events),
    ],
    ids=["nothing in one", "nothing in two", "four halves"],
)
def test_recordings_of_little_or_of_several_are_shown(show: Show, trace: Trace) -> None:
    page = show(trace)
    assert page.locator(".half").count() == len(trace.runs)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    page.click("#language-zh")


def seen(*told: tuple[str, dict[str, Any]], exchange: int = 1) -> list[Event]:
    """Events of an ASGI application, in which nothing ever waits."""
    where = {"process": 1, "thread": "MainThread", "task": "Task-1"}
    return [
        Event(time, KINDS[kind][0], "out", kind, data, 0, exchange, where)
        for time, (kind, data) in enumerate(told)
    ]


ASGI = Run("asgi", "uvicorn 1", "a:b")
START = ("send.call", {"message": {"type": "http.response.start", "status": 500, "headers": []}})
BODY = (
    "send.call",
    {"message": {"type": "http.response.body", "body": {"$bytes": "x", "size": 1}}},
)
MORE = ("send.call", {"message": {**BODY[1]["message"], "more_body": True}})
RAISE = ("app.raise", {"type": "ValueError", "message": "oh"})
CLOSE = ("send.call", {"message": {"type": "websocket.close", "code": 1000}})
ACCEPT = ("send.call", {"message": {"type": "websocket.accept", "headers": [["x-mine", "1"]]}})
TOLD = {
    "nothing sent": ([RAISE], "uvicorn has to answer by itself."),
    "begun": ([START, MORE, RAISE], "The answer has begun: uvicorn can only break it off."),
    "whole": ([START, BODY, RAISE], "The answer is whole already: uvicorn can only log it."),
    "refused": ([CLOSE], "before it was accepted: uvicorn refuses the handshake, with 403."),
    "closed": ([ACCEPT, CLOSE], "The application closes the WebSocket, with code 1000."),
}


@pytest.mark.parametrize(("told", "end"), TOLD.values(), ids=TOLD)
def test_the_end_is_told_by_what_came_before(show: Show, told: Any, end: str) -> None:
    page = show(Trace([ASGI], seen(*told)))
    page.keyboard.press("End")
    assert sentence(page).endswith(end)


def test_headers_of_a_websocket_are_the_applications(show: Show) -> None:
    page = show(Trace([ASGI], seen(("app.call", {"scope": {"type": "websocket"}}), ACCEPT)))
    assert page.inner_text(".band.seam tr:has-text('x-mine')").split() == ["x-mine", "'1'"]


def test_of_several_requests_the_first_is_drawn_and_the_others_are_told(show: Show) -> None:
    page = show(Trace([ASGI], [*seen(START, BODY), *seen(START, BODY, exchange=2)]))
    assert page.locator(".event").count() == 2
    assert "1 other request seen here, and not drawn" in page.inner_text("figcaption")


def test_three_servers_of_one_protocol_have_names_of_their_own(show: Show) -> None:
    runs = [Run("asgi", f"{name} 1", "a:b") for name in ("uvicorn", "hypercorn", "daphne")]
    page = show(Trace(runs, seen(START)))
    heads = page.locator(".compared thead th").all_inner_texts()
    assert heads == ["ASGI, uvicorn", "ASGI, hypercorn", "ASGI, daphne"]
    assert position(page) == "ASGI, uvicorn · Step 1 of 1"


def test_a_window_of_another_size_changes_the_picture_alone(order: Page) -> None:
    order.click("summary:text('The story in words')")
    order.focus("[id='step.on']")
    wide = order.locator("svg").first.get_attribute("width")
    order.set_viewport_size({"width": 800, "height": 700})
    until("it is drawn", lambda: order.locator("svg").first.get_attribute("width") != wide)
    assert order.evaluate("document.activeElement.id") == "step.on"
    assert order.locator(".story[open]").count() == 1
    on_the_wire(order, 0, "seven").hover()
    assert order.locator("svg .lit").count() > 0


def test_very_long_values_are_cut(show: Show) -> None:
    path = "/" + "x" * 9000
    long = ("match", {"route": "/{a}", "path_params": {"a": path}, "spans": {}})
    page = show(Trace([ASGI], seen(("app.call", {"scope": {"path": path}}), long)))
    page.keyboard.press("End")
    assert len(sentence(page)) < 300
    assert "more characters" in (page.text_content(".band.seam") or "")
    assert page.evaluate("document.documentElement.scrollHeight") < 6000


def test_what_is_recorded_is_text_and_nothing_else(show: Show) -> None:
    hostile = "<img src=x onerror=alert(1)>\u202e\x1b"
    run = Run("wsgi", hostile, hostile, software={hostile: "1"})
    value = {"environ": {hostile: hostile, "PATH_INFO": {"$text": hostile, "length": 9000}}}
    events = [
        Event(1, "wire", "in", "connect", {"connection": 1, "port": hostile}, 0, 1),
        Event(2, "seam", "in", "app.call", value, 0, 1),
        Event(3, "seam", "in", "nobody.knows", {"a": [hostile]}, 0, 1),
        Event(4, "seam", "out", "app.raise", {"type": hostile, "message": hostile}, 0, 1),
    ]
    page = show(Trace([run], events))
    for _ in events:
        page.keyboard.press("ArrowRight")
    assert page.locator("img").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.inner_text(".carried")
    assert "\u202e" not in page.inner_text(".carried")
