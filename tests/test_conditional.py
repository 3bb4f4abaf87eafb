"""Conditional requests: what validators mean, by RFC 9110, 13, and how they are read."""

from __future__ import annotations

import calendar
import random
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb.model.conditional import if_range_holds, parse_http_date, precondition

ETAG = '"v1"'
MODIFIED = 784111777
AT = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"

# headers of a GET -> the status
TABLE: list[tuple[dict[str, str], int | None]] = [
    ({}, None),
    # If-None-Match: a list, compared weakly
    ({"if-none-match": '"v1"'}, 304),
    ({"if-none-match": 'W/"v1"'}, 304),
    ({"if-none-match": '"v0", "v1"'}, 304),
    ({"if-none-match": '"v0","v1" , W/"v2"'}, 304),
    ({"if-none-match": ',, "v1"'}, 304),
    ({"if-none-match": '"a,b", "v1"'}, 304),
    ({"if-none-match": "*"}, 304),
    ({"if-none-match": '"v0"'}, None),
    ({"if-none-match": '"V1"'}, None),
    ({"if-none-match": '"x,"v1"'}, None),
    # If-Modified-Since, only where there is no If-None-Match
    ({"if-modified-since": AT}, 304),
    ({"if-modified-since": AFTER}, 304),
    ({"if-modified-since": BEFORE}, None),
    ({"if-modified-since": AFTER, "if-none-match": '"v0"'}, None),
    ({"if-modified-since": BEFORE, "if-none-match": '"v1"'}, 304),
    # If-Match: a list, compared strongly
    ({"if-match": '"v1"'}, None),
    ({"if-match": '"v0", "v1"'}, None),
    ({"if-match": "*"}, None),
    ({"if-match": '"v0"'}, 412),
    ({"if-match": 'W/"v1"'}, 412),
    # If-Unmodified-Since, only where there is no If-Match
    ({"if-unmodified-since": AT}, None),
    ({"if-unmodified-since": AFTER}, None),
    ({"if-unmodified-since": BEFORE}, 412),
    ({"if-unmodified-since": BEFORE, "if-match": '"v1"'}, None),
    ({"if-unmodified-since": AFTER, "if-match": '"v0"'}, 412),
    # In order: what must be so comes before what need not be sent
    ({"if-match": '"v0"', "if-none-match": '"v1"'}, 412),
    ({"if-match": '"v1"', "if-none-match": '"v1"'}, 304),
    ({"if-unmodified-since": BEFORE, "if-modified-since": AT}, 412),
    ({"if-unmodified-since": AT, "if-modified-since": AT}, 304),
    # What does not parse is not there
    ({"if-none-match": "v1"}, None),
    ({"if-none-match": '"v1" "v2"'}, None),
    ({"if-none-match": '"v1'}, None),
    ({"if-none-match": 'w/"v1"'}, None),
    ({"if-none-match": '"v1", *'}, None),
    ({"if-none-match": "", "if-modified-since": AT}, 304),
    ({"if-none-match": " , ,", "if-modified-since": AT}, 304),
    ({"if-none-match": "v1", "if-modified-since": AT}, 304),
    ({"if-match": "v0"}, None),
    ({"if-match": "v0", "if-unmodified-since": BEFORE}, 412),
    ({"if-modified-since": "yesterday"}, None),
    ({"if-modified-since": f"{AT}, {AT}"}, None),
    ({"if-modified-since": "784111777"}, None),
    ({"if-unmodified-since": "yesterday"}, None),
    # Range is not decided here
    ({"range": "bytes=0-1", "if-range": '"v0"'}, None),
]


@pytest.mark.parametrize(("headers", "status"), TABLE)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_condition_decides(method: str, headers: dict[str, str], status: int | None) -> None:
    assert precondition(method, headers, ETAG, MODIFIED) == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_methods_that_change_something_are_refused_and_never_answered_304(method: str) -> None:
    assert precondition(method, {"if-none-match": "*"}, ETAG, MODIFIED) == 412
    assert precondition(method, {"if-none-match": '"v1"'}, ETAG, MODIFIED) == 412
    assert precondition(method, {"if-none-match": '"v0"'}, ETAG, MODIFIED) is None
    assert precondition(method, {"if-match": '"v0"'}, ETAG, MODIFIED) == 412
    assert precondition(method, {"if-modified-since": AT}, ETAG, MODIFIED) is None
    assert precondition(method, {"if-unmodified-since": BEFORE}, ETAG, MODIFIED) == 412


def test_what_has_no_validator_matches_none() -> None:
    assert precondition("GET", {"if-none-match": '"v1"'}, None, None) is None
    assert precondition("GET", {"if-none-match": "*"}, None, None) == 304
    assert precondition("GET", {"if-match": '"v1"'}, None, None) == 412
    assert precondition("GET", {"if-match": "*"}, None, None) is None
    assert precondition("GET", {"if-modified-since": AFTER}, None, None) is None
    assert precondition("GET", {"if-unmodified-since": BEFORE}, None, None) is None
    assert not if_range_holds({"if-range": '"v1"'}, None, None)
    assert not if_range_holds({"if-range": "nonsense"}, None, None)


def test_a_weak_validator_of_our_own_is_compared_as_such() -> None:
    assert precondition("GET", {"if-none-match": '"v1"'}, 'W/"v1"', None) == 304
    assert precondition("GET", {"if-match": 'W/"v1"'}, 'W/"v1"', None) == 412
    assert not if_range_holds({"if-range": 'W/"v1"'}, 'W/"v1"', None)


