"""`microweb run`: what it chooses, what it says, and real processes of it."""

from __future__ import annotations

import logging
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

import microweb.servers.asgi
import microweb.servers.wsgi
from microweb.cli import main
from microweb.gateways.asgi import ASGIGateway
from microweb.gateways.wsgi import WSGIGateway
from microweb.run import log_to_stderr
from microweb.servers.settings import CannotServe, Settings

from .servers import COMMANDS, PATIENCE, Server, serving, until

SOURCES = {
    "run_shop": """
from microweb import App

site = App()


@site.lifespan
def life(app):
    print("begins", flush=True)
    yield
    print("ends", flush=True)


@site.get("/")
def home(request):
    return {"door": request.protocol, "url": request.url_for("home")}
""",
    "run_broken": """
from microweb import App

site = App()
ill = App()


@site.lifespan
def life(app):
    raise RuntimeError("no database")
    yield


@ill.lifespan
def ill_life(app):
    yield
    raise RuntimeError("no end")
""",
    "run_others": """
import logging.config

from fastapi import FastAPI
from flask import Flask

# It turns off all loggers that it is not told of.
logging.config.dictConfig({"version": 1})
flask_app = Flask(__name__)
fastapi_app = FastAPI()
word = "no app"


@flask_app.get("/")
def flask_home():
    return {"door": "wsgi"}


@fastapi_app.get("/")
def fastapi_home():
    return {"door": "asgi"}


def anything(*args):
    return flask_app(*args)


def create():
    return flask_app
""",
}
LOGGERS = ("microweb", "microweb.access", "microweb.servers")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with applications, which is the current one; logging is as it was after it."""
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each, list(each.handlers), each.level, each.propagate) for each in loggers]
    yield tmp_path
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate, logger.disabled = handlers, propagate, False
        logger.setLevel(level)
    for name in SOURCES:
        sys.modules.pop(name, None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments], prog_name="microweb")


# --- with servers that only say that they were called -----------------------------------------

Served = list[tuple[str, Any, Settings]]


@pytest.fixture
def served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """What the servers, which do nothing, were called with."""
    calls: Served = []

    def stand_in(protocol: str) -> Callable[[Any, Settings], None]:
        return lambda app, settings: calls.append((protocol, app, settings))

    monkeypatch.setattr(microweb.servers.wsgi, "serve", stand_in("wsgi"))
    monkeypatch.setattr(microweb.servers.asgi, "serve", stand_in("asgi"))
    return calls


@pytest.mark.parametrize(
    ("arguments", "protocol", "kind"),
    [
        (["run_shop:site"], "asgi", ASGIGateway),
        (["--asgi", "run_shop:site"], "asgi", ASGIGateway),
        (["--wsgi", "run_shop:site"], "wsgi", WSGIGateway),
        (["run_shop:site.wsgi"], "wsgi", WSGIGateway),
        (["--asgi", "run_shop:site.asgi"], "asgi", ASGIGateway),
        (["run_others:flask_app"], "wsgi", object),
        (["run_others:fastapi_app"], "asgi", object),
        (["--wsgi", "run_others:anything"], "wsgi", object),
        (["--asgi", "run_others:anything"], "asgi", object),
    ],
)
def test_the_shape_and_the_option_choose_the_server(
    served: Served, arguments: list[str], protocol: str, kind: type
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 0, ran.stderr
    ((called, app, settings),) = served
    assert called == protocol
    assert isinstance(app, kind)
    assert settings == Settings()


def test_the_options_become_the_settings(served: Served) -> None:
    options = ["--wsgi", "--host=::1", "--port=0", "--threads=3", "--root-path=/a/b"]
    ran = run(*options, "run_shop:site")
    assert ran.exit_code == 0
    assert served[0][2] == Settings(host="::1", port=0, threads=3, root_path="/a/b")


def test_through_wsgi_the_command_drives_the_lifespan(
    served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("--wsgi", "run_shop:site").stdout == "begins\nends\n"
    assert run("run_shop:site").stdout == ""  # the ASGI server would


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("--wsgi --asgi run_shop:site", "--wsgi and --asgi: give one of them"),
        ("--threads 4 run_shop:site", "--threads is for WSGI, where each call takes one"),
        ("--threads 0 --wsgi run_shop:site", "0 is not in the range x>=1"),
        ("--port 65536 run_shop:site", "65536 is not in the range"),
        ("--root-path shop run_shop:site", "'shop' does not begin with a slash: /shop"),
        ("--root-path /shop/ run_shop:site", "'/shop/' ends with a slash: /shop"),
        ("--root-path / run_shop:site", "ends with a slash: leave the option out"),
        ("run_shop:sit", "did you mean site?"),
        (
            "--asgi run_others:flask_app",
            "run_others:flask_app is a WSGI application: a Flask object, callable with (environ,"
            " start_response). So run it as what it is: microweb run --wsgi run_others:flask_app",
        ),
        ("--wsgi run_others:fastapi_app", "microweb run --asgi run_others:fastapi_app"),
        ("--wsgi run_shop:site.asgi", "Name the App, which has the other door too"),
        ("run_others:anything", "its shape does not tell: a function with (*args). Say it: --wsgi"),
        ("run_others:create", "Call it in a file, app = create(), and name that."),
        ("run_others:word", "is neither a WSGI nor an ASGI application: a str"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_begins(
    served: Served, arguments: str, complaint: str
) -> None:
    ran = run(*arguments.split())
    assert ran.exit_code == 2
    assert complaint in ran.stderr
    assert served == []


def test_a_server_that_cannot_begin_says_why_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(app: Any, settings: Settings) -> None:
        raise CannotServe("the port is taken; choose another: --port 8001")

    monkeypatch.setattr(microweb.servers.asgi, "serve", serve)
    ran = run("run_shop:site")
    assert ran.exit_code == 1
    assert ran.stderr == "Error: the port is taken; choose another: --port 8001\n"


def test_a_lifespan_that_fails_at_the_wsgi_door_serves_nothing(served: Served) -> None:
    ran = run("--wsgi", "run_broken:site")
    assert ran.exit_code == 1
    assert ran.stderr.startswith("ERROR: lifespan: startup failed\nTraceback (most recent")
    assert ran.stderr.endswith(
        "Error: the application did not begin: RuntimeError('no database')\n"
    )
    assert served == []


def test_a_lifespan_that_ends_badly_is_logged(served: Served) -> None:
    ran = run("--wsgi", "run_broken:ill")
    assert ran.exit_code == 0
    assert ran.stderr.startswith("ERROR: lifespan: shutdown failed\nTraceback (most recent")


# --- what is logged ---------------------------------------------------------------------------


def test_requests_have_their_time_and_trouble_its_level(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr()
    logging.getLogger("microweb.servers").info("microweb running on %s", "http://[::1]:80")
    logging.getLogger("microweb.servers").debug("not shown")
    logging.getLogger("microweb.access").info('127.0.0.1 "GET / HTTP/1.1" 200 4 0.3 ms')
    logging.getLogger("microweb").error("it failed")
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r'\d\d:\d\d:\d\d 127\.0\.0\.1 "GET / HTTP/1\.1" 200 4 0\.3 ms', lines[1])
    assert [lines[0], *lines[2:]] == ["microweb running on http://[::1]:80", "ERROR: it failed"]


def test_an_application_that_logs_microweb_itself_is_left_to_it(folder: Path) -> None:
    logger = logging.getLogger("microweb")
    own = logging.NullHandler()
    logger.addHandler(own)
    log_to_stderr()
    assert logger.handlers == [own]
    assert logger.propagate


# --- real processes ---------------------------------------------------------------------------


@pytest.fixture
def start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`with start(target, *options) as server:` is the command, as a process that listens."""
    monkeypatch.setitem(COMMANDS, "microweb run", ("microweb", "run", "--port", "0"))
    path = {"PYTHONPATH": str(folder)}
    return lambda target, *options: serving("microweb run", target, folder, options, path)


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_an_app_is_served_from_its_beginning_to_its_end(
    start: Callable[..., Any], door: str
) -> None:
    with start("run_shop:site", f"--{door}", "--root-path", "/shop") as server:
        answer = httpx.get(f"{server.url}/").json()
        assert answer == {"door": door, "url": f"{server.url}/shop/"}
        until("the request is logged", lambda: '"GET / HTTP/1.1" 200' in server.log())
        assert server.stop() == 0
        lines = server.log().splitlines()
    assert lines[0] == "begins"
    assert "ends" in lines
    assert re.match(rf"microweb running on http://127\.0\.0\.1:\d+ \({door.upper()}", lines[1])
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(("name", "door"), [("flask_app", "wsgi"), ("fastapi_app", "asgi")])
def test_another_framework_is_served_whatever_it_does_to_logging(
    start: Callable[..., Any], name: str, door: str
) -> None:
    server: Server
    with start(f"run_others:{name}") as server:
        assert httpx.get(f"{server.url}/").json() == {"door": door}
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def microweb_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    command = [sys.executable, "-m", "microweb", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_an_app_that_does_not_begin_ends_the_command(folder: Path, door: str) -> None:
    ran = microweb_run("--port", "0", f"--{door}", "run_broken:site")
    assert ran.returncode == 1
    assert 'raise RuntimeError("no database")' in ran.stderr
    assert ran.stderr.endswith(
        "Error: the application did not begin: RuntimeError('no database')\n"
    )
    assert "running on" not in ran.stderr


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_port_that_is_taken_is_one_line_and_the_mend(folder: Path, door: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = microweb_run("--port", port, f"--{door}", "run_shop:site")
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert "another port: --port" in ran.stderr
    assert ran.stderr.count("\n") == 1
