"""Weighted lists: Accept-Encoding and its like by their grammar (RFC 9110, 12.4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.model.headers import Headers
from microweb.model.qvalues import parse_qvalues, split_quoted
from microweb.model.vary import add_vary

from .conftest import steps

MEMBERS: list[tuple[str, list[tuple[str, float]]]] = [
    ("", []),
    ("gzip", [("gzip", 1.0)]),
    ("GZip, Br", [("gzip", 1.0), ("br", 1.0)]),
    ("gzip;q=0.5, *;q=0", [("gzip", 0.5), ("*", 0.0)]),
    ("gzip \t;\t Q=0.123 ,br;q=1.000", [("gzip", 0.123), ("br", 1.0)]),
    ("a;q=0., b;q=1.", [("a", 0.0), ("b", 1.0)]),
    (",, gzip,,br ,", [("gzip", 1.0), ("br", 1.0)]),
    ("text/html; Level=1 ;q=0.4", [("text/html;level=1", 0.4)]),
    ("text/*, */*;q=0.1", [("text/*", 1.0), ("*/*", 0.1)]),
    ('a/b;x="1,2;q=0";q=0.3, c', [('a/b;x="1,2;q=0"', 0.3), ("c", 1.0)]),
    (r'a/b;x="\",";q=0.3, c', [(r'a/b;x="\","', 0.3), ("c", 1.0)]),
    ("a;;b=c;, d", [("a;b=c", 1.0), ("d", 1.0)]),
    ("en-GB;q=0.8, de", [("en-gb", 0.8), ("de", 1.0)]),
]
MALFORMED = [
    "a;q",
    "a;q=",
    "a;q=2",
    "a;q=1.001",
    "a;q=0.1234",
    "a;q=-0.1",
    "a;q=.5",
    "a;q=1e0",
    "a;q =1",
    "a;q= 1",
    "a;q=0.5;q=0.6",
    "a;q=nan",
    "a b",
    "a/b/c",
    "a/",
    "/b",
    ";q=1",
    "a;x",
    "a;x=y z",
    "a;x=(",
    'a;x="y',
    "größe",
    "a;q=¹",
]


@pytest.mark.parametrize(("header", "members"), MEMBERS)
def test_members_and_weights(header: str, members: list[tuple[str, float]]) -> None:
    assert parse_qvalues(header) == members


@pytest.mark.parametrize("member", MALFORMED)
def test_a_malformed_member_is_left_out_and_hides_no_other(member: str) -> None:
    assert parse_qvalues(f"gzip, {member}")[0] == ("gzip", 1.0)
    assert not any(value.startswith("a") for value, _ in parse_qvalues(member))


def test_a_quote_left_open_takes_the_rest_with_it() -> None:
    assert parse_qvalues('a, b;x="c, d;q=0.5, e') == [("a", 1.0)]


def test_no_more_than_a_hundred_members_are_looked_at() -> None:
    header = ", ".join(f"c{n}" for n in range(1000))
    assert parse_qvalues(header) == [(f"c{n}", 1.0) for n in range(100)]


tokens = st.text("abc019!#$%&'*+.^_`|~-", min_size=1, max_size=5)
quoted = st.text('ab,;=\\" q', max_size=6).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
parameters = st.lists(
    st.builds(lambda name, value: f"x{name}={value}", tokens, tokens | quoted), max_size=3
)
weights = st.integers(0, 1000).map(lambda n: f"{n / 1000:.3f}")
blanks = st.text(" \t", max_size=2)


@given(st.lists(st.tuples(tokens, parameters, weights, blanks), max_size=20))
def test_what_is_written_by_the_grammar_is_read_so(
    members: list[tuple[str, list[str], str, str]],
) -> None:
    header = ",".join(
        blank + f"{blank};{blank}".join([value, *several, f"q={weight}"]) + blank
        for value, several, weight, blank in members
    )
    assert parse_qvalues(header) == [
        (";".join([value, *several]), float(weight)) for value, several, weight, _ in members
    ]


@given(st.text(st.characters(max_codepoint=255)))
def test_anything_else_is_read_without_an_error(header: str) -> None:
    for value, weight in parse_qvalues(header):
        assert value
        assert 0 <= weight <= 1


@given(st.text('a,"\\; '))
def test_splitting_loses_nothing(text: str) -> None:
    for separator in ",;":
        joined = separator.join(split_quoted(text, separator))
        assert joined.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("piece", [",", '"', '",', '\\"', '"\\', "a;q=1,", ';"', "a;b=c;"])
def test_a_long_header_is_linear_work(piece: str) -> None:
    def work(length: int) -> int:
        return steps(lambda: parse_qvalues(piece * length))

    assert work(4000) <= 10 * work(500)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "Origin"),
        ("", "Origin"),
        ("Accept", "Accept, Origin"),
        ("Accept,origin", "Accept,origin"),
        ("*", "*"),
        ("X-Origin", "X-Origin, Origin"),
    ],
)
def test_vary_names_each_header_once(before: str | None, after: str) -> None:
    headers = Headers({} if before is None else {"vary": before})
    add_vary(headers, "Origin")
    assert headers.getlist("vary") == [after]
