"""Traces written by hand, true to what gunicorn and uvicorn do, for the tests of the pictures."""

from __future__ import annotations

from typing import Any, get_args

from microweb.tracing.format import KINDS, Direction, Event, Protocol, Run, Trace

Data = dict[str, Any]
HEAD = "Host: 127.0.0.1:8000\r\nAccept: */*\r\nUser-Agent: microweb\r\n\r\n"
TEXT = [["content-type", "text/plain; charset=utf-8"], ["content-length", "13"]]


def octets(text: str) -> Data:
    """Bytes, as a trace holds them."""
    return {"$bytes": text, "size": len(text)}


class Story:
    """A trace that grows event by event, each some microseconds after the one before."""

    def __init__(self, protocol: Protocol = "wsgi", **more: Any) -> None:
        self.trace = Trace([])
        self.clock = 0
        self.exchange: int | None = 1
        self.begin(protocol, **more)

    def begin(self, protocol: Protocol, **more: Any) -> None:
        """From here on, another run."""
        server = "gunicorn 27.0.1" if protocol == "wsgi" else "uvicorn 0.54.0"
        given = {"server": server, "target": f"{protocol}_app:app", **more}
        self.trace.runs.append(Run(protocol, **given))
        self.clock, self.exchange = 81_000_000_000, 1
        task = None if protocol == "wsgi" else "Task-3"
        self.where: Data = {"process": 4711, "thread": "MainThread", "task": task}

    def tell(self, kind: str, after: int = 100, /, **data: Any) -> Event:
        """Something happened, some microseconds later."""
        side, direction, _ = KINDS.get(kind, ("framework", "in", ""))
        if "direction" in data or direction not in get_args(Direction):
            direction = data.pop("direction")
        self.clock += after * 1000
        event = Event(self.clock, side, direction, kind, data)  # type: ignore[arg-type]
        event.run, event.exchange = len(self.trace.runs) - 1, self.exchange
        event.where = None if side == "wire" else self.where
        self.trace.events.append(event)
        return event

    def come(self, text: str, after: int = 100) -> None:
        """Bytes from the client."""
        self.flow("in", text, after)

    def go(self, text: str, after: int = 100) -> None:
        """Bytes from the server."""
        self.flow("out", text, after)

    def flow(self, direction: str, text: str, after: int) -> None:
        """Bytes on the wire."""
        data = {"connection": 1, "offset": 0, "bytes": octets(text), "parts": []}
        self.tell("bytes", after, direction=direction, **data)

    def ask(self, line: str = "GET /caf%C3%A9", path: str = "/café", body: str = "") -> None:
        """A request on the wire, and the call of the application."""
        self.tell("connect", connection=1, port=51234)
        self.come(f"{line} HTTP/1.1\r\n{HEAD}{body}")
        self.call(line.split(" ")[0], path)

    def call(self, method: str = "GET", path: str = "/café") -> None:
        """The call of the application."""
        if self.trace.runs[-1].protocol == "wsgi":
            told = path.encode().decode("latin-1")
            environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": told, "$more": 31}
            self.tell("app.call", 500, environ={**environ, "QUERY_STRING": ""})
        else:
            scope = {"type": "http", "method": method, "path": path, "query_string": octets("")}
            self.tell("app.call", 500, scope={**scope, "headers": [], "$more": 7})

    def start(self, status: int = 200, phrase: str = "OK", headers: Any = TEXT) -> None:
        """The application begins its answer."""
        if self.trace.runs[-1].protocol == "wsgi":
            self.tell(
                "start_response.call", status=f"{status} {phrase}", headers=headers, exc_info=None
            )
            self.tell("start_response.return", 5)
        else:
            self.send("http.response.start", status=status, headers=headers)

    def send(self, kind: str, **message: Any) -> None:
        """A message of the application's."""
        self.tell("send.call", message={"type": kind, **message})
        self.tell("send.return", 20)

    def receive(self, kind: str, after: int = 20, **message: Any) -> None:
        """A message that the application has asked for."""
        self.tell("receive.call")
        self.tell("receive.return", after, message={"type": kind, **message}, offset=0)

    def next(self, chunk: str | None, after: int = 20) -> None:
        """The server asks for a chunk, and gets it; or learns that there is none."""
        self.tell("next.call", 20)
        if chunk is None:
            self.tell("next.raise", after, type="StopIteration", message="")
        else:
            self.tell("next.return", after, bytes=octets(chunk))

    def iterate(self, *chunks: str | None) -> None:
        """A list is returned, and the server takes its chunks."""
        self.tell("app.return", type="list", length=1)
        self.tell("iter.call", 20)
        self.tell("iter.return", 5, type="list_iterator")
        for chunk in chunks:
            self.next(chunk)

    def close(self) -> None:
        """The server closes the iterable."""
        self.tell("close.call", 30)
        self.tell("close.return", 10)

    def inside(self, thread: str = "", is_async: bool = False) -> None:
        """A framework that can be observed finds and calls a handler."""
        request = {"method": "GET", "path": "/café", "query": [], "client": ["127.0.0.1", 51234]}
        self.tell("request", **request)
        self.tell("layer.call", layer="timing (/site/shop.py:12)")
        self.tell("match", route="/{word}", name="word", path_params={"word": "café"}, spans={})
        handler = "word (/site/shop.py:20)"
        outside = self.where
        if thread:
            self.where = {**outside, "thread": thread, "task": None}
        self.tell("handler.call", handler=handler, is_async=is_async, arguments={"word": "café"})
        self.tell("handler.return", 40, handler=handler, type="str", value="Hello, café!")
        self.where = outside
        self.tell("layer.return", layer="timing (/site/shop.py:12)", status=200)
        self.tell("response", status=200, headers=TEXT, bytes=octets("Hello, caf\xc3\xa9!"))

    def answer(self, body: str = "Hello, caf\xc3\xa9!", wire: bool = True) -> None:
        """The whole answer, in a chunk."""
        head = "HTTP/1.1 200 OK\r\nServer: it\r\nDate: today\r\nConnection: close\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in TEXT) + "\r\n"
        self.start()
        if self.trace.runs[-1].protocol == "wsgi":
            self.iterate(body)
            self.go(head + body)
            self.next(None)
            self.close()
        else:
            self.go(head)
            self.send("http.response.body", body=octets(body), more_body=False)
            self.go(body)
            self.tell("app.return")


