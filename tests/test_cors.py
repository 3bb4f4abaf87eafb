"""CORS: what another site's scripts may read, and what a preflight is told (Fetch, 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microweb import App, CORSMiddleware, HTTPException, Request
from microweb.testing import TestClient

from .conftest import Connect

SHOP = "https://shop.example"
POLICY: dict[str, Any] = {"origins": [SHOP, "http://localhost:3000"]}


def app_of(**policy: Any) -> App:
    app = App()
    app.middleware(CORSMiddleware(**policy))

    @app.get("/")
    def home(request: Request) -> str:
        return "hello"

    @app.put("/")
    async def put(request: Request) -> str:
        return "put"

    @app.get("/refused")
    async def refused(request: Request) -> None:
        raise HTTPException(401, headers={"vary": "Authorization"})

    @app.get("/stream")
    def stream(request: Request) -> Iterator[str]:
        yield "streamed"

    @app.get("/crash")
    def crash(request: Request) -> None:
        raise ZeroDivisionError

    return app


def preflight(
    client: TestClient, origin: str = SHOP, method: str = "PUT", headers: str | None = None
) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": method}
    if headers is not None:
        asked["access-control-request-headers"] = headers
    return client.options("/", headers=asked)


def cors_of(response: httpx.Response) -> dict[str, str]:
    """What the response says about origins, in short."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


# --- A script reads a response ------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/stream", "/nowhere"])
def test_an_allowed_origin_may_read_every_response(connect: Connect, path: str) -> None:
    response = connect(app_of(**POLICY)).get(path, headers={"origin": SHOP})
    assert cors_of(response)["allow-origin"] == SHOP
    assert cors_of(response)["vary"].endswith("Origin")


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://www.shop.example",
        "https://SHOP.example",
        "https://shop.example/",
        "null",
        "*",
        "",
    ],
)
def test_no_other_origin_may(connect: Connect, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    response = connect(app_of(**POLICY)).get("/", headers=headers)
    # The answer to a foreign origin differs from that to others: a cache must know.
    assert (response.text, cors_of(response)) == ("hello", {"vary": "Origin"})


def test_two_origins_are_none(connect: Connect) -> None:
    headers = [("origin", SHOP), ("origin", SHOP)]
    assert cors_of(connect(app_of(**POLICY)).get("/", headers=headers)) == {"vary": "Origin"}


def test_everybody_is_the_same_for_all_and_needs_no_vary(connect: Connect) -> None:
    client = connect(app_of(origins="*"))
    for headers in ({}, {"origin": SHOP}, {"origin": "null"}):
        assert cors_of(client.get("/", headers=headers)) == {"allow-origin": "*"}


def test_credentials_and_exposed_headers(connect: Connect) -> None:
    client = connect(app_of(**POLICY, credentials=True, expose=["x-total", "etag"]))
    assert cors_of(client.get("/", headers={"origin": SHOP})) == {
        "allow-origin": SHOP,
        "allow-credentials": "true",
        "expose-headers": "x-total, etag",
        "vary": "Origin",
    }
    assert cors_of(client.get("/", headers={"origin": "https://evil.example"})) == {
        "vary": "Origin"
    }


def test_an_error_response_can_be_read_too_and_keeps_its_vary(connect: Connect) -> None:
    response = connect(app_of(**POLICY)).get("/refused", headers={"origin": SHOP})
    assert response.status_code == 401
    assert cors_of(response) == {"allow-origin": SHOP, "vary": "accept, Authorization, Origin"}


def test_the_500_of_an_unexpected_error_cannot(connect: Connect) -> None:
    response = connect(app_of(**POLICY)).get("/crash", headers={"origin": SHOP})
    assert (response.status_code, cors_of(response)) == (500, {"vary": "accept"})


# --- Wildcards ----------------------------------------------------------------------------

SUBDOMAINS = {"origins": ["https://*.shop.example", "http://*.local:3000"]}


@pytest.mark.parametrize(
    "origin", ["https://a.shop.example", "https://a-1.b.shop.example", "http://x.local:3000"]
)
def test_a_wildcard_allows_subdomains(connect: Connect, origin: str) -> None:
    response = connect(app_of(**SUBDOMAINS)).get("/", headers={"origin": origin})
    assert cors_of(response)["allow-origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://.shop.example",
        "https://a..shop.example",
        "https://ashop.example",
        "http://a.shop.example",
        "https://a.shop.example:8443",
        "https://a.shop.example.evil",
        "https://evil.example/.shop.example",
        "https://evil.example#.shop.example",
        "https://evil.example:1@a.shop.example",
        "https://a b.shop.example",
        "http://x.local",
    ],
)
def test_a_wildcard_allows_nothing_else(connect: Connect, origin: str) -> None:
    response = connect(app_of(**SUBDOMAINS)).get("/", headers={"origin": origin})
    assert cors_of(response) == {"vary": "Origin"}


