"""The demo: the one application that wsgi_app.py and asgi_app.py serve.

Read `site.py` first. The other modules are what it shows: pages in plain f-strings.
"""

from .site import site

__all__ = ["site"]
