"""Where the values of a scope came from (ASGI 3.0, HTTP & WebSocket)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..format import Origin
from ..sent import Decoded, Sent
from .rules import (
    AS_UTF_8,
    NOT_SENT,
    Claim,
    Rule,
    as_sent,
    claim,
    is_same,
    origin,
    text_of,
    told_by,
)


def _scope_path(sent: Sent, value: Any, scope: Mapping[str, Any]) -> Claim:
    part = sent.part("path")
    if part is None:
        return "server", [], NOT_SENT
    decoded = Decoded(sent.bytes(part.start, part.end), part.start)
    span = (part.start, part.end)
    if is_same(value, decoded.text):
        return "wire", [span], AS_UTF_8
    if is_same(value, text_of(scope.get("root_path")) + decoded.text):
        return "wire", [span], f"{AS_UTF_8}, after the root_path"
    return "server", [], NOT_SENT


def _http_version(sent: Sent, value: Any, _scope: Mapping[str, Any]) -> Claim:
    part = sent.part("version")
    if part is None:
        return "server", [], NOT_SENT
    start = part.start + len("HTTP/")
    return claim(value, sent.text(part).removeprefix("HTTP/"), [(start, part.end)])


def _subprotocols(sent: Sent, value: Any, _scope: Mapping[str, Any]) -> Claim:
    parts = sent.values("sec-websocket-protocol")
    offered = [each.strip() for part in parts for each in sent.text(part).split(",")]
    if not parts or value != offered:
        return "server", [], "" if not parts else NOT_SENT
    return "wire", [(part.start, part.end) for part in parts], "split at the commas"


SCOPE: dict[str, Rule] = {
    "method": as_sent("method"),
    "path": _scope_path,
    "raw_path": as_sent("path"),
    "query_string": as_sent("query"),
    "http_version": _http_version,
    "subprotocols": _subprotocols,
    "client": told_by("socket", "the client's address and port"),
    "server": told_by("server", "its own address and port"),
    "root_path": told_by("server", "where it was told that the application is mounted"),
}


def of_scope(sent: Sent, scope: Mapping[str, Any]) -> Iterator[Origin]:
    for key, value in scope.items():
        if key == "headers" and isinstance(value, list):
            yield from _of_headers(sent, value)
        elif key != "$more":
            yield origin("scope", key, SCOPE.get(key, told_by("server"))(sent, value, scope))


def _of_headers(sent: Sent, headers: list[Any]) -> Iterator[Origin]:
    """Each header of a scope, and the field that it was: the next that is equal to it."""
    fields = list(sent.fields())
    for index, pair in enumerate(headers):
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        for name, value in fields:
            if is_same(pair[0], sent.text(name).lower()) and is_same(pair[1], sent.text(value)):
                fields.remove((name, value))
                how = "" if sent.text(name).islower() else "its name in lower case"
                spans = [(name.start, name.end), (value.start, value.end)]
                yield Origin("headers", index, "wire", spans, how)
                break
        else:
            yield Origin("headers", index, "server", [], NOT_SENT)
