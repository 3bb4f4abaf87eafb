"""Cookies: read from the Cookie header, written for Set-Cookie (RFC 6265)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from .headers import _NAME

# cookie-octet (RFC 6265, 4.1.1); what lies outside is written as \ooo inside quotes, the
# way of Python's http.cookies, which Flask, Django and Starlette read as well.
_PLAIN = re.compile(r"[!#-+\--:<-\[\]-~]*")
_TO_ESCAPE = re.compile(rb"[^!#-+\--:<-\[\]-~ ]")
_ESCAPE = re.compile(rb"\\(?:([0-3][0-7]{2})|(.))", re.DOTALL)
_ATTRIBUTE = re.compile(r"[\x20-\x3a\x3c-\x7e]*")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SAMESITE = {"strict": "Strict", "lax": "Lax", "none": "None"}


def parse_cookies(header: str) -> dict[str, str]:
    """The cookies of a Cookie header: of those with one name the first, as browsers order them.

    Linear in the header's length. What is no `name=value` is passed over and hides
    nothing; quotes do not reach across a `;`.
    """
    cookies: dict[str, str] = {}
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if equals and name:
            cookies.setdefault(_text(name), _unquote(value.strip(" \t")))
    return cookies


def format_cookie(
    name: str,
    value: str,
    *,
    max_age: int | timedelta | None = None,
    expires: datetime | None = None,
    path: str | None = "/",
    domain: str | None = None,
    secure: bool = False,
    httponly: bool = False,
    samesite: str | None = "lax",
) -> str:
    """The value of a Set-Cookie header (RFC 6265, 4.1; SameSite as browsers know it).

    `max_age` is in seconds, or a timedelta; `expires` is an aware datetime. Raises
    ValueError for a name that is no token, for an attribute that would end the cookie or
    begin another attribute, and for `samesite="none"` without `secure`, which browsers
    refuse.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"cookie name {name!r} is not a token (RFC 6265, 4.1.1)")
    if not isinstance(value, str):
        raise TypeError(f"cookie {name!r}: the value must be str, not {value!r:.200}")
    parts = [f"{name}={_quote(value)}"]
    if expires is not None:
        if expires.tzinfo is None:
            raise ValueError(f"cookie {name!r}: expires needs a time zone: {expires!r}")
        parts.append(f"Expires={http_date(expires)}")
    if max_age is not None:
        seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
        parts.append(f"Max-Age={int(seconds)}")
    for attribute, text in (("Domain", domain), ("Path", path)):
        if text is not None:
            if not _ATTRIBUTE.fullmatch(text):
                raise ValueError(f"cookie {name!r}: {attribute} cannot be {text!r}")
            parts.append(f"{attribute}={text}")
    if secure:
        parts.append("Secure")
    if httponly:
        parts.append("HttpOnly")
    if samesite is not None:
        if samesite.lower() not in SAMESITE:
            raise ValueError(f"cookie {name!r}: samesite is strict, lax or none, not {samesite!r}")
        if samesite.lower() == "none" and not secure:
            raise ValueError(f"cookie {name!r}: browsers refuse samesite='none' without secure")
        parts.append(f"SameSite={SAMESITE[samesite.lower()]}")
    return "; ".join(parts)


def http_date(moment: datetime) -> str:
    """`Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110, 5.6.7), in any locale."""
    moment = moment.astimezone(UTC)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def _quote(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = _TO_ESCAPE.sub(lambda m: b"\\%03o" % m[0][0], value.encode("utf-8"))
    return f'"{escaped.decode("ascii")}"'


def _unquote(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return _text(value)
    inner = value[1:-1].encode("latin-1", "replace")
    plain = _ESCAPE.sub(lambda m: bytes([int(m[1], 8)]) if m[1] else m[2], inner)
    return plain.decode("utf-8", "replace")


def _text(value: str) -> str:
    # Header bytes come as Latin-1 through both doors; browsers send cookies in UTF-8.
    return (
        value if value.isascii() else value.encode("latin-1", "replace").decode("utf-8", "replace")
    )
