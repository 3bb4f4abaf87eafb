"""ASGI's counterpart of `wsgiref.validate`: a wrapper that checks both sides of every call.

`validator(app)` stands between a server and an ASGI 3 application. It lets every message
through as it came, when it came, and raises ASGIViolation at the first breach: by the server,
out of the call or of `receive`; by the application, out of `send`, `receive` or the call.
It knows "http", "websocket" and "lifespan"; other scope types pass unchecked.

Where the specification leaves room, it demands what `wsgiref.validate` demands or what every
server can bear: a Content-Type on each response that has content, no hop-by-hop headers, no
`receive` after the response or the close, no key that the specification does not name.

The rules come first, as tables; the code that applies them follows.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from inspect import isawaitable
from reprlib import repr as short
from typing import Any, Literal, NamedTuple

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

Side = Literal["application", "server"]


class ASGIViolation(AssertionError):
    """A breach of the specification: what was wrong, on which side, and of which clause."""

    def __init__(self, side: Side, what: str, clause: str) -> None:
        super().__init__(f"{side} side: {what} ({clause})")
        self.side = side
        self.clause = clause


def validator(app: ASGIApp) -> ASGIApp:
    """`app`, with every call checked on both sides.

    It starts no task and keeps no message back; exceptions and cancellation pass unchanged.
    A violation that the application swallows is raised again when the application returns.
    """

    # By position only: another call is a TypeError at once, as with any application. Servers
    # rely on it: uvicorn calls what it loads without arguments, to see if it is a factory.
    async def checked(scope: Scope, receive: Receive, send: Send, /) -> None:
        check_scope(scope)
        before = snapshot(scope)
        protocol = PROTOCOLS.get(scope["type"])
        if protocol is None:
            call = app(scope, receive, send)
            result: Any = await awaitable("application", "the call", call)
        else:
            result = await Exchange(protocol, scope, receive, send).run(app)
        require(
            result is None,
            "application",
            f"the application returned {short(result)}, not None",
            APPLICATIONS,
        )
        check_unchanged(scope, before)

    return checked


# --- The kinds of values ------------------------------------------------------------------


class Kind(NamedTuple):
    """What a value has to be: in words, and as a test."""

    words: str
    holds: Callable[[Any], bool]


TOKEN = r"[!#$%&'*+\-.^_`|~0-9{letters}]+"  # RFC 9110, 5.6.2
METHOD = re.compile(TOKEN.format(letters="A-Z"))
HEADER_NAME = re.compile(TOKEN.format(letters="a-z").encode())


def exactly(kind: type) -> Kind:
    return Kind(f"exactly of type {kind.__name__}", lambda value: type(value) is kind)


def or_none(kind: Kind) -> Kind:
    return Kind(f"{kind.words}, or None", lambda value: value is None or kind.holds(value))


def one_of(*choices: str) -> Kind:
    return Kind(f"one of {choices}", lambda value: type(value) is str and value in choices)


def int_between(first: int, last: int) -> Kind:
    return Kind(
        f"an int from {first} to {last}",
        lambda value: type(value) is int and first <= value <= last,
    )


def text_where(words: str, holds: Callable[[str], object]) -> Kind:
    return Kind(f"a str {words}", lambda value: type(value) is str and bool(holds(value)))


def is_versions(value: Any) -> bool:
    return (
        type(value) is dict
        and type(value.get("version")) is str
        and type(value.get("spec_version", "")) is str
    )


def is_namespace(value: Any) -> bool:
    return isinstance(value, dict) and all(type(key) is str for key in value)


def is_extensions(value: Any) -> bool:
    return is_namespace(value) and all(isinstance(item, dict) for item in value.values())


def is_address(value: Any, ports: tuple[type, ...]) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and type(value[0]) is str
        and type(value[1]) in ports
    )


def is_headers(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def is_lasting_headers(value: Any) -> bool:
    return is_headers(value) and not isinstance(value, Iterator)


def is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(item) is str for item in value)


# RFC 6455, 7.4, with IANA's registry: what a closing frame may carry. (What the server says
# of a disconnect may be another: 1005 and 1006 stand for a frame that never came.)
SENT_CODES = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}


def is_closing_code(value: Any) -> bool:
    return type(value) is int and value in SENT_CODES


def is_closing_reason(value: Any) -> bool:
    # A control frame holds 125 bytes, and the code takes two (RFC 6455, 5.5).
    return value is None or (type(value) is str and len(value.encode("utf-8", "replace")) <= 123)


def is_sendable(value: Any) -> bool:
    if value is None:
        return True
    try:
        return type(value) is str and value.encode() is not None
    except UnicodeEncodeError:
        return False


STR = exactly(str)
BYTES = exactly(bytes)
BOOL = exactly(bool)
INT = exactly(int)

ASGI_VERSIONS = Kind('a dict with a str "version" (and "spec_version")', is_versions)
NAMESPACE = Kind("a dict with str keys", is_namespace)
EXTENSIONS = Kind("a dict of dicts with str keys", is_extensions)
UPPER = text_where("in upper case, an HTTP token", METHOD.fullmatch)
FILLED = text_where("that is not empty", bool)
PATH = text_where('that begins with "/", is "*" or empty', lambda v: v[:1] in "/" or v == "*")
# "same as SCRIPT_NAME in WSGI", and wsgiref.validate is strict about that one.
ROOT_PATH = text_where(
    'that is empty or begins with "/" and is more than that',
    lambda v: not v or (v[0] == "/" and v != "/"),
)
ABSOLUTE = text_where("with an absolute path", lambda v: re.match(r"/|\\\\|[A-Za-z]:[/\\]", v))
RAW_PATH = Kind('bytes without the "?query"', lambda v: type(v) is bytes and b"?" not in v)
CLIENT = Kind("a pair (str, int), or None", lambda v: v is None or is_address(v, (int,)))
SERVER = Kind(
    "a pair (str, int or None), or None",
    lambda v: v is None or is_address(v, (int, type(None))),
)
HEADERS = Kind("an iterable of pairs", is_headers)
LASTING_HEADERS = Kind("an iterable of pairs that can be read more than once", is_lasting_headers)
TEXTS = Kind("a list or tuple of str", is_texts)
TEXT_FRAME = Kind("a str that UTF-8 can hold, or None", is_sendable)
CLOSING_CODE = Kind("a closing code that may be sent", is_closing_code)
CLOSING_REASON = Kind("a str of at most 123 bytes, or None", is_closing_reason)


# --- The forms of scopes and messages -----------------------------------------------------


class Form(NamedTuple):
    """The keys of a scope or a message, and the clause that names them."""

    clause: str
    required: Mapping[str, Kind] = {}
    optional: Mapping[str, Kind] = {}
    extension: str = ""  # known only where scope["extensions"] offers this


APPLICATIONS = "ASGI 3.0, Applications"
CONNECTION = "ASGI 3.0, Connection Scope"
EVENTS = "ASGI 3.0, Events"
MESSAGES = "ASGI 3.0, Protocol Specifications"
MIDDLEWARE = "ASGI 3.0, Middleware"
HTTP_SCOPE = "ASGI HTTP & WebSocket, HTTP Connection Scope"
REQUEST = "ASGI HTTP & WebSocket, Request"
RESPONSE_START = "ASGI HTTP & WebSocket, Response Start"
RESPONSE_BODY = "ASGI HTTP & WebSocket, Response Body"
DISCONNECT = "ASGI HTTP & WebSocket, Disconnect"
PATH_SEND = "ASGI Extensions, Path Send"
WEBSOCKET_SCOPE = "ASGI HTTP & WebSocket, Websocket Connection Scope"
CONNECT = "ASGI HTTP & WebSocket, Connect"
ACCEPT = "ASGI HTTP & WebSocket, Accept"
RECEIVE = "ASGI HTTP & WebSocket, Receive"
SEND = "ASGI HTTP & WebSocket, Send"
CLOSE = "ASGI HTTP & WebSocket, Close"
DENIAL = "ASGI Extensions, Websocket Denial Response"
LIFESPAN_SCOPE = "ASGI Lifespan, Scope"
STARTUP = "ASGI Lifespan, Startup"
STARTUP_COMPLETE = "ASGI Lifespan, Startup Complete"
STARTUP_FAILED = "ASGI Lifespan, Startup Failed"
SHUTDOWN = "ASGI Lifespan, Shutdown"
SHUTDOWN_COMPLETE = "ASGI Lifespan, Shutdown Complete"
SHUTDOWN_FAILED = "ASGI Lifespan, Shutdown Failed"

TYPE = {"type": STR}
ANY_SCOPE = Form(CONNECTION, {**TYPE, "asgi": ASGI_VERSIONS}, {"extensions": EXTENSIONS})

# What the scopes of a request and of a websocket have in common.
ADDRESSED = {
    "scheme": FILLED,
    "raw_path": RAW_PATH,
    "root_path": ROOT_PATH,
    "client": CLIENT,
    "server": SERVER,
    "state": NAMESPACE,
}

SCOPES = {
    "http": Form(
        HTTP_SCOPE,
        {
            "http_version": one_of("1.0", "1.1", "2"),
            "method": UPPER,
            "path": PATH,
            "query_string": BYTES,
            "headers": LASTING_HEADERS,
        },
        ADDRESSED,
    ),
    "websocket": Form(
        WEBSOCKET_SCOPE,
        {"path": PATH, "headers": LASTING_HEADERS},
        {
            **ADDRESSED,
            "http_version": one_of("1.1", "2"),
            "query_string": or_none(BYTES),
            "subprotocols": TEXTS,
        },
    ),
    "lifespan": Form(LIFESPAN_SCOPE, {}, {"state": NAMESPACE}),
}

MESSAGE_FORMS: dict[tuple[Side, str], Form] = {
    ("server", "http.request"): Form(REQUEST, TYPE, {"body": BYTES, "more_body": BOOL}),
    ("server", "http.disconnect"): Form(DISCONNECT, TYPE),
    ("application", "http.response.start"): Form(
        RESPONSE_START, {**TYPE, "status": int_between(100, 599)}, {"headers": HEADERS}
    ),
    ("application", "http.response.body"): Form(
        RESPONSE_BODY, TYPE, {"body": BYTES, "more_body": BOOL}
    ),
    ("application", "http.response.pathsend"): Form(
        PATH_SEND, {**TYPE, "path": ABSOLUTE}, extension="http.response.pathsend"
    ),
    ("server", "websocket.connect"): Form(CONNECT, TYPE),
    ("server", "websocket.receive"): Form(
        RECEIVE, TYPE, {"bytes": or_none(BYTES), "text": TEXT_FRAME}
    ),
    ("server", "websocket.disconnect"): Form(
        DISCONNECT, {**TYPE, "code": INT}, {"reason": or_none(STR)}
    ),
    ("application", "websocket.accept"): Form(
        ACCEPT, TYPE, {"subprotocol": or_none(FILLED), "headers": HEADERS}
    ),
    ("application", "websocket.send"): Form(
        SEND, TYPE, {"bytes": or_none(BYTES), "text": TEXT_FRAME}
    ),
    ("application", "websocket.close"): Form(
        CLOSE, TYPE, {"code": CLOSING_CODE, "reason": CLOSING_REASON}
    ),
    ("application", "websocket.http.response.start"): Form(
        DENIAL,
        {**TYPE, "status": int_between(200, 599)},
        {"headers": HEADERS},
        extension="websocket.http.response",
    ),
    ("application", "websocket.http.response.body"): Form(
        DENIAL, TYPE, {"body": BYTES, "more_body": BOOL}, extension="websocket.http.response"
    ),
    ("server", "lifespan.startup"): Form(STARTUP, TYPE),
    ("server", "lifespan.shutdown"): Form(SHUTDOWN, TYPE),
    ("application", "lifespan.startup.complete"): Form(STARTUP_COMPLETE, TYPE),
    ("application", "lifespan.startup.failed"): Form(STARTUP_FAILED, TYPE, {"message": STR}),
    ("application", "lifespan.shutdown.complete"): Form(SHUTDOWN_COMPLETE, TYPE),
    ("application", "lifespan.shutdown.failed"): Form(SHUTDOWN_FAILED, TYPE, {"message": STR}),
}


# --- The order of messages ----------------------------------------------------------------

# (state, what is said) -> the next state. What is not here is a breach.
Steps = Mapping[tuple[str, str], str]

NEW = "new"

REQUEST_STEPS: Steps = {
    (NEW, "http.request, more_body"): NEW,
    (NEW, "http.request"): "read",
    (NEW, "http.request, empty"): "read",
    ("read", "http.request, empty"): "read",  # some servers end the body twice
    (NEW, "http.disconnect"): "gone",
    ("read", "http.disconnect"): "gone",
    ("gone", "http.disconnect"): "gone",
}
RESPONSE_STEPS: Steps = {
    (NEW, "http.response.start"): "started",
    ("started", "http.response.body, more_body"): "sending",
    ("started", "http.response.body"): "complete",
    ("started", "http.response.pathsend"): "complete",
    ("sending", "http.response.body, more_body"): "sending",
    ("sending", "http.response.body"): "complete",
}
WEBSOCKET_STEPS: Steps = {
    (NEW, "websocket.connect"): "connecting",
    ("connecting", "websocket.accept"): "open",
    ("connecting", "websocket.close"): "closed",
    ("connecting", "websocket.disconnect"): "gone",
    ("open", "websocket.receive"): "open",
    ("open", "websocket.send"): "open",
    ("open", "websocket.close"): "closed",
    ("open", "websocket.disconnect"): "gone",
    # The extension, in which no message of the conversation may follow.
    ("connecting", "websocket.http.response.start"): "refusing",
    ("refusing", "websocket.http.response.body, more_body"): "refusing",
    ("refusing", "websocket.http.response.body"): "closed",
    ("refusing", "websocket.disconnect"): "gone",
    # To a `receive` that was waiting already.
    ("closed", "websocket.receive"): "closed",
    ("closed", "websocket.disconnect"): "closed",
    ("gone", "websocket.disconnect"): "gone",
}
LIFESPAN_STEPS: Steps = {
    (NEW, "lifespan.startup"): "starting",
    ("starting", "lifespan.startup.complete"): "running",
    ("starting", "lifespan.startup.failed"): "over",
    ("running", "lifespan.shutdown"): "stopping",
    ("stopping", "lifespan.shutdown.complete"): "over",
    ("stopping", "lifespan.shutdown.failed"): "over",
}


class Protocol(NamedTuple):
    """The steps of a conversation; on the last track, the application's last word is `end`."""

    tracks: tuple[Steps, ...]
    end: str
    ending: str  # the clause that asks for the last word
    may_raise: frozenset[str] | None = None  # the states in which it may; None: in all


