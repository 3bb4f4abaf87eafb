"""Bodies that are taken as they come: `stream=True` and request.stream, in all four cells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from microweb import App, HTTPException, Request, Response, Router, StreamingResponse
from microweb.gateways.connection import Lookahead
from microweb.model.errors import ClientDisconnect
from microweb.testing import TestClient

from .conftest import Connect, Protocol

CallNext = Callable[[Request], Awaitable[Response]]

app = App(max_body_size=10, max_upload_size=1_000_000)


@app.post("/plain", stream=True)
def plain(request: Request) -> str:
    return ",".join(str(len(piece)) for piece in request.stream)


@app.post("/async", stream=True)
async def asynchronous(request: Request) -> str:
    return ",".join([str(len(piece)) async for piece in request.stream])


@app.route("/count", methods=["GET", "POST"], stream=True)
def count(request: Request) -> dict[str, int]:
    return {"bytes": sum(map(len, request.stream))}


@app.post("/echo", stream=True)
def echo(request: Request) -> Response:
    return StreamingResponse(piece.upper() for piece in request.stream)


@app.post("/echo/async", stream=True)
async def echo_async(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        async for piece in request.stream:
            yield piece.upper()

    return StreamingResponse(pieces())


@app.post("/unread", stream=True)
def unread(request: Request) -> str:
    return "I looked at the headers only."


@pytest.fixture(params=["/plain", "/async"])
def path(request: pytest.FixtureRequest) -> str:
    """A plain and an async handler that tell how long each piece was."""
    return request.param  # type: ignore[no-any-return]


def pieces_of(count: int, size: int = 1000, log: list[str] | None = None) -> Iterator[bytes]:
    for number in range(count):
        if log is not None:
            log.append(f"sent {number}")
        yield b"x" * size


# --- what arrives ---------------------------------------------------------------------------


def test_the_whole_body_arrives_whatever_its_framing(client: TestClient, path: str) -> None:
    for content in (b"x" * 200_000, pieces_of(200)):
        lengths = client.post(path, content=content).text.split(",")
        assert sum(map(int, lengths)) == 200_000
        assert max(map(int, lengths)) <= 200_000


@pytest.mark.parametrize("content", [b"", None])
def test_no_body_is_an_empty_stream(client: TestClient, path: str, content: Any) -> None:
    assert client.post(path, content=content).text == ""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_content_of_a_get_is_no_stream(client: TestClient, method: str) -> None:
    answer = client.request(method, "/count", content=b"ignored")
    assert (answer.status_code, answer.headers["content-length"]) == (200, "11")
    if method == "GET":
        assert answer.json() == {"bytes": 0}


def test_a_stream_is_larger_than_the_memory_for_bodies(client: TestClient) -> None:
    assert client.post("/count", content=b"x" * 1_000_000).json() == {"bytes": 1_000_000}


def test_a_stream_over_the_limit_is_413_announced_or_not(client: TestClient) -> None:
    assert client.post("/count", content=b"x" * 1_000_001).status_code == 413
    answer = client.post("/count", content=pieces_of(1001))
    assert answer.status_code == 413
    assert "1,000,000" in answer.text


def test_an_announced_length_that_is_no_number_is_400(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b"x", headers={"content-length": "+1"})
    assert answer.status_code == 400


def test_a_handler_need_not_read_its_stream(client: TestClient) -> None:
    assert client.post("/unread", content=pieces_of(5)).text == "I looked at the headers only."


def test_multipart_is_not_parsed_where_the_stream_is_asked_for(client: TestClient) -> None:
    answer = client.post("/count", files={"f": ("name", b"x" * 5000)})
    assert answer.json()["bytes"] > 5000


# --- lazily, and with backpressure ----------------------------------------------------------


@pytest.mark.parametrize("shape", ["plain", "async"])
def test_nothing_is_read_before_it_is_asked_for(connect: Connect, shape: str) -> None:
    """The client may send no more than the next piece while the handler works on one."""
    log: list[str] = []
    own = App()
    size = 64 * 1024  # as much as is read from wsgi.input at once

    def see(piece: bytes) -> None:
        log.append(f"got {len(piece)}")

    @own.post("/plain", stream=True)
    def read(request: Request) -> None:
        for piece in request.stream:
            see(piece)

    @own.post("/async", stream=True)
    async def read_async(request: Request) -> None:
        async for piece in request.stream:
            see(piece)

    connect(own).post(f"/{shape}", content=pieces_of(5, size, log))
    # Whatever its door asks for, one piece is never more than one ahead.
    sent = got = 0
    for entry in log:
        sent += entry.startswith("sent")
        got += entry.startswith("got")
        assert sent <= got + 1
    assert (sent, got) == (5, 5)


@pytest.mark.parametrize("target", ["/echo", "/echo/async"])
def test_a_response_may_stream_what_the_request_streams(client: TestClient, target: str) -> None:
    log: list[str] = []
    received = b""
    with client.stream("POST", target, content=pieces_of(8, 64 * 1024, log)) as answer:
        for chunk in answer.iter_raw():
            received += chunk
            assert len(log) <= len(received) // (64 * 1024) + 2
    assert received == b"X" * (8 * 64 * 1024)


# --- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/body", "/form", "/stream"])
def test_the_wrong_way_to_a_body_names_the_right_one(connect: Connect, target: str) -> None:
    own = App()
    own.post("/body", stream=True)(lambda request: request.body)
    own.post("/form", stream=True)(lambda request: dict(request.form))
    own.post("/stream")(lambda request: list(request.stream))
    client = connect(own, raise_server_exceptions=True)
    mend = "stream=True" if target == "/stream" else r"request\.stream"
    with pytest.raises(RuntimeError, match=mend):
        client.post(target, data={"a": "1"})


def test_a_plain_for_in_an_async_handler_is_told_so(connect: Connect) -> None:
    own = App()

    @own.post("/", stream=True)
    async def wrong(request: Request) -> bytes:
        return b"".join(request.stream)

    client = connect(own, raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match="async for"):
        client.post("/", content=b"x")


def test_a_plain_for_where_layers_are_async_runs_in_the_right_thread(connect: Connect) -> None:
    own = App()

    @own.middleware
    async def layer(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
        return await call_next(request)

    own.post("/", stream=True)(plain)
    own.post("/async", stream=True)(asynchronous)
    client = connect(own)
    for target in ("/", "/async"):
        lengths = client.post(target, content=pieces_of(3)).text.split(",")
        assert sum(map(int, lengths)) == 3000


def test_a_routers_stream_stays_one_when_it_is_mounted(connect: Connect) -> None:
    own, router = App(), Router()
    router.post("/plain", stream=True)(plain)
    own.mount("/below", router)
    assert connect(own).post("/below/plain", content=b"123").text == "3"


@pytest.mark.parametrize("how", ["raises", "refuses", "stops"])
def test_a_handler_may_end_before_its_stream(connect: Connect, how: str) -> None:
    own = App()

    @own.post("/", stream=True)
    def partly(request: Request) -> str:
        first = next(iter(request.stream))
        if how == "raises":
            raise ZeroDivisionError
        if how == "refuses":
            raise HTTPException(422)
        return str(len(first) > 0)

    answer = connect(own).post("/", content=pieces_of(5, 64 * 1024))
    assert answer.status_code == {"raises": 500, "refuses": 422, "stops": 200}[how]


class Upload:
    """An ASGI server's side of an upload that stalls, or ends with the client's leaving."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[dict[str, Any]] = []
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            self.asked.set()
            await self.goes_on.wait()
            return {"type": "http.disconnect"}
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def post(self, site: App, path: str = "/") -> None:
        headers = [(b"transfer-encoding", b"chunked")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await site.asgi({**scope, "query_string": b""}, self.receive, self.send)


PIECE = {"type": "http.request", "body": b"piece", "more_body": True}


@pytest.mark.parametrize("target", ["/plain", "/async"])
def test_a_client_that_leaves_in_mid_body_gets_no_answer_and_makes_no_error(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> list[Any]:
        upload = Upload(PIECE)
        upload.goes_on.set()
        async with asyncio.timeout(10):
            await upload.post(app, target)
        return upload.sent

    assert asyncio.run(run()) == []
    assert not caplog.records


def test_a_thread_that_waits_for_a_stream_is_set_free_when_its_request_is_cancelled() -> None:
    own = App(threads=1)
    ended: list[str] = []

    @own.post("/", stream=True)
    def wait(request: Request) -> None:
        try:
            for _ in request.stream:
                pass
        finally:
            ended.append(threading.current_thread().name)

    async def run() -> None:
        upload = Upload(PIECE)
        async with asyncio.timeout(10):
            task = asyncio.create_task(upload.post(own))
            await upload.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The app's only thread is free again.
            assert await own.asgi.threads.call(lambda: "free") == "free"

    asyncio.run(run())
    assert len(ended) == 1


@pytest.mark.parametrize("when", ["as it asks", "before it asks"])
def test_a_thread_is_set_free_though_it_waits_only_when_its_request_is_cancelled(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = App(threads=1)
    began, cancelled = threading.Event(), threading.Event()
    asks = asyncio.run_coroutine_threadsafe

    def ask(*arguments: Any) -> Any:
        future = asks(*arguments)
        if when == "as it asks":
            assert cancelled.wait(10)
        return future

    @own.post("/", stream=True)
    def wait(request: Request) -> None:
        began.set()
        if when == "before it asks":
            assert cancelled.wait(10)
        next(request.stream)

    async def run() -> None:
        upload = Upload()
        async with asyncio.timeout(10):
            task = asyncio.create_task(upload.post(own))
            if when == "as it asks":
                await upload.asked.wait()
            else:
                assert await asyncio.to_thread(began.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            cancelled.set()
            # The app's only thread is free again.
            assert await own.asgi.threads.call(lambda: "free") == "free"

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", ask)
    asyncio.run(run())


def test_a_thread_that_reads_on_after_its_request_is_over_is_set_free() -> None:
    """A layer has answered in its stead, and the server has no more to say of the request."""
    own = App(threads=1)
    has_piece, may_go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    @own.middleware
    async def impatient(request: Request, call_next: CallNext) -> Response:
        inside = asyncio.ensure_future(call_next(request))
        while not has_piece.is_set():
            await asyncio.sleep(0)
        inside.cancel()
        return Response("too late", 503)

    @own.post("/", stream=True)
    def read(request: Request) -> None:
        try:
            for _ in request.stream:
                has_piece.set()
                assert may_go_on.wait(10)
        except ClientDisconnect as error:
            ended.append(error.detail)
            raise

    async def run() -> None:
        upload = Upload(PIECE)
        async with asyncio.timeout(10):
            await upload.post(own)
            assert upload.sent[0]["status"] == 503
            may_go_on.set()
            assert await own.asgi.threads.call(lambda: "free") == "free"

    asyncio.run(run())
    assert ended == ["The body ended before it was complete."]


def test_a_response_that_streams_meanwhile_notices_that_its_client_leaves() -> None:
    """Nobody reads the request's stream any more, and the response has nothing to send."""
    own = App()
    closed: list[str] = []

    @own.post("/", stream=True)
    async def half(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                yield await anext(request.stream)
                await asyncio.Event().wait()
            finally:
                closed.append("closed")

        return StreamingResponse(chunks())

    async def run() -> list[dict[str, Any]]:
        upload = Upload(PIECE)
        async with asyncio.timeout(10):
            task = asyncio.create_task(upload.post(own))
            await upload.asked.wait()
            upload.goes_on.set()
            await task
        return upload.sent

    sent = asyncio.run(run())
    assert [message.get("body") for message in sent] == [None, b"piece"]
    assert closed == ["closed"]


def test_looking_ahead_steals_nothing_and_sees_everything_once() -> None:
    async def run() -> None:
        first, second, third = [{"n": number, "more_body": True} for number in range(3)]
        messages = iter([first, second, third])

        async def receive() -> dict[str, Any]:
            return next(messages)

        ahead = Lookahead(receive)
        assert await ahead.peek() == first
        watching = asyncio.create_task(ahead.peek())
        await asyncio.sleep(0)
        assert not watching.done()  # one ahead, and no more
        assert await ahead.take() == first
        assert await watching == second
        assert await ahead.take() == second
        assert await ahead.take() == third

    asyncio.run(run())


def test_a_body_that_ends_early_is_no_end_of_the_stream(protocol: Protocol) -> None:
    """The server's promise was Content-Length; what came is less, and must not pass for it."""
    seen: list[str] = []
    own = App()

    @own.post("/", stream=True)
    def read(request: Request) -> None:
        try:
            for _ in request.stream:
                seen.append("piece")
        except HTTPException as error:
            seen.append(error.detail)
            raise

    with TestClient(own, protocol) as client:
        answer = client.post("/", content=iter([b"12345"]), headers={"content-length": "10"})
    assert answer.status_code == 400
    assert seen == ["piece", "The body ended before it was complete."]


def test_the_lengths_that_httpx_sends_are_those_that_arrive(client: TestClient) -> None:
    content = b"x" * 70_000
    request = httpx.Request("POST", "http://testserver/count", content=content)
    assert client.send(request).json() == {"bytes": 70_000}
