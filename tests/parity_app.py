"""The application of the tests of parity: forms, files, events, sessions and the rest of the model.

Every handler stands there twice, plain and async. `tests.live_parity` hands the same
applications to real servers.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from microweb import (
    AccessLogMiddleware,
    App,
    CORSMiddleware,
    EventSourceResponse,
    FileResponse,
    GZipMiddleware,
    HTTPException,
    ProxyHeadersMiddleware,
    Request,
    RequestIdMiddleware,
    Response,
    Router,
    ServerSentEvent,
    SessionMiddleware,
    StreamingResponse,
    Templates,
    TrustedHostMiddleware,
    UploadFile,
    WebSocket,
)

PROXY = "192.0.2.7"
NOW = 1_800_000_000
MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
EVERY = ["GET", "POST", "PUT", "DELETE"]

FILES = {
    "small.txt": b"hello, file\n",
    "empty.txt": b"",
    "text.html": b"<p>compressible</p>\n" * 200,
    "large.txt": b"a line of a large text\n" * 4000,  # streamed, as the next one
    "large.bin": bytes(range(256)) * 300,
    "größe 100%.txt": b"a name that needs its escapes",
    ".hidden": b"a secret",
    "index.html": b"<p>the index",
    "folder/index.html": b"<p>the folder's index",
    "folder/deep.css": b"body{}",
    "bare/file.txt": b"of a folder without an index",
}
TEMPLATES = {
    "page.html": b"<h1>{{ title }}</h1>{% for k, v in query %}<p>{{ k }}={{ v }}{% endfor %}"
    b'<a href="{{ url_path_for("page") }}">{{ url_for("in.shop", shop=title) }}</a>'
    b"{{ request.path }}",
    "page.txt": "{{ title }} {{ request.method }} é\n".encode(),
}


def write_files(folder: Path) -> None:
    """The files that the application answers with, some of which it must not."""
    for place, files in (("files", FILES), ("templates", TEMPLATES)):
        for name, content in files.items():
            file = folder / place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            os.utime(file, (MODIFIED, MODIFIED))
    (folder / "secret.txt").write_bytes(b"outside of the directory")
    for name, target in {
        "link.txt": "small.txt",
        "out.txt": "../secret.txt",
        "out": "..",
        "loop": "loop",
        "broken": "nowhere",
    }.items():
        (folder / "files" / name).symlink_to(target)


def layered(app: App) -> App:
    """The application, inside of all layers that come with the framework."""
    for layer in (
        AccessLogMiddleware(),
        RequestIdMiddleware(),
        ProxyHeadersMiddleware(
            trusted=[PROXY, "10.0.0.0/8"],
            headers=[f"x-forwarded-{kind}" for kind in ("for", "proto", "host", "port")],
        ),
        TrustedHostMiddleware(["shop.example", "*.shop.example"]),
        CORSMiddleware(
            origins=["https://a.example", "https://*.b.example"],
            methods=["GET", "PUT"],
            headers="*",
            expose="etag",
            credentials=True,
        ),
        GZipMiddleware(minimum_size=500),
        SessionMiddleware("the key of an example, 0123456789", max_age=3600),
    ):
        app.middleware(layer)
    return app


def on_the_loop(app: App) -> App:
    """The application with an async layer, so that WSGI has to take it all to the app's loop."""

    @app.middleware
    async def suspending(request: Request, call_next: Any) -> Any:
        await asyncio.sleep(0)
        return await call_next(request)

    return app


def model_app(folder: Path) -> App:
    """The application, without a layer."""
    app = App(max_body_size=5000, max_upload_size=100_000)
    _take_forms(app)
    _take_streams(app)
    _send_files(app, folder)
    _send_streams(app)
    _remember(app)
    _tell(app, Templates(folder / "templates"))
    app.mount("/in", _shop())
    return app


def twice(
    app: Router, path: str, methods: list[str] | None = None, name: str | None = None
) -> Callable[[Callable[..., Any]], None]:
    """Register a plain handler at `path`, and an async one that does the same at /async."""

    def register(handler: Callable[..., Any]) -> None:
        async def in_async(request: Request, **path_params: Any) -> Any:
            await asyncio.sleep(0)
            return handler(request, **path_params)

        app.route(path, methods=methods or ["GET"], name=name)(handler)
        app.route(f"/async{path}", methods=methods or ["GET"], name=f"async {path}")(in_async)

    return register


def told(value: str | UploadFile) -> Any:
    """A field as it is, a file as all that it says of itself."""
    if isinstance(value, str):
        return value
    content = value.file.read()
    assert value.size == len(content)
    return [value.filename, value.safe_name, value.content_type, sha256(content).hexdigest()]


def _take_forms(app: App) -> None:
    @twice(app, "/form", EVERY)
    def form(request: Request) -> dict[str, Any]:
        names = request.form
        return {
            "all": [[name, told(value)] for name, value in names.multi_items()],
            "first": {name: bool(value) for name, value in names.items()},
        }


