"""Client: sends one request exactly as it was asked for, and reads the answer as it comes."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import h11
from wsproto import ConnectionType, events
from wsproto.connection import Connection
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from .asked import Asked

KEPT = 64 * 1024  # bytes of a body
PAUSE = 0.05  # seconds between two pieces, so that they arrive as two
QUIET = 0.2  # seconds without a message, after which a conversation has nothing more to say
LONGEST_HEAD = 1024 * 1024  # bytes

Ended = Literal["complete", "cut", "left", "late", "refused"]
Between = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Answer:
    """What came back, and how it ended.

    "complete"; "cut" by the server, `why` says how; "left" by us, as we were asked to; "late",
    so that we left; "refused", so that there was no connection.
    """

    status: int | None = None
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""  # the first of it
    size: int = 0
    interim: list[int] = field(default_factory=list)
    messages: list[str | bytes] = field(default_factory=list)  # of a WebSocket
    ended: Ended = "cut"  # until more is known
    why: str = ""


async def _pause() -> None:
    await asyncio.sleep(PAUSE)


async def ask(
    host: str,
    port: int,
    asked: Asked,
    *,
    timeout: float = 10.0,
    between: Between = _pause,
    continue_after: float = 1.0,
) -> Answer:
    """Send a request, and return what was answered within `timeout` seconds.

    `between` is awaited between two pieces of a body. One that waits for 100 goes out
    nevertheless after `continue_after` seconds of silence.
    """
    answer = Answer()
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        answer.ended, answer.why = "refused", str(error)
        return answer
    visit = _Visit(asked, answer, reader, writer, between, continue_after)
    try:
        async with asyncio.timeout(timeout):
            await visit.run(f"{host}:{port}")
        answer.ended = "complete"
    except TimeoutError:
        answer.ended = "late"
    except _Left:
        answer.ended = "left"
    except (OSError, h11.RemoteProtocolError, RemoteProtocolError) as error:
        answer.why = str(error) or type(error).__name__
    finally:
        # What a server no longer reads would never be gone.
        if answer.ended != "complete" or writer.transport.get_write_buffer_size():
            _tear(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return answer


class _Left(Exception):
    """We have seen enough."""


class _Visit:
    """A connection, and the one request on it."""

    def __init__(
        self,
        asked: Asked,
        answer: Answer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        between: Between,
        continue_after: float,
    ) -> None:
        self.asked = asked
        self.answer = answer
        self._reader = reader
        self._writer = writer
        self._between = between
        self._continue_after = continue_after
        self._may_send = asyncio.Event()  # what was held back until the server has spoken

    async def run(self, host: str) -> None:
        """Send and read, both at once: a server may answer before it has heard all."""
        self._writer.write(self.asked.head(host))
        sending = asyncio.create_task(self._send())
        try:
            await self._read()
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending

    async def _send(self) -> None:
        await self._writer.drain()
        if self.asked.is_handshake:
            return
        if self.asked.expects:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._continue_after):
                    await self._may_send.wait()
            if self.answer.status is not None:
                return
        for index, piece in enumerate(self.asked.framed()):
            if index:
                await self._between()
            self._writer.write(piece)
            await self._writer.drain()

    async def _read(self) -> None:
        answer = self.answer
        parser = _parser_for(self.asked)
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(65536)
                if not data and answer.status is None:
                    raise ConnectionError("the connection was closed without an answer")
                parser.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                answer.interim.append(event.status_code)
                if event.status_code == 100:
                    self._may_send.set()
                if event.status_code == 101:
                    self._heard(event)
                    await self._converse(parser.trailing_data[0])
                    return
            elif isinstance(event, h11.Response):
                self._heard(event)
                self._may_send.set()
            elif isinstance(event, h11.Data):
                answer.size += len(event.data)
                answer.body += event.data[: KEPT - len(answer.body)]
                self._leave()
            else:
                return

    def _heard(self, event: h11.Response | h11.InformationalResponse) -> None:
        self.answer.status = event.status_code
        self.answer.reason = event.reason.decode("latin-1")
        self.answer.headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers
        ]

    def _leave(self) -> None:
        if self.asked.leave:
            raise _Left

    # --- a WebSocket ----------------------------------------------------------------------------

    async def _converse(self, received: bytes) -> None:
        """Send the pieces as messages, wait for as many, and say goodbye (RFC 6455, 7).

        A room may greet before it is spoken to, so that the goodbye waits for silence too.
        """
        frames = Connection(ConnectionType.CLIENT)
        frames.receive_data(received)
        if not self.asked.pieces:
            self._leave()
        sending = asyncio.create_task(self._say(frames))
        try:
            while await self._listen(frames):
                pass
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError, LocalProtocolError):
                await sending

    async def _say(self, frames: Connection) -> None:
        for index, piece in enumerate(self.asked.pieces):
            if index:
                await self._between()
            self._writer.write(frames.send(_message(piece)))
            await self._writer.drain()
        heard = -1
        while heard < len(self.answer.messages) or heard < len(self.asked.pieces):
            heard = len(self.answer.messages)
            await asyncio.sleep(QUIET)
        self._goodbye(frames)

    def _goodbye(self, frames: Connection) -> None:
        with suppress(LocalProtocolError):  # it is closing already
            self._writer.write(frames.send(events.CloseConnection(1000)))

    async def _listen(self, frames: Connection) -> bool:
        """Take what is there, or wait for it; False at the end of the conversation."""
        for event in frames.events():
            if isinstance(event, events.Message):
                self._take(event)
            elif isinstance(event, events.Ping):
                with suppress(LocalProtocolError):  # we have said goodbye
                    self._writer.write(frames.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                with suppress(LocalProtocolError):  # it answers ours
                    self._writer.write(frames.send(event.response()))
                return False
        data = await self._reader.read(65536)
        if not data:
            raise ConnectionError("the WebSocket broke off, without a goodbye")
        frames.receive_data(data)
        return True

    def _take(self, event: events.Message[Any]) -> None:
        data: str | bytes = event.data if isinstance(event.data, str) else bytes(event.data)
        messages = self.answer.messages
        if self._is_whole:
            messages.append(data)
        else:
            messages[-1] += data  # type: ignore[operator]
        self._is_whole = event.message_finished
        if self._is_whole:
            self._leave()

    _is_whole = True


def _message(piece: bytes) -> events.Message[Any]:
    try:
        return events.TextMessage(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return events.BytesMessage(piece)


def _parser_for(asked: Asked) -> h11.Connection:
    """A parser of the answer; what it is told of the request is what an answer depends on."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    headers = [("host", "x")]
    if asked.is_handshake:
        headers += [("connection", "upgrade"), ("upgrade", "websocket")]
    parser.send(h11.Request(method=asked.method, target=asked.target, headers=headers))
    parser.send(h11.EndOfMessage())
    return parser


def _tear(writer: asyncio.StreamWriter) -> None:
    """Go away without a goodbye: the other side's next write fails."""
    peer = writer.get_extra_info("socket")
    with suppress(OSError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
