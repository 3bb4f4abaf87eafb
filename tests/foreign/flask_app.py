"""The site in Flask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import flask
from flask import Flask, Response, request

from .marks import ENDLESS, FOLDER, PIECES, mark

app = Flask("foreign")


@app.get("/text")
def text() -> Response:
    return Response("hello, größe", mimetype="text/plain")


@app.get("/json")
def as_json() -> Response:
    return flask.jsonify(words=["größe", "Ω"])


@app.get("/people/<name>")
def person(name: str) -> Response:
    return flask.jsonify(name=name)


@app.get("/search")
def search() -> Response:
    return flask.jsonify(q=request.args["q"], tags=request.args.getlist("tag"))


@app.post("/login")
def login() -> Response:
    return flask.jsonify(user=request.form["user"], password=request.form["password"])


@app.post("/photos")
def photos() -> Response:
    file = request.files["file"]
    data = file.read()
    return flask.jsonify(
        title=request.form["title"],
        name=file.filename,
        size=len(data),
        digest=hashlib.sha256(data).hexdigest(),
    )


@app.post("/echo")
def echo() -> Response:
    return Response(request.get_data(), mimetype="application/octet-stream")


@app.get("/stream")
def stream() -> Response:
    return Response(iter(PIECES), mimetype="text/plain")


@app.get("/files/<path:name>")
def files(name: str) -> Response:
    return flask.send_from_directory(FOLDER, name, as_attachment=True)


@app.get("/cookies")
def cookies() -> Response:
    response = Response("set")
    response.set_cookie("flavour", "vanilla", httponly=True)
    response.set_cookie("count", "2", samesite="Lax")
    response.delete_cookie("stale")
    return response


@app.get("/basket")
def basket() -> Response:
    return flask.jsonify(flavour=request.cookies.get("flavour"), count=request.cookies.get("count"))


@app.get("/old")
def old() -> flask.typing.ResponseReturnValue:
    return flask.redirect("/text")


@app.get("/boom")
def boom() -> Response:
    raise ValueError("trouble at once")


@app.get("/break")
def break_() -> Response:
    pieces = int(request.args["pieces"])

    def broken() -> Iterator[str]:
        for _ in range(pieces):
            yield "piece\n"
        raise ValueError("trouble in mid-stream")

    return Response(broken(), mimetype="text/plain")


@app.get("/endless")
def endless() -> Response:
    closed = request.args["closed"]

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield ENDLESS
        finally:
            mark(closed, "closed")

    return Response(pieces(), mimetype="text/plain")
