"""Trusted hosts: which Host a site answers to, and the grammar of the header itself."""

from __future__ import annotations

import string
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, ProxyHeadersMiddleware, Request, TrustedHostMiddleware
from microweb.model.host import Host, parse_host

from .conftest import Connect, steps

HOSTS = ["shop.example", "*.shop.example", "[2001:db8::1]", "127.0.0.1", "xn--bcher-kva.example"]


def app_of(*layers: object) -> App:
    app = App()
    for layer in layers:
        app.middleware(layer)  # type: ignore[type-var]
    app.get("/")(lambda request: request.url)
    return app


@pytest.mark.parametrize(
    "host",
    [
        "shop.example",
        "shop.example:8000",
        "SHOP.Example",
        "www.shop.example",
        "a.b-c.shop.example:1",
        "my_app.shop.example",
        "[2001:db8::1]",
        "[2001:DB8:0::1]:8000",
        "127.0.0.1:65535",
        "xn--bcher-kva.example",
    ],
)
def test_a_host_of_the_list_is_served(connect: Connect, host: str) -> None:
    client = connect(app_of(TrustedHostMiddleware(HOSTS)))
    response = client.get("/", headers={"host": host})
    assert (response.status_code, response.text) == (200, f"http://{host}/")


NO_HOSTS = [
    "",
    " ",
    ".",
    ":",
    ":80",
    "shop.example:",
    "shop.example:x",
    "shop.example:65536",
    "shop.example:000080",
    "shop.example:80:80",
    "shop.example.",
    ".shop.example",
    "a..shop.example",
    "-a.shop.example",
    "a-.shop.example",
    "*.shop.example",
    "evil@www.shop.example",
    "evil/www.shop.example",
    "evil#www.shop.example",
    "evil\\www.shop.example",
    "evil www.shop.example",
    "shop.example, shop.example",
    "bücher.shop.example",
    "2001:db8::1",
    "[2001:db8::1",
    "[2001:db8::1]x",
    "[2001:db8::1%eth0]",
    "[127.0.0.1]",
    "[]",
    "[:]",
    "a" * 300 + ".shop.example",
]
FOREIGN = ["evil.example", "ashop.example", "shop.example.evil", "[::1]", "127.0.0.2", "localhost"]


@pytest.mark.parametrize("host", NO_HOSTS + FOREIGN)
def test_any_other_host_is_refused(connect: Connect, host: str) -> None:
    client = connect(app_of(TrustedHostMiddleware(HOSTS)))
    response = client.get("/", headers=[(b"host", host.encode("latin-1"))])
    assert response.status_code == 400
    assert "Host" in response.text
    assert "evil" not in response.text


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_malformed_host_is_refused_even_where_all_are_served(connect: Connect, host: str) -> None:
    client = connect(app_of(TrustedHostMiddleware("*")))
    response = client.get("/", headers=[(b"host", host.encode("latin-1"))])
    assert response.status_code == 400
    for good in FOREIGN:
        assert client.get("/", headers={"host": good}).status_code == 200


def test_no_host_and_two_hosts_are_refused(connect: Connect) -> None:
    client = connect(app_of(TrustedHostMiddleware("*")))
    request = client.build_request("GET", "/")
    del request.headers["host"]
    assert client.send(request).status_code == 400
    twice = [("host", "shop.example"), ("host", "shop.example")]
    assert client.get("/", headers=twice).status_code == 400


def test_an_exception_handler_may_answer(connect: Connect) -> None:
    app = app_of(TrustedHostMiddleware("shop.example"))

    @app.exception_handler(400)
    def wrong(request: Request, error: Exception) -> str:
        return "not here"

    response = connect(app).get("/", headers={"host": "evil.example"})
    assert (response.status_code, response.text) == (400, "not here")


def test_behind_a_proxy_the_host_that_it_names_counts(connect: Connect) -> None:
    proxy = ProxyHeadersMiddleware(headers=["x-forwarded-host"])
    client = connect(app_of(proxy, TrustedHostMiddleware("shop.example")))
    for forwarded, status in (("shop.example", 200), ("evil.example", 400)):
        headers = {"host": "backend.local", "x-forwarded-host": forwarded}
        assert client.get("/", headers=headers).status_code == status


@pytest.mark.parametrize(
    "host",
    ["shop.example:80", "https://shop.example", "shop.example/", "::1", "*.", "*.*.a", "ü.a", ""],
)
def test_what_is_no_host_is_refused_at_once(host: str) -> None:
    with pytest.raises(ValueError, match=r"is no host; write 'shop\.example'"):
        TrustedHostMiddleware([host])


@given(st.text(st.sampled_from(string.ascii_letters + string.digits + ".-_:[]%@/ \tµÿ")))
def test_what_parses_is_a_host_and_says_the_same_again(text: str) -> None:
    host = parse_host(text)
    if host is not None:
        written = host.name if host.port is None else f"{host.name}:{host.port}"
        assert parse_host(written) == host
        assert set(host.name) <= set(string.ascii_lowercase + string.digits + ".-_:[]")
        assert len(written) <= len(text)


@given(st.ip_addresses(v=6), st.integers(0, 65535))
def test_every_address_parses_in_all_its_spellings(address: IPv6Address, port: int) -> None:
    for spelling in (str(address), address.exploded, address.exploded.upper()):
        assert parse_host(f"[{spelling}]:{port}") == Host(f"[{address}]", port)


@pytest.mark.parametrize("piece", ["a", "-", ".", "a.", "a-", ":", "[", "0:"])
def test_a_long_host_is_refused_without_work(piece: str) -> None:
    parse_host("x")
    assert steps(lambda: parse_host(piece * 100_000)) == steps(lambda: parse_host(piece * 1_000))
