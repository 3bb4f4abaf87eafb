"""The 2x2 table: where plain and async code run behind each door, and what crosses with them."""

from __future__ import annotations

import asyncio
import functools
import io
import itertools
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator as wsgi_validator

import httpx
import pytest

from microweb import App, HTTPException, Request, Response, StreamingResponse
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol

CallNext = Callable[[Request], Awaitable[Response]]
SECONDS = 20  # until a test that hangs is given up

FORMS = ["plain", "async"]


class Place(NamedTuple):
    """A thread, and the loop that runs in it."""

    thread: int
    loop: asyncio.AbstractEventLoop | None


def here() -> Place:
    try:
        return Place(threading.get_ident(), asyncio.get_running_loop())
    except RuntimeError:
        return Place(threading.get_ident(), None)


def nothing(*_: Any) -> None:
    """For handlers whose other acts matter."""


def either(form: str, act: Callable[..., Any]) -> Callable[..., Any]:
    """`act` as a plain function, or as an async one that really suspends."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return act(*args, **kwargs)

    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return act(*args, **kwargs)

    return plain if form == "plain" else asynchronous


def chunks_of(
    form: str, act: Callable[[], Any], close: Callable[[], Any] = nothing
) -> Iterator[str] | AsyncIterator[str]:
    """A generator that yields three times what `act` says, then calls `close`."""

    def plain() -> Iterator[str]:
        try:
            for _ in range(3):
                yield str(act())
        finally:
            close()

    async def asynchronous() -> AsyncIterator[str]:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                yield str(act())
        finally:
            await asyncio.sleep(0)
            close()

    return plain() if form == "plain" else asynchronous()


def add_async_layer(app: App) -> None:
    @app.middleware
    async def passing(request: Request, call_next: CallNext) -> Response:
        await asyncio.sleep(0)
        return await call_next(request)


def in_parallel(count: int, act: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(act, range(count)))


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- Which thread, which loop -------------------------------------------------------------


class Stage:
    """An app with every part that can be plain or async; each says where it ran."""

    def __init__(self, form: str, async_layer: bool) -> None:
        self.places: dict[str, list[Place]] = {}
        self.app = App()
        if async_layer:
            add_async_layer(self.app)
        self.app.get("/handler")(either(form, lambda request: self.note("handler", "done")))
        self.app.get("/error")(either(form, self.fail))
        self.app.exception_handler(KeyError)(
            either(form, lambda request, error: self.note("exception handler", "mended"))
        )
        self.app.get("/stream")(
            lambda request: StreamingResponse(
                chunks_of(form, lambda: self.note("stream"), lambda: self.note("close")),
                background=either(form, lambda: self.note("background")),
            )
        )

    def note(self, part: str, answer: str = "noted") -> str:
        self.places.setdefault(part, []).append(here())
        return answer

    def fail(self, request: Request) -> None:
        raise KeyError("a part of the test")

    def serve(self, protocol: Protocol) -> Place:
        """Ask for every part; return the place where the server called the app."""
        servers: list[Place] = []

        def wrap(door: Any) -> Any:
            def wsgi(environ: Any, start_response: Any) -> Any:
                servers.append(here())
                return checked(environ, start_response)

            async def asgi(scope: Any, receive: Any, send: Any) -> None:
                servers.append(here())
                await checked(scope, receive, send)

            checked = CHECKERS[protocol](door)
            return wsgi if protocol == "wsgi" else asgi

        with TestClient(self.app, protocol, wrap=wrap) as client:
            assert client.get("/handler").text == "done"
            assert client.get("/error").text == "mended"
            assert client.get("/stream").text == "noted" * 3
        assert len(set(servers)) == 1
        return servers[0]


PARTS = {"handler": 1, "exception handler": 1, "stream": 3, "close": 1, "background": 1}


@pytest.mark.parametrize("async_layer", [False, True])
def test_plain_code_under_wsgi_runs_in_the_thread_of_the_server(async_layer: bool) -> None:
    stage = Stage("plain", async_layer)
    server = stage.serve("wsgi")
    assert server.loop is None
    assert stage.places == {part: [server] * times for part, times in PARTS.items()}


@pytest.mark.parametrize("async_layer", [False, True])
def test_async_code_under_wsgi_runs_on_one_loop_in_one_other_thread(async_layer: bool) -> None:
    stage = Stage("async", async_layer)
    server = stage.serve("wsgi")
    loops = set(itertools.chain(*stage.places.values()))
    assert len(loops) == 1
    (place,) = loops
    assert place.loop is not None
    assert place.thread != server.thread
    assert {part: len(places) for part, places in stage.places.items()} == PARTS


@pytest.mark.parametrize("async_layer", [False, True])
def test_plain_code_under_asgi_runs_in_worker_threads(async_layer: bool) -> None:
    stage = Stage("plain", async_layer)
    server = stage.serve("asgi")
    everywhere = set(itertools.chain(*stage.places.values()))
    assert {place.loop for place in everywhere} == {None}
    assert server.thread not in {place.thread for place in everywhere}
    assert threading.get_ident() not in {place.thread for place in everywhere}
    assert {part: len(places) for part, places in stage.places.items()} == PARTS


@pytest.mark.parametrize("async_layer", [False, True])
def test_async_code_under_asgi_runs_on_the_loop_of_the_server(async_layer: bool) -> None:
    stage = Stage("async", async_layer)
    server = stage.serve("asgi")
    assert server.loop is not None
    assert stage.places == {part: [server] * times for part, times in PARTS.items()}


def test_a_generator_layer_stays_in_the_place_of_the_gateway(protocol: Protocol) -> None:
    stage = Stage("plain", async_layer=False)

    @stage.app.middleware
    def layer(request: Request) -> Iterator[None]:
        stage.note("layer")
        yield
        stage.note("layer")

    server = stage.serve(protocol)
    assert set(stage.places["layer"]) == {server}


def test_all_layers_under_wsgi_run_on_the_loop_if_one_of_them_is_async() -> None:
    stage = Stage("plain", async_layer=False)

    @stage.app.middleware
    def outer(request: Request) -> Iterator[None]:
        stage.note("layers")
        yield
        stage.note("layers")

    @stage.app.middleware
    async def inner(request: Request, call_next: CallNext) -> Response:
        stage.note("layers")
        return await call_next(request)

    server = stage.serve("wsgi")
    (place,) = set(stage.places["layers"])
    assert place.loop is not None
    assert place.thread != server.thread
    assert stage.places["handler"] == [server]


class Greeter:
    """A callable object that is async."""

    async def __call__(self, request: Request) -> str:
        return str(here().loop is not None)

    async def method(self, request: Request) -> str:
        return str(here().loop is not None)


async def two_words(word: str, request: Request) -> str:
    return str(here().loop is not None)


@pytest.mark.parametrize(
    "handler",
    [Greeter(), Greeter().method, functools.partial(two_words, "hello")],
    ids=["object", "method", "partial"],
)
def test_an_async_handler_is_known_in_whatever_clothes_it_comes(
    connect: Connect, handler: Any
) -> None:
    app = App()
    app.get("/", name="greet")(handler)
    assert connect(app).get("/").text == "True"


# --- One loop -----------------------------------------------------------------------------


def test_an_object_bound_to_the_loop_in_one_request_works_in_the_next(connect: Connect) -> None:
    app = App()
    queue: asyncio.Queue[str] = asyncio.Queue()
    waiting: list[asyncio.Future[str]] = []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        # The queue is bound to its loop by the first `get` that has to wait.
        waiting.append(asyncio.ensure_future(queue.get()))
        await asyncio.sleep(0)
        return "waiting"

    @app.get("/put")
    async def put(request: Request) -> str:
        await queue.put("from another request")
        return await waiting[0]

    client = connect(app)
    assert client.get("/wait").text == "waiting"
    assert client.get("/put").text == "from another request"


def test_a_task_made_in_a_handler_goes_on_after_the_response(connect: Connect) -> None:
    app = App()
    finished = threading.Event()
    tasks: list[asyncio.Task[None]] = []
    release: list[asyncio.Event] = []

    async def work() -> None:
        await release[0].wait()
        finished.set()

    @app.get("/start")
    async def start(request: Request) -> str:
        release.append(asyncio.Event())
        tasks.append(asyncio.create_task(work()))
        return "started"

    @app.get("/release")
    async def let_go(request: Request) -> str:
        release[0].set()
        return "released"

    client = connect(app)
    client.get("/start")
    assert not finished.is_set()
    client.get("/release")
    assert finished.wait(SECONDS)


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_eight_threads_of_requests_are_all_inside_at_once(
    connect: Connect, form: str, async_layer: bool
) -> None:
    app = App()
    if async_layer:
        add_async_layer(app)
    plain_barrier = threading.Barrier(8)
    async_barriers: list[asyncio.Barrier] = []

    @app.get("/plain")
    def plain(request: Request) -> str:
        plain_barrier.wait(SECONDS)
        return "met"

    @app.get("/async")
    async def asynchronous(request: Request) -> str:
        if not async_barriers:
            async_barriers.append(asyncio.Barrier(8))
        async with asyncio.timeout(SECONDS):
            await async_barriers[0].wait()
        return "met"

    client = connect(app)
    answers = in_parallel(8, lambda _: client.get(f"/{form}").text)
    assert answers == ["met"] * 8


@pytest.mark.parametrize("form", FORMS)
def test_many_requests_at_once_get_each_its_own_answer(connect: Connect, form: str) -> None:
    app = App()
    app.get("/{word}")(either(form, lambda request, word: word))
    client = connect(app)

    def ask(thread: int) -> list[str]:
        return [client.get(f"/{thread}-{n}").text for n in range(20)]

    expected = [[f"{thread}-{n}" for n in range(20)] for thread in range(8)]
    assert in_parallel(8, ask) == expected


def test_a_stream_that_is_paused_holds_up_no_other_request(connect: Connect) -> None:
    app = App()
    app.get("/{form}")(lambda request, form: chunks_of(form, lambda: "chunk"))
    client = connect(app)
    with client.stream("GET", "/async") as one, client.stream("GET", "/plain") as other:
        first, second = one.iter_text(), other.iter_text()
        assert next(first) == next(second) == "chunk"
        assert client.get("/async").text == "chunk" * 3
        assert client.get("/plain").text == "chunk" * 3
        assert "".join(first) == "".join(second) == "chunk" * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_at_most_so_many_plain_handlers_run_at_once_under_asgi(threads: int) -> None:
    app = App(threads=threads)
    lock = threading.Lock()
    full = threading.Barrier(threads)
    running: list[int] = []
    inside = 0

    @app.get("/")
    def handler(request: Request) -> str:
        nonlocal inside
        with lock:
            inside += 1
            running.append(inside)
        full.wait(SECONDS)  # so that as many as may be are here
        with lock:
            inside -= 1
        return "done"

    with TestClient(app, "asgi", wrap=CHECKERS["asgi"]) as client:
        in_parallel(threads * 3, lambda _: client.get("/").raise_for_status())
    assert len(running) == threads * 3
    assert max(running) == threads


def test_a_plain_handler_under_asgi_does_not_stop_the_loop(connect: Connect) -> None:
    app = App()
    began, may_end = threading.Event(), threading.Event()

    @app.get("/plain")
    def plain(request: Request) -> str:
        began.set()
        assert may_end.wait(SECONDS)
        return "plain"

    @app.get("/async")
    async def asynchronous(request: Request) -> str:
        return "async"

    client = connect(app)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, "/plain")
        assert began.wait(SECONDS)
        assert client.get("/async").text == "async"
        may_end.set()
        assert waiting.result(SECONDS).text == "plain"


FORKING = """
import asyncio, os, sys, threading
from wsgiref.util import setup_testing_defaults
from microweb import App

