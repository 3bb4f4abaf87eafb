"""The page of App(debug=True): what it shows of an error, where it cuts, and what it never does."""

from __future__ import annotations

import ast
import asyncio
import linecache
import logging
import re
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import microweb
from microweb import App, Request

SECRET = "what-the-variable-holds"


class Page:
    """A response, its headers by lower-case name, and for text: the groups as (side, names)."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode()

    @property
    def groups(self) -> list[tuple[str, list[str]]]:
        groups: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if side := re.match(r"-- (\w+) side: ", line):
                groups.append((side[1], []))
            elif line.startswith("===="):
                groups.append(("seam", []))
            elif (call := re.match(r"  (\S+)  \(", line)) and groups:
                groups[-1][1].append(call[1].rpartition(".")[2])
        return groups

    @property
    def sides(self) -> list[str]:
        return [side for side, _ in self.groups]


Get = Callable[..., Page]


def get_through_wsgi(app: App, path: str = "/", accept: str = "*/*") -> Page:
    answer: list[Any] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path.encode().decode("latin-1"),
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_ACCEPT": accept,
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
    }
    chunks = app.wsgi(environ, lambda status, headers: answer.extend((status, headers)))
    return Page(int(answer[0][:3]), dict(answer[1]), b"".join(chunks))


def get_through_asgi(app: App, path: str = "/", accept: str = "*/*") -> Page:
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "http_version": "1.1",
        "headers": [(b"accept", accept.encode())],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def server() -> None:
        await app.asgi(scope, receive, send)

    asyncio.run(server())
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Page(sent[0]["status"], headers, sent[1]["body"])


@pytest.fixture(params=[get_through_wsgi, get_through_asgi], ids=["wsgi", "asgi"])
def get(request: pytest.FixtureRequest) -> Get:
    door: Get = request.param
    return door


@pytest.fixture
def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """For errors that `logging` itself cannot print, which pytest would not forgive it."""
    monkeypatch.setattr(logging.getLogger("microweb"), "disabled", True)


def app_of(handler: Callable[..., Any], path: str = "/", debug: bool = True) -> App:
    app = App(debug=debug)
    app.get(path)(handler)
    return app


def divide(number: int) -> float:
    secret = SECRET
    return number / (len(secret) - len(SECRET))


def plain(request: Request) -> str:
    return str(divide(1))


async def awaiting(request: Request) -> str:
    await asyncio.sleep(0)
    return str(divide(1))


@pytest.mark.parametrize("handler", [plain, awaiting])
def test_three_groups_in_the_order_of_the_calls(get: Get, handler: Callable[..., Any]) -> None:
    page = get(app_of(handler))
    assert page.sides == ["server", "seam", "framework", "handler"]
    (_, server), _, (_, framework), (_, handlers) = page.groups
    assert server[-1] in ("get_through_wsgi", "server")
    assert framework[0] == "__call__"
    assert "dispatch" in framework
    assert not {"fail", "debug_page", "answer"} & set(framework)
    assert handlers == [handler.__name__, "divide"]


def test_the_seam_is_spelled_as_each_specification_spells_it() -> None:
    assert "seam: app(environ, start_response)" in get_through_wsgi(app_of(plain)).text
    assert "seam: await app(scope, receive, send)" in get_through_asgi(app_of(plain)).text


@pytest.mark.parametrize("handler", [plain, awaiting])
def test_under_async_layers_the_waiting_thread_of_the_server_is_shown(
    get: Get, handler: Callable[..., Any]
) -> None:
    app = app_of(handler)

    @app.middleware
    async def owner(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
        return await call_next(request)

    page = get(app)
    assert page.sides == ["server", "seam", "framework", "handler", "framework", "handler"]
    assert page.groups[0][1][-1] in ("get_through_wsgi", "server")
    assert page.text.count("... on in another thread ...") == (get is get_through_wsgi)
    assert page.groups[3][1] == ["owner"]
    assert page.groups[5][1] == [handler.__name__, "divide"]


def test_a_layer_that_the_error_only_passed_is_left_out(get: Get) -> None:
    app = app_of(plain)

    @app.middleware
    def layer(request: Request) -> Iterator[None]:
        try:
            yield
        except ZeroDivisionError as error:
            raise error

    page = get(app)
    assert page.sides == ["server", "seam", "framework", "handler"]
    assert page.groups[3][1] == ["plain", "divide"]


def test_the_standard_library_is_on_the_side_of_its_caller(get: Get) -> None:
    def handler(request: Request) -> str:
        return textwrap.fill("text", width=0)

    def unfit(request: Request) -> dict[str, object]:
        return {"a": object()}

    groups = get(app_of(handler)).groups
    assert groups[-1] == ("handler", ["handler", "fill", "fill", "wrap", "_wrap_chunks"])
    # The handler has returned: json was called by the framework.
    assert get(app_of(unfit)).sides == ["server", "seam", "framework"]


def test_a_lifespan_that_fails_is_shown_too(get: Get) -> None:
    app = app_of(plain)

    @app.lifespan
    async def life(app: App) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    page = get(app)
    assert page.status == 500
    assert "LookupError: no database" in page.text
    assert page.groups[-1] == ("handler", ["life"])


def test_facts_of_the_request_and_of_each_call(get: Get) -> None:
    page = get(app_of(plain))
    door = "wsgi" if get is get_through_wsgi else "asgi"
    assert page.text.startswith(f"500 GET / through app.{door}\n")
    assert "ZeroDivisionError: division by zero" in page.text
    line = divide.__code__.co_firstlineno + 2
    assert f"  divide  ({__file__}:{line})\n" in page.text
    failing = (
        f"    >  {line:4}  "[:-7] + f"{line:4}      return number / (len(secret) - len(SECRET))"
    )
    assert failing in page.text
    assert "    secret = SECRET" in page.text
    assert "App(debug=True), which must never be on in public" in page.text


def test_no_variable_is_shown(get: Get) -> None:
    for accept in ("text/html", "*/*"):
        assert SECRET not in get(app_of(plain), accept=accept).text


def test_the_failing_columns_are_marked(get: Get) -> None:
    def ünïcödé(request: Request) -> str:
        return "größe" + str(divide(1))

    lines = get(app_of(ünïcödé)).text.splitlines()
    index = next(i for i, line in enumerate(lines) if 'return "größe"' in line)
    begin = lines[index].index("divide(1)")
    assert lines[index + 1] == " " * begin + "^" * len("divide(1)")
    html = get(app_of(ünïcödé), accept="text/html").text
    assert "str(<mark>divide(1)</mark>)" in html


def test_html_or_text_as_accept_says(get: Get) -> None:
    app = app_of(plain)
    assert get(app).headers["content-type"] == "text/plain; charset=utf-8"
    page = get(app, accept="text/html,application/xhtml+xml;q=0.9")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    order = [page.text.index(f"<section class={side}>") for side in ("server", "framework")]
    order.insert(1, page.text.index("<p class=seam>"))
    assert order == sorted(order)


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_neither_kept_nor_allowed_to_run_anything(get: Get, accept: str) -> None:
    page = get(app_of(plain), accept=accept)
    assert page.status == 500
    assert page.headers["cache-control"] == "no-store"
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert page.headers["content-security-policy"] == policy
    assert page.headers["x-content-type-options"] == "nosniff"
    if accept == "text/html":
        assert not re.search("<(script|form|input|button|a|img|iframe|link)\\b", page.text)


def test_everything_is_escaped(get: Get) -> None:
    attack = "<script>alert('1')</script>"

    def handler(request: Request, name: str) -> str:
        error = ValueError(f"{attack} {name}")
        error.add_note("<b>note</b>")
        raise error

    page = get(app_of(handler, "/{name:path}"), path=f"/{attack}", accept="text/html")
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in page.text
    assert "&lt;b&gt;note&lt;/b&gt;" in page.text
    assert "<script" not in page.text
    assert "<b>note" not in page.text


def test_control_characters_reach_no_terminal(get: Get) -> None:
    def handler(request: Request, name: str) -> str:
        raise ValueError(f"\x1b[31m\x00\r\u202e\ud800 {name}")

    page = get(app_of(handler, "/{name:path}"), path="/\x1b[2J\n-- server side: forged")
    assert "ValueError: \\x1b[31m\\x00\\r\\u202e\\ud800" in page.text
    assert page.text.startswith("500 GET /\\x1b[2J\\n-- server")


def test_causes_are_shown_and_suppressed_ones_are_not(get: Get) -> None:
    def caused(request: Request) -> str:
        try:
            return plain(request)
        except ZeroDivisionError as error:
            raise LookupError("after") from error

    def handling(request: Request) -> str:
        try:
            return plain(request)
        except ZeroDivisionError:
            raise LookupError("after")  # noqa: B904

    def suppressed(request: Request) -> str:
        try:
            return plain(request)
        except ZeroDivisionError:
            raise LookupError("after") from None

    page = get(app_of(caused))
    assert page.text.index("LookupError: after") < page.text.index("\ncaused by\n")
    assert page.groups[-2:] == [("handler", ["caused"]), ("handler", ["caused", "plain", "divide"])]
    assert "\nraised while handling\n" in get(app_of(handling)).text
    assert get(app_of(suppressed)).sides.count("handler") == 1


def test_members_of_a_group_are_shown(get: Get) -> None:
    async def handler(request: Request) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(awaiting(request))

    text = get(app_of(handler)).text
    assert "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)" in text
    assert "\na member of the group\n\nZeroDivisionError: division by zero\n" in text


def test_long_chains_and_circles_end(get: Get) -> None:
    def chain(request: Request) -> None:
        error = ValueError("number 0")
        for number in range(1, 1000):
            later = ValueError(f"number {number}")
            later.__cause__ = error
            error = later
        raise error

    def circle(request: Request) -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    text = get(app_of(chain)).text
    assert "... 994 more errors ..." in text
    assert text.count("\ncaused by\n") == 5
    assert "ValueError: number 0\n" in text
    assert get(app_of(circle)).text.count("ValueError: second\n") == 1


def test_deep_recursion_is_cut_in_the_middle(get: Get) -> None:
    def deeper(request: Request) -> Any:
        return deeper(request)

    page = get(app_of(deeper), accept="text/html")
    assert len(page.text) < 100_000
    text = get(app_of(deeper))
    assert re.search(r"\.\.\. \d{3} more calls \.\.\.", text.text)
    assert text.sides == ["server", "seam", "framework", "handler"]
    assert text.groups[3][1] == ["deeper"] * 20


def test_many_changes_of_side_are_cut(get: Get) -> None:
    app = App(debug=True)

    def again(request: Request, left: int) -> str:
        if left:
            get_through_wsgi(app, f"/{left - 1}")
        raise ValueError(left)

    app.get("/{left:int}")(again)
    assert len(get_through_wsgi(app, "/20").sides) < 20


def test_a_huge_message_is_cut(get: Get) -> None:
    def handler(request: Request) -> None:
        raise ValueError("x" * 1_000_000)

    text = get(app_of(handler)).text
    assert len(text) < 50_000
    assert "x ... and 998,000 more characters" in text


def test_an_error_that_cannot_be_printed_is_shown_all_the_same(get: Get) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even that")

        __repr__ = __str__

    def handler(request: Request) -> None:
        raise MuteError

    page = get(app_of(handler))
    assert page.status == 500
    assert "MuteError: (str() of this error failed)" in page.text
    assert page.groups[-1] == ("handler", ["handler"])


@pytest.mark.parametrize("file", ["<string>", "/no/such/file.py", "", __file__])
def test_source_that_cannot_be_read_is_left_out(get: Get, file: str) -> None:
    names: dict[str, Any] = {}
    lines = "\n" * 100_000  # longer than any file that it may claim to be
    exec(compile(f"{lines}def handler(request): 1 / 0", file, "exec"), names)
    page = get(app_of(names["handler"]))
    assert page.status == 500
    assert page.groups[-1] == ("handler", ["handler"])
    assert "1 / 0" not in page.text


def test_code_without_columns_has_its_line_and_no_mark(get: Get) -> None:
    tree = ast.parse("def handler(request): 1 / 0")
    for node in ast.walk(tree):
        if isinstance(node, (ast.expr, ast.stmt)):
            node.col_offset = node.end_col_offset = -1
    names: dict[str, Any] = {}
    exec(compile(tree, __file__, "exec"), names)
    text = get(app_of(names["handler"])).text
    assert f"    >    1  {linecache.getline(__file__, 1)}" in text
    assert "^^" not in text


@pytest.mark.usefixtures("unlogged")
def test_a_loader_that_fails_breaks_nothing(get: Get) -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError("no source today")

    names = {"__name__": "strange", "__loader__": Loader()}
    exec(compile("def handler(request): 1 / 0", "strange.py", "exec"), names)
    assert "ZeroDivisionError" in get(app_of(names["handler"])).text  # type: ignore[arg-type]


def test_without_debug_the_client_sees_nothing_of_it(get: Get) -> None:
    for accept in ("text/html", "*/*"):
        page = get(app_of(plain, debug=False), accept=accept)
        assert page.status == 500
        assert "Internal Server Error" in page.text
        for trace in ("ZeroDivisionError", "division", __file__, "plain", SECRET, "handler"):
            assert trace not in page.text


def test_what_starts_a_server_is_on_its_side() -> None:
    # `python -m microweb` starts a server: its files are in the package, above the seam.
    package = Path(microweb.__file__).parent
    for file in ("__main__.py", "cli/run.py", "run.py", "testing.py", "demo/site.py", "app.py"):
        assert (package / file).is_file()
        names: dict[str, Any] = {}
        code = "def serve(get, app): return get(app)"
        exec(compile(code, package / file, "exec"), names)
        sides = names["serve"](get_through_wsgi, app_of(plain)).sides
        assert (sides == ["server", "seam", "framework", "handler"]) == (file != "app.py")
