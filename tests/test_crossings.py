"""Where two lives meet and one ends first: nothing is read twice, lost, left open or waited for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from io import BytesIO
from typing import Any

import httpx
import pytest

from microweb import App, Request, Response, StreamingResponse
from microweb.gateways import threads as threads_module
from microweb.gateways.threads import ReadAhead, ThreadIterator, Threads
from microweb.testing import TestClient

from .conftest import Connect, Protocol

SECONDS = 20
CallNext = Callable[[Request], Awaitable[Response]]
word: ContextVar[str] = ContextVar("word", default="unset")


class Slow(BytesIO):
    """wsgi.input whose second read waits until it may go on."""

    def __init__(self, may_go_on: threading.Event) -> None:
        super().__init__()
        self.may_go_on = may_go_on
        self.pieces = [b"first half,", b"second half"]

    def read(self, size: int | None = -1) -> bytes:
        if len(self.pieces) == 1:
            assert self.may_go_on.wait(SECONDS)
        return self.pieces.pop(0) if self.pieces else b""


def impatient_app(gave_up: threading.Event) -> App:
    app = App()

    @app.middleware
    async def impatient(request: Request, call_next: CallNext) -> Response:
        try:
            await asyncio.wait_for(request.read(), 0.05)
        except TimeoutError:
            gave_up.set()
        return await call_next(request)

    app.post("/")(lambda request: request.body)
    return app


def wsgi_call(
    app: App, method: str = "GET", body_input: BytesIO | None = None, **environ: str
) -> tuple[str, bytes]:
    statuses: list[str] = []
    native: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/",
        "SERVER_NAME": "test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": body_input,
        "wsgi.input_terminated": True,
        **environ,
    }
    body = b"".join(app.wsgi(native, lambda status, headers: statuses.append(status)))
    return statuses[0], body


def asgi_scope(method: str = "GET", **scope: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": "/",
        "headers": [],
        **scope,
    }


def test_a_body_whose_reading_was_given_up_is_never_taken_for_the_whole_under_wsgi() -> None:
    gave_up = threading.Event()
    answer = wsgi_call(
        impatient_app(gave_up),
        "POST",
        HTTP_TRANSFER_ENCODING="chunked",
        body_input=Slow(gave_up),
    )
    assert answer == ("400 Bad Request", b"The body was read in part only.")


def test_a_body_whose_reading_was_given_up_is_never_taken_for_the_whole_under_asgi() -> None:
    gave_up = threading.Event()
    sent: list[dict[str, Any]] = []

    async def main() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        messages.put_nowait({"type": "http.request", "body": b"first half,", "more_body": True})

        async def receive() -> dict[str, Any]:
            if gave_up.is_set():
                return {"type": "http.request", "body": b"second half"}
            return await messages.get()

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await impatient_app(gave_up).asgi(asgi_scope("POST"), receive, send)

    asyncio.run(main())
    assert sent[0]["status"] == 400


def test_what_an_async_layer_leaves_behind_reads_no_wsgi_input_and_calls_no_handler() -> None:
    app = App()
    errors: list[BaseException | None] = []
    may_go_on, done = threading.Event(), threading.Event()
    tasks = set()

    class Input(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("wsgi.input was read")

    @app.middleware
    async def early(request: Request, call_next: CallNext) -> str:
        async def later() -> None:
            await asyncio.to_thread(may_go_on.wait, SECONDS)
            for late in (request.read, lambda: call_next(request)):
                try:
                    await late()
                except RuntimeError as error:
                    errors.append(error)
            done.set()

        tasks.add(asyncio.create_task(later()))
        return "early"

    @app.post("/")
    def handler(request: Request) -> str:
        raise AssertionError("called")

    answer = wsgi_call(app, "POST", CONTENT_LENGTH="3", body_input=Input(b"abc"))
    assert answer == ("200 OK", b"early")
    may_go_on.set()
    assert done.wait(SECONDS)
    # The late call_next ends in a response, a 500 that nobody reads.
    assert ["the request is over" in str(error) for error in errors] == [True]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_lifespan_under_wsgi_has_a_context_of_its_own_from_start_to_end(kind: str) -> None:
    app = App()
    ended: list[str] = []

    if kind == "def":

        @app.lifespan
        def life(app: App) -> Iterator[None]:
            token = word.set("the lifespan's")
            yield
            ended.append(word.get())
            word.reset(token)

    else:

        @app.lifespan
        async def async_life(app: App) -> AsyncIterator[None]:
            token = word.set("the lifespan's")
            yield
            ended.append(word.get())
            word.reset(token)

    app.get("/")(lambda request: word.get())
    assert [wsgi_call(app)[1] for _ in range(3)] == [b"unset"] * 3
    app.wsgi.shutdown()
    assert ended == ["the lifespan's"]


def test_an_app_that_would_wait_for_its_own_loop_is_told_so(caplog: Any) -> None:
    inner, outer = App(), App()

    @inner.get("/")
    async def inside(request: Request) -> str:
        return "inner"

    @outer.get("/")
    async def at_once(request: Request) -> str:
        return TestClient(inner, "wsgi").get("/").text

    @outer.get("/thread")
    async def in_a_thread(request: Request) -> str:
        return await asyncio.to_thread(lambda: TestClient(inner, "wsgi").get("/").text)

    client = TestClient(outer, "wsgi")
    assert client.get("/").text == "Internal Server Error"
    assert "await asyncio.to_thread" in caplog.text
    assert client.get("/thread").text == "inner"


def test_a_lifespan_that_calls_its_own_app_is_told_so(caplog: Any) -> None:
    app = App()
    answers: list[str] = []

    @app.lifespan
    def warm_up(app: App) -> Iterator[None]:
        answers.append(wsgi_call(app)[0])
        yield

    app.get("/")(lambda request: "warm")
    assert wsgi_call(app) == ("200 OK", b"warm")
    assert answers == ["500 Internal Server Error"]
    assert "still starting" in caplog.text


@pytest.mark.parametrize("driven", [True, False], ids=["by the server", "by a request"])
def test_an_async_lifespan_that_calls_its_own_app_is_told_so(caplog: Any, driven: bool) -> None:
    app = App()
    answers: list[int] = []

    async def call() -> int:
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            raise AssertionError("a GET has no body to receive")

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        await app.asgi(asgi_scope(), receive, send)
        return statuses[0]

    @app.lifespan
    async def warm_up(app: App) -> AsyncIterator[None]:
        answers.append(await call())
        yield

    app.get("/")(lambda request: "warm")

    async def main() -> None:
        async with asyncio.timeout(SECONDS):
            answers.append(await call())

    if driven:
        with TestClient(app, "asgi") as client:
            answers.append(client.get("/").status_code)
    else:
        asyncio.run(main())
    assert answers == [500, 200]
    assert "still starting" in caplog.text


class Cursor:
    """Like a database's: iterated by a generator, closed by itself."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        yield from ("a", "b")

    def close(self) -> None:
        self.closed += 1


