"""Where the attributes came from of a request that a framework has made of an environ or scope."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..format import Event, Origin
from ..sent import Decoded, Sent, Span
from .rules import (
    AS_UTF_8,
    NOT_SENT,
    Claim,
    Rule,
    fields,
    is_same,
    mapping_of,
    origin,
    text_of,
    told_by,
)
from .scope import SCOPE

REQUEST: dict[str, Rule] = {
    "method": SCOPE["method"],
    "query_string": SCOPE["query_string"],
    "http_version": SCOPE["http_version"],
    "client": SCOPE["client"],
    "server": SCOPE["server"],
    "root_path": SCOPE["root_path"],
}


def of_request(sent: Sent, told: Mapping[str, Any]) -> Iterator[Origin]:
    for key, value in told.items():
        if key == "path":
            yield origin("request", key, _request_path(sent, value))
        elif key == "query":
            yield from _of_items(key, _items(value), _query(sent))
        elif key == "cookies":
            yield from _of_items(key, _items(value), _cookies(sent))
        elif key == "headers":
            for name, joined in _joined(_items(value)).items():
                found = fields(name.lower())(sent, joined, told)
                yield origin("request", f"headers.{name}", found)
        else:
            yield origin("request", key, REQUEST.get(key, told_by("server"))(sent, value, told))


def _path_of(sent: Sent, path: str) -> tuple[Decoded, int] | None:
    """What was sent of a path, and how many characters of it stand before it."""
    part = sent.part("path")
    if part is None:
        return None
    decoded = Decoded(sent.bytes(part.start, part.end), part.start)
    before = len(decoded.text) - len(path)
    return (decoded, before) if before >= 0 and decoded.text[before:] == path else None


def _request_path(sent: Sent, value: Any) -> Claim:
    found = _path_of(sent, value) if isinstance(value, str) else None
    if found is None:
        return "server", [], NOT_SENT
    decoded, before = found
    return "wire", [decoded.span_of_text(before, len(decoded.text))], AS_UTF_8


def of_params(sent: Sent, match: Mapping[str, Any], events: Sequence[Event]) -> Iterator[Origin]:
    request = next((event.data for event in events if event.kind == "request"), {})
    found = _path_of(sent, text_of(request.get("path")))
    if found is None:
        return
    decoded, before = found
    values = mapping_of(match.get("path_params"))
    for name, (start, end) in mapping_of(match.get("spans")).items():
        text = decoded.text[before + start : before + end]
        how = AS_UTF_8 if values.get(name) == text else f"{AS_UTF_8}, then converted"
        span = decoded.span_of_text(before + start, before + end)
        yield Origin("request", f"path_params.{name}", "wire", [span], how)


# The name and value of an item, where they were sent, and what was done to them
Item = tuple[str, str, list[Span], str]


def _query(sent: Sent) -> Iterator[Item]:
    part = sent.part("query")
    if part is None:
        return
    start = part.start
    for piece in sent.bytes(part.start, part.end).split(b"&"):
        name, equals, value = piece.partition(b"=")
        begin = start + len(name) + len(equals)
        mine, its = Decoded(name, start, plus=True), Decoded(value, begin, plus=True)
        spans = [(start, start + len(name)), (begin, begin + len(value))]
        yield mine.text, its.text, spans, "percent-decoded, + as a space"
        start += len(piece) + 1


def _cookies(sent: Sent) -> Iterator[Item]:
    for part in sent.values("cookie"):
        for found in _COOKIE.finditer(sent.text(part)):
            spans = [(part.start + a, part.start + b) for a, b in (found.span(1), found.span(2))]
            yield found[1], found[2], spans, ""


_COOKIE = re.compile(r"[ \t]*([^=;]+?)[ \t]*=[ \t]*([^;]*[^;\s]|)[ \t]*(?:;|$)")


def _of_items(of: str, told: Sequence[tuple[str, Any]], found: Iterator[Item]) -> Iterator[Origin]:
    """Each name among some items, and all that was sent under it."""
    items = list(found)
    for name in dict.fromkeys(name for name, _ in told):
        mine = [each for each in items if each[0] == name]
        values = [value for own, value in told if own == name]
        fits = all(any(is_same(value, text) for _, text, _, _ in mine) for value in values)
        if fits and mine:
            spans = [span for _, _, spans, _ in mine for span in spans]
            yield Origin("request", f"{of}.{name}", "wire", spans, mine[0][3])
        else:
            yield Origin("request", f"{of}.{name}", "server", [], NOT_SENT)


def _items(value: Any) -> list[tuple[str, Any]]:
    """The pairs of a list of them, or of a mapping."""
    if isinstance(value, Mapping):
        return [(name, each) for name, each in value.items() if name != "$more"]
    pairs = value if isinstance(value, list) else []
    return [
        (text_of(pair[0]), pair[1]) for pair in pairs if isinstance(pair, list) and len(pair) == 2
    ]


def _joined(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """One value for each name; a secret stays as it is, since it cannot be joined."""
    joined: dict[str, Any] = {}
    for name, value in items:
        is_first = name not in joined or not isinstance(value, str)
        joined[name] = value if is_first else f"{joined[name]}, {value}"
    return joined
