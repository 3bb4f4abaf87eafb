"""Accept: how its members are read, and which of an application's media types wins."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, Request
from microweb.model.accept import best_match
from microweb.model.qvalues import MAX_MEMBERS, parse_qvalues

from .conftest import Connect, steps

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,"
    "*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
)
AXIOS = "application/json, text/plain, */*"
JQUERY = "application/json, text/javascript, */*; q=0.01"


# --- The members and their weights ----------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "members"),
    [
        ("", []),
        ("gzip", [("gzip", 1.0)]),
        ("gzip;q=0.5, br , *;q=0", [("gzip", 0.5), ("br", 1.0), ("*", 0.0)]),
        ("Text/HTML ; Level=1 ;q=0.25", [("text/html;level=1", 0.25)]),
        ("text/html;q=0.4;level=1", [("text/html;level=1", 0.4)]),
        ("a/b;Q=1.000,c/d;q=0.,e/f;q=1.", [("a/b", 1.0), ("c/d", 0.0), ("e/f", 1.0)]),
        (",, a ,\t,b,", [("a", 1.0), ("b", 1.0)]),
        ("a/b;;x=1; ;q=0.1;", [("a/b;x=1", 0.1)]),
        ('a/b;x="1,2;q=0";q=0.5,c', [('a/b;x="1,2;q=0"', 0.5), ("c", 1.0)]),
        (r'a;x="\",b", c', [(r'a;x="\",b"', 1.0), ("c", 1.0)]),
        ("en-US,en;q=0.7", [("en-us", 1.0), ("en", 0.7)]),
    ],
)
def test_members_come_with_their_weights_in_their_order(
    header: str, members: list[tuple[str, float]]
) -> None:
    assert parse_qvalues(header) == members


@pytest.mark.parametrize(
    "malformed",
    [
        *["a;q=1.1", "a;q=2", "a;q=-0", "a;q=.5", "a;q=0.1234", "a;q=1.001", "a;q=", "a;q=x"],
        *["a;q=0;5", "a;q", "a;x", "a;q=0.5;q=0.5", "a;q=\u0660", "a;q =1", 'a;q="1"', "a;q=1e0"],
        *["a b", "a/", "/b", "a/b/c", ";q=1", ";", "é", "a/é", "a;x=", "a;=x", "a:b", "\x00"],
        *['"a"', 'a;x="1"2', 'a;x="1', 'a;x="\\', "a;q=1\n"],
    ],
)
def test_a_malformed_member_is_passed_over(malformed: str) -> None:
    # ", b" would be inside of a quote that nobody closed.
    assert ("b", 0.5) in parse_qvalues(f"b;q=0.5, {malformed}")
    assert not {"a", "a/b"} & dict(parse_qvalues(f"b;q=0.5, {malformed}")).keys()


def test_no_more_than_a_hundred_members_are_read() -> None:
    assert len(parse_qvalues("a," * 5000)) == MAX_MEMBERS


@pytest.mark.parametrize(
    "piece",
    ["a,", "a", ",", ";", " ", '"', '"\\', '\\"', ' ;"', "a;", ";x=", "a;q=0", '"",', "; ", "a ;"],
)
def test_the_work_grows_no_faster_than_the_header(piece: str) -> None:
    # Regular expressions run no lines of Python, so it is their repetition that is measured:
    # were one of them worse than linear, this would be seen to take its time.
    header = piece * 20_000
    assert len(parse_qvalues(header)) <= MAX_MEMBERS
    assert best_match(header, ["text/html"]) in ("text/html", None)
    few, many = (steps(lambda n=n: parse_qvalues("a;x=1," * n)) for n in (10, 20))  # type: ignore[misc]
    assert many < 2.5 * few


TEXT = st.text(alphabet='aAbZ/*;,="\\ \tqQ.015x-é\x00', max_size=60)


@given(TEXT)
def test_whatever_comes_the_weights_are_weights(header: str) -> None:
    for value, weight in parse_qvalues(header):
        assert 0.0 <= weight <= 1.0
        assert value == value.lower().strip()
        assert parse_qvalues(value) == [(value, 1.0)]


# --- The best of several ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "offers", "best"),
    [
        (None, ["a/b", "c/d"], "a/b"),
        ("", ["a/b", "c/d"], "a/b"),
        ("nonsense", ["a/b", "c/d"], "a/b"),
        ("*/b", ["a/b", "c/d"], "a/b"),
        ("*/*", ["a/b", "c/d"], "a/b"),
        ("c/d", ["a/b", "c/d"], "c/d"),
        ("e/f", ["a/b", "c/d"], None),
        ("a/b;q=0", ["a/b"], None),
        ("c/*, a/b;q=0.9", ["a/b", "c/d"], "c/d"),
        ("a/b;q=0.4, c/d;q=0.5", ["a/b", "c/d"], "c/d"),
        # The most precise range weighs an offer, whatever the others say.
        ("a/*, a/b;q=0.1, c/d;q=0.2", ["a/b", "c/d"], "c/d"),
        ("*/*, a/b;q=0", ["a/b", "c/d"], "c/d"),
        ("a/b;x=1;q=0.3, a/b;q=0.7, c/d;q=0.5", ["a/b;x=1", "c/d"], "c/d"),
        ("a/b;x=1", ["a/b"], None),
        ("a/b", ["a/b;x=1"], "a/b;x=1"),
        ('a/b;X="1"', ["A/B; x=1"], "A/B; x=1"),
        # Of equal weights: named more precisely, then named first, then offered first.
        ("*/*, c/d", ["a/b", "c/d"], "c/d"),
        ("c/d, a/b", ["a/b", "c/d"], "c/d"),
        ("a/*", ["a/c", "a/b"], "a/c"),
        # What real clients send.
        (CHROME, ["application/json", "text/html"], "text/html"),
        (AXIOS, ["text/html", "application/json"], "application/json"),
        (JQUERY, ["text/html", "application/json"], "application/json"),
        ("application/json; charset=UTF-8", ["application/json"], "application/json"),
        ("*/*", [], None),
        ("a/b", [], None),
    ],
)
def test_the_best_of_what_is_offered(
    header: str | None, offers: list[str], best: str | None
) -> None:
    assert best_match(header, offers) == best


@pytest.mark.parametrize("offer", ["html", "", "/", "text/", "/html", "text/*", "*/*", "*"])
@pytest.mark.parametrize("header", [None, "*/*", "text/html"])
def test_what_is_no_media_type_cannot_be_offered(header: str | None, offer: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(offer))):
        best_match(header, ["a/b", offer])


NAMES = st.sampled_from(["a", "b", "*"])
PARAMETERS = st.lists(st.sampled_from(["x=1", "x=2", "y=1"]), max_size=2, unique=True)
WEIGHTS = st.sampled_from([None, "0", "0.2", "0.20", "0.5", "0.501", "1", "1.0"])
RANGES = st.lists(st.tuples(NAMES, NAMES, PARAMETERS, WEIGHTS), max_size=5)
NO_STARS = st.sampled_from(["a", "b"])
OFFERS = st.lists(st.tuples(NO_STARS, NO_STARS, PARAMETERS), max_size=4)


def weighed(
    offer: tuple[str, str, list[str]], ranges: list[tuple[str, str, list[str], str | None]]
) -> tuple[float, int, int, int]:
    """By the letter of RFC 9110: try one kind of range after the other, the most precise first."""
    main, sub, parameters = offer
    for names, wanted in ((2, (main, sub)), (1, (main, "*")), (0, ("*", "*"))):
        for count in (2, 1, 0):
            fitting = [
                (float(weight or 1), -place)
                for place, (range_main, range_sub, needed, weight) in enumerate(ranges)
                if (range_main, range_sub) == wanted
                and len(needed) == count
                and set(needed) <= set(parameters)
            ]
            if fitting:
                weight, place = max(fitting)
                return weight, names, count, place
    return 0.0, 0, 0, 0


@given(RANGES, OFFERS)
def test_the_choice_is_that_of_a_slow_reading_of_the_rfc(
    ranges: list[tuple[str, str, list[str], str | None]], offers: list[tuple[str, str, list[str]]]
) -> None:
    header = ", ".join(
        ";".join([f"{main}/{sub}", *parameters, *([] if weight is None else [f"q={weight}"])])
        for main, sub, parameters, weight in ranges
    )
    texts = [";".join([f"{main}/{sub}", *parameters]) for main, sub, parameters in offers]
    valid = [one for one in ranges if one[:2] not in (("*", "a"), ("*", "b"))]
    expected = texts[0] if texts and not valid else None
    best = (0.0, 9, 9, 9)
    for text, offer in zip(texts, offers, strict=True):
        rank = weighed(offer, valid)
        if rank > best:
            expected, best = text, rank
    assert best_match(header, texts) == expected


@given(TEXT, st.lists(st.sampled_from(["a/b", "text/html", "a/a;x=1"]), min_size=1))
def test_whatever_comes_the_answer_is_one_of_the_offers(header: str, offers: list[str]) -> None:
    assert best_match(header, offers) in [*offers, None]


# --- In a handler ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ([], "text/html"),
        ([("accept", "application/json")], "application/json"),
        ([("accept", "image/*"), ("Accept", "application/*;q=0.1")], "application/json"),
        ([("accept", "*/*"), ("accept", "application/json")], "application/json"),
        ([("accept", "image/png")], "None"),
    ],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_handler_asks_what_the_client_prefers(
    connect: Connect, kind: str, headers: list[tuple[str, str]], answer: str
) -> None:
    app = App()

    def plain(request: Request) -> str:
        return str(request.prefers("text/html", "application/json"))

    async def asynchronous(request: Request) -> str:
        return plain(request)

    app.get("/")(plain if kind == "def" else asynchronous)
    client = connect(app)
    del client.headers["accept"]  # httpx has one of its own
    assert client.get("/", headers=headers).text == answer
