"""Where the values of an environ came from (PEP 3333, environ Variables)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..format import Origin
from ..sent import Decoded, Sent
from .rules import (
    AS_LATIN_1,
    NOT_SENT,
    Claim,
    Rule,
    as_sent,
    fields,
    is_same,
    origin,
    text_of,
    told_by,
)


def _path_info(sent: Sent, value: Any, environ: Mapping[str, Any]) -> Claim:
    part = sent.part("path")
    if part is None:
        return "server", [], NOT_SENT
    decoded = Decoded(sent.bytes(part.start, part.end), part.start)
    before = len(text_of(environ.get("SCRIPT_NAME")))
    for skipped in dict.fromkeys((0, before)):
        if is_same(value, decoded.bytes[skipped:].decode("latin-1")):
            return "wire", [decoded.span(skipped, len(decoded.bytes))], AS_LATIN_1
    return "server", [], NOT_SENT


ENVIRON: dict[str, Rule] = {
    "REQUEST_METHOD": as_sent("method"),
    "PATH_INFO": _path_info,
    "QUERY_STRING": as_sent("query"),
    "SERVER_PROTOCOL": as_sent("version"),
    "CONTENT_TYPE": fields("content-type"),
    "CONTENT_LENGTH": fields("content-length"),
    # Not of PEP 3333: gunicorn and others have the target too, as it was sent.
    "RAW_URI": as_sent("target"),
    "REQUEST_URI": as_sent("target"),
    "REMOTE_ADDR": told_by("socket", "the client's address"),
    "REMOTE_HOST": told_by("socket", "the client's address"),
    "REMOTE_PORT": told_by("socket", "the client's port"),
    "SCRIPT_NAME": told_by("server", "where it was told that the application is mounted"),
    "SERVER_NAME": told_by("server", "its own address"),
    "SERVER_PORT": told_by("server", "its own port"),
}


def of_environ(sent: Sent, environ: Mapping[str, Any]) -> Iterator[Origin]:
    for key, value in environ.items():
        if key == "$more":
            continue
        rule = ENVIRON.get(key)
        if rule is None and key.startswith("HTTP_"):
            rule = fields(key.removeprefix("HTTP_").replace("_", "-").lower())
        yield origin("environ", key, (rule or told_by("server"))(sent, value, environ))
