"""What a server's log tells: where it listens, and the line that says what went wrong."""

from __future__ import annotations

import re

import click

# What gunicorn, which listens first, says of a worker that could not load the application.
NOT_LOADED = re.compile(r"Reason: (?:App failed to load|Worker failed to boot)")

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s+File "([^"]*)", line \d+')
_GUTTER = re.compile(r"^ *[|+] ", re.M)  # of an ExceptionGroup
# Lines that servers write without a traceback, or beside one that says less.
_SAID = re.compile(
    r"^(?:ERROR:\s+|Error: )?(Failed to parse '.*' as an attribute name or function call\."
    r"|Failed to find attribute '.*' in '.*'\.|Function reference must be a simple name: .*"
    r"|Application object must be callable\.|class uri 'asgi' invalid or not found"
    r"|Error loading ASGI app\. .*)",
    re.M,
)
# What servers write as long as all is well; of that, nothing tells.
_CHATTER = re.compile(
    r"(?:\[[^\]]*\] )*\[INFO\]|INFO:|microweb running on|Shutting down;|\d\d:\d\d:\d\d "
)
_ERROR = re.compile(r"^(?:\[[^\]]*\] )*\[?(?:ERROR|CRITICAL|Error)[\]:]\s*(\S.*)$", re.M)


def telling_line(log: str) -> tuple[str, str]:
    """The last line that says what went wrong, and the file that a traceback ended in."""
    log = click.unstyle(log).replace("\r", "")
    if "Exception Group Traceback" in log:
        log = _GUTTER.sub("", log)
    if said := _SAID.findall(log):
        return said[-1], ""
    if _TRACEBACK in log:
        return _end_of_traceback(log.rpartition(_TRACEBACK)[2])
    if errors := _ERROR.findall(log):
        return errors[-1], ""
    others = [line for line in log.split("\n") if line.strip() and not _CHATTER.match(line)]
    return others[-1] if others else "", ""


def _end_of_traceback(text: str) -> tuple[str, str]:
    file = ""
    for line in text.split("\n"):
        if found := _FRAME.match(line):
            file = found[1]
        elif line[:1].strip():
            return line, file
    return "", file
