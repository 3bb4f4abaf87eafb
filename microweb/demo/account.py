"""The session's page: a counter, signing in and out, and what is in the cookie."""

from __future__ import annotations

from microweb import RedirectResponse, Request, Response, Router

from .csrf import check_csrf
from .pages import page
from .settings import COOKIE
from .visitor import ACCOUNTS, sign_in, sign_out

router = Router("/session", name="session")


@router.get("")
def index(request: Request) -> Response:
    """Count the visit, and show all that is remembered."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return session_page(request)


@router.post("/sign-in", name="sign_in")
def enter(request: Request) -> Response:
    """Sign in; a wrong password is said beside its field, and never which of the two was wrong."""
    check_csrf(request)
    account = str(request.form.get("account", ""))
    if not sign_in(request, account, str(request.form.get("password", ""))):
        problems = {"password": "That is not the password of this account."}
        return session_page(request, 422, account, problems)
    request.session["flash"] = f"Welcome, {account}. This is a new session."
    # 303: the browser goes on with a GET, and reloading does not send the form again.
    return RedirectResponse(request.url_path_for("session.index"), 303)


@router.post("/sign-out", name="sign_out")
def leave(request: Request) -> Response:
    """Sign out. By POST, because a mere link could be followed by anything."""
    check_csrf(request)
    sign_out(request)
    request.session["flash"] = "You are signed out."
    return RedirectResponse(request.url_path_for("session.index"), 303)


def session_page(
    request: Request, status: int = 200, chosen: str = "", problems: dict[str, str] | None = None
) -> Response:
    """The page as it is now; the cookie shown is the one that came with the request."""
    return page(
        request,
        "session.html",
        status,
        accounts=sorted(ACCOUNTS),
        chosen=chosen,
        problems=problems or {},
        cookie=request.cookies.get(COOKIE, "").rsplit(".", 2),
    )
