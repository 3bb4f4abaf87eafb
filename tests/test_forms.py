"""Forms: urlencoded and multipart, their bounds, their files, and what hostile ones come to."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microweb import App, HTTPException, Request, Response, StreamingResponse, UploadFile
from microweb.model import forms
from microweb.model.forms import FormReader
from microweb.testing import TestClient

from .conftest import Connect, Protocol, steps

app = App(max_body_size=50_000, max_upload_size=4_000_000)

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=frontier"


def told(value: str | UploadFile) -> Any:
    """A field as it is, a file as all that it says of itself."""
    if isinstance(value, str):
        return value
    content = value.file.read().decode("latin-1")
    assert value.size == len(content)
    return [value.filename, value.content_type, content]


@app.post("/plain")
def plain(request: Request) -> list[Any]:
    return [[name, told(value)] for name, value in request.form.multi_items()]


@app.post("/async")
async def asynchronous(request: Request) -> list[Any]:
    return [[name, told(value)] for name, value in request.form.multi_items()]


@app.post("/sizes")
def sizes(request: Request) -> dict[str, Any]:
    return {
        name: value.size if isinstance(value, UploadFile) else len(value)
        for name, value in request.form.items()
    }


@app.post("/body")
def body(request: Request) -> bytes:
    return request.body


@app.route("/any", methods=["GET", "DELETE"])
def any_form(request: Request) -> list[Any]:
    return request.form.multi_items()


@pytest.fixture(params=["/plain", "/async"])
def post(request: pytest.FixtureRequest, client: TestClient) -> Callable[..., httpx.Response]:
    """Post to a plain and to an async handler, which tell the form as JSON."""

    def post(content: Any, content_type: str | None = MULTIPART) -> httpx.Response:
        headers = {"content-type": content_type} if content_type else {}
        return client.post(request.param, content=content, headers=headers)

    return post


def part(name: str, content: bytes, more: str = "", *headers: str) -> bytes:
    """One part of a multipart body with the boundary `frontier`."""
    head = [f'Content-Disposition: form-data; name="{name}"{more}', *headers]
    return b"--frontier\r\n" + "\r\n".join(head).encode() + b"\r\n\r\n" + content + b"\r\n"


END = b"--frontier--\r\n"


# --- urlencoded -----------------------------------------------------------------------------


def test_an_urlencoded_form_gives_its_fields_in_order(post: Any) -> None:
    answer = post("a=1&b=&a=2&%C3%A9=%E2%82%AC+1&=nameless&c", URLENCODED + "; charset=latin-1")
    assert answer.json() == [
        *[["a", "1"], ["b", ""], ["a", "2"], ["é", "€ 1"], ["", "nameless"], ["c", ""]]
    ]


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"", []),
        (b"a=%zz&b=%", [["a", "%zz"], ["b", "%"]]),
        (b"a=%FF", [["a", "\ufffd"]]),
        (b"a=\xff\xc3\xa9", [["a", "\ufffdé"]]),
        (b"a=1;b=2", [["a", "1;b=2"]]),
        (b"a=\x00", [["a", "\x00"]]),
        (b"&&&", []),
    ],
)
def test_what_is_odd_in_an_urlencoded_form_is_tolerated(
    post: Any, content: bytes, fields: list[list[str]]
) -> None:
    assert post(content, URLENCODED).json() == fields


def test_a_form_without_a_content_type_is_read_as_urlencoded(post: Any) -> None:
    assert post(b"a=1", None).json() == [["a", "1"]]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/mixed", "x"])
def test_another_content_type_is_no_form(post: Any, content_type: str) -> None:
    answer = post(b"{}", content_type)
    assert answer.status_code == 415
    assert "application/x-www-form-urlencoded or multipart/form-data" in answer.text
    assert content_type in answer.text


def test_an_empty_body_is_an_empty_form_whatever_its_type(post: Any) -> None:
    assert post(b"", "application/json").json() == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_a_body_the_form_is_empty(client: TestClient, method: str) -> None:
    assert client.request(method, "/any").json() == []


def test_the_form_of_a_get_is_empty_whatever_comes_with_it(client: TestClient) -> None:
    content = part("a", b"1") + END
    headers = {"content-type": MULTIPART}
    assert client.request("GET", "/any", content=content, headers=headers).json() == []


def test_too_many_urlencoded_fields_are_413(post: Any) -> None:
    assert len(post("&".join(["a=1"] * 1000), URLENCODED).json()) == 1000
    assert post("&".join(["a=1"] * 1001), URLENCODED).status_code == 413


def test_an_urlencoded_form_is_bounded_as_a_body_is(post: Any) -> None:
    assert post(b"a=" + b"x" * 50_000, URLENCODED).status_code == 413


# --- multipart: what is there ----------------------------------------------------------------


def test_a_multipart_form_gives_fields_and_files_in_order(post: Any) -> None:
    content = b"".join(
        [
            part("a", b"1"),
            part("f", b"\x00\xff\r\n--front", '; filename="x.png"', "Content-Type: image/png"),
            part("a", "é€".encode()),
            part("g", b"", '; filename="empty"'),
            END,
        ]
    )
    assert post(content).json() == [
        ["a", "1"],
        ["f", ["x.png", "image/png", "\x00\xff\r\n--front"]],
        ["a", "é€"],
        ["g", ["empty", "application/octet-stream", ""]],
    ]


def test_what_httpx_sends_comes_back(client: TestClient) -> None:
    answer = client.post(
        "/plain",
        data={"text": "größe", "several": ["1", "2"]},
        files={"file": ('na"me;é.txt', b"content", "text/plain")},
    )
    assert answer.json() == [
        ["text", "größe"],
        ["several", "1"],
        ["several", "2"],
        ["file", ['na"me;é.txt', "text/plain", "content"]],
    ]


def test_a_form_is_found_by_name_like_a_query(client: TestClient, protocol: Protocol) -> None:
    seen: list[Any] = []
    own = App()

    @own.post("/")
    def look(request: Request) -> None:
        form = request.form
        assert request.form is form
        seen.extend([form["a"], form.get("none"), form.getlist("a"), dict(form.items()), len(form)])

    with TestClient(own, protocol) as client:
        client.post("/", data={"a": ["1", "2"], "b": "3"})
        client.post(
            "/",
            content=part("a", b"1") + part("a", b"2") + part("b", b"3") + END,
            headers={"content-type": MULTIPART},
        )
    assert seen == 2 * ["1", None, ["1", "2"], {"a": "1", "b": "3"}, 2]


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('; filename="a b.txt"', "a b.txt"),
        ('; filename="%22quoted%22.txt"', '"quoted".txt'),
        ("; filename=token.txt", "token.txt"),
        ('; filename="../../etc/passwd"', "../../etc/passwd"),
        ("; filename=\"plain.txt\"; filename*=UTF-8''other.txt", "plain.txt"),
    ],
)
def test_the_filename_is_as_it_was_sent(post: Any, disposition: str, filename: str) -> None:
    assert post(part("f", b"1", disposition) + END).json() == [
        ["f", [filename, "application/octet-stream", "1"]]
    ]


def test_an_extended_filename_alone_makes_no_file(post: Any) -> None:
    # RFC 7578, 4.2: filename* must not be used here.
    assert post(part("f", b"1", "; filename*=UTF-8''x.txt") + END).json() == [["f", "1"]]


def test_a_file_input_left_empty_is_false() -> None:
    reader = FormReader(MULTIPART, 100)
    reader.feed(part("f", b"", '; filename=""') + part("g", b"", '; filename="x"') + END)
    form = reader.finish()
    assert [bool(form["f"]), bool(form["g"])] == [False, True]


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/form-data; boundary="frontier"',
        "Multipart/Form-Data; charset=x; BOUNDARY=frontier",
        "multipart/form-data;boundary=frontier",
    ],
)
def test_the_boundary_may_be_written_in_several_ways(post: Any, content_type: str) -> None:
    assert post(part("a", b"1") + END, content_type).json() == [["a", "1"]]


def test_preamble_and_epilogue_are_passed_over(post: Any) -> None:
    content = b"preamble\r\n" + part("a", b"1") + END + b"epilogue"
    assert post(content).json() == [["a", "1"]]


def test_a_multipart_upload_may_be_chunked(post: Any) -> None:
    content = part("a", b"1") + part("f", b"x" * 3000, '; filename="f"') + END

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(content), 7):
            yield content[at : at + 7]

    [first, second] = post(pieces()).json()
    assert first == ["a", "1"]
    assert second[1][2] == "x" * 3000


@settings(max_examples=60)
@given(
    parts=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters='"%\\\r\n'), max_size=8),
            st.binary(max_size=40),
            st.booleans(),
        ),
        max_size=4,
    ),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=30),
)
@example(parts=[("a", b"\r\n--frontie", True)], cuts=[1])
def test_any_form_comes_back_however_it_is_cut(
    parts: list[tuple[str, bytes, bool]], cuts: list[int]
) -> None:
    content = b"".join(
        part(name, data, '; filename="f"' if is_file else "") for name, data, is_file in parts
    )
    content += END
    reader = FormReader(MULTIPART, 10_000)
    at = turn = 0
    while at < len(content):
        size = cuts[turn % len(cuts)]
        reader.feed(content[at : at + size])
        at, turn = at + size, turn + 1
    wanted = [
        (name, data if is_file else data.decode("utf-8", "replace"))
        for name, data, is_file in parts
    ]
    got = [
        (name, value if isinstance(value, str) else value.file.read())
        for name, value in reader.finish().multi_items()
    ]
    assert got == wanted


# --- multipart: what is wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        *[b"", b"no multipart at all", b"--frontier", b"--frontier\r\n", part("a", b"1")],
        part("a", b"1") + b"--frontier",
        part("a", b"1") + b"--frontier-",
        b'--frontier\r\nContent-Disposition: form-data; name="a"\r\n',
        b"--frontier\r\nContent-Type: text/plain\r\n\r\n1\r\n" + END,
        b'--frontier\r\nContent-Disposition: attachment; name="a"\r\n\r\n1\r\n' + END,
        b"--frontier\r\nno header\r\n\r\n1\r\n" + END,
        b'--frontier\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n' + END,
        b"--frontier\n" + part("a", b"1") + END,
        part("a", b"1", "", "Content-Length: 2") + END,
        part("a", b"1", "", "Content-Length: -1") + END,
    ],
)
def test_what_is_no_multipart_or_not_whole_is_400(post: Any, content: bytes) -> None:
    answer = post(content)
    assert answer.status_code == 400
    assert "multipart/form-data" in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="a\tb"',
        "multipart/form-data; x=" + "y" * 2000 + "; boundary=frontier",
    ],
)
def test_a_missing_or_impossible_boundary_is_400(post: Any, content_type: str) -> None:
    answer = post(part("a", b"1") + END, content_type)
    assert answer.status_code == 400
    assert "boundary" in answer.text


def test_every_bound_has_its_413(post: Any, client: TestClient) -> None:
    """Counts, sizes of fields, of headers, of everything; at the bound itself all is well."""
    field, file = part("a", b""), part("f", b"", '; filename="f"')
    for within, beyond in [
        (field * 1000, field * 1001),
        (file * 100, file * 101),
        (part("a", b"x" * 25_000) * 2, part("a", b"x" * 25_001) + part("a", b"x" * 25_000)),
        (part("a", b"", "", *["x: y"] * 7), part("a", b"", "", *["x: y"] * 8)),
        (part("a", b"", "", "x: " + "y" * 4000), part("a", b"", "", "x: " + "y" * 5000)),
    ]:
        assert post(within + END).status_code == 200
        answer = post(beyond + END)
        assert (answer.status_code, answer.text.startswith("The form")) == (413, True)
    frame = len(part("f", b"", '; filename="f"') + END)
    for size, status in [(4_000_000 - frame, 200), (4_000_001 - frame, 413)]:
        content = part("f", b"x" * size, '; filename="f"') + END
        headers = {"content-type": MULTIPART}
        assert client.post("/sizes", content=content, headers=headers).status_code == status
        # Chunked, nothing is announced, and it is counted as it arrives.
        pieces = iter([content[:1000], content[1000:]])
        assert client.post("/sizes", content=pieces, headers=headers).status_code == status


def test_an_announced_upload_over_the_bound_is_refused_unread(connect: Connect) -> None:
    read: list[int] = []

    def pieces() -> Iterator[bytes]:
        read.append(1)
        yield b"x"

    headers = {"content-type": MULTIPART, "content-length": "4000001"}
    with connect(app).stream("POST", "/sizes", content=pieces(), headers=headers) as answer:
        assert answer.status_code == 413
    assert read == []


def test_a_long_field_that_never_ends_costs_no_more_than_its_length() -> None:
    def work(count: int) -> int:
        reader = FormReader(MULTIPART, 10_000_000)
        reader.feed(part("a", b"")[:-2])

        def feed() -> None:
            for _ in range(count):
                reader.feed(b"\r\n--frontie" * 10)

        return steps(feed)

    assert work(400) < 2.5 * work(200)


# --- in place of the body ----------------------------------------------------------------------


def test_a_multipart_body_is_not_kept_and_says_what_to_do(connect: Connect) -> None:
    client = connect(app, raise_server_exceptions=True)
    with pytest.raises(RuntimeError, match=r"request\.form.*request\.stream.*stream=True"):
        client.post("/body", content=part("a", b"1") + END, headers={"content-type": MULTIPART})


def test_a_layer_finds_no_form_before_it_has_read_it(connect: Connect) -> None:
    own = App()
    seen: list[Any] = []

    @own.middleware
    async def curious(request: Request, call_next: Callable[..., Awaitable[Response]]) -> Response:
        with pytest.raises(RuntimeError, match=r"await request\.read\(\)"):
            request.form  # noqa: B018
        assert await request.read() == (b"" if "multipart" in request.content_type else b"a=1")
        seen.append(request.form["a"])
        return await call_next(request)

    own.post("/")(lambda request: request.form["a"])
    client = connect(own)
    assert client.post("/", data={"a": "1"}).text == "1"
    assert client.post("/", files={"a": ("", b"2")}).text == "2"
    assert seen == ["1", "2"]


# --- files -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files are made; named ones could be seen in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def upload(client: TestClient, path: str, content: bytes, **more: Any) -> httpx.Response:
    return client.post(path, files={"f": ("f.bin", content)}, **more)


def test_small_files_stay_in_memory_and_large_ones_go_to_disk(
    connect: Connect, folder: Path
) -> None:
    own = App()
    kept: list[UploadFile] = []

    def take(request: Request) -> list[str]:
        files = [file for file in request.form.getlist("f") if isinstance(file, UploadFile)]
        kept.extend(files)
        return [type(file.file).__name__ for file in files]

    own.post("/")(take)

    @own.post("/async")
    async def take_async(request: Request) -> list[str]:
        return take(request)

    client = connect(own)
    small, large = b"x" * 1000, b"y" * (forms.IN_MEMORY + 1)
    for path in ("/", "/async"):
        both = [("f", ("a", small)), ("f", ("b", large)), ("f", ("c", small))]
        [*kinds] = client.post(path, files=both).json()
        assert "BytesIO" not in kinds[1]
        assert client.post(path, files=both[::2]).json() == ["BytesIO", "BytesIO"]
    assert all(file.file.closed for file in kept)
    assert len(kept) == 10
    assert list(folder.iterdir()) == []


def test_many_middling_files_share_the_memory(client: TestClient, folder: Path) -> None:
    reader = FormReader(MULTIPART, 100)
    for _ in range(9):
        reader.feed(part("f", b"x" * 200_000, '; filename="f"'))
        if reader.waiting > forms.IN_MEMORY:
            reader.write()
    reader.feed(END)
    reader.write()
    assert [file.size for _, file in reader.finish().multi_items()] == [200_000] * 9  # type: ignore[union-attr]
    assert reader.waiting == 0
    reader.close()


@pytest.mark.parametrize("how", ["returns", "raises", "refuses", "streams", "is abandoned"])
def test_files_are_closed_when_the_response_is_over(
    connect: Connect, folder: Path, how: str
) -> None:
    own = App()
    files: list[UploadFile] = []
    open_at: list[tuple[str, bool]] = []

    @own.post("/")
    def take(request: Request) -> Any:
        file = request.form["f"]
        assert isinstance(file, UploadFile)
        files.append(file)
        if how == "raises":
            raise ZeroDivisionError
        if how == "refuses":
            raise HTTPException(422)

        def note(when: str) -> None:
            open_at.append((when, not file.file.closed))

        def chunks() -> Iterator[bytes]:
            note("body")
            yield file.file.read(10)
            yield file.file.read()

        if how in ("streams", "is abandoned"):
            return StreamingResponse(chunks(), background=lambda: note("background"))
        return Response(b"done", background=lambda: note("background"))

    client = connect(own)
    content = os.urandom(forms.IN_MEMORY * 2)
    if how == "is abandoned":
        with client.stream("POST", "/", files={"f": ("f", content)}) as answer:
            assert next(answer.iter_raw())
    else:
        answer = upload(client, "/", content)
        if how == "streams":
            assert answer.content == content
    assert [file.file.closed for file in files] == [True]
    assert all(was_open for _, was_open in open_at)
    assert bool(open_at) == (how not in ("raises", "refuses"))


def test_files_of_a_form_that_fails_are_closed(
    connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    real = tempfile.TemporaryFile

    def spying(*args: Any, **kwargs: Any) -> Any:
        made.append(real(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", spying)
    client = connect(app)
    cut = part("f", b"x" * (forms.IN_MEMORY + 100_000), '; filename="f"')
    assert client.post("/sizes", content=cut, headers={"content-type": MULTIPART}).is_client_error
    assert [file.closed for file in made] == [True]


def test_a_file_is_saved_whole_wherever_it_was_read_to(tmp_path: Path) -> None:
    reader = FormReader(MULTIPART, 100)
    reader.feed(part("f", b"0123456789", '; filename="../x.txt"') + END)
    file = reader.finish()["f"]
    assert isinstance(file, UploadFile)
    assert file.file.read(4) == b"0123"
    file.save(tmp_path / file.safe_name)
    assert (tmp_path / "x.txt").read_bytes() == b"0123456789"
    assert file.file.read() == b"0123456789"


@pytest.mark.parametrize(
    ("filename", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\my photo.png", "my_photo.png"),
        ("größe Ω.txt", "größe_Ω.txt"),
        ("e\u0301.txt", "é.txt"),
        *[("", "file"), (".", "file"), ("..", "file"), ("/", "file"), ("a/", "file")],
        (".htaccess", "htaccess"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("a\x00b\r\n.txt", "a_b_.txt"),
        ("x" * 300 + ".tar.gz", "x" * 252 + ".gz"),
        ("é" * 200 + ".png", "é" * 125 + ".png"),
        ("a." + "b" * 300, "a." + "b" * 253),
        ("$(rm -rf).sh", "rm_-rf_.sh"),
    ],
)
def test_the_safe_name_is_safe_and_recognisable(filename: str, safe: str) -> None:
    assert UploadFile(filename, "", io.BytesIO(), 0).safe_name == safe


@given(st.text(max_size=400))
def test_any_safe_name_stays_in_its_directory(filename: str) -> None:
    name = UploadFile(filename, "", io.BytesIO(), 0).safe_name
    assert name
    assert not name.startswith(".")
    assert not set(name) & set('/\\:*?"<>|\0\r\n ')
    assert len(name.encode()) <= 255
    assert Path("/base", name).resolve().parent == Path("/base")


def test_disk_writes_of_an_upload_leave_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    on_loop: list[bool] = []
    real = FormReader.write

    def spying(self: FormReader) -> None:
        try:
            asyncio.get_running_loop()
            on_loop.append(True)
        except RuntimeError:
            on_loop.append(False)
        real(self)

    monkeypatch.setattr(FormReader, "write", spying)
    with TestClient(app, "asgi") as client:
        assert upload(client, "/sizes", b"x" * 3_000_000).json() == {"f": 3_000_000}
    assert on_loop
    assert not any(on_loop)


@pytest.mark.parametrize("size", [-1, -1000])
def test_an_impossible_bound_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="max_upload_size=-1"):
        App(max_upload_size=size)
