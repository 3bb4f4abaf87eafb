"""`gunicorn wsgi_app:app`: the demo through the WSGI door."""

from microweb.demo import site

app = site.wsgi
