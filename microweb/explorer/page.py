"""Page: the explorer's page as one piece of HTML that loads nothing, from nowhere.

Its modules stand in an import map, each as a `data:` URL: so they are modules also in a file
that is opened from disk, where a browser would refuse to load them from beside it. The page's
policy lets nothing run, and nothing be loaded, but what stands in it.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from string import Template
from typing import Any

from ..trace import Trouble
from ..tracing.format import Event, Trace, records
from .scenarios import Scenario

ASSETS = files(__package__) / "assets"
MOST_EVENTS = 4_000  # of one exchange: more than anybody steps through

# What the page may do, from disk; one that is served may also ask its own server.
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}';"
    " img-src data:; base-uri 'none'; form-action 'none'"
)


def live_page(scenarios: Sequence[Scenario], nonce: str) -> str:
    """The page that sends requests, for a response whose policy names the nonce."""
    content = {"scenarios": [asdict(each) for each in scenarios], "recording": None}
    return _page(content, served_policy(nonce), nonce)


def served_policy(nonce: str) -> str:
    """The policy of a page that is served."""
    return f"{POLICY.format(nonce=nonce)}; connect-src 'self'"


def page_of(trace: Trace, troubles: Sequence[Trouble | None]) -> str:
    """The page with a recording inside, which can be mailed, and opened from disk."""
    nonce = secrets.token_urlsafe(16)
    content = {"scenarios": None, "recording": recording_of(trace, troubles)}
    return _page(content, POLICY.format(nonce=nonce), nonce)


def recording_of(trace: Trace, troubles: Sequence[Trouble | None]) -> dict[str, Any]:
    """A recording as the page takes it: the lines of the trace format, and what went wrong."""
    bounded = replace(trace, events=_bounded(trace.events))
    told = [None if each is None else each._asdict() for each in troubles]
    return {"records": list(records(bounded)), "troubles": told}


def _bounded(events: Sequence[Event]) -> list[Event]:
    """The first events of each exchange, and for the rest a word that it is left out."""
    numbers: dict[tuple[int, int | None], int] = {}
    kept = []
    for event in events:
        exchange = (event.run, event.exchange)
        number = numbers[exchange] = numbers.get(exchange, 0) + 1
        if number <= MOST_EVENTS:
            kept.append(event)
        elif number == MOST_EVENTS + 1:
            why = {"why": f"the page shows {MOST_EVENTS:,} events of an exchange"}
            kept.append(replace(event, side="seam", direction="out", kind="cut", data=why))
    return kept


def _page(content: dict[str, Any], policy: str, nonce: str) -> str:
    return Template(_asset("index.html")).substitute(
        nonce=nonce,
        policy=policy,
        style=_asset("style.css"),
        imports=_in_script({"imports": _imports()}),
        content=_in_script(content),
    )


def _imports() -> dict[str, str]:
    """Each module by the name that others import it by: `explorer/picture`."""
    return {
        f"explorer/{each.name.removesuffix('.js')}": _data_url(each.read_bytes())
        for each in sorted(ASSETS.iterdir(), key=lambda each: each.name)
        if each.name.endswith(".js")
    }


def _data_url(module: bytes) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(module).decode('ascii')}"


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def _in_script(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends that, or begins a comment."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
