"""`microweb doctor`, with real servers: what it says of each kind of thing that people give it."""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from microweb import processes
from microweb.cli import main
from microweb.doctor import report, screen, trial
from microweb.doctor.commands import GUNICORN, RUN, RUN_ASGI, UVICORN, Command, commands_for
from microweb.doctor.log import telling_line
from microweb.doctor.mend import mend
from microweb.doctor.reasons import judge
from microweb.doctor.trial import Trial, tried
from microweb.recognise import Finding

from .servers import PATIENCE, until

SOURCES = {
    "ward": """
from microweb import App

site = App()
word = "no app"


@site.get("/")
def home(request):
    return "hello"


def wsgi(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"gone"]


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"here"})


def broken(environ, start_response):
    raise ValueError("broken")


def anything(*args):
    return wsgi(*args)


async def anything_async(*args):
    await asgi(*args)


def plain(scope, receive, send):
    return asgi(scope, receive, send)


def create():
    return wsgi
""",
    "flasks": """
from flask import Flask

app = Flask(__name__)


@app.get("/")
def home():
    return "hello"
""",
    "fast": """
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def home():
    return "hello"
""",
    # It starts a process, as some libraries do, and does not answer.
    "stuck": """
import os
import subprocess
import sys
import threading
from pathlib import Path

if "DOCTOR_TRIES" in os.environ and "doctor" not in sys.argv:
    child = subprocess.Popen(["sleep", "1000"])
    Path(f"{child.pid}.pid").touch()
    Path(f"{os.getpid()}.pid").touch()


def wsgi(environ, start_response):
    Path("asked").write_text("now\\n")
    threading.Event().wait()
""",
    "mute": """
import logging.config

logging.config.dictConfig({"version": 1})


async def asgi(scope, receive, send):
    pass
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with applications, which is the current one."""
    folder = tmp_path_factory.mktemp("ward")
    for name, source in SOURCES.items():
        (folder / f"{name}.py").write_text(source)
    path = list(sys.path)
    with chdir(folder):
        yield folder
    sys.path[:] = path
    for name in SOURCES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def doctor(folder: Path) -> Callable[[str], Result]:
    """`doctor(target)` runs the command once for each target."""

    @functools.cache
    def run(target: str) -> Result:
        # As long as the commands are in PATH, nobody has to be told where they are.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
            return CliRunner().invoke(main, ["doctor", target], prog_name="microweb")

    return run


def rows(result: Result) -> dict[str, str]:
    """What served, and how it answered; what did not, and the lines that say why."""
    found: dict[str, str] = {}
    row = ""
    for line in result.stdout.splitlines():
        if line[:2] in ("✓ ", "✗ "):
            row, _, answer = line.partition("  ")
            found[row] = answer.strip()
        elif line.startswith("    ") and row:
            found[row] += f" {line.strip()}"
        else:
            row = ""
    return found


FLASK = """\
flasks:app is a WSGI application: a Flask object, callable with (environ,
start_response).

5 commands, each started, asked for / once, and stopped:

✓ gunicorn flasks:app                  200 OK
✗ gunicorn -k asgi flasks:app          500 Internal Server Error
    TypeError: Flask.__call__() takes 3 positional arguments but 4 were given
    gunicorn -k asgi speaks ASGI, and this is a WSGI application.
✗ uvicorn flasks:app                   500 Internal Server Error
    TypeError: Flask.__call__() missing 1 required positional argument:
    'start_response'
    uvicorn speaks ASGI, and this is a WSGI application.
✓ uvicorn --interface wsgi flasks:app  200 OK
✓ microweb run flasks:app              200 OK

"""
APP = """\
ward:site is a microweb App: its doors are .wsgi and .asgi, one for each kind of
server.

12 commands, each started, asked for / once, and stopped:

✗ gunicorn ward:site                       500 Internal Server Error
    TypeError: an App has two doors, and a server must be told which: in the
    file that the server loads write `app = site.wsgi` (gunicorn file:app) or
    `app = site.asgi` (uvicorn file:app), where `site` is this App
✗ gunicorn -k asgi ward:site               as above
✗ uvicorn ward:site                        as above
✗ uvicorn --interface wsgi ward:site       as above
✓ microweb run ward:site                   200 OK
✓ microweb run --wsgi ward:site            200 OK
✗ gunicorn ward:site.wsgi                  did not start
    Failed to parse 'site.wsgi' as an attribute name or function call.
    gunicorn takes one name after the colon, without a dot.
✓ uvicorn --interface wsgi ward:site.wsgi  200 OK
✓ microweb run ward:site.wsgi              200 OK
✗ gunicorn -k asgi ward:site.asgi          did not start
    Failed to parse 'site.asgi' as an attribute name or function call.
    gunicorn takes one name after the colon, without a dot.
✓ uvicorn ward:site.asgi                   200 OK
✓ microweb run ward:site.asgi              200 OK

gunicorn takes no dot, so write a file of two lines for each door that you need.

ward_wsgi.py, for servers that speak WSGI:

    from ward import site

    app = site.wsgi

ward_asgi.py, for servers that speak ASGI:

    from ward import site

    app = site.asgi

Then:

    gunicorn ward_wsgi:app
    uvicorn ward_asgi:app

"""


@pytest.mark.parametrize(("target", "text"), [("flasks:app", FLASK), ("ward:site", APP)])
def test_the_whole_report(doctor: Callable[[str], Result], target: str, text: str) -> None:
    result = doctor(target)
    assert result.stdout == text
    assert result.exit_code == 0
    assert all(len(line) <= 80 for line in text.splitlines())


MISSING_SEND = "missing 1 required positional argument: 'send'"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            "fast:app",
            {
                "✗ gunicorn fast:app": "500 Internal Server Error TypeError: FastAPI.__call__() "
                f"{MISSING_SEND} gunicorn speaks WSGI, and this is an ASGI application.",
                "✓ gunicorn -k asgi fast:app": "200 OK",
                "✓ uvicorn fast:app": "200 OK",
                "✗ uvicorn --interface wsgi fast:app": f"{MISSING_SEND} uvicorn --interface wsgi"
                " speaks WSGI, and this is an ASGI application.",
                "✓ microweb run fast:app": "200 OK",
            },
        ),
        (
            "ward:wsgi",  # 404 is an answer too
            {
                "✓ gunicorn ward:wsgi": "404 Not Found",
                "✗ gunicorn -k asgi ward:wsgi": "and this is a WSGI application.",
                "✗ uvicorn ward:wsgi": "and this is a WSGI application.",
                "✓ uvicorn --interface wsgi ward:wsgi": "404 Not Found",
                "✓ microweb run ward:wsgi": "404 Not Found",
            },
        ),
        (
            "ward:asgi",
            {
                "✗ gunicorn ward:asgi": "gunicorn speaks WSGI, and this is an ASGI application.",
                "✓ gunicorn -k asgi ward:asgi": "200 OK",
                "✓ uvicorn ward:asgi": "200 OK",
                "✗ uvicorn --interface wsgi ward:asgi": "and this is an ASGI application.",
                "✓ microweb run ward:asgi": "200 OK",
            },
        ),
        (
            "ward:broken",
            {
                "✓ gunicorn ward:broken": "answers 500, its own error ValueError: broken",
                "✗ gunicorn -k asgi ward:broken": "and this is a WSGI application.",
                "✗ uvicorn ward:broken": "and this is a WSGI application.",
                "✓ uvicorn --interface wsgi ward:broken": "as above",
                "✓ microweb run ward:broken": "as above",
            },
        ),
        (
            "ward:anything",
            {
                "✓ gunicorn ward:anything": "404 Not Found",
                "✗ gunicorn -k asgi ward:anything": "speaks ASGI, and this does not take its call.",
                "✗ uvicorn ward:anything": "uvicorn speaks ASGI, and this is a WSGI application.",
                "✓ uvicorn --interface wsgi ward:anything": "404 Not Found",
                "✓ microweb run --wsgi ward:anything": "404 Not Found",
                "✗ microweb run --asgi ward:anything": "does not take its call.",
            },
        ),
        (
            "ward:anything_async",
            {
                "✗ gunicorn ward:anything_async": "gunicorn speaks WSGI, and this is an ASGI",
                "✓ gunicorn -k asgi ward:anything_async": "200 OK",
                "✗ uvicorn ward:anything_async": "uvicorn took it for a factory, as it can be",
                "✗ uvicorn --interface wsgi ward:anything_async": "as above",
                "✓ microweb run ward:anything_async": "200 OK",
            },
        ),
        (
            "ward:plain",
            {
                "✗ gunicorn ward:plain": "and this is an ASGI application.",
                "✓ gunicorn -k asgi ward:plain": "200 OK",
                "✗ uvicorn ward:plain": "for ASGI 2; with --interface asgi3 it does not.",
                "✗ uvicorn --interface wsgi ward:plain": "and this is an ASGI application.",
                "✓ microweb run ward:plain": "200 OK",
            },
        ),
        (
            "ward:create",
            {
                "✗ gunicorn ward:create": "gunicorn speaks WSGI, and this does not take its call.",
                "✗ gunicorn -k asgi ward:create": "and this does not take its call.",
                "✗ uvicorn ward:create": "uvicorn speaks ASGI, and this is a WSGI application.",
                "✓ uvicorn --interface wsgi ward:create": "404 Not Found",
                "✓ gunicorn 'ward:create()'": "404 Not Found",
                "✗ gunicorn -k asgi 'ward:create()'": "and this does not take its call.",
                "✗ uvicorn --factory ward:create": "and this is a WSGI application.",
                "✓ uvicorn --interface wsgi --factory ward:create": "404 Not Found",
                "✗ microweb run ward:create": "does not take it: see above",
            },
        ),
        (
            "ward:word",
            {
                "✗ gunicorn ward:word": "did not start Application object must be callable."
                " A server calls its application; this is nothing that can be called.",
                "✗ gunicorn -k asgi ward:word": "as above",
                "✗ uvicorn ward:word": "TypeError: 'str' object is not callable",
                "✗ uvicorn --interface wsgi ward:word": "as above",
                "✗ microweb run ward:word": "does not take it: see above",
            },
        ),
    ],
)
def test_each_command_is_tried_and_its_refusal_explained(
    doctor: Callable[[str], Result], target: str, expected: dict[str, str]
) -> None:
    result = doctor(target)
    found = rows(result)
    assert list(found) == list(expected)
    for row, answer in expected.items():
        assert answer in found[row]
    assert result.exit_code == (0 if any(row.startswith("✓") for row in expected) else 1)
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_uvicorn_serves_a_plain_asgi_application_as_it_is_told_to(folder: Path) -> None:
    command = Command((*UVICORN, "--interface", "asgi3"), "asgi", "ward:plain")
    assert asyncio.run(tried(command, 30)).status == 200


