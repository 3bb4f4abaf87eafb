"""TrustedHostMiddleware: requests for another site's name end here.

A client may write any Host. Where URLs are made of it (in a mail with a link, say, or in a
page that a cache keeps) a foreign one would lead users astray.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable

from ..model.errors import HTTPException
from ..model.host import parse_host
from ..model.request import Request
from ..model.response import Response


class TrustedHostMiddleware:
    """Answers 400 unless the request's one Host is among `hosts`, at any port.

    Hosts are names or addresses, in any case: "shop.example", "[::1]". "*.shop.example"
    stands for its subdomains, without shop.example itself, and "*" for every name that is
    well-formed. Inside of a ProxyHeadersMiddleware that believes X-Forwarded-Host, that
    name is the one that counts.

    Raises ValueError for what is no host, such as one with a port or a scheme.
    """

    def __init__(self, hosts: str | Iterable[str]) -> None:
        listed = [hosts] if isinstance(hosts, str) else list(hosts)
        self._all = "*" in listed
        self._names: set[str] = set()
        self._suffixes: tuple[str, ...] = ()
        for host in listed:
            if host != "*":
                self._add(host)

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        # Two of them, or none in HTTP/1.1, are an error of the client's (RFC 9112, 3.2).
        if len(request.headers.getlist("host")) != 1 or not self._trusts(request.host):
            raise HTTPException(400, "This site does not go by that Host.")
        yield

    def _add(self, host: str) -> None:
        parsed = parse_host(host.removeprefix("*."))
        if parsed is None or parsed.port is not None:
            raise ValueError(
                f"TrustedHostMiddleware: {host!r} is no host; write 'shop.example',"
                " '*.shop.example' or '[::1]', without scheme and port, and a name with other"
                " letters as browsers send it: 'xn--...'"
            )
        if host.startswith("*."):
            self._suffixes += (f".{parsed.name}",)
        else:
            self._names.add(parsed.name)

    def _trusts(self, host: str) -> bool:
        parsed = parse_host(host)
        return parsed is not None and (
            self._all or parsed.name in self._names or parsed.name.endswith(self._suffixes)
        )
