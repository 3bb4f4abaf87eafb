"""How values are written down, which of them are masked, and what of the wire they came from."""

from __future__ import annotations

import io
import json
import os
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.tracing.anatomy import Anatomy
from microweb.tracing.format import Event, FormatError, Origin, Run, Trace, dump, load
from microweb.tracing.provenance import origins_of
from microweb.tracing.sent import Decoded
from microweb.tracing.values import DEEPEST, LONGEST, MOST, Notation, is_secret

noted = Notation().of


class Odd:
    """What fails however it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.5, 1.5),
        ("größe", "größe"),
        (b"ab\xff", {"$bytes": "abÿ", "size": 3}),
        (bytearray(b"a"), {"$bytes": "a", "size": 1}),
        (memoryview(b"a"), {"$bytes": "a", "size": 1}),
        ((1, "x"), [1, "x"]),
        ({"a": {b"b": 1}}, {"a": {"b": 1}}),
        ({1: 2}, {"1": 2}),
        (float("nan"), "nan"),
        (2**70, {"$type": "int"}),
        ("\udce9", {"$text": "\\udce9", "length": 1}),
        ("x" * (LONGEST + 1), {"$text": "x" * LONGEST, "length": LONGEST + 1}),
        (bytes(LONGEST + 1), {"$bytes": "\0" * LONGEST, "size": LONGEST + 1}),
        ([0] * (MOST + 2), [*[0] * MOST, {"$more": 2}]),
        (io.BytesIO(), {"$type": "_io.BytesIO"}),
        (Odd(), {"$type": f"{__name__}.Odd"}),
        ({Odd(): 1}, {"$type": "dict"}),
    ],
)
def test_values_in_json(value: Any, written: Any) -> None:
    assert noted(value) == written
    assert json.loads(json.dumps(noted(value), allow_nan=False)) == written


def test_what_is_nested_too_deep_is_its_type() -> None:
    value: Any = []
    for _ in range(DEEPEST + 1):
        value = [value]
    assert "{'$type': 'list'}" in str(noted(value))
    value.append(value)  # without end
    noted(value)


@pytest.mark.parametrize(
    "name", ["Cookie", "HTTP_COOKIE", b"cookie", "set-cookie", "Authorization", "X_API_KEY"]
)
def test_secrets_are_known_by_their_name(name: Any) -> None:
    assert is_secret(name)
    assert noted({name: "abc"}) == {
        name if isinstance(name, str) else name.decode(): {
            "$text": "***",
            "length": 3,
            "masked": True,
        }
    }
    assert noted([[name, b"abc"]])[0][1] == {"$bytes": "***", "size": 3, "masked": True}
    assert "abc" in str(Notation(secrets=True).of({name: "abc"}))


def test_cookies_are_masked_one_by_one() -> None:
    told = noted({"cookies": {"sid": "abc"}})
    assert told["cookies"]["sid"]["$text"] == "***"


@pytest.mark.parametrize("name", ["accept", "x-cookie-policy", 5, None, "HTTP_HOST"])
def test_and_nothing_else_is(name: Any) -> None:
    assert not is_secret(name)


def test_the_servers_own_environment_is_left_out() -> None:
    """wsgiref puts all of it into each environ: keys of other services among it."""
    environ = {**os.environ, "REQUEST_METHOD": "GET"}
    told = Notation().environ(environ)
    assert told == {"REQUEST_METHOD": "GET", "$more": len(os.environ)}


# --- the format -------------------------------------------------------------------------------


def test_a_trace_that_is_written_can_be_read() -> None:
    trace = Trace([Run("wsgi", "some 1.0", "a:b", "python -m some", {"python": "3"})])
    trace.events.append(Event(1, "seam", "in", "app.call", {"environ": {"a": "größe"}}))
    file = io.StringIO()
    dump(trace, file)
    assert load(file.getvalue().splitlines()) == trace


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("no json", "line 1 is no record of a trace"),
        ('{"format": "har"}', "line 1: a trace begins with a header"),
        ('{"format": "microweb-trace", "version": 2, "runs": []}', "it is of version 2"),
        ('{"format": "microweb-trace", "version": 1}', "line 1: it has no 'runs'"),
        (
            '{"format": "microweb-trace", "version": 1, "runs": []}\n{"record": "event"}',
            "line 2: it has no",
        ),
        ("[" * 100_000, "line 1 is no record"),
    ],
)
def test_what_is_no_trace(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        load(text.splitlines())
    assert message in str(caught.value)


# --- provenance -------------------------------------------------------------------------------

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="/\r\n\0 ?#%"), min_size=1, max_size=10
)


@given(TEXT, TEXT)
def test_a_decoded_text_is_found_in_what_was_sent(before: str, value: str) -> None:
    encoded = quote(f"/{before}/{value}").encode()
    decoded = Decoded(encoded, 100)
    start = len(before) + 2
    assert decoded.text == f"/{before}/{value}"
    begin, end = decoded.span_of_text(start, start + len(value))
    assert unquote_to_bytes(encoded[begin - 100 : end - 100]).decode() == value


@given(st.binary(max_size=30))
def test_whatever_was_sent_each_character_has_a_place(data: bytes) -> None:
    decoded = Decoded(quote(data).encode(), 0)
    assert bytes(decoded.bytes) == data
    spans = [decoded.span_of_text(n, n + 1) for n in range(len(decoded.text))]
    assert b"".join(unquote_to_bytes(quote(data)[a:b]) for a, b in spans) == data


def origins(head: str, kind: str = "environ", /, **values: Any) -> dict[Any, Origin]:
    """Where values of an environ or scope came from, of a request with this head."""
    sent = head.replace("\n", "\r\n").encode("latin-1")
    anatomy = Anatomy()
    anatomy.feed("in", sent)
    (request,) = anatomy.requests
    told = {key.replace("__", "."): noted(value) for key, value in values.items()}
    event = Event(1, "seam", "in", "app.call", {kind: told})
    protocol: Any = "wsgi" if kind == "environ" else "asgi"
    found = origins_of(protocol, request, sent[: request.head_end], [event])
    for origin in found:
        origin.how += f" {[sent[a:b].decode('latin-1') for a, b in origin.spans]}"
    return {each.key: each for each in found}


HEAD = "GET /a%2Fb?x=1 HTTP/1.1\nHost: h\nX-A: one\nx-a: two\nCookie: s=1\n\n"


@pytest.mark.parametrize(
    ("key", "value", "source", "text"),
    [
        ("REQUEST_METHOD", "GET", "wire", "['GET']"),
        ("REQUEST_METHOD", "POST", "server", "it is not what was sent"),  # a method override
        ("PATH_INFO", "/a/b", "wire", "['/a%2Fb']"),
        ("PATH_INFO", "/other", "server", "it is not what was sent"),
        ("QUERY_STRING", "x=1", "wire", "['x=1']"),
        ("SERVER_PROTOCOL", "HTTP/1.1", "wire", "['HTTP/1.1']"),
        ("SERVER_PROTOCOL", "HTTP/2", "server", "it is not what was sent"),
        ("HTTP_HOST", "h", "wire", "['h']"),
        ("HTTP_X_A", "one,two", "wire", "sent 2 times, joined by ',' ['one', 'two']"),
        ("HTTP_X_A", "two", "wire", "['two']"),
        ("HTTP_X_A", "three", "server", "it is not what was sent"),
        ("HTTP_COOKIE", "s=1", "wire", "['s=1']"),
        ("HTTP_COOKIE", "longer", "server", "it is not what was sent"),
        ("REMOTE_ADDR", "127.0.0.1", "socket", "the client's address"),
        ("wsgi__version", (1, 0), "server", ""),
        ("SERVER_NAME", "h", "server", "its own address"),
    ],
)
def test_where_a_value_of_an_environ_came_from(
    key: str, value: Any, source: str, text: str
) -> None:
    origin = origins(HEAD, **{key: value})[key.replace("__", ".")]
    assert origin.source == source
    assert text in origin.how


def test_a_path_below_a_mount_is_the_rest_of_what_was_sent() -> None:
    found = origins(HEAD.replace("%2F", "/"), SCRIPT_NAME="/a", PATH_INFO="/b")
    assert found["PATH_INFO"].how.endswith("['/b']")
    found = origins(HEAD, "scope", root_path="/up", path="/up/a/b")
    assert found["path"].how == "percent-decoded, as UTF-8, after the root_path ['/a%2Fb']"


def test_each_header_of_a_scope_is_the_field_that_it_was() -> None:
    headers = [(b"x-a", b"two"), (b"x-a", b"one"), (b"made", b"up"), (b"cookie", b"s=1")]
    found = origins(HEAD, "scope", headers=headers)
    assert [found[n].source for n in range(4)] == ["wire", "wire", "server", "wire"]
    assert found[0].how.endswith("['x-a', 'two']")
    assert found[1].how.endswith("['X-A', 'one']")
