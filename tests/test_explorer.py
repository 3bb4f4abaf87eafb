"""The explorer without a browser: what it serves, to whom, and what troubles it survives."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from microweb.cli import main
from microweb.explorer.page import ASSETS, MOST_EVENTS, page_of, recording_of
from microweb.explorer.scenarios import OF_ANY, OF_DEMO
from microweb.trace import TROUBLES, Trouble
from microweb.tracing.format import KINDS, Event, Run, Trace, load
from microweb.tracing.servers import USUAL

from .servers import HOST, PATIENCE, Server, is_written, launched, serving, until

EXPLORE = "microweb explore"
TROUBLED = "tests.troubled_app:app"

Request = dict[str, Any]


def request(method: str = "GET", target: str = "/", **more: Any) -> Request:
    return {
        "method": method,
        "target": target,
        "headers": [],
        "pieces": [],
        "leave": False,
        **more,
    }


class Explorer:
    """A running explorer, asked as its own page does."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def get(self, **headers: str) -> httpx.Response:
        return httpx.get(self.server.url + "/", headers=headers, timeout=PATIENCE)

    def post(self, told: object, **headers: str) -> httpx.Response:
        own = {"origin": self.server.url, "accept": "text/plain"}
        url = f"{self.server.url}/ask"
        return httpx.post(url, json=told, headers={**own, **headers}, timeout=3 * PATIENCE)

    def ask(self, told: Request) -> tuple[Trace, list[Any]]:
        answer = self.post(told)
        assert answer.status_code == 200, answer.text
        seen = answer.json()
        return load(map(json.dumps, seen["records"])), seen["troubles"]

    def statuses(self, target: str = "/") -> list[str]:
        return statuses(self.ask(request(target=target))[0])


def statuses(trace: Trace) -> list[str]:
    """The status line on the wire of each run."""
    found = []
    for run in range(len(trace.runs)):
        sent = [e for e in trace.events if (e.run, e.kind, e.direction) == (run, "bytes", "out")]
        found.append(sent[0].data["bytes"]["$bytes"].partition("\r\n")[0] if sent else "")
    return found


WELL = ["HTTP/1.1 200 OK"] * 2


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explorer]:
    """An explorer of an application that makes trouble, and that soon loses its patience."""
    folder = tmp_path_factory.mktemp("explorer")
    with serving(EXPLORE, TROUBLED, folder, ["--timeout", "5"]) as server:
        yield Explorer(server)


# --- the page ---------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_allows_nothing_but_itself(explorer: Explorer) -> None:
    page = explorer.get()
    policy = page.headers["content-security-policy"]
    nonce = re.search(r"'nonce-([\w-]+)'", policy)
    assert nonce is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"
    tags = re.findall(r"<(?:script|style)\b[^>]*>", page.text)
    assert [tag for tag in tags if nonce[1] not in tag] == [
        '<script type="application/json" id="content">'
    ]
    assert not re.search(r"\b(?:src|href)=(?!\"data:)", page.text)
    assert explorer.get().text != page.text  # another nonce


def test_what_is_recorded_cannot_end_the_script_that_it_stands_in() -> None:
    hostile = "</script><script>alert(1)</script><!--"
    event = Event(1, "wire", "in", "bytes", {"bytes": {"$bytes": hostile}}, 0, 1)
    page = page_of(
        Trace([Run("wsgi", "gunicorn 1", hostile)], [event]), [Trouble("cut", "s", hostile, "")]
    )
    assert page.count("</script>") == 3  # those of the page itself
    assert "<!--" not in page
    content = re.search(r'id="content">(.*)</script>', page)
    assert content is not None
    recording = json.loads(content[1])["recording"]
    assert recording["records"][1]["data"]["bytes"]["$bytes"] == hostile
    told = {"kind": "cut", "server": "s", "why": hostile, "log": ""}
    assert recording["troubles"] == [told]


def test_a_recording_in_a_file_asks_nobody() -> None:
    page = page_of(Trace([Run("wsgi", "gunicorn 1", "a:b")]), [None])
    assert "connect-src" not in page


def test_of_very_many_events_the_first_are_shown_and_the_rest_is_told() -> None:
    events = [Event(n, "seam", "in", "next.call", {}, 0, 1) for n in range(MOST_EVENTS + 100)]
    _, *kept = recording_of(Trace([Run("wsgi", "s", "t")], events), [None])["records"]
    assert len(kept) == MOST_EVENTS + 1
    assert kept[-1]["kind"] == "cut"
    assert "4,000" in kept[-1]["data"]["why"]


# --- its texts --------------------------------------------------------------------------------