LAYER = CORSMiddleware(origins=["https://*.shop.example"])


@given(st.text(st.sampled_from("abz019.-_:/@#?\\ \t*"), max_size=20))
def test_what_a_wildcard_stands_for_is_labels(middle: str) -> None:
    allowed = LAYER._allows(f"https://{middle}shop.example")
    labels = middle.split(".")
    assert allowed == (
        len(labels) > 1
        and labels[-1] == ""
        and all(label and set(label) <= set("abz019-_") for label in labels[:-1])
    )


# --- Preflights ---------------------------------------------------------------------------


def test_a_preflight_is_answered_with_the_policy(connect: Connect) -> None:
    policy = {**POLICY, "methods": ["get", "PUT"], "headers": ["X-Token", "content-type"]}
    response = preflight(connect(app_of(**policy, credentials=True, expose=["x-total"])))
    assert (response.status_code, response.content) == (204, b"")
    assert cors_of(response) == {
        "allow-origin": SHOP,
        "allow-credentials": "true",
        "allow-methods": "GET, PUT",
        "allow-headers": "X-Token, content-type",
        "max-age": "600",
        "vary": "Origin",
    }


def test_what_is_not_allowed_is_not_listed_and_the_browser_refuses_it(connect: Connect) -> None:
    response = preflight(connect(app_of(**POLICY)), method="DELETE", headers="x-token")
    assert response.status_code == 204
    assert cors_of(response) == {
        "allow-origin": SHOP,
        "allow-methods": "GET, HEAD, POST",
        "max-age": "600",
        "vary": "Origin",
    }


def test_a_preflight_of_a_foreign_origin_is_told_nothing(connect: Connect) -> None:
    response = preflight(connect(app_of(**POLICY)), origin="https://evil.example")
    assert (response.status_code, cors_of(response)) == (204, {"vary": "Origin"})


def test_any_header_means_those_asked_for(connect: Connect) -> None:
    client = connect(app_of(origins="*", headers="*", max_age=60))
    response = preflight(client, headers='authorization,x-token , a b,"quoted",')
    assert cors_of(response) == {
        "allow-origin": "*",
        "allow-methods": "GET, HEAD, POST",
        "allow-headers": "authorization, x-token",
        "max-age": "60",
    }
    assert "allow-headers" not in cors_of(preflight(client))


def test_no_preflight_reaches_a_handler_and_nothing_else_is_one(connect: Connect) -> None:
    app = app_of(**POLICY)

    @app.route("/", methods=["OPTIONS"])
    def options(request: Request) -> str:
        return "my own"

    client = connect(app)
    assert preflight(client).text == ""
    assert client.options("/", headers={"origin": SHOP}).text == "my own"
    asking = {"access-control-request-method": "PUT"}
    assert client.options("/", headers=asking).text == "my own"
    assert client.put("/", headers={"origin": SHOP, **asking}).text == "put"


# --- Slips --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example/",
        "https://shop.example/path",
        "shop.example",
        "HTTPS://shop.example",
        "https://Shop.example",
        "https://*",
        "https://shop.*",
        "https://*shop.example",
        "https://user@shop.example",
        "https://shop.example:99999",
        "null",
        "",
    ],
)
def test_what_is_no_origin_is_refused_at_once(origin: str) -> None:
    with pytest.raises(ValueError, match=r"is no origin; write it like 'https://shop\.example'"):
        CORSMiddleware(origins=[origin])


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ({"origins": "*", "credentials": True}, "every site could act as your users"),
        ({"origins": [SHOP, "*"], "credentials": True}, "every site could act as your users"),
        ({"origins": SHOP, "credentials": True, "expose": "*"}, "name the headers"),
        ({"origins": SHOP, "methods": ["GET, PUT"]}, "'GET, PUT' is no token"),
        ({"origins": SHOP, "headers": ["x-a: b"]}, "'x-a: b' is no token"),
        ({"origins": SHOP, "expose": ["x-a\r\nx-b"]}, "is no token"),
    ],
)
def test_an_impossible_policy_is_refused_at_once(policy: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CORSMiddleware(**policy)
