"""CORSMiddleware: which other sites' scripts may use this one (the Fetch standard, 3.3).

A browser sends a script's request with its Origin, and shows the script the response only if
that allows the origin. Before a request that no HTML form could send it asks first: that is
the preflight. So this layer states a policy, and browsers hold to it; it protects users, and
stops nobody who is no browser.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable

from ..model.host import parse_host
from ..model.request import Request
from ..model.response import Response
from ..model.vary import add_vary

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<any>\*\.)?(?P<host>[^/?#@*]+)")
_LABELS = re.compile(r"(?:[a-z0-9_-]+\.)+")


class CORSMiddleware:
    """Lets scripts of other origins read responses, and send what a preflight asks for.

    `origins` are as browsers write them, `https://shop.example`, with the port if it is not
    the scheme's own and without a slash at the end; `https://*.shop.example` stands for its
    subdomains, and "*" for everybody. `methods` and the request `headers` are those that a
    preflight may ask for ("*" for any header); `expose` names response headers that scripts
    may read. With `credentials` the browser sends cookies along, so the origins must be
    named. A preflight's answer is good for `max_age` seconds.

    A preflight never reaches a handler: it is answered here with 204 and the policy. What
    that does not list (and for an origin that is not allowed, nothing is) the browser refuses, and
    says in its console what was missing. Error responses carry the headers too; only the
    500 of an unexpected error does not, since that is made outside all layers.

    Raises ValueError for what is no origin, method or header, and for credentials for "*".
    """

    def __init__(
        self,
        *,
        origins: str | Iterable[str],
        methods: Iterable[str] = ("GET", "HEAD", "POST"),
        headers: str | Iterable[str] = (),
        expose: str | Iterable[str] = (),
        credentials: bool = False,
        max_age: int = 600,
    ) -> None:
        listed = _listed(origins)
        self._everybody = "*" in listed
        if self._everybody and credentials:
            raise ValueError(
                "CORSMiddleware(credentials=True): with '*' every site could act as your users;"
                " name the origins"
            )
        self._origins, self._wildcards = _checked_origins(listed)
        # A copy of what the preflight asks for, and not "*", which leaves out Authorization.
        allowed = _tokens("headers", headers)
        self._any_header = "*" in allowed
        exposed = _tokens("expose", expose)
        if "*" in exposed and credentials:
            raise ValueError("CORSMiddleware(expose='*'): with credentials name the headers")
        self._allow_headers = ", ".join(allowed)
        self._allow_methods = ", ".join(name.upper() for name in _tokens("methods", methods))
        self._expose = ", ".join(exposed)
        self._credentials = credentials
        self._max_age = str(max_age)

    def __call__(self, request: Request) -> Generator[None, Response, Response | None]:
        # Of the headers and not the first one only: two origins are none.
        origin = request.headers.get("origin", "")
        if origin and request.method == "OPTIONS":
            asked = request.headers.get("access-control-request-method")
            if asked is not None:
                return self._preflight(request, origin)
        response = yield
        if self._admit(origin, response) and self._expose:
            response.headers["access-control-expose-headers"] = self._expose
        return None

    def _preflight(self, request: Request, origin: str) -> Response:
        response = Response(b"", 204)
        if self._admit(origin, response):
            headers = response.headers
            headers["access-control-allow-methods"] = self._allow_methods
            headers["access-control-max-age"] = self._max_age
            if names := self._allowed_headers(request):
                headers["access-control-allow-headers"] = names
        return response

    def _admit(self, origin: str, response: Response) -> bool:
        """Say whether `origin` may read the response; to caches too, that the origin counts."""
        headers = response.headers
        if self._everybody:
            # The same for all, and so without Vary (the Fetch standard, 3.3.5).
            headers["access-control-allow-origin"] = "*"
            return True
        add_vary(headers, "Origin")
        if not self._allows(origin):
            return False
        headers["access-control-allow-origin"] = origin
        if self._credentials:
            headers["access-control-allow-credentials"] = "true"
        return True

    def _allows(self, origin: str) -> bool:
        return origin in self._origins or any(
            origin.startswith(scheme)
            and origin.endswith(host)
            and _LABELS.fullmatch(origin, len(scheme), len(origin) - len(host))
            for scheme, host in self._wildcards
        )

    def _allowed_headers(self, request: Request) -> str:
        if not self._any_header:
            return self._allow_headers
        asked = request.headers.get("access-control-request-headers", "").split(",")
        return ", ".join(name for word in asked if _TOKEN.fullmatch(name := word.strip(" \t")))


def _checked_origins(origins: list[str]) -> tuple[set[str], list[tuple[str, str]]]:
    """The origins as they are; and as scheme and host those that stand for subdomains."""
    names, wildcards = set(), []
    for origin in origins:
        if origin == "*":
            continue
        found = _ORIGIN.fullmatch(origin)
        if found is None or parse_host(found["host"]) is None or origin != origin.lower():
            raise ValueError(
                f"CORSMiddleware(origins=...): {origin!r} is no origin; write it like"
                " 'https://shop.example', in lower case, without a path or a slash at the end"
            )
        if found["any"]:
            wildcards.append((found["scheme"], found["host"]))
        else:
            names.add(origin)
    return names, wildcards


def _tokens(argument: str, names: str | Iterable[str]) -> list[str]:
    listed = _listed(names)
    for name in listed:
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"CORSMiddleware({argument}=...): {name!r} is no token")
    return listed


def _listed(names: str | Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
