"""Proxy headers: whom to believe, how far, and what is made of it."""

from __future__ import annotations

import string
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, ProxyHeadersMiddleware, Request
from microweb.middleware.proxy import _parse_forwarded

from .conftest import Connect

ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")
PROXIES = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]


def app_of(peer: Any = ("127.0.0.1", 50000), scheme: str = "http", **options: Any) -> App:
    """An app behind a proxy whose connection comes from `peer`; it tells what it believes."""
    app = App()

    @app.middleware
    def connected(request: Request) -> Iterator[None]:
        request.client = peer
        request.scheme = scheme
        yield

    app.middleware(ProxyHeadersMiddleware(**options))

    @app.get("/")
    def show(request: Request) -> list[Any]:
        return [request.client and list(request.client), request.url]

    return app


def believed(connect: Connect, app: App, headers: dict[str, str]) -> tuple[Any, str]:
    client, url = connect(app).get("/", headers={"host": "back:8000", **headers}).json()
    return client, url


# --- Whom ---------------------------------------------------------------------------------

FORWARDED = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
BELIEVED = (["203.0.113.9", 0], "https://back:8000/")


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("127.0.0.1", 1), None),
        (("::1", 1), None),
        (("::ffff:127.0.0.1", 1), None),
        (("10.1.2.3", 1), PROXIES),
        (("fd00::17", 1), PROXIES),
        (("10.1.2.3", 1), "10.1.2.3"),
        (("fe80::1%eth0", 1), ["fe80::/10"]),
        (None, "unix"),
        (None, ["10.0.0.0/8", "unix"]),
    ],
)
def test_a_trusted_peer_is_believed(connect: Connect, peer: Any, trusted: Any) -> None:
    options = {} if trusted is None else {"trusted": trusted}
    assert believed(connect, app_of(peer, **options), FORWARDED) == BELIEVED


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        (("203.0.113.1", 1), None),
        (("127.0.0.2", 1), None),
        (("11.1.2.3", 1), PROXIES),
        (("::2", 1), PROXIES),
        (("testclient", 1), PROXIES),
        (("127.0.0.1", 1), []),
        (("127.0.0.1", 1), "unix"),
        (None, None),
        (None, PROXIES),
    ],
)
def test_any_other_is_not(connect: Connect, peer: Any, trusted: Any) -> None:
    options = {} if trusted is None else {"trusted": trusted}
    plain = (None if peer is None else list(peer), "http://back:8000/")
    assert believed(connect, app_of(peer, **options), FORWARDED) == plain


def test_environ_and_scope_stay_as_the_server_made_them(connect: Connect) -> None:
    # The validators compare the scope with a copy; environ is looked at here.
    app = app_of(headers=ALL)

    @app.get("/native")
    def native(request: Request) -> list[Any]:
        environ = request.environ or {
            "REMOTE_ADDR": request.scope["client"][0],  # type: ignore[index]
            "wsgi.url_scheme": request.scope["scheme"],  # type: ignore[index]
        }
        return [environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], request.scheme]

    response = connect(app).get("/native", headers=FORWARDED)
    assert response.json() == ["127.0.0.1", "http", "https"]


# --- What ---------------------------------------------------------------------------------

CLIENTS = [
    ("203.0.113.9", ["203.0.113.9", 0]),
    ("203.0.113.9:4711", ["203.0.113.9", 4711]),
    ("2001:db8::9", ["2001:db8::9", 0]),
    ("[2001:DB8:0::9]:4711", ["2001:db8::9", 4711]),
    ("::ffff:203.0.113.9", ["203.0.113.9", 0]),
    # From the right, past the trusted ones; what is left of the client he wrote himself.
    ("6.6.6.6, 203.0.113.9", ["203.0.113.9", 0]),
    ("6.6.6.6, 203.0.113.9, 10.0.0.1, fd00::1", ["203.0.113.9", 0]),
    ("127.0.0.1, 203.0.113.9", ["203.0.113.9", 0]),
    ("garbage, 203.0.113.9", ["203.0.113.9", 0]),
    (" ,203.0.113.9 ,, 10.0.0.1\t,", ["203.0.113.9", 0]),
    ("10.0.0.2, 10.0.0.1", ["10.0.0.2", 0]),
    # What cannot be read is passed over: the proxy is all that is known.
    ("", ["127.0.0.1", 50000]),
    (",", ["127.0.0.1", 50000]),
    ("unknown", ["127.0.0.1", 50000]),
    ("203.0.113.9, unknown, 10.0.0.1", ["127.0.0.1", 50000]),
    ("203.0.113.256", ["127.0.0.1", 50000]),
    ("203.0.113.9:", ["127.0.0.1", 50000]),
    ("203.0.113.9:99999", ["127.0.0.1", 50000]),
    ("203.0.113.9 evil", ["127.0.0.1", 50000]),
    ("fe80::1%<script>", ["127.0.0.1", 50000]),
    ("[fe80::1%eth0]", ["127.0.0.1", 50000]),
    ('"203.0.113.9"', ["127.0.0.1", 50000]),
    ("1.2.3", ["127.0.0.1", 50000]),
    ("3405803785", ["127.0.0.1", 50000]),
]


