"""qvalues: the members of a header that lists what a client would like, each with its weight.

Accept, Accept-Encoding and their like have this grammar (RFC 9110, 12.4.2). What a member
means is not known here.
"""

from __future__ import annotations

import re

MAX_MEMBERS = 100  # members that are looked at; a client that means it names fewer

_TOKEN = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_VALUE = re.compile(rf"{_TOKEN}(?:/{_TOKEN})?")
_PARAMETER = re.compile(rf'{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*+")')
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")

# As far as the next separator that no quoted string holds.
_UP_TO = {
    separator: re.compile(rf'(?:[^"{separator}]++|"(?:[^"\\]|\\.)*+")*+') for separator in ",;"
}


def parse_qvalues(header: str) -> list[tuple[str, float]]:
    """The members of `header` in their order, in lower case, with weights from 0 to 1.

    `text/html;level=1; q=0.5, *` gives `[("text/html;level=1", 0.5), ("*", 1.0)]`: a
    member's parameters other than its weight stay with it. A malformed member is left out,
    and so is what follows the hundredth. Linear in the header's length.
    """
    members = split_quoted(header.lower(), ",")[:MAX_MEMBERS]
    return [parsed for member in members if (parsed := _parse_member(member)) is not None]


def split_quoted(text: str, separator: str) -> list[str]:
    """Split at `,` or `;`, but not inside quoted strings (RFC 9110, 5.6.4).

    A quoted string that is never closed stays one part with all that follows it.
    """
    parts = []
    position = 0
    while (end := _end_of_part(text, position, separator)) < len(text):
        parts.append(text[position:end].strip(" \t"))
        position = end + 1
    parts.append(text[position:].strip(" \t"))
    return parts


def _end_of_part(text: str, position: int, separator: str) -> int:
    found = _UP_TO[separator].match(text, position)
    end = found.end() if found else position
    # Where it did not stop at a separator there is an unclosed quote.
    return end if text[end : end + 1] == separator else len(text)


def _parse_member(member: str) -> tuple[str, float] | None:
    value, *parameters = split_quoted(member, ";")
    if not _VALUE.fullmatch(value):
        return None
    weights = []
    for parameter in filter(None, parameters):
        if parameter.startswith("q="):
            weights.append(parameter[2:])
        elif _PARAMETER.fullmatch(parameter):
            value += ";" + parameter
        else:
            return None
    if not weights:
        return value, 1.0
    well_formed = len(weights) == 1 and _WEIGHT.fullmatch(weights[0])
    return (value, float(weights[0])) if well_formed else None
