"""BodyStream: the body of a request as it comes, for plain and for async handlers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .request import Request


class BodyStream(Iterator[bytes], AsyncIterator[bytes]):
    """Iterated with `for` in plain code and `async for` in async code, once.

    Nothing is read ahead: while the handler does not ask, the client has to wait.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        # Content on GET and HEAD has no meaning (RFC 9110, 9.3.1).
        self._is_empty = request.method in ("GET", "HEAD")

    def __next__(self) -> bytes:
        piece = b"" if self._is_empty else self._request.receive_piece_here()
        if not piece:
            raise StopIteration
        return piece

    async def __anext__(self) -> bytes:
        piece = b"" if self._is_empty else await self._request.receive_piece()
        if not piece:
            raise StopAsyncIteration
        return piece
