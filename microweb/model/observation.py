"""Observation: one step of a request that is observed, and what there is to tell of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .headers import MultiDict
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from ..routing import Route
    from .forms import Form

Direction = Literal["in", "out"]

# Every kind of step, and where it leads: in to the handler, or out to the client. A handler or
# a layer is called, and then either returns or raises.
STEPS: dict[str, Direction] = {
    "request": "in",  # as the gateway made it
    "layer.call": "in",
    "match": "in",  # what the router found: a route, or why there is none
    "body": "in",  # has arrived, before the handler; told only where there is one
    "handler.call": "in",
    "handler.return": "out",
    "handler.raise": "out",
    "layer.return": "out",
    "layer.raise": "out",
    "response": "out",  # as the gateway is given it
}

# What is told of a request, under the names that they have there.
ATTRIBUTES = (
    "method",
    "path",
    "root_path",
    "scheme",
    "http_version",
    "query_string",
    "query",
    "headers",
    "cookies",
    "client",
    "server",
    "protocol",
)


class Source(NamedTuple):
    """Where a function is written."""

    module: str
    file: str
    line: int
    function: str


class Observation(NamedTuple):
    """One step of a request on its way in, or of its response on its way out.

    `kind` is one of STEPS. `data` holds plain values: None, str, bytes, numbers, and lists,
    tuples and dicts of them. `source` is the handler or the layer whose step it is, or what of
    the framework takes it, where that is one function.
    """

    kind: str
    direction: Direction
    request: Request
    data: dict[str, Any]
    source: Source | None = None


def told_of_request(request: Request) -> dict[str, Any]:
    """Its attributes; None for one that the server left out, or that cannot be read."""
    # Of a twin: a Request keeps what it has computed, and a layer may change what it is made of.
    twin = copy(request)
    return {name: _attribute(twin, name) for name in ATTRIBUTES}


def _attribute(request: Request, name: str) -> Any:
    try:
        value = getattr(request, name)
    except Exception:
        return None
    return value.multi_items() if isinstance(value, MultiDict) else value


def told_of_match(path: str, route: Route | None, found: Any) -> dict[str, Any]:
    """What `Router.match` has returned, and where in the path the parameters stand."""
    if route is None:
        return {"route": None, "allow": sorted(found.allow), "redirect": found.redirect}
    return {
        "route": route.path,
        "name": route.name,
        "path_params": plain_params(found),
        "spans": {name: list(span) for name, span in route.template.spans(path).items()},
    }


def told_of_body(request: Request) -> dict[str, Any]:
    """Its bytes; of a multipart form, which was parsed as it came, the fields instead."""
    if request._uploaded is None:
        return {"bytes": request._body}
    return {"bytes": None, "form": _fields(request._uploaded)}


def _fields(form: Form) -> list[tuple[str, Any]]:
    file = ("filename", "content_type", "size")
    return [
        (name, value if isinstance(value, str) else {each: getattr(value, each) for each in file})
        for name, value in form.multi_items()
    ]


def told_of_value(value: Any) -> dict[str, Any]:
    """What a handler has returned: its type, and itself where it is plain."""
    told = {"type": _name_of(type(value))}
    with suppress(TypeError, RecursionError):
        told["value"] = _plain(value)
    return told


def told_of_error(error: BaseException) -> dict[str, Any]:
    """An error's type and message."""
    return {"type": _name_of(type(error)), "message": _text(error)}


def told_of_response(request: Request, response: Response) -> dict[str, Any]:
    """What is to leave; of a stream it is not known yet."""
    return {
        "status": response.status,
        "headers": response.header_pairs(request.method),
        "bytes": response.body if response.iterator is None else None,
    }


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """A path's parameters as plain values: what a converter made of them otherwise, as text."""
    return {name: _plain_or_text(value) for name, value in params.items()}


def _plain_or_text(value: Any) -> Any:
    try:
        return _plain(value)
    except TypeError:
        return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"(str() of this {type(value).__name__} failed)"


def _plain(value: Any) -> Any:
    """A copy of a plain value, since others may change it. TypeError where it is none."""
    if value is None or isinstance(value, (str, bytes, int, float)):
        return value
    if isinstance(value, dict):
        return {_plain(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, tuple):
        return tuple([_plain(member) for member in value])
    raise TypeError(f"{type(value)} is not plain")


def _name_of(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def source_of(function: Callable[..., Any]) -> Source | None:
    """Where a function is written, also below decorators; None where it is not of Python."""
    function = inspect.unwrap(getattr(function, "func", function))  # functools.partial
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004
        code = getattr(candidate, "__code__", None)
        if isinstance(code, CodeType):
            return Source(function.__module__, code.co_filename, code.co_firstlineno, name)
    return None
