"""Raw requests, what the two small servers make of each, and why other servers do otherwise.

An outcome is written like `200 open: GET /`: the status of each response, whether the connection
can still be used, and each call of the application. `-` stands for no response. A call is written
like `POST / 'abc'` with its body, if there is one, or `broken` where it could not be read to its
end; and like `GET / {x-a: 1}` with those headers that the case looks at. Where the client closes
its side after the request, the connection is neither open nor closed.

`differs` says of each server that does otherwise why it does. That it does, and that no other
server does, is tested; what it does instead is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Cut = int | bytes | None  # into pieces of so many bytes, into such as end with these, or not


@dataclass(frozen=True)
class Case:
    """A raw request, or several, and what is to come of them."""

    name: str
    raw: bytes | Sequence[bytes | None]  # None: go on when something was answered
    outcome: str
    differs: Mapping[str, str] = field(default_factory=dict)
    looks_at: Sequence[str] = ()  # names of headers
    fin: bool = False  # the client closes its side; else it asks for more, to see what happens

    @property
    def cuts(self) -> Sequence[Cut]:
        """How it may be cut into pieces, all of which must come to the same."""
        if not isinstance(self.raw, bytes) or b"/unread" in self.raw or b"100-" in self.raw:
            return [None]  # here it matters what has come by the time of the answer
        return [None, b"\n", 1 if len(self.raw) < 1000 else 997]


HOST = b"Host: a"
GET = b"GET / HTTP/1.1"
POST = b"POST / HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
ABC = b"3\r\nabc\r\n"
END = b"0\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


def get(*fields: bytes) -> bytes:
    return head(GET, HOST, *fields)


def post(body: bytes, *fields: bytes) -> bytes:
    return head(POST, HOST, *fields) + body


def chunked(body: bytes) -> bytes:
    return post(body, CHUNKED)


# --- what is said of more than one case ---------------------------------------------------

NONE: dict[str, str] = {}
GUNICORNS = ("gunicorn gthread", "gunicorn asgi")
H11 = ("uvicorn", "hypercorn")  # which leave it to h11 what is a request
ASGI = ("gunicorn asgi", *H11)
OTHERS = ("waitress", *GUNICORNS, *H11)
OWN = ("waitress", *GUNICORNS)  # which have a grammar of their own

REFUSED = "400 closed"
UNKNOWN = "501 closed"
FINE = "200 open: GET /"
ABC_READ = "200 open: POST / 'abc'"
BROKEN = "400 closed: POST / broken"
TOO_LARGE = "431 closed: POST / broken"


def each(*kinds: str, why: str) -> dict[str, str]:
    return dict.fromkeys(kinds, why)


# Of connections (RFC 9112, section 9).
AFTER_LAST = {"hypercorn": "refuses what follows a last request, and loses that one's response"}
CLOSE_IN_A_LIST = each("waitress", "gunicorn gthread", why="knows close only if it stands alone")
KEPT_ALIVE = AFTER_LAST | each(*OWN, why="keeps connections of HTTP/1.0")
SHORT = {"gunicorn gthread": "takes what has come for all of the body"}

# Of the first line (RFC 9112, sections 2.2, 2.3 and 3).
EMPTY = each(*H11, why="h11 takes an empty line for the first one, where servers should skip it")
ONE_EMPTY = each(*GUNICORNS, why="skips one empty line and no more")
STRIPS = {"waitress": "strips blanks, CR and LF in any order"}
NO_VERSION = {"waitress": "takes a line without a version, as they were before HTTP/1.0"}
CAPITALS = {
    **each(*OWN, why="wants a method in capitals"),
    "hypercorn": "puts the method into capitals, though case makes another method of it",
}
METHODS = each(*GUNICORNS, why="wants a method of 3 to 20 characters, and none of them #")
UNSEEN = {"waitress": "lets control characters pass"}
VERSIONS = {
    **each(*GUNICORNS, why="answers 400"),
    "waitress": "takes any version but 1.1 for 1.0",
    **each(*H11, why="takes any version: h11 leaves that to its user"),
}
HTTP_12 = {"gunicorn gthread": "takes HTTP/1.2, and answers with it"}

# Of the target (RFC 9112, section 3.2).
ABSOLUTE = {
    **each("waitress", "gunicorn gthread", why="keeps Host, which the target's should replace"),
    **each(*ASGI, why="takes the whole URL for the path"),
}
ANY_URL = each(*OTHERS, why="takes any URL")
ANY_TARGET = each("waitress", *H11, why="takes any target")
CONNECT = each(*OTHERS, why="has the application answer CONNECT")
ONE_SLASH = {"waitress": "makes one of several slashes at the beginning"}
FRAGMENTS = {
    **each("waitress", "gunicorn gthread", why="cuts the fragment off"),
    **each(*ASGI, why="takes the fragment for a part of the path"),
}

# Of header fields (RFC 9112, sections 2.2, 3.2 and 5; RFC 9110, sections 5.3 and 5.5).
CONTROLS = each(*H11, why="h11 lets control characters pass")
FOLDED = each("waitress", *H11, why="unfolds lines, as a server may")
BARE_LF = each(*H11, why="h11 takes LF alone for a line's end, as a server may")
COMMAS = {"waitress": "joins the values with a comma and a blank"}
COOKIES = each("waitress", "gunicorn gthread", why="joins cookies with a comma")
ONE_TYPE = each(*GUNICORNS, why="refuses a second Content-Type")
NO_HOST = each(*OWN, why="does without Host")
TWO_HOSTS = {"waitress": "joins the values, as of any other field"}
ANY_HOST = each(*OTHERS, why="does not look into Host")

# Of the body's length (RFC 9112, section 6).
ONE_LENGTH = each(*OWN, why="refuses a second length even where both are equal, as a server may")
ANY_ZEROS = each(*OWN, why="takes any number of zeros, where h11 stops at 20 digits")
ENDLESS = {
    **each(*ASGI, why="waits for all that"),
    "gunicorn gthread": "waits for all that, and takes what has come for it",
}
NOT_501 = {"uvicorn": "answers 400 to whatever h11 refuses"}
FOR_400 = NOT_501 | each(*GUNICORNS, why="answers 400")
CHUNKED_TWICE = FOR_400 | {"waitress": "takes chunked twice for once"}
OTHER_CODINGS = NOT_501 | each(*GUNICORNS, why="leaves all codings but chunked to the application")
EMPTY_MEMBER = NOT_501 | {"waitress": "skips empty members of the list"}
LENGTH_TOO = each(
    "waitress", *H11, why="goes by the coding, but keeps the connection (section 6.1)"
)
CHUNKS_10 = {
    "waitress": "ignores Transfer-Encoding in HTTP/1.0",
    **each(*H11, why="takes chunks in HTTP/1.0"),
}

# Of chunks (RFC 9112, section 7.1).
BLANK = each(*GUNICORNS, why="understands the blank, as a server must, but h11 does not")
STRICT_EXTENSION = each(*OWN, why="looks into extensions, which h11 skips")
STRICT_SIZE = each(*OWN, why="takes no blank there; h11 does, for others that send it")
SKIPS_EMPTY = {"waitress": "skips an empty line before a size"}
TO_CRLF = {"waitress": "takes for trailers whatever comes up to CR LF CR LF"}
NO_LOOK = TO_CRLF | {"gunicorn asgi": "does not look into trailers"}
LF_TRAILER = TO_CRLF | each(*H11, why="h11 takes LF alone for a line's end")
FORBIDDEN = each(*GUNICORNS, why="refuses what may not be a trailer (RFC 9110, section 6.5.1)")

# Of Expect (RFC 9110, section 10.1.1), and of what nobody reads.
CONTINUES = each("waitress", "gunicorn gthread", "hypercorn", why="says 100 before anybody reads")
CONTINUES_LATE = each(
    "waitress", "gunicorn gthread", *H11, why="says 100 though there is nothing to wait for"
)
LOST = CONTINUES_LATE | {"waitress": "says 100, waits for no body at all, and forgets the request"}
UNREAD_CHUNK = {
    "waitress": "reads the body before it calls the application",
    "gunicorn asgi": "reads as much of the body as has come before it calls the application",
    "gunicorn gthread": "looks for another request behind the bad chunk",
    **each(*H11, why="refuses the body, and loses the response"),
}

# Of sizes.
LINE_OF_4094 = each(*GUNICORNS, why="takes lines of 4094 bytes")
LONG_LINE = each("waitress", *H11, why="has no limit for the line alone")
FIELD_OF_8190 = each(*GUNICORNS, why="takes fields of 8190 bytes")
MANY_FIELDS = each("waitress", *H11, why="does not count fields")


# --- several requests on one connection ---------------------------------------------------

TWO = head(b"GET /two HTTP/1.1", HOST)
PIPELINED = [
    Case("one", get(), FINE),
    Case("two", get() + TWO, "200 200 open: GET /, GET /two"),
    Case(
        "three, with bodies",
        post(b"abc", b"Content-Length: 3") + chunked(ABC + END) + TWO,
        "200 200 200 open: POST / 'abc', POST / 'abc', GET /two",
    ),
    Case(
        "a body that looks like a request",
        post(SMUGGLED, b"Content-Length: %d" % len(SMUGGLED)) + TWO,
        "200 200 open: POST / 'GET /smuggled HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n', GET /two",
    ),
    Case(
        "chunks, then a body that is no text",
        chunked(ABC + END) + post(b"\n \x00", b"Content-Length: 3"),
        "200 200 open: POST / 'abc', POST / '\\n \\x00'",
    ),
    Case("no length, so no body", post(TWO), "200 200 open: POST /, GET /two"),
    Case("the second is none", get() + b"GET /two\r\n\r\n", "200 400 closed: GET /", NO_VERSION),
    Case("the second has a bad field", get() + get(b"X-A : 1"), "200 400 closed: GET /"),
    Case(
        "the second has a bad body",
        get() + chunked(b"x\r\n"),
        "200 400 closed: GET /, POST / broken",
    ),
    Case("an empty line between", get() + b"\r\n" + TWO, "200 200 open: GET /, GET /two", EMPTY),
    Case("CR LF after a body", post(b"abc\r\n", b"Content-Length: 3"), ABC_READ, EMPTY),
    Case(
        "more than the length",
        post(b"abcX", b"Content-Length: 3"),
        "200 200 200 closed: POST / 'abc', XGET /after, GET /last",
    ),
    Case("close in the first", get(b"Connection: close") + TWO, "200 closed: GET /", AFTER_LAST),
    Case(
        "close among other options",
        get(b"Connection: x, CLOSE") + TWO,
        "200 closed: GET /",
        AFTER_LAST | CLOSE_IN_A_LIST,
    ),
    Case("keep-alive", get(b"Connection: keep-alive"), FINE),
]

# --- the first line -----------------------------------------------------------------------


def line(name: str, first: bytes, outcome: str, differs: Mapping[str, str] = NONE) -> Case:
    return Case(f"line: {name}", head(first, HOST), outcome, differs)


LINES = [
    line("HTTP/1.0", b"GET / HTTP/1.0", "200 closed: GET /", AFTER_LAST),
    line("no version", b"GET /", REFUSED, NO_VERSION),
    line("no target", b"GET HTTP/1.1", REFUSED, NO_VERSION),
    line("no method", b" / HTTP/1.1", REFUSED),
    line("nothing but blanks", b"  ", REFUSED),
    line("two blanks after the method", b"GET  / HTTP/1.1", REFUSED),
    line("two blanks after the target", b"GET /  HTTP/1.1", REFUSED),
    line("a tab", b"GET\t/ HTTP/1.1", REFUSED),
    line("a blank before", b" GET / HTTP/1.1", REFUSED, STRIPS),
    line("a blank behind", b"GET / HTTP/1.1 ", REFUSED, STRIPS),
    line("a fourth word", b"GET / HTTP/1.1 x", REFUSED),
    line("a blank in the target", b"GET /a b HTTP/1.1", REFUSED),
    line("lower case", b"get / HTTP/1.1", "200 open: get /", CAPITALS),
    line("mixed case", b"Get / HTTP/1.1", "200 open: Get /", CAPITALS),
    line("a method of its own", b"BREW / HTTP/1.1", "200 open: BREW /"),
    line("any token", b"G!#$%&'*+.^_`|~9 / HTTP/1.1", "200 open: G!#$%&'*+.^_`|~9 /", METHODS),
    line("a long method", b"A" * 40 + b" / HTTP/1.1", f"200 open: {'A' * 40} /", METHODS),
    line("no token", b"G:T / HTTP/1.1", REFUSED),
    line("a control character", b"GET /\x01 HTTP/1.1", REFUSED, UNSEEN),
    line("NUL", b"GET /\x00 HTTP/1.1", REFUSED, UNSEEN),
    line("DEL", b"GET /\x7f HTTP/1.1", REFUSED, UNSEEN),
    line("a vertical tab", b"GET /\x0bx HTTP/1.1", REFUSED, UNSEEN),
    line("bare CR", b"GET /\rx HTTP/1.1", REFUSED),
    line("beyond ASCII", "GET /é HTTP/1.1".encode(), REFUSED),
    line("a blank of Latin-1", b"GET /\xa0 HTTP/1.1", REFUSED),
    # Such a minor version should be taken for HTTP/1.1 (RFC 9110, section 2.5); there is none.
    line("HTTP/1.2", b"GET / HTTP/1.2", "505 closed", VERSIONS | HTTP_12),
    line("HTTP/2.0", b"GET / HTTP/2.0", "505 closed", VERSIONS),
    line("HTTP/0.9", b"GET / HTTP/0.9", "505 closed", VERSIONS),
    line("half a version", b"GET / HTTP/1", REFUSED),
    line("a long version", b"GET / HTTP/1.10", REFUSED),
    line("a zero before it", b"GET / HTTP/01.1", REFUSED),
    line("a plus before it", b"GET / HTTP/+1.1", REFUSED),
    line("no point", b"GET / HTTP/11", REFUSED),
    line("a comma", b"GET / HTTP/1,1", REFUSED),
    line("a digit beyond ASCII", "GET / HTTP/\u0661.1".encode(), REFUSED),
    line("http in lower case", b"GET / http/1.1", REFUSED),
    line("not HTTP", b"GET / HTTPS/1.1", REFUSED),
    line("a response", b"HTTP/1.1 200 OK", REFUSED),
    Case("line: as in HTTP/0.9", b"GET /\r\n", "-", fin=True),
    Case(
        "line: the preface of HTTP/2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
        "505",
        VERSIONS | {"hypercorn": "speaks HTTP/2"},
        fin=True,
    ),
    Case(
        "line: the hello of TLS",
        bytes.fromhex("16030100b5010000b10303") + bytes(32),
        "400",
        fin=True,
    ),
    Case("an empty line before", b"\r\n" + get(), FINE, EMPTY),
    Case("empty lines before", b"\r\n" * 5 + get(), FINE, EMPTY | ONE_EMPTY),
    Case("LF before", b"\n" + get(), REFUSED, STRIPS),
    Case("CR before", b"\r" + get(), REFUSED, STRIPS),
    Case("a line of blanks before", b" \r\n" + get(), REFUSED, STRIPS),
]

# --- the target ---------------------------------------------------------------------------


def target(
    target: bytes,
    outcome: str,
    differs: Mapping[str, str] = NONE,
    *fields: bytes,
    method: bytes = b"GET",
    version: bytes = b"1.1",
) -> Case:
    first = b"%s %s HTTP/%s" % (method, target, version)
    raw = head(first, *(fields or [HOST]))
    name = " ".join(["target:", first.decode(), *(field.decode() for field in fields)])
    return Case(name, raw, outcome, differs, ["host"])


TARGETS = [
    target(b"/?a?b=/", "200 open: GET /?a?b=/ {host: a}"),
    target(b"/a%2Fb", "200 open: GET /a/b {host: a}"),
    target(b"/%zz%", "200 open: GET /%zz% {host: a}"),
    target(b"/../a", "200 open: GET /../a {host: a}"),
    target(b'/<>"{}|\\^`', '200 open: GET /<>"{}|\\^` {host: a}'),
    target(b"//b/x", "200 open: GET //b/x {host: a}", ONE_SLASH),
    target(b"/a#b", REFUSED, FRAGMENTS),
    target(b"x", REFUSED, ANY_TARGET),
    target(b"?x", REFUSED, ANY_TARGET),
    target(b"*", REFUSED, ANY_TARGET),
    target(b"*", "200 open: OPTIONS * {host: a}", method=b"OPTIONS"),
    target(b"*?x", REFUSED, ANY_TARGET, method=b"OPTIONS"),
    target(b"http://b/x?y", "200 open: GET /x?y {host: b}", ABSOLUTE),
    target(b"HTTP://b:80/x", "200 open: GET /x {host: b:80}", ABSOLUTE),
    target(b"https://b/x", "200 open: GET /x {host: b}", ABSOLUTE),
    target(b"http://b", "200 open: GET / {host: b}", ABSOLUTE),
    target(b"http://b?y", "200 open: GET /?y {host: b}", ABSOLUTE),
    target(b"http:///x", REFUSED, ANY_URL),
    target(b"http://u@b/x", REFUSED, ANY_URL),
    target(b"http://b:x/", REFUSED, ANY_URL),
    target(b"http://b/x#y", REFUSED, ANY_URL),
    target(b"ftp://b/x", REFUSED, ANY_URL),
    target(b"http://b/x", REFUSED, NO_HOST, b"X-A: 1"),
    target(b"http://b/x", REFUSED, ANY_URL, b"Host: a b"),
    target(b"http://b/x", "200 closed: GET /x {host: b}", ABSOLUTE, b"X-A: 1", version=b"1.0"),
    target(b"b:443", "501 closed", CONNECT, b"Host: b:443", method=b"CONNECT"),
    target(b"/", "501 closed", CONNECT, method=b"CONNECT"),
    target(b"http://b/", "501 closed", CONNECT, method=b"CONNECT"),
]

# --- header fields ------------------------------------------------------------------------


def fields(name: str, lines: bytes, outcome: str, differs: Mapping[str, str] = NONE) -> Case:
    names = ["x-a", "x-b", "x-c", "cookie", "content-type", "script-name"]
    return Case(f"field: {name}", get(lines), outcome, differs, names)


FIELDS = [
    fields("a blank before the colon", b"X-A : 1", REFUSED),
    fields("a tab before the colon", b"X-A\t: 1", REFUSED),
    fields("no colon", b"X-A", REFUSED),
    fields("no name", b": 1", REFUSED),
    fields("a blank in the name", b"X A: 1", REFUSED),
    fields("a parenthesis in the name", b"X(A): 1", REFUSED),
    fields("a slash in the name", b"X/A: 1", REFUSED),
    fields("NUL in the name", b"X\x00A: 1", REFUSED),
    fields("a name beyond ASCII", b"X-\xc4: 1", REFUSED),
    fields("NUL", b"X-A: a\x00b", REFUSED),
    fields("a control character", b"X-A: a\x01b", REFUSED, CONTROLS),
    fields("DEL", b"X-A: a\x7fb", REFUSED, CONTROLS),
    fields("a vertical tab", b"X-A: a\x0bb", REFUSED),
    fields("a form feed", b"X-A: a\x0cb", REFUSED),
    fields("folded", b"X-A: a\r\n b", REFUSED, FOLDED),
    fields("folded with a tab", b"X-A: a\r\n\tb", REFUSED, FOLDED),
    fields("folded, with nothing", b"X-A: a\r\n ", REFUSED, FOLDED),
    fields("bare CR", b"X-A: a\rb", REFUSED),
    fields("bare CR before the end", b"X-A: a\r\r\nX-B: b", REFUSED),
    fields("bare LF", b"X-A: a\nX-B: b", REFUSED, BARE_LF),
    fields("bare LF and a length", b"X-A: a\nContent-Length: 0", REFUSED, BARE_LF),
    Case("field: folded at the start", b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", REFUSED),
    Case("field: folded Host", b"GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n", REFUSED),
    Case("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", REFUSED, BARE_LF),
    Case("bare LF at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", REFUSED, BARE_LF),
    Case("bare LF before the end", b"GET / HTTP/1.1\r\nHost: a\n\r\n", REFUSED, BARE_LF),
    fields("no blank after the colon", b"X-A:1", "200 open: GET / {x-a: 1}"),
    fields("blanks around", b"X-A: \t 1 \t ", "200 open: GET / {x-a: 1}"),
    fields("blanks inside", b"X-A: 1 \t 2", "200 open: GET / {x-a: 1 \t 2}"),
    fields("empty", b"X-A:", "200 open: GET / {x-a: }"),
    fields("a colon in the value", b"X-A: a: b", "200 open: GET / {x-a: a: b}"),
    fields("Latin-1", b"X-A: caf\xe9", "200 open: GET / {x-a: café}"),
    fields("UTF-8", "X-A: é".encode(), "200 open: GET / {x-a: Ã©}"),
    fields("blanks of Latin-1", b"X-A: \xa01\x85", "200 open: GET / {x-a: \xa01\x85}"),
    fields("any token", b"X-A!#$%&'*+.^`|~: 1", FINE),
    fields("repeated", b"X-A: 1\r\nX-B: 2\r\nx-a: 3", "200 open: GET / {x-a: 1,3; x-b: 2}", COMMAS),
    fields("cookies", b"Cookie: a=1\r\nCookie: b=2", "200 open: GET / {cookie: a=1; b=2}", COOKIES),
    fields(
        "two types",
        b"Content-Type: a/b\r\nContent-Type: c/d",
        "200 open: GET / {content-type: a/b,c/d}",
        COMMAS | ONE_TYPE,
    ),
    fields("an underscore", b"X_A: 1", FINE),
    fields("an underscore beside", b"X_A: 1\r\nX-A: 2", "200 open: GET / {x-a: 2}"),
    fields("as of CGI", b"Script-Name: /x", "200 open: GET / {script-name: /x}"),
    fields("an upgrade to the unknown", b"Connection: upgrade\r\nUpgrade: x", FINE),
]

# --- Host ---------------------------------------------------------------------------------


def host(name: str, outcome: str, differs: Mapping[str, str] = NONE, *lines: bytes) -> Case:
    return Case(f"Host: {name}", head(GET, *lines), outcome, differs, ["host"])


HOSTS = [
    host("none", REFUSED, NO_HOST),
    host("twice", REFUSED, TWO_HOSTS, HOST, HOST),
    host("two", REFUSED, TWO_HOSTS, HOST, b"Host: b"),
    host("empty", "200 open: GET / {host: }", NONE, b"Host:"),
    host("with a port", "200 open: GET / {host: a:80}", NONE, b"Host: a:80"),
    host("with an empty port", "200 open: GET / {host: a:}", NONE, b"Host: a:"),
    host("with a bad port", REFUSED, ANY_HOST, b"Host: a:b"),
    host("with two ports", REFUSED, ANY_HOST, b"Host: a:1:2"),
    host("IPv6", "200 open: GET / {host: [::1]:80}", NONE, b"Host: [::1]:80"),
    host("half of IPv6", REFUSED, ANY_HOST, b"Host: [::1"),
    host("escaped", "200 open: GET / {host: %C3%A9}", NONE, b"Host: %C3%A9"),
    host("badly escaped", REFUSED, ANY_HOST, b"Host: %zz"),
    host("a list", REFUSED, ANY_HOST, b"Host: a, b"),
    host("a blank", REFUSED, ANY_HOST, b"Host: a b"),
    host("a path", REFUSED, ANY_HOST, b"Host: a/b"),
    host("a user", REFUSED, ANY_HOST, b"Host: u@a"),
    host("a fragment", REFUSED, ANY_HOST, b"Host: a#b"),
    host("a backslash", REFUSED, ANY_HOST, b"Host: a\\b"),
    host("a tag", REFUSED, ANY_HOST, b"Host: <a>"),
    host("a quote", REFUSED, ANY_HOST, b'Host: "a"'),
    host("beyond ASCII", REFUSED, ANY_HOST, b"Host: \xe9"),
]

# --- HTTP/1.0 -----------------------------------------------------------------------------


def old(name: str, outcome: str, differs: Mapping[str, str], *lines: bytes) -> Case:
    return Case(f"HTTP/1.0: {name}", head(*lines), outcome, differs)


OLD = [
    old("no Host", "200 closed: GET /", AFTER_LAST, b"GET / HTTP/1.0"),
    old("two of them", REFUSED, TWO_HOSTS, b"GET / HTTP/1.0", HOST, HOST),
    old(
        "keep-alive",
        "200 closed: GET /",
        KEPT_ALIVE,
        b"GET / HTTP/1.0",
        HOST,
        b"Connection: Keep-Alive",
    ),
    Case(
        "HTTP/1.0: keep-alive with a body",
        head(b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", b"Content-Length: 3") + b"abc",
        "200 closed: POST / 'abc'",
        KEPT_ALIVE,
    ),
    Case(
        "HTTP/1.0: chunks",
        head(b"POST / HTTP/1.0", HOST, CHUNKED) + ABC + END,
        REFUSED,
        CHUNKS_10,
    ),
    Case(
        "HTTP/1.0: chunks and keep-alive",
        head(b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", CHUNKED) + ABC + END,
        REFUSED,
        CHUNKS_10,
    ),
    Case(
        "HTTP/1.0: an expectation",
        head(b"POST / HTTP/1.0", HOST, b"Expect: 100-continue", b"Content-Length: 3") + b"abc",
        "200 closed: POST / 'abc'",
        AFTER_LAST,
    ),
]

# --- how long the body is -----------------------------------------------------------------


def length(value: str | bytes, outcome: str, differs: Mapping[str, str] = NONE) -> Case:
    raw = value if isinstance(value, bytes) else value.encode()
    name = f"Content-Length: {raw.decode('latin-1')!r}"
    return Case(name, post(b"abc", b"Content-Length: " + raw), outcome, differs)


LENGTHS = [
    length("3", ABC_READ),
    length("3 \t", ABC_READ),
    length("003", ABC_READ),
    length("3, 3", ABC_READ, ONE_LENGTH),
    length("3\r\nContent-Length: 3", ABC_READ, ONE_LENGTH),
    length("3\r\ncontent-length: 4", REFUSED),
    length("3\r\nContent-Length: 03", REFUSED),
    length("3, 4", REFUSED),
    length("3,", REFUSED),
    length("", REFUSED),
    length("+3", REFUSED),
    length("-3", REFUSED),
    length("-0", REFUSED),
    length("0x3", REFUSED),
    length("0_3", REFUSED),
    length("3.0", REFUSED),
    length("3e0", REFUSED),
    length("3 4", REFUSED),
    length('"3"', REFUSED),
    length("3;a=b", REFUSED),
    length("\u0663", REFUSED),
    length(b"\xb3", REFUSED),
    length(b"\x0b3", REFUSED),
    length(b"\xa03", REFUSED),
    length("0" * 30 + "3", REFUSED, ANY_ZEROS),
    Case("Content-Length: 0", post(b"", b"Content-Length: 0"), "200 open: POST /"),
    Case("Content-Length: a blank before the colon", post(b"", b"Content-Length : 0"), REFUSED),
    Case("Content-Length: folded", post(b"abc", b"Content-Length:\r\n 3"), REFUSED, FOLDED),
    Case("Content-Length: an underscore", post(b"", b"Content_Length: 3"), "200 open: POST /"),
    Case(
        "Content-Length: 30 digits",
        post(b"abc", b"Content-Length: " + b"9" * 30),
        "400",
        {"waitress": "answers 413", "gunicorn gthread": ENDLESS["gunicorn gthread"]},
        fin=True,
    ),
    Case(
        "Content-Length: beyond 64 bits",
        post(b"abc", b"Content-Length: 18446744073709551619"),
        "413",
        ENDLESS,
        fin=True,
    ),
    Case(
        "Content-Length: beyond what is taken",
        post(b"abc", b"Content-Length: 1073741825"),
        "413",
        ENDLESS,
        fin=True,
    ),
    Case("GET with a body", get(b"Content-Length: 3") + b"abc", "200 open: GET / 'abc'"),
    Case("GET in chunks", get(CHUNKED) + ABC + END, "200 open: GET / 'abc'"),
    Case("HEAD", head(b"HEAD / HTTP/1.1", HOST), "200 open: HEAD /"),
    Case(
        "HEAD with a body",
        head(b"HEAD / HTTP/1.1", HOST, b"Content-Length: 3") + b"abc",
        "200 open: HEAD / 'abc'",
    ),
]


def coding(value: str | bytes, outcome: str, differs: Mapping[str, str] = NONE) -> Case:
    raw = value if isinstance(value, bytes) else value.encode()
    name = f"Transfer-Encoding: {raw.decode('latin-1')!r}"
    return Case(name, post(ABC + END, b"Transfer-Encoding: " + raw), outcome, differs)


CODINGS = [
    coding("chunked", ABC_READ),
    coding("Chunked", ABC_READ),
    coding("chunked\t", ABC_READ),
    coding("chunked, chunked", UNKNOWN, CHUNKED_TWICE),
    coding("chunked\r\nTransfer-Encoding: chunked", UNKNOWN, CHUNKED_TWICE),
    coding("chunked\r\ntransfer-encoding: identity", UNKNOWN, FOR_400),
    coding("identity", UNKNOWN, FOR_400),
    coding("chunked, identity", UNKNOWN, FOR_400),
    coding("identity, chunked", UNKNOWN, OTHER_CODINGS),
    coding("gzip, chunked", UNKNOWN, OTHER_CODINGS),
    coding("gzip\r\nTransfer-Encoding: chunked", UNKNOWN, OTHER_CODINGS),
    coding("gzip", UNKNOWN, FOR_400),
    coding("xchunked", UNKNOWN, NOT_501),
    coding("chunked;a=b", UNKNOWN, NOT_501),
    coding('"chunked"', UNKNOWN, NOT_501),
    coding(", chunked", UNKNOWN, EMPTY_MEMBER),
    coding("chunked,", UNKNOWN, EMPTY_MEMBER),
    coding("", UNKNOWN, NOT_501 | {"waitress": "takes no name for no coding"}),
    coding("chun\u212aed", UNKNOWN, NOT_501),
    coding(b"\xa0chunked", UNKNOWN, NOT_501),
    coding(b"\x0bchunked", REFUSED),
    coding(b"chunked\x00", REFUSED),
    Case("Transfer-Encoding: a blank before", post(ABC, b"Transfer-Encoding : chunked"), REFUSED),
    Case(
        "Transfer-Encoding: folded",
        post(ABC + END, b"Transfer-Encoding:\r\n chunked"),
        REFUSED,
        FOLDED,
    ),
    Case(
        "Transfer-Encoding: an underscore", post(b"", b"Transfer_Encoding: x"), "200 open: POST /"
    ),
    Case(
        "a coding, then a length",
        post(ABC + END, CHUNKED, b"Content-Length: 3"),
        REFUSED,
        LENGTH_TOO,
    ),
    Case(
        "a length, then a coding",
        post(ABC + END, b"Content-Length: 3", CHUNKED),
        REFUSED,
        LENGTH_TOO,
    ),
    Case(
        "a length and a coding that agree",
        post(ABC + END, b"Content-Length: 13", CHUNKED),
        REFUSED,
        LENGTH_TOO,
    ),
    Case(
        "a request behind the one, in the other",
        post(END + SMUGGLED, b"Content-Length: %d" % len(END + SMUGGLED), CHUNKED),
        REFUSED,
        LENGTH_TOO,
    ),
    Case(
        "a length and an unknown coding",
        post(b"abc", b"Content-Length: 3", b"Transfer-Encoding: x"),
        UNKNOWN,
        NOT_501,
    ),
]

# --- chunks -------------------------------------------------------------------------------


def chunks(name: str, body: bytes, outcome: str, differs: Mapping[str, str] = NONE) -> Case:
    return Case(f"chunks: {name}", chunked(body), outcome, differs)


CHUNKS = [
    chunks("upper case", b"A\r\n0123456789\r\n" + END, "200 open: POST / '0123456789'"),
    chunks("lower case", b"a\r\n0123456789\r\n" + END, "200 open: POST / '0123456789'"),
    chunks("several", b"1\r\na\r\n2\r\nbc\r\n" + END, ABC_READ),
    chunks("none", END, "200 open: POST /"),
    chunks("zeros at the end", ABC + b"000\r\n\r\n", ABC_READ),
    chunks("zeros before", b"0003\r\nabc\r\n" + END, ABC_READ),
    chunks("20 digits", b"0" * 19 + ABC + END, ABC_READ),
    chunks("21 digits", b"0" * 20 + ABC + END, BROKEN, ANY_ZEROS),
    chunks("500 digits", b"0" * 500 + ABC + END, BROKEN, ANY_ZEROS),
    chunks(
        "what looks like the end",
        b"7\r\n\r\n0\r\n\r\n\r\n" + END,
        "200 open: POST / '\\r\\n0\\r\\n\\r\\n'",
    ),
    chunks("an extension", b"3;a=b\r\nabc\r\n0;c\r\n\r\n", ABC_READ),
    chunks("a quoted extension", b'3;a="b;c"\r\nabc\r\n' + END, ABC_READ),
    chunks("a long extension", b"3;" + b"a" * 4000 + b"\r\nabc\r\n" + END, ABC_READ),
    chunks("a blank before an extension", b"3 ;a=b\r\nabc\r\n" + END, BROKEN, BLANK),
    chunks("a control character", b"3;\x01\r\nabc\r\n" + END, ABC_READ, STRICT_EXTENSION),
    chunks("bare CR in an extension", b"3;a\rb\r\nabc\r\n" + END, ABC_READ, STRICT_EXTENSION),
    chunks("bare LF in an extension", b"3;a\nb\r\nabc\r\n" + END, BROKEN),
    chunks("blanks behind the size", b"3 \t\r\nabc\r\n" + END, ABC_READ, STRICT_SIZE),
    chunks("a blank before the size", b" 3\r\nabc\r\n" + END, BROKEN),
    chunks("a vertical tab", b"3\x0b\r\nabc\r\n" + END, BROKEN),
    chunks("no digit", b"g\r\nabc\r\n" + END, BROKEN),
    chunks("0x3", b"0x3\r\nabc\r\n" + END, BROKEN),
    chunks("-3", b"-3\r\nabc\r\n" + END, BROKEN),
    chunks("+3", b"+3\r\nabc\r\n" + END, BROKEN),
    chunks("0_3", b"0_3\r\nabc\r\n" + END, BROKEN),
    chunks("a digit beyond ASCII", "\u0663".encode() + b"\r\nabc\r\n" + END, BROKEN),
    chunks("an extension of nothing", b";a\r\nabc\r\n" + END, BROKEN),
    chunks("CR LF before", b"\r\n" + ABC + END, BROKEN, SKIPS_EMPTY),
    chunks("no CR LF behind", b"3\r\nabc" + END, BROKEN),
    chunks("something else behind", b"3\r\nabcXX" + END, BROKEN),
    chunks("half of CR LF behind", b"3\r\nabc\rX" + END, BROKEN),
    chunks("more than the size", b"3\r\nabcd\r\n" + END, BROKEN),
    chunks("less than the size", b"3\r\nab\r\n" + END, BROKEN),
    chunks("LF behind the size", b"3\nabc\r\n" + END, BROKEN),
    chunks("CR behind the size", b"3\rabc\r\n" + END, BROKEN),
    chunks("LF behind the data", b"3\r\nabc\n" + END, BROKEN),
    chunks("LF behind the last size", ABC + b"0\n\r\n", BROKEN, TO_CRLF),
    chunks("LF everywhere", b"3\nabc\n0\n\n", BROKEN),
    chunks("LF at the end", ABC + b"0\r\n\n", BROKEN, LF_TRAILER),
    chunks("LF at the end, and a request", ABC + b"0\r\n\n" + SMUGGLED, BROKEN, LF_TRAILER),
    chunks("a trailer", ABC + b"0\r\nX-T: 1\r\n\r\n", ABC_READ),
    chunks("trailers", ABC + b"0\r\nX-T: 1\r\nX-U: 2\r\n\r\n", ABC_READ),
    chunks("trailers, after an extension", ABC + b"0;a\r\nX-T: 1\r\nx-t: 2\r\n\r\n", ABC_READ),
    chunks("a trailer, then LF", ABC + b"0\r\nX-T: 1\r\n\n", BROKEN, LF_TRAILER),
    chunks("a trailer with LF", ABC + b"0\r\nX-T: 1\n\r\n", BROKEN, LF_TRAILER),
    chunks("LF between trailers", ABC + b"0\r\nX-T: 1\nX-U: 2\r\n\r\n", BROKEN, LF_TRAILER),
    chunks("a blank before the colon", ABC + b"0\r\nX-T : 1\r\n\r\n", BROKEN, NO_LOOK),
    chunks("no colon", ABC + b"0\r\nX-T\r\n\r\n", BROKEN, NO_LOOK),
    chunks("a request for a trailer", ABC + b"0\r\n" + SMUGGLED, BROKEN, TO_CRLF),
    chunks("bare CR in a trailer", ABC + b"0\r\nX-T: a\rb\r\n\r\n", BROKEN, NO_LOOK),
    chunks("NUL in a trailer", ABC + b"0\r\nX-T: a\x00b\r\n\r\n", BROKEN, NO_LOOK),
    chunks(
        "a control character in a trailer",
        ABC + b"0\r\nX-T: a\x01b\r\n\r\n",
        BROKEN,
        NO_LOOK | CONTROLS,
    ),
    chunks("a folded trailer", ABC + b"0\r\nX-T: a\r\n b\r\n\r\n", BROKEN, NO_LOOK | FOLDED),
    chunks("a length for a trailer", ABC + b"0\r\nContent-Length: 9\r\n\r\n", ABC_READ, FORBIDDEN),
    chunks("a coding for a trailer", ABC + b"0\r\n" + CHUNKED + b"\r\n\r\n", ABC_READ, FORBIDDEN),
    chunks("Host for a trailer", ABC + b"0\r\nHost: b\r\n\r\n", ABC_READ, FORBIDDEN),
    chunks("a long trailer", ABC + b"0\r\nX-T: " + b"a" * 5000 + b"\r\n\r\n", ABC_READ),
    Case(
        "chunks: a size beyond 64 bits",
        chunked(b"10000000000000003\r\nabc\r\n" + END),
        "400: POST / broken",
        fin=True,
    ),
]

# --- Expect -------------------------------------------------------------------------------

EXPECT = b"Expect: 100-continue"
UNREAD = b"POST /unread HTTP/1.1"
EXPECTING = [
    Case(
        "Expect: the body is read",
        [head(POST, HOST, EXPECT, b"Content-Length: 3"), None, b"abc"],
        "100 200 open: POST / 'abc'",
    ),
    Case(
        "Expect: chunks are read",
        [head(POST, HOST, EXPECT, CHUNKED), None, ABC + END],
        "100 200 open: POST / 'abc'",
    ),
    Case(
        "Expect: in other letters",
        [head(POST, HOST, b"expect: 100-Continue", b"Content-Length: 3"), None, b"abc"],
        "100 200 open: POST / 'abc'",
    ),
    Case(
        "Expect: the body is not read",
        head(UNREAD, HOST, EXPECT, b"Content-Length: 3"),
        "200: POST /unread",
        each("waitress", "gunicorn gthread", why="says 100 before anybody reads"),
        fin=True,
    ),
    Case(
        "Expect: a request instead of the body that is not read",
        head(UNREAD, HOST, EXPECT, b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,
        "200 open: POST /unread",
        CONTINUES,
    ),
    Case(
        "Expect: the body is there",
        post(b"abc", EXPECT, b"Content-Length: 3"),
        ABC_READ,
        CONTINUES_LATE,
    ),
    Case("Expect: there is no body", get(EXPECT), FINE, LOST),
    Case(
        "Expect: an empty body",
        post(b"", EXPECT, b"Content-Length: 0"),
        "200 open: POST /",
        LOST,
    ),
    Case(
        "Expect: something else",
        post(b"abc", b"Expect: x", b"Content-Length: 3"),
        ABC_READ,
        {"gunicorn gthread": "answers 417, as a server may"},
    ),
]

# --- bodies that nobody reads -------------------------------------------------------------

UNREAD_BODIES = [
    Case(
        "unread: a request in the body",
        head(UNREAD, HOST, b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED,
        "200 open: POST /unread",
    ),
    Case(
        "unread: a request in a chunk",
        head(UNREAD, HOST, CHUNKED) + b"%x\r\n%s\r\n" % (len(SMUGGLED), SMUGGLED) + END,
        "200 open: POST /unread",
    ),
    Case(
        "unread: a request behind a bad chunk",
        head(UNREAD, HOST, CHUNKED) + b"x\r\n" + SMUGGLED,
        "200 closed: POST /unread",
        UNREAD_CHUNK,
    ),
    Case(
        "unread: half a body",
        head(UNREAD, HOST, b"Content-Length: 3") + b"ab",
        "200: POST /unread",
        {"waitress": "calls the application only with a whole body"},
        fin=True,
    ),
]

# --- the client closes its side -----------------------------------------------------------

WHOLE = head(POST, HOST, CHUNKED) + b"3;a\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"


def halves() -> Iterator[Case]:
    """What comes of a request that breaks off, for each place where it can."""
    begin = WHOLE.index(b"\r\n\r\n") + 4
    for size in range(1, len(WHOLE)):
        name, raw = f"half: {size} bytes", WHOLE[:size]
        yield Case(name, raw, "-" if size < begin else "400: POST / broken", fin=True)


HALVES = [
    *halves(),
    Case("half: a length", post(b"", b"Content-Length: 3"), "400: POST / broken", SHORT, fin=True),
    Case("half: a body", post(b"ab", b"Content-Length: 3"), "400: POST / broken", SHORT, fin=True),
    Case("half: an empty line", b"\r\n", "-", fin=True),
    Case("half: the second", get() + b"GET /two HT", "200: GET /", fin=True),
    Case("whole: one", get(), "200: GET /", fin=True),
    Case("whole: a body", WHOLE, "200: POST / 'abc'", fin=True),
    Case("whole: two", get() + TWO, "200 200: GET /, GET /two", fin=True),
]

# --- how much -----------------------------------------------------------------------------


def long_line(size: int, outcome: str, differs: Mapping[str, str]) -> Case:
    target = b"/?" + b"a" * (size - len(b"GET /? HTTP/1.1"))
    raw = head(b"GET %s HTTP/1.1" % target, HOST)
    return Case(f"size: a line of {size}", raw, outcome.format(target.decode()), differs)


def long_head(size: int, outcome: str, differs: Mapping[str, str]) -> Case:
    raw = get(b"X-A: " + b"a" * (size - len(get(b"X-A: "))))
    return Case(f"size: a head of {size}", raw, outcome, differs)


def many(number: int, outcome: str, differs: Mapping[str, str]) -> Case:
    raw = get(*(b"X-%d: 1" % n for n in range(number - 1)))
    return Case(f"size: {number} fields", raw, outcome, differs)


SIZES = [
    long_line(4000, "200 open: GET {}", NONE),
    long_line(8192, "200 open: GET {}", LINE_OF_4094),
    long_line(8193, "414 closed", LONG_LINE),
    long_head(8000, FINE, NONE),
    long_head(10000, FINE, FIELD_OF_8190),
    many(100, FINE, NONE),
    many(101, "431 closed", MANY_FIELDS),
    many(1000, "431 closed", MANY_FIELDS),
]

# Of what is larger than a packet, other servers make this or that by what has come together.
LARGE = [
    long_head(65536, FINE, NONE),
    long_head(65537, "431 closed", NONE),
    long_head(300_000, "431 closed", NONE),
    Case("size: a line without an end", b"GET /" + b"a" * 300_000, "414", fin=True),
    Case("size: a name without an end", get()[:-2] + b"a" * 300_000, "431", fin=True),
    Case("size: a value without an end", get()[:-2] + b"a: " + b"a" * 300_000, "431", fin=True),
    chunks("a huge extension", b"3;" + b"a" * 300_000 + b"\r\nabc\r\n" + END, TOO_LARGE),
    chunks("a huge trailer", ABC + b"0\r\nX: " + b"a" * 300_000 + b"\r\n\r\n", TOO_LARGE),
    chunks("huge trailers", ABC + b"0\r\n" + b"X-T: 1\r\n" * 40_000 + b"\r\n", TOO_LARGE),
    chunks("a size without an end", b"3" * 300_000, TOO_LARGE),
]

CASES = [
    *PIPELINED,
    *LINES,
    *TARGETS,
    *FIELDS,
    *HOSTS,
    *OLD,
    *LENGTHS,
    *CODINGS,
    *CHUNKS,
    *EXPECTING,
    *UNREAD_BODIES,
    *HALVES,
    *SIZES,
]
