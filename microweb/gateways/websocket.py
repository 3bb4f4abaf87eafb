"""The WebSocket driver: from a handshake through the layers to a conversation (ASGI, "WebSocket").

To the onion a handshake is a GET, and a handler's `accept` is a Response of status 101 like
any other. What goes on when the onion is done with it is in `conversation.py`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from ..core import Core
from ..model.errors import HTTPException
from ..model.handshake import SwitchingProtocols
from ..model.lazy import lazy
from ..model.origins import may_open
from ..model.request import Request
from ..model.response import BODILESS, Response
from ..routing import WEBSOCKET
from .asgi import encoded
from .asgi_request import ASGIRequest, Message, Receive, Scope, Send
from .conversation import Conversation

if TYPE_CHECKING:
    from ..app import App
    from .asgi import ASGIGateway


class WebSocketRequest(ASGIRequest):
    """A handshake as the Request that it is: a GET, by http or https (RFC 6455, 4.1)."""

    scope: Scope
    conversation: Conversation

    def __init__(self, app: App, scope: Scope, receive: Receive) -> None:
        super().__init__(app, {**scope, "method": "GET"}, _disconnects(receive))
        self.scope = scope

    @lazy
    def scheme(self) -> str:
        return "https" if self.scope.get("scheme") == "wss" else "http"

    @lazy
    def http_version(self) -> str:
        return str(self.scope.get("http_version", "1.1"))


class WebSocketGateway:
    """What `app.asgi` does with the scope of a WebSocket."""

    def __init__(self, gateway: ASGIGateway) -> None:
        self._gateway = gateway
        self._core = HandshakeCore.of(gateway.app, gateway.adapt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one handshake, and live through the conversation that it may begin."""
        await receive()  # "websocket.connect", which says no more than the scope
        request = WebSocketRequest(self._gateway.app, scope, receive)
        offered = scope.get("subprotocols") or ()
        conversation = request.conversation = Conversation(request, receive, send, offered)
        try:
            response = await self._respond(request)
            try:
                if isinstance(response, SwitchingProtocols) and response.status == 101:
                    await conversation.open(response)
                else:
                    conversation.refuse()
                    await self._deny(request, response, send)
                await conversation.finish()
            finally:
                if response.background is not None and response.iterator is None:
                    await self._gateway._run_background(response.background)
        finally:
            await conversation.release()

    async def _respond(self, request: WebSocketRequest) -> Response:
        try:
            await self._gateway.start()
        except Exception as error:
            return await self._core.fail(request, error)
        return await self._core.respond(request)

    async def _deny(self, request: WebSocketRequest, response: Response, send: Send) -> None:
        """Refuse with a response, as far as the server can pass it on."""
        deny = _denial(request.scope, send)
        headers = encoded(response.header_pairs("GET"))
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        has_body = response.status not in BODILESS
        if response.iterator is not None:
            await self._gateway._stream(request, response, start, has_body, deny)
        elif not request.disconnected:
            with suppress(OSError):
                await deny(start)
                body = response.body if has_body else b""
                await deny({"type": "http.response.body", "body": body})


class HandshakeCore(Core):
    """The same onion around another innermost step: one that ends before its handler does."""

    async def dispatch(self, request: Request) -> Response:
        """Match, look who asks, start the handler, and wait for what it says to the handshake."""
        try:
            route, found = self._match(WEBSOCKET, request.path)
            if route is None:
                raise HTTPException(404)
            request.route = route
            request.path_params = cast("dict[str, Any]", found)
            if not may_open(request, route.origins):
                raise HTTPException(403, "A page of another site may not open this WebSocket.")
            conversation = cast(WebSocketRequest, request).conversation
            handler, _ = self._call_for(route, route.handler)
            return await conversation.begin(handler, request.path_params)
        except Exception as error:
            answer = await self._settle(request, error)
            if answer is None:
                raise
            return answer


def _denial(scope: Scope, send: Send) -> Send:
    """A `send` for the messages of HTTP that refuses the handshake.

    Where the server offers it, with the response (ASGI Extensions, "Websocket Denial
    Response"); elsewhere all that can be said is no, and the server answers 403.
    """
    offered = "websocket.http.response" in (scope.get("extensions") or {})

    async def deny(message: Message) -> None:
        if offered:
            await send({**message, "type": f"websocket.{message['type']}"})
        elif message["type"] == "http.response.start":
            await send({"type": "websocket.close"})

    return deny


def _disconnects(receive: Receive) -> Receive:
    """A `receive` for the messages of HTTP: before an answer, nothing but this can come."""

    async def disconnect() -> Message:
        await receive()
        return {"type": "http.disconnect"}

    return disconnect
