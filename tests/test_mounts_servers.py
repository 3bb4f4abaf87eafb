"""Mounted applications on real gunicorn and uvicorn: what only a real server shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .servers import DOORS, PATIENCE, Server, is_written, serving, until

both_kinds = pytest.mark.parametrize("kind", ["wsgi", "asgi"])

SERVERS = ["gunicorn sync", "gunicorn gthread", "uvicorn", "microweb wsgi", "microweb asgi"]


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server of each kind over live_mounts."""
    target = f"tests.live_mounts:{DOORS[request.param]}"
    with serving(request.param, target, tmp_path_factory.mktemp("mounts")) as running:
        yield running


@both_kinds
def test_a_real_server_gives_a_mount_its_place_and_its_body(server: Server, kind: str) -> None:
    url = f"{server.url}/in/{kind}/places/caf%C3%A9"

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 50_000

    with httpx.Client() as client:
        for content, length in ((None, 0), (b"x" * 70_000, 70_000), (pieces(), 150_000)):
            response = client.request("POST" if content else "GET", url, content=content)
            assert response.json() == {
                "place": f"/in/{kind}",
                "rest": "caf\u00e9",
                "length": length,
            }


@both_kinds
def test_a_real_server_sends_a_chunk_before_the_next_is_there(
    server: Server, kind: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    url = f"{server.url}/in/{kind}/gated?gate={gate}"
    with httpx.stream("GET", url, timeout=PATIENCE) as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        gate.touch()
        assert next(lines) == "second"


@both_kinds
def test_a_client_that_leaves_a_real_server_closes_the_stream(
    server: Server, kind: str, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    with httpx.stream("GET", f"{server.url}/in/{kind}/endless?closed={closed}") as response:
        next(response.iter_raw())
    until("the mounted stream is closed", lambda: is_written(closed), server.log)
    assert closed.read_text() == "closed\n"
    assert httpx.get(f"{server.url}/in/{kind}/places/on").status_code == 200
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("kind", SERVERS)
def test_a_real_server_begins_and_ends_a_mounted_life(kind: str, tmp_path: Path) -> None:
    marks = tmp_path / "life"
    options = ("-c", "python:microweb.gunicorn_conf") if "gunicorn" in kind else ()
    target = f"tests.live_mounts:{DOORS[kind]}"
    environment = {"LIVE_MOUNTS_LIFE": str(marks)}
    with serving(kind, target, tmp_path, options, environment) as running:
        until("the mounted application has started", marks.exists, running.log)
        assert httpx.get(f"{running.url}/in/asgi/places/on").status_code == 200
        running.stop()
    assert marks.read_text() == "startup\nshutdown\n"
