"""Whether the client is still there: heard by a stream while somebody may read the upload."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from microweb import App, Request
from microweb.gateways.connection import Lookahead, client_leaves

from .asgi_validator import validator as asgi_validator

PATIENCE = 10.0

Message = dict[str, Any]

PART: Message = {"type": "http.request", "body": b"begun", "more_body": True}
END: Message = {"type": "http.request", "body": b"ended", "more_body": False}
AGAIN: Message = {"type": "http.request", "body": b"", "more_body": False}
LEFT: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_who_watches_sees_each_message_and_takes_none(reads: int) -> None:
    messages = iter([PART, END, AGAIN, LEFT])

    async def main() -> bool:
        async def receive() -> Message:
            return next(messages)

        ahead = Lookahead(receive)
        watching = asyncio.ensure_future(client_leaves(ahead.peek))
        await asyncio.sleep(0)
        assert [await ahead.take() for _ in range(reads)] == [PART, END][:reads]
        if not reads:
            # More of the body is to come, and would have to be kept somewhere.
            for _ in range(9):
                await asyncio.sleep(0)
            assert not watching.done()
            assert await ahead.take() == PART
        return await asyncio.wait_for(watching, PATIENCE)

    assert asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "reads", "messages"),
    [
        ("GET", False, [AGAIN, LEFT]),
        ("POST", False, [END, LEFT]),
        ("POST", True, [END, LEFT]),
        ("POST", True, [PART, END, AGAIN, LEFT]),
    ],
)
def test_the_stream_of_a_route_that_may_read_one_ends_when_its_client_leaves(
    method: str, reads: bool, messages: list[Message]
) -> None:
    app = App()
    closed: list[bool] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "more and more"
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    @app.route("/", methods=["GET", "POST"], stream=True)
    async def stream(request: Request) -> AsyncIterator[str]:
        if reads:
            assert b"".join([piece async for piece in request.stream]).endswith(b"ended")
        return endless()

    async def main() -> None:
        coming = iter(messages)

        async def receive() -> Message:
            for message in coming:
                return message
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nobody has ended this wait")

        async def send(message: Message) -> None: ...

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        async with asyncio.timeout(PATIENCE):
            await asgi_validator(app.asgi)(scope, receive, send)

    asyncio.run(main())
    assert closed == [True]
