"""Range: which part of a body is meant, by RFC 9110, 14."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from microweb.model.ranges import byte_range, content_range

from .conftest import steps

TABLE = [
    ("bytes=0-4", range(5)),
    ("bytes=0-0", range(1)),
    ("bytes=5-", range(5, 10)),
    ("bytes=9-9", range(9, 10)),
    ("bytes=0-9", range(10)),
    ("bytes=3-100", range(3, 10)),
    ("bytes=-3", range(7, 10)),
    ("bytes=-10", range(10)),
    ("bytes=-11", range(10)),
    ("BYTES=1-2", range(1, 3)),  # a unit's name has no case (14.1)
    ("bytes=001-002", range(1, 3)),
    ("bytes=0-" + "9" * 5000, range(10)),
    ("bytes=-" + "9" * 5000, range(10)),
    ("bytes=" + "0" * 5000 + "1-2", range(1, 3)),
]
UNSATISFIABLE = ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-000", f"bytes={'9' * 5000}-"]
IGNORED = [
    None,
    "",
    "bytes",
    "bytes=",
    "bytes=-",
    "bytes=4-3",
    "bytes=a-b",
    "bytes=1-b",
    "bytes=+1-2",
    "bytes=1_0-20",
    "bytes=\u0661-\u0662",  # digits, but not of ASCII
    "bytes=\xb2-",
    "bytes=0x1-0x2",
    "bytes=1.0-2",
    "bytes= 1-2",
    "bytes =1-2",
    "bytes=1 - 2",
    "bytes=1-2 ",
    "bytes=1-2\n",
    "bytes=--1",
    "bytes=1--2",
    "bytes=0-1,3-4",
    "bytes=0-1, bytes=3-4",
    "bytes=0-1,",
    "lines=1-2",
    "1-2",
    "bytes:1-2",
]


@pytest.mark.parametrize(("text", "part"), TABLE)
def test_a_part_is_sent(text: str, part: range) -> None:
    assert byte_range(text, 10) == part


@pytest.mark.parametrize("text", UNSATISFIABLE)
def test_what_lies_beyond_the_end_cannot_be_sent(text: str) -> None:
    part = byte_range(text, 10)
    assert part is not None
    assert not part


@pytest.mark.parametrize("text", IGNORED)
def test_all_else_is_ignored(text: str | None) -> None:
    assert byte_range(text, 10) is None


def test_of_an_empty_body() -> None:
    assert byte_range("bytes=0-", 0) == range(0)
    assert byte_range("bytes=-0", 0) == range(0)
    assert byte_range("bytes=-5", 0) is None  # satisfiable, but no Content-Range can tell it


def test_content_range() -> None:
    assert content_range(range(1), 10) == "bytes 0-0/10"
    assert content_range(range(3, 10), 10) == "bytes 3-9/10"
    assert content_range(range(10, 10), 10) == "bytes */10"


def wanted(first: str, last: str, size: int) -> bytes | None:
    """The bytes that a well-formed single range means, taken one by one; None for all."""
    body = bytes(number % 251 for number in range(size))
    if first and last and int(first) > int(last):
        return None
    if first:
        return bytes(
            byte
            for position, byte in enumerate(body)
            if position >= int(first) and (not last or position <= int(last))
        )
    return body[max(0, size - int(last)) :] if last and (size or not int(last)) else None


numbers = st.one_of(
    st.just(""), st.integers(0, 40).map(str), st.from_regex(r"\A0{1,3}[0-9]{1,25}\Z")
)


@given(first=numbers, last=numbers, size=st.integers(0, 30))
@example(first="0100000000000000000000", last="010000000000000000000", size=0)
def test_a_range_means_what_a_plain_reading_says(first: str, last: str, size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    part = byte_range(f"bytes={first}-{last}", size)
    assert (None if part is None else body[part.start : part.stop]) == wanted(first, last, size)


@given(st.text(alphabet='bytes=0123456789-, \t\u0663\xb9xW/"', max_size=40), st.integers(0, 99))
@example("bytes=0-0", 1)
def test_whatever_a_client_sends_is_a_part_or_nothing(text: str, size: int) -> None:
    part = byte_range(text, size)
    assert part is None or 0 <= part.start <= part.stop <= size
    if part is not None:
        assert text.lower().startswith("bytes=")


def test_the_work_does_not_grow_with_the_number_of_digits() -> None:
    texts = [f"bytes={'9' * count}-{'9' * count}" for count in (40, 40_000)]
    first, second = (steps(lambda text=text: byte_range(text, 10)) for text in texts)  # type: ignore[misc]
    assert first == second
