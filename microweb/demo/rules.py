"""What a note has to be, by whichever way it comes: the form or the API."""

from __future__ import annotations

import unicodedata

LONGEST = {"name": 40, "text": 1000}  # characters

MISSING = {"name": "Please tell who you are.", "text": "A note needs some text."}


def cleaned(value: object) -> str:
    """What was typed, without blanks around it and without characters that nobody can see.

    A lone surrogate, which JSON can carry and no database takes, becomes a question mark.
    """
    if not isinstance(value, str):
        return ""
    text = value.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc").strip()


def cleaned_line(value: object) -> str:
    """The same on a single line."""
    return " ".join(cleaned(value).split())


def problems(**fields: str) -> dict[str, str]:
    """A sentence for each field that is not as it has to be; empty if all are."""
    found = {}
    for field, text in fields.items():
        if not text:
            found[field] = MISSING[field]
        elif len(text) > LONGEST[field]:
            found[field] = f"{len(text):,} characters are too many: at most {LONGEST[field]:,}."
    return found
