"""The README's application is made of the README's own text, and does what the text says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

import microweb
from microweb import App
from microweb.cli import main
from microweb.servers import sockets
from microweb.testing import WebSocketRefused

from .conftest import Connect, Protocol
from .servers import ROOT, serving

README = (ROOT / "README.md").read_text("utf-8")
ENVIRONMENT, SERVE, TEST = (
    "python3 -m venv .venv",
    ".venv/bin/gunicorn --threads 4 wsgi_app:app",
    ".venv/bin/pytest -n auto --dist loadfile",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README tells to write."""
    _, app, wsgi, asgi, layer, life, _, test = blocks("python")
    imports = "from time import perf_counter\n"
    (tmp_path / "hello.py").write_text(imports + app + layer + life)
    (tmp_path / "hello_wsgi.py").write_text(wsgi)
    (tmp_path / "hello_asgi.py").write_text(asgi)
    (tmp_path / "test_hello.py").write_text(test)
    return tmp_path


def test_one_command_serves_and_one_command_tests() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len([line for line in commands if line.endswith(SERVE)]) == 1
    assert len([line for line in commands if line.endswith(f"&& {TEST}")]) == 1
    assert all(ENVIRONMENT in line for line in commands if line.endswith((SERVE, f"&& {TEST}")))


@pytest.mark.parametrize(
    ("kind", "target", "door"),
    [("gunicorn sync", "hello_wsgi:app", "wsgi"), ("uvicorn", "hello_asgi:app", "asgi")],
)
def test_the_application_of_your_own_serves_through_both_doors(
    folder: Path, kind: str, target: str, door: str
) -> None:
    with serving(kind, target, folder, environment={"PYTHONPATH": str(folder)}) as server:
        home = httpx.get(server.url + "/")
        assert home.text == "Hello! See /hello/you and /count/3\n"
        assert re.fullmatch(r"app;dur=\d+\.\d", home.headers["server-timing"])
        assert httpx.get(server.url + "/hello/you").json() == {"hello": "you", "door": door}
        assert httpx.get(server.url + "/count/3").text == "1\n2\n3\n"
        server.stop()
        assert server.log().count("the end") == 1


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("gunicorn sync", "bare:wsgi_application"),
        ("uvicorn", "bare:asgi_application"),
    ],
)
def test_the_applications_without_a_framework_serve(tmp_path: Path, kind: str, target: str) -> None:
    (tmp_path / "bare.py").write_text(blocks("python")[0])
    with serving(kind, target, tmp_path, environment={"PYTHONPATH": str(tmp_path)}) as server:
        assert httpx.get(server.url + "/tea").text == "You asked for /tea"


def test_the_test_of_your_own_runs_through_both_doors(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_hello.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """The README's larger application, which keeps its files where it is started."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[6], "house.py", "exec"), names)
    site: App = names["site"]
    return site


def test_the_house_takes_forms_streams_files_and_tells_the_time(
    house: App, connect: Connect
) -> None:
    client = connect(house)
    for number in (1, 2):
        answer = client.post("/files", files={"file": ("../note.txt", b"some text")})
        assert (answer.status_code, answer.json()) == (201, {"bytes": 9, "files": number})
    kept = client.get("/files/note.txt", headers={"range": "bytes=5-"})
    assert (kept.status_code, kept.text) == (206, "text")
    assert client.get(
        "/files/note.txt", headers={"if-none-match": kept.headers["etag"]}
    ).is_redirect
    page = {"file": ("page.html", b"<script>")}
    for wrong in ({"data": {"file": "x"}}, {"files": page}):
        refused = client.post("/files", **wrong, headers={"accept": "application/json"})
        assert refused.json()["detail"] == "Send a .txt file, as multipart/form-data."
    assert client.post("/count", content=iter([b"x" * 1000] * 3)).json() == {"bytes": 3000}
    with client.stream("GET", "/clock") as clock:
        line = next(line for line in clock.iter_lines() if line.startswith("data"))
        assert re.fullmatch(r"data: \d\d:\d\d:\d\d", line)


def test_the_house_echoes_through_asgi_and_says_why_not_through_wsgi(
    house: App, connect: Connect, protocol: Protocol
) -> None:
    client = connect(house)
    if protocol == "asgi":
        with client.websocket_connect("/echo") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "hello"
    else:
        with pytest.raises(WebSocketRefused) as refused, client.websocket_connect("/echo"):
            pass
        assert refused.value.response.status_code == 501


def test_every_name_in_the_readme_is_there() -> None:
    names = set(re.findall(r"`(?:raise )?(\w+(?:Middleware|Response|Exception))\b", README))
    assert {"FileResponse", "SessionMiddleware", "HTTPException"} <= names
    assert names <= set(microweb.__all__)


def test_every_file_that_is_linked_is_there() -> None:
    links = re.findall(r"\]\(([\w/.]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_application_is_at_most_fifteen_lines_of_code() -> None:
    code = [line for line in blocks("python")[1].splitlines() if line.strip()]
    assert len(code) <= 15


def test_the_client_of_the_echo_prints_what_the_readme_shows() -> None:
    shown = next(block for block in blocks("text") if block.startswith("socket()"))
    # What is shown there, test_sockets.py holds true.
    assert textwrap.indent(shown, "    ") in (sockets.__doc__ or "")


def test_the_commands_of_the_small_servers_are_there() -> None:
    commands = [line.split() for block in blocks("sh") for line in block.splitlines()]
    named = {words[1] for words in commands if words[0] == ".venv/bin/microweb"}
    assert named == set(main.commands)
    steps = {words[3] for words in commands if "microweb.servers.sockets" in words}
    assert steps == {"echo", "client"}


@pytest.mark.parametrize("door", ["--asgi", "--wsgi"])
def test_microweb_run_serves_the_application_of_your_own_by_its_name(
    folder: Path, door: str
) -> None:
    kind = f"microweb {door.removeprefix('--')}"
    with serving(kind, "hello:site", folder, environment={"PYTHONPATH": str(folder)}) as server:
        assert httpx.get(server.url + "/hello/you").json() == {"hello": "you", "door": door[2:]}
        server.stop()
        assert server.log().count("the end") == 1


TRACES = re.findall(r"^\| [^|]+ \| `((?:GET|POST) /.*)` \|$", README, re.MULTILINE)


@pytest.mark.parametrize("words", TRACES)
def test_each_trace_that_is_worth_seeing_can_be_seen(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(main, ["trace", "microweb.demo:site", *shlex.split(words)])
    assert ran.exit_code == 0, ran.output
    assert "the thick line is the seam" in ran.stdout
    assert max(map(cell_len, ran.stdout.splitlines())) <= 80


def test_all_that_is_worth_seeing_is_tried() -> None:
    assert len(TRACES) == 8
