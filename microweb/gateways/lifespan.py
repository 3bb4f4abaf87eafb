"""The application's life in one process: its lifespans begun in order, ended in reverse.

The lifespans of the ASGI applications mounted in it run inside its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..model.response import describe
from ..model.shape import shape_of
from ..model.types import Lifespan

if TYPE_CHECKING:
    from ..app import App


# The state that each mounted application's lifespan left, by the identity of the application
States = dict[int, dict[str, Any]]


@asynccontextmanager
async def life(app: App) -> AsyncIterator[States]:
    """`async with life(app) as states:` runs the application's lifespans around its block.

    Each goes on after its yield however the block ends, and also where a later one fails to
    start. What they raise is raised. Where none of them is async, nothing in here suspends.
    """
    async with AsyncExitStack() as stack:
        for function in app.lifespans:
            generator = function(app)
            state = await _begin(function, generator)
            stack.push_async_callback(_end, function, generator)
            if isinstance(state, Mapping):
                vars(app.state).update(state)
            elif state is not None:
                raise TypeError(
                    f"lifespan {describe(function)} yielded {state!r:.100}; it yields nothing,"
                    " or a mapping that becomes part of app.state"
                )
        states: States = {}
        for mount in app.mounts:
            if mount.protocol == "asgi" and id(mount.app) not in states:
                from .mounted_life import mounted_life

                states[id(mount.app)] = await stack.enter_async_context(mounted_life(mount))
        yield states


async def _begin(function: Lifespan, generator: Any) -> Any:
    try:
        return await anext(generator) if _is_async(function) else next(generator)
    except (StopIteration, StopAsyncIteration):
        raise RuntimeError(f"lifespan {describe(function)} ended without a yield") from None


async def _end(function: Lifespan, generator: Any) -> None:
    try:
        await anext(generator) if _is_async(function) else next(generator)
    except (StopIteration, StopAsyncIteration):
        return
    raise RuntimeError(f"lifespan {describe(function)} yielded twice; it yields once")


def is_async_life(app: App) -> bool:
    """Whether the application's life needs an event loop."""
    return any(_is_async(function) for function in app.lifespans) or any(
        mount.protocol == "asgi" for mount in app.mounts
    )


def _is_async(function: Lifespan) -> bool:
    return shape_of(function) == "async generator"
