"""The `microweb` command, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from microweb.cli import main

SHOP = """
from microweb import App

site = App()
word = "no app"


@site.get("/")
def home(request):
    return "home"


@site.route("/items/{id:int}", methods=["GET", "DELETE"], name="item")
def show(request, id):
    return str(id)


def old(environ, start_response):
    return []


wsgi = site.wsgi
asgi = site.asgi
"""


@pytest.fixture(autouse=True)
def _in_a_folder_with_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("shop", None)


def microweb(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="microweb")


def test_routes_tells_of_websockets_and_of_what_is_mounted(tmp_path: Path) -> None:
    more = [
        "@site.websocket('/chat')",
        "async def chat(ws):",
        "    await ws.accept()",
        "site.mount('/old', wsgi=old)",
    ]
    with (tmp_path / "shop.py").open("a") as shop:
        shop.write("\n".join(more))
    assert microweb("routes", "shop:site").stdout.splitlines() == [
        "GET         /                home    home (shop.py:8)",
        "GET DELETE  /items/{id:int}  item    show (shop.py:13)",
        "WEBSOCKET   /chat            chat    chat (shop.py:24)",
        "(all)       /old/...         (wsgi)  old (shop.py:18)",
    ]


@pytest.mark.parametrize("target", ["shop:site", "shop:wsgi", "shop:asgi", "shop:site.wsgi"])
def test_routes_prints_the_route_table_of_an_app_or_a_door(target: str) -> None:
    ran = microweb("routes", target)
    assert ran.exit_code == 0
    assert ran.stdout.splitlines() == [
        "GET         /                home  home (shop.py:8)",
        "GET DELETE  /items/{id:int}  item  show (shop.py:13)",
    ]


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        (
            "shop",
            "not module:attribute; did you mean shop:site, shop:old, shop:wsgi or shop:asgi?",
        ),
        ("shop:", "'shop:' is not module:attribute"),
        ("shopp:site", "no module 'shopp'"),
        ("shop.sub:site", "no module 'shop.sub'"),
        ("shop:sight", "there is no 'sight'"),
        ("shop:word", "only a microweb App has a table of routes that could be printed here."),
        ("shop:word", "shop:word is neither a WSGI nor an ASGI application: a str, which cannot"),
        ("shop:old", "shop:old is a WSGI application: a function with (environ, start_response)."),
    ],
)
def test_a_wrong_target_is_named_with_what_is_wrong(target: str, complaint: str) -> None:
    ran = microweb("routes", target)
    assert ran.exit_code == 2
    assert complaint in ran.stderr


def test_an_error_inside_the_module_is_shown_whole() -> None:
    ran = microweb("routes", "broken:site")
    assert isinstance(ran.exception, ModuleNotFoundError)
    assert ran.exception.name == "nothing_of_that_name"


def test_help_and_version_fit_a_terminal() -> None:
    for command in ([], ["run"], ["routes"], ["doctor"], ["trace"], ["layers"]):
        ran = microweb(*command, "--help")
        assert ran.exit_code == 0
        assert "microweb" in ran.stdout
        assert max(map(len, ran.stdout.splitlines())) <= 80
        assert "..." not in ran.stdout.replace("[ARGS]...", "")
    assert microweb("--version").stdout.startswith("microweb, version ")


def test_the_table_of_routes_is_printed_without_any_server() -> None:
    program = (
        "import sys\n"
        "from microweb.cli import main\n"
        "main(['routes', 'shop:site'], standalone_mode=False)\n"
        "assert not any(name.startswith('microweb.servers') for name in sys.modules)\n"
        "assert not any(name.startswith('microweb.doctor') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)


def test_the_module_is_the_command_too() -> None:
    command = [sys.executable, "-m", "microweb", "routes", "shop:site"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == microweb("routes", "shop:site").stdout
