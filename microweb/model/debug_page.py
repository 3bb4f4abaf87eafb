"""debug_page: an unexpected error as a page, cut where server, framework and handler meet.

A page to be read: it runs nothing, offers nothing to run, and shows source but no variables.
It is a list of parts, each a kind and its texts; the two tables at the end of this file say
what a kind looks like, in HTML and in plain text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import TypeVar

from .problems import preferred_form
from .request import Request
from .response import HTMLResponse, PlainTextResponse, Response
from .trail import Call, chain_of, is_outermost, sides_of, source_of, stack_of, trail_of

T = TypeVar("T")
Part = tuple[str, ...]  # its kind, and its texts

# Of what is longer than both ends together, the middle is left out and counted.
ERRORS, GROUPS = 3, 6
CALLS = {"server": 2, "framework": 10, "handler": 10}
AROUND = 3  # lines above and below the one that failed
TEXT_LENGTH = 2000  # characters

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "vary": "accept",
    "x-content-type-options": "nosniff",
}
SEAMS = {"wsgi": "app(environ, start_response)", "asgi": "await app(scope, receive, send)"}
SIDES = {
    "server": "what called the application",
    "framework": "microweb",
    "handler": "your code, and the libraries it calls",
}
FOOT = "This page is shown because of App(debug=True), which must never be on in public."


def debug_page(request: Request, error: Exception) -> Response:
    """A 500 that shows the way to `error`: HTML where Accept prefers it, otherwise text.

    To a client that prefers JSON, too: its author reads this, and no program does.
    """
    trail = trail_of(error, stack_of(request, sys._getframe(1)))
    parts = _page(request, error, trail)
    if preferred_form(request) == "text/html":
        return HTMLResponse(HEAD + _written(parts, HTML, escape), 500, HEADERS)
    return PlainTextResponse(_written(parts, TEXT, str), 500, HEADERS)


def _page(request: Request, error: Exception, trail: list[Call]) -> Iterator[Part]:
    yield "page", _name(error), _spelled(request.method), _spelled(request.path), request.protocol
    yield "error", _name(error), _message(error)
    yield from _call(trail[-1], AROUND)
    yield from _trail(trail, SEAMS.get(request.protocol, ""))
    for origin in _ends(chain_of(error), ERRORS)[1:]:
        if isinstance(origin, int):
            yield "gap", f"{origin:,} more errors"
        else:
            how, cause = origin
            yield "how", how
            yield "error", _name(cause), _message(cause)
            yield from _trail(trail_of(cause), "")
    yield ("foot",)


def _trail(trail: list[Call], seam: str) -> Iterator[Part]:
    before = ""
    for group in _ends(sides_of(trail), GROUPS):
        if isinstance(group, int):
            yield "gap", f"{group:,} more groups"
            continue
        side, calls = group
        if (before, side) == ("server", "framework"):
            yield "seam", seam
        before = side
        yield "side", side, SIDES[side]
        for call in _ends(calls, CALLS[side]):
            if isinstance(call, int):
                yield "gap", f"{call:,} more calls"
                continue
            if call is not trail[0] and is_outermost(call):
                yield "gap", "on in another thread"
            yield from _call(call, AROUND if side == "handler" else 0)
        yield ("end",)


def _call(call: Call, around: int) -> Iterator[Part]:
    file = call.file if around else _short(call.file)
    yield "call", call.frame.f_code.co_qualname, file, str(call.line)
    for line in source_of(call, around):
        text, start, end = line.text, line.start, line.end
        if line.number != call.line or not around:
            yield "line", f"{line.number:4}", text
            continue
        yield "failing", f"{line.number:4}", text[:start], text[start:end], text[end:]
        if start < end:
            yield "carets", " " * start + "^" * (end - start)
    yield ("end call",)


def _name(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _message(error: BaseException) -> str:
    try:
        return "\n".join([str(error), *map(str, getattr(error, "__notes__", ()))])
    except Exception:
        return "(str() of this error failed)"


def _spelled(text: str) -> str:
    # One line, whatever the client put into it.
    return repr(text)[1:-1]


def _short(file: str) -> str:
    # As an import would look for it: below an entry of sys.path.
    roots = [path + os.sep for path in sys.path if path and file.startswith(path + os.sep)]
    return file[len(max(roots, key=len, default="")) :]


def _ends(items: Sequence[T], keep: int) -> list[T | int]:
    """The items; of many, those at either end, and between them how many were left out."""
    left_out = len(items) - 2 * keep
    return [*items[:keep], left_out, *items[-keep:]] if left_out > 1 else [*items]


def _written(parts: Iterable[Part], looks: dict[str, str], escaped: Callable[[str], str]) -> str:
    return "".join(
        looks[kind].format(*(escaped(_bounded(text)) for text in texts)) for kind, *texts in parts
    )


def _bounded(text: str) -> str:
    # Control characters are spelled out: a terminal would obey them.
    spelled = [c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text[:TEXT_LENGTH]]
    if len(text) > TEXT_LENGTH:
        spelled.append(f" ... and {len(text) - TEXT_LENGTH:,} more characters")
    return "".join(spelled)


TEXT = {
    "page": "500 {1} {2} through app.{3}\n",
    "how": "\n\n{0}\n",
    "error": "\n{0}: {1}\n\n",
    "side": "\n-- {0} side: {1}\n\n",
    "seam": "\n======== the seam: {0} ========\n",
    "end": "",
    "gap": "  ... {0} ...\n",
    "call": "  {0}  ({1}:{2})\n",
    "line": "      {0}  {1}\n",
    "failing": "    > {0}  {1}{2}{3}\n",
    "carets": "            {0}\n",
    "end call": "",
    "foot": f"\n\n{FOOT}\n",
}
HTML = {
    "page": "<title>{0}: {1} {2}</title>\n<header><b>500</b> {1} {2} through app.{3}</header>\n",
    "how": "<p class=how>{0}</p>\n",
    "error": "<h1>{0}</h1>\n<div class=message>{1}</div>\n",
    "side": "<section class={0}><h2>{0} side <small>{1}</small></h2>\n",
    "seam": "<p class=seam>the seam: <b>{0}</b></p>\n",
    "end": "</section>\n",
    "gap": "<p class=gap>&hellip; {0} &hellip;</p>\n",
    "call": "<p>{0} <span>{1}:{2}</span></p>\n<pre>",
    "line": "<i>{0}</i>  {1}\n",
    "failing": "<b><i>{0}</i>  {1}<mark>{2}</mark>{3}\n</b>",
    "carets": "",
    "end call": "</pre>\n",
    "foot": f"<footer>{FOOT}</footer>\n",
}
HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --page: #fbfaf8; --ink: #2a2c30; --dim: #6b7079;
  --server: #46699c; --framework: #96691f; --handler: #a83a38; --failing: #a83a3812; }
@media (prefers-color-scheme: dark) { :root { --page: #17191d; --ink: #d6d8dd; --dim: #8d929c;
  --server: #82a4d6; --framework: #cfa45f; --handler: #e58a85; --failing: #e58a851c; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 3rem; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header, p, pre, .message { font: 13px/1.55 ui-monospace, Menlo, Consolas, monospace; }
header, span, small, i, footer, .gap, .how { color: var(--dim); }
h1 { margin: 1.2rem 0 .3rem; font-size: 1.5rem; line-height: 1.25; }
h2 { margin: 0 0 .7rem; font-size: 1rem; color: var(--side); }
small { font-size: .85rem; font-weight: normal; }
section { margin: 1.4rem 0; padding-left: 1rem; border-left: 3px solid var(--side); }
.server { --side: var(--server); }
.framework { --side: var(--framework); }
.handler { --side: var(--handler); }
p { margin: .6rem 0 0; }
pre { margin: 0 0 .2rem; overflow-x: auto; }
i { font-style: normal; user-select: none; }
pre b { display: block; width: max-content; min-width: 100%; font-weight: normal;
  background: var(--failing); }
mark { background: none; color: inherit; text-decoration: underline 2px var(--handler);
  text-underline-offset: 3px; }
.message { white-space: pre-wrap; }
.seam { margin: 1.4rem 0; padding-top: .5rem; border-top: 7px solid var(--ink); }
@media (max-width: 46rem) { pre { white-space: pre-wrap; } pre b { width: auto; } }
.how { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid; }
footer { margin-top: 2.5rem; }
</style>
"""
