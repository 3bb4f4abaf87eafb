"""The validator itself: for each rule a breach that it catches, and good calls that it lets by."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import pytest

from .asgi_validator import (
    HEAD_RULES,
    HOP_BY_HOP,
    MESSAGE_FORMS,
    PROTOCOLS,
    SAYING_RULES,
    SCOPES,
    ASGIApp,
    ASGIViolation,
    Message,
    Receive,
    Scope,
    Send,
    validator,
)

ASGI = {"version": "3.0", "spec_version": "2.4"}
HTTP: Scope = {
    "type": "http",
    "asgi": ASGI,
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/caf\u00e9",
    "raw_path": b"/caf%C3%A9",
    "query_string": b"a=1",
    "root_path": "",
    "headers": [(b"host", b"example.org"), (b"cookie", b"a=1"), (b"cookie", b"b=2")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 80),
}
WEBSOCKET: Scope = {
    "type": "websocket",
    "asgi": ASGI,
    "path": "/chat",
    "headers": [(b"host", b"example.org")],
    "subprotocols": ["chat"],
}
LIFESPAN: Scope = {"type": "lifespan", "asgi": ASGI, "state": {}}

REQUEST: Message = {"type": "http.request"}
MORE: Message = {"type": "http.request", "body": b"ab", "more_body": True}
GONE: Message = {"type": "http.disconnect"}
CONNECT: Message = {"type": "websocket.connect"}
LOST: Message = {"type": "websocket.disconnect", "code": 1006}
CLOSE: Message = {"type": "websocket.close"}
ACCEPT: Message = {"type": "websocket.accept"}
HEARD: Message = {"type": "websocket.receive", "text": "hello"}
SAID: Message = {"type": "websocket.send", "text": "hello"}
STARTUP: Message = {"type": "lifespan.startup"}
STARTED: Message = {"type": "lifespan.startup.complete"}
START_FAILED: Message = {"type": "lifespan.startup.failed", "message": "no database"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}

TEXT = (b"content-type", b"text/plain")


def start(status: object = 200, *headers: object, **more: object) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: object = b"", **more: object) -> Message:
    return {"type": "http.response.body", "body": data, **more}


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


def denial(message: Message) -> Message:
    return {**message, "type": f"websocket.{message['type']}"}


OK = start(200, TEXT)
PART = body(b"ab", more_body=True)
END = body()


class Server:
    """Says `incoming` one by one, then waits for ever; keeps what is sent to it."""

    def __init__(self, *incoming: Any) -> None:
        self.incoming = list(incoming)
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        if not self.incoming:
            await asyncio.Event().wait()
        message: Message = self.incoming.pop(0)
        return message

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.sent.append(message)


def scope_with(base: Scope, **changes: Any) -> Scope:
    return {**base, **changes}


def scope_without(base: Scope, *keys: str) -> Scope:
    return {key: value for key, value in base.items() if key not in keys}


def call(app: ASGIApp, scope: Scope, *incoming: Any) -> list[Message]:
    server = Server(*incoming)

    async def main() -> None:
        async with asyncio.timeout(5):
            await validator(app)(scope, server.receive, server.send)

    asyncio.run(main())
    return server.sent


def violation(app: ASGIApp, scope: Scope, *incoming: Any) -> ASGIViolation:
    with pytest.raises(ASGIViolation) as caught:
        call(app, scope, *incoming)
    return caught.value


RECEIVE = object()


def script(*steps: Any) -> ASGIApp:
    """An application that receives where RECEIVE stands, and sends everything else."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in steps:
            if step is RECEIVE:
                await receive()
            else:
                await send(step)

    return app


