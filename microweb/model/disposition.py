"""Content-Disposition: the name under which a client saves what it gets (RFC 6266)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

# A name is no path, and has no control characters.
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")

_ACCENTS = re.compile(r"[\u0300-\u036f]")

# Clients differ in how they read escapes in quotes, and a percent sign (RFC 6266, appendix D).
# A slash may come of another character ("\uff0f"), as its nearest one in ASCII.
_NO_FALLBACK = re.compile(r"[^ !#$&-.0-\[\]-~]")

# attr-char (RFC 8187, 3.2.1), beside those that `quote` never encodes
_EXACT = "!#$&+^`|"


def content_disposition(kind: str, filename: str) -> str:
    """The header's value: `kind` is "attachment" or "inline", `filename` any name.

    `filename` comes as close to the name as ASCII can; where that is not it, `filename*`
    says it exactly, in UTF-8.
    """
    name = _NO_NAME.sub("_", filename)
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", name))
    fallback = _NO_FALLBACK.sub("_", bare)
    value = f'{kind}; filename="{fallback}"'
    if fallback != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_EXACT, errors='replace')}"
    return value
