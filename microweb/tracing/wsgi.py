"""RecordedWSGI: a WSGI application, and a note of each call over the seam (PEP 3333).

The server calls the application, iterates over what it returned, and closes it; the application
calls `start_response` and the `write` that this returns, reads `wsgi.input`, writes to
`wsgi.errors`, and may use `wsgi.file_wrapper`. Each of these is passed on as it comes: nothing is
read ahead, asked for twice, or held back.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType
from typing import Any
from weakref import finalize

from .proxy import Proxy
from .recorder import Exchange, Recorded
from .values import type_name

READS = frozenset({"read", "read1", "readinto", "readinto1", "readline", "readlines"})
WRITES = frozenset({"write", "writelines", "flush"})


class RecordedWSGI(Recorded):
    """A WSGI application that is recorded."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Call the application, and hand back what it returns."""
        exchange = self.recorder.begin(environ)
        notation = self.recorder.notation
        exchange.tell("app.call", sys._getframe(1), environ=notation.environ(environ))
        file_wrapper = _replaced(environ, exchange)
        try:
            iterable = self.app(environ, _start_response(start_response, exchange))
        except BaseException as error:
            exchange.tell_raised("app.raise", error)
            self.recorder.end(exchange)
            raise
        is_servers = file_wrapper is not None and file_wrapper.made(iterable)
        exchange.tell("app.return", None, **_of_iterable(iterable), file_wrapper=is_servers)
        if is_servers:
            # A server knows its own by its type or its identity, and sends the file as it can.
            self.recorder.end(exchange)
            return iterable
        kind = SizedIterable if hasattr(type(iterable), "__len__") else Iterable
        returned = kind(iterable, exchange)
        finalize(returned, self.recorder.end, exchange).atexit = False
        return returned


def _of_iterable(iterable: Any) -> dict[str, Any]:
    # Only of what is known to have no will of its own: nothing is asked that the server does not.
    length = len(iterable) if type(iterable) in (list, tuple) else None
    return {"type": type_name(type(iterable)), "length": length}


# --- what the server gives the application ----------------------------------------------------


def _replaced(environ: dict[str, Any], exchange: Exchange) -> _FileWrapper | None:
    """Put the streams of an environ behind proxies; the rest of it is left alone."""
    if (stream := environ.get("wsgi.input")) is not None:
        environ["wsgi.input"] = Input(stream, exchange)
    if (stream := environ.get("wsgi.errors")) is not None:
        environ["wsgi.errors"] = Errors(stream, exchange)
    if (wrapper := environ.get("wsgi.file_wrapper")) is None:
        return None
    file_wrapper = _FileWrapper(wrapper, exchange)
    if isinstance(wrapper, (FunctionType, MethodType, BuiltinFunctionType)):
        # A class stays where it is: servers ask whether what is returned is an instance of it.
        environ["wsgi.file_wrapper"] = file_wrapper.call
    return file_wrapper


class _FileWrapper:
    """The server's `wsgi.file_wrapper`, and what it has made."""

    def __init__(self, original: Any, exchange: Exchange) -> None:
        self._original = original
        self._exchange = exchange
        self._made: Any = None

    def call(self, *arguments: Any, **more: Any) -> Any:
        """Call the original, and remember what it returned."""
        exchange = self._exchange
        told = {"arguments": exchange.noted([*arguments, *more.values()])}
        self._made = exchange.through(
            "wsgi.file_wrapper", sys._getframe(1), told, self._original, arguments, more
        )
        exchange.tell("wsgi.file_wrapper.return", None, type=type_name(type(self._made)))
        return self._made

    def made(self, iterable: Any) -> bool:
        """Whether this is what it has made."""
        if isinstance(self._original, type):
            return isinstance(iterable, self._original)
        return self._made is not None and iterable is self._made


def _start_response(original: Callable[..., Any], exchange: Exchange) -> Callable[..., Any]:
    def start_response(*arguments: Any, **more: Any) -> Any:
        status, headers, exc_info, *_ = (*arguments, None, None, None)
        told = {
            "status": exchange.noted(more.get("status", status)),
            "headers": exchange.noted(more.get("response_headers", headers)),
            "exc_info": _kind_of(more.get("exc_info", exc_info)),
        }
        write = exchange.through(
            "start_response", sys._getframe(1), told, original, arguments, more
        )
        exchange.tell("start_response.return")
        return _write(write, exchange) if callable(write) else write

    return start_response


