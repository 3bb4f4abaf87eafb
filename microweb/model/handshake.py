"""The handshake: the GET with which a WebSocket begins, and the answers to it (RFC 6455, 4)."""

from __future__ import annotations

from typing import Self

from .headers import Headers
from .request import Request
from .response import HeaderSource, Response


class SwitchingProtocols(Response):
    """101: the answer to a handshake that was accepted, as the layers see it (RFC 9110, 15.2.2).

    It is the one response that nobody but `accept` makes: after it the connection belongs to
    another protocol. A layer that gives it another status refuses.
    """

    def __init__(self, headers: HeaderSource | None, subprotocol: str | None) -> None:
        headers = Headers(headers or ())
        for name in headers:
            if name.startswith("sec-websocket-"):
                raise ValueError(
                    f"accept: the header {name!r} is the server's to send; a subprotocol is"
                    " chosen with accept(subprotocol=...)"
                )
        super().__init__(b"", 200, headers)
        self.status = 101
        self.subprotocol = subprotocol

    def checked(self) -> Self:
        """This response: see `Response.checked`."""
        return self if self.status == 101 else super().checked()


def is_handshake(request: Request) -> bool:
    """Whether a GET asks to go on as a WebSocket (RFC 6455, 4.2.1)."""
    return _has(request, "upgrade", "websocket") and _has(request, "connection", "upgrade")


def _has(request: Request, header: str, token: str) -> bool:
    values = request.headers.get(header, "").split(",")
    return any(value.strip(" \t").lower() == token for value in values)


WHY_NOT = {
    "wsgi": (
        "This address is a WebSocket, and WSGI cannot carry one: it hands the application one"
        " request and takes back one response, and there is no way to go on talking."
        " Serve the application through its ASGI door."
    ),
    "asgi": (
        "This address is a WebSocket, and the server handed its handshake on as an ordinary"
        " request: it seems to have no WebSocket library. For uvicorn, install wsproto."
    ),
}
WEBSOCKET_ONLY = (
    "This address is a WebSocket: open it with `new WebSocket(...)`, or another client that"
    " sends `Upgrade: websocket`."
)
