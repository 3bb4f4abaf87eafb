"""host: the grammar of the Host header and of what proxies say in its place."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

LONGEST = 255  # bytes of a name (RFC 1035, 2.3.4)

# The underscore is in no host's name by RFC 952, but in those of many containers.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>{_LABEL}(?:\.{_LABEL})*|\[(?P<ipv6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{{1,5}}))?"
)


class Host(NamedTuple):
    """A host's name in lower case, an IPv6 address in brackets, and the port if it is given."""

    name: str
    port: int | None


def parse_host(text: str) -> Host | None:
    """The host and port in `text`; None for what is neither (RFC 9110, 7.2; RFC 3986, 3.2.2).

    Stricter than the grammar, which would allow an empty name, an empty port and almost any
    character in a name: no client that asks for a site sends one.
    """
    found = _HOST.fullmatch(text.lower()) if len(text) <= LONGEST + len(":65535") else None
    if found is None:
        return None
    port = None if found["port"] is None else int(found["port"])
    if port is not None and port > 65535:
        return None
    if found["ipv6"] is None:
        return Host(found["name"], port)
    try:
        return Host(f"[{IPv6Address(found['ipv6'])}]", port)
    except AddressValueError:
        return None