MODULES = {each.name: each.read_text("utf-8") for each in ASSETS.iterdir()}
TEXTS = dict(
    re.findall(r'^  "?([\w.]+)"?: (\[.*?\]),$', MODULES["texts.js"], re.DOTALL | re.MULTILINE)
)


def test_every_text_is_there_in_both_languages_with_the_same_places() -> None:
    assert len(TEXTS) > 100
    for key, text in TEXTS.items():
        both = json.loads(re.sub(r",\s*\]$", "]", text))
        assert len(both) == 2, key
        english, chinese = (set(re.findall(r"\{(\w+)\}", each)) for each in both)
        assert english == chinese, key


def test_every_text_that_is_said_is_there_and_every_one_that_is_there_is_said() -> None:
    source = "".join(text for name, text in MODULES.items() if name != "texts.js")
    said = set(re.findall(r'(?:say|said|control|field)\("([\w.]+)"', source))
    assert said | {f"scenario.{each.name}" for each in (*OF_DEMO, *OF_ANY)} <= set(TEXTS)
    words = set(re.findall(r'"([\w.]+)"', source))
    # Of some the first part is written where the others are chosen: say(`row.${name}`).
    chosen = {"scenario", *re.findall(r"say\(`(\w+)\.\$", source)}
    assert {
        key for key in TEXTS if key not in words and key.partition(".")[0] not in chosen
    } == set()


def test_every_trouble_is_told_in_both_languages() -> None:
    assert {f"trouble.{kind}" for kind in TROUBLES} <= set(TEXTS)


def test_every_kind_of_event_has_a_sentence() -> None:
    told = set(re.findall(r'^  "?([\w.]+)"?: \(', MODULES["sentences.js"], re.MULTILINE))
    assert set(KINDS) <= told


# --- who may ask ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_lead_here_is_refused(explorer: Explorer, host: str) -> None:
    own = explorer.get(host=host)
    assert own.status_code == 400
    asked = explorer.post(request(), host=host, origin=f"http://{host}")
    assert asked.status_code == 400


def test_on_all_networks_it_goes_by_addresses_and_not_by_any_name(tmp_path: Path) -> None:
    with serving(EXPLORE, TROUBLED, tmp_path, ["--wsgi", "--host", "0.0.0.0"]) as server:
        assert "Whoever can reach this address" in server.log()
        explorer = Explorer(server)
        assert explorer.get(host=f"192.0.2.1:{server.port}").status_code == 200
        assert explorer.get(host=f"[2001:db8::1]:{server.port}").status_code == 200
        refused = explorer.get(host=f"evil.example:{server.port}")
        assert refused.status_code == 400
        assert "does not go by the name 'evil.example:" in refused.text


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "https://127.0.0.1:{port}"])
def test_a_page_of_another_site_is_refused(explorer: Explorer, origin: str) -> None:
    refused = explorer.post(request(), origin=origin.format(port=explorer.server.port))
    assert refused.status_code == 403
    assert "Only the explorer's own page may send requests" in refused.text


def test_who_has_no_origin_is_refused(explorer: Explorer) -> None:
    assert httpx.post(explorer.server.url + "/ask", json=request()).status_code == 403


def test_the_page_may_be_opened_by_the_name_of_this_machine(explorer: Explorer) -> None:
    host = f"localhost:{explorer.server.port}"
    assert explorer.get(host=host).status_code == 200
    assert explorer.post(request(), host=host, origin=f"http://{host}").status_code == 200


WRONG: list[tuple[object, str]] = [
    ([], "a request is an object"),
    (request(method="GE T"), "'GE T' is no method"),
    (request(target="elsewhere"), "it begins with a slash, /elsewhere"),
    (request(headers=["no colon"]), "has no colon"),
    (request(headers=["a: b\r\nc: d"]), "has a line break"),
    (request(headers=["x: \N{GRINNING FACE}"]), "beyond Latin-1"),
    (request(headers=[1]), "lists of text"),
    (request(pieces="text"), "pieces: 'text' is no list"),
    ({**request(), "leave": 1}, "leave: 1 is no bool"),
]


@pytest.mark.parametrize(("told", "why"), WRONG)
def test_what_cannot_be_sent_is_said(explorer: Explorer, told: object, why: str) -> None:
    refused = explorer.post(told)
    assert refused.status_code == 422
    assert why in refused.text


# --- what is recorded -------------------------------------------------------------------------


def test_a_request_is_sent_through_both_doors_and_comes_back_as_a_trace(
    explorer: Explorer,
) -> None:
    trace, troubles = explorer.ask(request())
    assert [run.protocol for run in trace.runs] == ["wsgi", "asgi"]
    assert statuses(trace) == WELL
    assert troubles == [None, None]
    handlers = [event for event in trace.events if event.kind == "handler.call"]
    assert [(each.source or {})["text"] for each in handlers] == [
        "def home(request: Request) -> str:"
    ] * 2


