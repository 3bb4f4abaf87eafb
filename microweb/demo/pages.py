"""The frame of every page, and its small parts: plain f-strings, with everything escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote

from microweb import Request

# Read once, when the application is imported, and not for every request.
STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")

# Two doors in one wall; as a data: URL, so that browsers need not ask for /favicon.ico.
ICON = "data:image/svg+xml," + quote(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M2 14V5a2 2 0 0 1 4 0v9z' fill='#3f6a8a'/>"
    "<path d='M10 14V5a2 2 0 0 1 4 0v9z' fill='#a4582f'/></svg>"
)


def page(request: Request, title: str, content: str) -> str:
    """A whole HTML document around `content`, which is HTML already."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="{href(request, "/style.css")}">
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""


def href(request: Request, path: str) -> str:
    """A path of this application as a link: below root_path, percent-encoded, escaped."""
    return escape(quote(request.root_path + path))


def code(text: object) -> str:
    """Text in the fixed font."""
    return f"<code>{escape(str(text))}</code>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A list of names and values, both HTML already."""
    items = [f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows]
    return f'<dl class="facts">{"".join(items)}</dl>'


def missing_page(request: Request) -> str:
    """The page for a path that no route matches."""
    content = f"""
<p class="back"><a href="{href(request, "/")}">microweb demo</a></p>
<h1>There is nothing here.</h1>
<p class="lead">No route matches {code(request.path)}.</p>
<p>The server knows nothing about routes. It handed this request over like any other, and
the framework's router said 404. A program that does not ask for <code>text/html</code>
gets one line of text instead of this page.</p>"""
    return page(request, "404: nothing here", content)
