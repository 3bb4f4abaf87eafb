"""Hooks with which gunicorn drives the lifespan: `gunicorn -c python:microweb.gunicorn_conf ...`.

PEP 3333 has no word for an application's beginning and end, but a server may have its own.
Without these hooks the first request of each worker begins it and `atexit` ends it.
"""

from __future__ import annotations

from typing import Any

from .gateways.wsgi import WSGIGateway


def post_worker_init(worker: Any) -> None:
    """Called in a worker that has loaded the application and takes no requests yet."""
    # gunicorn's ASGI worker has no such attribute; there the protocol itself tells the app.
    if isinstance(getattr(worker, "wsgi", None), WSGIGateway):
        worker.wsgi.startup()


def worker_exit(_arbiter: Any, worker: Any) -> None:
    """Called in a worker that is about to exit."""
    if isinstance(getattr(worker, "wsgi", None), WSGIGateway):
        worker.wsgi.shutdown()
