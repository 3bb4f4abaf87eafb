"""Lifespan: what runs around an application's life in one process, through both doors."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from types import MappingProxyType, SimpleNamespace
from typing import Any
from wsgiref.validate import validator as wsgi_validator

import pytest

from microweb import App, Request, gunicorn_conf
from microweb.testing import TestClient

from .asgi_validator import validator as asgi_validator
from .conftest import CHECKERS, Connect, Protocol

Lifespan = Callable[[App], Any]

KINDS = ("def", "async def")
both_kinds = pytest.mark.parametrize("kind", KINDS)


class NoDatabase(Exception):
    """What goes wrong at a start."""


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [r for r in caplog.records if r.name == "microweb" and r.levelno >= logging.ERROR]


def life_of(
    kind: str,
    start: Callable[[], Any] = lambda: None,
    stop: Callable[[], Any] = lambda: None,
    left: Callable[[], Any] = lambda: None,
) -> Lifespan:
    """A lifespan, plain or async: `start`, the yield of what that gave, `stop`; `left` always."""

    def plain(app: App) -> Iterator[Any]:
        try:
            yield start()
            stop()
        finally:
            left()

    async def asynchronous(app: App) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        try:
            yield start()
            await asyncio.sleep(0)
            stop()
        finally:
            left()

    return plain if kind == "def" else asynchronous


def noted(kind: str, name: str, events: list[str]) -> Lifespan:
    """A lifespan that notes its start and its stop."""
    return life_of(kind, lambda: events.append(f"{name} in"), lambda: events.append(f"{name} out"))


def app_of(*lives: Lifespan) -> App:
    app = App()
    app.get("/")(lambda request: "hello")
    for life in lives:
        app.lifespan(life)
    return app


def client_of(app: App, protocol: Protocol) -> TestClient:
    """A client that plays a server with lifespan where it is entered, without it otherwise."""
    return TestClient(app, protocol, wrap=CHECKERS[protocol])


def raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


# --- Through both doors ---------------------------------------------------------------------


@pytest.mark.parametrize("outer", KINDS)
@pytest.mark.parametrize("inner", KINDS)
def test_lifespans_nest_around_all_requests(protocol: Protocol, outer: str, inner: str) -> None:
    events: list[str] = []
    app = app_of(noted(outer, "outer", events), noted(inner, "inner", events))
    app.get("/note")(lambda request: events.append("request"))
    with client_of(app, protocol) as client:
        assert events == ["outer in", "inner in"]
        client.get("/note")
        client.get("/note")
    assert events == ["outer in", "inner in", "request", "request", "inner out", "outer out"]


@both_kinds
@pytest.mark.parametrize("wrap", [dict, MappingProxyType])
def test_a_mapping_is_merged_into_the_state_of_the_app(
    connect: Connect, kind: str, wrap: Callable[[Any], Any]
) -> None:
    app = app_of(
        life_of(kind, lambda: wrap({"a": 1, "b": 1})),
        life_of(kind),
        life_of(kind, lambda: wrap({"b": 2})),
    )
    app.state.own = 0

    @app.get("/state")
    def state(request: Request) -> list[int]:
        return [request.app.state.own, request.app.state.a, app.state.b]

    assert connect(app).get("/state").json() == [0, 1, 2]


def test_a_lifespan_sees_the_app_and_what_those_before_it_gave(connect: Connect) -> None:
    seen = []

    def first(app: App) -> Iterator[dict[str, str]]:
        seen.append(app)
        yield {"pool": "pool"}

    async def second(app: App) -> AsyncIterator[dict[str, str]]:
        seen.append(app)
        yield {"cache": f"cache in {app.state.pool}"}

    app = app_of(first, second)
    connect(app)
    assert seen == [app, app]
    assert app.state.cache == "cache in pool"


@both_kinds
def test_a_failure_at_startup_is_said_and_leaves_what_had_begun(
    protocol: Protocol, kind: str
) -> None:
    events: list[str] = []
    app = app_of(
        life_of(kind, lambda: events.append("in"), left=lambda: events.append("left")),
        life_of(kind, raising(NoDatabase("no database"))),
        noted(kind, "never", events),
    )
    with pytest.raises(Exception, match="no database"), client_of(app, protocol):
        pytest.fail("it started")
    assert events == ["in", "left"]


@both_kinds
def test_a_failure_at_shutdown_is_said_and_leaves_the_others_all_the_same(
    protocol: Protocol, kind: str
) -> None:
    events: list[str] = []
    app = app_of(
        life_of(kind, left=lambda: events.append("outer left")),
        life_of(kind, stop=raising(NoDatabase("no database"))),
        noted(kind, "inner", events),
    )
    with pytest.raises(Exception, match="no database"), client_of(app, protocol) as client:
        assert client.get("/").text == "hello"
    assert events == ["inner in", "inner out", "outer left"]


@both_kinds
def test_an_app_starts_again_after_it_was_stopped(protocol: Protocol, kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    for _ in range(2):
        with client_of(app, protocol) as client:
            assert [client.get("/").text for _ in range(2)] == ["hello", "hello"]
    assert events == ["life in", "life out"] * 2


@both_kinds
def test_an_app_starts_again_after_a_failed_start_and_a_failed_stop(
    protocol: Protocol, kind: str
) -> None:
    failures = [NoDatabase("at the start"), None, NoDatabase("at the stop"), None]

    def next_step() -> None:
        if failures and (failure := failures.pop(0)) is not None:
            raise failure

    app = app_of(life_of(kind, next_step, next_step))
    with pytest.raises(Exception, match="at the start"), client_of(app, protocol):
        pytest.fail("it started")
    with pytest.raises(Exception, match="at the stop"), client_of(app, protocol) as client:
        assert client.get("/").text == "hello"
    with client_of(app, protocol) as client:
        assert client.get("/").text == "hello"


def test_an_async_lifespan_is_entered_and_left_in_one_task(protocol: Protocol) -> None:
    tasks: list[object] = []

    def note() -> None:
        tasks.append(asyncio.current_task())

    with client_of(app_of(life_of("async def", note, note)), protocol) as client:
        client.get("/")
    assert len(tasks) == 2
    assert tasks[0] is not None
    assert tasks[0] is tasks[1]


def test_a_task_group_may_stand_around_the_life_of_the_app(protocol: Protocol) -> None:
    events: list[str] = []

    async def workers(app: App) -> AsyncIterator[dict[str, Any]]:
        queue: asyncio.Queue[asyncio.Future[str] | None] = asyncio.Queue()

        async def work() -> None:
            while (wish := await queue.get()) is not None:
                wish.set_result("granted")
            events.append("worker done")

        async with asyncio.TaskGroup() as group, asyncio.timeout(None):
            group.create_task(work())
            yield {"queue": queue}
            await queue.put(None)
        events.append("group done")

    app = app_of(workers)

    @app.get("/wish")
    async def wish(request: Request) -> str:
        future = asyncio.get_running_loop().create_future()
        await app.state.queue.put(future)
        return str(await future)

    with client_of(app, protocol) as client:
        assert [client.get("/wish").text for _ in range(3)] == ["granted"] * 3
    assert events == ["worker done", "group done"]


@both_kinds
def test_a_life_that_begins_with_the_first_request_begins_once(
    protocol: Protocol, kind: str
) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    client = client_of(app, protocol)  # not entered: a server that knows no lifespan
    assert events == []
    assert [client.get("/").text for _ in range(3)] == ["hello"] * 3
    assert events == ["life in"]
    keep_alive(app)


@both_kinds
def test_a_start_that_fails_at_the_first_request_is_500_logged_and_tried_again_by_the_next(
    protocol: Protocol, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [NoDatabase("swordfish"), NoDatabase("swordfish")]
    starts = []

    def start() -> None:
        starts.append("start")
        if failures:
            raise failures.pop()

    app = app_of(life_of(kind, start))
    client = client_of(app, protocol)
    for attempt in (1, 2):
        response = client.get("/")
        assert (response.status_code, response.text) == (500, "Internal Server Error")
        assert len(errors_in(caplog)) == attempt
    record = errors_in(caplog)[0]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], NoDatabase)
    assert [client.get("/").text for _ in range(2)] == ["hello", "hello"]
    assert starts == ["start"] * 3
    keep_alive(app)


def test_a_failed_start_is_answered_by_the_last_resort(protocol: Protocol) -> None:
    app = app_of(life_of("def", raising(NoDatabase())))
    app.exception_handler(Exception)(lambda request, error: (f"sorry: {error!r}", 503))
    response = client_of(app, protocol).get("/")
    assert (response.status_code, response.text) == (503, "sorry: NoDatabase()")


def test_a_start_that_is_cancelled_is_a_failed_start_and_no_silence(protocol: Protocol) -> None:
    async def cancelled(app: App) -> AsyncIterator[None]:
        raise asyncio.CancelledError
        yield

    app = app_of(cancelled)
    if protocol == "wsgi":
        assert client_of(app, protocol).get("/").status_code == 500
    else:

        async def main() -> None:
            async with asyncio.timeout(5):
                assert await get(app) == (500, "Internal Server Error")

        asyncio.run(main())


def keep_alive(app: App) -> None:
    """Keep an app whose life was begun by a request, and is ended by nobody, from collection."""
    _kept.append(app)


_kept: list[App] = []


# --- Registration ---------------------------------------------------------------------------


def plain_function(app: App) -> None: ...


async def async_function(app: App) -> None: ...


class PlainObject:
    def __call__(self, app: App) -> None: ...


@pytest.mark.parametrize(
    "wrong", [plain_function, async_function, PlainObject(), PlainObject, "life", None, 42]
)
def test_what_is_no_generator_function_is_no_lifespan(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"lifespan.*generator"):
        App().lifespan(wrong)


def test_the_refusal_of_a_lifespan_names_it() -> None:
    with pytest.raises(TypeError, match=r"plain_function .*test_lifespan\.py:\d+"):
        App().lifespan(plain_function)


class Life:
    """Lifespans in the shapes that an object can give them."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, app: App) -> Iterator[dict[str, str]]:
        yield {"word": self.word}

    async def method(self, app: App) -> AsyncIterator[dict[str, str]]:
        yield {"word": self.word}


