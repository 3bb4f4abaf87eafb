"""The application's life in one process: its lifespans entered in order, left in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from ..model.shape import shape_of

if TYPE_CHECKING:
    from ..app import App


@asynccontextmanager
async def life(app: App) -> AsyncIterator[None]:
    """`async with life(app):` runs the application's lifespans around its block.

    If one fails to start, those before it are left again and the error is raised. Where
    none of them is async, nothing in here suspends.
    """
    async with AsyncExitStack() as stack:
        for function in app.lifespans:
            if shape_of(function) == "async generator":
                state = await stack.enter_async_context(asynccontextmanager(function)(app))
            else:
                state = stack.enter_context(contextmanager(function)(app))
            if state is not None:
                vars(app.state).update(state)
        yield


def is_async_life(app: App) -> bool:
    """Whether the application's life needs an event loop."""
    return any(shape_of(function) == "async generator" for function in app.lifespans)
