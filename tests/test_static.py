"""Static files: what of a directory can be had through `app.static`, and that nothing else can."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, FileResponse, Request, Router
from microweb import static as static_module
from microweb.static import REFUSED, Directory
from microweb.testing import TestClient

from .conftest import CHECKERS, Connect, Protocol
from .servers import DOORS, PATIENCE, serving

SECRET = b"nobody may read this"
PUBLIC = {
    "index.html": b"<h1>home</h1>",
    "site.css": b"body {}",
    "css/deep/site.css": b"h1 {}",
    "docs/index.html": b"<h1>docs</h1>",
    "bare/file.txt": b"no index here",
    "with space & more;x=1.txt": b"odd",
    "größe.txt": b"umlauts",
    "two..dots.txt": b"dots",
    "a:b.txt": b"colon",
    ".well-known/security.txt": b"contact",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to be served, among others that must not be."""
    above = tmp_path_factory.mktemp("site")
    folder = above / "static"
    for name, content in PUBLIC.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    for secret in ("secret.txt", "static-old/secret.txt", "static/.env", "static/.git/config"):
        file = above / secret
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(SECRET)
    (folder / "listed").mkdir()
    (folder / "odd").mkdir()
    (folder / "odd" / "index.html").mkdir()
    os.mkfifo(folder / "fifo")
    links: dict[str, str | Path] = {
        "inside.css": "site.css",
        "inside": "css/deep",
        "absolute.css": folder / "site.css",
        "out.txt": "../secret.txt",
        "out": "..",
        "old": "../static-old",
        "absolute-out.txt": above / "secret.txt",
        "loop": "loop",
        "dangling": "nowhere",
        "out-and-in.css": "../static/site.css",
        "listed/index.html": "../../secret.txt",
    }
    for link, target in links.items():
        (folder / link).symlink_to(target)
    return folder


def app_of(folder: Path, prefix: str = "/static") -> App:
    app = App()
    app.static(prefix, folder)
    return app


def encoded(path: str) -> str:
    """Every byte of it percent-encoded, so that no client makes another path of it."""
    return "".join(f"%{byte:02x}" for byte in path.encode("utf-8", "surrogateescape"))


# --- What is there -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLIC)
def test_a_file_is_served(connect: Connect, folder: Path, name: str) -> None:
    response = connect(app_of(folder)).get(f"/static/{encoded(name)}")
    assert (response.status_code, response.content) == (200, PUBLIC[name])
    assert response.headers["etag"]
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("inside.css", "site.css"),
        ("inside/site.css", "css/deep/site.css"),
        ("absolute.css", "site.css"),
        ("out-and-in.css", "site.css"),  # where it ends is what counts
        ("out/static/site.css", "site.css"),
    ],
)
def test_a_link_within_the_directory_is_followed(
    connect: Connect, folder: Path, path: str, name: str
) -> None:
    assert connect(app_of(folder)).get(f"/static/{path}").content == PUBLIC[name]


@pytest.mark.parametrize(
    ("path", "name"), [("/static/", "index.html"), ("/static/docs/", "docs/index.html")]
)
def test_a_directory_is_its_index(connect: Connect, folder: Path, path: str, name: str) -> None:
    response = connect(app_of(folder)).get(path)
    assert (response.status_code, response.content) == (200, PUBLIC[name])
    assert response.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/static", "/static/"),
        ("/static?a=1&b=%20", "/static/?a=1&b=%20"),
        ("/static/docs", "/static/docs/"),
        ("/static/docs?a=1&b=%20", "/static/docs/?a=1&b=%20"),
    ],
)
@pytest.mark.parametrize("root_path", ["", "/below"])
def test_a_directory_without_its_slash_is_redirected(
    connect: Connect, folder: Path, path: str, location: str, root_path: str
) -> None:
    response = connect(app_of(folder), root_path=root_path).get(root_path + path)
    assert response.status_code == 308
    assert response.headers["location"] == root_path + location