def test_what_was_seen_last_is_kept_as_a_page(explorer: Explorer) -> None:
    explorer.ask(request(target="/?kept", headers=["cookie: sid=hush"]))
    kept = httpx.get(explorer.server.url + "/recording", timeout=PATIENCE)
    assert kept.headers["content-disposition"] == 'attachment; filename="recording.html"'
    content = re.search(r'id="content">(.*)</script>', kept.text)
    assert content is not None
    told = json.loads(content[1])
    assert told["scenarios"] is None
    assert statuses(load(map(json.dumps, told["recording"]["records"]))) == WELL
    assert "GET /?kept HTTP/1.1" in kept.text
    assert "hush" not in kept.text


def test_before_the_first_request_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with serving(EXPLORE, TROUBLED, tmp_path, ["--wsgi"]) as server:
        answer = httpx.get(server.url + "/recording", headers={"accept": "text/plain"})
        assert (answer.status_code, answer.text) == (
            404,
            "Nothing was recorded yet: send a request first.",
        )


def test_each_request_is_recorded_alone(explorer: Explorer) -> None:
    for number in (1, 2, 3):
        trace, _ = explorer.ask(request(target=f"/?{number}"))
        for run in (0, 1):
            own = [event for event in trace.events if event.run == run]
            calls = [each for each in own if each.kind == "app.call" and each.exchange]
            assert len(calls) == 1
            assert {each.exchange for each in own} <= {None, 1}
            sent = [
                e.data["bytes"]["$bytes"] for e in own if (e.kind, e.direction) == ("bytes", "in")
            ]
            assert sent[0].startswith(f"GET /?{number} HTTP/1.1\r\n")


def test_secrets_are_masked(explorer: Explorer) -> None:
    answer = explorer.post(request(headers=["cookie: sid=hush", "authorization: Basic hush"]))
    assert "hush" not in answer.text


def test_secrets_are_shown_to_who_asks_for_them(tmp_path: Path) -> None:
    with serving(EXPLORE, TROUBLED, tmp_path, ["--secrets"]) as server:
        assert "hush" in Explorer(server).post(request(headers=["cookie: sid=hush"])).text


def test_no_file_is_read_for_a_visitor(explorer: Explorer) -> None:
    trace, _ = explorer.ask(request("POST", "/echo", pieces=["@/etc/hostname"]))
    bodies = [event.data["bytes"]["$bytes"] for event in trace.events if event.kind == "body"]
    assert bodies == ["@/etc/hostname"] * 2


def test_a_long_stream_is_cut_where_nobody_follows(explorer: Explorer) -> None:
    trace, _ = explorer.ask(request(target="/many"))
    for run in (0, 1):
        own = [event for event in trace.events if event.run == run and event.exchange]
        assert own[-1].kind == "cut"
        assert len(own) == MOST_EVENTS + 1


# --- trouble ----------------------------------------------------------------------------------


def test_a_crash_is_shown_and_the_next_request_is_answered(explorer: Explorer) -> None:
    trace, troubles = explorer.ask(request(target="/die"))
    assert statuses(trace) == ["", ""]
    for run, trouble in enumerate(troubles):
        assert (trouble["kind"], trouble["server"]) == ("cut", USUAL[trace.runs[run].protocol])
        own = [event.kind for event in trace.events if event.run == run and event.exchange]
        assert "handler.call" in own
        assert "handler.return" not in own
    assert explorer.statuses() == WELL


@pytest.mark.parametrize("target", ["/hang", "/hang/loop"])
def test_a_hang_is_shown_and_the_next_request_is_answered(explorer: Explorer, target: str) -> None:
    trace, troubles = explorer.ask(request(target=target))
    assert statuses(trace) == ["", ""]
    assert [each["server"] for each in troubles] == ["gunicorn", "uvicorn"]
    assert [each["kind"] for each in troubles] == ["late", "late"]
    assert explorer.statuses() == WELL


def test_who_leaves_is_no_trouble(explorer: Explorer) -> None:
    trace, troubles = explorer.ask(request(target="/many", leave=True))
    assert troubles == [None, None]
    assert [event.kind for event in trace.events].count("reset") >= 1
    assert explorer.statuses() == WELL


Write = Callable[[str], None]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Explorer, Write]]:
    """An explorer of an application whose source is changed meanwhile."""
    file = tmp_path / "shop.py"

    def write(text: str) -> None:
        file.write_text(text)

    write(SHOP)
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    with serving(EXPLORE, "shop:app", tmp_path, ["--wsgi"], environment) as server:
        yield Explorer(server), write


