"""The application that real servers serve in tests of files: a file, and perhaps a directory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from microweb import App, FileResponse, Request, Response

FILE = os.environ["FILES_APP_FILE"]

site = App()
asgi = site.asgi
answers: list[str] = []

if "FILES_APP_FOLDER" in os.environ:
    site.static("/static", os.environ["FILES_APP_FOLDER"])


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    answer = site.wsgi(environ, start_response)
    answers.append(type(answer).__name__)
    return answer


@site.get("/file")
def file(request: Request) -> Response:
    return FileResponse(FILE)


@site.get("/answers")
def kinds_of_answers(request: Request) -> list[str]:
    return answers


@site.get("/open")
def how_often_open(request: Request) -> dict[str, int]:
    known = os.stat(FILE)
    count = 0
    for descriptor in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one of the list itself
            count += os.path.samestat(os.fstat(int(descriptor)), known)
    return {"open": count}