PROTOCOLS = {
    "http": Protocol((REQUEST_STEPS, RESPONSE_STEPS), "complete", RESPONSE_BODY),
    "websocket": Protocol((WEBSOCKET_STEPS,), "closed", CLOSE),
    # An exception means "no lifespan here" as long as the startup is not answered.
    "lifespan": Protocol(
        (LIFESPAN_STEPS,), "over", SHUTDOWN_COMPLETE, frozenset({NEW, "starting"})
    ),
}


# --- The headers of a response ------------------------------------------------------------

Fields = dict[bytes, list[bytes]]

# A server may pass on what it was sent (RFC 9110, 5.5), except what would split the message.
BAD_IN_VALUE: dict[Side, re.Pattern[bytes]] = {
    "server": re.compile(rb"[\0\r\n]"),
    "application": re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]"),
}

# The connection is the server's (RFC 9110, 7.6.1; PEP 3333, Other HTTP Features).
HOP_BY_HOP = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"trailers",
    b"transfer-encoding",
    b"upgrade",
}


def is_bodiless(status: int) -> bool:
    return status < 200 or status in (204, 304)


def has_no_length(status: int) -> bool:
    return status < 200 or status == 204


class HeadRule(NamedTuple):
    """What the head of a response must not show; `broken` tells by (status, fields)."""

    words: str
    source: str
    broken: Callable[[int, Fields], object]


