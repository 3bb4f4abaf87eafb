"""HTTPException: an answer other than the expected one, raised instead of returned."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from .headers import Headers, Pairs

# RFC 9110, 15; http.HTTPStatus has the new words for these four only since Python 3.13.
PHRASES: dict[int, str] = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


class HTTPException(Exception):
    """Ends the handler and answers with `status`, a text of `detail` and `headers`.

    `detail` is shown to the client; without it the status's own phrase is (RFC 9110, 15).
    Raises ValueError for a status outside 300 to 599: success is returned, not raised.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        headers: Mapping[str, str] | Pairs | None = None,
    ) -> None:
        if not isinstance(status, int) or not 300 <= status <= 599:
            raise ValueError(f"HTTPException({status!s}): the status must be 300 to 599")
        if not isinstance(detail, str | None):
            raise TypeError(f"HTTPException({status}): the detail is a str, not {detail!r:.200}")
        self.status = status
        self.detail = PHRASES.get(status, "Error") if detail is None else detail
        self.headers = Headers(headers or ())
        super().__init__(status, self.detail)

    def __str__(self) -> str:
        return f"{self.status} {self.detail}"


class ClientDisconnect(HTTPException):
    """The client left before its request's body was complete; nobody will read the answer."""

    def __init__(self) -> None:
        super().__init__(400, "The body ended before it was complete.")
