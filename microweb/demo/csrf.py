"""Forms that only our own pages can send.

A browser sends our cookie along with a form that a stranger's page has made it submit
(cross-site request forgery). So each form holds a secret that is also in the visitor's
session; a stranger can send the form, but cannot know the secret.
"""

from __future__ import annotations

import secrets

from microweb import HTTPException, Request


def csrf_token(request: Request) -> str:
    """The secret of this visitor's session, made when the first form needs it."""
    token: str = request.session.setdefault("csrf", secrets.token_urlsafe(32))
    return token


def check_csrf(request: Request) -> None:
    """Raise HTTPException(403) unless the form that was sent holds the session's secret."""
    expected = str(request.session.get("csrf", ""))
    sent = str(request.form.get("csrf", ""))
    # In constant time, so that the answer's delay does not tell how much of a guess is right.
    if not expected or not secrets.compare_digest(
        expected.encode(), sent.encode("utf-8", "replace")
    ):
        raise HTTPException(
            403,
            "This form was not sent from one of our own pages, or it has waited too long."
            " Nothing was changed; go back, reload the page and send it again.",
        )
