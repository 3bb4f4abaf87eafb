"""Background work: once, after the response, however that ended. (More in test_bridge.py.)"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import pytest

from microweb import App, EventSourceResponse, Request, Response, StreamingResponse

from .conftest import Connect

FORMS = ["plain", "async"]
SECONDS = 20  # until a test that hangs is given up

CallNext = Callable[[Request], Awaitable[Response]]
both_forms = pytest.mark.parametrize("form", FORMS)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


class Ran:
    """Notes what has run, in order."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def background(self, form: str, note: str = "background") -> Callable[[], Any]:
        async def asynchronous() -> None:
            await asyncio.sleep(0)
            self.notes.append(note)

        return asynchronous if form == "async" else partial(self.notes.append, note)

    def chunks(self, form: str) -> Any:
        def plain() -> Iterator[str]:
            try:
                yield from ("a", "b")
            finally:
                self.notes.append("closed")

        async def asynchronous() -> AsyncIterator[str]:
            try:
                for chunk in ("a", "b"):
                    await asyncio.sleep(0)
                    yield chunk
            finally:
                self.notes.append("closed")

        return plain() if form == "plain" else asynchronous()


RESPONSES: dict[str, Callable[..., Response]] = {
    "stream": lambda chunks, background: StreamingResponse(chunks, background=background),
    "stream of no body": lambda chunks, background: StreamingResponse(
        chunks, 304, background=background
    ),
    "events": lambda chunks, background: EventSourceResponse(chunks, background=background),
    "events without pings": lambda chunks, background: EventSourceResponse(
        chunks, ping=None, background=background
    ),
}


@both_forms
@pytest.mark.parametrize("chunks_form", FORMS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", RESPONSES)
def test_it_runs_once_after_any_kind_of_stream(
    connect: Connect, kind: str, method: str, chunks_form: str, form: str
) -> None:
    app, ran = App(), Ran()
    app.get("/")(lambda request: RESPONSES[kind](ran.chunks(chunks_form), ran.background(form)))
    response = connect(app).request(method, "/")
    if response.content:
        assert ran.notes == ["closed", "background"]
    else:
        assert ran.notes == ["background"]  # a generator that never started closes nothing


# --- Layers -------------------------------------------------------------------------------


def replacing(app: App, form: str, hand_on: bool) -> None:
    """Add a layer that answers something else instead."""

    def instead_of(response: Response) -> Response:
        return Response("instead", background=response.background if hand_on else None)

    @app.middleware
    def plain(request: Request) -> Any:
        return instead_of((yield))

    @app.middleware
    async def asynchronous(request: Request, call_next: CallNext) -> Response:
        return instead_of(await call_next(request))

    app.layers = [plain if form == "plain" else asynchronous]


@both_forms
@pytest.mark.parametrize("layer_form", FORMS)
@pytest.mark.parametrize("hand_on", [True, False])
def test_what_a_layer_replaces_has_no_background_unless_it_is_handed_on(
    connect: Connect, form: str, layer_form: str, hand_on: bool
) -> None:
    app, ran = App(), Ran()
    replacing(app, layer_form, hand_on)
    app.get("/")(lambda request: Response("first", background=ran.background(form)))
    assert connect(app).get("/").text == "instead"
    assert ran.notes == ["background"] * hand_on


@both_forms
def test_a_layers_own_answer_has_its_own_background(connect: Connect, form: str) -> None:
    app, ran = App(), Ran()

    @app.middleware
    def instead(request: Request) -> Any:
        yield
        return Response("instead", background=ran.background(form, "the layer's"))

    app.get("/")(lambda request: Response("first", background=ran.background(form)))
    assert connect(app).get("/").text == "instead"
    assert ran.notes == ["the layer's"]


def test_a_shared_response_has_its_background_each_time(connect: Connect) -> None:
    app, ran = App(), Ran()
    shared = Response("shared", background=ran.background("plain"))
    app.get("/")(lambda request: shared)
    client = connect(app)
    assert client.get("/").text == client.get("/").text == "shared"
    assert ran.notes == ["background"] * 2


# --- Ends that are no ordinary ones -------------------------------------------------------


class PlainTable:
    """Cannot be iterated: its database is gone."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        raise OSError("no such table")

    def close(self) -> None:
        self.closed += 1


class AsyncTable:
    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[str]:
        raise OSError("no such table")

    async def aclose(self) -> None:
        self.closed += 1


@both_forms
@pytest.mark.parametrize("kind", [PlainTable, AsyncTable])
@pytest.mark.parametrize("response", ["stream", "events", "events without pings"])
def test_it_runs_once_where_the_iterator_does_not_even_begin(
    connect: Connect, form: str, kind: Any, response: str
) -> None:
    app, ran, table = App(), Ran(), kind()
    app.get("/")(lambda request: RESPONSES[response](table, ran.background(form)))
    with suppress(httpx.RemoteProtocolError):  # of a server that has sent the head
        assert connect(app).get("/").status_code == 500
    assert (table.closed, ran.notes) == (1, ["background"])


@both_forms
@pytest.mark.parametrize("kind", [PlainTable, AsyncTable])
def test_head_does_not_begin_the_iterator(connect: Connect, form: str, kind: Any) -> None:
    app, ran, table = App(), Ran(), kind()
    app.get("/")(lambda request: StreamingResponse(table, background=ran.background(form)))
    assert connect(app).head("/").status_code == 200
    assert (table.closed, ran.notes) == (1, ["background"])


def test_a_cancellation_of_its_own_is_an_error_like_any_other(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    async def gives_up() -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        task.cancel()
        await task

    app = App()
    app.get("/")(lambda request: Response("fine", background=gives_up))
    client = connect(app)
    assert client.get("/").text == client.get("/").text == "fine"
    assert len(errors_in(caplog)) == 2
    assert all("gives_up" in message for message in errors_in(caplog))


@both_forms
@pytest.mark.parametrize("fails", [True, False])
def test_a_request_that_its_server_cancels_has_its_background(
    form: str, fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app, ran = App(), Ran()
    sending = asyncio.Event()

    def explode() -> None:
        ran.notes.append("background")
        raise RuntimeError("boom")

    background = explode if fails else ran.background("async")
    app.get("/")(lambda request: StreamingResponse(ran.chunks(form), background=background))
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            sending.set()
            await never()

    async def main() -> None:
        async with asyncio.timeout(SECONDS):
            request = asyncio.create_task(app.asgi(scope, never, send))
            await sending.wait()
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request

    asyncio.run(main())
    assert ran.notes == ["closed", "background"]
    assert len(errors_in(caplog)) == fails
