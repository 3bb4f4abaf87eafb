"""Conditional requests: what a client's validators mean for an answer (RFC 9110, 13).

Values in, a verdict out. Whoever asks knows what the validators are validators of.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from .cookies import _MONTHS


def precondition(
    method: str, headers: Mapping[str, str], etag: str | None, modified: int | None
) -> int | None:
    """The status that a request's conditions ask for: 304, 412, or None to go on as usual.

    `headers` are the request's; `etag` and `modified`, in seconds since 1970, are those of
    what would be sent, None where it has none. The order is that of RFC 9110, 13.2.2. A
    header that does not parse counts as absent.
    """
    asks = method in ("GET", "HEAD")
    if (wanted := _tags(headers, "if-match")) is not None:
        is_another = not _any_is(etag, wanted, _strongly)
    else:
        date = _date(headers, "if-unmodified-since")
        is_another = date is not None and modified is not None and modified > date
    if is_another:
        return 412
    if (known := _tags(headers, "if-none-match")) is not None:
        if _any_is(etag, known, _weakly):
            return 304 if asks else 412
    elif asks and modified is not None:
        date = _date(headers, "if-modified-since")
        if date is not None and modified <= date:
            return 304
    return None


def if_range_holds(headers: Mapping[str, str], etag: str | None, modified: int | None) -> bool:
    """Whether a Range may be answered with a part: what the client has a part of is unchanged.

    True without If-Range. A weak tag and an inexact date are no proof, and what does not
    parse is none either (RFC 9110, 13.1.5).
    """
    validator = headers.get("if-range")
    if validator is None:
        return True
    if validator.endswith('"'):
        return etag is not None and _strongly(validator, etag)
    return modified is not None and parse_http_date(validator) == modified


def parse_http_date(text: str) -> int | None:
    """An HTTP-date in any of its three formats, in seconds since 1970; None for anything else.

    A year of two digits is the last one that is no more than 50 years ahead (RFC 9110, 5.6.7).
    """
    for form in _DATES:
        if found := form.fullmatch(text):
            break
    else:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        latest = time.gmtime().tm_year + 50
        year = latest - (latest - year) % 100
    month = _MONTHS.index(found["month"]) + 1
    second = int(found["second"])
    try:
        # A leap second is one that `datetime` does not know; the second after it is.
        minute = datetime(
            year, month, int(found["day"]), int(found["hour"]), int(found["minute"]), tzinfo=UTC
        )
    except ValueError:
        return None
    return int(minute.timestamp()) + second


_TIME = r"(?P<hour>[0-2][0-9]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DATES = [
    re.compile(pattern)
    for pattern in (
        # Sun, 06 Nov 1994 08:49:37 GMT
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?P<day>[0-9]{{2}}) {_MONTH}"
        rf" (?P<year>[0-9]{{4}}) {_TIME} GMT",
        # Sunday, 06-Nov-94 08:49:37 GMT
        rf"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?P<day>[0-9]{{2}})-{_MONTH}"
        rf"-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        # Sun Nov  6 08:49:37 1994
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} (?P<day>[0-9]{{2}}| [0-9])"
        rf" {_TIME} (?P<year>[0-9]{{4}})",
    )
]

# One member of a list of entity-tags, with what ends it; a member may be empty, and a tag may
# have a comma in it (RFC 9110, 5.6.1 and 8.8.3). Possessive, so that it is linear.
_MEMBER = re.compile(
    r'[ \t]*+(?:(?P<tag>(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+)?(?:,|\Z)', re.DOTALL
)
_ANY = ["*"]


def _tags(headers: Mapping[str, str], name: str) -> list[str] | None:
    """The entity-tags that a header lists, `["*"]` for any; None if there is none to be read."""
    text = headers.get(name)
    if text is None or text == "*":
        return _ANY if text else None
    tags = []
    position = 0
    while position < len(text):
        member = _MEMBER.match(text, position)
        if member is None:
            return None
        if member["tag"]:
            tags.append(member["tag"])
        position = member.end()
    return tags or None


def _any_is(etag: str | None, tags: list[str], same: Callable[[str, str], bool]) -> bool:
    return tags is _ANY or (etag is not None and any(same(tag, etag) for tag in tags))


def _strongly(one: str, other: str) -> bool:
    return one == other and not one.startswith("W/")


def _weakly(one: str, other: str) -> bool:
    return one.removeprefix("W/") == other.removeprefix("W/")


def _date(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name)
    return None if text is None else parse_http_date(text)