@pytest.mark.parametrize(
    ("validator", "holds"),
    [
        ('"v1"', True),
        (AT, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        ("Sun Nov  6 08:49:37 1994", True),
        ('W/"v1"', False),
        ('"v0"', False),
        (AFTER, False),  # the date must be that very one
        (BEFORE, False),
        ('"v0", "v1"', False),  # no list here (13.1.5)
        ("*", False),
        ("v1", False),
        ("", False),
    ],
)
def test_if_range_asks_for_proof(validator: str, holds: bool) -> None:
    assert if_range_holds({"if-range": validator}, ETAG, MODIFIED) is holds


def test_without_if_range_nothing_need_be_proved() -> None:
    assert if_range_holds({}, ETAG, MODIFIED)


# --- Against a plain model -----------------------------------------------------------------

opaque = st.text(alphabet="!#,aZ~\xe9", max_size=4)
tags = st.tuples(st.booleans(), opaque)
blanks = st.sampled_from(["", " ", "\t", "  "])


def written(tag: tuple[bool, str]) -> str:
    weak, text = tag
    return f'{"W/" if weak else ""}"{text}"'


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[tuple[bool, str]], str]:
    """Entity-tags, and one of the ways in which a client may write their list."""
    members = draw(st.lists(tags, min_size=1, max_size=4))
    text = ""
    for number, member in enumerate(members):
        comma = "," if number else draw(st.sampled_from(["", ","]))
        empty = draw(st.sampled_from(["", ",", " ,\t,"])) if comma else ""
        text += comma + empty + draw(blanks) + written(member) + draw(blanks)
    return members, text + draw(st.sampled_from(["", ",", ", "]))


@given(etag=tags, none_match=lists(), match=lists(), asks=st.booleans(), demands=st.booleans())
def test_lists_of_tags_mean_what_their_members_mean(
    etag: tuple[bool, str],
    none_match: tuple[list[tuple[bool, str]], str],
    match: tuple[list[tuple[bool, str]], str],
    asks: bool,
    demands: bool,
) -> None:
    headers = {}
    expected = None
    if asks:
        headers["if-none-match"] = none_match[1]
        if etag[1] in [text for _, text in none_match[0]]:
            expected = 304
    if demands:
        headers["if-match"] = match[1]
        if etag[0] or (False, etag[1]) not in match[0]:
            expected = 412
    assert precondition("GET", headers, written(etag), MODIFIED) == expected


NAMES = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"]
hostile = st.text(alphabet='W/"*, \tv1aGMT:0-9SunNov\x00\xff', max_size=60)


@given(st.dictionaries(st.sampled_from(NAMES), hostile), st.sampled_from(["GET", "PUT"]))
def test_whatever_a_client_sends_there_is_a_verdict(headers: dict[str, str], method: str) -> None:
    assert precondition(method, headers, ETAG, MODIFIED) in (None, 304, 412)
    assert if_range_holds(headers, ETAG, MODIFIED) in (True, False)


@pytest.mark.parametrize(
    "piece", [" ", "\t", ",", " ,", '"', '""', '"a"', 'W/"', '"a" ', "W", '"a",', "W/"]
)
def test_reading_a_list_takes_time_in_proportion_to_its_length(piece: str) -> None:
    # With a cost that grows as the square of the length this would not end today.
    headers = {"if-none-match": piece * 1_000_000 + "x"}
    assert precondition("GET", headers, ETAG, MODIFIED) is None


# --- Dates -----------------------------------------------------------------------------------

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def in_all_formats(moment: datetime) -> list[str]:
    day, month = DAYS[moment.weekday()], MONTHS[moment.month - 1]
    clock = f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    return [
        f"{day[:3]}, {moment.day:02} {month} {moment.year:04} {clock} GMT",
        f"{day}, {moment.day:02}-{month}-{moment.year % 100:02} {clock} GMT",
        f"{day[:3]} {month} {moment.day:2} {clock} {moment.year:04}",
    ]


whole_seconds = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)


@given(whole_seconds)
def test_a_date_is_read_in_the_formats_with_a_whole_year(moment: datetime) -> None:
    fixdate, _, asctime = in_all_formats(moment)
    expected = calendar.timegm(moment.timetuple())
    assert parse_http_date(fixdate) == expected
    assert parse_http_date(asctime) == expected
    assert format_datetime(moment, usegmt=True) == fixdate  # the model is one that others share


@given(st.integers(-49, 50), st.integers(1, 28), st.integers(1, 12))
def test_two_digits_of_a_year_are_near_to_now(offset: int, day: int, month: int) -> None:
    moment = datetime(time.gmtime().tm_year + offset, month, day, 1, 2, 3, tzinfo=UTC)
    assert parse_http_date(in_all_formats(moment)[1]) == calendar.timegm(moment.timetuple())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT\n",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=3",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 94",
        "1994-11-06T08:49:37Z",
        "784111777",
        "0",
    ],
)
def test_what_is_no_http_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


def test_a_leap_second_is_read() -> None:
    leap = parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT")
    assert leap == parse_http_date("Sun, 01 Jan 2017 00:00:00 GMT")


@given(whole_seconds, st.integers(0, 2), st.randoms(use_true_random=False), st.text(max_size=3))
def test_a_damaged_date_never_does_damage(
    moment: datetime, form: int, chance: random.Random, damage: str
) -> None:
    text = in_all_formats(moment)[form]
    start = chance.randrange(len(text))
    found = parse_http_date(text[:start] + damage + text[start + chance.randrange(3) :])
    assert found is None or isinstance(found, int)
