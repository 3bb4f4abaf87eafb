"""microweb: one application, two doors. `app.wsgi` is a WSGI callable, `app.asgi` an ASGI one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .app import App
from .model.errors import HTTPException
from .model.headers import Headers
from .model.request import Request
from .model.response import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from .paths import Converter
from .routing import Router

# Optional parts are imported when they are first touched, so that others pay nothing for them.
_WHEN_TOUCHED: dict[str, str] = {
    "WebSocket": ".model.websocket",
    "WebSocketDisconnect": ".model.websocket",
}

if TYPE_CHECKING:
    from .model.websocket import WebSocket, WebSocketDisconnect

if not TYPE_CHECKING:  # a type checker reads the imports of what is touched right here

    def __getattr__(name: str) -> Any:
        if name not in _WHEN_TOUCHED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_WHEN_TOUCHED[name], __name__), name)
        return value


__all__ = [
    "App",
    "Converter",
    "HTMLResponse",
    "HTTPException",
    "Headers",
    "JSONResponse",
    "PlainTextResponse",
    "RedirectResponse",
    "Request",
    "Response",
    "Router",
    "StreamingResponse",
    "WebSocket",
    "WebSocketDisconnect",
]
