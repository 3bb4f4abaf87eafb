"""The live feed: notes as they arrive, by server-sent events, from whichever door."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from microweb import EventSourceResponse, Request, Response, Router, ServerSentEvent

from .api import as_json
from .guestbook import note_number
from .notes import Note
from .pages import page

router = Router("/feed", name="feed")

PAUSE = 0.5  # seconds between two looks at the database, the only place where both doors meet
RETRY = 3000  # milliseconds until EventSource asks again after a stream has ended
PING = 5.0  # seconds of silence after which a comment finds out whether anybody still listens
BATCH = 50

# Under WSGI an open stream keeps a thread of the server to itself. So few may be open in one
# process (the README serves with four threads), and the others are told to come back.
WSGI_PLACES = threading.BoundedSemaphore(2)


@router.get("")
def index(request: Request) -> Response:
    """The page, with the last notes in it, and the place in the feed where they end."""
    notes: list[Note] = request.app.state.notes.newest(BATCH)
    return page(request, "feed.html", notes=notes, last=notes[0].id if notes else 0)


@router.get("/events")
def events(request: Request) -> Response:
    """What comes after the event that was seen last, or else after the note that is asked for."""
    last = note_number(request.last_event_id or request.query.get("after"), newest(request))
    return EventSourceResponse(news(request, last), ping=PING, retry=RETRY)


async def news(request: Request, last: int) -> AsyncIterator[ServerSentEvent]:
    """The notes after note `last`: for ever, or only those that are there already."""
    mode = how(request)
    try:
        yield ServerSentEvent(mode, event="mode")
        while True:
            # SQLite blocks, so it gets a thread; everybody else's streams are on this loop.
            try:
                notes = await asyncio.to_thread(request.app.state.notes.after, last, BATCH)
            except RuntimeError:
                return  # the process is ending, and lends no more threads
            for note in notes:
                last = note.id
                yield ServerSentEvent(as_json(request, note), id=str(last))
            if mode != "stream":
                return
            await asyncio.sleep(PAUSE)
    finally:
        if mode == "stream" and request.protocol == "wsgi":
            WSGI_PLACES.release()


def newest(request: Request) -> int:
    """The number of the last note."""
    notes: list[Note] = request.app.state.notes.newest(1)
    return notes[0].id if notes else 0


def how(request: Request) -> str:
    """Whether this feed may stay open ("stream"), or why not; a place is taken if it needs one."""
    if not request.can_wait:
        return "alone"  # the server's only worker: nobody else would be served
    if request.protocol == "asgi":
        return "stream"  # a stream that waits costs an event loop next to nothing
    return "stream" if WSGI_PLACES.acquire(blocking=False) else "full"
