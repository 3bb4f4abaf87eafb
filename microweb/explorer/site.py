"""Site: the explorer's page, and the requests that it sends to the explored servers.

Whoever can reach it can have requests sent to the application, so only its own page may: a page
of another site is known by its Origin, and a name that was made to lead here by its Host.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from .. import App, HTMLResponse, HTTPException, JSONResponse, Request, TrustedHostMiddleware
from ..model.response import Response
from ..tracing.asked import Asked, checked
from .live import Live
from .page import live_page, recording_of, served_policy
from .scenarios import Scenario

OF_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


def site_of(live: Live, scenarios: Sequence[Scenario], host: str) -> App:
    """The site that explores these servers; it goes by the name or address of `host`."""
    site = App()
    site.middleware(TrustedHostMiddleware(_names(host)))
    site.middleware(_only_its_own_page)

    @site.get("/")
    def page(request: Request) -> Response:  # noqa: ARG001
        nonce = secrets.token_urlsafe(16)
        policy = f"{served_policy(nonce)}; frame-ancestors 'none'"
        headers = {
            "content-security-policy": policy,
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        return HTMLResponse(live_page(scenarios, nonce), headers=headers)

    @site.post("/ask")
    async def ask(request: Request) -> Response:
        trace, troubles = await live.ask(_asked(request.json()))
        return JSONResponse(recording_of(trace, troubles))

    return site


def _names(host: str) -> Sequence[str]:
    """The hosts that the site goes by; whoever listens for all networks has all names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return (*OF_THIS_MACHINE, host)
    if address.is_unspecified:
        return ("*",)
    return (*OF_THIS_MACHINE, f"[{host}]" if address.version == 6 else host)


def _only_its_own_page(request: Request) -> Iterator[None]:
    if request.method not in ("GET", "HEAD"):
        origin = request.headers.get("origin")
        if origin != f"http://{request.headers.get('host')}":
            raise HTTPException(
                403,
                f"Only the explorer's own page may send requests; this came from {origin!r}.",
            )
    yield


FIELDS = {"method": str, "target": str, "headers": list, "pieces": list, "leave": bool}


def _asked(told: Any) -> Asked:
    """The request that the page has asked for; 422 says what is wrong with it."""
    try:
        if not isinstance(told, dict):
            raise ValueError("a request is an object, with method, target, headers, pieces, leave")
        for name, kind in FIELDS.items():
            if not isinstance(told.get(name), kind):
                raise ValueError(f"{name}: {told.get(name)!r} is no {kind.__name__}")
        if not all(isinstance(each, str) for each in [*told["headers"], *told["pieces"]]):
            raise ValueError("headers and pieces are lists of text")
        pieces = [each.encode("utf-8", "surrogatepass") for each in told["pieces"]]
        return checked(told["method"], told["target"], told["headers"], pieces, told["leave"])
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
