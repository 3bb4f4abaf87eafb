"""The guestbook for programs: the same notes and rules as JSON, errors as problem details."""

from __future__ import annotations

from typing import Any

from microweb import HTTPException, JSONResponse, Request, Response, Router

from . import rules
from .guestbook import note_number, note_or_404, take_back
from .notes import LARGEST_ID, Note
from .visitor import owner_id, signed_in

router = Router("/api/notes", name="api")

MOST = 100


@router.get("")
def notes(request: Request) -> dict[str, Any]:
    """The newest notes: `?limit=` of them, older than `?before=`."""
    limit = min(note_number(request.query.get("limit"), 20), MOST)
    before = note_number(request.query.get("before"), LARGEST_ID)
    return {
        "notes": [as_json(request, note) for note in request.app.state.notes.before(before, limit)]
    }


@router.post("")
def add(request: Request) -> Response:
    """Keep a note: `{"name": "Ada", "text": "Hello"}`."""
    # No token against forged requests is needed here. A form of a stranger's page cannot name
    # this Content-Type, a script of his must ask first whether it may (CORS), and the cookie,
    # being SameSite=Lax, stays at home on either's POST.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "A note is sent as application/json.")
    value = request.json()
    given = value if isinstance(value, dict) else {}
    name = signed_in(request) or rules.cleaned_line(given.get("name"))
    text = rules.cleaned(given.get("text"))
    if problems := rules.problems(name=name, text=text):
        raise HTTPException(422, "This is no note yet.", problem={"errors": problems})
    note = request.app.state.notes.add(
        name=name, text=text, door=request.protocol, owner=owner_id(request)
    )
    location = request.url_path_for("api.note", number=note.id)
    return JSONResponse(as_json(request, note), 201, {"location": location})


@router.get("/{number:int}")
def note(request: Request, number: int) -> dict[str, Any]:
    """One note."""
    return as_json(request, note_or_404(request, number))


@router.delete("/{number:int}")
def delete(request: Request, number: int) -> None:
    """Take a note back; the session says whose it is."""
    take_back(request, number)


def as_json(request: Request, note: Note) -> dict[str, Any]:
    """A note as anybody may see it."""
    image = None if note.image is None else request.url_path_for("guestbook.image", number=note.id)
    return {
        "id": note.id,
        "name": note.name,
        "text": note.text,
        "image": image,
        "door": note.door,
        "at": note.at,
    }
