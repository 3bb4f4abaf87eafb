"""The application of the tests of parity with all its layers, as real servers serve it."""

from __future__ import annotations

import os
from pathlib import Path

from itsdangerous import TimestampSigner

from .parity_app import NOW, layered, model_app

site = layered(model_app(Path(os.environ["PARITY_APP_FOLDER"])))
wsgi = site.wsgi
asgi = site.asgi

# All servers sign their sessions in the same second.
TimestampSigner.get_timestamp = lambda self: NOW  # type: ignore[method-assign]
