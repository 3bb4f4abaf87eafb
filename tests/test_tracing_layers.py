"""The layers: from the real stack at a handler, wherever it runs, to the picture of them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import http.client
import io
import json
import subprocess
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults

import pytest
from rich.cells import cell_len
from rich.console import Console

from microweb.tracing.asgi import RecordedASGI
from microweb.tracing.format import Event, Protocol, Run, Trace
from microweb.tracing.layers import packages, watch
from microweb.tracing.layers.places import stack_of
from microweb.tracing.layers.tower import bands_of, most_telling, relations
from microweb.tracing.layers.view import show_layers
from microweb.tracing.layers.watch import watched
from microweb.tracing.recorder import Recorder
from microweb.tracing.wsgi import RecordedWSGI

Stack = dict[str, Any]
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def profiler() -> Iterator[None]:
    """Whoever profiles the tests goes on doing so; in between nobody does."""
    before, before_threads = sys.getprofile(), threading.getprofile()
    sys.setprofile(None)
    threading.setprofile(None)
    yield
    watch.PLACE.set(None)
    sys.setprofile(before)
    threading.setprofile(before_threads)


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a source as a module of yours."""
    names: list[str] = []

    def write(source: str) -> ModuleType:
        name = f"shop{len(names)}"
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        module = ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module
        names.append(name)
        exec(compile(source, path, "exec"), module.__dict__)
        return module

    yield write
    for name in names:
        del sys.modules[name]


# --- a tiny server, and its recorder -----------------------------------------------------------


def through_wsgi(app: Any, path: str) -> list[Stack]:
    """The stacks of a request through WSGI."""
    recorded, events = recorder(RecordedWSGI, app, "wsgi")
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    iterable = recorded(environ, lambda status, headers, exc_info=None: io.BytesIO().write)
    try:
        b"".join(iterable)
    finally:
        getattr(iterable, "close", lambda: None)()
    return stacks(events)


def through_asgi(app: Any, path: str, query: bytes = b"", body: bytes = b"") -> list[Stack]:
    """The stacks of a request through ASGI; its body takes a while to come."""
    recorded, events = recorder(RecordedASGI, app, "asgi")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST" if body else "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"shop"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 4711),
        "server": ("127.0.0.1", 80),
    }
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.001)
        if message := next(messages, None):
            return message
        return await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    asyncio.run(recorded(scope, receive, send))
    return stacks(events)


def recorder(kind: Any, app: Any, protocol: Protocol) -> tuple[Any, list[Event]]:
    """A recorder as `microweb.tracing.recorded` makes it, and where its events are put."""
    events: list[Event] = []
    made = kind(app, events.append)
    made.app = watched(made.app, protocol, functools.partial(tell, made.recorder))
    return made, events


def tell(to: Recorder, native: dict[str, Any], stack: Stack) -> None:
    """What `microweb.tracing.recorded` does with a stack."""
    to.tell(native, "stack", stack)


def stacks(events: list[Event]) -> list[Stack]:
    """Those among the events, without those at the callables of this little server."""
    found = [each.data for each in events if each.kind == "stack"]
    return [stack for stack in found if stack["frames"][-1]["file"] != __file__]


def told(found: list[Stack]) -> Stack:
    """The most telling one."""
    stack = most_telling(found)
    assert stack is not None
    return dict(stack)


def inside(stack: Stack) -> list[str]:
    """The packages between the seam and your code, in turn."""
    bands = [each for each in bands_of(stack) if each.role != "server" and not each.is_python]
    return [package for package, _ in groupby(each.package for each in bands)]


def handler(stack: Stack) -> str:
    """The function of yours that was called."""
    return str(stack["frames"][-1]["function"]).rpartition(".")[2]


# --- frameworks --------------------------------------------------------------------------------


def test_flask_calls_your_code_and_has_called_werkzeug() -> None:
    from .foreign.flask_app import app

    stack = told(through_wsgi(app, "/json"))
    assert (inside(stack), handler(stack)) == (["Flask", "you"], "as_json")
    passed = {each["package"]: each for each in stack["on_the_way"]}
    assert passed["Werkzeug"]["by"] == ["Flask"]
    assert passed["Werkzeug"]["into"]["function"].startswith("werkzeug.routing.")
    assert 1 < passed["Werkzeug"]["into"]["calls"] < passed["Werkzeug"]["calls"]
    assert "Flask" not in passed


