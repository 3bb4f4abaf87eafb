"""REDbot finds nothing wrong with what the demo sends, through real servers and both doors."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from .redbot_check import notes_of
from .servers import HOST, PATIENCE, Server, serving

DOORS = {
    "wsgi": ("gunicorn gthread", "wsgi_app:app"),
    "asgi": ("uvicorn", "asgi_app:app"),
}

# Each kind of answer once: pages, JSON, a stylesheet, plain text, a redirect, and errors.
CHECKED = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/whoami?a=1"),
    ("GET", "/json"),
    ("GET", "/static/style.css"),
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

# What REDbot warns of, and why it is right all the same.
EXCEPTIONS = {
    "FRESHNESS_HEURISTIC": "without a Cache-Control caches may guess how long an answer stays"
    " fresh; to say it is for the author of an answer, and a framework has nothing to go by",
    "STATUS_IM_A_TEAPOT": "the demo's own joke",
}


@pytest.fixture(scope="module", params=DOORS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The demo, behind this run's door."""
    with serving(*DOORS[request.param], tmp_path_factory.mktemp("redbot")) as server:
        yield server


@pytest.mark.parametrize(("method", "path"), CHECKED)
def test_redbot_finds_nothing_wrong(server: Server, method: str, path: str) -> None:
    notes = notes_of(server.url + path, method)
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
