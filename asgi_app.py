"""`uvicorn asgi_app:app`: the demo through the ASGI door."""

from microweb.demo import site

app = site.asgi
