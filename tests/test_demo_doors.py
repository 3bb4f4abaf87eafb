"""The demo as it is meant to be run: gunicorn on one port, uvicorn on another, one database."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from microweb.demo.notes import Notes
from microweb.demo.settings import secret_key

from .servers import PATIENCE, Server, serving
from .test_demo_rooms import events
from .visitors import GUESTBOOK, both_doors, leave, page_of, png, sign_in

Doors = dict[str, Server]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Both servers over one folder."""
    with both_doors(tmp_path_factory.mktemp("doors")) as doors:
        yield doors


@pytest.fixture(params=["wsgi", "asgi"])
def here(request: pytest.FixtureRequest, doors: Doors) -> Iterator[httpx.Client]:
    """A visitor of one door."""
    with httpx.Client(base_url=doors[request.param].url, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def there(here: httpx.Client, doors: Doors) -> Iterator[httpx.Client]:
    """A visitor of the other door."""
    [other] = [door.url for door in doors.values() if door.url != str(here.base_url).rstrip("/")]
    with httpx.Client(base_url=other, timeout=PATIENCE) as client:
        yield client


def test_a_note_left_at_one_door_shows_up_at_the_other(
    here: httpx.Client, there: httpx.Client
) -> None:
    with there.stream("GET", "/feed/events") as response:
        feed = events(response)
        assert next(feed)["data"] == "stream"
        leave(here, "Ada", "through the wall", png(300, 300))
        note = json.loads(next(feed)["data"])
    assert note["text"] == "through the wall"
    assert there.get(f"/api/notes/{note['id']}").json() == note
    assert "through the wall" in there.get(GUESTBOOK).text
    image = there.get(note["image"], headers={"range": "bytes=100-199"})
    assert (image.status_code, image.content) == (206, png(300, 300)[100:200])


def test_whoever_signs_in_at_one_door_is_signed_in_at_the_other(
    here: httpx.Client, there: httpx.Client
) -> None:
    sign_in(here, "Grace")
    there.cookies = here.cookies  # as a browser sends them: to every port of a host
    assert "Hello, Grace." in page_of(there.get("/session")).text


def test_each_door_leads_to_the_other(here: httpx.Client, there: httpx.Client) -> None:
    there.get("/")
    assert str(there.base_url).rstrip("/") + "/feed" in page_of(here.get("/feed")).links


def test_a_server_with_one_plain_worker_serves_feeds_and_others(tmp_path: Path) -> None:
    environment = {"MICROWEB_DEMO_DATA": str(tmp_path / "data")}
    with (
        serving("gunicorn sync", "wsgi_app:app", tmp_path, environment=environment) as server,
        httpx.Client(base_url=server.url, timeout=PATIENCE) as client,
    ):
        leave(client)
        first, second = events(client.get("/feed/events?after=0"))
        assert (first["data"], second["id"]) == ("alone", "1")


def _begin(folder: Path) -> str:
    notes = Notes(folder / "notes.sqlite3")
    key = secret_key(folder)
    with notes.opened():
        for _ in range(20):
            notes.add(name="n", text="t", door="wsgi", owner="o")
    return key


def test_processes_that_begin_at_once_share_one_key_and_lose_no_note(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map_async(_begin, [tmp_path / "data"] * 8, chunksize=1).get(PATIENCE)
    assert len(set(keys)) == 1
    assert len(Notes(tmp_path / "data" / "notes.sqlite3").newest(1000)) == 8 * 20
