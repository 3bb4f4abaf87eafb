"""Flask."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request


def wsgi(others: int, layers: int) -> Any:
    app = Flask("peer")
    for number in range(others):
        app.add_url_rule(f"/other{number}/<name>", f"other{number}", lambda name: name)

    @app.get("/text")
    def text() -> Response:
        return Response("hello", mimetype="text/plain")

    @app.get("/json")
    def as_json() -> Response:
        return jsonify({"hello": "world"})

    @app.get("/users/<int:id>")
    def user(id: int) -> Response:  # noqa: A002
        return jsonify({"id": id})

    @app.post("/echo")
    def echo() -> Response:
        return jsonify(request.get_json())

    @app.get("/async")
    async def asynchronous() -> Response:
        return Response("hello", mimetype="text/plain")

    for _ in range(layers):
        app.before_request(lambda: None)
        app.after_request(lambda response: response)
    return app