SHOP = """
import os
from microweb import App
app = App()
@app.get("/")
def home(request):
    return "well"
@app.get("/die")
def die(request):
    os._exit(3)
"""


def test_an_application_that_can_no_longer_be_imported_is_tried_again(
    shop: tuple[Explorer, Write],
) -> None:
    explorer, write = shop
    write("nothing good")
    explorer.ask(request(target="/die"))
    trace, [trouble] = explorer.ask(request())
    assert trace.runs[0].server.startswith("gunicorn ")
    assert trouble["kind"] == "down"
    assert "SyntaxError" in trouble["why"]
    write(SHOP)
    assert explorer.statuses() == WELL[:1]


# --- what is compared -------------------------------------------------------------------------


def test_two_applications_that_know_nothing_of_it(tmp_path: Path) -> None:
    options = ["--wsgi", "tests.foreign.flask_app:app", "--asgi"]
    environment = {"FOREIGN_LIFE": str(tmp_path / "life")}
    target = "tests.foreign.fastapi_app:app"
    with serving(EXPLORE, target, tmp_path, options, environment) as server:
        trace, troubles = Explorer(server).ask(request(target="/nowhere"))
    assert troubles == [None, None]
    assert ["flask" in run.software for run in trace.runs] == [True, False]
    assert ["fastapi" in run.software for run in trace.runs] == [False, True]
    assert [status.split()[1] for status in statuses(trace)] == ["404", "404"]


def test_two_servers_of_one_protocol(tmp_path: Path) -> None:
    options = ["--asgi", "--server", "uvicorn", "--server", "hypercorn"]
    with serving(EXPLORE, TROUBLED, tmp_path, options) as server:
        trace, _ = Explorer(server).ask(request())
    assert [run.server.split()[0] for run in trace.runs] == ["uvicorn", "hypercorn"]
    assert [status.split()[1] for status in statuses(trace)] == ["200", "200"]


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_when_it_stops_its_servers_stop(tmp_path: Path, number: signal.Signals, times: int) -> None:
    with serving(EXPLORE, TROUBLED, tmp_path) as server:
        trace, _ = Explorer(server).ask(request())
        processes = {event.where["process"] for event in trace.events if event.where}
        assert len(processes) == 2
        for _ in range(times):  # as people press Ctrl+C
            server.signal(number)
        assert server.wait() == 0
        assert "Traceback" not in server.log()
    until("they are gone", lambda: not any(map(is_alive, processes)))


def test_one_that_is_stopped_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    with launched(EXPLORE, TROUBLED, tmp_path) as server:
        until("it starts", lambda: "ASGI:" in server.log(), server.log)
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert "Traceback" not in server.log()


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["tests.troubled_app:nothing"], "there is no 'nothing'"),
        (["tests.troubled_app"], "is not module:attribute"),
        ([TROUBLED, "GET", "/"], "'GET /': requests are made on the page, not here"),
        (["--port", "70000"], "70000"),
        (["--server", "apache"], "'apache' is not one of"),
        ([TROUBLED, "--asgi", "--server", "waitress"], "waitress does not speak ASGI"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(words: list[str], why: str) -> None:
    result = CliRunner().invoke(main, ["explore", "--no-open", "--port", "0", *words])
    assert result.exit_code in (1, 2)
    assert why in result.output


def test_the_page_is_opened_in_the_users_own_browser(tmp_path: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    environment = {"BROWSER": f"{browser} %s"}
    with serving(EXPLORE, TROUBLED, tmp_path, ["--wsgi", "--open"], environment) as server:
        until("it is opened", lambda: is_written(opened), server.log)
        assert opened.read_text() == f"{server.url}\n"


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(main, ["explore", "--no-open", "--port", port, TROUBLED])
    assert result.exit_code == 1
    assert "another program does already" in result.output


def test_the_demo_is_explored_where_no_target_is_named(tmp_path: Path) -> None:
    with serving(EXPLORE, "--wsgi", tmp_path) as server:
        assert "WSGI: microweb.demo:site.wsgi under gunicorn" in server.log()
        page = httpx.get(server.url + "/", timeout=PATIENCE).text
        assert '"target": "/chat/lobby"' in page


def test_a_trace_is_written_as_a_page(tmp_path: Path) -> None:
    file = tmp_path / "out.html"
    words = ["trace", TROUBLED, "GET", "/?a=%C3%A9", "--html", str(file)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "the thick line is the seam" in result.stdout
    assert "/?a=%C3%A9" in file.read_text("utf-8")
