"""Processes: servers that are started to be looked at, and of which nothing is left after that."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

STOP_TIMEOUT = 3.0  # seconds for a server to stop by itself
# A server reads options from these too; what is started is the command as it is printed.
_OPTIONS = ("GUNICORN_", "UVICORN_", "WEB_CONCURRENCY")
LISTENING = re.compile(r"(?:Listening at|[Rr]unning on|Serving on):? http://127\.0\.0\.1:(\d+)")


@asynccontextmanager
async def running(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> AsyncIterator[Output]:
    """A server's process, with this added to its environment, and stopped whatever happens.

    `command` is what stands after `python -m`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command,
        env={**_environment(), **(environment or {})},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    output = Output(process)
    try:
        yield output
    except asyncio.CancelledError:
        _kill_all(process)  # the user does not want to wait
        raise
    finally:
        await _stop(process, output)


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