def ordinary(*protocols: Protocol) -> Trace:
    """An ordinary request to an application that can be observed, in one run or two."""
    story = Story(protocols[0])
    for index, protocol in enumerate(protocols):
        if index:
            story.begin(protocol)
        story.ask()
        story.inside("" if protocol == "wsgi" else "microweb_0")
        story.answer()
    return story.trace


def dark() -> Trace:
    """An application of Flask, which cannot be observed."""
    story = Story(software={"python": "3.13.1", "flask": "3.1.3", "gunicorn": "27.0.1"})
    story.ask()
    story.answer()
    return story.trace


def raises() -> Trace:
    """An application that raises before it has answered."""
    story = Story("asgi", server="uvicorn 0.54.0")
    story.ask("GET /broken", "/broken")
    story.tell("app.raise", type="ValueError", message="no such thing")
    story.go("HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\n\r\nInternal Server Error")
    story.tell("eof", direction="out", connection=1)
    return story.trace


def raises_late() -> Trace:
    """An application that raises in the middle of its body."""
    story = Story()
    story.ask("GET /broken", "/broken")
    story.start()
    story.tell("app.return", type="generator", length=None)
    story.tell("iter.call", 5)
    story.tell("iter.return", 5, type="generator")
    story.next("half of it")
    story.go("HTTP/1.1 200 OK\r\nServer: gunicorn\r\n\r\nhalf of it")
    story.tell("next.call")
    story.tell("next.raise", type="some.where.Broken", message="a pipe")
    story.close()
    story.tell("eof", direction="out", connection=1)
    return story.trace


