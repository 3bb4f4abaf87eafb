"""Rules: how a value is compared with what was sent, and what is claimed of it then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..format import Origin
from ..sent import Sent, Span

AS_LATIN_1 = "percent-decoded, each byte as the character of its number (PEP 3333)"
AS_UTF_8 = "percent-decoded, as UTF-8"
NOT_SENT = "it is not what was sent"

Source = Literal["wire", "socket", "server"]
# The source, the spans and the how of an Origin
Claim = tuple[Source, list[Span], str]

# What a rule is given: what was sent, the value, and all that it is one of.
Rule = Callable[[Sent, Any, Mapping[str, Any]], Claim]


def as_sent(name: str) -> Rule:
    """A part of the request line, unchanged."""

    def rule(sent: Sent, value: Any, _native: Mapping[str, Any]) -> Claim:
        part = sent.part(name)
        if part is None:
            return "server", [], "nothing of it was sent"
        return claim(value, sent.text(part), [(part.start, part.end)])

    return rule


def fields(name: str) -> Rule:
    """The fields of a name; some servers join those that are repeated."""

    def rule(sent: Sent, value: Any, _native: Mapping[str, Any]) -> Claim:
        parts = sent.values(name)
        spans = [(part.start, part.end) for part in parts]
        texts = [sent.text(part) for part in parts]
        for joint in (",", ", ", "; "):
            how = f"sent {len(parts)} times, joined by {joint!r}" if len(parts) > 1 else ""
            if parts and is_same(value, joint.join(texts)):
                return "wire", spans, how
        # An obsolete fold, or one of several: what is left of it was sent.
        for text, span in zip(texts, spans, strict=True):
            if is_same(value, text):
                return "wire", [span], "the others of its name are left out"
        return "server", [], NOT_SENT

    return rule


def told_by(source: Source, how: str = "") -> Rule:
    """What is not on the wire."""

    def rule(_sent: Sent, _value: Any, _native: Mapping[str, Any]) -> Claim:
        return source, [], how

    return rule


# --- comparing ---


def claim(value: Any, expected: str, spans: list[Span], how: str = "") -> Claim:
    return ("wire", spans, how) if is_same(value, expected) else ("server", [], NOT_SENT)


def is_same(value: Any, expected: str) -> bool:
    """Whether a recorded value is this text, or these bytes, as far as it was recorded."""
    if isinstance(value, str):
        return value == expected
    size = size_of(value)
    if not isinstance(value, Mapping) or size != len(expected):
        return False
    held = str(value.get("$text", value.get("$bytes", "")))
    return bool(value.get("masked")) or expected.startswith(held)


def size_of(value: Any) -> int:
    if isinstance(value, Mapping):
        size = value.get("size", value.get("length", -1))
        return size if isinstance(size, int) else -1
    return len(value) if isinstance(value, str) else -1


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


def mapping_of(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def origin(of: str, key: str, found: Claim) -> Origin:
    source, spans, how = found
    return Origin(of, key, source, spans, how)
