"""examine: what a target is, which commands serve it, and the mend, for a human to read."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..recognise import Finding
from . import screen
from .commands import Command, commands_for
from .mend import mend
from .reasons import Verdict, judge
from .trial import Trial, tried

AT_ONCE = 2  # each is a server with an application; more would only wait for each other


def examine(target: str, finding: Finding, timeout: float) -> bool:
    """Report on a target, and try all commands that could serve it; True if one of them does.

    `timeout`, in seconds, is for each of them.
    """
    commands = commands_for(target, finding)
    screen.paragraph(finding.sentence(target))
    screen.paragraph(f"{len(commands)} commands, each started, asked for / once, and stopped:")
    report = Report(commands, finding)
    try:
        asyncio.run(_try_all(commands, timeout, report.add))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    screen.paragraph()
    for text in mend(target, finding):
        screen.paragraph(text)
    if (folder := screen.folder_to_type()) is not None:
        screen.paragraph(f"(Type {folder} before each command: it is not in your PATH.)")
    return report.served > 0


class Report:
    """A table that grows by a row with each trial."""

    def __init__(self, commands: Sequence[Command], finding: Finding) -> None:
        self.served = 0
        self._finding = finding
        self._width = max(len(command.typed) for command in commands)
        self._said: set[Verdict] = set()

    def add(self, trial: Trial) -> None:
        """Write the row, and what was said below it, unless it was said already."""
        verdict = judge(trial, self._finding)
        self.served += verdict.serves
        is_new = verdict not in self._said
        self._said.add(verdict)
        answer = verdict.answer if is_new or not verdict.line else "as above"
        screen.row(verdict.serves, trial.command.typed, self._width, answer)
        if is_new:
            screen.below(verdict.line)
            screen.below(verdict.meaning)


async def _try_all(
    commands: Sequence[Command], timeout: float, report: Callable[[Trial], None]
) -> None:
    """Try commands, some at once, and report each in the order in which they stand."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(command: Command) -> Trial:
        async with turn:
            return await tried(command, timeout)

    _end_as_with_ctrl_c()
    trials = [asyncio.create_task(one(command)) for command in commands]
    try:
        for each in trials:
            report(await each)
    finally:
        # No TaskGroup: in its ExceptionGroup nobody would know the BrokenPipeError of a pager.
        for each in trials:
            each.cancel()
        await asyncio.gather(*trials, return_exceptions=True)


def _end_as_with_ctrl_c() -> None:
    """Whatever ends this program, and can be caught, ends what it has started."""
    task = asyncio.current_task()
    assert task is not None
    for name in ("SIGTERM", "SIGHUP"):
        with suppress(AttributeError, NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(getattr(signal, name), task.cancel)