# --- the mend ---------------------------------------------------------------------------------


def test_the_mend_is_files_and_commands_that_work(
    folder: Path, doctor: Callable[[str], Result]
) -> None:
    paragraphs = doctor("ward:site").stdout.split("\n\n")
    texts = [
        "\n\n".join(part.strip() for part in paragraphs[start : start + 2]) for start in (5, 8)
    ]
    for door, text in zip(("wsgi", "asgi"), texts, strict=True):
        (folder / f"ward_{door}.py").write_text(text)
    for server, target in ((GUNICORN, "ward_wsgi:app"), (UVICORN, "ward_asgi:app")):
        assert f"    {' '.join(server)} {target}" in paragraphs[-2].splitlines()
        assert asyncio.run(tried(Command(server, "wsgi", target), 30)).status == 200


@pytest.mark.parametrize(
    ("target", "kind", "lines"),
    [
        (
            "shop.front:site.wsgi",
            "wsgi",
            ["front_wsgi.py:", "    from shop.front import site", "    app = site.wsgi"],
        ),
        ("house:rooms.asgi", "asgi", ["house_asgi.py:", "    gunicorn -k asgi house_asgi:app"]),
        ("ward:create", "factory", ["ward_app.py:", "    app = create()"]),
        ("ward:wsgi", "wsgi", []),
        ("ward:word", "neither", []),
    ],
)
def test_what_a_server_cannot_name_gets_a_file_of_its_own(
    target: str, kind: str, lines: list[str]
) -> None:
    paragraphs = mend(target, Finding(kind, ""))  # type: ignore[arg-type]
    assert bool(paragraphs) == bool(lines)
    text = "\n".join(paragraphs).splitlines()
    assert all(any(each.endswith(line) for each in text) for line in lines)


