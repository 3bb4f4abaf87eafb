"""The demo: the one application that wsgi_app.py and asgi_app.py serve.

Read `site.py` first: it names the rooms, each of which is a module of its own.
"""

from .settings import data_folder
from .site import make_site

site = make_site(data_folder())

__all__ = ["make_site", "site"]
