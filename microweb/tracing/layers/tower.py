"""Tower: a call stack as bands, one for each run of frames that are of one package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Literal

from .packages import PYTHON, YOU

Role = Literal["server", "framework", "you"]
Frame = Mapping[str, Any]


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


def bands_of(stack: Mapping[str, Any]) -> list[Band]:
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
    if frame["package"] == YOU:
        return "you"
    return "server" if index < seam else "framework"


def most_telling(stacks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Of the stacks of one exchange that with the most between the socket and you.

    Below a handler's stand all bands of a framework, and the most frames; a layer or a hook of
    yours may be called before it or after. What a handler calls adds only to your own band.
    """
    return max(stacks, key=_depth, default=None)


def _depth(stack: Mapping[str, Any]) -> tuple[int, int]:
    bands = bands_of(stack)
    own = len(bands[-1].frames) if bands and bands[-1].role == "you" else 0
    packages = sum(not band.is_python for band in bands)
    return packages, len(stack["frames"]) - own


def relations(bands: Sequence[Band]) -> list[tuple[str, str]]:
    """Who calls whom from the server on, each pair once; through Python or directly."""
    names = [band.package for band in bands if not band.is_python and band.role != "server"]
    server = [band.package for band in bands if not band.is_python and band.role == "server"]
    names = [*server[-1:], *names]
    pairs = [(one, other) for one, other in pairwise(names) if one != other]
    return list(dict.fromkeys(pairs))
