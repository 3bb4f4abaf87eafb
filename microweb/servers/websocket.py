"""One call of an ASGI application for a WebSocket: messages go both ways until one side closes.

The frames are wsproto's (RFC 6455). What stands here is the seam: the events of ASGI 3.0,
"WebSocket", and who is told of what.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from wsproto import ConnectionType, WSConnection, events
from wsproto.connection import ConnectionState
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from .access import log_failure
from .asgi_call import Application, Message
from .connection import ClientLeft, tells_of_client
from .heads import FAILED, Refusal, Request
from .scope import Scope, websocket_scope_of
from .settings import Settings
from .stream import Signal, Stream

NORMAL, TOO_BIG, INTERNAL_ERROR, RESTART = 1000, 1009, 1011, 1012
NO_CODE, LOST = 1005, 1006  # never sent: what a side that has heard none says to itself
WAITING = 16  # messages that wait for the application at most; then the client has to
CLOSE_TIMEOUT = 2.0  # seconds for the client to answer a close


def wants_websocket(request: Request) -> bool:
    """Whether a request asks to go on as a WebSocket (RFC 6455, section 4.2.1)."""
    upgrade, connection = request.header(b"upgrade"), request.header(b"connection")
    return (
        request.method == "GET"
        and request.version == "1.1"
        and (upgrade or b"").lower() == b"websocket"
        and b"upgrade" in [part.strip() for part in (connection or b"").lower().split(b",")]
    )


class WebSocketCall:
    """A WebSocket, from its handshake to its close, and the application that talks over it."""

    def __init__(self, stream: Stream, request: Request, scope: Scope, settings: Settings) -> None:
        self._stream = stream
        self._http = stream.http
        self._request = request
        self._scope = scope
        self._settings = settings
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._state: State = "new"
        self._inbox: deque[Message] = deque()
        self._came = Signal()  # into the inbox
        self._taken = Signal()  # out of it
        self._message: io.StringIO | io.BytesIO | None = None  # as far as it has come
        self._size = 0  # of it
        self._sending = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None
        self.is_whole = False  # no other request follows on this connection
        self.responded = asyncio.Event()  # it is over

    async def run(self, app: Application) -> None:
        """Lead the conversation, whatever happens."""
        try:
            scope = websocket_scope_of(self._scope, self._subprotocols())
            await app(scope, self.receive, self.send)
            if self._state in ("new", "connecting", "denying") and not self._stream.is_over:
                raise RuntimeError("the application neither accepted the WebSocket nor closed it")
            await self._close(NORMAL)
        except asyncio.CancelledError:
            self._stream.abort()  # the server waits no longer
            raise
        except BaseException as error:
            if not tells_of_client(error):
                log_failure(self._request)
            await self._refuse(error if isinstance(error, Refusal) else FAILED)
            await self._close(INTERNAL_ERROR)
        finally:
            await self._hear_the_last()
            self.responded.set()

    def _subprotocols(self) -> list[str]:
        """What the handshake offers. Raises Refusal where it is none (RFC 6455, section 4.2.1)."""
        try:
            target = self._request.target.decode("ascii")
            self._protocol.initiate_upgrade_connection(self._request.headers, target)
            [request] = self._protocol.events()
        except RemoteProtocolError as error:
            hint = error.event_hint
            assert isinstance(hint, events.RejectConnection)
            why = f"This is no WebSocket handshake: {error}."
            raise Refusal(hint.status_code, why, list(hint.headers)) from None
        except UnicodeError:
            raise Refusal(400, "This is no WebSocket handshake: it is not in ASCII.") from None
        assert isinstance(request, events.Request)
        return request.subprotocols

    # --- called by the application ----------------------------------------------------------

    async def receive(self) -> Message:
        """What the client wants, what it says, and, again and again, that it has left.

        ASGI 3.0, "Connect", "Receive" and "Disconnect - receive event".
        """
        if self._state == "new":
            self._state = "connecting"
            return {"type": "websocket.connect"}
        while not self._inbox:
            if self._listening is not None:
                await self._came.wait()
            elif self._stream.is_over:
                self._hang_up(LOST)
            else:
                await self._stream.change()
        if self._inbox[0]["type"] == "websocket.disconnect":
            return self._inbox[0]
        self._taken.give()
        return self._inbox.popleft()

    async def send(self, message: Message) -> None:
        """What the application wants of the client: see the table below.

        Raises ClientLeft, an OSError, where the client is gone, and RuntimeError for a message
        that has no place where the conversation stands.
        """
        if self._state == "lost":
            raise ClientLeft("has left the conversation")
        if self._state == "new":
            self._state = "connecting"  # Starlette refuses an unknown path without having listened
        act = _ACTS.get((self._state, message["type"]))
        if act is None:
            raise RuntimeError(f"{message['type']} cannot be sent: it is {self._state}")
        await act(self, message)

    async def _accept(self, message: Message) -> None:
        accepted = events.AcceptConnection(
            subprotocol=message.get("subprotocol"),
            extra_headers=[(name, value) for name, value in message.get("headers", ())],
        )
        data = self._protocol.send(accepted)
        self._http.switched()
        self._state = "open"
        self._listening = asyncio.create_task(self._listen())
        self._stream.changed.give()  # whoever receives already waits for its word from now on
        async with self._sending:
            await self._stream.send(data)

    async def _speak(self, message: Message) -> None:
        text = message.get("text")
        event: events.Event
        if text is not None:
            event = events.TextMessage(data=text)
        else:
            event = events.BytesMessage(data=message["bytes"])
        await self._say(event)

    async def _say(self, event: events.Event) -> None:
        """Send a frame, whole: another task's may not begin in the middle (RFC 6455, section 5.4).

        Raises ClientLeft where a close came first.
        """
        async with self._sending:
            try:
                data = self._protocol.send(event)
            except LocalProtocolError as error:
                raise ClientLeft(f"has ended the conversation: {error}") from None
            await self._stream.send(data)

    async def _end(self, message: Message) -> None:
        await self._close(message.get("code", NORMAL), message.get("reason") or "")

    async def _deny(self, _message: Message) -> None:
        """A close before the acceptance refuses the handshake ("Close - send event")."""
        await self._refuse(Refusal(403, "The application does not accept this WebSocket."))

    async def _begin_response(self, message: Message) -> None:
        """A refusal in the application's own words ("WebSocket Denial Response" extension)."""
        self._denial = message
        self._state = "denying"

    async def _send_response(self, message: Message) -> None:
        data, more = b"", message.get("more_body", False)
        if not self._http.has_begun:
            self._http.last = True
            headers = list(self._denial.get("headers", ()))
            data = self._http.head(int(self._denial["status"]), headers)
        data += self._http.piece(message.get("body", b""))
        if not more:
            data += self._http.end()
            self._hang_up(LOST)
        await self._stream.send(data)

    # --- what the client says ---------------------------------------------------------------

    async def _listen(self) -> None:
        """Take what comes, as far as the application takes it up, until nothing will."""
        try:
            while self._state != "lost" or self._protocol.state is ConnectionState.LOCAL_CLOSING:
                if len(self._inbox) >= WAITING and self._state == "open":
                    await self._taken.wait()
                elif data := self._http.take():
                    await self._take(data)
                elif self._stream.is_over:
                    break
                else:
                    await self._wait()
        except ClientLeft:
            pass
        finally:
            self._hang_up(LOST)  # however it ended, the application must not wait for more

    async def _wait(self) -> None:
        """Wait for the client; if it is silent for long, ask it for a sign of life.

        RFC 6455, section 5.5.2. One that does not answer is gone.
        """
        for last in (False, True):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.ping_interval):
                    await self._stream.change()
                    return
            if last or self._state != "open":
                self._stream.abort()
            else:
                await self._say(events.Ping())

    async def _take(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            await self._hear(event)

    async def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.TextMessage | events.BytesMessage):
            await self._hear_part(event)
        elif isinstance(event, events.Ping):
            if self._state == "open":
                await self._say(event.response())
        elif isinstance(event, events.CloseConnection):
            self._hang_up(event.code or NO_CODE, event.reason or "")
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                await self._say(event.response())
            elif self._protocol.state is ConnectionState.OPEN:
                await self._say(event)  # wsproto's own, for what is no frame

    async def _hear_part(self, event: events.TextMessage | events.BytesMessage) -> None:
        """A message may come in frames, and a frame in pieces; the application gets it whole."""
        if self._state != "open":
            return  # it comes too late
        if self._message is None:
            is_text = isinstance(event, events.TextMessage)
            self._message = io.StringIO() if is_text else io.BytesIO()
        self._message.write(event.data)  # type: ignore[arg-type]
        self._size += len(event.data)
        if self._size > self._settings.max_message:
            await self._close(TOO_BIG)
            self._hang_up(TOO_BIG)
        elif event.message_finished:
            kind = "text" if isinstance(self._message, io.StringIO) else "bytes"
            self._inbox.append({"type": "websocket.receive", kind: self._message.getvalue()})
            self._came.give()
            self._message, self._size = None, 0

    # --- the end ----------------------------------------------------------------------------

    def _hang_up(self, code: int, reason: str = "") -> None:
        """Nothing more comes from the client: the application is told, once."""
        if self._state != "lost":
            self._state = "lost"
            self._inbox.append({"type": "websocket.disconnect", "code": code, "reason": reason})
            self._came.give()

    async def _close(self, code: int, reason: str = "") -> None:
        """Say goodbye, if the conversation is open (RFC 6455, section 7.1.2)."""
        if self._state == "open":
            self._state = "closing"
            with suppress(ClientLeft):
                await self._say(events.CloseConnection(code=code, reason=reason))

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with a plain response, if it is not answered yet."""
        if not self._http.has_begun:
            with suppress(ClientLeft):
                await self._stream.send(self._http.refuse(refusal))
            self._hang_up(LOST)

    def go_away(self) -> None:
        """The server stops: say so to the client, and to the application."""
        if self._state == "open":
            self._farewell = asyncio.create_task(self._part())

    async def _part(self) -> None:
        await self._close(RESTART)
        self._hang_up(RESTART)

    async def _hear_the_last(self) -> None:
        """Give the client time to answer a close, which ends the listening."""
        if self._listening is not None:
            await asyncio.wait({self._listening}, timeout=CLOSE_TIMEOUT)
            self._listening.cancel()
            self._stream.close()  # the server is the first to (RFC 6455, section 7.1.1)


State = Literal["new", "connecting", "denying", "open", "closing", "lost"]

# What may be sent in which state, and what comes of it (ASGI 3.0, "WebSocket").
_ACTS: dict[tuple[State, str], Callable[[WebSocketCall, Message], Awaitable[None]]] = {
    ("connecting", "websocket.accept"): WebSocketCall._accept,
    ("connecting", "websocket.close"): WebSocketCall._deny,
    ("connecting", "websocket.http.response.start"): WebSocketCall._begin_response,
    ("denying", "websocket.http.response.body"): WebSocketCall._send_response,
    ("open", "websocket.send"): WebSocketCall._speak,
    ("open", "websocket.close"): WebSocketCall._end,
}
