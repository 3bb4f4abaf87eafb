"""scope: a request as ASGI spells it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from .heads import Request
from .settings import Settings

Scope = dict[str, Any]

# Of the specification of HTTP & WebSocket: in 2.4, `send` raises OSError where a client has left.
VERSIONS = {"version": "3.0", "spec_version": "2.4"}


def scope_of(
    request: Request,
    client: tuple[str, int] | None,
    server: tuple[str, int] | None,
    settings: Settings,
    state: dict[str, Any],
) -> Scope:
    """All that an application is told of a request (ASGI 3.0, "HTTP Connection Scope").

    `state` is what the application's lifespan has left in it; each request gets a copy.
    """
    path = unquote_to_bytes(request.path).decode("utf-8", "replace")
    root_path = settings.root_path
    if root_path and path != root_path and not path.startswith(root_path + "/"):
        # The path has the root path in it, whether or not a proxy has left it there.
        path = root_path + path
    return {
        "type": "http",
        "asgi": VERSIONS,
        "http_version": request.version,
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": root_path,
        "headers": request.headers,
        "client": client,
        "server": server,
        "state": state.copy(),
    }


def websocket_scope_of(scope: Scope, subprotocols: list[str]) -> Scope:
    """The scope of a handshake, made of that of its GET ("WebSocket Connection Scope")."""
    changed: Scope = {
        "type": "websocket",
        "scheme": "ws",
        "subprotocols": subprotocols,
        # A refusal may be a response of the application's own ("WebSocket Denial Response").
        "extensions": {"websocket.http.response": {}},
    }
    return {key: value for key, value in scope.items() if key != "method"} | changed
