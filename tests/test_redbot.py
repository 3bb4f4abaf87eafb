"""REDbot finds nothing wrong with what microweb sends, through real servers and both doors."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from .redbot_check import Note, notes_of
from .servers import HOST, PATIENCE, Server, serving

DOORS = {
    "wsgi": ("gunicorn gthread", "wsgi_app:app", "tests.redbot_app:wsgi"),
    "asgi": ("uvicorn", "asgi_app:app", "tests.redbot_app:asgi"),
}

# Each kind of answer once: pages, JSON, a stylesheet, plain text, a redirect, and errors.
OF_THE_DEMO = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/whoami?a=1"),
    ("GET", "/json"),
    ("GET", "/static/style.css"),
    ("GET", "/static/feed.js"),
    ("GET", "/static/icon.svg"),
    ("GET", "/chat"),
    ("GET", "/feed"),
    ("GET", "/guestbook"),
    ("GET", "/api/notes"),
    ("GET", "/session"),
    ("GET", "/text"),
    ("GET", "/redirect"),
    ("GET", "/whoami/"),
    ("GET", "/nowhere"),
    ("GET", "/echo"),
    ("GET", "/teapot"),
    ("GET", "/error"),
    ("OPTIONS", "/json"),
]
OF_OUR_OWN = [
    ("GET", "/page"),
    ("HEAD", "/page"),
    ("GET", "/static/site.css"),
    ("GET", "/static/large.bin"),
    ("HEAD", "/static/large.bin"),
    ("GET", "/static/empty.txt"),
    ("GET", "/static/none.txt"),
    ("GET", "/download"),
    ("GET", "/cookie"),
    ("GET", "/session"),
    ("GET", "/refused"),
    ("GET", "/nothing"),
]
FILES = {
    "site.css": b"p { color: red }\n" * 400,
    "large.bin": random.Random(0).randbytes(300_000),
    "empty.txt": b"",
}

# What REDbot warns of, and why it is right all the same.
EXCEPTIONS = {
    "FRESHNESS_HEURISTIC": "without a Cache-Control caches may guess how long an answer stays"
    " fresh; to say it is for the author of an answer, and a framework has nothing to go by",
    "STATUS_IM_A_TEAPOT": "the demo's own joke",
}

# What REDbot tries itself, beyond the one request, and finds good.
PRAISED = {
    "/page": {"CONNEG_GZIP_GOOD"},
    "/static/site.css": {"CONNEG_GZIP_GOOD", "INM_304", "IMS_304", "RANGE_CORRECT"},
    "/static/large.bin": {"INM_304", "IMS_304", "RANGE_CORRECT"},
    "/download": {"INM_304", "IMS_304", "RANGE_CORRECT"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that our own site serves."""
    folder = tmp_path_factory.mktemp("files")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module", params=DOORS)
def servers(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """The demo and our own site, behind this run's door."""
    kind, demo, own = DOORS[request.param]
    log = tmp_path_factory.mktemp("redbot")
    environment = {"REDBOT_APP_FOLDER": str(folder)}
    with serving(kind, demo, log) as first, serving(kind, own, log, (), environment) as second:
        yield first, second


@pytest.mark.parametrize(("method", "path"), OF_THE_DEMO)
def test_redbot_finds_nothing_wrong_with_the_demo(
    servers: tuple[Server, Server], method: str, path: str
) -> None:
    assert_nothing_wrong(notes_of(servers[0].url + path, method))


@pytest.mark.parametrize(("method", "path"), OF_OUR_OWN)
def test_redbot_finds_nothing_wrong_with_files_coded_pages_cookies_and_refusals(
    servers: tuple[Server, Server], method: str, path: str
) -> None:
    notes = notes_of(servers[1].url + path, method)
    assert_nothing_wrong(notes)
    if method == "GET":
        assert {note.kind for note in notes} >= PRAISED.get(path, set())


def assert_nothing_wrong(notes: list[Note]) -> None:
    assert "DATE_CORRECT" in {note.kind for note in notes}  # so it has looked
    wrong = [note for note in notes if note.level in ("warning", "bad")]
    assert [note for note in wrong if note.kind not in EXCEPTIONS] == []


# --- the oracle itself --------------------------------------------------------------------


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def careless(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Gives two validators, neither of which is spelled as it should be, and heeds neither."""
    headers = [("content-length", "5"), ("last-modified", "yesterday"), ("etag", "unquoted")]
    start_response("200 OK", headers)
    return [b"hello"]


def test_redbot_sees_what_is_wrong() -> None:
    with make_server(HOST, 0, careless, handler_class=QuietHandler) as reference:
        thread = threading.Thread(target=reference.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            notes = notes_of(f"http://{HOST}:{reference.server_port}/")
        finally:
            reference.shutdown()
            thread.join(PATIENCE)
    wrong = {note.kind for note in notes if note.level in ("warning", "bad")}
    assert {"BAD_DATE_SYNTAX", "BAD_SYNTAX", "INM_FULL"} <= wrong


def test_a_server_that_is_not_there_is_no_clean_bill() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))  # and nobody listens
        port = nobody.getsockname()[1]
        with pytest.raises(AssertionError, match="could not check"):
            notes_of(f"http://{HOST}:{port}/")