class AsyncCursor:
    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", [Cursor, AsyncCursor])
def test_what_is_iterated_by_a_generator_of_its_own_is_closed_once_itself(
    connect: Connect, kind: Any, method: str
) -> None:
    app, cursor = App(), kind()
    app.get("/")(lambda request: StreamingResponse(cursor))
    assert connect(app).request(method, "/").text == ("ab" if method == "GET" else "")
    assert cursor.closed == 1


def test_a_background_call_may_be_a_lambda_around_an_async_function(connect: Connect) -> None:
    app = App()
    done: list[str] = []

    async def send_mail(to: str) -> None:
        await asyncio.sleep(0)
        done.append(to)

    app.get("/")(lambda request: Response(b"ok", background=lambda: send_mail("ada")))
    assert connect(app).get("/").text == "ok"
    assert done == ["ada"]


def test_a_body_shorter_than_its_content_length_reaches_no_handler() -> None:
    app = App()
    app.post("/")(lambda request: request.body)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"half", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app.asgi(asgi_scope("POST", headers=[(b"content-length", b"8")]), receive, send))
    assert sent[0]["status"] == 400
    assert wsgi_call(app, "POST", CONTENT_LENGTH="8", body_input=BytesIO(b"half"))[0] == (
        "400 Bad Request"
    )


def test_a_server_that_fails_to_receive_ends_the_stream_and_nothing_is_left() -> None:
    app = App()
    closed: list[str] = []

    @app.get("/")
    async def endless(request: Request) -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.append("closed")

    async def receive() -> dict[str, Any]:
        raise RuntimeError("the server's own trouble")

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.timeout(SECONDS):
            await app.asgi(asgi_scope(), receive, send)

    asyncio.run(main())
    assert closed == ["closed"]


def test_for_an_unexpected_error_a_status_wins_over_the_class(connect: Connect) -> None:
    app = App()
    app.exception_handler(Exception)(lambda request, error: "by class")
    app.exception_handler(500)(lambda request, error: "by status")

    @app.get("/")
    def broken(request: Request) -> None:
        raise LookupError

    response = connect(app).get("/")
    assert (response.status_code, response.text) == (500, "by status")