def word_life(word: str, app: App) -> Iterator[dict[str, str]]:
    yield {"word": word}


@pytest.mark.parametrize(
    "life",
    [
        Life("x"),
        Life("x").method,
        functools.partial(word_life, "x"),
        functools.partial(Life.method, Life("x")),
        functools.partial(Life("x")),
    ],
    ids=["object", "method", "partial", "async partial", "partial of an object"],
)
def test_objects_methods_and_partials_are_lifespans(connect: Connect, life: Lifespan) -> None:
    app = app_of(life)
    connect(app)
    assert app.state.word == "x"


def never_yields(app: App) -> Iterator[None]:
    if app.debug:
        yield


async def async_never_yields(app: App) -> AsyncIterator[None]:
    if app.debug:
        yield


def yields_twice(app: App) -> Iterator[None]:
    yield
    yield


async def async_yields_twice(app: App) -> AsyncIterator[None]:
    yield
    yield


def yields_a_number(app: App) -> Iterator[int]:
    yield 42


async def async_yields_a_number(app: App) -> AsyncIterator[int]:
    yield 42


@pytest.mark.parametrize(
    "life",
    [
        never_yields,
        async_never_yields,
        yields_twice,
        async_yields_twice,
        yields_a_number,
        async_yields_a_number,
    ],
)
def test_a_lifespan_that_breaks_the_rules_is_named_in_the_traceback(
    protocol: Protocol, life: Lifespan, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_of(noted("def", "outer", []), life)
    with (
        pytest.raises(Exception, match=r"yield|stop|iterable|mapping|int") as caught,
        client_of(app, protocol) as client,
    ):
        client.get("/")
    # Under ASGI the error goes to the log, and its message to the server.
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert re.search(rf"\b{life.__name__} \(.*test_lifespan\.py", shown)


# --- WSGI: a protocol without lifespan ------------------------------------------------------


@both_kinds
def test_wsgi_startup_begins_the_life_once_and_shutdown_ends_it_once(kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    app.wsgi.shutdown()
    assert events == []
    app.wsgi.startup()
    app.wsgi.startup()
    assert client_of(app, "wsgi").get("/").text == "hello"
    assert events == ["life in"]
    app.wsgi.shutdown()
    app.wsgi.shutdown()
    assert events == ["life in", "life out"]


@both_kinds
def test_a_wsgi_request_after_shutdown_begins_a_new_life(kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    client = client_of(app, "wsgi")
    client.get("/")
    app.wsgi.shutdown()
    assert client.get("/").text == "hello"
    app.wsgi.shutdown()
    assert events == ["life in", "life out"] * 2


@both_kinds
def test_wsgi_startup_raises_what_the_lifespan_raised_and_can_be_tried_again(kind: str) -> None:
    failures = [NoDatabase("no database")]

    def start() -> None:
        if failures:
            raise failures.pop()

    app = app_of(life_of(kind, start))
    with pytest.raises(NoDatabase, match="no database"):
        app.wsgi.startup()
    app.wsgi.startup()
    app.wsgi.shutdown()


@both_kinds
def test_wsgi_shutdown_raises_what_the_lifespan_raised_and_is_over(kind: str) -> None:
    app = app_of(life_of(kind, stop=raising(NoDatabase("no database"))))
    app.wsgi.startup()
    with pytest.raises(NoDatabase, match="no database"):
        app.wsgi.shutdown()
    app.wsgi.shutdown()


@both_kinds
def test_wsgi_life_may_end_in_another_thread_than_it_began(kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    for step in (app.wsgi.startup, app.wsgi.shutdown):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    assert events == ["life in", "life out"]


@both_kinds
def test_concurrent_first_wsgi_requests_begin_one_life_and_all_wait_for_it(kind: str) -> None:
    count = 8
    starts: list[str] = []
    come, go = threading.Semaphore(0), threading.Event()

    def start() -> dict[str, bool]:
        starts.append("start")
        go.wait(30)
        return {"ready": True}

    app = app_of(life_of(kind, start))
    app.get("/ready")(lambda request: {"ready": app.state.ready})
    client = client_of(app, "wsgi")
    answers: list[Any] = []

    def visit() -> None:
        come.release()
        answers.append(client.get("/ready").json())

    threads = [threading.Thread(target=visit) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        come.acquire()
    go.set()
    for thread in threads:
        thread.join()
    app.wsgi.shutdown()
    assert starts == ["start"]
    assert answers == [{"ready": True}] * count


def test_a_plain_wsgi_life_begins_in_the_thread_that_asks_for_it() -> None:
    threads: list[int] = []
    app = app_of(life_of("def", lambda: threads.append(threading.get_ident())))
    app.wsgi.startup()
    app.wsgi.shutdown()
    assert threads == [threading.get_ident()]


@both_kinds
def test_the_gunicorn_hooks_begin_and_end_the_life_of_a_worker(kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "life", events))
    arbiter, worker = SimpleNamespace(), SimpleNamespace(wsgi=app.wsgi)
    gunicorn_conf.post_worker_init(worker)
    assert events == ["life in"]
    assert client_of(app, "wsgi").get("/").text == "hello"
    gunicorn_conf.worker_exit(arbiter, worker)
    assert events == ["life in", "life out"]


def test_the_gunicorn_hooks_let_other_applications_and_unfinished_workers_be() -> None:
    events: list[str] = []
    app = app_of(noted("def", "life", events))
    other = SimpleNamespace(wsgi=wsgi_validator(app.wsgi))
    gunicorn_conf.post_worker_init(other)
    gunicorn_conf.worker_exit(None, other)
    gunicorn_conf.worker_exit(None, SimpleNamespace())  # it failed before it loaded the app
    assert events == []


# --- Processes ------------------------------------------------------------------------------

PROGRAM = """
import asyncio, gc, os, sys
from wsgiref.util import setup_testing_defaults
from microweb import App

app = App()

@app.lifespan
{kind} life(app):
    print("in", "parent" if os.getpid() == PARENT else "child", flush=True)
    try:
        yield {{"born": os.getpid()}}
        print("out", "parent" if os.getpid() == PARENT else "child", flush=True)
    finally:
        print("left", "parent" if os.getpid() == PARENT else "child", flush=True)

@app.get("/plain")
def plain(request):
    return str(app.state.born == os.getpid())

@app.get("/async")
async def asynchronous(request):
    await asyncio.sleep(0)
    return str(app.state.born == os.getpid())

def wsgi(path):
    environ = {{"PATH_INFO": path, "SCRIPT_NAME": ""}}
    setup_testing_defaults(environ)
    body = app.wsgi(environ, lambda *_: None)
    return b"".join(body).decode()

def asgi(path):
    sent = []
    async def receive():
        return {{"type": "http.request"}}
    async def send(message):
        sent.append(message)
    scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": "GET",
             "path": path, "query_string": b"", "headers": []}}
    asyncio.run(app.asgi(scope, receive, send))
    return sent[1]["body"].decode()

def child():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return not pid

PARENT = os.getpid()
"""


def output_of(kind: str, program: str) -> list[str]:
    """What a process of its own prints, in lines."""
    done = subprocess.run(
        # Python 3.12 and later warn of a fork beside threads, which is what is tried here.
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            PROGRAM.format(kind=kind) + program,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@both_kinds
def test_a_wsgi_life_without_hooks_ends_with_its_process(kind: str) -> None:
    program = "print(wsgi('/plain'), wsgi('/async'))"
    assert output_of(kind, program) == ["in parent", "True True", "out parent", "left parent"]


@both_kinds
def test_a_child_process_begins_a_life_of_its_own_and_leaves_its_parents_alone(kind: str) -> None:
    program = """
print(wsgi("/plain"), wsgi("/async"), flush=True)
if child():
    print(wsgi("/async"), wsgi("/plain"), flush=True)
    app.wsgi.shutdown()
    os._exit(0)
print(wsgi("/async"), wsgi("/plain"), flush=True)
"""
    assert output_of(kind, program) == [
        "in parent",
        "True True",
        "in child",
        "True True",
        "out child",
        "left child",
        "True True",
        "out parent",
        "left parent",
    ]


@both_kinds
def test_a_child_process_that_serves_nothing_ends_nothing_of_its_parents(kind: str) -> None:
    program = """
print(wsgi("/async"), flush=True)
if child():
    app.wsgi.shutdown()
    gc.collect()
    os._exit(0)
print(wsgi("/async"), flush=True)
"""
    assert output_of(kind, program) == [
        "in parent",
        "True",
        "True",
        "out parent",
        "left parent",
    ]


def test_a_child_process_has_threads_of_its_own_for_plain_handlers_under_asgi() -> None:
    program = """
print(asgi("/plain"), asgi("/async"), flush=True)
if child():
    print(asgi("/plain"), asgi("/async"), flush=True)
    os._exit(0)
print(asgi("/plain"), flush=True)
"""
    answers = [line for line in output_of("def", program) if line[0] == "T"]
    assert answers == ["True True", "True True", "True"]


# --- ASGI: a protocol with lifespan ---------------------------------------------------------

Message = dict[str, Any]


def asgi_life(app: App) -> list[Message]:
    """What the app says, as a server tells it to start and then to stop."""
    sent: list[Message] = []
    told = iter(["startup", "shutdown"])

    async def receive() -> Message:
        return {"type": f"lifespan.{next(told)}"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        await asgi_validator(app.asgi)(scope, receive, send)

    asyncio.run(main())
    return sent


async def get(app: App, path: str = "/") -> tuple[int, str]:
    """The status and the text that `app.asgi` gives, where no lifespan event has told it."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
    }
    await asgi_validator(app.asgi)(scope, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]).decode()


@both_kinds
def test_asgi_lifespan_events_are_answered_in_turn(kind: str) -> None:
    events: list[str] = []
    assert asgi_life(app_of(noted(kind, "life", events))) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.complete"},
    ]
    assert events == ["life in", "life out"]


def test_asgi_lifespan_is_answered_by_an_app_that_has_none() -> None:
    kinds = [message["type"] for message in asgi_life(App())]
    assert kinds == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@both_kinds
def test_an_asgi_start_that_fails_is_said_not_raised_and_logged(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    (message,) = asgi_life(app_of(life_of(kind, raising(NoDatabase("no database")))))
    assert message["type"] == "lifespan.startup.failed"
    assert "no database" in message["message"]
    (record,) = errors_in(caplog)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], NoDatabase)


@both_kinds
def test_an_asgi_stop_that_fails_is_said_not_raised_and_logged(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, message = asgi_life(app_of(life_of(kind, stop=raising(NoDatabase("no database")))))
    assert message["type"] == "lifespan.shutdown.failed"
    assert "no database" in message["message"]
    assert len(errors_in(caplog)) == 1


@both_kinds
def test_concurrent_first_asgi_requests_begin_one_life_and_all_wait_for_it(kind: str) -> None:
    starts: list[str] = []

    def start() -> dict[str, bool]:
        starts.append("start")
        return {"ready": True}

    async def main() -> None:
        come = asyncio.Event()

        async def waits(app: App) -> AsyncIterator[None]:
            await come.wait()
            yield

        app = app_of(waits, life_of(kind, start))
        app.get("/ready")(lambda request: str(app.state.ready))
        requests = [asyncio.create_task(get(app, "/ready")) for _ in range(8)]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not any(request.done() for request in requests)
        come.set()
        assert await asyncio.gather(*requests) == [(200, "True")] * 8

    asyncio.run(main())
    assert starts == ["start"]


def test_concurrent_first_asgi_requests_share_a_failed_start() -> None:
    starts: list[str] = []

    async def main() -> None:
        come = asyncio.Event()

        async def fails_once(app: App) -> AsyncIterator[None]:
            starts.append("start")
            await come.wait()
            if len(starts) == 1:
                raise NoDatabase
            yield

        app = app_of(fails_once)
        requests = [asyncio.create_task(get(app)) for _ in range(4)]
        for _ in range(10):
            await asyncio.sleep(0)
        come.set()
        assert await asyncio.gather(*requests) == [(500, "Internal Server Error")] * 4
        assert await get(app) == (200, "hello")

    asyncio.run(main())
    assert starts == ["start", "start"]


def test_a_first_asgi_request_that_is_cancelled_does_not_cancel_the_start() -> None:
    async def main() -> None:
        begun, come = asyncio.Event(), asyncio.Event()

        async def waits(app: App) -> AsyncIterator[None]:
            begun.set()
            await come.wait()
            yield

        app = app_of(waits)
        first = asyncio.create_task(get(app))
        await begun.wait()
        second = asyncio.create_task(get(app))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        come.set()
        assert await second == (200, "hello")

    asyncio.run(main())


@both_kinds
def test_an_asgi_life_without_events_ends_with_its_loop_as_if_told_to(kind: str) -> None:
    events: list[str] = []
    app = app_of(noted(kind, "outer", events), noted(kind, "inner", events))
    for _ in range(2):
        assert asyncio.run(get(app)) == (200, "hello")
    assert events == ["outer in", "inner in", "inner out", "outer out"] * 2


def test_an_asgi_life_that_was_stopped_on_one_loop_starts_on_another() -> None:
    loops: list[int] = []
    app = app_of(life_of("async def", lambda: loops.append(id(asyncio.get_running_loop()))))
    for _ in range(2):
        assert len(asgi_life(app)) == 2
    assert len(loops) == 2


def test_an_async_lifespan_runs_on_the_loop_of_the_async_handlers(connect: Connect) -> None:
    async def pool(app: App) -> AsyncIterator[dict[str, Any]]:
        yield {"loop": asyncio.get_running_loop()}

    app = app_of(pool)

    @app.get("/same")
    async def same(request: Request) -> str:
        return str(app.state.loop is asyncio.get_running_loop())

    assert connect(app).get("/same").text == "True"
