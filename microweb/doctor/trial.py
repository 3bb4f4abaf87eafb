"""tried: one command, started as a process, asked for / once, and stopped whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from contextlib import suppress
from importlib.util import find_spec
from typing import NamedTuple

from .commands import Command
from .log import LISTENING

STOP_TIMEOUT = 3.0  # seconds for a server to stop by itself
# A server reads options from these too; what is tried is the command as it is printed.
_OPTIONS = ("GUNICORN_", "UVICORN_", "WEB_CONCURRENCY")


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
    process = await asyncio.create_subprocess_exec(
        *command.started,
        env=_environment(),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    output = Output(process)
    status = None
    late = None
    try:
        async with asyncio.timeout(timeout):
            if (port := await output.port) is not None:
                status = await _ask(port)
    except TimeoutError:
        late = timeout
    except asyncio.CancelledError:
        _kill_all(process)  # the user does not want to wait
        raise
    finally:
        await _stop(process, output)
    return Trial(command, status, output.text, seconds=late)


class Output:
    """What a process writes, read as it comes: a full pipe would hold it up."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._written = bytearray()
        # Where it listens; None when it has ended without.
        self.port: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.read = asyncio.create_task(self._read())

    @property
    def text(self) -> str:
        """All of it so far."""
        return self._written.decode("utf-8", "replace")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := await self._process.stdout.read(65536):
            self._written += piece
            if not self.port.done() and (found := LISTENING.search(self.text)):
                self.port.set_result(int(found[1]))
        if not self.port.done():
            self.port.set_result(None)


def _environment() -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_OPTIONS)}
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}


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


async def _stop(process: Process, output: Output) -> None:
    """Ask the server to stop, so that its log gets whole; then end all that it has started."""
    try:
        if process.returncode is None:
            _ask_to_stop(process)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT):
                await process.wait()
    finally:
        _kill_all(process)
        with suppress(TimeoutError):
            # What has left the group may still hold the pipe open.
            async with asyncio.timeout(1):
                await process.wait()
                await output.read


if sys.platform == "win32":

    def _ask_to_stop(process: Process) -> None:
        process.terminate()

    def _kill_all(process: Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()

else:

    def _ask_to_stop(process: Process) -> None:
        # Not process.terminate(): that polls first, and takes the exit status of a process
        # that has just ended from asyncio's own watcher, which then complains.
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)

    def _kill_all(process: Process) -> None:
        # Its workers are in its group, and may have outlived it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
