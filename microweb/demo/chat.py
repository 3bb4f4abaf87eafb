"""The chat: rooms in this process' memory, and a WebSocket for everybody in them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

from microweb import Converter, Request, Response, Router, WebSocket

from .pages import page
from .rules import cleaned_line
from .visitor import signed_in

router = Router("/chat", name="chat", converters={"room": Converter("[a-z0-9-]{1,24}")})

LONGEST = 500  # characters of a message
HISTORY = 50  # messages that a newcomer is shown
BACKLOG = 100  # messages that may wait for somebody whose connection is slow
PATIENCE = 3.0  # seconds for the last word to one whose connection is too slow

guests = count(1)


class Member:
    """Somebody in a room, and what is still to be sent there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(BACKLOG)
        self.too_slow = asyncio.Event()

    def tell(self, event: dict[str, Any]) -> None:
        """Send this as soon as the connection takes it; nobody waits for a slow one."""
        try:
            self.outbox.put_nowait(event)
        except asyncio.QueueFull:
            self.too_slow.set()


class Room:
    """The members of a room and the last things said. All of it on one event loop: no locks."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    def say(self, name: str, text: str) -> None:
        """A message to everybody."""
        event = {"kind": "message", "name": name, "text": text, "at": datetime.now(UTC)}
        self.history.append(event)
        self._tell_all(event)

    def enter(self, member: Member) -> None:
        """Show a newcomer the history, and everybody who is here."""
        for event in self.history:
            member.tell(event)
        self.members.append(member)
        self._tell_all(self._presence())

    def leave(self, member: Member) -> None:
        """One less."""
        self.members.remove(member)
        self._tell_all(self._presence())

    def _presence(self) -> dict[str, Any]:
        return {"kind": "presence", "names": [member.name for member in self.members]}

    def _tell_all(self, event: dict[str, Any]) -> None:
        for member in self.members:
            member.tell(event)


# They last as long as somebody is in them, so they cannot grow in number for ever.
rooms: dict[str, Room] = {}


@router.get("")
@router.get("/{room:room}", name="room")
def index(request: Request, room: str = "lobby") -> Response:
    """The page; through WSGI it explains why nobody can talk here."""
    return page(request, "chat.html", room=room, longest=LONGEST)


@router.websocket("/{room:room}", name="socket")
async def socket(ws: WebSocket, room: str) -> None:
    """One visitor's connection, from coming to leaving."""
    await ws.accept()
    member = Member(signed_in(ws.request) or f"guest {next(guests)}")
    with present(member, room) as here:
        await first_of(listen(ws, member, here), deliver(ws, member), member.too_slow.wait())
    if member.too_slow.is_set():
        with suppress(TimeoutError):  # it may not take this either
            async with asyncio.timeout(PATIENCE):
                # 1008: policy violation (RFC 6455, 7.4.1)
                await ws.close(1008, "Your connection is too slow for this room.")


async def listen(ws: WebSocket, member: Member, room: Room) -> None:
    """What comes from the visitor, until the connection ends."""
    async for message in ws:
        if isinstance(message, str) and (text := cleaned_line(message)[:LONGEST]):
            room.say(member.name, text)


async def deliver(ws: WebSocket, member: Member) -> None:
    """What goes to the visitor: one thing after the other, as fast as the connection takes it."""
    while True:
        await ws.send_json(await member.outbox.get())


@contextmanager
def present(member: Member, name: str) -> Iterator[Room]:
    """Be in a room: made for the first who comes, forgotten when the last has left."""
    room = rooms.setdefault(name, Room())
    room.enter(member)
    try:
        yield room
    finally:
        room.leave(member)
        if not room.members:
            del rooms[name]


async def first_of(*coroutines: Any) -> None:
    """Run all of these until one has ended, and end the others; raises what that one raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
