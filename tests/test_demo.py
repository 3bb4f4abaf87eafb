"""The demo that newcomers open and copy from: every page, both doors, and the real servers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from microweb import App
from microweb.demo import make_site
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol
from .servers import PATIENCE, serving, until
from .visitors import page_of

ROOT_PATHS = ["", "/mnt"]

# What a link on the home page leads to, where that is no 200; paths as they are in the links.
STATUSES = {
    "/square/twelve": 404,
    "/redirect": 302,
    "/teapot": 418,
    "/error": 500,
    "/nowhere": 404,
    "/echo": 405,
}
SIGHTS = {"/whoami", "/text", "/json", "/plain", "/async", "/stream", "/error", "/redirect"}
STREAMS = {"/stream", "/stream/async"}


@pytest.fixture
def site(tmp_path: Path) -> App:
    return make_site(tmp_path / "data")


@pytest.fixture
def client(connect: Connect, site: App) -> TestClient:
    return connect(site)


def follow(client: httpx.Client, link: str, root_path: str = "") -> None:
    """Assert that a link leads where it should; of a stream only the beginning is read."""
    path = link.removeprefix(root_path)
    with client.stream("GET", link) as response:
        assert response.status_code == STATUSES.get(path, 200), link
        if path in STREAMS:
            assert next(response.iter_lines()).startswith("line 1 of 5")
        else:
            assert response.read() or "location" in response.headers


# --- the home page ------------------------------------------------------------------------


@pytest.mark.parametrize("root_path", ROOT_PATHS)
def test_every_link_on_the_home_page_answers(connect: Connect, site: App, root_path: str) -> None:
    client = connect(site, root_path=root_path)
    links = page_of(client.get(root_path + "/")).links
    assert {root_path + sight for sight in SIGHTS} <= set(links)
    assert all(link.startswith(root_path + "/") for link in links)
    for link in links:
        follow(client, link, root_path)


def test_the_home_page_says_by_which_door_and_where_the_visitor_came_in(
    client: TestClient, protocol: Protocol
) -> None:
    text = page_of(client.get("/")).text
    assert f"through the {protocol.upper()} door" in text
    assert str(os.getpid()) in text
    thread = threading.current_thread().name if protocol == "wsgi" else "microweb-loop"
    assert thread in text


def test_the_home_page_finds_its_stylesheet(client: TestClient) -> None:
    [href] = [
        line.partition('href="')[2].partition('"')[0]
        for line in client.get("/").text.splitlines()
        if 'rel="stylesheet"' in line
    ]
    response = client.get(href)
    assert (response.status_code, response.headers["content-type"]) == (
        200,
        "text/css; charset=utf-8",
    )


def test_the_home_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    for part in client.get("/").text.split('"'):
        assert not part.startswith(("http:", "https:", "//"))


# --- who am I? ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/whoami", "/whoami/caf%C3%A9"])
def test_whoami_shows_the_native_object_as_the_server_handed_it_over(
    site: App, protocol: Protocol, path: str
) -> None:
    native: list[dict[str, Any]] = []

    def spying(door: Callable[..., Any]) -> Callable[..., Any]:
        def wsgi(environ: dict[str, Any], start_response: Any) -> Any:
            native.append(dict(environ))
            return door(environ, start_response)

        async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                native.append(dict(scope))
            await door(scope, receive, send)

        checked: Callable[..., Any] = CHECKERS[protocol](wsgi if protocol == "wsgi" else asgi)
        return checked

    with TestClient(site, protocol, wrap=spying) as client:
        shown = page_of(client.get(path, headers={"x-token": "<&'\">"})).text
    [handed_over] = native
    assert len(handed_over) > 10
    for key, value in handed_over.items():
        assert key in shown
        if key != "headers":
            assert repr(value) in shown, key
    for name, value in handed_over.get("headers", []):
        assert repr((name, value)) in shown


def test_whoami_shows_the_request_beside_it_which_is_the_same_by_both_doors(
    client: TestClient,
) -> None:
    shown = page_of(client.get("/whoami?a=1&a=2")).text
    for name, value in {
        "method": "'GET'",
        "path": "'/whoami'",
        "query_string": "'a=1&a=2'",
        "scheme": "'http'",
        "url": "'http://testserver/whoami?a=1&a=2'",
    }.items():
        assert name in shown
        assert value in shown


def test_whoami_shows_how_each_door_spells_a_path_beyond_ascii(client: TestClient) -> None:
    shown = page_of(client.get("/whoami/café")).text
    assert "'/whoami/cafÃ©'" in shown
    assert "'/whoami/café'" in shown


def test_whoami_hides_what_a_visitor_keeps_secret(client: TestClient) -> None:
    secrets = {
        "cookie": "session=opensesame",
        "authorization": "Bearer opensesame",
        "proxy-authorization": "Basic opensesame",
    }
    response = client.get("/whoami", headers=secrets)
    assert response.status_code == 200
    assert "opensesame" not in response.text
    assert "session" in response.text


# --- what is echoed -----------------------------------------------------------------------

MARKUP = "<script>alert(1)<img src=x onerror=alert(1)><!--\"'&lt;"


@pytest.mark.parametrize("path", ["/", "/whoami", "/whoami/{}", "/nowhere/{}", "/{}/"])
def test_pages_escape_what_they_echo(client: TestClient, path: str) -> None:
    def structure(text: str, host: str) -> tuple[int, list[tuple[str, list[str]]], str]:
        safe = httpx.QueryParams({"q": text})
        target = path.format("".join(f"%{byte:02X}" for byte in text.encode()))
        headers = {
            "accept": "text/html",
            "x-echo": text,
            "user-agent": text,
            "referer": text,
            "cookie": f"{text}=1; a={text}",
            "host": host,
        }
        response = client.get(f"{target}?{safe}&{text}", headers=headers)
        return response.status_code, page_of(response).tags, response.text

    hostile = structure(MARKUP, MARKUP)
    harmless = structure("harmless", "harmless")
    assert hostile[:2] == harmless[:2]
    assert "<script" not in hostile[2]


def test_a_name_with_markup_is_sent_back_as_plain_text(client: TestClient) -> None:
    response = client.get("/hello/%3Cb%3EAda")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "Hello, <b>Ada!\n"


@pytest.mark.parametrize(
    "path",
    ["/whoami/%ff%00%0a", "/whoami/%ED%A0%80", "/hello/%0d%0aSet-Cookie:a", "/square/%D9%A1"],
)
def test_no_odd_path_is_a_server_error(client: TestClient, path: str) -> None:
    assert client.get(path).status_code < 500


# --- the small examples -------------------------------------------------------------------


def test_json_and_its_echo(client: TestClient, protocol: Protocol) -> None:
    assert client.get("/json").json()["door"] == protocol
    value = {"tea": ["green", None, 1.5, "é"]}
    assert client.post("/echo", json=value).json() == value


def test_an_echo_of_what_is_no_json_is_a_400_with_a_sentence(client: TestClient) -> None:
    response = client.post("/echo", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert "JSON" in response.text


@pytest.mark.parametrize("text", ["1e999", "-1e999", "[[1e400]]"])
def test_an_echo_never_fails_on_a_number_beyond_any_float(client: TestClient, text: str) -> None:
    response = client.post("/echo", content=text, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_a_converter_makes_a_number(client: TestClient) -> None:
    assert client.get("/square/12").json() == {"n": 12, "square": 144}


@pytest.mark.parametrize("root_path", ROOT_PATHS)
def test_the_redirect_leads_to_a_page_that_is_there(
    connect: Connect, site: App, root_path: str
) -> None:
    client = connect(site, root_path=root_path)
    response = client.get(root_path + "/redirect")
    assert response.headers["location"] == root_path + "/hello/traveller"
    assert client.get(response.headers["location"]).text == "Hello, traveller!\n"


def test_the_error_page_tells_the_client_nothing(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = client.get("/error")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    [record] = caplog.records
    assert record.exc_info is not None
    assert "on purpose" in str(record.exc_info[1])


def test_the_404_page_is_html_for_browsers_and_a_line_for_programs(client: TestClient) -> None:
    assert "nothing here" in page_of(client.get("/x", headers={"accept": "text/html,*/*"})).text
    response = client.get("/x", headers={"accept": "*/*"})
    assert (response.status_code, response.text) == (404, "Not Found")
    assert "accept" in response.headers["vary"].lower()


def test_an_error_s_page_says_what_is_wrong_once(client: TestClient) -> None:
    html = {"accept": "text/html"}
    assert page_of(client.get("/echo", headers=html)).text.count("Method Not Allowed") == 1
    assert "makes no coffee" in page_of(client.get("/teapot", headers=html)).text


def test_plain_and_async_code_run_where_the_table_says(
    client: TestClient, protocol: Protocol
) -> None:
    plain, asynchronous = client.get("/plain").text, client.get("/async").text
    came_in, ran_in = (line.partition(" in ")[2].strip() for line in plain.splitlines())
    assert "no event loop" in ran_in
    # "came in by" the same thread under WSGI, by the loop's under ASGI
    assert (came_in.split("process")[-1] == ran_in.split("process")[-1]) == (protocol == "wsgi")
    assert "microweb-loop" in asynchronous.splitlines()[1]
    assert "no event loop" not in asynchronous.splitlines()[1]


def test_every_page_says_what_it_cost_to_make(client: TestClient) -> None:
    assert client.get("/text").headers["server-timing"].startswith("app;dur=")


# --- the real servers ---------------------------------------------------------------------


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=PATIENCE) as client:
        yield client


@pytest.mark.parametrize(
    ("kind", "target", "door", "native"),
    [
        ("gunicorn sync", "wsgi_app:app", "WSGI", "SERVER_SOFTWARE"),
        ("gunicorn gthread", "wsgi_app:app", "WSGI", "gunicorn.socket"),
        ("uvicorn", "asgi_app:app", "ASGI", "raw_path"),
        ("microweb wsgi", "wsgi_app:app", "WSGI", "REQUEST_URI"),
        ("microweb asgi", "asgi_app:app", "ASGI", "raw_path"),
    ],
)
def test_the_two_entry_files_serve_the_demo(
    kind: str, target: str, door: str, native: str, tmp_path: Path, http: httpx.Client
) -> None:
    data = {"MICROWEB_DEMO_DATA": str(tmp_path / "data")}
    with serving(kind, target, tmp_path, environment=data) as server:
        http.base_url = httpx.URL(server.url)
        home = page_of(http.get("/"))
        text = home.text
        assert f"through the {door} door" in text
        assert kind.split()[0] in text
        for link in home.links:
            follow(http, link)
        assert native in page_of(http.get("/whoami")).text
        until("the error is logged", lambda: "on purpose by the demo" in server.log(), server.log)
