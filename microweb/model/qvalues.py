"""parse_qvalues: headers whose members the client weighs, Accept among them (RFC 9110, 12.4.2)."""

from __future__ import annotations

import re
from itertools import islice

# What a client can make a server weigh; a browser sends eight.
MAX_MEMBERS = 100

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Where a quote is left open, it reaches to the end: looked for once, and not from each quote on.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'

_MEMBERS = re.compile(rf'(?:[^",]|{_QUOTED})++', re.DOTALL)
_PARTS = re.compile(rf'(?:[^";]|{_QUOTED})++', re.DOTALL)
_VALUE = re.compile(rf"{_TOKEN}(?:/{_TOKEN})?")
_PARAMETER = re.compile(rf'{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*")')
_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def parse_qvalues(header: str) -> list[tuple[str, float]]:
    """The members of a header, each with its weight from 0.0 to 1.0, in their order.

    A member is a value such as `gzip`, `*` or `text/html;level=1`: lower-cased, its
    parameters kept, without the blanks between them. `q` is its weight wherever it stands
    (RFC 9110, 12.5.1), and 1.0 where there is none. A malformed member is passed over.
    Linear in the header's length; members after the hundredth are not read.
    """
    found = islice(_MEMBERS.finditer(header), MAX_MEMBERS)
    return [member for match in found if (member := _parse_member(match[0])) is not None]


def _parse_member(text: str) -> tuple[str, float] | None:
    value, *parameters = [part.strip(" \t") for part in _PARTS.findall(text)] or [""]
    if not _VALUE.fullmatch(value):
        return None
    kept, weights = [value], []
    for parameter in filter(None, parameters):  # ";;" is nothing wrong (RFC 9110, 5.6.6)
        if weight := _WEIGHT.fullmatch(parameter):
            weights.append(float(weight[1]))
        elif _PARAMETER.fullmatch(parameter) and parameter[:2] not in ("q=", "Q="):
            kept.append(parameter)
        else:
            return None
    if len(weights) > 1:
        return None
    return ";".join(kept).lower(), weights[0] if weights else 1.0
