"""The slips of a beginner: each is told at once what is wrong, where, and how to mend it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from microweb import App, Request, Response, TrustedHostMiddleware, gunicorn_conf
from microweb.testing import TestClient


def home(request: Request) -> str:
    return "home"


def forgets_its_yield(request: Request) -> None: ...


async def is_both(request: Request) -> AsyncIterator[None]:
    yield


async def lacks_call_next(request: Request) -> None: ...


def takes_too_much(request: Request, call_next: Any) -> Iterator[None]:
    yield


SLIPS: list[tuple[Callable[[App], Any], type[Exception], str]] = [
    (
        lambda app: app.get(home),  # type: ignore[arg-type]
        TypeError,
        r'a route needs its path: write @app\.get\("/\.\.\."\) above home \(.*test_slips\.py:\d+\)',
    ),
    (
        lambda app: app.get("/users/<int:id>")(home),
        ValueError,
        r"route '/users/<int:id>': a parameter is written in braces: \{id\}, not <int:id>",
    ),
    (lambda app: app.get("/<x>")(home), ValueError, r"in braces: \{x\}, not <x>"),
    (lambda app: app.middleware(forgets_its_yield), TypeError, "did you forget its yield"),
    (lambda app: app.middleware(TrustedHostMiddleware), TypeError, "a class: add an instance"),
    (lambda app: app.middleware(is_both), TypeError, "as the one or the other, not as both"),
    (
        lambda app: app.middleware(lacks_call_next),
        TypeError,
        r"lacks_call_next .* its parameters should be \(request, call_next\)",
    ),
    (
        lambda app: app.middleware(takes_too_much),
        TypeError,
        r"takes_too_much .* its parameters should be \(request\)",
    ),
    (lambda app: TestClient(app), ValueError, 'name the door, "wsgi" or "asgi"'),
    (lambda app: app.wsgi({}), TypeError, r"an ASGI server needs the other door|app\.asgi"),
]


@pytest.mark.parametrize(("slip", "kind", "words"), SLIPS)
def test_a_slip_is_told_with_its_mend(
    slip: Callable[[App], Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        slip(App())
    assert re.search(words, str(caught.value))


def test_an_app_takes_the_right_forms_all_the_same() -> None:
    app = App()

    @app.middleware
    def generator(request: Request) -> Iterator[None]:
        yield

    @app.middleware
    async def layer(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    app.get("/a<b>c")(home)
    for protocol in ("wsgi", "asgi"):
        assert TestClient(app, protocol).get("/a<b>c").text == "home"


def test_gunicorns_hooks_leave_its_asgi_worker_alone() -> None:
    worker = SimpleNamespace(asgi=App().asgi)
    gunicorn_conf.post_worker_init(worker)
    gunicorn_conf.worker_exit(None, worker)


def test_the_asgi_door_is_told_apart_from_a_plain_callable() -> None:
    # uvicorn and gunicorn recognise ASGI by this.
    assert asyncio.iscoroutinefunction(type(App().asgi).__call__)
