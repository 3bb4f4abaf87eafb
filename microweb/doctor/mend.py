"""mend: the file to write where a server does not take a target as it is."""

from __future__ import annotations

from typing import Literal

from ..recognise import Finding

Protocol = Literal["wsgi", "asgi"]

_COMMANDS: dict[Protocol, tuple[str, ...]] = {
    "wsgi": ("gunicorn {}:app", "uvicorn --interface wsgi {}:app"),
    "asgi": ("uvicorn {}:app", "gunicorn -k asgi {}:app"),
}


def mend(target: str, finding: Finding) -> list[str]:
    """What to write and to type, in paragraphs; nothing where there is nothing to mend."""
    module, _, attribute = target.rpartition(":")
    stem = module.rpartition(".")[2]
    if finding.kind == "app":
        return [
            "gunicorn takes no dot, so write a file of two lines for each door that you need.",
            f"{stem}_wsgi.py, for servers that speak WSGI:",
            _entry(module, attribute, f"{attribute}.wsgi"),
            f"{stem}_asgi.py, for servers that speak ASGI:",
            _entry(module, attribute, f"{attribute}.asgi"),
            _typed(f"gunicorn {stem}_wsgi:app", f"uvicorn {stem}_asgi:app"),
        ]
    if finding.kind == "factory":
        return [
            f"Its application in a file of its own, {stem}_app.py:",
            _entry(module, attribute, f"{attribute}()"),
            _typed(f"microweb doctor {stem}_app:app"),
        ]
    if finding.kind in ("wsgi", "asgi") and "." in attribute:
        protocol: Protocol = "wsgi" if finding.kind == "wsgi" else "asgi"
        return [
            f"A file that gunicorn takes too, {stem}_{protocol}.py:",
            _entry(module, attribute, attribute),
            _typed(*(command.format(f"{stem}_{protocol}") for command in _COMMANDS[protocol])),
        ]
    return []


def _entry(module: str, attribute: str, app: str) -> str:
    """A file that names an application, app, without a dot."""
    return f"    from {module} import {attribute.partition('.')[0]}\n\n    app = {app}"


def _typed(*commands: str) -> str:
    return "\n".join(["Then:", "", *(f"    {command}" for command in commands)])