HEAD_RULES = (
    HeadRule(
        "a hop-by-hop header",
        "RFC 9110, 7.6.1",
        lambda status, fields: HOP_BY_HOP & fields.keys(),
    ),
    HeadRule(
        "more than one content-length",
        "RFC 9110, 8.6",
        lambda status, fields: len(fields.get(b"content-length", ())) > 1,
    ),
    HeadRule(
        "more than one content-type",
        "RFC 9110, 5.3",
        lambda status, fields: len(fields.get(b"content-type", ())) > 1,
    ),
    HeadRule(
        "a content-length that is not a run of digits",
        "RFC 9110, 8.6",
        lambda status, fields: not all(map(is_digits, fields.get(b"content-length", ()))),
    ),
    HeadRule(
        "a content-length with a status that forbids it",
        "RFC 9110, 8.6",
        lambda status, fields: has_no_length(status) and b"content-length" in fields,
    ),
    HeadRule(
        "a content-type with a status that has no content",
        "wsgiref.validate, check_content_type",
        lambda status, fields: is_bodiless(status) and b"content-type" in fields,
    ),
    HeadRule(
        "no content-type",
        "wsgiref.validate, check_content_type",
        lambda status, fields: not is_bodiless(status) and b"content-type" not in fields,
    ),
)