def test_ranges_conditions_and_head_work_as_with_any_file(connect: Connect, folder: Path) -> None:
    client = connect(app_of(folder))
    head = client.head("/static/site.css")
    assert (head.content, head.headers["content-length"]) == (b"", "7")
    etag = head.headers["etag"]
    assert client.get("/static/site.css", headers={"if-none-match": etag}).status_code == 304
    response = client.get("/static/site.css", headers={"range": "bytes=0-3"})
    assert (response.status_code, response.content) == (206, b"body")
    response = client.get("/static/site.css", headers={"range": "bytes=99-"})
    assert (response.status_code, response.headers["content-range"]) == (416, "bytes */7")


def test_the_type_is_that_of_the_name_asked_for(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "0123abcd").write_bytes(b"p {}")
    (tmp_path / "site.css").symlink_to("0123abcd")
    response = connect(app_of(tmp_path)).get("/static/site.css")
    assert response.headers["content-type"] == "text/css; charset=utf-8"


def test_a_file_that_came_later_is_there_and_one_that_went_is_not(
    connect: Connect, tmp_path: Path
) -> None:
    client = connect(app_of(tmp_path))
    assert client.get("/static/new.txt").status_code == 404
    (tmp_path / "new.txt").write_text("new")
    assert client.get("/static/new.txt").text == "new"
    (tmp_path / "new.txt").unlink()
    assert client.get("/static/new.txt").status_code == 404


@pytest.mark.parametrize("prefix", ["", "/"])
def test_the_root_may_be_static_beside_other_routes(
    connect: Connect, folder: Path, prefix: str
) -> None:
    app = App()
    app.get("/hello")(lambda request: "hello")
    app.static(prefix, folder)
    client = connect(app)
    assert client.get("/").content == PUBLIC["index.html"]
    assert client.get("/css/deep/site.css").content == PUBLIC["css/deep/site.css"]
    assert client.get("/hello").text == "hello"
    assert client.get("/docs").headers["location"] == "/docs/"


def test_only_get_and_head(connect: Connect, folder: Path) -> None:
    response = connect(app_of(folder)).post("/static/site.css", content=b"x")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


def test_urls_by_name(folder: Path) -> None:
    app = app_of(folder)
    app.static("/media", folder, name="media")
    assert app.url_path_for("static", path="css/site.css") == "/static/css/site.css"
    assert app.url_path_for("static", path="a b.css") == "/static/a%20b.css"
    assert app.url_path_for("media", path="x") == "/media/x"


def test_a_router_may_have_files_of_its_own(connect: Connect, folder: Path) -> None:
    router = Router(prefix="/admin", name="admin")
    router.static("/files", folder)
    app = App()
    app.mount("/v1", router)
    client = connect(app)
    assert app.url_path_for("admin.static", path="docs") == "/v1/admin/files/docs"
    assert client.get("/v1/admin/files/site.css").content == PUBLIC["site.css"]
    assert client.get("/v1/admin/files/docs").headers["location"] == "/v1/admin/files/docs/"


def test_layers_and_the_404_page_are_the_applications(connect: Connect, folder: Path) -> None:
    app = app_of(folder)

    @app.exception_handler(404)
    async def missing(request: Request, error: Exception) -> str:
        return "nothing here"

    @app.middleware
    def keep(request: Request) -> Any:
        response = yield
        response.headers["cache-control"] = "max-age=60"

    client = connect(app)
    assert client.get("/static/site.css").headers["cache-control"] == "max-age=60"
    response = client.get("/static/nowhere")
    assert (response.status_code, response.text) == (404, "nothing here")


