"""Site: the explorer's page, and the requests that it sends to the explored servers.

Whoever can reach it can have requests sent to the application, so only its own page may: a page
of another site is known by its Origin, and a name that was made to lead here by its Host.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .. import App, HTMLResponse, HTTPException, JSONResponse, Request
from ..model.host import parse_host
from ..model.response import Response
from ..tracing.asked import Asked, checked
from .live import Live
from .page import live_page, page_of, recording_of, served_policy
from .scenarios import Scenario


def site_of(live: Live, scenarios: Sequence[Scenario], host: str) -> App:
    """The site that explores these servers; it goes by the name or address of `host`."""
    site = App()
    site.middleware(_by_its_own_name({"localhost", socket.gethostname().lower(), host.lower()}))
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

    @site.get("/recording")
    def recording(request: Request) -> Response:  # noqa: ARG001
        if live.last is None:
            raise HTTPException(404, "Nothing was recorded yet: send a request first.")
        headers = {
            "content-disposition": 'attachment; filename="recording.html"',
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        }
        return HTMLResponse(page_of(*live.last), headers=headers)

    return site


def _by_its_own_name(names: set[str]) -> Callable[[Request], Iterator[None]]:
    """A layer that knows these names, and addresses: nobody can have those lead elsewhere."""

    def layer(request: Request) -> Iterator[None]:
        host = parse_host(request.host)
        if host is None or not (host.name in names or _is_address(host.name)):
            raise HTTPException(
                400, f"The explorer does not go by the name {request.host!r}: use its address."
            )
        yield

    return layer


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _only_its_own_page(request: Request) -> Iterator[None]:
    if request.method not in ("GET", "HEAD"):
        origin = request.headers.get("origin")
        if origin != f"http://{request.headers.get('host')}":
            came = "has no Origin" if origin is None else f"came from {origin!r}"
            raise HTTPException(
                403, f"Only the explorer's own page may send requests; this one {came}."
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