# --- nothing is left --------------------------------------------------------------------------


def is_gone(pid: str) -> bool:
    """Whether a process has ended, be it that nobody has taken its exit status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def started(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.pid")]


@pytest.fixture
def stuck(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the application that does not answer."""
    shutil.copy(folder / "stuck.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCTOR_TRIES", "1")
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize("words", [GUNICORN, RUN], ids=" ".join)
def test_a_command_that_hangs_is_given_up_with_all_that_it_has_started(
    stuck: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STOP_TIMEOUT", 0.1)
    done = asyncio.run(tried(Command(words, "wsgi", "stuck:wsgi"), 1))
    verdict = judge(done, Finding("wsgi", ""))
    assert (verdict.serves, verdict.answer) == (False, "no answer within 1 s")
    until("its processes are gone", lambda: all(map(is_gone, started(stuck))))


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 1)])
def test_who_stops_the_doctor_stops_the_servers(
    stuck: Path, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, "-m", "microweb", "doctor", "stuck:wsgi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until("a server is asked", (stuck / "asked").exists)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    assert b"Traceback" not in errors
    assert len(started(stuck)) >= 2  # a server, and what its application has started
    until("they are gone", lambda: all(map(is_gone, started(stuck))))


def test_a_trial_that_is_cancelled_ends_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancel() -> None:
        asked = asyncio.Event()

        async def ask(port: int) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(trial, "_ask", ask)
        trying = asyncio.create_task(tried(Command(RUN, "wsgi", "ward:wsgi"), PATIENCE))
        await asked.wait()
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying

    asyncio.run(cancel())


def test_the_doctor_is_stopped_as_any_program(monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(command: Command, timeout: float) -> Trial:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(report, "tried", endless)
    with pytest.raises(SystemExit) as ended:
        report.examine("ward:wsgi", Finding("wsgi", ""), 1)
    assert ended.value.code == 143


def test_who_does_not_read_to_the_end_sees_no_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "microweb", "doctor", "ward:wsgi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_server_that_does_not_say_where_it_listens_is_given_up(folder: Path) -> None:
    done = asyncio.run(tried(Command(UVICORN, "asgi", "mute:asgi"), 1))
    assert "disable_existing_loggers" in judge(done, Finding("asgi", "")).meaning


def test_what_is_not_installed_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(trial, "find_spec", find_spec)
    done = asyncio.run(tried(Command(GUNICORN, "wsgi", "ward:wsgi"), 1))
    verdict = judge(done, Finding("wsgi", ""))
    assert verdict == (False, "not installed", "", "pip install gunicorn")
    monkeypatch.setattr(sys, "platform", "win32")
    assert judge(done, Finding("wsgi", "")).meaning == "gunicorn does not run on Windows."


def test_what_the_environment_says_to_servers_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--daemon --bind 127.0.0.1:1")
    monkeypatch.setenv("UVICORN_INTERFACE", "asgi3")
    assert asyncio.run(tried(Command(GUNICORN, "wsgi", "ward:wsgi"), 30)).status == 404
    assert asyncio.run(tried(Command(UVICORN, "asgi", "ward:asgi"), 30)).status == 200


# --- logs -------------------------------------------------------------------------------------

NO_ASGI = "class uri 'asgi' invalid or not found"
GROUP = """
ERROR:    Exception in ASGI application
  + Exception Group Traceback (most recent call last):
  |   File "/site-packages/uvicorn/protocols/http/h11_impl.py", line 4, in run
  |     result = await app(scope, receive, send)
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/home/ada/shop.py", line 9, in home
    |     return stock["tea"]
    | KeyError: 'tea'
    +------------------------------------
"""


@pytest.mark.parametrize(
    ("log", "line", "file"),
    [
        (GROUP, "KeyError: 'tea'", "/home/ada/shop.py"),
        ("INFO:     Started\n[2026-01-01] [7] [INFO] Booting worker\n", "", ""),
        ("INFO:     Started\nSegmentation fault\n\n", "Segmentation fault", ""),
        ("Traceback (most recent call last):\n  cut off", "", ""),
        ("\x1b[31mERROR\x1b[0m:    [Errno 98] in use\r\n", "[Errno 98] in use", ""),
        ("[2026-01-01] [7] [ERROR] Worker (pid:9) exited\n", "Worker (pid:9) exited", ""),
        (f"\nError: {NO_ASGI}: \n\n[Traceback (most recent call last):\n  File", NO_ASGI, ""),
    ],
)
def test_the_line_that_tells_is_found(log: str, line: str, file: str) -> None:
    assert telling_line(log) == (line, file)


LISTENING = "[2026-01-01] [7] [INFO] Listening at: http://127.0.0.1:4000 (7)\n"


@pytest.mark.parametrize(
    ("status", "log", "verdict"),
    [
        (299, "", (True, "299", "", "")),
        (503, "", (True, "503 Service Unavailable", "", "")),
        (500, "", (True, "answers 500, its own error", "", "")),
        (None, LISTENING, (False, "ended before it answered", "", "")),
        (
            None,
            f"{LISTENING}NameError: x\nReason: Worker failed to boot.",
            (False, "did not start", "Reason: Worker failed to boot.", ""),
        ),
        (
            None,
            f"Error: {NO_ASGI}: ",
            (False, "did not start", NO_ASGI, "gunicorn speaks ASGI since its version 24."),
        ),
        # An application may make the same mistake inside, called as it should be
        (
            500,
            'Traceback (most recent call last):\n  File "/home/ada/shop.py", line 9, in home\n'
            "TypeError: asgi() missing 1 required positional argument: 'send'",
            (
                True,
                "answers 500, its own error",
                "TypeError: asgi() missing 1 required positional argument: 'send'",
                "",
            ),
        ),
    ],
)
def test_what_came_of_a_command_is_judged(
    status: int | None, log: str, verdict: tuple[bool, str, str, str]
) -> None:
    command = Command(RUN_ASGI, "asgi", "shop:app")
    assert judge(Trial(command, status, log), Finding("asgi", "")) == verdict


# --- the screen -------------------------------------------------------------------------------


def test_a_terminal_without_the_signs_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner(charset="latin-1")
    with runner.isolation() as (out, *_):
        screen.row(True, "gunicorn a:b", 20, "200 OK")
        screen.row(False, "uvicorn a:b", 20, "500")
        screen.below("ValueError: Ω")
    assert out.getvalue().decode("latin-1").splitlines() == [
        "yes gunicorn a:b          200 OK",
        "no  uvicorn a:b           500",
        "    ValueError: ?",
    ]


def test_what_is_too_long_for_a_line_gets_two_or_is_cut(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen.row(True, f"gunicorn {'x' * 60}:app", 73, "200 OK")
    screen.below("word " * 200)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "    200 OK"
    assert lines[-1].endswith(" ...")
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 8


def test_colours_are_for_terminals(capsys: pytest.CaptureFixture[str]) -> None:
    screen.row(True, "gunicorn a:b", 12, "200 OK")
    assert "\x1b" not in capsys.readouterr().out


def test_the_folder_of_the_commands_is_told_where_it_has_to_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(commands / "python"))
    monkeypatch.setenv("PATH", "")
    assert screen.folder_to_type() is None  # not installed in such a way
    (commands / "microweb").touch(0o755)
    monkeypatch.chdir(tmp_path)
    assert screen.folder_to_type() == ".venv/bin/"
    monkeypatch.setenv("PATH", str(commands))
    assert screen.folder_to_type() is None
    monkeypatch.chdir("/")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert screen.folder_to_type() == f"{commands}/".removeprefix("/")


def test_the_folder_is_told_below_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def not_tried(command: Command, timeout: float) -> Trial:
        return Trial(command, is_installed=False)

    monkeypatch.setattr(report, "tried", not_tried)
    monkeypatch.setattr(screen, "folder_to_type", lambda: ".venv/bin/")
    assert not report.examine("ward:wsgi", Finding("wsgi", ""), 1)
    assert "(Type .venv/bin/ before each command: it is not in your PATH.)" in (
        capsys.readouterr().out
    )


def test_every_command_says_how_it_is_typed_and_how_it_is_started() -> None:
    command = commands_for("a:b", Finding("app", ""))[0]
    assert command.typed == "gunicorn a:b"
    assert command.started[0] == "gunicorn"
