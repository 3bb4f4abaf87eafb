"""Middleware: layers around the handler, composed like the skins of an onion."""

from .onion import compose, is_async_layer

__all__ = ["compose", "is_async_layer"]
