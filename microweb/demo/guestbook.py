"""The guestbook's pages: read notes, leave one, take one's own back."""

from __future__ import annotations

from pathlib import Path

from microweb import HTTPException, RedirectResponse, Request, Response, Router, UploadFile

from . import images, rules
from .csrf import check_csrf
from .notes import LARGEST_ID, Note
from .pages import page
from .visitor import owner_id, signed_in

router = Router("/guestbook", name="guestbook")

PER_PAGE = 10
NOTHING = {"name": "", "text": ""}


@router.get("")
def index(request: Request) -> Response:
    """The newest notes, or those before the note that `?before=` names, and the form."""
    return guestbook_page(request)


@router.post("")
def leave(request: Request) -> Response:
    """Keep a note, or show the form again with what was typed and what is wrong with it."""
    check_csrf(request)
    form = request.form
    name = signed_in(request) or rules.cleaned_line(form.get("name"))
    text = rules.cleaned(form.get("text"))
    image = chosen(form.get("image"))
    problems = rules.problems(name=name, text=text)
    if image is not None and (problem := images.problem(image)):
        problems["image"] = problem
    if problems:
        return guestbook_page(request, 422, {"name": name, "text": text}, problems)
    state = request.app.state
    state.notes.add(
        name=name,
        text=text,
        image=None if image is None else images.keep(image, state.images),
        door=request.protocol,
        owner=owner_id(request),
    )
    request.session["flash"] = f"Thank you, {name}. Your note is in the book."
    # 303: the browser goes on with a GET, and reloading does not send the form again.
    return RedirectResponse(request.url_path_for("guestbook.index"), 303)


@router.post("/{number:int}/delete")
def delete(request: Request, number: int) -> Response:
    """Take a note back. Forms know GET and POST only; the API has a DELETE for it."""
    check_csrf(request)
    take_back(request, number)
    request.session["flash"] = "Your note is gone."
    return RedirectResponse(request.url_path_for("guestbook.index"), 303)


@router.get("/{number:int}/image")
def image(request: Request, number: int) -> Response:
    """A note's image; with `?download` under a name to keep it by."""
    note = note_or_404(request, number)
    if note.image is None:
        raise HTTPException(404, "This note has no image.")
    path: Path = request.app.state.images / note.image
    download = f"note-{note.id}{path.suffix}" if "download" in request.query else None
    return images.serve(path, download)


def guestbook_page(
    request: Request,
    status: int = 200,
    typed: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
) -> Response:
    """The page with its form: empty, or with what was `typed` and its `problems`."""
    before = note_number(request.query.get("before"), LARGEST_ID)
    # One more than is shown tells whether there are older ones.
    notes = request.app.state.notes.before(before, PER_PAGE + 1)
    return page(
        request,
        "guestbook.html",
        status,
        notes=notes[:PER_PAGE],
        older=notes[PER_PAGE - 1].id if len(notes) > PER_PAGE else None,
        first_page=before == LARGEST_ID,
        owner=owner_id(request),
        longest=rules.LONGEST,
        typed=typed or NOTHING,
        problems=problems or {},
    )


def take_back(request: Request, number: int) -> None:
    """Delete a note and its image. Raises HTTPException: 404, or 403 for somebody else's."""
    note = note_or_404(request, number)
    if note.owner != owner_id(request):
        raise HTTPException(403, "Only its author can take a note back.")
    request.app.state.notes.delete(note.id)
    if note.image is not None:
        (request.app.state.images / note.image).unlink(missing_ok=True)


def note_or_404(request: Request, number: int) -> Note:
    """The note with this number. Raises HTTPException(404) where there is none."""
    note: Note | None = request.app.state.notes.get(number)
    if note is None:
        raise HTTPException(404, f"There is no note {number}.")
    return note


def note_number(text: str | None, otherwise: int) -> int:
    """A number that came from outside, if it is one that can be a note's."""
    if text and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return otherwise


def chosen(value: object) -> UploadFile | None:
    """The file that was chosen; a browser sends a nameless, empty one where none was."""
    return value if isinstance(value, UploadFile) and value else None