@pytest.mark.parametrize(("value", "client"), CLIENTS)
def test_the_client_is_found_from_the_right(connect: Connect, value: str, client: Any) -> None:
    app = app_of(trusted=PROXIES)
    assert believed(connect, app, {"x-forwarded-for": value})[0] == client


def test_repeated_headers_are_one_list(connect: Connect) -> None:
    client = connect(app_of(trusted=PROXIES))
    headers = [("x-forwarded-for", value) for value in ("6.6.6.6", "203.0.113.9", "10.0.0.1")]
    assert client.get("/", headers=headers).json()[0] == ["203.0.113.9", 0]


URLS: list[tuple[dict[str, str], str]] = [
    ({"proto": "https"}, "https://back:8000/"),
    ({"proto": "HTTPS"}, "https://back:8000/"),
    ({"proto": "wss"}, "https://back:8000/"),
    ({"proto": "http"}, "http://back:8000/"),
    ({"proto": "ftp"}, "http://back:8000/"),
    ({"proto": "https\t evil"}, "http://back:8000/"),
    ({"proto": "https, http"}, "http://back:8000/"),
    ({"proto": "http, https"}, "https://back:8000/"),
    ({"host": "shop.example"}, "http://shop.example/"),
    ({"host": "Shop.Example:8443", "proto": "https"}, "https://Shop.Example:8443/"),
    ({"host": "evil.example, shop.example"}, "http://shop.example/"),
    ({"host": "[2001:db8::1]:81"}, "http://[2001:db8::1]:81/"),
    ({"host": "evil.example/path"}, "http://back:8000/"),
    ({"host": "user@evil.example"}, "http://back:8000/"),
    ({"host": ""}, "http://back:8000/"),
    ({"host": "shop.example", "port": "81"}, "http://shop.example:81/"),
    ({"host": "shop.example", "port": "80"}, "http://shop.example/"),
    ({"host": "shop.example", "port": "443", "proto": "https"}, "https://shop.example/"),
    ({"host": "shop.example", "port": "80", "proto": "https"}, "https://shop.example:80/"),
    ({"host": "shop.example:82", "port": "81"}, "http://shop.example:82/"),
    ({"host": "[::1]", "port": "81"}, "http://[::1]:81/"),
    ({"host": "shop.example", "port": "0"}, "http://shop.example/"),
    ({"host": "shop.example", "port": "65536"}, "http://shop.example/"),
    ({"host": "shop.example", "port": "8¹"}, "http://shop.example/"),
    ({"host": "shop.example", "port": "9" * 5000}, "http://shop.example/"),
    ({"host": "shop.example", "port": "81, x"}, "http://shop.example/"),
    # As far from the right as the client is
    ({"for": "1.1.1.1, 10.0.0.1", "proto": "https, http"}, "https://back:8000/"),
    ({"for": "1.1.1.1, 10.0.0.1", "proto": "http, https, http"}, "https://back:8000/"),
    ({"for": "1.1.1.1, 10.0.0.1", "proto": "https"}, "https://back:8000/"),
    ({"for": "10.0.0.2", "proto": "https, http"}, "http://back:8000/"),
    ({"for": "1.1.1.1, 10.0.0.1", "host": "a.example, b.example"}, "http://a.example/"),
]


@pytest.mark.parametrize(("values", "url"), URLS)
def test_scheme_host_and_port_are_the_clients(
    connect: Connect, values: dict[str, str], url: str
) -> None:
    raw = [(f"x-forwarded-{name}", value.encode("latin-1")) for name, value in values.items()]
    client = connect(app_of(trusted=PROXIES, headers=ALL))
    response = client.get("/", headers=[("host", "back:8000"), *raw])  # type: ignore[arg-type]
    assert response.json()[1] == url


def test_only_the_headers_that_the_proxy_sets_are_believed(connect: Connect) -> None:
    headers = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-port": "81",
        "forwarded": "for=6.6.6.6;host=evil.example",
    }
    assert believed(connect, app_of(), headers) == (["127.0.0.1", 50000], "http://back:8000/")
    only_proto = app_of(headers=["X-Forwarded-Proto"])
    assert believed(connect, only_proto, FORWARDED) == (
        ["127.0.0.1", 50000],
        "https://back:8000/",
    )


@pytest.mark.parametrize(
    ("scheme", "proto", "seen"),
    [("ws", "https", "wss"), ("ws", "wss", "wss"), ("wss", "http", "ws"), ("ws", "ws", "ws")],
)
def test_a_websocket_keeps_its_kind_of_scheme(
    connect: Connect, scheme: str, proto: str, seen: str
) -> None:
    url = believed(connect, app_of(scheme=scheme), {"x-forwarded-proto": proto})[1]
    assert url == f"{seen}://back:8000/"


