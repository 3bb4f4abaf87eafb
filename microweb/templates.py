"""Templates: HTML from files of Jinja2, which escape what is put into them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from .model.request import Request
from .model.response import HeaderSource, HTMLResponse, PlainTextResponse, Response

# What every template knows of the request; a context cannot take their place.
ALWAYS = ("request", "url_path_for", "url_for")


class Templates:
    """The templates in a directory: `Templates(Path(__file__).parent / "templates")`.

    What a template puts in is escaped, in every file but `*.txt`. A variable that is not
    there is an error that names it; `{% if user is defined %}` asks first. A file that has
    changed is read again. `globals` are variables for all templates, `filters` functions for
    `{{ value|name }}`; the rest of Jinja2 is at `environment`.

    Raises NotADirectoryError where there is no such directory.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - as Jinja2 calls them
        filters: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        # Kept whole, so that it stays the same if the process changes its own directory.
        place = Path(directory).absolute()
        if not place.is_dir():
            raise NotADirectoryError(
                f"Templates({os.fspath(directory)!r}): there is no directory {os.fspath(place)!r};"
                ' to name one beside your code: Path(__file__).parent / "templates"'
            )
        self.environment = Environment(
            loader=FileSystemLoader(place),
            # The other way round, "page.html.jinja" would not be escaped.
            autoescape=select_autoescape(disabled_extensions=("txt",), default=True),
            undefined=StrictUndefined,
        )
        _refuse("Templates(globals=...)", globals or {})
        self.environment.globals.update(globals or {})
        self.environment.filters.update(filters or {})

    def render(self, request: Request, name: str, /, **context: Any) -> str:
        """The template `name`, filled in with `context`.

        Every template has `request`, `url_path_for(name, ...)` for links on this site and
        `url_for(name, ...)` for absolute ones; a macro needs `{% import ... with context %}`
        to see them. Nothing in here waits, so async handlers call it as plain ones do.

        Raises TypeError for a context that has one of these names, and what Jinja2 does:
        TemplateNotFound, which says where it looked, UndefinedError, TemplateSyntaxError.
        """
        _refuse(f"template {name!r}", context)
        return self.environment.get_template(name).render(
            context,
            request=request,
            url_path_for=request.url_path_for,
            url_for=request.url_for,
        )

    def response(
        self,
        request: Request,
        name: str,
        /,
        status: int = 200,
        headers: HeaderSource | None = None,
        **context: Any,
    ) -> Response:
        """What `render` makes, as an answer: HTML, or plain text if it is a `*.txt`.

        `status` and `headers` are the response's own, and no variables of the template.
        """
        kind = PlainTextResponse if name.lower().endswith(".txt") else HTMLResponse
        return kind(self.render(request, name, **context), status, headers)


def _refuse(what: str, names: Mapping[str, Any]) -> None:
    for name in ALWAYS:
        if name in names:
            raise TypeError(f"{what}: {name!r} is there already; give yours another name")