def is_digits(value: bytes) -> bool:
    return re.fullmatch(rb"[0-9]+", value) is not None


# --- What the messages of a websocket must not say ----------------------------------------


class SayingRule(NamedTuple):
    """What a message must not show; `broken` tells by (scope, message)."""

    words: str
    clause: str
    broken: Callable[[Scope, Message], object]


ONE_OF_TWO = SayingRule(
    "neither or both of bytes and text",
    f"{RECEIVE}; {SEND}",
    lambda scope, message: (message.get("bytes") is None) == (message.get("text") is None),
)
SAYING_RULES = {
    "websocket.receive": (ONE_OF_TWO,),
    "websocket.send": (ONE_OF_TWO,),
    "websocket.accept": (
        SayingRule(
            "a subprotocol that was not offered",
            f"{ACCEPT}; RFC 6455, 4.2.2",
            lambda scope, message: (
                message.get("subprotocol") is not None
                and message["subprotocol"] not in scope.get("subprotocols", ())
            ),
        ),
        SayingRule(
            "a header that is the handshake's own",
            f"{ACCEPT}; RFC 6455, 4.2.2",
            lambda scope, message: any(
                name in HOP_BY_HOP or name.startswith(b"sec-websocket-")
                for name, _ in message.get("headers", ())
            ),
        ),
        SayingRule(
            "a header about a content that a 101 does not have",
            f"{ACCEPT}; RFC 9110, 15.2",
            lambda scope, message: any(
                name.startswith(b"content-") for name, _ in message.get("headers", ())
            ),
        ),
    ),
}