def test_under_asgi_a_file_costs_one_thread_and_no_more(
    protocol: Protocol, connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microweb.gateways.threads import Threads

    calls = []
    real = Threads.call

    async def call(self: Threads, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        calls.append(function)
        return await real(self, function, *args, **kwargs)

    monkeypatch.setattr(Threads, "call", call)
    assert connect(app_of(folder)).get("/static/site.css").status_code == 200
    assert len(calls) == (1 if protocol == "asgi" else 0)


# --- What is not -------------------------------------------------------------------------------

WRONG = [
    "nowhere.css",
    "css",  # a directory without an index
    "css/",
    "bare",
    "bare/",
    "site.css/",
    "site.css/x",
    "docs/nowhere/",
    "odd/",  # its index is a directory
    "listed",  # its index is a link that leads out
    "listed/",
    "fifo",
    "loop",
    "loop/x",
    "dangling",
    ".env",
    ".git/config",
    ".",
    "./site.css",
    "css/./deep/site.css",
    "css/../site.css",
    "..",
    "../",
    "../secret.txt",
    "../static/site.css",
    "css/../../secret.txt",
    "../static-old/secret.txt",
    "...",
    "out.txt",
    "out/secret.txt",
    "old",
    "old/secret.txt",
    "absolute-out.txt",
    "/secret.txt",
    "//secret.txt",
    "css//deep/site.css",
    "docs//",
    "/etc/passwd",
    "//etc/passwd",
    "site.css\0",
    "\0",
    "site.css\0.txt",
    "..\\secret.txt",
    "css\\deep\\site.css",
    "\\\\server\\share\\x",
    "C:\\secret.txt",
    "C:/secret.txt",
    "file:///etc/passwd",
    "~/x",
    "site.css\n",
    " site.css",
    "site.css ",
    "SITE.CSS",
    "%2e%2e/secret.txt",
    "..%2fsecret.txt",
    "%2e%2e%2fsecret.txt",
    "x" * 300,
    "x/" * 3000,
    "\udcc0\udcae\udcc0\udcae/secret.txt",  # overlong dots, in bytes
    "\udcff",
    "\u2025/secret.txt",
    "\uff0e\uff0e/secret.txt",
    "CON",
    "nul.txt",
]


@pytest.mark.parametrize("path", WRONG, ids=lambda path: repr(path[:30]))
def test_nothing_else_is_there(connect: Connect, folder: Path, path: str) -> None:
    response = connect(app_of(folder)).get(f"/static/{encoded(path)}")
    assert (response.status_code, response.text) == (404, "Not Found")


def test_a_fifo_is_not_waited_for(connect: Connect, folder: Path) -> None:
    client = connect(app_of(folder))
    statuses: list[int] = []
    thread = threading.Thread(
        target=lambda: statuses.append(client.get("/static/fifo").status_code), daemon=True
    )
    thread.start()
    thread.join(PATIENCE)
    assert statuses == [404]


NAMES = ["secret.txt", "static", "static-old", "css", "docs", "out", "old", "loop", ".env", ".git"]
FILES = ["config", "site.css", "index.html", "listed", "inside", "etc", "passwd", "x" * 300]
ODD = [
    "..",
    ".",
    "",
    "/",
    "//",
    "\0",
    "\\",
    "%2e%2e",
    "%2f",
    "%5c",
    "%00",
    "~",
    ":",
    "\ufffd",
    "\u2215",
]
pieces = st.sampled_from([*NAMES, *FILES, *ODD])
paths = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=6)


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def fuzzed(request: pytest.FixtureRequest, folder: Path) -> TestClient:
    return TestClient(app_of(folder), request.param, wrap=CHECKERS[request.param])


@given(paths, st.sampled_from(["/", ""]))
def test_no_path_leads_out_or_fails(fuzzed: TestClient, parts: list[str], between: str) -> None:
    path = between.join(parts).encode("utf-8", "replace").decode()
    response = fuzzed.get(f"/static/{encoded(path)}")
    assert response.status_code in (200, 308, 404)
    if response.status_code == 200:
        assert response.content in PUBLIC.values()
    if response.status_code == 308:
        assert response.headers["location"].startswith("/static/")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EACCES, 404),
        (errno.EPERM, 404),
        (errno.ENAMETOOLONG, 404),
        (errno.ENXIO, 404),
        # These are no fault of the path, and a 404 might be remembered.
        (errno.EMFILE, 500),
        (errno.ENFILE, 500),
        (errno.ENOMEM, 500),
        (errno.EIO, 500),
    ],
)
def test_what_the_system_refuses(
    connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def refuse(request: Request, response: FileResponse) -> None:
        raise OSError(number, os.strerror(number), response.path)

    monkeypatch.setattr(static_module, "answer_file", refuse)
    assert connect(app_of(folder)).get("/static/site.css").status_code == status


DEVICES = [
    "con",
    "CON.txt",
    "nul",
    "Aux.tar.gz",
    "com1",
    "COM\xb9.txt",
    "lpt9",
    "conin$",
    "prn .txt",
]
PATHS = ["C:", "C:x", "a:b", "x.html::$DATA", "a\\b", "..\\x", "GIT~1", "site.css.", "site.css "]
NO_NAMES = ["a*", "a?", "a<b", "a|b", 'a"b', "a\x1fb", ".git", "..", ""]
PLAIN = ["site.css", "console.log", "com10", "nullable", "a.con", "größe.txt", "a b", "lpt", "x..y"]


@pytest.mark.parametrize("name", [*DEVICES, *PATHS, *NO_NAMES])
def test_names_that_windows_reads_in_another_way(name: str) -> None:
    assert REFUSED["nt"].fullmatch(name)


@pytest.mark.parametrize("name", [*PLAIN, ".well-known"])
def test_names_that_windows_reads_as_all_others_do(name: str) -> None:
    assert not REFUSED["nt"].fullmatch(name)
    assert not REFUSED["posix"].fullmatch(name)


# --- Registration ------------------------------------------------------------------------------


def test_the_directory_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no directory '.*nowhere'; a relative path"):
        App().static("/static", tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="there is no directory"):
        App().static("/static", tmp_path / "file")


@pytest.mark.parametrize("prefix", ["static", "/static/"])
def test_the_prefix_is_written_like_any_other(folder: Path, prefix: str) -> None:
    with pytest.raises(ValueError, match="write it as '/static'"):
        App().static(prefix, folder)


def test_a_second_directory_at_the_same_place_is_refused(folder: Path) -> None:
    app = app_of(folder)
    with pytest.raises(ValueError, match="is there already"):
        app.static("/static", folder)


def test_a_relative_directory_is_looked_up_once(
    connect: Connect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    app = App()
    app.static("/static", "static")
    monkeypatch.chdir(tmp_path)
    assert connect(app).get("/static/site.css").content == PUBLIC["site.css"]


def test_the_directory_may_itself_be_a_link(connect: Connect, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    client = connect(app_of(tmp_path / "current"))
    assert client.get("/static/site.css").content == PUBLIC["site.css"]
    assert client.get("/static/out.txt").status_code == 404


def test_the_whole_disk_may_be_served_if_somebody_wants_that(folder: Path) -> None:
    handler = Directory("/")
    assert handler.directory == "/"
    request: Any = type("Asked", (), {"method": "GET", "headers": {}})()
    assert handler(request, str(folder / "site.css")[1:]).body == PUBLIC["site.css"]


# --- Real servers ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gunicorn gthread", "uvicorn", "microweb wsgi", "microweb asgi"])
def test_no_raw_target_leads_out(
    kind: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environment = {"FILES_APP_FILE": str(folder / "site.css"), "FILES_APP_FOLDER": str(folder)}
    log = tmp_path_factory.mktemp("server")
    with serving(kind, f"tests.files_app:{DOORS[kind]}", log, environment=environment) as server:

        def ask(target: str) -> bytes:
            with server.connect() as connection:
                head = f"GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
                connection.sendall(head.encode("latin-1"))
                received = b""
                while chunk := connection.recv(65536):
                    received += chunk
                return received

        assert ask("/static/css/deep/site.css").endswith(PUBLIC["css/deep/site.css"])
        for target in [
            "/static/../secret.txt",
            "/static/%2e%2e/secret.txt",
            "/static/..%2fsecret.txt",
            "/static/%252e%252e/secret.txt",
            "/static/..%5csecret.txt",
            "/static/%c0%ae%c0%ae/secret.txt",
            "/static/%c0%ae%c0%ae%c0%afsecret.txt",
            "/static//secret.txt",
            "/static/%00/../secret.txt",
            "/static/site.css%00",
            "/static/out.txt",
            "/static/.env",
            "/static/" + "../" * 30 + "etc/passwd",
            "/static/css/" + "%2e%2e/" * 30 + "etc/passwd",
            "/static/" + "x" * 3000,
        ]:
            assert ask(target).startswith(b"HTTP/1.1 404 "), target
