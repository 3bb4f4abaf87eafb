"""The site in Bottle."""

# Bottle has no annotations.
# mypy: disable-error-code="import-untyped,no-any-return", allow-untyped-decorators

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from bottle import Bottle, redirect, request, response, static_file

from .marks import ENDLESS, FOLDER, PIECES, mark

app = Bottle()
PLAIN = "text/plain; charset=utf-8"


@app.get("/text")
def text() -> str:
    response.content_type = PLAIN
    return "hello, größe"


@app.get("/json")
def as_json() -> dict[str, Any]:
    return {"words": ["größe", "Ω"]}


@app.get("/people/<name>")
def person(name: str) -> dict[str, Any]:
    return {"name": name}


@app.get("/search")
def search() -> dict[str, Any]:
    query = request.query.decode()
    return {"q": query["q"], "tags": query.getall("tag")}


@app.post("/login")
def login() -> dict[str, Any]:
    return {"user": request.forms.user, "password": request.forms.password}


@app.post("/photos")
def photos() -> dict[str, Any]:
    upload = request.files.file
    data = upload.file.read()
    return {
        "title": request.forms.title,
        "name": upload.raw_filename,
        "size": len(data),
        "digest": hashlib.sha256(data).hexdigest(),
    }


@app.post("/echo")
def echo() -> bytes:
    response.content_type = "application/octet-stream"
    return request.body.read()


@app.get("/stream")
def stream() -> Iterator[str]:
    response.content_type = PLAIN
    yield from PIECES


@app.get("/files/<name:path>")
def files(name: str) -> Any:
    return static_file(name, root=FOLDER, download=True)


@app.get("/cookies")
def cookies() -> str:
    response.set_cookie("flavour", "vanilla", path="/", httponly=True)
    response.set_cookie("count", "2", path="/", samesite="lax")
    return "set"


@app.get("/basket")
def basket() -> dict[str, Any]:
    return {"flavour": request.get_cookie("flavour"), "count": request.get_cookie("count")}


@app.get("/old")
def old() -> None:
    redirect("/text")


@app.get("/boom")
def boom() -> str:
    raise ValueError("trouble at once")


@app.get("/break")
def break_() -> Iterator[str]:
    response.content_type = PLAIN
    for _ in range(int(request.query.pieces)):
        yield "piece\n"
    raise ValueError("trouble in mid-stream")


@app.get("/endless")
def endless() -> Iterator[bytes]:
    closed = request.query.closed
    response.content_type = PLAIN
    try:
        while True:
            yield ENDLESS
    finally:
        mark(closed, "closed")
