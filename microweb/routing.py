"""Router: from (method, path) to a handler and its path parameters, and back to a path."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from .model.response import describe
from .model.shape import shape_of
from .model.types import Handler, HandlerT
from .paths import (
    Converter,
    MatchSegment,
    Parameter,
    Template,
    checked_converters,
    checked_prefix,
    parse_template,
    segment_matcher,
    specificity,
    takes_many,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

# A WebSocket's handshake is a GET that means something else: in the tree it stands beside GET.
WEBSOCKET = "WEBSOCKET"


class Route:
    """A path template, the methods it takes, and the handler that answers them.

    With `stream` the handler takes the body as it comes, instead of finding it arrived.
    """

    __slots__ = ("handler", "methods", "name", "origins", "parameter_names", "stream", "template")

    def __init__(
        self,
        template: Template,
        methods: tuple[str, ...],
        handler: Handler,
        name: str,
        stream: bool = False,
        origins: tuple[str, ...] = (),
    ) -> None:
        self.template = template
        self.methods = methods
        self.handler = handler
        self.name = name
        self.stream = stream
        self.origins = origins  # of a WebSocket: the foreign pages that may open it
        self.parameter_names = tuple(parameter.name for parameter in template.parameters)

    @property
    def path(self) -> str:
        """The template as it was written, with the prefixes of its routers."""
        return self.template.text

    def __repr__(self) -> str:
        return f"<Route {' '.join(self.methods)} {self.path} -> {describe(self.handler)}>"


class Miss:
    """Why no route matched: the methods that the path does take, or where it lives instead."""

    __slots__ = ("allow", "redirect")

    def __init__(self, allow: AbstractSet[str], redirect: str | None = None) -> None:
        self.allow = allow
        self.redirect = redirect


NOTHING = Miss(frozenset())  # neither here nor anywhere near


class Router:
    """Routes under a common prefix; mounted into another router or an App.

    `converters` adds kinds of parameters to str, int, float, uuid and path. The routes of
    a router called `name` are called `name.route`.
    """

    def __init__(
        self,
        prefix: str = "",
        name: str = "",
        converters: Mapping[str, Converter] | None = None,
    ) -> None:
        self.prefix = checked_prefix("router prefix", prefix)
        self.name = name
        self.routes: list[Route] = []
        self.has_websockets = False
        self._converters = checked_converters(converters or {})
        self._tree = _Node()
        self._static: dict[str, dict[str, Route]] = {}
        self._parents: list[tuple[Router, str]] = []

    def get(
        self, path: str, *, name: str | None = None, stream: bool = False
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for GET, and for HEAD: `@app.get("/users/{id:int}")`."""
        return self.route(path, methods=["GET"], name=name, stream=stream)

    def post(
        self, path: str, *, name: str | None = None, stream: bool = False
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for POST."""
        return self.route(path, methods=["POST"], name=name, stream=stream)

    def put(
        self, path: str, *, name: str | None = None, stream: bool = False
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for PUT."""
        return self.route(path, methods=["PUT"], name=name, stream=stream)

    def patch(
        self, path: str, *, name: str | None = None, stream: bool = False
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for PATCH."""
        return self.route(path, methods=["PATCH"], name=name, stream=stream)

    def delete(
        self, path: str, *, name: str | None = None, stream: bool = False
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for DELETE."""
        return self.route(path, methods=["DELETE"], name=name, stream=stream)

    def route(
        self,
        path: str,
        *,
        methods: Iterable[str],
        name: str | None = None,
        stream: bool = False,
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler for several methods; `name` defaults to the function's own.

        With `stream` the body is not read before the handler runs: see `Request.stream`.

        Raises ValueError where the template is wrong, a route is there already or a method
        is unknown, and TypeError where the handler does not take the template's parameters.
        """

        if not isinstance(path, str):
            raise TypeError(
                f'a route needs its path: write @app.get("/...") above {describe(path)}'
            )

        def register(handler: HandlerT) -> HandlerT:
            self._register(path, _checked_methods(path, methods), handler, name, stream)
            return handler

        return register

    def websocket(
        self, path: str, *, name: str | None = None, origins: Iterable[str] = ()
    ) -> Callable[[HandlerT], HandlerT]:
        """Register the handler of a WebSocket: `async def chat(ws, **path_params)`.

        Its handshake goes through the layers as a GET. What the handler raises before
        `await ws.accept()` is the answer to it, as with any handler. After that an error is
        logged, and closes with 1011 (RFC 6455, 7.4.1); a return closes with 1000.

        When the client leaves, the handler is told by its next `receive` or `send`. It has
        five seconds to end then, and is cancelled after them: what takes longer belongs in a
        task of its own. To notice that a client has left, one message is read ahead; a
        handler that leaves messages unread notices it only when it sends.

        A page of another site may not open it, unless its origin is one of `origins`:
        `"https://example.org"`, or `"*"` for all.

        Raises what `route` does, and TypeError for a handler that is no `async def`.
        """
        from .model.origins import checked_origins

        if not isinstance(path, str):
            raise TypeError(
                f'a route needs its path: write @app.websocket("/...") above {describe(path)}'
            )
        allowed = checked_origins(path, origins)

        def register(handler: HandlerT) -> HandlerT:
            if callable(handler) and shape_of(handler) != "async":
                raise TypeError(
                    f"route {path!r}: {describe(handler)} is no async function; a conversation"
                    " is waited for: write `async def`"
                )
            self._register(path, (WEBSOCKET,), handler, name, origins=allowed)
            return handler

        return register

    def static(self, prefix: str, directory: str | os.PathLike[str], name: str = "static") -> None:
        """Answer GET below `prefix` with the files of a directory: see `static.Directory`.

        `url_path_for("static", path="css/site.css")` is the path of a file. Raises
        ValueError where the directory does not exist, or the prefix is like 'files' or
        '/files/'; the root is written "" or "/".
        """
        from .static import Directory

        prefix = checked_prefix("static prefix", prefix)
        files = Directory(directory)
        self.get(f"{prefix}/{{path:path}}", name=name)(files)
        self.get(f"{prefix}/", name=f"{name}.index")(files)

    def mount(self, prefix: str, router: Router) -> None:
        """Take in a router's routes, now and those still to come, below `prefix`.

        Raises ValueError for a prefix like 'admin' or '/admin/', and for a router inside
        itself; the root is written "" or "/".
        """
        prefix = checked_prefix("mount prefix", prefix)
        if "{" in prefix:
            raise ValueError(f"mount prefix {prefix!r}: parameters belong in Router(prefix=...)")
        if router is self or router in self._ancestors():
            raise ValueError(f"mount at {prefix or '/'!r}: a router cannot contain itself")
        for route in router.routes:
            self._adopt(route, prefix)
        router._parents.append((self, prefix))

    def url_path_for(self, name: str, /, **path_params: Any) -> str:
        """The path of the route `name` with its parameters filled in, percent-encoded.

        Raises LookupError where no route has that name, or several do; TypeError where a
        parameter is missing or unknown; ValueError where a value does not fit.
        """
        templates = {route.path: route.template for route in self.routes if route.name == name}
        if not templates:
            known = ", ".join(sorted({route.name for route in self.routes})) or "none at all"
            raise LookupError(f"no route is named {name!r}; there are {known}")
        if len(templates) > 1:
            raise LookupError(
                f"the name {name!r} is shared by the routes {' and '.join(map(repr, templates))};"
                " give each a name=... of its own"
            )
        (template,) = templates.values()
        return template.fill(path_params)

    def match(self, method: str, path: str) -> tuple[Route, dict[str, Any]] | tuple[None, Miss]:
        """The route for a method and a decoded path, with the path's parameters.

        Where there is none: None, and the Miss that says why. Nothing is raised, because a
        request for what is not there is nothing exceptional.
        """
        # Literals win at every step of the way, so a path that is one needs no walk.
        methods = self._static.get(path)
        if methods is not None:
            route = methods.get(method)
            if route is not None:
                return route, {}
        segments = path.split("/")
        if not self._tree.may_lead(segments):
            return None, NOTHING
        route, found = self._tree.walk(segments, method)
        if route is not None:
            names = route.parameter_names
            if len(names) == 1:  # most have one; this is five times as fast as zip
                return route, {names[0]: found[0]}
            return route, dict(zip(names, found, strict=True))
        redirect = None if found else self._with_other_slash(path)
        return None, Miss(found, redirect) if found or redirect else NOTHING

    def methods(self) -> set[str]:
        """Every method that some route takes: the answer to `OPTIONS *`."""
        taken = {method for route in self.routes for method in route.methods} - {WEBSOCKET}
        return taken | {"HEAD"} if "GET" in taken else taken

    def _with_other_slash(self, path: str) -> str | None:
        other = path[:-1] if path.endswith("/") else path + "/"
        _, allow = self._tree.walk(other.split("/"), "")
        return other if allow else None

    def _register(
        self,
        path: str,
        methods: tuple[str, ...],
        handler: Handler,
        name: str | None,
        stream: bool = False,
        origins: tuple[str, ...] = (),
    ) -> None:
        # "" is the prefix itself; anything else without a slash is a mistake to be named as such.
        full = self.prefix + path if path.startswith("/") or not path else path
        template = parse_template(full, self._converters)
        _check_signature(template, handler, methods)
        if name is None:
            name = getattr(handler, "__name__", type(handler).__name__)
        qualified = self._qualified(name)
        self._add(Route(template, methods, handler, qualified, stream, origins))

    def _qualified(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name

    def _adopt(self, route: Route, prefix: str) -> None:
        # A template begins with a slash, so its empty first segment is the prefix's as well.
        prefix = self.prefix + prefix
        above = parse_template(prefix, self._converters) if prefix else Template("", ("",))
        segments = (*above.segments, *route.template.segments[1:])
        template = Template(prefix + route.path, segments).checked()
        _check_signature(template, route.handler, route.methods)
        name = self._qualified(route.name)
        self._add(Route(template, route.methods, route.handler, name, route.stream, route.origins))

    def _add(self, route: Route) -> None:
        leaf = self._tree.leaf(route.template)
        for method in route.methods:
            there = leaf.routes.get(method)
            if there is not None and method in there.methods:
                raise ValueError(
                    f"route {method} {route.path!r} for {describe(route.handler)} is there already:"
                    f" {there.path!r} for {describe(there.handler)};"
                    " give one of them another path or method"
                )
        for method in route.methods:
            leaf.routes[method] = route
            if method == "GET":
                # HEAD is GET without the body, unless a route says otherwise (RFC 9110, 9.3.2).
                leaf.routes.setdefault("HEAD", route)
        self.routes.append(route)
        self.has_websockets |= WEBSOCKET in route.methods
        if not route.parameter_names:
            self._static[route.path] = leaf.routes
        for parent, prefix in self._parents:
            parent._adopt(route, prefix)

    def _ancestors(self) -> list[Router]:
        parents = [parent for parent, _ in self._parents]
        return parents + [above for parent in parents for above in parent._ancestors()]


class _Edge:
    """The way from a node through one segment with parameters."""

    __slots__ = ("key", "match", "node", "rank")

    def __init__(self, key: object, rank: tuple[Any, ...], match: MatchSegment) -> None:
        self.key = key
        self.rank = rank
        self.match = match
        self.node = _Node()


class _Node:
    """A place in the tree of segments: where each next segment leads, and who lives here."""

    __slots__ = ("edges", "literals", "paths", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.edges: list[_Edge] = []  # the most preferred last
        self.paths: dict[int, _Node] = {}  # {x:path}, by the number of segments after it
        self.routes: dict[str, Route] = {}

    def leaf(self, template: Template) -> _Node:
        """The node that a template leads to, made where it is missing."""
        node = self
        # What is before the first slash is empty, in templates as in paths.
        for index, segment in enumerate(template.segments[1:], 1):
            if isinstance(segment, str):
                node = node.literals.setdefault(segment, _Node())
            elif takes_many(segment):
                after = len(template.segments) - index - 1
                there = node.paths.setdefault(after, _Node())
                node.paths = dict(sorted(node.paths.items()))  # what has more after it is better
                node = there
            else:
                node = node._edge(segment).node
        return node

    def _edge(self, segment: tuple[str | Parameter, ...]) -> _Edge:
        # Two templates that differ only in the names of their parameters share an edge.
        key = tuple(part if isinstance(part, str) else part.converter for part in segment)
        for edge in self.edges:
            if edge.key == key:
                return edge
        edge = _Edge(key, specificity(segment), segment_matcher(segment))
        self.edges.append(edge)
        self.edges.sort(key=lambda edge: edge.rank, reverse=True)
        return edge

    def may_lead(self, segments: list[str]) -> bool:
        """Whether a path, with or without a slash at its end, gets beyond its first segment."""
        if self.edges or self.paths or len(segments) < 2:
            return True
        return segments[1] in self.literals

    def walk(self, segments: list[str], method: str) -> tuple[Route | None, Any]:
        """The most preferred route for a path that takes the method, and its parameters.

        Where there is none: None, and the set of the methods that the path does take.
        """
        if segments[0]:
            return None, set()  # no path begins without a slash, but "*" is a target too
        count = len(segments)
        node, depth, values = self, 1, ()
        # Where several ways go on, the best is followed and the others wait on this pile.
        waiting: list[tuple[_Node, int, tuple[Any, ...]]] = []
        allow: set[str] | None = None
        while True:
            if depth == count:
                if method in node.routes:
                    return node.routes[method], values
                allow = {*node.routes, *(allow or ())}
            else:
                segment = segments[depth]
                depth += 1
                if node.paths:
                    for after, there in node.paths.items():
                        end = count - after
                        if depth <= end and (rest := "/".join(segments[depth - 1 : end])):
                            waiting.append((there, end, (*values, rest)))
                if node.edges:
                    for edge in node.edges:
                        found = edge.match(segment)
                        if found is not None:
                            waiting.append((edge.node, depth, values + found))
                if segment in node.literals:
                    node = node.literals[segment]
                    continue
            if not waiting:
                return None, allow or set()
            node, depth, values = waiting.pop()


def _checked_methods(path: str, methods: Iterable[str]) -> tuple[str, ...]:
    if isinstance(methods, str):
        raise TypeError(f"route {path!r}: methods is a list, [{methods!r}], not one str")
    methods = tuple(dict.fromkeys(methods))
    if not methods:
        raise ValueError(f"route {path!r}: methods is empty; name at least one")
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"route {path!r}: no method {method!r}; use {', '.join(METHODS)}")
    return methods


def _check_signature(template: Template, handler: Handler, methods: tuple[str, ...]) -> None:
    """Raise TypeError unless `handler(request, **parameters)` is a call that it takes."""
    if not callable(handler):
        raise TypeError(f"route {template.text!r}: {handler!r} is no function")
    try:
        signature = inspect.signature(handler)
    except ValueError:
        return  # some callables written in C do not tell
    names = [parameter.name for parameter in template.parameters]
    try:
        signature.bind(None, **dict.fromkeys(names))
    except TypeError as error:
        wanted = ", ".join(["ws" if WEBSOCKET in methods else "request", *names])
        raise TypeError(
            f"route {template.text!r}: {describe(handler)} does not fit: {error};"
            f" its parameters should be ({wanted})"
        ) from None
