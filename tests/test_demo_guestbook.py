"""The guestbook: what visitors leave, what is refused and how it is said, and the API beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microweb import App
from microweb.demo import make_site
from microweb.testing import TestClient

from .conftest import Connect
from .visitors import GUESTBOOK, csrf_of, leave, page_of, png, sign_in


@pytest.fixture
def site(tmp_path: Path) -> App:
    return make_site(tmp_path / "data")


@pytest.fixture
def client(connect: Connect, site: App) -> TestClient:
    return connect(site)


@pytest.fixture
def another(connect: Connect, site: App, client: TestClient) -> TestClient:
    """A second visitor of the same site."""
    return connect(site)


# --- leaving a note -------------------------------------------------------------------------


@pytest.mark.parametrize("root_path", ["", "/mnt"])
def test_a_note_that_was_left_is_in_the_book(connect: Connect, site: App, root_path: str) -> None:
    client = connect(site, root_path=root_path)
    answer = leave(client, "Ada", "One\nTwo", root_path=root_path)
    assert (answer.status_code, answer.headers["location"]) == (303, root_path + GUESTBOOK)
    text = page_of(client.get(root_path + GUESTBOOK)).text
    assert "Thank you, Ada." in text
    assert "One Two" in text
    assert "Thank you" not in client.get(root_path + GUESTBOOK).text


def test_the_newest_note_comes_first_and_pages_hold_ten(client: TestClient) -> None:
    for number in range(12):
        client.post("/api/notes", json={"name": "n", "text": f"note number {number}."})
    first = page_of(client.get(GUESTBOOK))
    assert re.findall(r"number (\d+)", first.text) == [str(n) for n in range(11, 1, -1)]
    [older] = [link for link in first.links if "before=" in link]
    second = page_of(client.get(older))
    assert re.findall(r"number (\d+)", second.text) == ["1", "0"]
    assert not [link for link in second.links if "before=" in link]


def test_markup_in_a_note_stays_text(client: TestClient) -> None:
    leave(client, "<b>Ada", "<script>alert(1)</script>")
    response = client.get(GUESTBOOK)
    assert "<script>" not in response.text
    assert "<script>alert(1)</script>" in page_of(response).text


@pytest.mark.parametrize(
    ("name", "text", "field", "says"),
    [
        ("", "Hello", "name", "who you are"),
        (" \t\n", "Hello", "name", "who you are"),
        ("Ada", "", "text", "needs some text"),
        ("Ada", "\x00\x07", "text", "needs some text"),
        ("a" * 41, "Hello", "name", "at most 40"),
        ("Ada", "a" * 1001, "text", "at most 1,000"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_typed_is_lost(
    client: TestClient, name: str, text: str, field: str, says: str
) -> None:
    answer = leave(client, name, text)
    assert answer.status_code == 422
    shown = page_of(answer)
    element = shown.element(id=field)
    assert element["aria-invalid"] == "true"
    assert element["aria-describedby"] == f"{field}-problem"
    assert shown.element(id=f"{field}-problem")
    assert says in shown.text
    assert "autofocus" in element
    assert shown.element(id="name")["value"] == " ".join(name.split())
    assert text.strip("\x00\x07") in answer.text
    assert page_of(client.get(GUESTBOOK)).text.count("Hello") == 0


def test_text_of_the_full_length_is_taken_whatever_its_line_ends(client: TestClient) -> None:
    # A textarea counts a line's end as one character, and sends it as two.
    assert leave(client, "Ada", "a\r\n" * 499 + "aa").status_code == 303


@pytest.mark.parametrize("csrf", ["", "wrong", "ü"])
def test_a_form_without_the_session_s_secret_is_refused(client: TestClient, csrf: str) -> None:
    answer = leave(client, csrf=csrf)
    assert answer.status_code == 403
    assert "not sent from one of our own pages" in answer.text
    assert "empty" in page_of(client.get(GUESTBOOK)).text


def test_the_secret_of_one_visitor_is_not_that_of_another(
    client: TestClient, another: TestClient
) -> None:
    assert leave(another, csrf=csrf_of(client)).status_code == 403


def test_a_form_of_a_visitor_without_a_session_is_refused(client: TestClient) -> None:
    assert client.post(GUESTBOOK, data={"name": "a", "text": "b", "csrf": ""}).status_code == 403


# --- images ---------------------------------------------------------------------------------

KINDS = {
    "image/png": png(),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(64),
    "image/gif": b"GIF89a" + bytes(64),
    "image/webp": b"RIFF\x40\0\0\0WEBPVP8 " + bytes(64),
}


def image_of(client: httpx.Client) -> str:
    src: str
    [src] = re.findall(r'<img src="([^"]+)"', client.get(GUESTBOOK).text)
    return src


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_comes_back_byte_by_byte_as_what_it_is(client: TestClient, kind: str) -> None:
    assert leave(client, image=KINDS[kind]).status_code == 303
    response = client.get(image_of(client))
    assert response.content == KINDS[kind]
    assert response.headers["content-type"] == kind
    assert response.headers["x-content-type-options"] == "nosniff"


def test_an_image_can_be_resumed_revalidated_and_downloaded(client: TestClient) -> None:
    leave(client, image=png(64, 64))
    path = image_of(client)
    part = client.get(path, headers={"range": "bytes=4-"})
    assert (part.status_code, part.content) == (206, png(64, 64)[4:])
    etag = client.get(path).headers["etag"]
    assert client.get(path, headers={"if-none-match": etag}).status_code == 304
    download = client.get(path + "?download").headers["content-disposition"]
    assert re.fullmatch(r'attachment; filename="note-1\.png".*', download)


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"%PDF-1.7",
        b"RIFF\x40\0\0\0WAVEfmt ",
        b"\x89PNG",
        b" \x89PNG\r\n\x1a\n",
        b"",
    ],
)
def test_what_is_no_image_is_refused_whatever_it_is_called(
    client: TestClient, content: bytes
) -> None:
    answer = leave(client, image=content)
    assert answer.status_code == 422
    assert "not a PNG, JPEG, GIF or WebP" in page_of(answer).text


def test_an_image_that_is_too_large_is_refused(client: TestClient, tmp_path: Path) -> None:
    answer = leave(client, image=png() + bytes(5 * 1024 * 1024))
    assert answer.status_code == 422
    assert "larger than 5 MB" in page_of(answer).text
    assert not list((tmp_path / "data" / "images").iterdir())


def test_a_note_without_an_image_has_none(client: TestClient) -> None:
    leave(client)
    assert client.get("/guestbook/1/image").status_code == 404


# --- taking it back ---------------------------------------------------------------------------


def test_its_author_takes_a_note_back_and_its_image_goes_too(
    client: TestClient, tmp_path: Path
) -> None:
    leave(client, image=png())
    path = image_of(client)
    form = {"csrf": csrf_of(client)}
    assert client.post("/guestbook/1/delete", data=form).headers["location"] == GUESTBOOK
    assert "empty" in page_of(client.get(GUESTBOOK)).text
    assert client.get(path).status_code == 404
    assert not list((tmp_path / "data" / "images").iterdir())


def test_nobody_else_can_take_a_note_back(client: TestClient, another: TestClient) -> None:
    leave(client)
    assert "Take it back" not in another.get(GUESTBOOK).text
    form = {"csrf": csrf_of(another)}
    assert another.post("/guestbook/1/delete", data=form).status_code == 403
    assert another.delete("/api/notes/1").status_code == 403
    assert another.post("/guestbook/1/delete").status_code == 403
    assert client.get("/api/notes/1").status_code == 200


def test_the_notes_of_an_account_belong_to_it_in_every_session(
    client: TestClient, another: TestClient
) -> None:
    sign_in(client, "Ada")
    leave(client, name="Somebody else")
    assert client.get("/api/notes/1").json()["name"] == "Ada"
    assert another.delete("/api/notes/1").status_code == 403
    sign_in(another, "Ada")
    assert another.delete("/api/notes/1").status_code == 204


# --- the API ----------------------------------------------------------------------------------


def test_a_note_through_the_api(client: TestClient, protocol: str) -> None:
    answer = client.post("/api/notes", json={"name": "Ada", "text": "Hello"})
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/notes/1")
    note = client.get("/api/notes/1").json()
    assert note == answer.json()
    assert note.items() >= {"id": 1, "name": "Ada", "text": "Hello", "door": protocol}.items()
    assert client.get("/api/notes").json() == {"notes": [note]}
    assert "owner" not in note
    assert client.delete("/api/notes/1").status_code == 204
    assert client.get("/api/notes/1").status_code == 404


def test_the_api_gives_notes_in_pages(client: TestClient) -> None:
    for number in range(5):
        client.post("/api/notes", json={"name": "n", "text": str(number)})

    def ids(query: str) -> list[int]:
        return [note["id"] for note in client.get(f"/api/notes{query}").json()["notes"]]

    assert ids("?limit=2") == [5, 4]
    assert ids("?limit=2&before=4") == [3, 2]
    assert ids("?limit=x&before=-1") == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({}, {"name", "text"}),
        ([], {"name", "text"}),
        (None, {"name", "text"}),
        ({"name": 1, "text": {"a": "b"}}, {"name", "text"}),
        ({"name": "Ada", "text": "a" * 1001}, {"text"}),
    ],
)
def test_the_api_says_what_is_wrong_as_problem_details(
    client: TestClient, value: object, fields: set[str]
) -> None:
    headers = {"accept": "application/json", "content-type": "application/json"}
    answer = client.post("/api/notes", content=json.dumps(value), headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()["errors"]) == fields


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_the_api_takes_nothing_that_a_form_of_another_site_could_send(
    client: TestClient, content_type: str | None
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    content = b'{"name": "Eve", "text": "forged"}'
    assert client.post("/api/notes", content=content, headers=headers).status_code == 415
    assert client.get("/api/notes").json() == {"notes": []}


@pytest.mark.parametrize("number", ["0", "9223372036854775807", "9223372036854775808", "9" * 19])
def test_no_number_of_a_note_is_a_server_error(client: TestClient, number: str) -> None:
    leave(client)
    for path in (f"/api/notes/{number}", f"/guestbook/{number}/image"):
        assert client.get(path).status_code == 404
    for path in (
        f"/api/notes?before={number}",
        f"/guestbook?before={number}",
        f"/feed/events?after={number}",
    ):
        with client.stream("GET", path) as response:
            assert response.status_code == 200


def add(client: httpx.Client, name: str, text: str) -> httpx.Response:
    # json.dumps writes in ASCII, so that a lone surrogate can be sent at all.
    content = json.dumps({"name": name, "text": text})
    return client.post("/api/notes", content=content, headers={"content-type": "application/json"})


ONCE_FOR_ALL = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ANYTHING = st.text(st.characters(), max_size=60)
VISIBLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(name=ANYTHING, text=ANYTHING)
@ONCE_FOR_ALL
def test_whatever_is_typed_is_taken_or_refused(client: TestClient, name: str, text: str) -> None:
    assert add(client, name, text).status_code in (201, 422)
    assert client.get(GUESTBOOK).status_code == 200


@given(name=VISIBLE.filter(str.strip), text=VISIBLE.filter(str.strip))
@ONCE_FOR_ALL
def test_what_can_be_seen_is_kept_as_it_is(client: TestClient, name: str, text: str) -> None:
    note = client.get(add(client, name, text).headers["location"]).json()
    assert note["name"] == " ".join(name.split())
    assert note["text"] == text.strip()
