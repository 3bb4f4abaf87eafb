"""What `microweb run` does: choose a door, begin the application, and hand it to a server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from .app import App
from .recognise import recognise
from .servers.settings import CannotServe, Settings
from .targets import TargetError, load

Protocol = Literal["wsgi", "asgi"]

logger = logging.getLogger("microweb")


def choose(target: str, asked: Protocol | None) -> tuple[Protocol, Any]:
    """The protocol that a target is served with, and what a server of that protocol calls.

    Raises TargetError for what no server can call, and for a protocol that is not its own.
    """
    found = load(target)
    finding = recognise(found)
    if isinstance(found, App):
        # ASGI carries all that an App can do; through WSGI there are no WebSockets.
        protocol = asked or "asgi"
        return protocol, getattr(found, protocol)
    if finding.kind in ("factory", "neither"):
        raise TargetError(finding.sentence(target))
    own = asked if finding.kind == "unknown" else finding.kind
    if own not in ("wsgi", "asgi"):
        raise TargetError(f"{finding.sentence(target)} Say it: --wsgi or --asgi")
    if asked not in (own, None):
        raise TargetError(f"{finding.sentence(target)} {_mend(found, own, target)}")
    return own, found


def _mend(found: Any, own: Protocol, target: str) -> str:
    if isinstance(getattr(found, "app", None), App):
        return "Name the App, which has the other door too"
    return f"So run it as what it is: microweb run --{own} {target}"


def serve(protocol: Protocol, app: Any, settings: Settings, access_log: bool = True) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotServe where that does not begin."""
    log_to_stderr()
    logging.getLogger("microweb.access").setLevel(logging.INFO if access_log else logging.WARNING)
    if protocol == "asgi":
        from .servers import asgi

        asgi.serve(app, settings)
    else:
        from .servers import wsgi

        with _alive(app):
            wsgi.serve(app, settings)


@contextmanager
def _alive(app: Any) -> Iterator[None]:
    """PEP 3333 has no word for an application's beginning and end: a door's own is called."""
    from .gateways.wsgi import WSGIGateway

    if not isinstance(app, WSGIGateway):
        yield
        return
    try:
        app.startup()
    except Exception as error:
        logger.exception("lifespan: startup failed")
        raise CannotServe(f"the application did not begin: {error!r}") from None
    try:
        yield
    finally:
        try:
            app.shutdown()
        except Exception:
            logger.exception("lifespan: shutdown failed")


# --- what is written on stderr ----------------------------------------------------------------


def log_to_stderr() -> None:
    """Show what the servers and the framework log, whatever the application does with its own.

    The root logger is left to the application, as gunicorn and uvicorn leave it.
    """
    for name in ("microweb", "microweb.access", "microweb.servers"):
        # logging.config.dictConfig turns off all loggers that it is not told of.
        logging.getLogger(name).disabled = False
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Lines())
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.INFO)


class _Lines(logging.Formatter):
    """Lines for a terminal: requests with their time, trouble with its level."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.name == "microweb.access":
            return f"{self.formatTime(record, '%H:%M:%S')} {line}"
        return line if record.levelno <= logging.INFO else f"{record.levelname}: {line}"
