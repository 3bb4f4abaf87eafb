"""judge: whether a command serves, what its log says of that, and what that means."""

from __future__ import annotations

import http.client
import re
import sys
from typing import NamedTuple

from ..processes import LISTENING
from ..recognise import Finding, Kind
from .log import NOT_LOADED, telling_line
from .trial import Trial


class Verdict(NamedTuple):
    """What is reported of a trial."""

    serves: bool
    answer: str  # "200 OK"
    line: str = ""  # of the server's log, the one that tells
    meaning: str = ""  # of the line, where it is a well-known one


def judge(trial: Trial, finding: Finding) -> Verdict:
    """Whether a command serves what was found, or why not.

    It does if the application was called and answered, be it with an error of its own. It
    does not if there was no answer, or if the call itself was what failed.
    """
    if not trial.is_installed:
        return Verdict(False, "not installed", meaning=_install(trial.command.module))
    line, file = telling_line(trial.log)
    if finding.sentence(trial.command.target).startswith(line) and line:
        return Verdict(False, "does not take it: see above")
    if trial.status == 500 and not _is_of_the_call(line, file, trial, finding):
        return Verdict(True, "answers 500, its own error", line)
    if trial.status not in (None, 500):
        return Verdict(True, _answer(trial.status))
    return Verdict(False, _refusal(trial), line, _meaning(line, trial, finding))


def _refusal(trial: Trial) -> str:
    if trial.status is not None:
        return _answer(trial.status)
    if trial.seconds is not None:
        return f"no answer within {trial.seconds:g} s"
    if LISTENING.search(trial.log) and not NOT_LOADED.search(trial.log):
        return "ended before it answered"
    return "did not start"


def _answer(status: int) -> str:
    return f"{status} {http.client.responses.get(status, '')}".rstrip()


def _install(module: str) -> str:
    if module == "gunicorn" and sys.platform == "win32":
        return "gunicorn does not run on Windows."
    return f"pip install {module}"


# --- what it means ----------------------------------------------------------------------------

# The call was the wrong one, wherever that was noticed: an argument of the other protocol's is
# missing, or what was called says it itself.
_WRONG_CALL = re.compile(
    r"missing \d+ required positional arguments?: .*'(?:start_response|receive|send)'"
    r"|app\.wsgi was called with one argument|an App has two doors"
)
# The call was the wrong one if it was the server's own file that it failed in.
_WRONG_ARGUMENTS = re.compile(
    r"TypeError: .*(?:missing \d+ required|takes .* positional arguments? but"
    r"|'coroutine' object is not iterable)"
)
_NOT_CALLABLE = re.compile(r"object is not callable|must be callable")
_SERVER_FILE = re.compile(r"[\\/](?:gunicorn|uvicorn|microweb[\\/]servers)[\\/]")


def _is_of_the_call(line: str, file: str, trial: Trial, finding: Finding) -> bool:
    if _WRONG_CALL.search(line) and finding.kind != trial.command.protocol:
        return True
    is_at_server = _SERVER_FILE.search(file) is not None or finding.kind == "unknown"
    return is_at_server and bool(_WRONG_ARGUMENTS.search(line) or _NOT_CALLABLE.search(line))


def _meaning(line: str, trial: Trial, finding: Finding) -> str:
    """What a well-known line means, in a plain sentence; nothing for any other."""
    if _WRONG_CALL.search(line) or _WRONG_ARGUMENTS.search(line):
        return _of_the_call(line, trial, finding)
    if _NOT_CALLABLE.search(line):
        if _TAKEN_FOR_FACTORY in trial.log:
            return "uvicorn took it for a factory, as it can be called without arguments."
        return "A server calls its application; this is nothing that can be called."
    if trial.seconds is not None and not LISTENING.search(trial.log) and not line:
        return _MUTE
    return next((meaning for known, meaning in _MEANINGS if known.search(line)), "")


def _of_the_call(line: str, trial: Trial, finding: Finding) -> str:
    if "an App has two doors" in line:
        return ""  # it says all of it
    server, protocol = trial.command.server, trial.command.protocol
    called = next((kind for name, kind in _ARGUMENTS.items() if name in line), finding.kind)
    if called == protocol == "asgi":
        return f"{server} takes a plain callable for ASGI 2; with --interface asgi3 it does not."
    this = _APPLICATIONS.get(called, "this does not take its call")
    return f"{server} speaks {protocol.upper()}, and {this}."


# An argument that was missed tells what was called, which a factory may have made.
_ARGUMENTS: dict[str, Kind] = {
    "'start_response'": "wsgi",
    "app.wsgi": "wsgi",
    "'receive'": "asgi",
    "'send'": "asgi",
}
_APPLICATIONS: dict[Kind, str] = {
    "wsgi": "this is a WSGI application",
    "asgi": "this is an ASGI application",
}
_TAKEN_FOR_FACTORY = "ASGI app factory detected"
_MUTE = (
    "It did not even say where it listens. Does the module work long as it is imported, or turn"
    " off the server's log (disable_existing_loggers)?"
)
_MEANINGS = (
    (
        re.compile(r"Failed to parse '[^']*\.[^']*' as an attribute name"),
        "gunicorn takes one name after the colon, without a dot.",
    ),
    (re.compile(r"class uri 'asgi' invalid"), "gunicorn speaks ASGI since its version 24."),
    (
        re.compile(r"ASGI callable returned without starting response"),
        "The application was called, and sent nothing.",
    ),
)