def test_bottle_is_alone() -> None:
    from .foreign.bottle_app import app

    stack = told(through_wsgi(app, "/json"))
    assert (inside(stack), handler(stack)) == (["bottle", "you"], "as_json")
    assert stack["on_the_way"] == []


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("/json", "as_json", ["starlette", "you"]),
        ("/search", "search", ["starlette", "anyio", "you"]),  # plain: in a thread of anyio's
    ],
)
def test_starlette(path: str, name: str, expected: list[str]) -> None:
    from .foreign.starlette_app import app

    stack = told(through_asgi(app, path, b"q=a&tag=b"))
    assert (inside(stack), handler(stack)) == (expected, name)


@pytest.mark.parametrize(
    ("path", "name", "is_plain"), [("/json", "as_json", 0), ("/text", "text", 1)]
)
def test_fastapi_and_starlette_call_each_other(path: str, name: str, is_plain: int) -> None:
    from .foreign.fastapi_app import app

    stack = told(through_asgi(app, path))
    names = inside(stack)
    assert (names[0], names[1], names[-1], handler(stack)) == ("fastapi", "starlette", "you", name)
    assert ("anyio" in names) == is_plain
    pairs = relations(bands_of(stack))
    assert {("fastapi", "starlette"), ("starlette", "fastapi")} <= set(pairs)


FASTAPI_WITH_A_LAYER = """
from fastapi import Depends, FastAPI
app = FastAPI()

@app.middleware("http")
async def layer(request, call_next):
    return await call_next(request)

def who():
    return "me"

@app.get("/plain")
def plain(name: str = Depends(who)): return name

@app.get("/async")
async def asynchronous(): return 1
"""


@pytest.mark.parametrize(("path", "name"), [("/plain", "plain"), ("/async", "asynchronous")])
def test_a_layer_that_runs_the_rest_in_a_task_of_its_own(
    written: Callable[[str], ModuleType], path: str, name: str
) -> None:
    stack = told(through_asgi(written(FASTAPI_WITH_A_LAYER).app, path))
    functions = [each["function"] for each in stack["frames"]]
    assert handler(stack) == name
    assert functions.index("layer") < functions.index("run_endpoint_function")
    assert functions.count("run_endpoint_function") == 1


def test_a_task_that_was_suspended_adds_no_loop_below_the_seam(
    written: Callable[[str], ModuleType],
) -> None:
    # The body comes late, and other frames of the loop's than before resume the task.
    found = through_asgi(written(FASTAPI_WITH_A_BODY).app, "/item", body=b"{}")
    bands = [each for each in bands_of(told(found)) if each.role != "server"]
    assert (bands[0].package, handler(told(found))) == ("fastapi", "item")
    modules = [frame["module"] for band in bands for frame in band.frames]
    assert not any(module.startswith("asyncio.") for module in modules)


FASTAPI_WITH_A_BODY = """
from fastapi import FastAPI
app = FastAPI()

@app.post("/item")
async def item(body: dict): return body
"""


# --- microweb ----------------------------------------------------------------------------------

MICROWEB = """
from microweb import App
app, layered = App(), App()

@layered.middleware
async def layer(request, call_next):
    return await call_next(request)

for each in app, layered:
    @each.get("/plain")
    def plain(request): return "plain"

    @each.get("/async")
    async def asynchronous(request): return "async"

    @each.get("/pieces")
    def pieces(request):
        yield "piece"
"""


PATHS = [("/plain", "plain"), ("/async", "asynchronous"), ("/pieces", "pieces")]
ONE, TWO = ["microweb", "you"], ["microweb", "you", "microweb", "you"]


@pytest.mark.parametrize(("path", "name"), PATHS)
def test_microweb_through_asgi(written: Callable[[str], ModuleType], path: str, name: str) -> None:
    module = written(MICROWEB)
    stack = told(through_asgi(module.app.asgi, path))
    assert (inside(stack), handler(stack)) == (ONE, name)
    stack = told(through_asgi(module.layered.asgi, path))
    # Pieces are made when the layer has returned.
    assert (inside(stack), handler(stack)) == (ONE if name == "pieces" else TWO, name)


