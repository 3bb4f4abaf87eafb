"""The routes of the benchmarks in Flask, which is to say in Werkzeug."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request, send_file

from . import CHUNK, FILE, described

wsgi = Flask(__name__)


@wsgi.get("/chunks/<int:count>")
def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield CHUNK


@wsgi.get("/file")
def file() -> Response:
    return send_file(FILE)


@wsgi.post("/upload")
def upload() -> dict[str, Any]:
    file = request.files["file"]
    size = file.seek(0, os.SEEK_END)
    return described(file.stream, size, "digest" in request.args)


@wsgi.get("/pid")
def pid() -> str:
    return str(os.getpid())
