"""What a target names, and what its shape tells of it: of this framework and of others."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import fastapi
import flask
import litestar
import pytest
import starlette.applications
import starlette.endpoints

import microweb.model
from microweb import App, Router
from microweb.recognise import recognise
from microweb.targets import TargetError, load

site = App()


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    pass


def passed_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def to_wsgi(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(environ: Any, start_response: Any) -> Any:
        return function

    return wrapper


class WSGIObject:
    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return []

    def method(self, environ: Any, start_response: Any, exc_info: Any = None) -> Iterable[bytes]:
        return []


class ASGIObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        pass


class WSGIClass:
    def __init__(self, environ: Any, start_response: Any) -> None:
        pass

    def __iter__(self) -> Iterator[bytes]:
        return iter([])


class ASGI2:
    def __init__(self, scope: Any) -> None:
        pass

    async def __call__(self, receive: Any, send: Any) -> None:
        pass


class Silent:
    """A callable as compiled code makes it: it does not tell its signature."""

    __signature__ = "none"

    def __call__(self) -> None:
        pass


def yields(environ: Any, start_response: Any) -> Iterator[bytes]:
    yield b""


def yields_three(scope: Any, receive: Any, send: Any) -> Iterator[bytes]:
    yield b""


async def yields_async(scope: Any, receive: Any, send: Any) -> AsyncIterator[bytes]:
    yield b""


def returns_awaitable(scope: Any, receive: Any, send: Any) -> Awaitable[None]:
    return asgi(scope, receive, send)


def with_defaults(scope: Any, receive: Any = None, send: Any = None) -> Awaitable[None]:
    return asgi(scope, receive, send)


def configured(config: Any, environ: Any, start_response: Any) -> Iterable[bytes]:
    return []


def create(config: str = "") -> App:
    return site


def handler(request: Any, name: str) -> str:
    return name


def anything(*args: Any) -> Any:
    return wsgi(*args)


async def anything_async(*args: Any) -> None:
    pass


async def create_async() -> None:
    pass


async def two(environ: Any, start_response: Any) -> None:
    pass


def old(scope: Any) -> Any:
    return asgi


def with_keyword(environ: Any, start_response: Any, *, config: str) -> Iterable[bytes]:
    return []


ENVIRON, SCOPE = "(environ, start_response)", "(scope, receive, send)"


@pytest.mark.parametrize(
    ("found", "kind", "why"),
    [
        # This framework
        (site, "app", "its doors are .wsgi and .asgi"),
        (site.wsgi, "wsgi", f"a WSGIGateway, the door of an App, callable with {ENVIRON}"),
        (site.asgi, "asgi", f"an ASGIGateway, the door of an App, async callable with {SCOPE}"),
        # Others
        (flask.Flask("x"), "wsgi", f"a Flask object, callable with {ENVIRON}"),
        (import_module("bottle").Bottle(), "wsgi", f"a Bottle object, callable with {ENVIRON}"),
        (falcon.App(), "wsgi", "an App object, callable with (env, start_response)"),
        (falcon.asgi.App(), "asgi", f"an App object, async callable with {SCOPE}"),
        (starlette.applications.Starlette(), "asgi", "a Starlette object"),
        (fastapi.FastAPI(), "asgi", f"a FastAPI object, async callable with {SCOPE}"),
        (fastapi.APIRouter(), "asgi", "an APIRouter object"),
        (litestar.Litestar([], logging_config=None), "asgi", "a Litestar object"),
        (starlette.endpoints.HTTPEndpoint, "asgi", f"a class made with {SCOPE}, and awaited"),
        # Functions
        (wsgi, "wsgi", f"a function with {ENVIRON}"),
        (yields, "wsgi", f"a function with {ENVIRON}"),
        (lambda environ, start_response: [], "wsgi", f"a function with {ENVIRON}"),
        (asgi, "asgi", f"an async function with {SCOPE}"),
        (anything_async, "asgi", "an async function with (*args)"),
        (returns_awaitable, "asgi", "plain, which has to return an awaitable"),
        (with_defaults, "asgi", "plain, which has to return an awaitable"),
        (passed_on(wsgi), "wsgi", f"a function with {ENVIRON}"),
        (passed_on(asgi), "asgi", f"a function with {SCOPE}, plain"),
        (to_wsgi(asgi), "wsgi", f"a function with {ENVIRON}"),
        # Objects, methods, partials, classes
        (WSGIObject(), "wsgi", f"a WSGIObject object, callable with {ENVIRON}"),
        (WSGIObject().method, "wsgi", "a method with (environ, start_response, exc_info)"),
        (ASGIObject(), "asgi", f"an ASGIObject object, async callable with {SCOPE}"),
        (ASGIObject().method, "asgi", f"an async method with {SCOPE}"),
        (functools.partial(configured, {}), "wsgi", f"a partial of a callable, with {ENVIRON}"),
        (functools.partial(asgi), "asgi", f"a partial of an async callable, with {SCOPE}"),
        (WSGIClass, "wsgi", f"a class made with {ENVIRON}, and iterated"),
        # What may be one
        (anything, "unknown", "a function with (*args)"),
        (max, "unknown", "a builtin_function_or_method that does not say what it takes"),
        (Silent(), "unknown", "a Silent that does not say what it takes"),
        # What makes one
        (create, "factory", "with (config). Call it in a file, app = create(), and name that"),
        (lambda: wsgi, "factory", "a function without arguments"),
        # And what is none
        (flask.Flask, "neither", "a class. Make an object of it, and name that: app = Flask(...)"),
        (App, "neither", "a class. Make an object of it, and name that: app = App(...)"),
        (dict, "neither", "a class. Make an object of it"),
        (flask.Blueprint("x", "x"), "neither", "a Blueprint, which cannot be called"),
        (Router(), "neither", "a Router. Mount it in an App"),
        (microweb.model, "neither", "a module. Go on with a name in it: microweb.model:app"),
        ("shop", "neither", "a str, which cannot be called"),
        (404, "neither", "an int, which cannot be called"),
        (None, "neither", "None, as comes of a function that lacks its `return`"),
        (handler, "neither", "a handler. Name the application that calls it"),
        (yields_three, "neither", "a function with (scope, receive, send). WSGI calls with"),
        (yields_async, "neither", "an async generator, which no server calls"),
        (create_async, "neither", "an async function without arguments. If it makes one, await"),
        (two, "neither", "Async code is called as ASGI, (scope, receive, send)"),
        (ASGI2, "neither", "guarantee_single_callable"),
        (old, "neither", "an ASGI 2 application, which takes scope alone"),
        (with_keyword, "neither", "a function with (environ, start_response, *, config)"),
        (str.upper, "neither", "WSGI calls with (environ, start_response), ASGI with"),
    ],
)
def test_a_shape_is_recognised_and_said(found: Any, kind: str, why: str) -> None:
    finding = recognise(found)
    assert finding.kind == kind
    assert why in finding.why


def test_a_proxy_that_cannot_be_looked_at_is_nothing_to_stumble_over() -> None:
    # Outside of a request, whatever is asked of it is a RuntimeError.
    assert recognise(flask.request).why == "a LocalProxy that does not say what it takes"


def test_a_coroutine_is_what_an_async_factory_leaves_behind() -> None:
    coroutine = create_async()
    assert "a coroutine, as an async function was called" in recognise(coroutine).why
    coroutine.close()


def test_a_finding_is_a_sentence() -> None:
    assert recognise("x").sentence("shop:word") == (
        "shop:word is neither a WSGI nor an ASGI application: a str, which cannot be called."
    )


# --- load -------------------------------------------------------------------------------------

SHOP = """
from microweb import App
from flask import request

