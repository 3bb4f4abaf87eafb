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

if TYPE_CHECKING:
    from .middleware.cors import CORSMiddleware
    from .middleware.gzip import GZipMiddleware
    from .middleware.hosts import TrustedHostMiddleware
    from .middleware.log import AccessLogMiddleware, RequestIdMiddleware
    from .middleware.proxy import ProxyHeadersMiddleware
    from .middleware.sessions import SessionMiddleware
    from .model.events import EventSourceResponse, ServerSentEvent
    from .model.files import FileResponse
    from .model.local import is_local_path
    from .model.observation import Observation
    from .model.upload import UploadFile
    from .model.websocket import WebSocket, WebSocketDisconnect
    from .templates import Templates

# Optional parts are imported when they are first touched, so that others pay nothing for them.
_WHEN_TOUCHED = {
    "is_local_path": ".model.local",
    "AccessLogMiddleware": ".middleware.log",
    "CORSMiddleware": ".middleware.cors",
    "EventSourceResponse": ".model.events",
    "FileResponse": ".model.files",
    "GZipMiddleware": ".middleware.gzip",
    "Observation": ".model.observation",
    "ProxyHeadersMiddleware": ".middleware.proxy",
    "RequestIdMiddleware": ".middleware.log",
    "ServerSentEvent": ".model.events",
    "SessionMiddleware": ".middleware.sessions",
    "Templates": ".templates",
    "TrustedHostMiddleware": ".middleware.hosts",
    "UploadFile": ".model.upload",
    "WebSocket": ".model.websocket",
    "WebSocketDisconnect": ".model.websocket",
}

if not TYPE_CHECKING:  # a type checker reads the imports of what is touched right here

    def __getattr__(name: str) -> Any:
        if name not in _WHEN_TOUCHED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_WHEN_TOUCHED[name], __name__), name)
        return value


__all__ = [
    "AccessLogMiddleware",
    "App",
    "CORSMiddleware",
    "Converter",
    "EventSourceResponse",
    "FileResponse",
    "GZipMiddleware",
    "HTMLResponse",
    "HTTPException",
    "Headers",
    "JSONResponse",
    "Observation",
    "PlainTextResponse",
    "ProxyHeadersMiddleware",
    "RedirectResponse",
    "Request",
    "RequestIdMiddleware",
    "Response",
    "Router",
    "ServerSentEvent",
    "SessionMiddleware",
    "StreamingResponse",
    "Templates",
    "TrustedHostMiddleware",
    "UploadFile",
    "WebSocket",
    "WebSocketDisconnect",
    "is_local_path",
]