# Its loop runs in one thread of a process, which another test may have started before.
SCRIPT = """
import json, runpy, sys
from tests.test_tracing_layers import PATHS, handler, inside, told, through_wsgi
found = runpy.run_path(sys.argv[1])
for app in found["app"], found["layered"]:
    each = [told(through_wsgi(app.wsgi, path)) for path, _ in PATHS]
    print(json.dumps([[inside(stack), handler(stack)] for stack in each]))
"""


def test_microweb_through_wsgi(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(MICROWEB)
    words = [sys.executable, "-c", SCRIPT, str(tmp_path / "shop.py")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    bare, layered = map(json.loads, done.stdout.splitlines())
    assert bare == [[ONE, name] for _, name in PATHS]
    # Plain code is called back into the server's thread, which waits for the loop meanwhile.
    assert layered[:2] == [[TWO, name] for _, name in PATHS[:2]]


# --- what is seen, and what is not ---------------------------------------------------------------


def test_a_real_server_in_a_thread_of_its_own() -> None:
    from .foreign.flask_app import app

    class Silent(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    recorded, events = recorder(RecordedWSGI, app, "wsgi")
    with make_server("127.0.0.1", 0, recorded, handler_class=Silent) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
        client.request("GET", "/json")
        assert client.getresponse().status == 200
        client.close()
        thread.join(5)
    stack = told(stacks(events))
    modules = [each["module"] for each in stack["frames"]]
    assert modules[stack["seam"] - 1 : stack["seam"] + 1] == ["wsgiref.handlers", "flask.app"]
    assert not any(module.startswith("microweb.tracing") for module in modules)
    assert inside(stack) == ["Flask", "you"]


def test_a_generator_is_seen_when_the_server_iterates(
    written: Callable[[str], ModuleType],
) -> None:
    source = "def app(environ, start_response):\n  start_response('200 OK', [])\n  yield b'x'\n"
    found = through_wsgi(written(source).app, "/")
    assert [(inside(stack), handler(stack)) for stack in found] == [(["you"], "app")]


def test_the_lifespan_is_no_way_to_a_handler(written: Callable[[str], ModuleType]) -> None:
    app = written("def mine(): pass\nasync def app(scope, receive, send): mine()").app
    recorded, events = recorder(RecordedASGI, app, "asgi")
    asyncio.run(recorded({"type": "lifespan"}, None, None))
    assert stacks(events) == []
    asyncio.run(recorded({"type": "http"}, None, None))
    assert [handler(stack) for stack in stacks(events)] == ["app", "mine"]


FLASK_WITH_HOOKS = """
import sys
from flask import Flask, render_template
from jinja2 import FileSystemLoader
app = Flask(__name__)
app.jinja_loader = FileSystemLoader(__file__.rpartition("/")[0])

@app.before_request
def before(): pass

@app.get("/page")
def page(): return render_template("page.html", name=helper())

def helper(): return "me"

@app.get("/late")
def late():
    import late_import
    return "x"
"""


def test_hooks_templates_helpers_and_imports_are_no_handlers(
    written: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late_import.py").write_text("def used(): pass\nused()")
    (tmp_path / "page.html").write_text("{{ name }}")
    app = written(FLASK_WITH_HOOKS).app
    found = through_wsgi(app, "/page")
    assert [handler(stack) for stack in found] == ["before", "page", "helper"]
    assert handler(told(found)) == "page"
    found = through_wsgi(app, "/late")
    assert [handler(stack) for stack in found] == ["before", "late"]


BY_HAND = """
import sys
from fastapi import FastAPI
from flask import Flask
flask, fastapi = Flask(__name__), FastAPI()

@fastapi.middleware("http")
async def layer(request, call_next):
    look(sys._getframe())
    return await call_next(request)

@flask.get("/")
@fastapi.get("/")
def mine():
    look(sys._getframe())
    return "x"
"""


@pytest.mark.parametrize(("name", "drive"), [("flask", through_wsgi), ("fastapi", through_asgi)])
def test_what_the_profiler_does_by_hand(
    written: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    drive: Callable[[Any, str], list[Stack]],
) -> None:
    # Where the interpreter calls a profiler it traces nothing, and no coverage is measured.
    def look(frame: FrameType) -> None:
        for each in stack_of(frame):
            watch._profile(each, "call", None)

    monkeypatch.setattr(watch, "begin", lambda: None)
    module = written(BY_HAND)
    module.__dict__["look"] = look
    stack = told(drive(getattr(module, name), "/"))
    assert (handler(stack), inside(stack)[-1]) == ("mine", "you")
    assert name in inside(stack)[0].lower()


def test_what_goes_wrong_in_here_does_not_reach_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError

    called = watched(lambda environ, start_response: [b"x"], "wsgi", fail)
    assert called({}, None) == [b"x"]
    monkeypatch.setattr(watch, "package_of", fail)
    assert called({}, None) == [b"x"]


def test_a_profiler_of_the_application_is_left_alone() -> None:
    def own(*arguments: Any) -> None:
        pass

    sys.setprofile(own)
    called = watched(lambda environ, start_response: [b"x"], "wsgi", lambda *_: None)
    called({}, None)
    watch.end()
    assert sys.getprofile() is own
    assert threading.getprofile() is None


def test_nothing_of_the_server_is_held_when_the_application_has_returned() -> None:
    kept = []

    class Socket:
        pass

    def app(environ: Any, start_response: Any) -> list[bytes]:
        kept.append(contextvars.copy_context())
        return [b""]

    def serve() -> weakref.ref[Socket]:
        socket = Socket()
        watched(app, "wsgi", lambda *_: None)({}, None)
        return weakref.ref(socket)

    assert serve()() is None
    assert kept


def test_only_so_many_functions_are_looked_at(
    written: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_STACKS", 3)
    source = "\n".join(f"def f{number}(): pass" for number in range(9))
    calls = "; ".join(f"f{number}()" for number in range(9))
    app = written(f"{source}\ndef app(environ, start):\n  start('200 OK', []); {calls}; return []")
    found = through_wsgi(app.app, "/")
    assert [handler(stack) for stack in found] == ["app", "f0"]  # and start_response


# --- packages, and the rule ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "package"),
    [
        (f"{ROOT}/microweb/app.py", "microweb"),
        (f"{ROOT}/microweb/demo/site.py", "you"),
        (f"{ROOT}/microweb_shop/app.py", "you"),
        (threading.__file__, "python"),
        ("<frozen runpy>", "python"),
        ("<string>", "python"),
        (pytest.__file__, "pytest"),
        ("/usr/lib/python3/dist-packages/unheard_of/app.py", "unheard_of"),
        (f"{Path(threading.__file__).parent}/site-packages/unheard_of.py", "unheard_of"),
        (f"{sysconfig.get_path('scripts')}/bottle.py", "bottle"),
        (__file__, "you"),
    ],
)
def test_whose_a_file_is(file: str, package: str) -> None:
    assert packages.package_of(file) == package


def made(turns: str, seam: int = 1) -> Stack:
    """A stack by hand: s server, f and g framework, p python, y you."""
    names = {"s": "gunicorn", "f": "Flask", "g": "Werkzeug", "p": "python", "y": "you"}
    frames = [
        {
            "module": f"{names[each]}.app",
            "file": f"/shop/site-packages/{names[each]}/app.py",
            "line": line,
            "function": f"{each}{line}",
            "package": names[each],
            "version": "" if each == "y" else "1.0",
        }
        for line, each in enumerate(turns)
    ]
    return {"frames": frames, "seam": seam, "on_the_way": []}


@pytest.mark.parametrize(
    ("stacks", "chosen"),
    [
        (["sfy", "sfgfy"], 1),  # the most packages in turn
        (["sfgy", "sffffy"], 0),
        (["sfpfpfpfy", "sfyfy"], 1),  # Python in between makes no others of them
        (["sfy", "sfyffy"], 1),  # a layer, and what it is around
        (["sfy", "sffy"], 1),  # a hook, and a handler
        (["sfffy", "sfffy"], 1),  # called as deep: what comes last
        (["sfy", "sfyy", "sfyyy"], 0),  # what it calls is its own affair
    ],
)
def test_which_stack_tells_most(stacks: list[str], chosen: int) -> None:
    found = [made(turns) for turns in stacks]
    assert most_telling(found) is found[chosen]
    assert most_telling([]) is None


def test_a_script_of_yours_that_runs_the_server_is_on_its_side() -> None:
    bands = bands_of(made("ysfy", seam=2))
    assert [each.role for each in bands] == ["server", "server", "framework", "you"]
    assert relations(bands) == [("gunicorn", "Flask"), ("Flask", "you")]


# --- the picture ---------------------------------------------------------------------------------


def drawn(*found: Stack, protocol: Protocol = "wsgi", encoding: str = "utf-8") -> str:
    """The picture of some stacks at 80 columns."""
    events = [Event(0, "seam", "in", "stack", each, exchange=1) for each in found]
    trace = Trace([Run(protocol, "gunicorn 27.0.1", "shop:app")], events)
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    show_layers(trace, Console(file=file, width=80))
    file.seek(0)
    text = file.read()
    assert max(map(cell_len, text.split("\n"))) <= 80
    return text


def test_the_line_that_says_it_all_comes_first() -> None:
    from .foreign.flask_app import app

    text = drawn(*through_wsgi(app, "/json"))
    first = text.strip().split("\n")[0]
    assert first.startswith("WSGI: gunicorn 27.0.1 ┃ Flask ")
    assert first.endswith(" │ your code (flask_app.py)")
    assert "━━ app(environ, start_response) ━" in text
    assert "\nFlask also called Werkzeug " in text


def test_many_frames_are_left_out_of_the_middle() -> None:
    text = drawn(made("sfffffy"))
    assert [f"f{number} " in text for number in range(1, 6)] == [True, True, False, False, True]
    assert "... 2 more" in text


def test_all_of_your_functions_are_told_where_the_tower_has_not_all() -> None:
    assert "Called as well" not in drawn(made("sfy"))
    text = " ".join(drawn(made("sfy"), made("sffy")).split())
    assert text.endswith("Called as well, of your functions: y2 (app.py:2).")
    many = [made("s" + "f" * each + "y") for each in range(1, 10)]
    assert " and 4 more." in " ".join(drawn(*many).split())


def test_what_has_returned_is_told_by_how_often_it_was_called() -> None:
    stack = made("sfy")
    for number in (1, 7):
        stack["on_the_way"].append(
            {
                "package": f"p{number}",
                "version": "1",
                "calls": number,
                "last": "p.f",
                "by": ["you", "Flask"][: number - 1],
                "into": {"function": "p.f", "calls": min(number, 6)},
            }
        )
    text = " ".join(drawn(stack).split())
    assert "your code and Flask also called p7 1, which has returned: 7 calls, 6 of them" in text
    assert "p1 1 was called too, and has returned: 1 call, for p.f." in text


def test_a_place_that_does_not_fit_keeps_its_line() -> None:
    stack = made("sfy")
    stack["frames"][1]["function"] = "a_function_with_a_name_of_forty_six_characters_"
    stack["frames"][1]["file"] = "/x/site-packages/flask/a_rather_long_folder/app.py"
    assert "characters_  app.py:1\n" in drawn(stack)


def test_where_nothing_was_called_it_says_what_to_do() -> None:
    text = " ".join(drawn().split())
    assert "WSGI: gunicorn 27.0.1 ┃ ? No function of yours was called" in text
    assert text.endswith("Name a path for which you have a handler.")


def test_plain_ascii_and_nothing_that_a_terminal_obeys() -> None:
    stack = made("sfy")
    stack["frames"][1]["function"] = "[bold]größe\x1b[31m你好"
    text = drawn(stack, protocol="asgi", encoding="ascii")
    assert "== await app(scope, receive, send) ==" in text
    assert "[bold]gr\\xf6\\xdfe\\x1b[31m" in text
    assert "\x1b" not in drawn(stack)


def test_the_command_under_a_real_server() -> None:
    words = ["-m", "microweb", "layers", "--wsgi", "tests.foreign.flask_app:app", "GET", "/json"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, timeout=30, check=True
    )
    lines = done.stdout.decode().splitlines()
    assert lines[1].startswith("WSGI: gunicorn ")
    assert "gunicorn calls Flask and Flask calls your code." in lines
