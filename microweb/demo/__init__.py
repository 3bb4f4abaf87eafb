"""The demo: the one application that wsgi_app.py and asgi_app.py serve."""

from .site import site

__all__ = ["site"]
