"""error_page: an expected error as a small HTML page, which says nothing of what made it."""

from __future__ import annotations

from html import escape

from .errors import PHRASES, HTTPException


def error_page(error: HTTPException) -> str:
    """The status, its phrase and the detail, if there is more to it than the phrase."""
    phrase = PHRASES.get(error.status, "Error")
    page = PAGE.format(status=error.status, phrase=escape(phrase))
    if error.detail not in ("", phrase):
        page += f"<p>{escape(error.detail)}</p>\n"
    return page


# It stands alone: no script, no font, no picture, nothing to be fetched.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {phrase}</title>
<style>
:root {{ color-scheme: light dark; --paper: #faf8f3; --ink: #24231f; --quiet: #625e55;
  --line: #ddd8cc; --rust: #96481f; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #1a1a18; --ink: #e6e2d8; --quiet: #a8a294;
  --line: #3b3a35; --rust: #e5a27a; }} }}
body {{ box-sizing: border-box; min-height: 100vh; margin: 0 auto; max-width: 42rem;
  padding: 22vh 1.5rem 4rem; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 1.125rem/1.6 Charter, "Iowan Old Style", Palatino, Georgia, serif; }}
h1 {{ margin: 0; font-size: clamp(1.5rem, 1.3rem + 1vw, 2rem); font-weight: 600; line-height: 1.2;
  text-wrap: balance; }}
b {{ display: block; margin: 0 0 .15em -.02em; color: var(--rust); font-weight: 400;
  font-size: clamp(5rem, 4rem + 6vw, 8rem); line-height: .9; letter-spacing: -.02em;
  font-variant-numeric: lining-nums; }}
p {{ margin: 1.25rem 0 0; padding-top: 1.25rem; border-top: 1px solid var(--line);
  color: var(--quiet); white-space: pre-line; }}
</style>
<h1><b>{status}</b> {phrase}</h1>
"""