def _take_streams(app: App) -> None:
    @app.route("/echo", methods=EVERY, stream=True)
    def echo(request: Request) -> Iterator[bytes]:
        yield from request.stream

    @app.route("/async/echo", methods=EVERY, stream=True)
    async def async_echo(request: Request) -> AsyncIterator[bytes]:
        async for piece in request.stream:
            yield piece

    @app.route("/count", methods=EVERY, stream=True)
    def count(request: Request) -> dict[str, int]:
        return {"bytes": sum(len(piece) for piece in request.stream)}

    @app.route("/async/count", methods=EVERY, stream=True)
    async def async_count(request: Request) -> dict[str, int]:
        return {"bytes": sum([len(piece) async for piece in request.stream])}

    @app.route("/part", methods=EVERY, stream=True)
    def part(request: Request) -> bytes:
        return next(request.stream, b"")[:1]

    @app.route("/async/part", methods=EVERY, stream=True)
    async def async_part(request: Request) -> bytes:
        return (await anext(request.stream, b""))[:1]


def _send_files(app: App, folder: Path) -> None:
    app.static("/static", folder / "files")

    @twice(app, "/file/{name:path}", EVERY)
    def file(request: Request, name: str) -> Response:
        query = request.query
        return FileResponse(
            folder / "files" / name,
            filename=query.get("as"),
            status=int(query.get("status", "200")),
            headers={"etag": query["etag"]} if "etag" in query else None,
            inline="inline" in query,
        )

    @app.exception_handler(OSError)
    async def on_no_file(request: Request, error: OSError) -> tuple[str, int]:
        return type(error).__name__, 404


def _send_streams(app: App) -> None:
    def events_of(request: Request) -> Iterator[ServerSentEvent | str | None]:
        for event in request.json():
            yield ServerSentEvent(**event) if isinstance(event, dict) else event

    @app.post("/events")
    def events(request: Request) -> Response:
        return EventSourceResponse(events_of(request), retry=5)

    @app.post("/async/events")
    async def async_events(request: Request) -> Response:
        async def events() -> AsyncIterator[ServerSentEvent | str | None]:
            for event in events_of(request):
                await asyncio.sleep(0)
                yield event

        return EventSourceResponse(events(), retry=5)

    @app.post("/lines")
    def lines(request: Request) -> Response:
        return StreamingResponse(iter(request.json()), content_type=request.query.get("type"))

    @app.post("/async/lines")
    async def async_lines(request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            for line in request.json():
                await asyncio.sleep(0)
                yield line

        return StreamingResponse(lines(), content_type=request.query.get("type"))

    @twice(app, "/text/{size:int}")
    def text(request: Request, size: int) -> Response:
        headers = {name: request.query[name] for name in ("etag",) if name in request.query}
        return Response("lorem ipsum " * size, 200, headers, request.query.get("type"))


def _remember(app: App) -> None:
    @twice(app, "/cookies")
    def cookies(request: Request) -> Response:
        response = Response(repr(request.cookies))
        for name, value in request.cookies.items():
            if name.isascii() and name.isalnum():
                response.set_cookie(name, value, max_age=60, httponly=True)
        response.delete_cookie("old")
        return response

    @twice(app, "/session", EVERY)
    def session(request: Request) -> dict[str, Any]:
        if request.method == "DELETE":
            request.session.clear()
        elif request.method != "GET":
            request.session.update(request.json())
        return dict(request.session)

    app.state.ran = []

    @twice(app, "/background/{kind}")
    def background(request: Request, kind: str) -> Response:
        def run() -> None:
            app.state.ran.append(request.protocol)
            if kind == "fails":
                raise ValueError("too late to tell")

        if kind == "torn":
            return StreamingResponse(map(bytes.decode, [b"a", b"\xff"]), background=run)
        if kind == "file":
            return FileResponse(__file__, background=run)
        return Response(b"before", background=run)


def _tell(app: App, templates: Templates) -> None:
    @twice(app, "/page", name="page")
    def page(request: Request) -> Response:
        query = request.query
        name = query.get("template", "page.html")
        title = query.get("title", "é & <b>")
        return templates.response(request, name, 203, title=title, query=query.multi_items())

    @twice(app, "/who")
    def who(request: Request) -> dict[str, Any]:
        return {
            "client": request.client,
            "scheme": request.scheme,
            "host": request.host,
            "url": request.url,
            "url_for": request.url_for("page"),
            "prefers": request.prefers("text/html", "application/json"),
            "last_event_id": request.last_event_id,
        }

    @twice(app, "/teapot")
    def teapot(request: Request) -> None:
        raise HTTPException(
            418, "short & <stout> é", {"x-pot": "1", "vary": "x-pot"}, {"type": "/pots", "n": 1}
        )

    @twice(app, "/boom")
    def boom(request: Request) -> None:
        raise ValueError("boom")

    @app.websocket("/chat")
    async def chat(ws: WebSocket) -> None:
        raise AssertionError("no door brings a WebSocket as a request of HTTP")


def _shop() -> Router:
    inner = Router("/shops", name="in")

    @twice(inner, "/{shop}", EVERY, name="shop")
    def shop(request: Request, shop: str) -> list[str]:
        return [shop, request.url_for("in.shop", shop=shop), request.path, request.root_path]

    return inner
