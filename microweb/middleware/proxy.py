"""ProxyHeadersMiddleware: who the client is, where a proxy stands between it and the server.

The server sees the proxy's connection. What it cannot see the proxy writes into headers, and
so may anybody else: only the peer's own address tells whether they can be believed.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from ..model.host import parse_host
from ..model.qvalues import split_quoted
from ..model.request import Request
from ..model.response import Response

# What the members of each header tell; those of Forwarded tell several things each.
TELLS = {
    "x-forwarded-for": "for",
    "x-forwarded-proto": "proto",
    "x-forwarded-host": "host",
    "x-forwarded-port": "port",
    "forwarded": "",
}
IS_SECURE = {"http": False, "ws": False, "https": True, "wss": True}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

# What the hops of a request have told, by kind; the last member is the nearest hop's.
Told = dict[str, list[str]]

_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
_PAIR = re.compile(r'([a-z]+)=(?:([!#$%&\'*+.^_`|~0-9A-Za-z-]+)|"((?:[^"\\]|\\.)*+)")', re.I | re.A)


class ProxyHeadersMiddleware:
    """Sets `request.client`, `.scheme` and `.host` to what a trusted proxy says they were.

    `trusted` are the proxies' addresses and networks ("10.0.0.0/8"), and "unix" for a server
    that names no peer, as on a Unix socket. From any other peer all is taken as it came.

    `headers` are those that your proxy always sets itself or removes; name no others, since
    a proxy hands on what it does not know as the client wrote it. To choose from:
    x-forwarded-for, -proto, -host and -port, or "forwarded" by itself (RFC 7239).

    Each proxy adds the peer that it saw at the right, so the client is found from there: the
    first address that is no trusted proxy's. Scheme, host and port are those that stand
    as far from the right. What is malformed is passed over. `environ` and `scope` stay as
    the server made them. (uvicorn reads the first two headers by itself, and the proxy is not
    the peer then: turn that off with `--no-proxy-headers`, or leave this layer out.)

    Raises ValueError for what is no address or network, and for another choice of headers.
    """

    def __init__(
        self,
        *,
        trusted: str | Iterable[str] = ("127.0.0.1", "::1"),
        headers: str | Iterable[str] = ("x-forwarded-for", "x-forwarded-proto"),
    ) -> None:
        peers = {trusted} if isinstance(trusted, str) else set(trusted)
        self._unix = "unix" in peers
        self._networks = [_network(peer) for peer in peers - {"unix"}]
        names = [headers] if isinstance(headers, str) else headers
        self._headers = [name.lower() for name in names]
        unknown = set(self._headers) - set(TELLS)
        if unknown or ("forwarded" in self._headers and len(self._headers) > 1):
            raise ValueError(
                f"ProxyHeadersMiddleware(headers={self._headers}): 'forwarded' alone, or some of"
                f" {', '.join(name for name in TELLS if name != 'forwarded')}"
            )

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        peer = request.client
        if self._unix if peer is None else self._trusts(peer[0]):
            self._believe(request, self._told(request))
        yield

    def _told(self, request: Request) -> Told:
        values = {name: request.headers.get(name, "") for name in self._headers}
        if "forwarded" in values:
            return _parse_forwarded(values["forwarded"])
        return {TELLS[name]: _members(value) for name, value in values.items()}

    def _believe(self, request: Request, told: Told) -> None:
        distance, client = self._find_client(told.get("for", []))
        if client is not None:
            request.client = client
        is_secure = IS_SECURE.get(_at(distance, told.get("proto", [])).lower())
        if is_secure is not None:
            scheme = "ws" if request.scheme in ("ws", "wss") else "http"
            request.scheme = scheme + "s" * is_secure
        host = _at(distance, told.get("host", []))
        if parse_host(host):
            request.host = host
        port = _at(distance, told.get("port", []))
        if port.isascii() and port.isdigit() and len(port) <= 5:
            _add_port(request, int(port))

    def _find_client(self, hops: list[str]) -> tuple[int, tuple[str, int] | None]:
        """How many trusted proxies lie before the client, and its address if one is given."""
        client = None
        for distance, hop in enumerate(reversed(hops)):
            client = _parse_node(hop)
            if client is None or not self._trusts(client[0]):
                return distance, client
        return max(len(hops) - 1, 0), client

    def _trusts(self, host: str) -> bool:
        try:
            address = _unmapped(ip_address(host))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _network(text: str) -> Any:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"ProxyHeadersMiddleware(trusted=...): {error}; write '10.0.0.1', '10.0.0.0/8',"
            " 'fd00::/8' or 'unix'"
        ) from None


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    # A socket for both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


def _members(value: str) -> list[str]:
    return [member for word in value.split(",") if (member := word.strip(" \t"))]


def _at(distance: int, members: list[str]) -> str:
    # Of a proxy that replaces a header, where others add to theirs, there is one member only.
    return members[max(len(members) - 1 - distance, 0)] if members else ""


def _parse_node(text: str) -> tuple[str, int] | None:
    """An address, perhaps with a port: `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`."""
    found = _NODE.fullmatch(text)
    host, port = (found[1] or found[2], int(found[3] or 0)) if found else (text, 0)
    if port > 65535 or "%" in host:  # a zone, which may hold any text
        return None
    try:
        return str(_unmapped(ip_address(host))), port
    except ValueError:
        return None


def _parse_forwarded(header: str) -> Told:
    """The elements of Forwarded (RFC 7239, 4), all of them or none.

    A quote that a client left open would swallow what the proxies have written after it.
    """
    told: Told = {"for": [], "proto": [], "host": []}
    for element in filter(None, split_quoted(header, ",")):
        pairs = [_PAIR.fullmatch(pair) for pair in filter(None, split_quoted(element, ";"))]
        if not all(pairs):
            return {}
        values = {
            pair[1].lower(): pair[2] or re.sub(r"\\(.)", r"\1", pair[3]) for pair in pairs if pair
        }
        for name, members in told.items():
            members.append(values.get(name, ""))
    return told


def _add_port(request: Request, port: int) -> None:
    host = parse_host(request.host)
    if host and host.port is None and 0 < port <= 65535 and port != _PORTS.get(request.scheme):
        request.host = f"{host.name}:{port}"
