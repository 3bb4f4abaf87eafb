"""The site in Falcon, through WSGI."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import falcon
from falcon import Request, Response

from .marks import ENDLESS, FOLDER, PIECES, mark

app = falcon.App()
app.add_static_route("/files", FOLDER, downloadable=True)
PLAIN = falcon.MEDIA_TEXT


class Text:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = PLAIN
        resp.text = "hello, größe"

    on_head = on_get


class Json:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"words": ["größe", "Ω"]}


class Person:
    def on_get(self, req: Request, resp: Response, name: str) -> None:
        resp.media = {"name": name}


class Search:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"q": req.get_param("q"), "tags": req.get_param_as_list("tag")}


class Login:
    def on_post(self, req: Request, resp: Response) -> None:
        form = req.get_media()
        resp.media = {"user": form["user"], "password": form["password"]}


class Photos:
    def on_post(self, req: Request, resp: Response) -> None:
        answer = {}
        for part in req.get_media():
            if part.name == "title":
                answer["title"] = part.text
            else:
                data = part.stream.read()
                answer["name"] = part.filename
                answer["size"] = len(data)
                answer["digest"] = hashlib.sha256(data).hexdigest()
        resp.media = answer


class Echo:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        # Falcon's own: it ends where Content-Length says. A body without one ends by itself, if
        # the server says so (wsgi.input_terminated).
        is_bounded = req.content_length is not None
        resp.data = (req.bounded_stream if is_bounded else req.stream).read()


class Stream:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = PLAIN
        resp.stream = (piece.encode() for piece in PIECES)


class Cookies:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.set_cookie("flavour", "vanilla", path="/", secure=False)
        resp.set_cookie("count", "2", path="/", secure=False, http_only=False, same_site="Lax")


class Basket:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = {"flavour": req.cookies.get("flavour"), "count": req.cookies.get("count")}


class Old:
    def on_get(self, req: Request, resp: Response) -> None:
        raise falcon.HTTPFound("/text")


class Boom:
    def on_get(self, req: Request, resp: Response) -> None:
        raise ValueError("trouble at once")


class Break:
    def on_get(self, req: Request, resp: Response) -> None:
        def broken() -> Iterator[bytes]:
            for _ in range(req.get_param_as_int("pieces", required=True)):
                yield b"piece\n"
            raise ValueError("trouble in mid-stream")

        resp.content_type = PLAIN
        resp.stream = broken()


class Endless:
    def on_get(self, req: Request, resp: Response) -> None:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield ENDLESS
            finally:
                mark(req.get_param("closed", required=True), "closed")

        resp.content_type = PLAIN
        resp.stream = pieces()


app.add_route("/text", Text())
app.add_route("/json", Json())
app.add_route("/people/{name}", Person())
app.add_route("/search", Search())
app.add_route("/login", Login())
app.add_route("/photos", Photos())
app.add_route("/echo", Echo())
app.add_route("/stream", Stream())
app.add_route("/cookies", Cookies())
app.add_route("/basket", Basket())
app.add_route("/old", Old())
app.add_route("/boom", Boom())
app.add_route("/break", Break())
app.add_route("/endless", Endless())