# --- Applying the rules -------------------------------------------------------------------


def require(condition: object, side: Side, what: str, clause: str) -> None:
    if not condition:
        raise ASGIViolation(side, what, clause)


def awaitable(side: Side, name: str, value: Any) -> Awaitable[Any]:
    require(isawaitable(value), side, f"{name} gave {short(value)}, not an awaitable", APPLICATIONS)
    result: Awaitable[Any] = value
    return result


def check_scope(scope: Any) -> None:
    check_dict("server", "scope", scope, CONNECTION)
    check_keys("server", "scope", scope, ANY_SCOPE)
    form = SCOPES.get(scope["type"])
    if form is not None:
        check_keys("server", "scope", scope, form)
        check_headers("server", scope.get("headers", ()), form.clause)


def check_dict(side: Side, name: str, value: Any, clause: str) -> None:
    require(type(value) is dict, side, f"{name} is not a plain dict: {short(value)}", clause)
    for key in value:
        require(type(key) is str, side, f"{name} has a key that is not a str: {key!r}", clause)


def check_keys(side: Side, name: str, value: Mapping[str, Any], form: Form) -> None:
    for key in form.required:
        require(key in value, side, f"{name} has no {key!r}", form.clause)
    for key, kind in {**form.required, **form.optional}.items():
        if key in value:
            what = f"{name}[{key!r}] is {short(value[key])}; it must be {kind.words}"
            require(kind.holds(value[key]), side, what, form.clause)


