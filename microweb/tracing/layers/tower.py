"""Tower: a call stack as bands, one for each run of frames that are of one package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Literal

from .packages import PYTHON, YOU

Role = Literal["server", "framework", "you"]
Frame = Mapping[str, Any]
Stack = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Band:
    """Frames that follow each other and are of one package, on one side of the seam."""

    package: str
    version: str
    role: Role
    frames: tuple[Frame, ...]

    @property
    def is_python(self) -> bool:
        """Whether it is of the standard library, which everybody goes through."""
        return self.package == PYTHON


def bands_of(stack: Stack) -> list[Band]:
    """The bands of a stack, the outermost first."""
    numbered = enumerate(stack["frames"])
    return [
        Band(package, frames[0]["version"], role, tuple(frames))
        for (package, role), group in groupby(
            numbered, key=lambda each: (each[1]["package"], _role(each, stack["seam"]))
        )
        for frames in [[frame for _, frame in group]]
    ]


def _role(numbered: tuple[int, Frame], seam: int) -> Role:
    index, frame = numbered
    if index < seam:
        return "server"  # a script of yours, too, if it runs the server
    return "you" if frame["package"] == YOU else "framework"


def most_telling(stacks: Sequence[Stack], handler: Mapping[str, Any] | None = None) -> Stack | None:
    """Of the stacks of one exchange the handler's, where a framework has told its source.

    Otherwise that with the most between the socket and you: below a handler's stand all bands
    of a framework, and a layer of yours is called before it. What a handler calls adds only to
    your own band. Of those that are alike in all this the last is taken, after the hooks.
    """
    told = [each for each in stacks if handler and _is_of(each["frames"][-1], handler)]
    return max(reversed(told or stacks), key=_depth, default=None)


def _is_of(frame: Frame, source: Mapping[str, Any]) -> bool:
    # A decorated function begins at its first decorator for one, and at its def for the other.
    return (frame["file"], frame["function"]) == (source["file"], source["function"])


def _depth(stack: Stack) -> tuple[int, int, bool]:
    bands = bands_of(stack)
    own = len(bands[-1].frames) if bands and bands[-1].role == "you" else 0
    return len(_packages(bands)), len(stack["frames"]) - own, own == 1


def _packages(bands: Sequence[Band]) -> list[str]:
    """The packages in their order; one that goes through Python to itself is there once."""
    names = [band.package for band in bands if not band.is_python]
    return [name for name, _ in groupby(names)]


def relations(bands: Sequence[Band]) -> list[tuple[str, str]]:
    """Who calls whom from the server on, each pair once; through Python or directly."""
    inner = next((i for i, band in enumerate(bands) if band.role != "server"), 0)
    server = _packages(bands[:inner])[-1:]
    return list(dict.fromkeys(pairwise([*server, *_packages(bands[inner:])])))