site = App()
word = "no app"


@site.get("/")
def home(request):
    return "home"


def view(item, more):
    return item
"""
TWO = """
def app(environ, start_response):
    return []


async def application(scope, receive, send):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules, which is the current one."""
    sources = {
        "shop_site": SHOP,
        "two_apps": TWO,
        "broken": "import nothing_of_that_name\n",
        "part_of_name": "import part\n",
        "a_script": "import sys\nsys.exit(3)\n",
        "site": "app = 1\n",
        "nothing_in": "",
        "inner/shelf": TWO,
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_target_is_loaded_through_modules_and_attributes(folder: Path) -> None:
    assert isinstance(load("shop_site:site"), App)
    assert load("shop_site:site.wsgi") is load("shop_site:site").wsgi
    assert load("inner.shelf:app").__name__ == "app"


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        # No attribute
        ("shop_site", "is not module:attribute; did you mean shop_site:site?"),
        ("two_apps", "did you mean two_apps:app or two_apps:application?"),
        ("nothing_in:", "'nothing_in:' is not module:attribute, like wsgi_app:app"),
        (":app", "':app' is not module:attribute"),
        ("a..b:app", "'a..b:app' is not module:attribute"),
        (".shop:app", "'.shop:app' is not module:attribute"),
        # A file
        ("shop_site.py", "write shop_site:app, where app is the name of your application in it"),
        ("shop_site.py:site", "is a file, and a module is wanted: write shop_site:site"),
        ("./inner/shelf.py:app", "write inner.shelf:app"),
        ("inner/shelf:app", "write inner.shelf:app"),
        ("../else/shelf.py:app", "go to its folder (cd ../else), and write shelf:app"),
        ("/nowhere/shelf.py", "go to its folder (cd /nowhere), and write shelf:app"),
        ("inner\\shelf.py:app", "write inner.shelf:app"),
        # A module that is not there
        ("shop_sit:site", "nor among the installed packages; did you mean shop_site?"),
        ("shop_site.sub:site", "no module 'shop_site.sub' in "),
        ("shelf:app", "There is inner/shelf.py: go there first, cd inner"),
        ("a_script:app", "ended the program as it was imported (exit status 3)"),
        # A name that is not in it
        ("shop_site:sight", "shop_site.py); did you mean site?"),
        ("shop_site:app", "shop_site.py); it has site"),
        ("two_apps:shop", "two_apps.py); it has app and application"),
        ("shop_site:vieww", "shop_site.py); it has site"),
        ("nothing_in:app", "there is no 'app' in the module 'nothing_in'"),
        ("sys:app", "there is no 'app' in the module 'sys'"),
        ("site:application", "which stands before your own site.py: give that another name"),
        ("shop_site:site.wsg", "there is no 'wsg' in shop_site:site, an App; did you mean wsgi?"),
        ("shop_site:site.wsgi.x", "there is no 'x' in shop_site:site.wsgi, a WSGIGateway"),
        ("shop_site:make()", "Call it in a file, app = make(), and name what it returned, app"),
    ],
)
def test_a_wrong_target_is_named_with_what_is_there_and_the_mend(
    folder: Path, target: str, complaint: str
) -> None:
    with pytest.raises(TargetError) as raised:
        load(target)
    assert complaint in str(raised.value)


def test_an_absolute_file_in_this_folder_is_seen_from_here(folder: Path) -> None:
    with pytest.raises(TargetError, match=r"write two_apps:app$"):
        load(f"{folder}/two_apps.py:app")


@pytest.mark.parametrize("target", ["broken:app", "part_of_name:app"])
def test_what_the_module_itself_raises_is_its_own(folder: Path, target: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        load(target)
