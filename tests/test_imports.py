"""The house has one staircase: which part may import which, held by reading the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import microweb

PACKAGE = Path(microweb.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# All of the package but the servers, and what stands beside the framework.
FRAMEWORK = tuple(
    module
    for module in MODULES
    if module.count(".") == 1
    and module not in ("microweb.servers", "microweb.tracing", "microweb.processes")
)

# module prefix -> the prefixes that it must not import when it runs, wherever the import stands
FORBIDDEN = {
    "microweb.model": (
        "microweb.app",
        "microweb.gateways",
        "microweb.middleware",
        "asyncio",
        "socket",
        "threading",
    ),
    "microweb.paths": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.routing": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.middleware": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.templates": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.static": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.core": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.observing": (
        "microweb.app",
        "microweb.gateways",
        "microweb.tracing",
        "asyncio",
        "socket",
        "threading",
    ),
    "microweb.app": ("microweb.core", "asyncio", "socket", "threading", "concurrent"),
    "microweb.gateways.wsgi": ("microweb.gateways.asgi", "microweb.gateways.threads", "asyncio"),
    "microweb.gateways.asgi": ("microweb.gateways.wsgi", "microweb.gateways.visits"),
    "microweb.gateways.wsgi_request": (
        "microweb.gateways.wsgi",
        "microweb.gateways.asgi",
        "asyncio",
    ),
    "microweb.gateways.asgi_request": ("microweb.gateways.asgi", "microweb.gateways.visits"),
    "microweb.gateways.websocket": ("microweb.gateways.wsgi", "microweb.gateways.visits"),
    "microweb.gateways.conversation": ("microweb.gateways.wsgi", "microweb.gateways.visits"),
    "microweb.mounts": ("microweb.app", "microweb.gateways", "asyncio", "socket", "threading"),
    "microweb.gateways.asgi_in_wsgi": ("microweb.gateways.asgi", "microweb.gateways.threads"),
    "microweb.gateways.wsgi_in_asgi": ("microweb.gateways.wsgi", "microweb.gateways.visits"),
    "microweb.gateways.environ": ("microweb.app", "microweb.gateways.wsgi", "asyncio"),
    "microweb.gateways.errands": ("microweb.app", "microweb.routing", "microweb.gateways.visits"),
    "microweb.gateways.bridge": ("microweb.app", "microweb.routing"),
    "microweb.gateways.visits": ("microweb.app", "microweb.routing", "microweb.gateways.threads"),
    "microweb.gateways.pings": ("microweb.app", "microweb.routing", "microweb.gateways.visits"),
    "microweb.gateways.threads": ("microweb.app", "microweb.routing", "microweb.gateways.visits"),
    # The other side of the boundary knows no framework, and the plain half of it no loop.
    "microweb.servers": FRAMEWORK,
    "microweb.servers.http11": ("asyncio", "socket", "threading"),
    "microweb.servers.wsgi": ("asyncio", "microweb.servers.asgi", "microweb.servers.stream"),
    "microweb.servers.wsgi_call": ("asyncio", "microweb.servers.asgi", "microweb.servers.stream"),
    "microweb.servers.asgi": ("threading", "microweb.servers.wsgi"),
    "microweb.servers.asgi_call": ("threading", "microweb.servers.wsgi"),
    # Who looks at the boundary knows neither side, and a recorder brings no loop with it.
    "microweb.tracing": (*FRAMEWORK, "microweb.servers"),
    "microweb.tracing.recorded": ("asyncio", "rich"),
    "microweb.tracing.recorder": ("asyncio", "socket", "rich"),
    "microweb.tracing.wsgi": ("asyncio", "socket", "rich", "microweb.tracing.asgi"),
    "microweb.tracing.asgi": ("asyncio", "socket", "rich", "microweb.tracing.wsgi"),
    "microweb.processes": (*FRAMEWORK, "microweb.servers", "microweb.tracing"),
}

# The one place where the two doors are hung: lazily, in App.wsgi and App.asgi.
DOORS = {("microweb.app", "microweb.gateways.wsgi"), ("microweb.app", "microweb.gateways.asgi")}


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in running_nodes(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            origin = ".".join(base) if node.level else ""
            found.add(".".join(filter(None, [origin, node.module])))
    return found


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node below but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from running_nodes(node)


def is_below(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above_it(module: str) -> None:
    for prefix, forbidden in FORBIDDEN.items():
        if not is_below(module, prefix):
            continue
        wrong = {
            name
            for name in imports_of(module)
            if any(is_below(name, above) for above in forbidden) and (module, name) not in DOORS
        }
        assert not wrong, f"{module} imports {wrong}"


def test_the_walk_sees_relative_and_nested_imports() -> None:
    assert "microweb.gateways.wsgi" in imports_of("microweb.app")
    assert "microweb.model.headers" in imports_of("microweb.model.cookies")


def test_all_names_are_there_and_sorted() -> None:
    assert sorted(microweb.__all__) == microweb.__all__
    public = {name for name in vars(microweb) if name[0].isupper() and name != "TYPE_CHECKING"}
    assert public - {"Any"} | set(microweb._WHEN_TOUCHED) == set(microweb.__all__)
    assert all(getattr(microweb, name) is not None for name in microweb.__all__)


def test_an_app_of_plain_code_never_imports_asyncio() -> None:
    program = (
        "import sys\n"
        "from microweb import App\n"
        "from wsgiref.util import setup_testing_defaults\n"
        "app = App()\n"
        "app.get('/')(lambda request: 'hello')\n"
        "environ = {}\n"
        "setup_testing_defaults(environ)\n"
        "assert app.wsgi(environ, lambda *_: None) == [b'hello']\n"
        "assert 'asyncio' not in sys.modules, 'asyncio was imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_app_that_nobody_observes_never_imports_what_tells() -> None:
    program = (
        "import sys\n"
        "from microweb import App\n"
        "from microweb.testing import TestClient\n"
        "app = App()\n"
        "app.get('/')(lambda request: 'hello')\n"
        "async def talk(ws): await ws.accept()\n"
        "app.websocket('/talk')(talk)\n"
        "with TestClient(app, 'asgi').websocket_connect('/talk'): pass\n"
        "for protocol in ('wsgi', 'asgi'):\n"
        "    assert TestClient(app, protocol).get('/').text == 'hello'\n"
        "modules = [name for name in sys.modules if name.startswith('microweb.')]\n"
        "assert not [name for name in modules if 'observ' in name], modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
