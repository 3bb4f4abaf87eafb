"""vary: tell caches which of the request's headers had a say in the response."""

from __future__ import annotations

from .headers import Headers


def add_vary(headers: Headers, name: str) -> None:
    """Add the header called `name` to Vary, unless that says so already (RFC 9110, 12.5.5)."""
    present = headers.get("vary", "")
    names = {word.strip(" \t").lower() for word in present.split(",")}
    if "*" not in names and name.lower() not in names:
        headers["vary"] = f"{present}, {name}" if present else name
