"""The whole model through both doors: forms, files, cookies, sessions, streams, and all layers.

As in `test_parity.py`, requests are made of raw bytes and the answers are compared: status,
headers and body. Each test says which statuses it must have met, so that what is generated
cannot miss its subject unnoticed. At the end, the same is asked of real servers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microweb.model.forms import IN_MEMORY
from microweb.model.handshake import WHY_NOT

from .parity import (
    Answer,
    RawHeaders,
    Sent,
    cut,
    header_values,
    many,
    through_asgi,
    through_both,
    through_wsgi,
)
from .parity_app import FILES, NOW, PROXY, layered, model_app, on_the_loop, write_files
from .servers import DOORS, Server, serving

pytestmark = pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

few = settings(many, max_examples=150)


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """Time stands still, and chance with it: signatures and request ids are comparable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: float(NOW))
        patch.setattr("microweb.middleware.log.os", SimpleNamespace(urandom=bytes))
        yield


class Doors:
    """The application without layers, with all of them, and with an async one among them."""

    def __init__(self, loop: asyncio.Runner, folder: Path) -> None:
        self._loop = loop
        self.apps = {
            "bare": model_app(folder),
            "layered": layered(model_app(folder)),
            "layered on the loop": on_the_loop(layered(model_app(folder))),
        }

    def through_both(self, app: str, sent: Sent) -> Answer:
        """The one answer that both doors of an app give."""
        return through_both(self._loop, self.apps[app], sent)

    def through_each(self, app: str, sent: Sent) -> tuple[Answer, Answer]:
        """The answers of the WSGI and of the ASGI door."""
        return through_wsgi(self.apps[app], sent), through_asgi(self._loop, self.apps[app], sent)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the application's files."""
    folder = tmp_path_factory.mktemp("parity")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def doors(loop: asyncio.Runner, folder: Path) -> Doors:
    """The applications behind both doors."""
    return Doors(loop, folder)


def of(answer: Answer, name: str) -> str | None:
    """A header of an answer, None if it is not there."""
    return ", ".join(value for key, value in answer.headers if key == name) or None


apps = st.sampled_from(["bare", "layered", "layered on the loop"])
with_layers = st.sampled_from(["layered", "layered on the loop"])
forms = st.sampled_from([b"", b"/async"])


def some(*values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values)


def optional(**headers: st.SearchStrategy[bytes]) -> st.SearchStrategy[RawHeaders]:
    """Some of these headers, each once: `if_match=...` is If-Match."""
    return st.fixed_dictionaries({}, optional=headers).map(
        lambda found: [
            (name.replace("_", "-").title().encode(), value) for name, value in found.items()
        ]
    )


def lists_of(
    members: st.SearchStrategy[bytes], separator: bytes = b","
) -> st.SearchStrategy[bytes]:
    blanks = some(separator, separator + b" ", b" " + separator + b"\t")
    return st.tuples(st.lists(members, max_size=5), blanks).map(
        lambda found: found[1].join(found[0]).strip()
    )


# --- forms --------------------------------------------------------------------------------

BOUNDARIES = some(b"frontier", b"a", b"'()+_,-./:=?", b"x" * 70)
DISPOSITIONS = some(
    b'form-data; name="a"',
    b'form-data; name="file"; filename="f.txt"',
    b"form-data; name=b; filename=b.txt",
    b'form-data; name="\xc3\xa9"; filename="gr\xc3\xb6\xc3\x9fe \xe2\x98\x83.txt"',
    b'form-data; name="\xe9"',
    b'form-data; name="a\\"b"; filename="C:\\dir\\x.txt"',
    b'form-data; name="../a"; filename="../../etc/passwd"',
    b"form-data; name*=UTF-8''n; filename*=UTF-8''f",
    b'form-data; name="a"; filename=""',
    b'form-data; name="a"; name="b"',
    b'form-data; name="%0D%0A%22"; filename="a\x00b"',
    b"form-data; name=",
    b"form-data",
    b'attachment; name="a"',
    b"",
    b'FORM-DATA;NAME="A"; filename="' + b"n" * 300 + b'"',
)
PART_HEADERS = some(
    b"Content-Type: text/plain",
    b"content-type: text/html; charset=utf-16",
    b"Content-Type: \xe9",
    b"Content-Length: 3",
    b"Content-Length: x",
    b"Content-Transfer-Encoding: base64",
    b"X-Other: 1",
    b"no colon",
    b" folded",
    b": empty",
    b"X-Long: " + b"l" * 5000,
)
CONTENTS = st.one_of(
    st.binary(max_size=20),
    some(b"", b"text", "é☃".encode(), b"\r\n--frontie", b"\r\n--", b"--frontier--", b"\r", b"\n"),
)


