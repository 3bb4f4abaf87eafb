"""What has to be seen from outside an application's process is said with files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

FOLDER = os.environ.get("FOREIGN_FOLDER", os.getcwd())
PATIENCE = 15.0  # seconds
PIECES = ["one\n", "zwei\n", "três\n"]
ENDLESS = b"more and more\n" * 100
GREETING = "hello"


def mark(file: str, text: str = "") -> None:
    """Append a line to a file."""
    with Path(file).open("a", encoding="utf-8") as marks:
        marks.write(f"{text}\n")


async def wait_for(file: str) -> None:
    """Wait until somebody has made a file."""
    async with asyncio.timeout(PATIENCE):
        while not Path(file).exists():
            await asyncio.sleep(0.005)


async def background(gate: str, done: str) -> None:
    """What is done after an answer: wait for a file, and write another."""
    await wait_for(gate)
    mark(done, "done")


@asynccontextmanager
async def life() -> AsyncIterator[None]:
    """Around the life of an application: its beginning and its end are marked."""
    file = os.environ["FOREIGN_LIFE"]
    mark(file, "startup")
    yield
    mark(file, "shutdown")