def check_message(side: Side, message: Any, scope: Scope) -> Form:
    check_dict(side, "the message", message, EVENTS)
    require("type" in message, side, f"a message without a type: {short(message)}", EVENTS)
    name = message["type"]
    require(type(name) is str, side, f"the message's type is no str: {name!r}", EVENTS)
    known = {
        kind: form
        for (at, kind), form in MESSAGE_FORMS.items()
        if at == side and kind.startswith(scope["type"] + ".")
    }
    what = f"{name!r} is not known here on a scope of {scope['type']!r}; only {sorted(known)}"
    require(name in known, side, what, MESSAGES)
    form = known[name]
    offered = not form.extension or form.extension in scope.get("extensions", {})
    require(offered, side, f"{name!r}, which scope['extensions'] does not offer", form.clause)
    check_keys(side, name, message, form)
    unknown = sorted(message.keys() - form.required.keys() - form.optional.keys())
    require(not unknown, side, f"{name} has unknown keys {unknown}", form.clause)
    if "headers" in message:
        check_headers(side, message["headers"], form.clause)
    for words, clause, broken in SAYING_RULES.get(name, ()):
        what = f"{name} with {words}: {short(message)}"
        require(not broken(scope, message), side, what, clause)
    return form


def check_headers(side: Side, headers: Iterable[Any], clause: str) -> None:
    for pair in headers:
        require(
            isinstance(pair, list | tuple) and len(pair) == 2,
            side,
            f"the header {short(pair)} is not a pair",
            clause,
        )
        name, value = pair
        both = type(name) is bytes and type(value) is bytes
        require(both, side, f"the header {short(pair)} is not a pair of bytes", clause)
        token = HEADER_NAME.fullmatch(name)
        require(token, side, f"the header name {name!r} is not a lower-case token", clause)
        bad = BAD_IN_VALUE[side].search(value)
        require(not bad, side, f"the header {name!r} has a control character: {value!r}", clause)


def check_head(message: Message, clause: str) -> None:
    status, fields = message["status"], fields_of(message.get("headers", ()))
    for words, source, broken in HEAD_RULES:
        what = f"a {status} response with {words}: {sorted(fields)}"
        require(not broken(status, fields), "application", what, f"{clause}; {source}")


