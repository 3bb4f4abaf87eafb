"""Scenarios: requests that are worth seeing, for the demo and for any other application.

Their names are among the page's texts, in assets/texts.js.
"""

from __future__ import annotations

from dataclasses import dataclass

DEMO = "microweb.demo:site"
FORM = "content-type: application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A request as it stands in the page's form. `pieces` go out one by one where several are."""

    name: str
    method: str
    target: str
    headers: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()
    leave: bool = False


OF_DEMO = (
    Scenario("text", "GET", "/text"),
    Scenario("path", "GET", "/hello/caf%C3%A9?lang=fr"),
    Scenario("form", "POST", "/form", (FORM,), ("name=Ada+Lovelace&drink=caf%C3%A9",)),
    Scenario("json", "POST", "/echo", ("x-order: 7",), ('{"tea": "oolong", "cups": 2}',)),
    Scenario("stream", "GET", "/stream"),
    Scenario("chunked", "POST", "/echo", (), ('["one",', '"two",', '"three"]')),
    Scenario("head", "HEAD", "/text"),
    Scenario("missing", "GET", "/nowhere"),
    Scenario("crash", "GET", "/error"),
    Scenario("halfway", "GET", "/halfway"),
    Scenario("continue", "POST", "/echo", ("expect: 100-continue",), ('{"may I": "send this"}',)),
    Scenario("leave", "GET", "/stream", leave=True),
    Scenario("websocket", "GET", "/chat/lobby", ("upgrade: websocket",), ("Is anybody here?",)),
)

# The same questions to an application of which nothing is known but that it has a root.
OF_ANY = (
    Scenario("text", "GET", "/"),
    Scenario("path", "GET", "/caf%C3%A9?lang=fr"),
    Scenario("form", "POST", "/", (FORM,), ("name=Ada+Lovelace&drink=caf%C3%A9",)),
    Scenario("json", "POST", "/", (), ('{"tea": "oolong", "cups": 2}',)),
    Scenario("chunked", "POST", "/", (), ('["one",', '"two",', '"three"]')),
    Scenario("head", "HEAD", "/"),
    Scenario("missing", "GET", "/nowhere"),
    Scenario("continue", "POST", "/", ("expect: 100-continue",), ('{"may I": "send this"}',)),
    Scenario("leave", "GET", "/", leave=True),
    Scenario("websocket", "GET", "/", ("upgrade: websocket",), ("Is anybody here?",)),
)


def scenarios_for(target: str) -> tuple[Scenario, ...]:
    """The ready requests for an application."""
    return OF_DEMO if target == DEMO else OF_ANY