def test_an_ipv6_server_without_a_host_header_has_a_url_with_brackets(protocol: Protocol) -> None:
    app = App()
    app.get("/")(lambda request: request.url)
    if protocol == "wsgi":
        body = wsgi_call(app, SERVER_NAME="::1", SERVER_PORT="8000")[1]
    else:
        bodies: list[bytes] = []

        async def receive() -> dict[str, Any]:
            raise AssertionError("a GET has no body to receive")

        async def send(message: dict[str, Any]) -> None:
            bodies.append(message.get("body", b""))

        asyncio.run(app.asgi(asgi_scope(server=("::1", 8000)), receive, send))
        body = b"".join(bodies)
    assert body == b"http://[::1]:8000/"


AT_THE_END = """
import asyncio
from microweb import App
from microweb.testing import TestClient

app = App()

@app.lifespan
async def life(app):
    yield
    print("the life has ended")

@app.get("/")
async def leaves_a_task(request):
    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            print("the task has ended")
    app.state.task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    return "ok"

print(TestClient(app, "{protocol}").get("/").text)
"""


def test_what_runs_on_the_loop_at_the_end_of_the_process_is_ended(protocol: Protocol) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AT_THE_END.replace("{protocol}", protocol)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    first, *others = ran.stdout.splitlines()
    assert (first, sorted(others)) == ("ok", ["the life has ended", "the task has ended"])
    assert ran.stderr == ""


# --- worker threads that rest with a stream ------------------------------------------------


def test_streams_that_outnumber_the_threads_take_turns_with_each_other_and_with_handlers() -> None:
    """A thread rests with its stream between two steps, but never while others wait for one."""
    app = App(threads=1)

    @app.get("/stream/{name}")
    async def stream(request: Request, name: str) -> StreamingResponse:
        return StreamingResponse(f"{name}{number} " for number in range(50))

    @app.get("/plain")
    def plain(request: Request) -> str:
        return "plain"

    async def get(path: str) -> bytes:
        sent: list[bytes] = []
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if not sent:
                sent.append(b"")
                return {"type": "http.request", "body": b"", "more_body": False}
            await never.wait()
            raise AssertionError("nobody sets it")

        async def send(message: dict[str, Any]) -> None:
            sent.append(message.get("body", b""))
            await asyncio.sleep(0)

        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
        await app.asgi(scope, receive, send)
        return b"".join(sent)

    async def all_at_once() -> list[bytes]:
        paths = ["/stream/a", "/stream/b", "/plain", "/stream/c", "/plain"]
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*map(get, paths))
            while app.asgi.threads._busy:  # the threads tell of their end a moment later
                await asyncio.sleep(0)
            return answers

    a, b, first, c, second = asyncio.run(all_at_once())
    assert (first, second) == (b"plain", b"plain")
    for name, body in (("a", a), ("b", b), ("c", c)):
        assert body.decode() == "".join(f"{name}{number} " for number in range(50))
    assert not app.asgi.threads.resting


def test_a_stream_without_a_pause_does_not_keep_its_thread_from_those_who_wait() -> None:
    app = App(threads=1)
    threads = app.asgi.threads
    step_begun, step_may_end = threading.Event(), threading.Event()

    def chunks() -> Iterator[int]:
        step_begun.set()
        step_may_end.wait(10)
        while True:
            yield 0

    async def run() -> None:
        stream = ThreadIterator(threads, chunks())

        async def iterate() -> None:
            async for _ in stream:
                pass

        async with asyncio.timeout(10):
            endless = asyncio.create_task(iterate())
            while not step_begun.is_set():
                await asyncio.sleep(0)
            call = asyncio.create_task(threads.call(lambda: "had its turn"))
            await asyncio.sleep(0)  # it waits for the only thread by now
            step_may_end.set()
            assert await call == "had its turn"
            endless.cancel()
            await asyncio.wait([endless])
            await stream.aclose()

    asyncio.run(run())


def test_all_steps_of_a_stream_and_its_close_share_one_context_whatever_the_thread() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    app = App(threads=1)
    seen: list[str] = []

    def chunks() -> Iterator[str]:
        token = variable.set("set")
        try:
            for _ in range(5):
                yield variable.get()
        finally:
            seen.append(variable.get())
            variable.reset(token)  # only the context that made the token takes it

    async def run() -> None:
        stream = ThreadIterator(app.asgi.threads, chunks())
        async with asyncio.timeout(10):
            assert await anext(stream) == "set"
            # The only thread rests with the stream, and others need it.
            assert await app.asgi.threads.call(lambda: "done") == "done"
            assert await anext(stream) == "set"
            stream.dismiss()
            assert await anext(stream) == "set"
            await stream.aclose()
            assert await app.asgi.threads.call(lambda: "done") == "done"

    asyncio.run(run())
    assert seen == ["set"]


