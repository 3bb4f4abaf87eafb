"""`microweb trace` and `microweb layers`, as they are typed, with the servers that they start."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from microweb import trace as tracing
from microweb.cli import main
from microweb.tracing.format import load
from microweb.tracing.servers import SERVERS

SOURCES = {
    "shop": """
        from microweb import App
        app = App()
        @app.get("/hello/{name}")
        def hello(request, name):
            return f"Hello, {name}!"
        @app.post("/echo")
        async def echo(request):
            return request.body
        @app.get("/cut")
        def cut(request):
            yield "a beginning"
            raise RuntimeError("halfway")
        @app.middleware
        async def outer(request, call_next):
            return await call_next(request)
    """,
    "flask_site": """
        from flask import Flask, request
        app = Flask(__name__)
        @app.get("/")
        def index():
            return "flask"
        @app.post("/echo")
        def echo():
            return request.get_data()
    """,
    "bottle_site": """
        from bottle import Bottle
        app = Bottle()
        @app.get("/")
        def index():
            return "bottle"
    """,
    "fastapi_site": """
        from fastapi import FastAPI
        app = FastAPI()
        @app.get("/")
        def index():
            return "fastapi"
        @app.get("/async")
        async def later():
            return "fastapi"
    """,
    "starlette_site": """
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        async def index(request):
            return PlainTextResponse("starlette")
        app = Starlette(routes=[Route("/", index)])
    """,
    "broken": """
        def app(environ, start_response):
            return []
        import os
        if "MICROWEB_TRACE" in os.environ:
            raise RuntimeError("not in a server")
    """,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of somebody who has written all these; commands are typed there."""
    path = tmp_path_factory.mktemp("sites")
    for name, source in SOURCES.items():
        lines = [line[8:] for line in source.splitlines()]
        (path / f"{name}.py").write_text("\n".join(lines), "utf-8")
    with chdir(path):
        yield path
    for name in SOURCES:
        sys.modules.pop(name, None)


Type = Callable[..., Result]


