"""The servers for development that others bring, made quiet, as a command."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from ..servers import HOST


class QuietHandler(WSGIRequestHandler):
    """wsgiref's, without a line for each request."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def main(kind: str, target: str) -> None:
    """Serve module:attribute by "wsgiref" or "werkzeug", on a port that the kernel chooses."""
    module, _, attribute = target.partition(":")
    app: Any = getattr(importlib.import_module(module), attribute)
    server: Any
    if kind == "wsgiref":
        server = make_server(HOST, 0, app, handler_class=QuietHandler)
    else:
        from werkzeug.serving import make_server as make_werkzeug_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = make_werkzeug_server(HOST, 0, app, threaded=True)
    print(f"running on http://{HOST}:{server.server_port}", flush=True)
    server.serve_forever()


main(*sys.argv[1:])
