"""What the demo does not show yet, for REDbot: files, compressed answers, cookies, problems."""

from __future__ import annotations

import os

from microweb import (
    App,
    FileResponse,
    GZipMiddleware,
    HTMLResponse,
    HTTPException,
    Request,
    Response,
    SessionMiddleware,
)

FOLDER = os.environ["REDBOT_APP_FOLDER"]

site = App()
wsgi = site.wsgi
asgi = site.asgi
site.middleware(GZipMiddleware())
site.middleware(SessionMiddleware(secret_key="not secret at all, but long enough for a test"))
site.static("/static", FOLDER)


@site.get("/page")
def page(request: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>A page</title>" + "<p>which compresses well" * 200)


@site.get("/download")
def download(request: Request) -> FileResponse:
    return FileResponse(f"{FOLDER}/large.bin", filename="größe.bin")


@site.get("/cookie")
def cookie(request: Request) -> Response:
    response = Response(b"hello", content_type="text/plain; charset=utf-8")
    response.set_cookie("seen", "yes", max_age=60, httponly=True)
    response.delete_cookie("gone")
    return response


@site.get("/session")
def session(request: Request) -> str:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return "counted"


@site.get("/refused")
def refused(request: Request) -> None:
    raise HTTPException(401, "Who are you?", {"www-authenticate": 'Bearer realm="tests"'})


@site.get("/nothing")
def nothing(request: Request) -> None:
    return None