app = App()
app_loops = []

@app.get("/async")
async def handler(request):
    await asyncio.sleep(0)
    app_loops.append(asyncio.get_running_loop())
    return f"{os.getpid()} {threading.get_ident()}"

@app.get("/stream")
async def stream(request):
    async def chunks():
        yield "a"
        await asyncio.sleep(0)
        yield "b"
    return chunks()

def get(path):
    environ = {}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = path
    said = []
    iterable = app.wsgi(environ, lambda status, headers: said.append(status))
    body = b"".join(iterable)
    if hasattr(iterable, "close"):
        iterable.close()
    assert said == ["200 OK"], said
    return body

def check():
    assert get("/async").startswith(str(os.getpid()).encode()), "the loop is another process's"
    assert get("/stream") == b"ab"
    assert get("/async")
    assert app_loops[-1] is app_loops[-2], "two loops in one process"

check()
child = os.fork()
if child == 0:
    try:
        inherited = app_loops[-1]
        check()
        assert app_loops[-1] is not inherited, "the parent's loop was taken"
        grandchild = os.fork()
        if grandchild == 0:
            check()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child failed"
check()
"""


def test_each_process_has_its_own_loop_after_a_fork() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=SECONDS)


# --- wsgi.input ---------------------------------------------------------------------------


class RecordingInput(io.BytesIO):
    """A wsgi.input that remembers where it was read."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.places: list[Place] = []

    def read(self, size: int | None = -1, /) -> bytes:
        self.places.append(here())
        return super().read(size)


