"""The demo's other rooms: the live feed, the chat, and the session with its sign-in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from microweb import App, WebSocketDisconnect
from microweb.demo import make_site
from microweb.demo.settings import COOKIE, data_folder, secret_key
from microweb.testing import TestClient

from .conftest import Connect, Protocol
from .visitors import csrf_of, leave, page_of, sign_in


@pytest.fixture
def site(tmp_path: Path) -> App:
    return make_site(tmp_path / "data")


@pytest.fixture
def client(connect: Connect, site: App) -> TestClient:
    return connect(site)


# --- the live feed ----------------------------------------------------------------------------


def events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a feed; it fails when nothing but pings has come for long."""
    event: dict[str, str] = {}
    pings = 0
    for line in response.iter_lines():
        name, _, value = line.partition(":")
        if not line and "data" in event:
            yield event
            event, pings = {}, 0
        elif line:
            pings += not name
            assert pings < 6, "nothing but pings"
            event[name] = value.removeprefix(" ")


def add(client: TestClient, text: str) -> None:
    assert client.post("/api/notes", json={"name": "Ada", "text": text}).status_code == 201


def test_the_feed_sends_a_note_when_it_is_left(client: TestClient, protocol: Protocol) -> None:
    with client.stream("GET", "/feed/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        feed = events(response)
        assert next(feed).items() >= {"event": "mode", "data": "stream"}.items()
        add(client, "first")
        event = next(feed)
        assert event["id"] == "1"
        assert json.loads(event["data"])["text"] == "first"
        assert json.loads(event["data"])["door"] == protocol
        add(client, "second\nline")
        assert json.loads(next(feed)["data"])["text"] == "second\nline"


def test_the_feed_goes_on_after_the_event_that_was_seen_last(client: TestClient) -> None:
    for text in ("first", "second", "third"):
        add(client, text)
    with client.stream("GET", "/feed/events?after=1", headers={"last-event-id": "2"}) as response:
        feed = events(response)
        next(feed)
        assert json.loads(next(feed)["data"])["text"] == "third"


def test_the_page_holds_the_notes_so_far_and_the_feed_begins_where_they_end(
    client: TestClient,
) -> None:
    add(client, "already there")
    shown = page_of(client.get("/feed"))
    assert "already there" in shown.text
    assert shown.element(id="feed")["data-events"] == "/feed/events?after=1"


def one_plain_worker(door: Callable[..., Any]) -> Callable[..., Any]:
    return lambda environ, start: door({**environ, "wsgi.multithread": False}, start)


def test_a_server_s_only_worker_is_not_held_by_a_feed(site: App) -> None:
    with TestClient(site, "wsgi", wrap=one_plain_worker) as client:
        add(client, "hello")
        first, second = events(client.get("/feed/events?after=0"))  # it ends
    assert first["data"] == "alone"
    assert int(first["retry"]) > 0
    assert second["id"] == "1"


def test_feeds_leave_threads_for_others_and_give_theirs_back(site: App) -> None:
    with TestClient(site, "wsgi") as client:

        def mode(response: httpx.Response) -> str:
            return next(events(response))["data"]

        with client.stream("GET", "/feed/events") as one:
            assert mode(one) == "stream"
            with client.stream("GET", "/feed/events") as two:
                assert mode(two) == "stream"
                assert mode(client.get("/feed/events")) == "full"  # it ends
            with client.stream("GET", "/feed/events") as three:
                assert mode(three) == "stream"


# --- the chat -----------------------------------------------------------------------------------


def told(ws: Any, kind: str) -> dict[str, Any]:
    """The next thing of this kind that a member of a room is told."""
    for _ in range(1000):
        event: dict[str, Any] = ws.receive_json()
        if event["kind"] == kind:
            return event
    raise AssertionError(f"no {kind}")


@pytest.fixture
def asgi(site: App) -> Iterator[TestClient]:
    with TestClient(site, "asgi") as client:
        yield client


def test_what_one_says_all_in_the_room_are_told(asgi: TestClient) -> None:
    sign_in(asgi, "Grace")
    with asgi.websocket_connect("/chat/lobby") as one, asgi.websocket_connect("/chat/tea") as away:
        asgi.cookies.clear()
        with asgi.websocket_connect("/chat/lobby") as two:
            names = told(two, "presence")["names"]
            assert names[0] == "Grace"
            assert names[1].startswith("guest")
            one.send_text("  hello\n there ")
            for ws in (one, two):
                message = told(ws, "message")
                assert (message["name"], message["text"]) == ("Grace", "hello there")
            away.send_text("alone")
            assert told(away, "message")["text"] == "alone"
        assert told(one, "presence")["names"] == ["Grace"]


def test_a_newcomer_is_shown_what_was_said_last(asgi: TestClient) -> None:
    with asgi.websocket_connect("/chat/tea") as one:
        for number in range(60):
            one.send_text(f"message {number}")
        assert [told(one, "message") for _ in range(60)]
        with asgi.websocket_connect("/chat/tea") as two:
            assert told(two, "message")["text"] == "message 10"


def test_odd_messages_change_nothing(asgi: TestClient) -> None:
    with asgi.websocket_connect("/chat/tea") as ws:
        ws.send_bytes(b"\xff")
        ws.send_text(" \x00 ")
        ws.send_text("a" * 2000)
        assert told(ws, "message")["text"] == "a" * 500


def test_whoever_does_not_take_what_is_sent_is_shown_out(asgi: TestClient) -> None:
    with (
        asgi.websocket_connect("/chat/tea") as slow,
        asgi.websocket_connect("/chat/tea") as other,
    ):
        assert len(told(other, "presence")["names"]) == 2
        present = []
        for number in range(300):  # more than may wait on the way
            other.send_text(str(number))
            while (event := other.receive_json())["kind"] == "presence":
                present.append(len(event["names"]))
            assert event["text"] == str(number)
        assert present == [1]
        with pytest.raises(WebSocketDisconnect) as caught:
            told(slow, "the end")
        assert caught.value.code == 1008


@pytest.mark.parametrize("room", ["Lobby", "a b", "a" * 25, "%2e"])
def test_odd_rooms_are_not_there(client: TestClient, room: str) -> None:
    assert client.get(f"/chat/{room}").status_code == 404


def test_the_chat_s_page_explains_itself_by_the_wsgi_door(
    client: TestClient, protocol: Protocol
) -> None:
    for path in ("/chat", "/chat/tea"):
        shown = page_of(client.get(path))
        assert ("Nobody can talk here" in shown.text) == (protocol == "wsgi")
        assert any(tag == "script" for tag, _ in shown.tags) == (protocol == "asgi")


# --- the session --------------------------------------------------------------------------------


def visits(client: TestClient) -> int:
    return int(re.findall(r"this page (\d+) time", page_of(client.get("/session")).text)[0])


def test_the_session_counts_visits(client: TestClient) -> None:
    assert [visits(client) for _ in range(3)] == [1, 2, 3]
    client.cookies.clear()
    assert visits(client) == 1


def test_signing_in_begins_a_new_session_and_signing_out_ends_it(client: TestClient) -> None:
    visits(client)
    before = csrf_of(client, "/session")
    assert sign_in(client, "Ada").headers["location"] == "/session"
    shown = page_of(client.get("/session"))
    assert "Hello, Ada." in shown.text
    assert "Welcome, Ada." in shown.text
    assert csrf_of(client, "/session") != before
    answer = client.post("/session/sign-out", data={"csrf": csrf_of(client, "/session")})
    assert answer.status_code == 303
    shown = page_of(client.get("/session"))
    assert "Hello, guest." in shown.text
    assert "signed out" in shown.text


@pytest.mark.parametrize(
    ("account", "password"),
    [("Ada", ""), ("Ada", "Open sesame"), ("Nobody", "open sesame"), ("Ada\0", "ü\0"), ("", "")],
)
def test_a_wrong_password_is_said_beside_its_field(
    client: TestClient, account: str, password: str
) -> None:
    answer = sign_in(client, account, password)
    assert answer.status_code == 422
    shown = page_of(answer)
    assert shown.element(id="password")["aria-describedby"] == "password-problem"
    assert "not the password" in shown.text
    assert "Hello, guest." in page_of(client.get("/session")).text


@pytest.mark.parametrize("path", ["/session/sign-in", "/session/sign-out"])
def test_signing_in_and_out_takes_our_own_form(client: TestClient, path: str) -> None:
    sign_in(client, "Ada")
    data = {"account": "Grace", "password": "open sesame"}
    assert client.post(path, data=data).status_code == 403
    assert "Hello, Ada." in page_of(client.get("/session")).text


def test_both_doors_know_a_visitor_by_the_same_cookie(site: App) -> None:
    with TestClient(site, "wsgi") as wsgi, TestClient(site, "asgi") as asgi:
        sign_in(wsgi, "Ada")
        asgi.cookies = wsgi.cookies
        assert "Hello, Ada." in page_of(asgi.get("/session")).text


def test_the_session_s_page_shows_what_is_in_the_cookie(client: TestClient) -> None:
    client.get("/session")
    cookie = client.cookies[COOKIE]
    shown = page_of(client.get("/session"))
    assert cookie in shown.text
    assert '"visits": 2' in shown.text


def test_a_cookie_that_was_changed_is_a_new_session(client: TestClient) -> None:
    sign_in(client, "Ada")
    cookie = client.cookies[COOKIE]
    client.cookies.clear()
    for sent, hello in ((cookie, "Hello, Ada."), (cookie[:-3] + "abc", "Hello, guest.")):
        response = client.get("/session", headers={"cookie": f"{COOKIE}={sent}"})
        assert hello in page_of(response).text
        client.cookies.clear()


def test_the_cookie_is_for_this_site_and_no_script(client: TestClient) -> None:
    cookie = client.get("/session").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


# --- the house ----------------------------------------------------------------------------------


def test_the_key_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    key = secret_key(folder)
    assert secret_key(folder) == key
    assert len(key) > 40
    assert [path.name for path in folder.iterdir()] == ["secret_key"]
    assert (folder / "secret_key").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0
    assert secret_key(tmp_path / "c") != key


def test_the_data_s_place_is_the_user_s_own_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MICROWEB_DEMO_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("MICROWEB_DEMO_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "microweb-demo"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder().is_relative_to(Path.home())


@pytest.mark.parametrize(
    "path", ["/", "/whoami", "/guestbook", "/feed", "/chat", "/session", "/nowhere", "/json"]
)
def test_every_answer_tells_the_browser_what_to_refuse(client: TestClient, path: str) -> None:
    headers = client.get(path, headers={"accept": "text/html"}).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/whoami", "/guestbook", "/feed", "/chat", "/session", "/x"])
@pytest.mark.parametrize("root_path", ["", "/mnt"])
def test_every_page_stands_in_the_house_and_its_links_lead_somewhere(
    connect: Connect, site: App, path: str, root_path: str
) -> None:
    client = connect(site, root_path=root_path)
    leave(client, root_path=root_path)
    response = client.get(root_path + path, headers={"accept": "text/html"})
    shown = page_of(response)
    assert "<style" not in response.text  # the policy forbids what stands in a page itself
    assert " style=" not in response.text
    assert not re.search(r"<script(?![^>]* src=)", response.text)
    assert shown.element(rel="stylesheet")
    within = [
        own[name]
        for tag, own in shown.elements
        for name in ("href", "src", "action", "data-events", "data-socket")
        if name in own
    ]
    assert len(within) > 8
    for link in within:
        assert link.startswith((root_path + "/", "#")), link
    for tag, own in shown.elements:
        if tag in ("link", "script", "img"):
            assert client.get(own.get("href") or own["src"]).status_code == 200


def test_the_door_that_is_used_is_marked_and_the_other_one_is_found(
    site: App,
) -> None:
    with (
        TestClient(site, "wsgi", base_url="http://testserver:8000") as wsgi,
        TestClient(site, "asgi", base_url="http://testserver:8001", root_path="/mnt") as asgi,
    ):
        assert "http://testserver:8001" not in wsgi.get("/feed").text
        assert 'href="http://testserver:8000/feed"' in asgi.get("/mnt/feed").text
        assert 'href="http://testserver:8001/mnt/feed"' in wsgi.get("/feed").text
        # A proxy in between leaves us ignorant of the way to the other door.
        proxied = wsgi.get("/feed", headers={"host": "example.com"})
        assert "8001" not in proxied.text
    with TestClient(site, "wsgi", base_url="http://testserver:8000") as wsgi:
        assert "8001" not in wsgi.get("/feed").text
