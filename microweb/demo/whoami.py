"""The page that holds the native object, just as the server gave it, against the Request."""

from __future__ import annotations

from html import escape
from typing import Any

from microweb import Request

from .pages import code, facts, href, page

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


def whoami_page(request: Request, name: str) -> str:
    """Both objects in two columns; `name` is what stood in the path behind /whoami/."""
    native = "environ" if request.environ is not None else "scope"
    rows = _environ_rows(request.environ) if request.environ else _scope_rows(request.scope or {})
    content = f"""
<p class="back"><a href="{href(request, "/")}">microweb demo</a></p>
<h1>What the server said, and what was made of it</h1>
<p class="warning"><b>Never let a page like this be public on a real site.</b> It tells
strangers how you serve, and some servers copy their whole process environment, passwords and
all, into the environ. Here only the values of Cookie and Authorization headers are hidden.</p>
{_tunnel(request, name)}
<div class="columns">
<section class="side server"><h2>The server's {code(native)}</h2>
<p>Every key, with the <code>repr()</code> of its value.</p>
{facts(rows)}</section>
<section class="side framework"><h2>The framework's {code("Request")}</h2>
<p>What a handler reads by either door, and where it comes from.</p>
{facts(_request_rows(request))}</section>
</div>"""
    return page(request, "microweb: who am I?", content)


def _environ_rows(environ: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (code(key), code(repr(HIDDEN if key in SECRET_KEYS else value)))
        for key, value in environ.items()
    ]


def _scope_rows(scope: dict[str, Any]) -> list[tuple[str, str]]:
    shown = dict(scope)
    shown["headers"] = [
        (name, HIDDEN.encode() if name.decode("latin-1").lower() in SECRET_HEADERS else value)
        for name, value in scope["headers"]
    ]
    return [(code(key), code(_one_per_line(value))) for key, value in shown.items()]


def _request_rows(request: Request) -> list[tuple[str, str]]:
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
        rows.append((f"{code(name)} <small>{escape(source)}</small>", code(_one_per_line(value))))
    return rows


def _one_per_line(value: object) -> str:
    """The repr of a value; that of a list with one item on each line."""
    if isinstance(value, list) and value:
        return "[" + ",\n ".join(repr(item) for item in value) + "]"
    return repr(value)


def _tunnel(request: Request, name: str) -> str:
    """How a path beyond ASCII passes through the two doors."""
    if name.isascii():
        return ""
    # One of the two is at hand; the other is the same bytes, read in the other way.
    path_info, scope_path = request.path.encode().decode("latin-1"), request.path
    if request.environ is not None:
        path_info = request.environ["PATH_INFO"]
    elif request.scope is not None:
        scope_path = request.scope["path"]
    spellings = [("environ['PATH_INFO']", path_info, "wsgi"), ("scope['path']", scope_path, "asgi")]
    rows = [
        (code(where), f"{code(repr(text))} <small>{_which(request, door)}</small>")
        for where, text, door in spellings
    ]
    rows.append((code("request.path"), f"{code(repr(request.path))} <small>by both doors</small>"))
    return f"""
<p>Percent-decoded, this path is bytes: PEP 3333 has the server pass each of them as one Latin-1
character, while an ASGI server decodes them as UTF-8, and so the two native objects differ
where the Request does not.</p>
{facts(rows)}"""


def _which(request: Request, door: str) -> str:
    return "this request" if door == request.protocol else "what the other door would show"
