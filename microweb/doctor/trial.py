"""tried: one command, started as a process, asked for / once, and stopped whatever happens."""

from __future__ import annotations

import asyncio
import re
from importlib.util import find_spec
from typing import NamedTuple

from ..processes import Output, running
from .commands import Command


class Trial(NamedTuple):
    """What came of a command."""

    command: Command
    status: int | None = None  # of the response; None where there was none
    log: str = ""
    is_installed: bool = True
    seconds: float | None = None  # after which it was given up


async def tried(command: Command, timeout: float) -> Trial:
    """Start a command, ask it once, and stop it; nothing of it is left after that."""
    if find_spec(command.module) is None:
        return Trial(command, is_installed=False)
    status = late = None
    async with running(command.started) as output:
        try:
            async with asyncio.timeout(timeout):
                status = await _answer(output)
        except TimeoutError:
            late = timeout
    return Trial(command, status, output.text, seconds=late)


async def _answer(output: Output) -> int | None:
    port = await output.port
    return None if port is None else await _ask(port)


async def _ask(port: int) -> int | None:
    """The status of GET /; None where the server is gone before it answers."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode("ascii"))
            found = re.match(rb"HTTP/1\.[01] (\d{3})", await reader.readline())
            return int(found[1]) if found else None
        finally:
            writer.close()
    except OSError:
        return None
