"""App: what an application registers, and the two doors through which it is served."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING

from .middleware import is_async_layer
from .model.lazy import lazy
from .model.response import describe
from .model.shape import shape_of
from .model.types import (
    ExceptionHandler,
    Lifespan,
    LifespanT,
    Middleware,
    MiddlewareT,
    Observer,
    ObserverT,
)
from .mounts import ASGIApp, Mount, WSGIApp, checked_mount
from .paths import Converter
from .routing import Router

if TYPE_CHECKING:
    from .gateways.asgi import ASGIGateway
    from .gateways.wsgi import WSGIGateway


class App(Router):
    """An application: routes, layers, exception handlers and lifespans, served by two doors.

    `debug` shows tracebacks to the client. `threads` bounds how many plain handlers run at
    once under ASGI. `max_body_size`, in bytes, bounds a body that is kept in memory, and the
    fields of a form together; `max_upload_size` one that is not: a multipart form, whose files
    go to disk, and the stream of a route. `converters` adds kinds of path parameters.
    """

    def __init__(
        self,
        *,
        debug: bool = False,
        threads: int = 40,
        max_body_size: int = 16 * 1024 * 1024,
        max_upload_size: int = 1024 * 1024 * 1024,
        converters: Mapping[str, Converter] | None = None,
    ) -> None:
        super().__init__(converters=converters)
        if threads < 1:
            raise ValueError(f"App(threads={threads}): at least 1")
        for name, size in (("max_body_size", max_body_size), ("max_upload_size", max_upload_size)):
            if size < 0:
                raise ValueError(f"App({name}={size}): a number of bytes, 0 or more")
        self.debug = debug
        self.threads = threads
        self.max_body_size = max_body_size
        self.max_upload_size = max_upload_size
        self.state = SimpleNamespace()
        self.layers: list[Middleware] = []
        self.lifespans: list[Lifespan] = []
        self.observers: list[Observer] = []
        self.mounts: list[Mount] = []
        self.exception_handlers: dict[int | type[Exception], ExceptionHandler] = {}
        self._served = False

    @lazy
    def wsgi(self) -> WSGIGateway:
        """The application as PEP 3333 wants it: `app.wsgi(environ, start_response)`."""
        from .gateways.wsgi import WSGIGateway

        return WSGIGateway(self)

    @lazy
    def asgi(self) -> ASGIGateway:
        """The application as ASGI 3.0 wants it: `await app.asgi(scope, receive, send)`."""
        from .gateways.asgi import ASGIGateway

        return ASGIGateway(self)

    def __call__(self, *_: object, **__: object) -> None:
        """Always raises TypeError: a server calls one of the two doors, not the App."""
        raise TypeError(
            "an App has two doors, and a server must be told which: in the file that the server"
            " loads write `app = site.wsgi` (gunicorn file:app) or `app = site.asgi`"
            " (uvicorn file:app), where `site` is this App"
        )

    def mount(
        self,
        prefix: str,
        router: Router | None = None,
        *,
        wsgi: WSGIApp | None = None,
        asgi: ASGIApp | None = None,
    ) -> None:
        """Take in what lives below `prefix`: a router's routes, or a foreign application.

        A router's routes become this App's own: see `Router.mount`. A foreign application,
        `wsgi=flask_app` or `asgi=starlette_app`, is called through both doors as its own
        server would call it: SCRIPT_NAME or root_path grows by the prefix, and no layer of
        this App is around it. It takes all paths below its prefix, the prefix itself
        included, before any route; where several prefixes fit, the longest wins. The ASGI
        lifespan of an `asgi` application runs inside this App's lifespans.

        Raises TypeError unless exactly one of the three is given, and for what is no
        application of its protocol; ValueError for a wrong prefix, or one that is taken;
        RuntimeError for a foreign application after the first request.
        """
        given = [each for each in (router, wsgi, asgi) if each is not None]
        if len(given) != 1:
            raise TypeError(
                f"mount at {prefix!r}: give one of a Router, wsgi=... or asgi=..., not {len(given)}"
            )
        if isinstance(given[0], App):
            raise TypeError(
                f"mount at {prefix!r}: an App would lose its layers and handlers; mount a Router,"
                f" or the whole other App by a door of it: app.mount({prefix!r}, asgi=other.asgi)"
            )
        if wsgi is not None:
            self._mount_foreign(checked_mount(prefix, "wsgi", wsgi))
        elif asgi is not None:
            self._mount_foreign(checked_mount(prefix, "asgi", asgi))
        elif isinstance(router, Router):
            super().mount(prefix, router)
        else:
            raise TypeError(
                f"mount at {prefix!r}: {router!r:.100} is no Router; a foreign application is"
                " mounted by its protocol, wsgi=... or asgi=..."
            )

    def _mount_foreign(self, mount: Mount) -> None:
        if getattr(mount.app, "app", None) is self:
            raise ValueError(f"mount at {mount.prefix or '/'!r}: an App cannot contain itself")
        for there in self.mounts:
            if there.prefix == mount.prefix:
                raise ValueError(f"mount {mount}: its prefix is taken already by {there}")
        if self._served:
            raise RuntimeError(f"mount {mount} comes after the first request; mount it before")
        self.mounts.append(mount)

    def middleware(self, layer: MiddlewareT) -> MiddlewareT:
        """Add a layer around the handlers; the first one added is the outermost.

        A layer is a generator function of (request) that yields once, or an async function
        of (request, call_next). Raises TypeError for anything else, and RuntimeError after
        the first request, when the onion is composed already.
        """
        is_async_layer(layer)
        if self._served:
            raise RuntimeError(
                f"middleware {describe(layer)} comes after the first request; add it before"
            )
        self.layers.append(layer)
        return layer

    def exception_handler(
        self, what: int | type[Exception]
    ) -> Callable[[ExceptionHandler], ExceptionHandler]:
        """Answer errors of a status or a class: `@app.exception_handler(404)`.

        `handler(request, error)` returns what any handler may; a bare value takes the
        error's status, or 500. A status wins over a class, a class over its bases. For an
        unexpected error 500 and Exception are the last resort: they stand outside all layers,
        and the error they answer is logged all the same.
        """
        if isinstance(what, bool) or not (
            (isinstance(what, int) and 300 <= what <= 599)
            or (isinstance(what, type) and issubclass(what, Exception))
        ):
            raise TypeError(
                f"exception_handler({what!r}): give a status, 300 to 599, or a class of Exception"
            )

        def register(handler: ExceptionHandler) -> ExceptionHandler:
            there = self.exception_handlers.get(what)
            if there is not None:
                raise ValueError(
                    f"exception_handler({what!r}) for {describe(handler)} is there already:"
                    f" {describe(there)}"
                )
            self.exception_handlers[what] = handler
            return handler

        return register

    def lifespan(self, function: LifespanT) -> LifespanT:
        """Register what runs around the application's life in one process.

        A generator function or an async generator function of (app), which yields once:
        None, or a mapping that is merged into `app.state`. Several nest, the first outermost.
        Raises TypeError for any other function, and RuntimeError after the start.
        """
        if "generator" not in shape_of(function):
            raise TypeError(
                f"lifespan {describe(function)} is no generator function; it should yield once,"
                " between what starts and what stops"
            )
        if self._served:
            raise RuntimeError(
                f"lifespan {describe(function)} comes after the start; register it before"
            )
        self.lifespans.append(function)
        return function

    def observe(self, callback: ObserverT) -> ObserverT:
        """Have a plain function told, step by step, how requests are answered: for a recorder.

        It is called with an Observation, at once and wherever the step is taken: a handler's in
        the thread or the task of the handler. So it must not block, and one thread may call it
        while another does. It takes no part: what it raises is logged, and nothing is read, or
        done differently, for its sake. Several are told in the order of their registration.

        What a mounted application answers, or a lifespan that fails, is no step of this App's.

        Raises TypeError for what cannot be called with one argument, or would only be awaited,
        and RuntimeError after the first request, when all is composed without it.
        """
        _check_observer(callback)
        if self._served:
            raise RuntimeError(
                f"observe({describe(callback)}) comes after the first request; observe before it"
            )
        self.observers.append(callback)
        return callback


def _check_observer(callback: Observer) -> None:
    if not callable(callback):
        raise TypeError(
            f"observe({callback!r:.100}): it cannot be called; give a function of (observation)"
        )
    if (shape := shape_of(callback)) != "plain":
        raise TypeError(
            f"observe({describe(callback)}): nobody would wait for this {shape} function; an"
            " observer is called, and that is all: write a plain `def`"
        )
    try:
        inspect.signature(callback).bind("observation")
    except TypeError as error:
        raise TypeError(
            f"observe({describe(callback)}): it does not fit: {error};"
            " its parameters should be (observation)"
        ) from None
    except ValueError:
        pass  # some callables written in C do not tell