def fields_of(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    fields: Fields = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    return fields


def snapshot(scope: Scope) -> tuple[Scope, list[Any]]:
    return dict(scope), [copy(pair) for pair in scope.get("headers", ())]


def check_unchanged(scope: Scope, snapshot: tuple[Scope, list[Any]]) -> None:
    before, headers = snapshot
    nothing = object()
    changed = [
        key
        for key in {**before, **scope}
        if scope.get(key, nothing) is not before.get(key, nothing)
    ]
    if not changed and list(scope.get("headers", ())) != headers:
        changed = ["headers"]
    what = f"the scope was changed at {changed}; a copy may be"
    require(not changed, "application", what, MIDDLEWARE)


def settled(message: Any) -> Any:
    """The message itself; with its headers in a list where they can be read only once."""
    if type(message) is dict and isinstance(message.get("headers"), Iterator):
        return {**message, "headers": list(message["headers"])}
    return message


def said(message: Message) -> str:
    """The message as the tables of steps name it."""
    name: str = message["type"]
    if message.get("more_body", False):
        return f"{name}, more_body"
    if name == "http.request" and not message.get("body", b""):
        return f"{name}, empty"
    return name


class Track:
    """A table of steps, and the state that it has been brought to."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.state = NEW

    def knows(self, event: str) -> bool:
        return any(event == known for _, known in self._steps)

    def step(self, side: Side, event: str, clause: str) -> None:
        expected = [known for state, known in self._steps if state == self.state]
        what = f"{event!r} out of order: the state is {self.state!r}, which expects {expected}"
        require(event in expected, side, what, clause)
        self.state = self._steps[self.state, event]


class Exchange:
    """One call of the application: the state of its conversation with the server."""

    def __init__(self, protocol: Protocol, scope: Scope, receive: Any, send: Any) -> None:
        self._protocol = protocol
        self._scope = scope
        self._receive = receive
        self._send = send
        self._tracks = [Track(steps) for steps in protocol.tracks]
        self._running: set[str] = set()
        self._first: ASGIViolation | None = None
        self._gone = False  # the client has left, as far as the application can know
        self._length: int | None = None
        self._sent = 0
        self._silent = False  # no byte of a body may be sent

    async def run(self, app: ASGIApp) -> Any:
        try:
            call = app(self._scope, self.receive, self.send)
            result: Any = await awaitable("application", "the call", call)
        except ASGIViolation:
            raise
        except Exception as error:
            self._check_raised(error)
            raise
        if self._first is not None:
            raise self._first
        self._check_returned()
        return result

    async def receive(self, *args: Any, **kwargs: Any) -> Any:
        with self._call("receive"):
            bare = not args and not kwargs
            require(bare, "application", "receive() takes no argument", APPLICATIONS)
            what = "receive() was called after the application's last message"
            require(not self._at_end, "application", what, self._protocol.ending)
            message = await awaitable("server", "receive()", self._receive())
            form = check_message("server", message, self._scope)
            self._step("server", said(message), form.clause)
            if message["type"].endswith(".disconnect"):
                self._gone = True
            return message

    async def send(self, *args: Any, **kwargs: Any) -> None:
        with self._call("send"):
            single = len(args) == 1 and not kwargs
            what = "send() takes exactly one message, by position"
            require(single, "application", what, APPLICATIONS)
            message = settled(args[0])
            self._check_sent(message)
            try:
                await awaitable("server", "send()", self._send(message))
            except OSError:
                self._gone = True  # Disconnected Client - send exception
                raise

    @property
    def _state(self) -> str:
        return self._tracks[-1].state

    @property
    def _at_end(self) -> bool:
        return self._state == self._protocol.end

    @contextmanager
    def _call(self, name: str) -> Iterator[None]:
        """One call at a time; its violation is kept, for the application may swallow it."""
        try:
            alone = name not in self._running
            what = f"{name}() was called before the last {name}() was over"
            require(alone, "application", what, APPLICATIONS)
            self._running.add(name)
            try:
                yield
            finally:
                self._running.discard(name)
        except ASGIViolation as violation:
            self._first = self._first or violation
            raise

    def _step(self, side: Side, event: str, clause: str) -> None:
        track = next(track for track in self._tracks if track.knows(event))
        track.step(side, event, clause)

    def _check_sent(self, message: Any) -> None:
        form = check_message("application", message, self._scope)
        # A refusal says what a response does, under longer names.
        name = message["type"].removeprefix("websocket.")
        if name == "http.response.start":
            check_head(message, form.clause)
        if self._gone and not self._at_end:
            return  # sent to nobody: a no-op, or an OSError
        self._step("application", said(message), form.clause)
        if name == "http.response.start":
            self._expect(message["status"], fields_of(message.get("headers", ())))
        elif name.startswith("http.response."):
            self._count(message, form.clause)

    def _expect(self, status: int, fields: Fields) -> None:
        self._silent = self._scope.get("method") == "HEAD" or is_bodiless(status)
        if b"content-length" in fields and not self._silent:
            self._length = int(fields[b"content-length"][0])

    def _count(self, message: Message, clause: str) -> None:
        by_path = "path" in message  # its size is the server's to know
        self._sent += len(message.get("body", b""))
        empty = not by_path and not self._sent
        what = "a body was sent with HEAD, or with a status that has none"
        require(empty or not self._silent, "application", what, f"{clause}; RFC 9110, 6.4.1")
        if self._length is None or by_path:
            return
        over = self._sent > self._length
        lacking = self._at_end and self._sent < self._length
        what = f"content-length is {self._length}, but {self._sent} bytes were sent"
        require(not over and not lacking, "application", what, f"{clause}; RFC 9110, 8.6")

    def _check_returned(self) -> None:
        done = self._gone or self._at_end
        what = f"the application returned in the state {self._state!r}, its last message unsent"
        require(done, "application", what, self._protocol.ending)

    def _check_raised(self, error: Exception) -> None:
        allowed = self._protocol.may_raise
        if allowed is not None and self._state not in allowed:
            what = f"the application raised {error!r} in the state {self._state!r}"
            raise ASGIViolation("application", what, LIFESPAN_SCOPE) from error
