"""The bridge: crossings between plain code, which blocks its thread, and async code on a loop.

                  under WSGI                             under ASGI
    def           called right there                     threads.py: a worker thread
    async def     visits.py: the app's own loop          awaited right there

Context variables travel with each crossing: the other side starts with a copy, and what
it changed is set here afterwards. A value can cross, but a token cannot: `var.reset(token)`
works only on the side where the token was made. That no variable goes from one request to
the next is the work of the WSGI gateway, and under ASGI of the server, which gives each
request a task. (uvicorn starts a pipelined request from inside the one before it, and needs
`--reset-contextvars` to keep those two apart.)

This file is what both crossings share.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

_UNSET: Any = object()

# What a step of an iterator gives at its end: StopIteration cannot cross.
END: Any = object()

# A mounted application waits after every fourth chunk, and after a large one, until they are
# taken. Wherever else it runs, its server has a buffer too; and to wake the other side for
# each small chunk would cost far more than the chunk.
WAIT_AFTER = 4  # chunks
LARGE = 16 * 1024  # bytes


def adopt(context: Context) -> None:
    """Set here what was changed there."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)


def settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    """Give a future its result or its error; called on its loop."""
    if future.done():
        return  # the task that waited was cancelled
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