def read_all(*answer: Message) -> ASGIApp:
    """An application that answers when the request's body has been read, or the client left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        while message.get("more_body", False):
            message = await receive()
        for reply in answer:
            await send(reply)

    return app


async def untouched(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("the application was called")


# --- The server's breaches ----------------------------------------------------------------

BAD_SCOPES = [
    *[(scope_without(HTTP, key), f"scope has no '{key}'") for key in SCOPES["http"].required],
    *[
        (scope_without(WEBSOCKET, key), f"scope has no '{key}'")
        for key in SCOPES["websocket"].required
    ],
    (scope_without(HTTP, "type"), "scope has no 'type'"),
    (scope_without(LIFESPAN, "asgi"), "scope has no 'asgi'"),
    (scope_with(HTTP, type=b"http"), "'type'"),
    (scope_with(HTTP, asgi={}), "'asgi'"),
    (scope_with(HTTP, asgi={"version": 3}), "'asgi'"),
    (scope_with(HTTP, asgi={"version": "3.0", "spec_version": 2.4}), "'asgi'"),
    ({**HTTP, 1: 2}, "a key that is not a str"),
    (type("Odd", (dict,), {})(HTTP), "not a plain dict"),
    (scope_with(HTTP, http_version="HTTP/1.1"), "'http_version'"),
    (scope_with(HTTP, method="get"), "'method'"),
    (scope_with(HTTP, method=b"GET"), "'method'"),
    (scope_with(HTTP, method=""), "'method'"),
    (scope_with(HTTP, scheme=""), "'scheme'"),
    (scope_with(HTTP, path="caf\u00e9"), "'path'"),
    (scope_with(HTTP, path=b"/"), "'path'"),
    (scope_with(HTTP, raw_path="/"), "'raw_path'"),
    (scope_with(HTTP, raw_path=b"/?a=1"), "'raw_path'"),
    (scope_with(HTTP, query_string="a=1"), "'query_string'"),
    (scope_with(HTTP, query_string=None), "'query_string'"),
    (scope_with(HTTP, root_path=b""), "'root_path'"),
    (scope_with(HTTP, root_path="mount"), "'root_path'"),
    (scope_with(HTTP, root_path="/"), "'root_path'"),
    (scope_with(HTTP, client=("127.0.0.1", "50000")), "'client'"),
    (scope_with(HTTP, client=("127.0.0.1", None)), "'client'"),
    (scope_with(HTTP, client="127.0.0.1"), "'client'"),
    (scope_with(HTTP, server=("127.0.0.1",)), "'server'"),
    (scope_with(HTTP, server=(b"127.0.0.1", 80)), "'server'"),
    (scope_with(HTTP, state=[]), "'state'"),
    (scope_with(HTTP, state={1: 2}), "'state'"),
    (scope_with(LIFESPAN, state=None), "'state'"),
    (scope_with(HTTP, extensions={"tls": None}), "'extensions'"),
    (scope_with(HTTP, headers={b"host": b"a"}), "'headers'"),
    (scope_with(HTTP, headers=None), "'headers'"),
    (scope_with(HTTP, headers=iter([])), "read more than once"),
    (scope_with(HTTP, headers=[b"ab"]), "is not a pair"),
    (scope_with(HTTP, headers=[(b"a", b"b", b"c")]), "is not a pair"),
    (scope_with(HTTP, headers=[("host", "a")]), "is not a pair of bytes"),
    (scope_with(HTTP, headers=[(b"Host", b"a")]), "lower-case token"),
    (scope_with(HTTP, headers=[(b":authority", b"a")]), "lower-case token"),
    (scope_with(HTTP, headers=[(b"a", b"b\r\nc: d")]), "control character"),
    (scope_with(WEBSOCKET, http_version="1.0"), "'http_version'"),
    (scope_with(WEBSOCKET, query_string=""), "'query_string'"),
    (scope_with(WEBSOCKET, subprotocols="chat"), "'subprotocols'"),
    (scope_with(WEBSOCKET, subprotocols=[b"chat"]), "'subprotocols'"),
    (scope_with(WEBSOCKET, headers=[(b"Host", b"a")]), "lower-case token"),
]


@pytest.mark.parametrize(("scope", "what"), BAD_SCOPES)
def test_a_bad_scope_is_the_servers_and_the_application_is_not_called(
    scope: Scope, what: str
) -> None:
    caught = violation(untouched, scope)
    assert caught.side == "server"
    assert what in str(caught)


@pytest.mark.parametrize(
    ("scope", "incoming", "what"),
    [
        (HTTP, [None], "not a plain dict"),
        (HTTP, [[("type", "http.request")]], "not a plain dict"),
        (HTTP, [{}], "without a type"),
        (HTTP, [{"type": b"http.request"}], "type is no str"),
        (HTTP, [{"type": "http.request", b"body": b""}], "a key that is not a str"),
        (HTTP, [{"type": "http.request", "body": "text"}], "'body'"),
        (HTTP, [{"type": "http.request", "body": bytearray(b"a")}], "'body'"),
        (HTTP, [{"type": "http.request", "body": None}], "'body'"),
        (HTTP, [{"type": "http.request", "more_body": 1}], "'more_body'"),
        (HTTP, [{"type": "http.request", "more": True}], "unknown keys ['more']"),
        (HTTP, [{"type": "http.response.body"}], "not known here"),
        (HTTP, [CONNECT], "not known here"),
        (HTTP, [REQUEST, {"type": "http.request", "body": b"more"}], "out of order"),
        (HTTP, [REQUEST, MORE], "out of order"),
        (HTTP, [GONE, REQUEST], "out of order"),
        (HTTP, [REQUEST, GONE, REQUEST], "out of order"),
        (HTTP, [{"type": "http.disconnect", "code": 1}], "unknown keys ['code']"),
        (WEBSOCKET, [LOST], "out of order"),
        (WEBSOCKET, [CONNECT, CONNECT], "out of order"),
        (WEBSOCKET, [CONNECT, {"type": "websocket.disconnect"}], "has no 'code'"),
        (WEBSOCKET, [CONNECT, {**LOST, "code": "1006"}], "'code'"),
        (WEBSOCKET, [CONNECT, {**LOST, "reason": b""}], "'reason'"),
        (WEBSOCKET, [REQUEST], "not known here"),
        (WEBSOCKET, [CONNECT, HEARD], "out of order"),
        (WEBSOCKET, [CONNECT, LOST, HEARD], "out of order"),
        (LIFESPAN, [SHUTDOWN], "out of order"),
        (LIFESPAN, [STARTUP, STARTUP], "out of order"),
        (LIFESPAN, [STARTUP, SHUTDOWN], "out of order"),
        (LIFESPAN, [{**STARTUP, "state": {}}], "unknown keys ['state']"),
    ],
)
def test_a_bad_message_from_the_server(scope: Scope, incoming: list[Any], what: str) -> None:
    caught = violation(script(*[RECEIVE] * len(incoming)), scope, *incoming)
    assert caught.side == "server"
    assert what in str(caught)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((HTTP,), {}),
        ((HTTP, 1, 2, 3), {}),
        ((HTTP,), {"receive": 1, "send": 2}),
        ((HTTP, 1, 2), {"more": 3}),
    ],
)
def test_another_call_than_by_three_positions_is_a_type_error_at_once(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    app: Any = validator(untouched)
    assert inspect.iscoroutinefunction(app)
    with pytest.raises(TypeError, match="checked"):
        app(*args, **kwargs)


@pytest.mark.parametrize("step", [RECEIVE, OK])
def test_what_the_server_passes_must_give_awaitables(step: object) -> None:
    def plain(*args: object) -> Any:
        return REQUEST

    call: Coroutine[Any, Any, None] = validator(script(step))(HTTP, plain, plain)  # type: ignore[assignment]
    with pytest.raises(ASGIViolation, match=r"server side: .* not an awaitable"):
        asyncio.run(call)


# --- The application's breaches -----------------------------------------------------------

HEAD = scope_with(HTTP, method="HEAD")
OFFERING = scope_with(HTTP, extensions={"http.response.pathsend": {}})
DENYING = scope_with(WEBSOCKET, extensions={"websocket.http.response": {}})
FILE: Message = {"type": "http.response.pathsend", "path": "/srv/file"}

BAD_STEPS: list[tuple[Scope, list[Any], str]] = [
    # The form of messages.
    (HTTP, [None], "not a plain dict"),
    (HTTP, [type("Odd", (dict,), {})(OK)], "not a plain dict"),
    (HTTP, [{"status": 200}], "without a type"),
    (HTTP, [{"type": 1}], "type is no str"),
    (HTTP, [{**OK, 1: 2}], "a key that is not a str"),
    (HTTP, [{"type": "http.response.begin"}], "not known here"),
    (HTTP, [REQUEST], "not known here"),
    (HTTP, [STARTED], "not known here"),
    (HTTP, [{"type": "http.response.start"}], "has no 'status'"),
    (HTTP, [start(200, TEXT, reason="OK")], "unknown keys ['reason']"),
    (HTTP, [start("200", TEXT)], "'status'"),
    (HTTP, [start(HTTPStatus.OK, TEXT)], "'status'"),
    (HTTP, [start(True, TEXT)], "'status'"),
    (HTTP, [start(99, TEXT)], "'status'"),
    (HTTP, [start(600, TEXT)], "'status'"),
    (HTTP, [OK, body("text")], "'body'"),
    (HTTP, [OK, body(bytearray(b"ab"))], "'body'"),
    (HTTP, [OK, body(None)], "'body'"),
    (HTTP, [OK, body(b"", more_body=0)], "'more_body'"),
    (HTTP, [OK, body(b"", last=True)], "unknown keys ['last']"),
    (HTTP, [OK, FILE], "does not offer"),
    (OFFERING, [OK, {**FILE, "path": "file"}], "'path'"),
    # The headers.
    (HTTP, [{**OK, "headers": {b"content-type": b"a"}}], "'headers'"),
    (HTTP, [{**OK, "headers": b"content-type"}], "'headers'"),
    (HTTP, [{**OK, "headers": None}], "'headers'"),
    (HTTP, [start(200, b"ab")], "is not a pair"),
    (HTTP, [start(200, (*TEXT, b"c"))], "is not a pair"),
    (HTTP, [start(200, ("content-type", "text/plain"))], "is not a pair of bytes"),
    (HTTP, [start(200, (b"content-type", bytearray(b"a")))], "is not a pair of bytes"),
    (HTTP, [start(200, (b"Content-Type", b"a"))], "lower-case token"),
    (HTTP, [start(200, TEXT, (b"", b"a"))], "lower-case token"),
    (HTTP, [start(200, TEXT, (b"a b", b"a"))], "lower-case token"),
    (HTTP, [start(200, TEXT, (b"a\n", b"a"))], "lower-case token"),
    (HTTP, [start(200, TEXT, (b":status", b"200"))], "lower-case token"),
    *[(HTTP, [start(200, TEXT, (b"a", b"b%cc" % bad))], "control character") for bad in b"\r\n\0"],
    (HTTP, [start(200, TEXT, (b"a", b"b\x1fc"))], "control character"),
    *[(HTTP, [start(200, TEXT, (name, b"a"))], "hop-by-hop") for name in sorted(HOP_BY_HOP)],
    (HTTP, [start(200, TEXT, length(1), length(1))], "more than one content-length"),
    (HTTP, [start(200, TEXT, TEXT)], "more than one content-type"),
    (HTTP, [start(200, TEXT, (b"content-length", b"-1"))], "not a run of digits"),
    (HTTP, [start(200, TEXT, (b"content-length", b""))], "not a run of digits"),
    (HTTP, [start(204, length(0))], "a status that forbids it"),
    (HTTP, [start(101, length(0))], "a status that forbids it"),
    (HTTP, [start(204, TEXT)], "a content-type with a status"),
    (HTTP, [start(304, TEXT)], "a content-type with a status"),
    (HTTP, [start(200)], "no content-type"),
    (HTTP, [{"type": "http.response.start", "status": 308}], "no content-type"),
    # The order.
    (HTTP, [END], "out of order"),
    (HTTP, [PART], "out of order"),
    (HTTP, [OK, OK], "out of order"),
    (HTTP, [OK, PART, OK], "out of order"),
    (HTTP, [OK, END, END], "out of order"),
    (HTTP, [OK, END, PART], "out of order"),
    (HTTP, [OK, END, OK], "out of order"),
    (OFFERING, [OK, PART, FILE], "out of order"),
    (OFFERING, [OK, FILE, END], "out of order"),
    (HTTP, [], "returned in the state 'new'"),
    (HTTP, [RECEIVE], "returned in the state 'new'"),
    (HTTP, [OK], "returned in the state 'started'"),
    (HTTP, [OK, PART], "returned in the state 'sending'"),
    (HTTP, [OK, END, RECEIVE], "receive() was called after"),
    # The body.
    (HTTP, [start(200, TEXT, length(3)), body(b"abcd")], "4 bytes were sent"),
    (HTTP, [start(200, TEXT, length(3)), PART, PART], "4 bytes were sent"),
    (HTTP, [start(200, TEXT, length(3)), body(b"ab")], "2 bytes were sent"),
    (HTTP, [start(200, TEXT, length(3)), PART, END], "2 bytes were sent"),
    (HEAD, [OK, body(b"a")], "a body was sent with HEAD"),
    (HEAD, [OK, PART], "a body was sent with HEAD"),
    (HTTP, [start(204), body(b"a")], "a body was sent"),
    (HTTP, [start(304), body(b"a")], "a body was sent"),
    (scope_with(OFFERING, method="HEAD"), [OK, FILE], "a body was sent with HEAD"),
    # A websocket, refused.
    (WEBSOCKET, [CLOSE], "out of order"),
    (WEBSOCKET, [RECEIVE, CLOSE, CLOSE], "out of order"),
    (WEBSOCKET, [RECEIVE, CLOSE, RECEIVE], "receive() was called after"),
    (WEBSOCKET, [RECEIVE, CLOSE, ACCEPT], "out of order"),
    (WEBSOCKET, [RECEIVE, {**CLOSE, "code": "1000"}], "'code'"),
    *[
        (WEBSOCKET, [RECEIVE, {**CLOSE, "code": code}], "'code'")
        for code in (403, 999, 1004, 1005, 1006, 1015, 2999, 5000, True)
    ],
    (WEBSOCKET, [RECEIVE, {**CLOSE, "reason": b"no"}], "'reason'"),
    (WEBSOCKET, [RECEIVE, {**CLOSE, "reason": "\u00e9" * 62}], "'reason'"),
    (WEBSOCKET, [RECEIVE, {**CLOSE, "status": 403}], "unknown keys ['status']"),
    (WEBSOCKET, [RECEIVE, OK], "not known here"),
    (WEBSOCKET, [RECEIVE], "returned in the state 'connecting'"),
    (WEBSOCKET, [], "returned in the state 'new'"),
    # Refused with a response.
    (WEBSOCKET, [RECEIVE, denial(OK)], "does not offer"),
    (DENYING, [RECEIVE, denial(start(101))], "'status'"),
    (DENYING, [RECEIVE, denial(start(403))], "no content-type"),
    (DENYING, [RECEIVE, denial(start(403, TEXT, TEXT))], "more than one content-type"),
    (DENYING, [RECEIVE, denial(OK)], "returned in the state 'refusing'"),
    (DENYING, [RECEIVE, denial(OK), denial(PART)], "returned in the state 'refusing'"),
    (DENYING, [RECEIVE, denial(END)], "out of order"),
    (DENYING, [RECEIVE, denial(OK), ACCEPT], "out of order"),
    (DENYING, [RECEIVE, denial(OK), CLOSE], "out of order"),
    (DENYING, [RECEIVE, denial(OK), denial(END), CLOSE], "out of order"),
    (DENYING, [RECEIVE, ACCEPT, denial(OK)], "out of order"),
    (DENYING, [denial(OK)], "out of order"),
    (DENYING, [RECEIVE, denial(start(403, TEXT, length(1))), denial(END)], "0 bytes were sent"),
    (DENYING, [RECEIVE, denial(start(204)), denial(body(b"a"))], "a body was sent"),
    # Accepted.
    (WEBSOCKET, [ACCEPT], "out of order"),
    (WEBSOCKET, [RECEIVE, ACCEPT, ACCEPT], "out of order"),
    (WEBSOCKET, [RECEIVE, SAID], "out of order"),
    (WEBSOCKET, [RECEIVE, ACCEPT, CLOSE, SAID], "out of order"),
    (WEBSOCKET, [RECEIVE, ACCEPT, CLOSE, CLOSE], "out of order"),
    (WEBSOCKET, [RECEIVE, ACCEPT, CLOSE, RECEIVE], "receive() was called after"),
    (WEBSOCKET, [RECEIVE, ACCEPT], "returned in the state 'open'"),
    (WEBSOCKET, [RECEIVE, ACCEPT, SAID], "returned in the state 'open'"),
    (WEBSOCKET, [RECEIVE, ACCEPT, HEARD], "not known here"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "subprotocol": "talk"}], "that was not offered"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "subprotocol": ""}], "'subprotocol'"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "subprotocol": b"chat"}], "'subprotocol'"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": {}}], "'headers'"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": [(b"A", b"b")]}], "lower-case token"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": [(b"a", b"\r\n")]}], "control character"),
    *[
        (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": [(name, b"a")]}], "the handshake's own")
        for name in (b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol")
    ],
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": [length(0)]}], "a 101 does not have"),
    (WEBSOCKET, [RECEIVE, {**ACCEPT, "headers": [TEXT]}], "a 101 does not have"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {"type": "websocket.send"}], "neither or both"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {**SAID, "bytes": b"hello"}], "neither or both"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {**SAID, "text": None, "bytes": None}], "neither or both"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {**SAID, "text": b"hello"}], "'text'"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {**SAID, "text": "\ud800"}], "'text'"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {"type": "websocket.send", "bytes": "a"}], "'bytes'"),
    (WEBSOCKET, [RECEIVE, ACCEPT, {**SAID, "more_body": True}], "unknown keys ['more_body']"),
    # The lifespan.
    (LIFESPAN, [], "returned in the state 'new'"),
    (LIFESPAN, [RECEIVE], "returned in the state 'starting'"),
    (LIFESPAN, [RECEIVE, STARTED], "returned in the state 'running'"),
    (LIFESPAN, [RECEIVE, STARTED, RECEIVE], "returned in the state 'stopping'"),
    (LIFESPAN, [STARTED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, STARTED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, START_FAILED], "out of order"),
    (LIFESPAN, [RECEIVE, START_FAILED, STARTED], "out of order"),
    (LIFESPAN, [RECEIVE, START_FAILED, RECEIVE], "receive() was called after"),
    (LIFESPAN, [RECEIVE, STOPPED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, STOPPED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, RECEIVE, STARTED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, RECEIVE, STOPPED, STOPPED], "out of order"),
    (LIFESPAN, [RECEIVE, STARTED, RECEIVE, STOPPED, RECEIVE], "receive() was called after"),
    (LIFESPAN, [RECEIVE, {**START_FAILED, "message": b"no"}], "'message'"),
    (LIFESPAN, [RECEIVE, {**STARTED, "message": "yes"}], "unknown keys ['message']"),
    (LIFESPAN, [RECEIVE, OK], "not known here"),
]

INCOMING = {"http": [REQUEST, GONE], "websocket": [CONNECT, LOST], "lifespan": [STARTUP, SHUTDOWN]}


@pytest.mark.parametrize(("scope", "steps", "what"), BAD_STEPS)
def test_a_breach_by_the_application(scope: Scope, steps: list[Any], what: str) -> None:
    caught = violation(script(*steps), scope, *INCOMING[scope["type"]])
    assert caught.side == "application"
    assert what in str(caught)
    assert caught.clause in str(caught)


@pytest.mark.parametrize(("scope", "steps", "what"), BAD_STEPS)
def test_a_breach_is_told_though_the_application_swallows_it(
    scope: Scope, steps: list[Any], what: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in steps:
            try:
                await script(step)(scope, receive, send)
            except Exception:
                return

    assert what in str(violation(app, scope, *INCOMING[scope["type"]]))


def test_every_rule_about_a_responses_head_has_its_breach_above() -> None:
    told = [what for _, _, what in BAD_STEPS]
    untold = [rule.words for rule in HEAD_RULES if not any(what in rule.words for what in told)]
    assert untold == []


def test_every_rule_about_what_a_websocket_says_has_its_breach_above() -> None:
    told = [what for _, _, what in BAD_STEPS]
    rules = {rule.words for rules in SAYING_RULES.values() for rule in rules}
    assert [words for words in rules if not any(what in words for what in told)] == []


@pytest.mark.parametrize("heard", [{"type": "websocket.receive"}, {**HEARD, "bytes": b"hello"}])
def test_a_message_that_the_server_passes_on_is_a_text_or_bytes(heard: Message) -> None:
    app = script(RECEIVE, ACCEPT, RECEIVE)
    caught = violation(app, WEBSOCKET, CONNECT, heard)
    assert (caught.side, "neither or both" in str(caught)) == ("server", True)


def test_every_message_has_a_place_in_the_order() -> None:
    placed = {
        said.split(",")[0]
        for protocol in PROTOCOLS.values()
        for track in protocol.tracks
        for _, said in track
    }
    assert placed == {name for _, name in MESSAGE_FORMS}


def plain_function(scope: Scope, receive: Receive, send: Send) -> Any:
    return None


def legacy(scope: Scope, receive: Receive, send: Send) -> Any:
    return plain_function


async def with_a_result(scope: Scope, receive: Receive, send: Send) -> Any:
    await script(OK, END)(scope, receive, send)
    return "done"


async def receive_with_argument(scope: Scope, receive: Any, send: Send) -> None:
    await receive(1)


async def send_by_keyword(scope: Scope, receive: Receive, send: Any) -> None:
    await send(message=OK)


async def send_two(scope: Scope, receive: Receive, send: Any) -> None:
    await send(OK, END)


async def two_receives(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.gather(receive(), receive())


async def two_sends(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.gather(send(OK), send(END))


async def two_sends_one_in_a_task(scope: Scope, receive: Receive, send: Send) -> None:
    await send(OK)
    task = asyncio.ensure_future(send(PART))
    await asyncio.sleep(0)
    with suppress(ASGIViolation):
        await send(END)
    await task


@pytest.mark.parametrize(
    ("app", "what"),
    [
        (plain_function, "the call gave None, not an awaitable"),
        (legacy, "not an awaitable"),
        (with_a_result, "returned 'done', not None"),
        (receive_with_argument, "receive() takes no argument"),
        (send_by_keyword, "send() takes exactly one message"),
        (send_two, "send() takes exactly one message"),
        (two_receives, "receive() was called before the last receive() was over"),
        (two_sends, "send() was called before the last send() was over"),
        (two_sends_one_in_a_task, "send() was called before the last send() was over"),
    ],
)
def test_a_breach_of_the_form_of_calls(app: ASGIApp, what: str) -> None:
    caught = violation(app, HTTP)
    assert caught.side == "application"
    assert what in str(caught)


def set_path(scope: Scope) -> None:
    scope["path"] = "/else"


def set_extra(scope: Scope) -> None:
    scope["app"] = object()


def delete_scheme(scope: Scope) -> None:
    del scope["scheme"]


def append_header(scope: Scope) -> None:
    scope["headers"].append((b"a", b"b"))


def change_header(scope: Scope) -> None:
    scope["headers"][0][1] = b"else.org"


def break_headers(scope: Scope) -> None:
    scope["headers"] = None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (set_path, "path"),
        (set_extra, "app"),
        (delete_scheme, "scheme"),
        (append_header, "headers"),
        (change_header, "headers"),
        (break_headers, "headers"),
    ],
)
@pytest.mark.parametrize("kind", ["http", "telepathy"])
def test_the_scope_is_not_the_applications_to_change(
    change: Callable[[Scope], None], key: str, kind: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        change(scope)
        if kind == "http":
            await script(OK, END)(scope, receive, send)

    scope = scope_with(HTTP, type=kind, headers=[[b"host", b"example.org"]])
    caught = violation(app, scope)
    assert caught.side == "application"
    assert f"the scope was changed at ['{key}']" in str(caught)


@pytest.mark.parametrize("said", [[STARTED], [START_FAILED], [STARTED, RECEIVE]])
def test_an_exception_after_the_answer_to_the_startup(said: list[Any]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(RECEIVE, *said)(scope, receive, send)
        raise LookupError("too late")

    caught = violation(app, LIFESPAN, STARTUP, SHUTDOWN)
    assert "raised LookupError('too late')" in str(caught)
    assert isinstance(caught.__cause__, LookupError)


# --- What is right ------------------------------------------------------------------------

GOOD: list[tuple[Scope, ASGIApp, list[Message], int]] = [
    (HTTP, script(OK, END), [], 2),
    (HTTP, script(OK, {"type": "http.response.body"}), [], 2),
    (HTTP, script(start(200, TEXT, length(4)), PART, PART, END), [], 4),
    (HTTP, script(start(200, list(TEXT), length(2)), body(b"ab")), [], 2),
    (HTTP, script(start(200, TEXT, (b"set-cookie", b"a"), (b"set-cookie", b"b")), END), [], 2),
    (HTTP, script(start(200, TEXT, (b"a", "\u00e9\tb".encode())), END), [], 2),
    (HTTP, script({**OK, "headers": (TEXT,)}, END), [], 2),
    (HTTP, script(OK, PART, PART, body(b"ab")), [], 4),
    (HTTP, script(start(599, TEXT), END), [], 2),
    (HTTP, script(start(204), END), [], 2),
    (HTTP, script(start(304, length(10)), END), [], 2),
    (HTTP, script({"type": "http.response.start", "status": 204}, END), [], 2),
    (HEAD, script(start(200, TEXT, length(10)), END), [], 2),
    (HEAD, script(OK, body(b"", more_body=True), END), [], 3),
    (HTTP, read_all(OK, END), [REQUEST], 2),
    (HTTP, read_all(OK, END), [MORE, MORE, REQUEST], 2),
    (HTTP, read_all(OK, END), [MORE, {"type": "http.request", "body": b"ab"}], 2),
    (HTTP, script(RECEIVE, RECEIVE, OK, END), [REQUEST, REQUEST], 2),
    (HTTP, read_all(), [GONE], 0),
    (HTTP, read_all(), [MORE, GONE], 0),
    (HTTP, read_all(OK, PART), [MORE, GONE], 2),
    (HTTP, script(OK, PART, RECEIVE, RECEIVE), [REQUEST, GONE], 2),
    (HTTP, script(OK, PART, RECEIVE, RECEIVE, RECEIVE), [GONE, GONE, GONE], 2),
    (OFFERING, script(start(200, TEXT, length(9)), FILE), [], 2),
    (scope_with(HTTP, path="*", method="OPTIONS", raw_path=b"*"), script(OK, END), [], 2),
    (scope_with(HTTP, path="", root_path="/mount"), script(OK, END), [], 2),
    (scope_with(HTTP, client=None, server=("/run/socket", None)), script(OK, END), [], 2),
    (scope_with(HTTP, client=["::1", 1], server=None, state={"a": 1}), script(OK, END), [], 2),
    (
        scope_without(HTTP, "scheme", "raw_path", "root_path", "client", "server"),
        script(OK, END),
        [],
        2,
    ),
    (scope_with(HTTP, asgi={"version": "3.0"}, headers=()), script(OK, END), [], 2),
    (scope_with(HTTP, headers=[(b"a", b"\x01\xff")], extra=1), script(OK, END), [], 2),
    (WEBSOCKET, script(RECEIVE, CLOSE), [CONNECT], 1),
    (WEBSOCKET, script(RECEIVE, {**CLOSE, "code": 1008, "reason": "no"}), [CONNECT], 1),
    (WEBSOCKET, script(RECEIVE, RECEIVE), [CONNECT, LOST], 0),
    (WEBSOCKET, script(RECEIVE, RECEIVE, CLOSE), [CONNECT, LOST], 1),
    (scope_with(WEBSOCKET, query_string=None), script(RECEIVE, CLOSE), [CONNECT], 1),
    (WEBSOCKET, script(RECEIVE, ACCEPT, CLOSE), [CONNECT], 2),
    (WEBSOCKET, script(RECEIVE, ACCEPT, SAID, SAID, CLOSE), [CONNECT], 4),
    (
        WEBSOCKET,
        script(RECEIVE, ACCEPT, {"type": "websocket.send", "bytes": b""}, CLOSE),
        [CONNECT],
        3,
    ),
    (WEBSOCKET, script(RECEIVE, ACCEPT, {**SAID, "bytes": None}, CLOSE), [CONNECT], 3),
    (WEBSOCKET, script(RECEIVE, {**ACCEPT, "subprotocol": "chat"}, CLOSE), [CONNECT], 2),
    (WEBSOCKET, script(RECEIVE, {**ACCEPT, "subprotocol": None}, CLOSE), [CONNECT], 2),
    (
        WEBSOCKET,
        script(
            RECEIVE, {**ACCEPT, "headers": [(b"set-cookie", b"a"), (b"set-cookie", b"b")]}, CLOSE
        ),
        [CONNECT],
        2,
    ),
    (WEBSOCKET, script(RECEIVE, ACCEPT, {**CLOSE, "code": 4999, "reason": None}), [CONNECT], 2),
    (WEBSOCKET, script(RECEIVE, ACCEPT, RECEIVE, RECEIVE), [CONNECT, HEARD, LOST], 1),
    (
        WEBSOCKET,
        script(RECEIVE, ACCEPT, RECEIVE, RECEIVE, SAID, CLOSE),
        [CONNECT, {"type": "websocket.receive", "bytes": b"a", "text": None}, LOST],
        3,
    ),
    (DENYING, script(RECEIVE, denial(start(403, TEXT)), denial(END)), [CONNECT], 2),
    (DENYING, script(RECEIVE, denial(OK), denial(PART), denial(END)), [CONNECT], 3),
    (DENYING, script(RECEIVE, denial(start(204)), denial(END)), [CONNECT], 2),
    (DENYING, script(RECEIVE, denial(OK), RECEIVE), [CONNECT, LOST], 1),
    (DENYING, script(RECEIVE, CLOSE), [CONNECT], 1),
    (LIFESPAN, script(RECEIVE, STARTED, RECEIVE, STOPPED), [STARTUP, SHUTDOWN], 2),
    (scope_without(LIFESPAN, "state"), script(RECEIVE, START_FAILED), [STARTUP], 1),
    (LIFESPAN, script(RECEIVE, {"type": "lifespan.startup.failed"}), [STARTUP], 1),
    (
        LIFESPAN,
        script(RECEIVE, STARTED, RECEIVE, {"type": "lifespan.shutdown.failed", "message": ""}),
        [STARTUP, SHUTDOWN],
        2,
    ),
    (scope_with(LIFESPAN, type="telepathy"), script(RECEIVE, {"a": 1}), [{"b": 2}], 1),
]


@pytest.mark.parametrize(("scope", "app", "incoming", "replies"), GOOD)
def test_a_good_call_passes(
    scope: Scope, app: ASGIApp, incoming: list[Message], replies: int
) -> None:
    assert len(call(app, scope, *incoming)) == replies


def test_headers_that_can_be_read_once_reach_the_server_whole() -> None:
    message = {**OK, "headers": iter([TEXT, length(2)])}
    sent = call(script(message, body(b"ab")), HTTP)
    assert list(sent[0]["headers"]) == [TEXT, length(2)]


def test_the_lifespans_state_is_the_applications() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["pool"] = 1
        await script(RECEIVE, STARTED, RECEIVE, STOPPED)(scope, receive, send)

    scope = scope_with(LIFESPAN, state={})
    call(app, scope, STARTUP, SHUTDOWN)
    assert scope["state"] == {"pool": 1}


def test_a_listener_may_wait_for_the_disconnect_while_the_response_is_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await script(OK, PART, END)(scope, receive, send)
        listener.cancel()

    assert call(app, HTTP, REQUEST) == [OK, PART, END]


def test_a_message_may_still_come_to_who_was_waiting_when_the_websocket_was_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(RECEIVE, ACCEPT)(scope, receive, send)
        closed = asyncio.Event()

        async def listen() -> Message:
            await closed.wait()
            return HEARD

        server.receive = listen  # type: ignore[method-assign]
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)  # it waits now
        await send(CLOSE)
        closed.set()
        assert await listener == HEARD

    server = Server(CONNECT)

    async def main() -> None:
        async with asyncio.timeout(5):
            await validator(app)(WEBSOCKET, lambda: server.receive(), server.send)

    asyncio.run(main())
    assert server.sent == [ACCEPT, CLOSE]


def test_a_cancelled_receive_may_be_called_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(receive(), 0.01)
        await script(OK, END)(scope, receive, send)

    assert call(app, HTTP) == [OK, END]


def test_a_send_to_a_client_that_has_left_may_fail_and_end_the_response() -> None:
    async def refuse(message: Message) -> None:
        raise ConnectionResetError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ConnectionResetError):
            await send(OK)

    asyncio.run(run_on(validator(app), HTTP, Server().receive, refuse))


# --- What it leaves alone -----------------------------------------------------------------


async def run_on(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


@pytest.mark.parametrize("scope", [HTTP, WEBSOCKET, LIFESPAN])
@pytest.mark.parametrize("error", [LookupError("no"), OSError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("steps", [[], [RECEIVE]])
def test_an_exception_passes_unchanged(
    scope: Scope, error: BaseException, steps: list[Any]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(*steps)(scope, receive, send)
        raise error

    def main() -> None:
        server = Server(*INCOMING[scope["type"]])
        coroutine: Any = validator(app)(scope, server.receive, server.send)
        coroutine.send(None)

    with pytest.raises(type(error)) as caught:
        main()
    assert caught.value is error


def test_an_exception_in_mid_body_passes_unchanged() -> None:
    error = LookupError("no")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(OK, PART)(scope, receive, send)
        raise error

    with pytest.raises(LookupError) as caught:
        call(app, HTTP)
    assert caught.value is error


def test_the_servers_own_exceptions_reach_the_application() -> None:
    error = LookupError("no")
    seen = []

    async def fail(*args: object) -> Any:
        raise error

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls: list[Callable[[], Awaitable[Any]]] = [receive, lambda: send(OK)]
        for each in calls:
            try:
                await each()
            except LookupError as caught:
                seen.append(caught)
        raise error

    with pytest.raises(LookupError):
        asyncio.run(run_on(validator(app), HTTP, fail, fail))
    assert seen == [error, error]


@pytest.mark.parametrize("scope", [HTTP, WEBSOCKET, LIFESPAN])
def test_a_cancellation_passes_unchanged(scope: Scope) -> None:
    arrived = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope is LIFESPAN:
            await script(RECEIVE, STARTED)(scope, receive, send)
        try:
            await receive()
        except asyncio.CancelledError as error:
            arrived.append(error.args)
            raise

    async def main() -> None:
        server = Server(*[STARTUP] * (scope is LIFESPAN))
        task = asyncio.ensure_future(validator(app)(scope, server.receive, server.send))
        await asyncio.sleep(0.01)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert arrived == [("enough",)]


def test_messages_and_scope_pass_as_they_are_when_they_come_without_a_loop() -> None:
    log: list[tuple[str, int]] = []
    scope = scope_with(HTTP)

    async def receive() -> Message:
        log.append(("received", id(REQUEST)))
        return REQUEST

    async def send(message: Message) -> None:
        log.append(("sent", id(message)))

    async def app(inner: Scope, receive: Receive, send: Send) -> None:
        assert inner is scope
        assert await receive() is REQUEST
        for message in OK, PART, END:
            log.append(("made", id(message)))
            await send(message)

    coroutine: Any = validator(app)(scope, receive, send)
    with pytest.raises(StopIteration) as returned:
        coroutine.send(None)  # nothing in here suspends, and no loop is needed
    assert returned.value.value is None
    sending = [(what, id(message)) for message in (OK, PART, END) for what in ("made", "sent")]
    assert log == [("received", id(REQUEST)), *sending]


def test_it_starts_no_task() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = asyncio.all_tasks()
        await receive()
        await send(OK)
        assert asyncio.all_tasks() == before == {asyncio.current_task()}
        await send(END)

    assert call(app, HTTP, REQUEST) == [OK, END]


def test_one_validator_serves_calls_side_by_side() -> None:
    checked = validator(script(RECEIVE, OK, PART, END))

    async def main() -> list[list[Message]]:
        servers = [Server(REQUEST) for _ in range(3)]
        calls = [run_on(checked, HTTP, server.receive, server.send) for server in servers]
        await asyncio.gather(*calls)
        return [server.sent for server in servers]

    assert asyncio.run(main()) == [[OK, PART, END]] * 3


def test_the_message_says_what_on_which_side_and_by_which_clause() -> None:
    assert str(violation(script(OK, body("text")), HTTP)) == (
        "application side: http.response.body['body'] is 'text'; it must be exactly of type "
        "bytes (ASGI HTTP & WebSocket, Response Body)"
    )