@pytest.fixture
def type_(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """`type_("trace", ...)` is what comes of the command, in a pipe of 80 columns."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def typed(*words: str, columns: int = 80) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(main, words)

    return typed


# --- trace ------------------------------------------------------------------------------------


def test_an_app_through_both_doors(type_: Type) -> None:
    result = type_("trace", "shop:app", "GET", "/hello/ada")
    assert result.exit_code == 0, result.output
    text = result.output
    assert "WSGI: gunicorn" in text
    assert "ASGI: uvicorn" in text
    assert text.count("hello(request, name='ada')") == 2
    assert text.count("returns 'Hello, ada!'") == 2
    assert text.count("match /hello/{name}") == 2
    assert "app(environ, start_response)" in text
    assert "await app(scope, receive, send)" in text
    assert "Both answer 200 OK" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("server", "protocol"),
    [(name, p) for name, each in SERVERS.items() for p in ("wsgi", "asgi") if getattr(each, p)],
)
def test_every_server_is_recorded_as_it_is(
    type_: Type, folder: Path, server: str, protocol: str
) -> None:
    file = folder / "out.json"
    words = ["shop:app", f"--{protocol}", "--server", server, "POST", "/echo"]
    result = type_("trace", *words, "-d", "said", "--json", str(file))
    assert result.exit_code == 0, result.output
    trace = load(file.read_text("utf-8").splitlines())
    assert trace.runs[0].server.startswith(server)
    (first,) = {each.exchange for each in trace.events if each.kind == "app.call"} - {None}
    own = [each for each in trace.events if each.exchange == first]
    sides = {each.side for each in own}
    assert sides == {"wire", "seam", "framework"}
    kinds = [each.kind for each in own]
    assert kinds.index("bytes") < kinds.index("app.call") < kinds.index("request")
    out = [each for each in own if each.kind == "bytes" and each.direction == "out"]
    assert "said" in "".join(each.data["bytes"]["$bytes"] for each in out)
    assert own.index(out[-1]) > kinds.index("response")
    (provenance,) = trace.provenance
    assert any(each.source == "wire" for each in provenance.origins)


def test_two_applications_side_by_side(type_: Type) -> None:
    doors = ["--wsgi", "flask_site:app", "--asgi", "fastapi_site:app"]
    result = type_("trace", *doors, "GET", "/", columns=160)
    assert result.exit_code == 0, result.output
    assert "flask_site:app" in result.output
    assert "fastapi_site:app" in result.output
    assert "not instrumented" in result.output
    assert "b'flask'" in result.output


def test_a_trace_on_stdout_and_nothing_else(type_: Type) -> None:
    result = type_("trace", "--asgi", "starlette_site:app", "--json", "-")
    assert result.exit_code == 0, result.output
    trace = load(io.StringIO(result.stdout))
    assert trace.runs[0].target == "starlette_site:app"
    assert "starlette" in trace.runs[0].software


def test_a_body_that_comes_in_pieces_from_the_command_line(type_: Type) -> None:
    result = type_("trace", "shop:app", "/echo", "-d", "one", "-d", "two", "--asgi", "--json", "-")
    trace = load(io.StringIO(result.stdout))
    received = [e.data["message"] for e in trace.events if e.kind == "receive.return"]
    bodies = [each["body"]["$bytes"] for each in received if each["type"] == "http.request"]
    assert bodies == ["one", "two"]


def test_secrets_only_where_they_are_asked_for(type_: Type) -> None:
    words = ["trace", "shop:app", "--asgi", "/hello/ada", "-H", "cookie: sid=secret", "--json", "-"]
    assert "sid=secret" not in type_(*words).stdout
    assert "sid=secret" in type_(*words, "--secrets").stdout


def test_an_answer_that_is_cut_is_said_with_the_servers_log(type_: Type) -> None:
    result = type_("trace", "shop:app", "--wsgi", "/cut")
    assert "The answer of gunicorn was cut short" in result.stderr
    assert "halfway" in result.stderr
    assert result.exit_code == 0  # it was called, and that is what is shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name an application, as module:attribute: microweb trace shop:app GET /"),
        (["nowhere:app"], "no module 'nowhere'"),
        (["shop:app", "GET", "hello"], "'hello' is no path: it begins with a slash, /hello"),
        (["shop:app", "GET", "/", "accept: x"], "a header goes after -H"),
        (["shop:app", "--both", "--wsgi"], "--both, and --wsgi or --asgi: give the one or the"),
        (["flask_site:app", "--asgi"], "flask_site:app is a WSGI application"),
        (["shop:app", "-H", "accept"], "has no colon"),
        (["shop:app", "-d", "@nothing"], "nothing: No such file or directory"),
    ],
)
def test_what_is_typed_wrongly(type_: Type, words: list[str], message: str) -> None:
    result = type_("trace", *words)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")


def test_a_server_that_does_not_speak_the_protocol(type_: Type) -> None:
    result = type_("trace", "fastapi_site:app", "--server", "waitress")
    assert result.exit_code == 1
    assert "waitress does not speak ASGI; these do: gunicorn, uvicorn" in result.output


def test_an_application_that_no_server_can_load(type_: Type) -> None:
    result = type_("trace", "broken:app")
    assert result.exit_code == 1
    assert "RuntimeError: not in a server" in result.output


def test_it_is_plain_in_a_pipe_and_ends_with_its_reader(folder: Path) -> None:
    command = [sys.executable, "-m", "microweb", "trace", "shop:app", "/hello/ada"]
    result = subprocess.run(command, capture_output=True, check=True)
    assert b"\x1b" not in result.stdout
    assert result.stderr == b""


# --- layers -----------------------------------------------------------------------------------

# target and path -> what stands between the seam and the handler, and what was called besides
LAYERS: dict[tuple[str, ...], tuple[list[str], str]] = {
    ("flask_site:app", "/"): (["Flask"], "Werkzeug"),
    ("bottle_site:app", "/"): (["bottle"], ""),
    ("starlette_site:app", "/"): (["starlette"], ""),
    ("fastapi_site:app", "/async"): (["fastapi", "starlette"], ""),
    ("fastapi_site:app", "/"): (["fastapi", "starlette", "anyio"], ""),
    ("shop:app", "--wsgi", "/hello/ada"): (["microweb"], ""),
    ("shop:app", "--asgi", "/hello/ada"): (["microweb"], ""),
    ("shop:app", "--wsgi", "POST", "/echo"): (["microweb"], ""),
}


@pytest.mark.parametrize("words", LAYERS)
def test_who_stands_between_the_socket_and_the_handler(type_: Type, words: tuple[str, ...]) -> None:
    packages, called = LAYERS[words]
    result = type_("layers", *words, columns=120)
    assert result.exit_code == 0, result.output
    summary = result.output.strip().splitlines()[0]
    own = f"your code ({words[0].partition(':')[0]}.py)"
    inner = summary.partition("┃ ")[2].split(" │ ")
    assert [each.split(" ")[0] for each in inner[:-1]] == packages
    assert inner[-1] == own
    handler = {"/": "index", "/async": "later", "/hello/ada": "hello", "/echo": "echo"}[words[-1]]
    rows = result.output.splitlines()
    seam = next(index for index, row in enumerate(rows) if row.startswith("━━ "))
    assert rows[seam + 1].split()[0] == packages[0]
    last = next(row for row in reversed(rows) if row.startswith("  your code"))
    assert handler in last
    assert "calls your code" in result.output or "and your code call each other" in result.output
    if called:
        assert f"{packages[0]} also called {called} " in result.output


def test_layers_of_two_applications_at_80_columns(type_: Type) -> None:
    result = type_("layers", "--wsgi", "flask_site:app", "--asgi", "fastapi_site:app")
    assert "ASGI: uvicorn" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_where_no_handler_of_yours_was_called(type_: Type) -> None:
    result = type_("layers", "flask_site:app", "/nowhere")
    assert "No function of yours was called" in result.output


# --- what the words mean ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wsgi", "asgi", "both", "expected"),
    [
        (["a:b", "GET"], [], [], False, ([("a:b", ())], ["GET"])),
        (["a:b"], [], [], True, ([("a:b", ("wsgi", "asgi"))], [])),
        (["a:b"], [""], [], False, ([("a:b", ("wsgi",))], [])),
        (["a:b"], [""], [""], False, ([("a:b", ("wsgi",)), ("a:b", ("asgi",))], [])),
        (["/"], ["a:b"], ["c:d"], False, ([("a:b", ("wsgi",)), ("c:d", ("asgi",))], ["/"])),
        (["a:b", "/"], [""], ["c:d"], False, ([("a:b", ("wsgi",)), ("c:d", ("asgi",))], ["/"])),
        (["/"], ["a:b", "c:d"], [], False, ([("a:b", ("wsgi",)), ("c:d", ("wsgi",))], ["/"])),
    ],
)
def test_which_doors_are_meant(
    words: list[str], wsgi: list[str], asgi: list[str], both: bool, expected: object
) -> None:
    assert tracing.doors(words, wsgi, asgi, both) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("GET", "/")),
        (["/a"], ("GET", "/a")),
        (["*"], ("GET", "*")),
        (["PUT"], ("PUT", "/")),
        (["PUT", "/a"], ("PUT", "/a")),
    ],
)
def test_which_request_is_meant(words: list[str], expected: tuple[str, str]) -> None:
    assert tracing.line(words, "GET") == expected


def test_each_line_of_a_trace_is_json(type_: Type) -> None:
    result = type_("trace", "flask_site:app", "--json", "-")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert records[0]["format"] == "microweb-trace"
    assert {record["record"] for record in records[1:]} == {"event", "provenance"}
