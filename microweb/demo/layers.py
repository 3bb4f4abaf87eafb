"""The demo's own layers: what happens to every request, whichever handler it goes to."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from microweb import Request, Response

from .whereabouts import whereabouts

# What browsers are asked to refuse on our pages, should a mistake ever let a stranger's markup
# in: no script or style but those of /static, nothing from elsewhere, no frame around us.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",  # what is sent as text or as an image stays that
    "referrer-policy": "same-origin",
}


def timing(request: Request) -> Generator[None, Response, None]:  # noqa: ARG001
    """Tell the browser's developer tools how long the layers and the handler took."""
    started = time.perf_counter()
    response = yield
    took = (time.perf_counter() - started) * 1000
    response.headers["server-timing"] = f"app;dur={took:.1f}"


def arrival(request: Request) -> Iterator[None]:
    """Note where the request came in: a layer runs where the server called the application."""
    request.state.arrival = whereabouts()
    yield


def security_headers(request: Request) -> Generator[None, Response, None]:  # noqa: ARG001
    """Every answer carries them, those to errors too."""
    response = yield
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