def wsgi_get(app: App, path: str, **environ: Any) -> tuple[str, bytes]:
    """A request as a WSGI server makes it, in this thread; the status line and the body."""
    filled: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": ""}
    setup_testing_defaults(filled)
    filled.update(environ)
    said: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        said.append(status)
        return nothing

    iterable = wsgi_validator(app.wsgi)(filled, start_response)
    try:
        body = b"".join(iterable)
    finally:
        getattr(iterable, "close", nothing)()
    (status,) = said
    return status, body


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", ["nobody", "passing layer", "reading layer"])
def test_wsgi_input_is_read_in_the_thread_of_the_server_only(form: str, reader: str) -> None:
    app = App()
    if reader == "passing layer":
        add_async_layer(app)
    elif reader == "reading layer":

        @app.middleware
        async def reading(request: Request, call_next: CallNext) -> Response:
            assert await request.read() == b"hello"
            return await call_next(request)

    app.post("/")(either(form, lambda request: request.body))
    source = RecordingInput(b"hello")
    status, body = wsgi_get(
        app, "/", **{"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "wsgi.input": source}
    )
    assert (status, body) == ("200 OK", b"hello")
    assert set(source.places) == {here()}


# --- Context variables --------------------------------------------------------------------

mark: ContextVar[str] = ContextVar("mark", default="clean")
trail: ContextVar[tuple[str, ...]] = ContextVar("trail", default=())


def leave(step: str) -> str:
    trail.set((*trail.get(), step))
    return step


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_what_one_request_sets_is_never_seen_by_another(
    connect: Connect, form: str, async_layer: bool
) -> None:
    app = App()
    seen: list[str] = []

    def look(request: Request | None = None, error: Exception | None = None) -> str:
        seen.append(mark.get())
        mark.set("dirty")
        return "looked"

    @app.middleware
    def layer(request: Request) -> Iterator[None]:
        seen.append(mark.get())
        yield
        mark.set("dirty")

    def stream(request: Request) -> StreamingResponse:
        chunks = chunks_of(form, lambda: mark.set("dirty"), lambda: mark.set("dirty"))
        return StreamingResponse(chunks, background=either(form, lambda: mark.set("dirty")))

    def fail(request: Request) -> None:
        raise KeyError("a part of the test")

    if async_layer:
        add_async_layer(app)
    app.get("/handler")(either(form, look))
    app.get("/stream")(either(form, stream))
    app.get("/fail")(either(form, fail))
    app.exception_handler(KeyError)(either(form, look))
    client = connect(app)
    paths = ["/handler", "/stream", "/fail"] * 2
    for path in paths:
        client.get(path)
        assert mark.get() == "clean"
    in_parallel(4, lambda _: [client.get(path) for path in paths])
    assert set(seen) == {"clean"}


@pytest.mark.parametrize("background", FORMS)
@pytest.mark.parametrize("chunks", FORMS)
@pytest.mark.parametrize("handler", FORMS)
@pytest.mark.parametrize("layer", ["none", "generator", "async"])
def test_changed_variables_cross_there_and_back_at_every_step(
    connect: Connect, layer: str, handler: str, chunks: str, background: str
) -> None:
    app = App()
    ends: list[tuple[str, ...]] = []

    @app.middleware
    def outer(request: Request) -> Iterator[None]:
        leave("outer in")
        yield
        leave("outer out")

    if layer == "generator":

        @app.middleware
        def generator(request: Request) -> Iterator[None]:
            leave("in")
            yield
            leave("out")

    elif layer == "async":

        @app.middleware
        async def asynchronous(request: Request, call_next: CallNext) -> Response:
            leave("in")
            response = await call_next(request)
            leave("out")
            return response

    def respond(request: Request) -> StreamingResponse:
        leave("handler")
        return StreamingResponse(
            chunks_of(chunks, lambda: leave("chunk"), lambda: leave("close")),
            background=either(background, lambda: ends.append((*trail.get(), leave("background")))),
        )

    app.get("/")(either(handler, respond))
    client = connect(app)
    inner = [] if layer == "none" else ["in", "out"]
    expected = ("outer in", *inner[:1], "handler", *inner[1:], "outer out")
    expected += ("chunk", "chunk", "chunk", "close", "background")
    for _ in range(2):
        assert client.get("/").text == "chunk" * 3
    assert ends == [expected, expected]


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("exception_handler", FORMS)
@pytest.mark.parametrize("handler", FORMS)
def test_changed_variables_cross_with_an_exception_too(
    connect: Connect, handler: str, exception_handler: str, async_layer: bool
) -> None:
    app = App()
    ends: list[tuple[str, ...]] = []

    @app.middleware
    def outer(request: Request) -> Iterator[None]:
        leave("in")
        yield
        ends.append(trail.get())

    if async_layer:
        add_async_layer(app)

    def fail(request: Request) -> None:
        leave("handler")
        raise KeyError("a part of the test")

    app.get("/")(either(handler, fail))
    app.exception_handler(KeyError)(
        either(exception_handler, lambda request, error: leave("exception handler"))
    )
    assert connect(app).get("/").status_code == 500
    assert ends == [("in", "handler", "exception handler")]


@pytest.mark.parametrize("form", FORMS)
def test_body_iteration_and_close_see_the_variables_of_the_request(
    connect: Connect, form: str
) -> None:
    app = App()
    closed_with: list[str] = []

    def respond(request: Request) -> Any:
        mark.set(request.query["mark"])
        return chunks_of(form, mark.get, lambda: closed_with.append(mark.get()))

    app.get("/plain")(respond)
    app.get("/async")(either("async", respond))
    client = connect(app)
    for path in ("/plain", "/async"):
        assert client.get(f"{path}?mark=a").text == "aaa"
        with (
            client.stream("GET", f"{path}?mark=b") as one,
            client.stream("GET", f"{path}?mark=c") as other,
        ):
            first, second = one.iter_text(), other.iter_text()
            assert [next(first), next(second), next(first)] == ["b", "c", "b"]
    assert closed_with == ["a", "c", "b"] * 2
    assert mark.get() == "clean"


def test_a_plain_iterator_may_reset_a_token_after_a_yield(connect: Connect) -> None:
    app = App()

    @app.get("/")
    def stream(request: Request) -> Iterator[str]:
        def chunks() -> Iterator[str]:
            token = mark.set("streaming")
            try:
                yield mark.get()
                yield mark.get()
            finally:
                mark.reset(token)

        return chunks()

    client = connect(app)
    assert client.get("/").text == "streaming" * 2
    with client.stream("GET", "/") as response:
        assert next(response.iter_text()) == "streaming"


def test_an_async_iterator_may_reset_a_token_after_a_yield(connect: Connect) -> None:
    app = App()

    @app.get("/")
    async def stream(request: Request) -> AsyncIterator[str]:
        async def chunks() -> AsyncIterator[str]:
            token = mark.set("streaming")
            try:
                yield mark.get()
                await asyncio.sleep(0)
                yield mark.get()
            finally:
                mark.reset(token)

        return chunks()

    client = connect(app)
    assert client.get("/").text == "streaming" * 2
    with client.stream("GET", "/") as response:
        assert next(response.iter_text()) == "streaming"


# --- Response bodies ----------------------------------------------------------------------


class Chunks:
    """An iterator, plain or async by its subclass, that counts its chunks and its closes."""

    def __init__(self, count: int, fails: bool = False) -> None:
        self.count = count
        self.fails = fails
        self.made = 0
        self.closed = 0

    def make(self) -> str | None:
        if self.made == self.count:
            if self.fails:
                raise RuntimeError("broken in mid-stream")
            return None
        self.made += 1
        return f"{self.made} "


class PlainChunks(Chunks):
    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        chunk = self.make()
        if chunk is None:
            raise StopIteration
        return chunk

    def close(self) -> None:
        self.closed += 1


class AsyncChunks(Chunks):
    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        chunk = self.make()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1


KINDS: dict[str, type[Chunks]] = {"plain": PlainChunks, "async": AsyncChunks}


def streaming(chunks: Any, async_layer: bool = False, status: int = 200) -> App:
    app = App()
    if async_layer:
        add_async_layer(app)
    app.get("/")(lambda request: StreamingResponse(chunks, status))
    return app


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("async_layer", [False, True])
def test_a_stream_is_closed_once_when_it_is_complete(
    connect: Connect, form: str, async_layer: bool
) -> None:
    chunks = KINDS[form](3)
    assert connect(streaming(chunks, async_layer)).get("/").text == "1 2 3 "
    assert (chunks.made, chunks.closed) == (3, 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_closed_once_when_it_fails(connect: Connect, form: str) -> None:
    chunks = KINDS[form](2, fails=True)
    with pytest.raises(httpx.RemoteProtocolError):
        connect(streaming(chunks)).get("/")
    assert chunks.closed == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_closed_once_when_a_chunk_is_of_a_wrong_type(
    connect: Connect, form: str
) -> None:
    right: Any = "right"

    def make() -> Any:
        nonlocal right
        chunk, right = right, 7
        return chunk

    chunks = KINDS[form](2)
    chunks.make = make  # type: ignore[method-assign]
    with pytest.raises(httpx.RemoteProtocolError):
        connect(streaming(chunks)).get("/")
    assert chunks.closed == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("read", [1, 2])
def test_a_stream_is_lazy_and_closed_once_when_the_client_leaves(
    connect: Connect, form: str, read: int
) -> None:
    chunks = KINDS[form](100)
    with connect(streaming(chunks)).stream("GET", "/") as response:
        pieces = response.iter_text()
        for expected in range(1, read + 1):
            assert next(pieces) == f"{expected} "
            assert chunks.made == expected
        assert chunks.closed == 0
    assert chunks.closed == 1
    assert chunks.made <= read + 1


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_whose_client_leaves_without_reading_is_closed_once(
    connect: Connect, form: str
) -> None:
    chunks = KINDS[form](100)
    with connect(streaming(chunks)).stream("GET", "/") as response:
        assert response.status_code == 200
    assert chunks.closed == 1
    assert chunks.made <= 1


@pytest.mark.parametrize("form", FORMS)
def test_head_of_a_stream_takes_no_chunk_and_closes_it_once(connect: Connect, form: str) -> None:
    chunks = KINDS[form](3)
    response = connect(streaming(chunks)).head("/")
    assert (response.status_code, response.content) == (200, b"")
    assert (chunks.made, chunks.closed) == (0, 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_with_a_status_that_has_no_body_is_closed_once(
    connect: Connect, form: str
) -> None:
    chunks = KINDS[form](3)
    response = connect(streaming(chunks, status=304)).get("/")
    assert (response.status_code, response.content) == (304, b"")
    assert (chunks.made, chunks.closed) == (0, 1)


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_stream_is_an_empty_body(connect: Connect, form: str) -> None:
    chunks = KINDS[form](0)
    response = connect(streaming(chunks)).get("/")
    assert (response.status_code, response.content, chunks.closed) == (200, b"", 1)


@pytest.mark.parametrize("form", FORMS)
def test_empty_chunks_do_not_end_a_stream(connect: Connect, form: str) -> None:
    pieces = iter(["", "a", "", "", "b", ""])
    app = App()

    def plain() -> Iterator[str]:
        yield from pieces

    async def asynchronous() -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    app.get("/")(lambda request: plain() if form == "plain" else asynchronous())
    assert connect(app).get("/").text == "ab"


def test_a_plain_iterable_is_streamed_like_an_iterator(connect: Connect) -> None:
    closed: list[str] = []

    class Words:
        def __iter__(self) -> Iterator[str]:
            try:
                yield "a"
                yield "b"
            finally:
                closed.append("closed")

    client = connect(streaming(Words()))
    assert client.get("/").text == "ab"
    with client.stream("GET", "/") as response:
        assert next(response.iter_text()) == "a"
    assert closed == ["closed"] * 2


def test_an_async_iterable_is_streamed_like_an_iterator_and_closed_by_the_same_task(
    connect: Connect,
) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    class Words:
        async def __aiter__(self) -> AsyncIterator[str]:
            tasks.append(asyncio.current_task())
            try:
                yield "a"
                yield "b"
            finally:
                await asyncio.sleep(0)
                tasks.append(asyncio.current_task())

    client = connect(streaming(Words()))
    assert client.get("/").text == "ab"
    with client.stream("GET", "/") as response:
        assert next(response.iter_text()) == "a"
    began, closed, began_again, closed_again = tasks
    assert began is closed
    assert began_again is closed_again


def test_an_async_stream_is_driven_by_one_task_from_start_to_close(connect: Connect) -> None:
    app = App()
    tasks: list[asyncio.Task[Any] | None] = []

    async def chunks() -> AsyncIterator[str]:
        tasks.append(asyncio.current_task())
        try:
            # Entered and left by different tasks, it would raise.
            async with asyncio.timeout(SECONDS):
                for word in ("one ", "two ", "three"):
                    await asyncio.sleep(0)
                    tasks.append(asyncio.current_task())
                    yield word
        finally:
            tasks.append(asyncio.current_task())

    app.get("/")(lambda request: chunks())
    client = connect(app)
    assert client.get("/").text == "one two three"
    assert len(tasks) == 5
    assert len(set(tasks)) == 1
    tasks.clear()
    with client.stream("GET", "/") as response:
        assert next(response.iter_text()) == "one "
    assert len(set(tasks)) == 1
    assert len(tasks) >= 3


def test_a_timeout_inside_an_async_stream_strikes_inside_it(connect: Connect) -> None:
    app = App()

    async def chunks() -> AsyncIterator[str]:
        yield "before "
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            yield "timeout "
        yield "after"

    app.get("/")(lambda request: chunks())
    assert connect(app).get("/").text == "before timeout after"


def test_a_timeout_across_a_yield_of_an_async_stream_strikes_inside_it(connect: Connect) -> None:
    app = App()

    async def chunks() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(None) as timeout:
                yield "before "
                timeout.reschedule(asyncio.get_running_loop().time())
                await asyncio.Event().wait()
        except TimeoutError:
            yield "after"

    app.get("/")(lambda request: chunks())
    assert connect(app).get("/").text == "before after"


# --- Background ---------------------------------------------------------------------------


def with_background(form: str, ran: list[str], response: Callable[[Any], Response]) -> App:
    app = App()
    app.get("/")(lambda request: response(either(form, lambda: ran.append("background"))))
    return app


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [200, 204, 304, 500])
def test_background_runs_once_whatever_the_response(
    connect: Connect, form: str, status: int, method: str
) -> None:
    ran: list[str] = []
    client = connect(
        with_background(form, ran, lambda call: Response(b"", status, background=call))
    )
    client.request(method, "/")
    assert ran == ["background"]


@pytest.mark.parametrize("chunks_form", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_background_runs_after_the_last_chunk_and_the_close(
    connect: Connect, form: str, chunks_form: str
) -> None:
    ran: list[str] = []
    app = with_background(
        form,
        ran,
        lambda call: StreamingResponse(
            chunks_of(chunks_form, lambda: ran.append("chunk"), lambda: ran.append("close")),
            background=call,
        ),
    )
    with connect(app).stream("GET", "/") as response:
        pieces = response.iter_text()
        next(pieces)
        assert ran == ["chunk"]
        list(pieces)
    assert ran == ["chunk", "chunk", "chunk", "close", "background"]


@pytest.mark.parametrize("chunks_form", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_background_runs_once_when_the_stream_fails(
    connect: Connect, form: str, chunks_form: str
) -> None:
    ran: list[str] = []
    chunks = KINDS[chunks_form](1, fails=True)
    app = with_background(form, ran, lambda call: StreamingResponse(chunks, background=call))  # type: ignore[arg-type]
    with pytest.raises(httpx.RemoteProtocolError):
        connect(app).get("/")
    assert (ran, chunks.closed) == (["background"], 1)


@pytest.mark.parametrize("chunks_form", FORMS)
@pytest.mark.parametrize("form", FORMS)
def test_background_runs_once_when_the_client_leaves(
    connect: Connect, form: str, chunks_form: str
) -> None:
    ran: list[str] = []
    chunks = KINDS[chunks_form](100)
    app = with_background(form, ran, lambda call: StreamingResponse(chunks, background=call))  # type: ignore[arg-type]
    with connect(app).stream("GET", "/") as response:
        next(response.iter_text())
        assert ran == []
    assert ran == ["background"]


@pytest.mark.parametrize("form", FORMS)
def test_a_failing_background_is_logged_and_harms_nothing(
    connect: Connect, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    def explode() -> None:
        raise RuntimeError("boom in the background")

    app.get("/")(lambda request: Response("fine", background=either(form, explode)))
    client = connect(app)
    response = client.get("/")
    assert (response.status_code, response.text) == (200, "fine")
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "microweb"
    assert "background" in record.getMessage()
    assert "boom in the background" in caplog.text
    assert client.get("/").text == "fine"


# --- Errors and ends that are no ordinary ones --------------------------------------------


@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_stop_iteration_raised_by_a_handler_is_an_error_like_any_other(
    connect: Connect, form: str, async_layer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    if async_layer:
        add_async_layer(app)

    def stop(request: Request) -> None:
        next(iter(()))

    app.get("/")(either(form, stop))
    client = connect(app)
    assert client.get("/").status_code == 500
    assert len(errors_in(caplog)) == 1
    assert client.get("/").status_code == 500


@pytest.mark.parametrize("form", FORMS)
def test_an_http_exception_crosses_with_its_headers(connect: Connect, form: str) -> None:
    app = App()

    def refuse(request: Request) -> None:
        raise HTTPException(401, "Who are you?", {"www-authenticate": "Basic"})

    app.get("/")(either(form, refuse))
    response = connect(app).get("/")
    assert (response.status_code, response.text) == (401, "Who are you?")
    assert response.headers["www-authenticate"] == "Basic"


@pytest.mark.parametrize("form", FORMS)
def test_the_traceback_of_an_error_reaches_back_to_the_line_that_raised_it(
    connect: Connect, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()

    def culprit(request: Request) -> None:
        raise LookupError("a part of the test")

    app.get("/")(either(form, culprit))
    assert connect(app).get("/").status_code == 500
    assert "in culprit" in caplog.text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("async_layer", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_an_exit_raised_in_a_handler_reaches_the_thread_of_the_wsgi_server(
    form: str, async_layer: bool, kind: type[BaseException]
) -> None:
    app = App()
    if async_layer:
        add_async_layer(app)

    def leave_now(request: Request) -> None:
        raise kind

    app.get("/exit")(either(form, leave_now))
    app.get("/")(either(form, lambda request: "still here"))
    with pytest.raises(kind):
        wsgi_get(app, "/exit")
    assert wsgi_get(app, "/") == ("200 OK", b"still here")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("raiser", ["handler", "task"])
def test_an_exit_raised_on_the_loop_leaves_the_requests_of_others_alone(
    kind: type[BaseException], raiser: str
) -> None:
    app = App()
    began = threading.Event()
    release: list[asyncio.Event] = []

    @app.get("/wait")
    async def wait(request: Request) -> str:
        release.append(asyncio.Event())
        began.set()
        async with asyncio.timeout(SECONDS):
            await release[0].wait()
        return "unharmed"

    @app.get("/exit")
    async def leave_now(request: Request) -> None:
        if raiser == "handler":
            raise kind
        task = asyncio.create_task(raising())
        await task

    async def raising() -> None:
        await asyncio.sleep(0)
        raise kind

    @app.get("/release")
    async def let_go(request: Request) -> str:
        release[0].set()
        return "released"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wsgi_get, app, "/wait")
        assert began.wait(SECONDS)
        with pytest.raises(kind):
            wsgi_get(app, "/exit")
        assert wsgi_get(app, "/release") == ("200 OK", b"released")
        assert waiting.result(SECONDS) == ("200 OK", b"unharmed")


@pytest.mark.parametrize("async_layer", [False, True])
def test_a_handler_whose_own_task_is_cancelled_is_a_500_under_wsgi(
    async_layer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    if async_layer:
        add_async_layer(app)

    @app.get("/")
    async def suicidal(request: Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    status, _ = wsgi_get(app, "/")
    assert status.startswith("500 ")
    assert "cancelled" in caplog.text


def test_a_stream_whose_own_task_is_cancelled_fails_in_the_thread_of_the_wsgi_server() -> None:
    app = App()

    async def chunks() -> AsyncIterator[str]:
        yield "first"
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        yield "never"

    app.get("/")(lambda request: chunks())
    with pytest.raises(RuntimeError, match="cancelled"):
        wsgi_get(app, "/")


# --- An interrupted wait ------------------------------------------------------------------


class Interrupt(BaseException):
    """What the signal's handler raises, as gunicorn's raises SystemExit."""


@pytest.fixture
def interrupting() -> Iterator[Callable[[], None]]:
    """A function that interrupts the main thread, wherever it is called."""

    def on_signal(number: int, frame: Any) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, on_signal)
    main = threading.main_thread().ident
    assert main is not None
    try:
        yield lambda: signal.pthread_kill(main, signal.SIGALRM)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("async_layer", [False, True])
def test_an_interrupted_wait_cancels_the_async_handler(
    interrupting: Callable[[], None], async_layer: bool
) -> None:
    app = App()
    if async_layer:
        add_async_layer(app)
    ends: list[str] = []

    @app.get("/")
    async def forever(request: Request) -> str:
        # Later, when the server's thread has gone to sleep for certain
        asyncio.get_running_loop().call_later(0.05, interrupting)
        try:
            async with asyncio.timeout(SECONDS):
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ends.append("cleaned up")
            raise
        return "never"

    @app.get("/next")
    async def after(request: Request) -> str:
        return "next"

    with pytest.raises(Interrupt):
        wsgi_get(app, "/")
    assert ends == ["cleaned up"]
    assert wsgi_get(app, "/next") == ("200 OK", b"next")


def test_an_interrupt_in_a_plain_handler_cancels_the_async_layers_around_it() -> None:
    app = App()
    ends: list[str] = []

    @app.middleware
    def outer(request: Request) -> Iterator[None]:
        try:
            yield
        finally:
            ends.append("outer")

    @app.middleware
    async def inner(request: Request, call_next: CallNext) -> Response:
        try:
            return await call_next(request)
        except asyncio.CancelledError:
            ends.append("inner")
            raise

    @app.get("/")
    def interrupted(request: Request) -> None:
        raise Interrupt

    with pytest.raises(Interrupt):
        wsgi_get(app, "/")
    assert ends == ["inner", "outer"]


def test_an_interrupted_stream_is_cancelled_and_closed_once(
    interrupting: Callable[[], None],
) -> None:
    app = App()
    ends: list[str] = []

    async def chunks() -> AsyncIterator[str]:
        try:
            yield "first"
            asyncio.get_running_loop().call_later(0.05, interrupting)
            async with asyncio.timeout(SECONDS):
                await asyncio.Event().wait()
        finally:
            ends.append("closed")

    app.get("/")(lambda request: chunks())
    with pytest.raises(Interrupt):
        wsgi_get(app, "/")
    assert ends == ["closed"]


def test_an_interrupt_never_leaves_a_handler_behind(interrupting: Callable[[], None]) -> None:
    """However early it comes: the task is over when the server's thread goes on."""
    app = App()
    running = 0

    @app.get("/")
    async def forever(request: Request) -> str:
        nonlocal running
        running += 1
        try:
            interrupting()  # the server's thread may not even have begun to wait
            async with asyncio.timeout(SECONDS):
                await asyncio.Event().wait()
        finally:
            running -= 1
        return "never"

    for _ in range(100):
        with pytest.raises(Interrupt):
            wsgi_get(app, "/")
        assert running == 0


def test_a_second_interrupt_does_not_wait_for_a_handler_that_will_not_end(
    interrupting: Callable[[], None],
) -> None:
    app = App()
    ended, may_end = threading.Event(), threading.Event()

    @app.get("/")
    async def stubborn(request: Request) -> str:
        loop = asyncio.get_running_loop()
        try:
            loop.call_soon(interrupting)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            loop.call_soon(interrupting)
            # Bounded, so that a thread that waits for it is seen, and not waited for.
            await asyncio.to_thread(may_end.wait, 5)
        ended.set()
        return "never"

    with pytest.raises(Interrupt):
        wsgi_get(app, "/")
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(SECONDS)
