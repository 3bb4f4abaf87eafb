"""The page that holds the native object, just as the server gave it, against the Request."""

from __future__ import annotations

from typing import Any

from microweb import Request, Response, Router

from .pages import page

router = Router()

# The values that are hidden here. Everything else is shown as it is.
SECRET_HEADERS = ("cookie", "authorization", "proxy-authorization")
SECRET_KEYS = ("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION")
HIDDEN = "(hidden)"

# What is read from a Request: (attribute, its source in the environ, its source in the scope).
ATTRIBUTES = (
    ("protocol", "the gateway", "the gateway"),
    ("method", "REQUEST_METHOD", "method"),
    ("path", "PATH_INFO", "path"),
    ("root_path", "SCRIPT_NAME", "root_path"),
    ("path_params", "the router", "the router"),
    ("query_string", "QUERY_STRING", "query_string"),
    ("query", "QUERY_STRING", "query_string"),
    ("scheme", "wsgi.url_scheme", "scheme"),
    ("http_version", "SERVER_PROTOCOL", "http_version"),
    ("client", "REMOTE_ADDR, REMOTE_PORT", "client"),
    ("server", "SERVER_NAME, SERVER_PORT", "server"),
    ("host", "HTTP_HOST", "headers"),
    ("url", "scheme, host, root_path and path", "scheme, host, root_path and path"),
    ("headers", "every HTTP_...", "headers"),
    ("cookies", "HTTP_COOKIE", "headers"),
    ("body", "wsgi.input", "receive()"),
)


@router.get("/whoami")
@router.get("/whoami/{name}", name="whoami_named")
def whoami(request: Request, name: str = "") -> Response:
    """Show what the server handed over, beside the Request made of it."""
    return page(
        request,
        "whoami.html",
        native="environ" if request.environ is not None else "scope",
        handed_over=_environ_rows(request.environ)
        if request.environ is not None
        else _scope_rows(request.scope or {}),
        made_of_it=_request_rows(request),
        spellings=[] if name.isascii() else _spellings(request),
    )


def _environ_rows(environ: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, repr(HIDDEN if key in SECRET_KEYS else value)) for key, value in environ.items()]


def _scope_rows(scope: dict[str, Any]) -> list[tuple[str, str]]:
    shown = dict(scope)
    shown["headers"] = [
        (name, HIDDEN.encode() if name.decode("latin-1").lower() in SECRET_HEADERS else value)
        for name, value in scope["headers"]
    ]
    return [(key, _one_per_line(value)) for key, value in shown.items()]


def _request_rows(request: Request) -> list[tuple[str, str, str]]:
    """For each attribute its name, its source and its value."""
    rows = []
    for name, in_environ, in_scope in ATTRIBUTES:
        value = getattr(request, name)
        if name == "headers":
            value = [
                (header, HIDDEN if header in SECRET_HEADERS else text)
                for header, text in request.headers.multi_items()
            ]
        elif name == "cookies":
            value = dict.fromkeys(value, HIDDEN)
        source = in_environ if request.protocol == "wsgi" else in_scope
        rows.append((name, source, _one_per_line(value)))
    return rows


def _one_per_line(value: object) -> str:
    """The repr of a value; that of a list with one item on each line."""
    if isinstance(value, list) and value:
        return "[" + ",\n ".join(repr(item) for item in value) + "]"
    return repr(value)


def _spellings(request: Request) -> list[tuple[str, str, str]]:
    """How a path beyond ASCII passes through the two doors: where, spelled how, seen by whom."""
    # One of the two is at hand; the other is the same bytes, read in the other way.
    path_info, scope_path = request.path.encode().decode("latin-1"), request.path
    if request.environ is not None:
        path_info = request.environ["PATH_INFO"]
    elif request.scope is not None:
        scope_path = request.scope["path"]

    def which(door: str) -> str:
        return "this request" if door == request.protocol else "what the other door would show"

    return [
        ("environ['PATH_INFO']", repr(path_info), which("wsgi")),
        ("scope['path']", repr(scope_path), which("asgi")),
        ("request.path", repr(request.path), "by both doors"),
    ]