# --- Forwarded ----------------------------------------------------------------------------

LINES: list[tuple[str, Any, str]] = [
    ("for=203.0.113.9", ["203.0.113.9", 0], "http://back:8000/"),
    (
        'For="[2001:db8::9]:4711";PROTO=https;Host=shop.example;by=_x',
        ["2001:db8::9", 4711],
        "https://shop.example/",
    ),
    ('for="203.0.113.9:80" ; proto="htt\\ps"', ["203.0.113.9", 80], "https://back:8000/"),
    (
        "for=6.6.6.6, for=203.0.113.9;proto=https, for=10.0.0.1;proto=http",
        ["203.0.113.9", 0],
        "https://back:8000/",
    ),
    ("for=6.6.6.6;proto=https,for=203.0.113.9", ["203.0.113.9", 0], "http://back:8000/"),
    ('for=_hidden;host="shop.example:81"', ["127.0.0.1", 50000], "http://shop.example:81/"),
    ("proto=https", ["127.0.0.1", 50000], "https://back:8000/"),
    ('for=203.0.113.9;ext="a,b;c";proto=https', ["203.0.113.9", 0], "https://back:8000/"),
    ("for=6.6.6.6;host=evil.example, for=203.0.113.9", ["203.0.113.9", 0], "http://back:8000/"),
]


@pytest.mark.parametrize(("value", "client", "url"), LINES)
def test_forwarded_tells_it_all_at_once(
    connect: Connect, value: str, client: Any, url: str
) -> None:
    app = app_of(trusted=PROXIES, headers="forwarded")
    assert believed(connect, app, {"forwarded": value}) == (client, url)


@pytest.mark.parametrize(
    "prefix",
    [
        'for="',
        'for=6.6.6.6, for="x',
        'for=6.6.6.6, "',
        '"\\',
        "for=6.6.6.6; =",
        "for",
        "for =6.6.6.6",
        "for= 6.6.6.6",
        "for=2001:db8::1",
        "for=a b",
        "for=(x)",
    ],
)
def test_nothing_that_a_client_wrote_before_it_changes_what_the_proxy_says(
    connect: Connect, prefix: str
) -> None:
    app = app_of(headers="forwarded")
    for line in ("for=203.0.113.9;proto=https", 'proto=https;for="[2001:db8::9]:1"'):
        client, url = believed(connect, app, {"forwarded": f"{prefix}, {line}"})
        # A header that is malformed anywhere says nothing; never what the client made up.
        assert (client, url) == (["127.0.0.1", 50000], "http://back:8000/")


def is_foreign(address: IPv4Address | IPv6Address) -> bool:
    return address not in ip_network("10.0.0.0/8") and str(address) != "127.0.0.1"


texts = st.text(string.printable.strip() + " ")
proxies = st.ip_addresses(v=4, network="10.0.0.0/8").map(str)


@given(
    forged=st.lists(st.ip_addresses().map(str) | texts, max_size=5),
    client=st.ip_addresses(v=4).filter(is_foreign).map(str),
    hops=st.lists(proxies, max_size=5),
)
def test_no_forged_part_ever_counts(forged: list[str], client: str, hops: list[str]) -> None:
    members = ", ".join([*forged, client, *hops]).split(", ")
    found = ProxyHeadersMiddleware(trusted=PROXIES)._find_client(members)
    assert found == (len(hops), (client, 0))


@given(st.lists(st.tuples(st.sampled_from(["for", "proto", "host", "by"]), texts), min_size=1))
def test_forwarded_reads_back_what_is_quoted(pairs: list[tuple[str, str]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    told = _parse_forwarded(" , ".join(f"{name}={quoted(text)}" for name, text in pairs))
    assert told == {
        kind: [text if name == kind else "" for name, text in pairs]
        for kind in ("for", "proto", "host")
    }


@given(st.text(st.characters(max_codepoint=255)))
def test_any_forwarded_is_read_without_an_error(header: str) -> None:
    told = _parse_forwarded(header)
    assert len({len(members) for members in told.values()}) <= 1


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_is_taken_for_a_client_is_an_address(text: str) -> None:
    _, client = ProxyHeadersMiddleware()._find_client([text])
    assert client is None or str(ip_address(client[0])) == client[0]


# --- Slips --------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["*", "proxy.local", "10.0.0.1/8", "", "10.0.0"])
def test_what_is_no_network_is_refused_at_once(peer: str) -> None:
    with pytest.raises(ValueError, match=r"trusted=\.\.\.\): .*write '10\.0\.0\.1'"):
        ProxyHeadersMiddleware(trusted=[peer])


@pytest.mark.parametrize("headers", [["x-real-ip"], ["forwarded", "x-forwarded-for"]])
def test_another_choice_of_headers_is_refused_at_once(headers: list[str]) -> None:
    with pytest.raises(ValueError, match="'forwarded' alone, or some of x-forwarded-for"):
        ProxyHeadersMiddleware(headers=headers)
