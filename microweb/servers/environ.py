"""environ: a request as PEP 3333 spells it."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from .heads import Request
from .settings import Settings

Environ = dict[str, Any]


def environ_of(
    request: Request,
    body: BinaryIO,
    client: tuple[str, int],
    server: tuple[str, int],
    settings: Settings,
) -> Environ:
    """All that an application is told of a request (PEP 3333, "environ Variables").

    What the client wrote is found under REQUEST_METHOD, PATH_INFO, QUERY_STRING,
    SERVER_PROTOCOL, and the names that CGI gives to header fields; none of these can become
    another of the names here.
    """
    path, root_path = unquote_to_bytes(request.path), settings.root_path.encode("utf-8")
    if root_path and (path == root_path or path.startswith(root_path + b"/")):
        path = path[len(root_path) :]
    return {
        "REQUEST_METHOD": request.method,
        # Bytes tunnelled through Latin-1, whatever they encode (PEP 3333, "Unicode Issues").
        "SCRIPT_NAME": root_path.decode("latin-1"),
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "REQUEST_URI": request.target.decode("latin-1"),  # of Apache's making: %2F is left in it
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_SOFTWARE": "microweb",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        **_header_variables(request),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        # It ends where the body does, so that one without a length can be read safely.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.multithread": settings.threads > 1,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _header_variables(request: Request) -> dict[str, str]:
    """The header fields, under the names of CGI (RFC 3875, section 4.1.18).

    A name with an underscore is left out: as CGI spells them, `X_Real_IP` and `X-Real-IP`
    are one, and a client could send the one where a proxy takes care of the other.
    """
    variables: dict[str, str] = {}
    for raw_name, raw_value in request.headers:
        if b"_" in raw_name:
            continue
        name = raw_name.decode("ascii").upper().replace("-", "_")
        # CGI spells these two without HTTP_.
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        if key in variables:
            # Several fields of a name are one list (RFC 9110, section 5.3), but cookies are
            # joined in their own way (RFC 9113, section 8.2.3).
            value = f"{variables[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        variables[key] = value
    return variables