def _kind_of(exc_info: Any) -> str | None:
    try:
        return type_name(exc_info[0]) if exc_info else None
    except Exception:
        return type_name(type(exc_info))  # no exc_info, and the server will say so


def _write(original: Callable[..., Any], exchange: Exchange) -> Callable[..., Any]:
    def write(*arguments: Any, **more: Any) -> Any:
        data = exchange.noted(next(iter((*arguments, *more.values())), None))
        told = {"bytes": data}
        result = exchange.through("write", sys._getframe(1), told, original, arguments, more)
        exchange.tell("write.return")
        return result

    return write


class Input(Proxy):
    """`wsgi.input`."""

    def wrapped(self, name: str, method: Any) -> Any:
        """Methods that read are recorded."""
        return _reading(self._exchange, name, method) if name in READS else method

    def __iter__(self) -> Any:
        iterator = iter(self._original)
        return self if iterator is self._original else Lines(iterator, self._exchange)

    def __next__(self) -> Any:
        return _reading(self._exchange, "__next__", self._original.__next__)()


class Lines(Proxy):
    """An iterator over `wsgi.input`, where that is not one by itself."""

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> Any:
        return _reading(self._exchange, "__next__", self._original.__next__)()


def _reading(exchange: Exchange, name: str, method: Any) -> Callable[..., Any]:
    def read(*arguments: Any, **more: Any) -> Any:
        told = {"method": name, "arguments": exchange.noted([*arguments, *more.values()])}
        result = exchange.through("wsgi.input", _caller(), told, method, arguments, more)
        data = _read(name, arguments, result)
        offset = exchange.take(len(data))
        noted = exchange.noted(data)
        exchange.tell("wsgi.input.return", None, method=name, bytes=noted, offset=offset)
        return result

    return read


def _read(name: str, arguments: tuple[Any, ...], result: Any) -> bytes:
    """The bytes that a method of `wsgi.input` has read, in whatever way it hands them over."""
    try:
        if name == "readlines":
            return b"".join(result)
        if name.startswith("readinto"):
            return bytes(memoryview(arguments[0]).cast("B")[: result or 0])
        return bytes(result or b"")
    except Exception:
        return b""  # a stream that hands over something else; whoever reads it has to cope


class Errors(Proxy):
    """`wsgi.errors`."""

    def wrapped(self, name: str, method: Any) -> Any:
        """Methods that write are recorded."""
        return _writing(self._exchange, name, method) if name in WRITES else method


def _writing(exchange: Exchange, name: str, method: Any) -> Callable[..., Any]:
    def write(*arguments: Any, **more: Any) -> Any:
        given = exchange.noted([*arguments, *more.values()])
        exchange.tell("wsgi.errors.call", sys._getframe(1), method=name, arguments=given)
        return method(*arguments, **more)

    return write


def _caller() -> FrameType | None:
    """The first frame outside of this module: where an iterator reads, one of ours is between."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals is globals():
        frame = frame.f_back
    return frame


# --- what the application gives the server ----------------------------------------------------


class Iterable(Proxy):
    """What an application returned."""

    def wrapped(self, name: str, method: Any) -> Any:
        """Its `close()` is recorded."""
        return _closing(self._exchange, method) if name == "close" else method

    def __iter__(self) -> Any:
        exchange = self._exchange
        iterator = exchange.through("iter", sys._getframe(1), {}, iter, (self._original,))
        exchange.tell("iter.return", None, type=type_name(type(iterator)))
        # One that is its own iterator stays so, and is iterated for as long as it is held.
        return self if iterator is self._original else Chunks(iterator, exchange)

    def __next__(self) -> Any:
        return _next(self._exchange, self._original)


class SizedIterable(Iterable):
    """What an application returned, and has a length: with one of 1 its size is known early."""

    def __len__(self) -> int:
        return len(self._original)


class Chunks(Proxy):
    """An iterator over what an application returned."""

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> Any:
        return _next(self._exchange, self._original)


def _next(exchange: Exchange, iterator: Any) -> Any:
    chunk = exchange.through("next", sys._getframe(2), {}, next, (iterator,))
    exchange.tell("next.return", None, bytes=exchange.noted(chunk))
    return chunk


def _closing(exchange: Exchange, original: Callable[..., Any]) -> Callable[..., Any]:
    def close(*arguments: Any, **more: Any) -> Any:
        result = exchange.through("close", sys._getframe(1), {}, original, arguments, more)
        exchange.tell("close.return")
        return result

    return close
