"""microweb: one application, two doors. `app.wsgi` is a WSGI callable, `app.asgi` an ASGI one."""

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
]
