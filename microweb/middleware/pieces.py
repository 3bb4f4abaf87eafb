"""piped: a streamed body, changed chunk by chunk on its way out, plain or async as it is."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any

from ..model.response import Chunks, aclose_chunks, close_chunks, encode_chunk


def piped(
    body: Chunks,
    change: Callable[[bytes], bytes],
    end: Callable[[], bytes] = bytes,  # b""
    closed: Callable[[], object] = bytes,
) -> Chunks:
    """`body` with `change` made to each chunk, and what `end` gives after the last one.

    A chunk leaves before the next is asked for. When the response is over, however it ended
    and even if it never began, `body` is closed and then `closed` is called.
    """
    kind = _Async if isinstance(body, AsyncIterable) else _Plain
    return kind(body, change, end, closed)


class _Piped:
    # A generator that was never started has no `finally` to run; so the close of those below
    # is outside of theirs, where the gateway finds it (`close_chunks`).
    _chunks: Any = None

    def __init__(
        self,
        body: Any,
        change: Callable[[bytes], bytes],
        end: Callable[[], bytes],
        closed: Callable[[], object],
    ) -> None:
        self._body = body
        self._change = change
        self._end = end
        self._closed = closed


class _Plain(_Piped):
    def __iter__(self) -> Iterator[bytes]:
        self._chunks = iter(self._body)
        for chunk in self._chunks:
            yield self._change(encode_chunk(chunk))
        yield self._end()

    def close(self) -> None:
        try:
            close_chunks(self._chunks, self._body)
        finally:
            self._closed()


class _Async(_Piped):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = aiter(self._body)
        async for chunk in self._chunks:
            yield self._change(encode_chunk(chunk))
        yield self._end()

    async def aclose(self) -> None:
        try:
            await aclose_chunks(self._chunks, self._body)
        finally:
            self._closed()