def left() -> Trace:
    """A client that leaves a stream of WSGI."""
    story = Story()
    story.ask("GET /stream", "/stream")
    story.start()
    story.tell("app.return", type="generator", length=None)
    story.go("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        story.next("tick\n", 250_000)
        story.go("6\r\ntick\n\r\n")
    story.tell("reset", direction="in", connection=1)
    story.next("tick\n", 250_000)
    story.close()
    return story.trace


def left_early() -> Trace:
    """A client that leaves, of which only the close of the iterable tells."""
    story = Story()
    story.ask("GET /stream", "/stream")
    story.start()
    story.tell("app.return", type="generator", length=None)
    story.next("tick\n")
    story.close()
    return story.trace


def left_asgi() -> Trace:
    """A client that leaves a stream of ASGI."""
    story = Story("asgi")
    story.ask("GET /stream", "/stream")
    story.start()
    story.go("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    story.tell("receive.call")
    for _ in range(3):
        story.send("http.response.body", body=octets("tick\n"), more_body=True)
        story.go("6\r\ntick\n\r\n", 200_000)
    story.tell("eof", direction="in", connection=1)
    story.tell("receive.return", message={"type": "http.disconnect"}, offset=0)
    story.tell("app.return")
    return story.trace


def alone() -> Trace:
    """A request that the server answers itself."""
    story = Story()
    story.come("GARBAGE\r\n\r\n")
    story.go("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    return story.trace


def upload(protocol: Protocol) -> Trace:
    """A body in three chunks, for which the client waits to be asked."""
    story = Story(protocol)
    story.ask("POST /upload", "/upload")
    pieces = ("5\r\nthree\r\n", "6\r\npieces\r\n", "0\r\n\r\n")
    if protocol == "wsgi":
        story.tell("wsgi.input.call", method="read", arguments=[1048576])
        story.go("HTTP/1.1 100 Continue\r\n\r\n")
        for piece in pieces:
            story.come(piece, 100_000)
        data = octets("threepieces")
        story.tell("wsgi.input.return", method="read", bytes=data, offset=0)
    else:
        for index, piece in enumerate(pieces):
            story.tell("receive.call")
            if not index:
                story.go("HTTP/1.1 100 Continue\r\n\r\n")
            story.come(piece, 100_000)
            body = octets(piece[3:].strip())
            message = {"type": "http.request", "body": body, "more_body": index < 2}
            story.tell("receive.return", message=message, offset=0)
    story.answer()
    return story.trace


def head() -> Trace:
    """HEAD of what does not exist."""
    story = Story("wsgi")
    story.ask("HEAD /nowhere", "/nowhere")
    story.tell("request", method="HEAD", path="/nowhere")
    story.tell("match", route=None, allow=[], redirect=None)
    story.tell("response", status=404, headers=TEXT, bytes=octets("Not Found"))
    story.start(404, "Not Found")
    story.tell("app.return", type="list", length=0)
    story.next(None)
    story.go("HTTP/1.1 404 Not Found\r\nServer: gunicorn\r\ncontent-length: 9\r\n\r\n")
    return story.trace


def websocket() -> Trace:
    """A conversation."""
    story = Story("asgi")
    story.come("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ****\r\n\r\n")
    story.tell("app.call", scope={"type": "websocket", "path": "/chat", "subprotocols": []})
    story.receive("websocket.connect")
    story.send("websocket.accept", subprotocol=None, headers=[])
    story.go("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    for text in ("hello", "你好"):
        story.tell("receive.call")
        story.come("\x81\x85abcdefghi", 1000)
        message = {"type": "websocket.receive", "text": text}
        story.tell("receive.return", message=message, offset=None)
        story.send("websocket.send", text=f"you said {text}")
        story.go("\x81\x0eyou said ...")
    story.send("websocket.close", code=1000, reason="bye")
    story.go("\x88\x02\x03\xe8")
    story.tell("app.return")
    return story.trace


def file() -> Trace:
    """A file that the server sends itself."""
    story = Story()
    story.ask("GET /file", "/file")
    story.tell("wsgi.file_wrapper.call", arguments=[{"$type": "io.BufferedReader"}, 65536])
    story.tell("wsgi.file_wrapper.return", type="gunicorn.http.wsgi.FileWrapper")
    story.start()
    story.tell("app.return", type="gunicorn.http.wsgi.FileWrapper", length=None, file_wrapper=True)
    story.go("HTTP/1.1 200 OK\r\nServer: gunicorn\r\n\r\n")
    story.go("x" * 3000, 2000)
    story.close()
    return story.trace


def twice() -> Trace:
    """Two requests on one connection, after a lifespan."""
    story = Story("asgi")
    story.exchange = None
    story.tell("app.call", scope={"type": "lifespan"})
    story.receive("lifespan.startup")
    story.send("lifespan.startup.complete")
    for number in (1, 2):
        story.exchange = number
        story.ask()
        story.answer()
    return story.trace


def endless(protocol: Protocol = "asgi", number: int = 1000) -> Trace:
    """A stream that does not want to end."""
    story = Story(protocol)
    story.ask("GET /stream", "/stream")
    story.start()
    for count in range(number):
        if protocol == "asgi":
            story.send("http.response.body", body=octets(f"{count}\n"), more_body=True)
        else:
            story.next(f"{count}\n")
        story.go(f"{count}\n")
    story.tell("cut", why="more than 2000 events")
    return story.trace


def hostile(text: str) -> Trace:
    """A text, wherever a stranger may put one."""
    story = Story("asgi", target=text, server=text)
    story.come(f"GET /{text} HTTP/1.1\r\nX: {text}\r\n\r\n{text}")
    story.call(text, text)
    story.tell("handler.call", handler=text, is_async=True, arguments={text: text})
    story.tell("handler.raise", handler=text, type=text, message=text)
    story.receive("websocket.receive", text=text)
    story.send(text, text=text)
    story.start(headers=[[text, text]])
    story.tell("cut", why=text)
    story.go(text)
    story.tell("app.raise", type=text, message=text)
    return story.trace


SAMPLES = {
    "wsgi": ordinary("wsgi"),
    "asgi": ordinary("asgi"),
    "both": ordinary("wsgi", "asgi"),
    "dark": dark(),
    "raises": raises(),
    "raises late": raises_late(),
    "left": left(),
    "left early": left_early(),
    "left asgi": left_asgi(),
    "alone": alone(),
    "upload wsgi": upload("wsgi"),
    "upload asgi": upload("asgi"),
    "head": head(),
    "websocket": websocket(),
    "file": file(),
    "twice": twice(),
    "endless wsgi": endless("wsgi"),
    "endless asgi": endless("asgi"),
    "empty": Story().trace,
    "hostile": hostile("\x1b[31m[bold]x[/bold]\x9b2J\u202e你好\ufe0f\ud800 \r\n\t"),
}