def test_streams_whose_threads_have_left_do_not_hide_the_one_that_can_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        threads = Threads(1)
        monkeypatch.setattr(threads_module, "REST", 0)
        streams = [ThreadIterator(threads, "ab") for _ in range(50)]
        for stream in streams:
            assert await anext(stream) == "a"
        while threads._busy:
            await asyncio.sleep(0)
        monkeypatch.setattr(threads_module, "REST", 2 * SECONDS)
        resting = ThreadIterator(threads, "ab")
        assert await anext(resting) == "a"
        assert await threads.call(lambda: "had its turn") == "had its turn"
        for stream in (*streams, resting):
            await stream.aclose()

    asyncio.run(asyncio.wait_for(run(), SECONDS))


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_whose_step_outlives_its_request_is_closed_by_the_thread_of_that_step(
    fails: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has waited long enough cancels a request that waits for its stream to end."""
    step_begun, step_may_end, closed = threading.Event(), threading.Event(), threading.Event()

    def chunks() -> Iterator[str]:
        try:
            step_begun.set()
            assert step_may_end.wait(SECONDS)
            yield "for nobody"
        finally:
            closed.set()
            if fails:
                raise OSError("no room left")

    async def run() -> None:
        threads = Threads(1)
        stream = ThreadIterator(threads, chunks())

        async def request() -> None:
            try:
                await anext(stream)
            finally:
                await stream.aclose()

        task = asyncio.create_task(request())
        while not step_begun.is_set():
            await asyncio.sleep(0)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert task.done()
        step_may_end.set()
        while threads._busy:
            await asyncio.sleep(0)
        assert closed.is_set()

    asyncio.run(asyncio.wait_for(run(), SECONDS))
    assert ["no room left" in caplog.text] == [fails]


def test_the_next_block_of_a_file_is_read_while_one_is_sent() -> None:
    app = App(threads=1)
    second_read = threading.Event()

    class Blocks(Iterator[int]):
        def __init__(self, last: int) -> None:
            self.made = self.closed = 0
            self.last = last

        def __next__(self) -> int:
            if self.made == self.last:
                raise OSError("the file became shorter") if self.last == 3 else StopIteration
            self.made += 1
            if self.made == 2:
                second_read.set()
            return self.made

        def close(self) -> None:
            self.closed += 1

    async def run(blocks: Blocks, enough: int) -> list[int]:
        second_read.clear()
        stream = ReadAhead(app.asgi.threads, blocks)
        taken = []
        try:
            async with asyncio.timeout(10):
                taken.append(await anext(stream))
                # The first is being sent, and nobody has asked for the second.
                assert await asyncio.to_thread(second_read.wait, 10)
                async for block in stream:
                    taken.append(block)
                    if len(taken) == enough:
                        break
        finally:
            await stream.aclose()
        return taken

    whole, left, shorter = Blocks(5), Blocks(100), Blocks(3)
    assert asyncio.run(run(whole, 100)) == [1, 2, 3, 4, 5]
    assert asyncio.run(run(left, 2)) == [1, 2]
    with pytest.raises(OSError, match="shorter"):
        asyncio.run(run(shorter, 100))
    assert [blocks.closed for blocks in (whole, left, shorter)] == [1, 1, 1]
    assert left.made == 3


@pytest.mark.parametrize("form", ["plain", "async"])
def test_an_iterator_that_fails_to_close_keeps_its_source_from_nothing(
    protocol: Protocol, form: str
) -> None:
    app = App()
    closed: list[str] = []

    class Rows:
        def close(self) -> None:
            closed.append("rows")
            raise LookupError("rows")

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return b"row"

    class AsyncRows:
        async def aclose(self) -> None:
            closed.append("rows")
            raise LookupError("rows")

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            return b"row"

    class Cursor:
        def __iter__(self) -> Iterator[bytes]:
            return Rows()

        def close(self) -> None:
            closed.append("cursor")

    class AsyncCursor:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return AsyncRows()

        async def aclose(self) -> None:
            closed.append("cursor")

    source: Any = Cursor() if form == "plain" else AsyncCursor()
    app.get("/")(lambda request: StreamingResponse(source))
    # How the error shows differs: under WSGI it is that of the server's own call of close().
    client = TestClient(app, protocol)
    with pytest.raises((LookupError, httpx.HTTPError)), client.stream("GET", "/") as response:
        assert next(response.iter_raw()) == b"row"
    assert closed == ["rows", "cursor"]
