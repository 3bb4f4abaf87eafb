"""What REDbot says of a URL: an oracle for HTTP that nobody here has written.

REDbot (https://redbot.org) asks for a resource the way caches, browsers and crawlers do,
again with validators, ranges and other encodings, and notes what is amiss by RFC 9110, 9111
and their like. By hand: `.venv/bin/redbot http://127.0.0.1:8000/`. Its event loop belongs to
its process and stays with it, so each check runs in one of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from configparser import ConfigParser
from typing import Any, NamedTuple

from .servers import PATIENCE, ROOT


class Note(NamedTuple):
    """One remark of REDbot's: its kind ("CL_CORRECT"), its level, and the remark itself."""

    kind: str
    level: str  # "good", "info", "warning" or "bad"
    summary: str


def notes_of(url: str, method: str = "GET") -> list[Note]:
    """All of REDbot's notes on the resource at a URL; AssertionError if it got no whole answer."""
    ran = subprocess.run(
        [sys.executable, "-m", __name__, url, method],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, f"REDbot could not check {url}:\n{ran.stderr}"
    return [Note(*fields) for fields in json.loads(ran.stdout)]


def check(url: str, method: str) -> list[Note]:
    """Ask REDbot, in this process, which can be done once."""
    import thor
    from redbot.resource import HttpResource

    config = ConfigParser()
    config["redbot"] = {"enable_local_access": "true"}
    resource = HttpResource(config["redbot"])
    resource.set_request(url, method)
    resource.on("check_done", thor.stop)
    resource.check()
    if not resource.check_done:  # it may have failed before there was anything to wait for
        thor.run()
    if resource.fetch_error is not None:
        raise SystemExit(f"{resource.fetch_error.desc} {resource.fetch_error.detail or ''}")
    # A 304, a 206 and a gzipped answer have been looked at as closely as the first one.
    responses = [resource.response, *(part.response for part in resource.subreqs.values())]
    notes = [note for response in responses for note in with_details(response.notes)]
    return list(dict.fromkeys(notes))


def with_details(notes: Iterable[Any]) -> Iterator[Note]:
    """Each of REDbot's own notes, followed by those below it."""
    for note in notes:
        yield Note(type(note).__name__, note.level.value, note.summary)
        yield from with_details(note.subnotes)


if __name__ == "__main__":
    print(json.dumps(check(*sys.argv[1:])))
