"""HTTPException: an answer other than the expected one, raised instead of returned."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from .headers import Headers, Pairs

# RFC 9110, 15; http.HTTPStatus has the new words for these four only since Python 3.13.
PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class HTTPException(Exception):
    """Ends the handler and answers with `status`, `detail` and `headers`.

    `detail` is shown to the client; without it the status's own phrase is (RFC 9110, 15).
    It leaves as text, as an HTML page or as problem details, as the client prefers.
    `problem` adds members to the last: a `type`, a `title`, an `instance` or what a program
    can use, such as `{"errors": [...]}` (RFC 9457, 3); other forms do not show it.

    Raises ValueError for a status outside 300 to 599, because success is returned and not
    raised, and for a problem with a `status` or `detail`; TypeError for one that is no JSON.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        headers: Mapping[str, str] | Pairs | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(status, int) or not 300 <= status <= 599:
            raise ValueError(f"HTTPException({status!s}): the status must be 300 to 599")
        if detail is None:
            detail = PHRASES.get(status, "Error")
        elif not isinstance(detail, str):
            raise TypeError(f"HTTPException({status}): the detail is a str, not {detail!r:.200}")
        self.status = status
        self.detail = detail
        self.headers = Headers(headers or ())
        self.problem = _checked_problem(status, problem) if problem else {}
        self.args = (status, detail)  # super().__init__ does no more, and takes its time

    def __str__(self) -> str:
        return f"{self.status} {self.detail}"


def _checked_problem(status: int, problem: Mapping[str, Any]) -> Mapping[str, Any]:
    from .response import encode_json

    for name in ("status", "detail"):
        if name in problem:
            raise ValueError(
                f"HTTPException({status}): {name!r} is an argument, not in its problem"
            )
    # Now, and not when the first client comes that prefers JSON.
    encode_json(problem)
    return dict(problem)


class ClientDisconnect(HTTPException):
    """The client left before its request's body was complete; nobody will read the answer."""

    def __init__(self) -> None:
        super().__init__(400, "The body ended before it was complete.")