@st.composite
def multiparts(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A Content-Type and a body: most of them sound, the others broken in one way or two."""
    boundary = draw(BOUNDARIES)
    is_odd = draw(st.integers(0, 2)) == 0
    delimiter = b"--" + boundary
    body = b""
    for _ in range(draw(st.integers(0, 4))):
        disposition = draw(DISPOSITIONS if is_odd else DISPOSITIONS.filter(_is_sound))
        lines = [delimiter, b"Content-Disposition: " + disposition]
        if is_odd or draw(st.booleans()):
            lines += draw(st.lists(PART_HEADERS, max_size=2)) if is_odd else [b"Content-Type: a/b"]
        body += b"\r\n".join([*lines, b"", draw(CONTENTS)]) + b"\r\n"
    body += delimiter + b"--\r\n"
    content_type = b'multipart/form-data; boundary="%s"' % boundary
    if is_odd:
        body = draw(
            st.sampled_from(
                [
                    body,
                    body[: draw(st.integers(0, len(body)))],
                    b"preamble\r\n" + body,
                    b"\r\n" + body,
                    body + b"epilogue",
                    body + body,
                    body.replace(b"\r\n", b"\n"),
                    body.replace(delimiter, delimiter + b"x", 1),
                    body.replace(delimiter, delimiter + b"  "),
                    b"",
                ]
            )
        )
        content_type = draw(
            st.sampled_from(
                [
                    content_type,
                    content_type + b"; charset=utf-7",
                    b"Multipart/Form-Data;BOUNDARY=" + boundary,
                    b"multipart/form-data; boundary=other",
                    b"multipart/form-data; boundary=",
                    b"multipart/form-data; boundary=" + b"x" * 71,
                    b"multipart/form-data; boundary=\xe9",
                    b"multipart/form-data",
                    b"multipart/mixed; boundary=" + boundary,
                    b"multipart/form-data; boundary=a; boundary=b",
                    b"multipart/form-data; " + b"p=1; " * 300 + b"boundary=" + boundary,
                ]
            )
        )
    return content_type, body


def _is_sound(disposition: bytes) -> bool:
    return disposition.startswith(b"form-data; name=") and len(disposition) > 16


URLENCODED = b"application/x-www-form-urlencoded"
urlencoded = st.tuples(
    some(URLENCODED, URLENCODED.upper() + b" ; charset=latin-1", b"text/plain", b""),
    st.one_of(
        st.lists(
            some(b"a=1", b"a=2", b"&", b"=", b"+", b"%", b"%zz", b"%C3%A9", b"%FF", b";", b"\xe9")
        ).map(b"".join),
        some(b"a&" * 1000, b"a&" * 1001, b"a=" + b"x" * 4998, b"a=" + b"x" * 4999),
        st.binary(max_size=30),
    ),
)


@st.composite
def posts(
    draw: st.DrawFn, paths: st.SearchStrategy[bytes], bodies: st.SearchStrategy[tuple[bytes, bytes]]
) -> Sent:
    """A body with its Content-Type, in any pieces, counted or chunked."""
    content_type, body = draw(bodies)
    return Sent(
        draw(st.sampled_from(["POST", "POST", "POST", "PUT", "DELETE", "GET"])),
        draw(forms) + draw(paths),
        [(b"Content-Type", content_type)] if content_type else [],
        draw(cut(body)),
        chunked=draw(st.booleans()),
    )


form_posts = posts(some(b"/form"), st.one_of(multiparts(), multiparts(), urlencoded))


def test_a_form_is_read_or_refused_alike(doors: Doors) -> None:
    met = set()

    @many
    @given(app=apps, sent=form_posts)
    def check(app: str, sent: Sent) -> None:
        answer = doors.through_both(app, sent)
        assert answer.status in (200, 400, 413, 415)
        met.add((answer.status, b"multipart" in dict(sent.headers).get(b"Content-Type", b"")))

    check()
    assert met >= {(200, True), (400, True), (200, False), (413, False), (415, False)}


@settings(many, max_examples=200)
@given(app=apps, sent=form_posts)
def test_how_a_body_is_cut_and_framed_makes_no_difference(
    doors: Doors, app: str, sent: Sent
) -> None:
    body = b"".join(sent.pieces or ())
    whole = doors.through_both(app, sent._replace(pieces=[body], chunked=False))
    assert doors.through_both(app, sent) == whole
    pieces = [*(body[at : at + 1] for at in range(100)), body[100:]]
    assert doors.through_both(app, sent._replace(pieces=pieces)) == whole


def multipart_of(count: int, disposition: bytes, content: bytes = b"") -> bytes:
    part = b"--frontier\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + content
    return (part + b"\r\n") * count + b"--frontier--\r\n"


@pytest.mark.parametrize("app", ["bare", "layered on the loop"])
@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (multipart_of(1000, b"name=a"), 200),
        (multipart_of(1001, b"name=a"), 413),
        (multipart_of(100, b"name=a; filename=f"), 200),
        (multipart_of(101, b"name=a; filename=f"), 413),
        (multipart_of(1, b"name=a", b"x" * 5000), 200),
        (multipart_of(1, b"name=a", b"x" * 5001), 413),
        (multipart_of(1, b"name=a; filename=f", b"x" * 99_000), 200),
        (multipart_of(1, b"name=a; filename=f", b"x" * 100_000), 413),
    ],
    ids=[
        *["parts", "a part too many", "files", "a file too many"],
        *["a field", "a field too large", "a file", "a file too large"],
    ],
)
def test_the_bounds_of_a_form_are_the_same(
    doors: Doors, app: str, chunked: bool, body: bytes, status: int
) -> None:
    headers = [(b"Content-Type", b"multipart/form-data; boundary=frontier")]
    pieces = [body[at : at + 30_000] for at in range(0, len(body), 30_000)]
    for target in (b"/form", b"/async/form"):
        sent = Sent("POST", target, headers, pieces, chunked)
        assert doors.through_both(app, sent).status == status


def test_a_file_that_goes_to_disk_is_the_same(loop: asyncio.Runner, folder: Path) -> None:
    app = model_app(folder)
    app.max_upload_size = 3 * IN_MEMORY
    content = bytes(range(251)) * (2 * IN_MEMORY // 251)
    body = multipart_of(1, b"name=a; filename=f", content)
    pieces = [body[at : at + 300_000] for at in range(0, len(body), 300_000)]
    headers = [(b"Content-Type", b"multipart/form-data; boundary=frontier")]
    for target in (b"/form", b"/async/form"):
        answer = through_both(loop, app, Sent("POST", target, headers, pieces))
        assert answer.status == 200


@few
@given(
    app=apps,
    sent=posts(
        some(b"/echo", b"/count", b"/part"),
        st.tuples(
            some(b"", b"text/plain", b"multipart/form-data; boundary=a"), st.binary(max_size=900)
        ),
    ),
)
def test_a_body_that_is_taken_as_it_comes_is_the_same(doors: Doors, app: str, sent: Sent) -> None:
    answer = doors.through_both(app, sent)
    assert (answer.status, answer.torn) == (200, "")
    if sent.target.endswith(b"/echo"):
        assert answer.body == (b"" if sent.method == "GET" else b"".join(sent.pieces or ()))


@pytest.mark.parametrize("app", ["bare", "layered", "layered on the loop"])
@pytest.mark.parametrize("target", [b"/echo", b"/async/echo", b"/count", b"/async/count"])
def test_a_stream_ends_at_the_same_byte(doors: Doors, app: str, target: bytes) -> None:
    pieces = [b"x" * 50_000, b"y" * 50_000]
    for chunked in (False, True):
        assert not doors.through_both(app, Sent("POST", target, [], pieces, chunked)).torn
    too_many = Sent("POST", target, [], [*pieces, b"z"])
    assert doors.through_both(app, too_many).status == 413
    late = doors.through_both(app, too_many._replace(chunked=True))
    # What has begun to be answered can only be torn.
    assert bool(late.torn) == target.endswith(b"echo")
    assert late.status == (200 if late.torn else 413)


# --- files --------------------------------------------------------------------------------

ETAG = b'"an etag"'  # stands for that of the file
numbers = st.one_of(st.integers(0, 15), st.integers(76_000, 77_000), st.just(10**30)).map(
    lambda number: b"%d" % number
)
ranges = st.one_of(
    st.builds(b"bytes=%b-%b".__mod__, st.tuples(numbers, numbers)),
    st.builds(b"bytes=%b-".__mod__, numbers),
    st.builds(b"bytes=-%b".__mod__, numbers),
    some(b"bytes=0-0", b"bytes=3-", b"bytes=-4", b"Bytes=0-4", b"bytes = 0-4", b"bytes=0-1,3-4"),
    some(b"bytes=", b"bytes=-", b"bytes=a-b", b"bytes=4-2", b"lines=0-4", b"bytes=\xb2-", b"0-4"),
    st.text("bytes=-, 0123x", max_size=12).map(lambda text: text.strip().encode()),
)
tags = st.one_of(
    some(ETAG, ETAG, b"W/" + ETAG, b'"other"', b"*", b'"a,b"', b'"open', b"bare", b""),
    header_values,
)
dates = some(
    DATE.encode(),
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"Sun, 06 Nov 1994 08:49:36 GMT",
    b"Mon, 07 Nov 2094 08:49:37 GMT",
    b"Sun, 31 Feb 1994 08:49:37 GMT",
    b"784111777",
    b"yesterday",
)
conditions = st.one_of(
    ranges.map(lambda value: [(b"Range", value)]),
    optional(range=ranges, if_range=st.one_of(tags, dates)),
    optional(
        range=ranges,
        if_match=lists_of(tags),
        if_none_match=lists_of(tags),
        if_modified_since=dates,
        if_unmodified_since=dates,
        accept_encoding=some(b"gzip", b"gzip;q=0", b"identity", b"*"),
    ),
)
encoded_names = st.one_of(
    some(b"small.txt", b"large.bin"),
    some(b"large.txt", b"text.html", b"link.txt"),
    st.sampled_from(sorted(FILES)).map(lambda name: quote(name).encode()),
    some(b"out.txt", b"out/secret.txt", b"loop", b"loop/x", b"broken", b"missing"),
    some(b"", b"folder", b"folder/", b"bare", b"bare/", b"folder//deep.css", b"small.txt/"),
    some(b"../secret.txt", b"%2e%2e/secret.txt", b"folder/../small.txt", b"..%2fsecret.txt"),
    some(b"..%5csecret.txt", b"%00", b"small.txt%00", b"sm%61ll.txt", b"small.txt%0A", b"/etc"),
    some(b"%ED%A0%80", b"%FF", b"gr%C3%B6%C3%9Fe%20100%25.txt", b"x" * 300, b"CON", b"a%3Ab"),
    st.lists(some(b"..", b".", b"/", b"%2f", b"folder", b"%00", b"out", b"%C3"), max_size=5).map(
        b"".join
    ),
)
file_queries = some(b"", b"", b"", b"?etag=%22own%22", b"?as=gr%C3%B6%C3%9Fe.pdf", b"?as=a&inline")


@st.composite
def file_requests(draw: st.DrawFn) -> Sent:
    place = draw(some(b"/static/", b"/static/", b"/file/", b"/async/file/"))
    return Sent(
        draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"])),
        place + draw(encoded_names) + draw(file_queries),
        draw(conditions),
        root_path=draw(st.sampled_from(["", "/mnt", "/static"])),
        sends_files=draw(st.booleans()),
    )


def a_large_part(asked: bytes) -> Sent:
    """What a server can send by itself only if it keeps to the part."""
    return Sent(target=b"/file/large.bin", headers=[(b"Range", asked)], sends_files=True)


def test_a_file_a_part_of_it_or_the_reason_why_not_is_the_same(doors: Doors) -> None:
    met = set()

    @settings(many, max_examples=500)
    @given(app=apps, sent=file_requests())
    @example(app="bare", sent=a_large_part(b"bytes=10-70000"))
    @example(app="layered", sent=a_large_part(b"bytes=10-"))
    def check(app: str, sent: Sent) -> None:
        plain = doors.through_both("bare", sent._replace(method="HEAD", headers=[]))
        etag = (of(plain, "etag") or "none").encode()
        headers = [(name, value.replace(ETAG, etag)) for name, value in sent.headers]
        answer = doors.through_both(app, sent._replace(headers=headers))
        met.add(answer.status)
        if sent.target.startswith(b"/static"):
            assert answer.status < 500
            assert b"secret" not in answer.body
        if answer.status == 206:
            assert of(answer, "content-length") == str(len(answer.body))

    check()
    assert met >= {200, 206, 304, 404, 405, 412, 416}


def test_head_has_the_headers_of_get_for_every_file_through_both_doors(doors: Doors) -> None:
    for app in doors.apps:
        for name in ("small.txt", "empty.txt", "text.html", "large.txt", "large.bin"):
            for headers in ([], [(b"Accept-Encoding", b"gzip")]):
                sent = Sent(target=b"/static/" + name.encode(), headers=headers)
                get = doors.through_both(app, sent)
                head = doors.through_both(app, sent._replace(method="HEAD"))
                assert (get.status, head.status, head.body) == (200, 200, b"")
                # A length that is only known once all is compressed is left out.
                coded = of(get, "content-encoding") is not None
                same = _without_length if coded else _in_order
                assert same(head).headers == same(get).headers


# --- cookies and sessions -----------------------------------------------------------------

cookie_pairs = st.one_of(
    some(
        b"a=1", b"a=2", b"b", b"=c", b"", b" ", b'd="x"', b'e="x;y"', b'f="\\303\\251"', b"h=\x80"
    ),
    some(
        b'i="', b'j="\\"', b"k=a=b", b"l=\xc3\xa9", b"\xc3\xa9=m", b"n=%3B", b"$Version=1", b"o =1"
    ),
    header_values,
)
cookies = lists_of(cookie_pairs, b";")


@few
@given(app=apps, form=forms, cookie=cookies)
def test_cookies_are_read_and_set_alike(doors: Doors, app: str, form: bytes, cookie: bytes) -> None:
    answer = doors.through_both(app, Sent(target=form + b"/cookies", headers=[(b"Cookie", cookie)]))
    assert answer.status == 200
    assert "old=" in (of(answer, "set-cookie") or "")


def session_cookie(doors: Doors, values: dict[str, Any]) -> bytes:
    """The signed cookie of a session that holds these values."""
    sent = Sent("POST", b"/session", pieces=[json.dumps(values).encode()])
    answer = doors.through_both("layered", sent)
    return (of(answer, "set-cookie") or "").partition(";")[0].encode()


def test_a_session_goes_on_through_both_doors_and_a_forged_one_is_empty(doors: Doors) -> None:
    signed = session_cookie(doors, {"user": "ada", "é": [1]})
    other = session_cookie(doors, {"user": "eve"})
    payload, _, signature = signed.partition(b".")
    hostile = st.one_of(
        some(signed, signed, signed.replace(b"=", b'="', 1) + b'"'),
        some(signed + b"x", signed[:-1], payload + b"." + other.partition(b".")[2], payload),
        some(b"session=", b"session=..", b"session=." + signature, signed + b"; " + other),
        some(other + b"; " + signed, b"x=;" + signed + b"; session=a", b"session=" + b"a" * 5000),
        st.integers(0, len(signed) - 1).map(
            lambda at: signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        ),
        cookies.map(lambda others: others + b";" + signed),
        cookies,
    )
    met = set()

    @settings(many, max_examples=250)
    @given(
        app=apps,
        form=forms,
        method=st.sampled_from(["GET", "GET", "POST", "DELETE", "HEAD"]),
        cookie=hostile,
        body=some(b"{}", b'{"n": 1}', b'{"user": "ada", "\\u00e9": [1]}', b"[]", b'["ab"]', b"{"),
    )
    def check(app: str, form: bytes, method: str, cookie: bytes, body: bytes) -> None:
        pieces = [body] if method == "POST" else None
        sent = Sent(method, form + b"/session", [(b"Cookie", cookie)], pieces)
        answer = doors.through_both(app, sent)
        if app == "bare":
            assert answer.status == 500 or body == b"{"
            return
        met.add((method, answer.status, b"ada" in answer.body, of(answer, "set-cookie") is None))

    check()
    reads = {("GET", 200, True, True), ("GET", 200, False, True)}
    writes = {("POST", 200, True, False), ("POST", 400, False, True), ("DELETE", 200, False, False)}
    assert met >= reads | writes


def test_a_session_is_renewed_and_expires_alike(doors: Doors) -> None:
    cookie = [(b"Cookie", session_cookie(doors, {"user": "ada"}))]
    for later, is_renewed, body in (
        (1000, False, b'{"user":"ada"}'),
        (2000, True, b'{"user":"ada"}'),
        (4000, False, b"{}"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda later=later: float(NOW + later))
            answer = doors.through_both("layered", Sent(target=b"/session", headers=cookie))
        assert (answer.body, of(answer, "set-cookie") is not None) == (body, is_renewed)


# --- what is streamed, and what is compressed ---------------------------------------------

texts = st.one_of(
    st.text(max_size=10),
    st.sampled_from(["a\nb", "a\r\nb\r", "", "\u2028", "\ud800", ": ", "x" * 300, "a\0b"]),
)
events = st.one_of(
    texts,
    st.none(),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("data", "event", "id", "comment"), texts)),
    st.sampled_from([{"data": {"a": "é"}}, {"data": [1], "retry": 3}, {"retry": -1}, 7]),
)


def test_events_are_the_same_bytes_up_to_what_is_no_event(doors: Doors) -> None:
    met = set()

    @few
    @given(app=apps, form=forms, items=st.lists(events, max_size=4), coding=some(b"", b"gzip"))
    def check(app: str, form: bytes, items: list[Any], coding: bytes) -> None:
        headers = [(b"Accept-Encoding", coding)] if coding else []
        body = json.dumps(items).encode()
        answer = doors.through_both(app, Sent("POST", form + b"/events", headers, [body]))
        assert (answer.status, of(answer, "content-encoding")) == (200, None)
        assert answer.body.startswith(b": open\nretry: 5\n\n")
        met.add(bool(answer.torn))

    check()
    assert met == {True, False}


codings = st.one_of(
    some(b"gzip", b"br, gzip;q=0.5"),
    lists_of(
        some(
            *[b"gzip", b"x-gzip", b"*", b"identity", b"br", b"gzip;q=0", b"gzip;q=0.5", b"*;q=0"],
            *[b"identity;q=1", b"gzip ; q=0.001", b"gzip;q=2", b"gzip;q=", b"GZIP", b"", b"g zip"],
        )
    ),
    header_values,
)


@st.composite
def compressible(draw: st.DrawFn) -> Sent:
    headers = [(b"Accept-Encoding", draw(st.one_of(st.just(b"gzip"), codings)))]
    if draw(st.booleans()):
        size = draw(st.sampled_from([42, 6000, 20_000, 41, 0]))
        query = draw(
            some(b"?type=text/plain", b"?type=text/a&etag=%22e%22", b"?type=image/png", b"")
        )
        method = draw(st.sampled_from(["GET", "HEAD"]))
        return Sent(method, draw(forms) + b"/text/%d" % size + query, headers)
    lines = st.one_of(texts, st.sampled_from(["line " * 200]), st.just(7))
    body = json.dumps(draw(st.lists(lines, max_size=4))).encode()
    query = draw(some(b"", b"?type=text/event-stream", b"?type=application/ndjson"))
    return Sent("POST", draw(forms) + b"/lines" + query, headers, [body])


def test_a_body_is_compressed_alike_or_left_alone(doors: Doors) -> None:
    met = set()

    @settings(many, max_examples=250)
    @given(app=apps, sent=compressible())
    def check(app: str, sent: Sent) -> None:
        answer = doors.through_both(app, sent)
        assert answer.status == 200
        met.add((sent.method, of(answer, "content-encoding"), bool(answer.torn)))

    check()
    assert met >= {
        *[("GET", "gzip", False), ("GET", None, False), ("HEAD", "gzip", False)],
        *[("POST", "gzip", False), ("POST", "gzip", True), ("POST", None, True)],
    }


# --- who asks, from where, and what for ---------------------------------------------------

TWICE = [b"/who", b"/page", b"/teapot", b"/boom", b"/text/100", b"/page?title=%FF"]
TWICE += [b"/page?template=page.txt&title=%22%3C&a=%C3%A9&a=2", b"/page?template=missing.html"]
TARGETS = [*TWICE, *(b"/async" + target for target in TWICE), b"/nowhere", b"/chat"]
TARGETS += [b"/in/shops/a%20b", b"/in/shops/%C3%A9/", b"/in/shops/async/b", b"/in/shops"]
targets = some(*TARGETS)

origins = st.one_of(
    some(b"https://a.example", b"https://x.b.example"),
    some(
        b"https://b.example",
        b"http://a.example",
        b"null",
        b"https://a.example:443",
        b"https://a.example, https://a.example",
        b"*",
        b"",
    ),
    header_values,
)
nodes = some(
    *[b"203.0.113.9", b"203.0.113.9:80", b"10.1.2.3", b"[2001:db8::1]:80", b"2001:db8::1"],
    *[b"::ffff:10.1.2.3", b"fe80::1%eth0", b"unknown", b"_hidden", b"", b"300.0.0.1", b"1:99999"],
)
hosts = st.one_of(
    some(b"shop.example", b"shop.example", b"SHOP.example:8000", b"a.shop.example", b"[::1]:80"),
    some(
        b"evil.example", b"shop.example.evil", b"shop.example@evil", b"", b"a b", b"shop.example:x"
    ),
    some(b"shop.example, evil.example", b"\xe9", b"shop.example:99999", b".shop.example"),
)
media_ranges = some(
    *[b"text/html", b"text/plain", b"application/json", b"application/problem+json", b"*/*"],
    *[b"text/*;q=0.5", b"text/html;q=0", b"text/html;level=1", b"*", b"a/b;q=x", b"", b'x/y;p=","'],
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "X"])
listed_headers: dict[str, st.SearchStrategy[bytes]] = {
    "accept": lists_of(media_ranges),
    "accept_encoding": codings,
    "access_control_request_headers": lists_of(
        some(b"x-a", b"AUTHORIZATION", b"a b", b"", b"\xe9")
    ),
    "x_forwarded_for": lists_of(nodes),
    "x_forwarded_host": hosts,
    "x_forwarded_proto": lists_of(some(b"https", b"http", b"wss", b"ftp", b"")),
    "x_forwarded_port": some(b"443", b"80", b"0", b"99999", b"8443, 80", b"\xb2"),
}
said = optional(
    **listed_headers,
    origin=origins,
    access_control_request_method=some(b"GET", b"PUT", b"", b"\xe9"),
    x_request_id=st.one_of(
        some(b"0123456789abcdef", b"a" * 65, b"short", b"a b c d e f"), header_values
    ),
    last_event_id=header_values,
)


@st.composite
def conversations(draw: st.DrawFn) -> Sent:
    """A request that says much of who asks, whether it is true or not."""
    return Sent(
        draw(methods),
        draw(targets),
        draw(said),
        root_path=draw(st.sampled_from(["", "", "/mnt", "/mnt/é"])),
        host=draw(st.one_of(*3 * [st.just(b"shop.example")], hosts, st.none())),
        peer=draw(st.sampled_from([PROXY, PROXY, "10.0.0.1", "198.51.100.9", "::1", None])),
    )


def test_layers_errors_and_pages_answer_alike_whatever_a_client_says_of_itself(
    doors: Doors,
) -> None:
    met = set()
    types = set()

    @settings(many, max_examples=500)
    @given(app=apps, sent=conversations())
    def check(app: str, sent: Sent) -> None:
        answer = doors.through_both(app, sent)
        met.add(answer.status)
        types.add((of(answer, "content-type") or "").partition(";")[0])
        assert answer.status < 500 or b"boom" in sent.target

    check()
    assert met >= {200, 203, 204, 308, 400, 404, 405, 418, 500}
    assert types >= {"text/plain", "text/html", "application/problem+json", "application/json"}


def test_a_preflight_is_answered_alike_and_allows_only_who_is_listed(doors: Doors) -> None:
    allowed = set()

    @few
    @given(app=with_layers, origin=origins, others=said)
    def check(app: str, origin: bytes, others: RawHeaders) -> None:
        asked = {b"Origin": origin, b"Access-Control-Request-Method": b"PUT"}
        headers = [*asked.items(), *(pair for pair in others if pair[0] not in asked)]
        sent = Sent("OPTIONS", b"/who", headers, peer="198.51.100.9")
        answer = doors.through_both(app, sent)
        assert answer.status == 204
        if of(answer, "access-control-allow-origin") is not None:
            allowed.add(origin)

    check()
    assert allowed == {b"https://a.example", b"https://x.b.example"}


@settings(many, max_examples=200)
@given(data=st.data(), app=apps, target=targets)
def test_a_list_means_the_same_in_one_line_and_in_several(
    doors: Doors, data: st.DataObject, app: str, target: bytes
) -> None:
    # The lines differ (test_parity.py, at its end), but not what is made of them.
    name = data.draw(st.sampled_from(sorted(listed_headers)))
    values = data.draw(st.lists(listed_headers[name], min_size=1, max_size=3))
    lines = [(name.replace("_", "-").encode(), value) for value in values]
    doors.through_both(app, Sent(target=target, headers=lines, host=b"shop.example"))


@pytest.mark.parametrize("app", ["bare", "layered", "layered on the loop"])
@pytest.mark.parametrize("kind", ["works", "fails", "torn", "file"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_left_to_do_is_done_once_through_each_door(
    doors: Doors, app: str, kind: str, method: str
) -> None:
    ran = doors.apps[app].state.ran
    for form in (b"", b"/async"):
        ran.clear()
        answer = doors.through_both(app, Sent(method, form + b"/background/" + kind.encode()))
        assert bool(answer.torn) == (kind == "torn" and method == "GET")
        assert ran == ["wsgi", "asgi"]


def test_the_access_log_tells_the_same_of_both_doors(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    anything = st.one_of(form_posts, file_requests(), compressible(), conversations())

    @few
    @given(app=with_layers, sent=anything)
    def check(app: str, sent: Sent) -> None:
        caplog.clear()
        doors.through_both(app, sent)
        lines = [record.args for record in caplog.records if record.name == "microweb.access"]
        wsgi, asgi = [(*line[:4], line[5]) for line in lines if isinstance(line, tuple)]
        assert wsgi == asgi

    with caplog.at_level(logging.INFO, "microweb.access"):
        check()


def test_a_handshake_that_came_as_an_ordinary_request_is_refused_by_both_doors(
    doors: Doors,
) -> None:
    met = set()

    @few
    @given(
        app=apps,
        target=some(b"/chat", b"/chat", b"/who", b"/nowhere"),
        upgrade=some(b"websocket", b"WebSocket", b"h2c, websocket", b"h2c", b""),
        connection=some(b"Upgrade", b"keep-alive, upgrade", b"close", b""),
        others=optional(accept=some(b"text/html", b"application/json"), origin=origins),
        method=st.sampled_from(["GET", "GET", "HEAD", "POST"]),
    )
    def check(
        app: str, target: bytes, upgrade: bytes, connection: bytes, others: RawHeaders, method: str
    ) -> None:
        sent = Sent(method, target, [(b"Upgrade", upgrade), (b"Connection", connection), *others])
        answers = doors.through_each(app, sent)
        met.add(answers[0].status)
        if answers[0].status != 501:
            assert answers[0] == answers[1]
            return
        # The reason is each door's own (test_parity.py, at its end); all else is the same.
        wsgi, asgi = map(_without_length, answers)
        assert wsgi == asgi
        for answer, protocol in zip(answers, ("wsgi", "asgi"), strict=True):
            assert WHY_NOT[protocol].encode() in answer.body

    check()
    assert met >= {200, 400, 404, 405, 501}


def _in_order(answer: Answer) -> Answer:
    return answer._replace(headers=sorted(answer.headers), body=b"")


def _without_length(answer: Answer) -> Answer:
    headers = [pair for pair in sorted(answer.headers) if pair[0] != "content-length"]
    return answer._replace(headers=headers, body=b"")


# --- real servers -------------------------------------------------------------------------

# uvicorn's own WSGI does not say that its input ends where the body does: 411 for chunks.
SERVERS = [kind for kind in DOORS if kind != "uvicorn wsgi"]
ID = (b"X-Request-ID", b"0123456789abcdef")  # otherwise each server makes one of its own
GZIP = (b"Accept-Encoding", b"gzip")
MULTIPART = (b"Content-Type", b"multipart/form-data; boundary=frontier")
A_FORM = multipart_of(2, b'name="\xc3\xa9"; filename="f.txt"', b"text\r\n--frontie")
FIXED = {
    "urlencoded": Sent("POST", b"/form", [(b"Content-Type", URLENCODED)], [b"a=1&a=%FF", b"&b"]),
    "multipart": Sent("POST", b"/form", [MULTIPART], [A_FORM[:50], A_FORM[50:]]),
    "multipart, chunked": Sent("POST", b"/async/form", [MULTIPART], [A_FORM[:9], A_FORM[9:]], True),
    "multipart, cut off": Sent("POST", b"/form", [MULTIPART], [A_FORM[:-9]]),
    "echo": Sent("POST", b"/echo", [], [b"one", b"two" * 9000]),
    "echo, chunked": Sent("PUT", b"/async/echo", [], [b"one", b"two" * 9000], True),
    "too large": Sent("POST", b"/async/count", [], [b"x" * 60_000, b"x" * 60_000]),
    "static": Sent(target=b"/static/small.txt"),
    "static, streamed": Sent(target=b"/static/large.bin"),
    "static, compressed": Sent(target=b"/static/large.txt", headers=[GZIP]),
    "static, HEAD": Sent("HEAD", b"/static/large.bin"),
    "static, HEAD, compressed": Sent("HEAD", b"/static/large.txt", [GZIP]),
    "static, its name": Sent(target=b"/static/gr%C3%B6%C3%9Fe%20100%25.txt"),
    "static, outside": Sent(target=b"/static/..%2fsecret.txt"),
    "static, a link outside": Sent(target=b"/static/out.txt"),
    "static, NUL": Sent(target=b"/static/small.txt%00"),
    "static, a directory": Sent(target=b"/static/folder?a=%2F"),
    "a part": Sent(target=b"/file/large.bin", headers=[(b"Range", b"bytes=10-70000")]),
    "the rest": Sent(target=b"/file/large.bin", headers=[(b"Range", b"bytes=-70000")]),
    "no part": Sent(target=b"/file/small.txt", headers=[(b"Range", b"bytes=99-")]),
    "unchanged": Sent(target=b"/file/small.txt", headers=[(b"If-Modified-Since", DATE.encode())]),
    "changed": Sent(target=b"/file/small.txt", headers=[(b"If-Match", b'"other"')]),
    "a download": Sent(target=b"/async/file/empty.txt?as=gr%C3%B6%C3%9Fe.pdf"),
    "cookies": Sent(target=b"/cookies", headers=[(b"Cookie", b'a="1"; b=\xc3\xa9; =; c')]),
    "a session": Sent("POST", b"/session", pieces=[b'{"user": "ada"}']),
    "events": Sent("POST", b"/events", [GZIP], [b'["a\\nb", {"event": "e", "data": ""}, null]']),
    "a stream": Sent("POST", b"/async/lines?type=text/plain", [GZIP], [b'["a", "", "b"]']),
    "a preflight": Sent(
        "OPTIONS",
        b"/who",
        [(b"Origin", b"https://a.example"), (b"Access-Control-Request-Method", b"PUT")],
    ),
    "another host": Sent(host=b"evil.example"),
    "a problem": Sent(target=b"/teapot", headers=[(b"Accept", b"application/json")]),
    "an error page": Sent(target=b"/nowhere", headers=[(b"Accept", b"text/html")]),
    "an error": Sent(target=b"/async/boom"),
    "a template": Sent(target=b"/page?title=%3Cb%3E&a=%C3%A9"),
    "a method too many": Sent("PUT", b"/static/small.txt", pieces=[b"x"]),
    "background": Sent(target=b"/background/works"),
    "no body": Sent("HEAD", b"/page"),
}


def on_the_wire(sent: Sent) -> bytes:
    """The request as a client sends it that asks for the connection's end."""
    head = [b"%s %s HTTP/1.1" % (sent.method.encode(), sent.target), b"Connection: close"]
    head += [b"%s: %s" % pair for pair in sent.all_headers]
    pieces = sent.pieces or []
    if sent.chunked:
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""]]
    return b"\r\n".join([*head, b"", b"".join(pieces)])


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each kind of real server, with the application and all its layers."""
    target = f"tests.live_parity:{DOORS[request.param]}"
    logs = tmp_path_factory.mktemp("logs")
    with serving(request.param, target, logs, environment={"PARITY_APP_FOLDER": str(folder)}) as it:
        yield it


# What a server adds by itself.
OF_THE_SERVER = {"date", "server", "connection", "transfer-encoding"}


def test_every_real_server_gives_the_answer_of_both_doors(doors: Doors, server: Server) -> None:
    for name, sent in FIXED.items():
        sent = sent._replace(headers=[ID, *sent.headers])
        with server.connect() as connection:
            connection.sendall(on_the_wire(sent))
            response = HTTPResponse(connection, method=sent.method)
            response.begin()
            headers = [(key.lower(), value) for key, value in response.getheaders()]
            own = sorted(pair for pair in headers if pair[0] not in OF_THE_SERVER)
            expected = doors.through_both("layered", sent)
            assert (name, response.status, own, response.read()) == (
                name,
                expected.status,
                sorted(expected.headers),
                expected.body,
            )
