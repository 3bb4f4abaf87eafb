"""The picture of the layers: a line that says it all, then the tower from the socket down."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..format import Run, Trace
from ..terminal.strokes import Pen, styled
from .packages import YOU
from .tower import Band, Frame, Stack, bands_of, most_telling, relations

MOST_FRAMES = 3  # of one band
MOST_OTHERS = 4  # of your functions that are not the handler
NOTHING = (
    "No function of yours was called: the request was answered, or refused, by others. Name a"
    " path for which you have a handler."
)


def show_layers(trace: Trace, console: Console) -> None:
    """Print, for each run of a trace, who stood between the socket and the handler."""
    pen = Pen.for_encoding(console.encoding)
    for index, run in enumerate(trace.runs):
        own = [each for each in trace.events if each.run == index]
        stacks = [each.data for each in own if each.kind == "stack"]
        handler = next((each.source for each in own if each.kind == "handler.call"), None)
        for line in Picture(run, stacks, handler, pen, console.width).lines():
            line.rstrip()
            console.print(line, markup=False, highlight=False, soft_wrap=True)


class Picture:
    """The lines for one run."""

    def __init__(
        self,
        run: Run,
        stacks: Sequence[Stack],
        handler: Mapping[str, Any] | None,
        pen: Pen,
        width: int,
    ) -> None:
        self.run = run
        self.stack = stack = most_telling(stacks, handler)
        self.others = [each["frames"][-1] for each in stacks if each is not stack]
        self.pen = pen
        self.width = width
        self.bands = bands_of(stack) if stack else []
        names = [self._name(band) for band in self.bands if band.role != "you"]
        self._column = max(map(len, [*names, "your code"]))
        self._room = width - self._column - 4

    def lines(self) -> Iterator[Text]:
        """From the line that says it all to who calls whom."""
        yield Text()
        yield styled(self.pen.cut(self.pen.safe(self._summary()), self.width), "heading")
        yield Text()
        if not self.stack:
            yield from self._prose(NOTHING, "problem")
            return
        yield self._row("socket", "the operating system's", "quiet")
        was_server = True
        for band in self.bands:
            if was_server and band.role != "server":
                was_server = False
                yield self._seam()
            yield from self._band(band)
        yield Text()
        for sentence in self._sentences():
            yield from self._prose(sentence)

    def _summary(self) -> str:
        """`WSGI: gunicorn 27.0.1 ┃ Flask 3.1.3 │ your code (app.py)`; without versions, if long."""
        inner = [band for band in self.bands if band.role != "server" and not band.is_python]
        start = f"{self.run.protocol.upper()}: {self.run.server} {self.pen.strokes.seam} "
        joint = f" {self.pen.strokes.border} "
        whole = start + (joint.join(dict.fromkeys(map(self._name, inner))) or "?")
        if cell_len(whole) <= self.width:
            return whole
        return start + joint.join(dict.fromkeys(_who(band.package) for band in inner))

    def _name(self, band: Band) -> str:
        if band.role == "you":
            files = dict.fromkeys(os.path.basename(each["file"]) for each in band.frames)
            return f"your code ({', '.join(files)})"
        return f"{band.package} {band.version}".rstrip()

    def _band(self, band: Band) -> Iterator[Text]:
        style = {"server": "server", "framework": "framework", "you": "heading"}[band.role]
        if band.is_python:
            yield self._row(f"python {band.version}", self._through(band), "quiet")
            return
        shown = band.frames
        if len(shown) > MOST_FRAMES:
            shown = (*shown[: MOST_FRAMES - 1], shown[-1])
        for index, frame in enumerate(shown):
            if index == len(shown) - 1 and len(shown) < len(band.frames):
                left = len(band.frames) - len(shown)
                yield self._row("", f"... {left} more", "quiet")
            name = "" if index else "your code" if band.role == "you" else self._name(band)
            yield self._row(name, self._told(frame), style)

    def _told(self, frame: Frame) -> str:
        whole = f"{_function(frame)}  {_place(frame)}"
        if cell_len(self.pen.safe(whole)) <= self._room:
            return whole
        return f"{_function(frame)}  {_place(frame, 1)}"  # rather no folder than no line

    def _through(self, band: Band) -> str:
        modules = dict.fromkeys(frame["module"].partition(".")[0] for frame in band.frames)
        return ", ".join(modules)

    def _row(self, name: str, text: str, style: str) -> Text:
        text = self.pen.cut(self.pen.safe(text), self._room)
        return styled(f"  {self.pen.safe(name):<{self._column}}  ", style) + styled(text, style)

    def _seam(self) -> Text:
        call = "app(environ, start_response)"
        if self.run.protocol == "asgi":
            call = "await app(scope, receive, send)"
        stroke = "━" if self.pen.strokes.seam == "┃" else "="
        start = f"{stroke * 2} {call} "
        return styled(start + stroke * max(self.width - len(start), 0), "seam")

    # --- in words -------------------------------------------------------------------------------

    def _sentences(self) -> Iterator[str]:
        if calls := list(_told(relations(self.bands))):
            yield f"{_listed(calls)}."
        if self.others:
            names = [f"{_function(each)} ({_place(each)})" for each in self.others[:MOST_OTHERS]]
            left = len(self.others) - len(names)
            names += [f"{left} more"] if left else []
            yield f"Called as well, of your functions: {_listed(names)}."
        passed = self.stack["on_the_way"] if self.stack else []
        yield from map(_returned, sorted(passed, key=lambda each: -each["calls"]))

    def _prose(self, text: str, style: str = "server") -> Iterator[Text]:
        for line in self.pen.wrapped(self.pen.safe(text), self.width, 8):
            yield styled(line, style)


def _told(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    for one, other in pairs:
        if (other, one) not in pairs:
            yield f"{_who(one)} calls {_who(other)}"
        elif pairs.index((one, other)) < pairs.index((other, one)):
            yield f"{_who(one)} and {_who(other)} call each other"


def _who(package: str) -> str:
    return "your code" if package == YOU else package


def _returned(each: Mapping[str, Any]) -> str:
    """`Flask also called Werkzeug 3.1.9, which has returned: 55 calls, 26 of them for ...`"""
    name = f"{each['package']} {each['version']}".rstrip()
    by = _listed([_who(package) for package in each["by"]])
    called = f"{by} also called {name}, which" if by else f"{name} was called too, and"
    calls = "1 call" if each["calls"] == 1 else f"{each['calls']:,} calls"
    into = each["into"]
    part = "" if into["calls"] == each["calls"] else f"{into['calls']:,} of them "
    return f"{called} has returned: {calls}, {part}for {into['function']}."


def _function(frame: Frame) -> str:
    """`run`, for `serve.<locals>.run`, and `Flask.wsgi_app`."""
    return str(frame["function"]).rpartition("<locals>.")[2]


def _place(frame: Frame, depth: int = 2) -> str:
    """`flask/app.py:1511`, or `shop.py:5`."""
    path = os.path.normpath(frame["file"]).split(os.sep)
    return f"{'/'.join(path[-1 if frame['package'] == YOU else -depth :])}:{frame['line']}"


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
