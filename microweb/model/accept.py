"""best_match: which of an application's media types a client likes best (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .qvalues import parse_qvalues

# All text that leaves here is UTF-8, so that a client which asks for that asks for nothing.
_GRANTED = {"charset=utf-8"}


def best_match(header: str | None, offers: Sequence[str]) -> str | None:
    """The one of `offers` that an Accept header prefers; None if it takes none of them.

    Of several ranges that fit an offer the most precise one weighs it: `text/html;level=1`
    before `text/html`, before `text/*`, before `*/*`. The heaviest offer wins; of equals the
    one that the client named more precisely, then the one it named first, then the one
    offered first. Without a header, or with nothing in it that is one, all are as welcome.

    Raises ValueError for an offer that is no media type: `html`, `text/*`.
    """
    offered = [_offered(offer) for offer in offers]
    ranges = _ranges(header) if header is not None and header != "*/*" else []
    if not ranges:
        return offers[0] if offers else None
    ranks = [_rank(media_type, ranges) for media_type in offered]
    best = max(ranks, default=_REFUSED)
    return offers[ranks.index(best)] if best > _REFUSED else None


class _MediaType(NamedTuple):
    """A media type, or a range of them."""

    main: str
    sub: str
    parameters: frozenset[str]

    def includes(self, other: _MediaType) -> bool:
        return (
            self.main in ("*", other.main)
            and self.sub in ("*", other.sub)
            and self.parameters <= other.parameters
        )

    @property
    def precision(self) -> int:
        named = (self.main != "*") + (self.sub != "*")
        return named * 1000 + len(self.parameters)  # a name counts for more than any parameters


_Rank = tuple[float, int, int]  # of an offer: its weight, its range's precision and place
_REFUSED: _Rank = (0.0, 0, 0)


def _rank(offer: _MediaType, ranges: list[tuple[_MediaType, float]]) -> _Rank:
    fitting = [
        (media_range.precision, weight, -place)
        for place, (media_range, weight) in enumerate(ranges)
        if media_range.includes(offer)
    ]
    precision, weight, place = max(fitting, default=(0, 0.0, 0))
    return (weight, precision, place) if weight else _REFUSED


def _ranges(header: str) -> list[tuple[_MediaType, float]]:
    ranges = [(_parse(value), weight) for value, weight in parse_qvalues(header)]
    return [(kind, weight) for kind, weight in ranges if kind is not None]


@lru_cache  # an application offers the same few again and again
def _offered(offer: str) -> _MediaType:
    parsed = _parse(offer.lower())
    if parsed is None or "*" in parsed[:2]:
        raise ValueError(
            f"{offer!r} cannot be offered: a media type has two names, like 'text/html'"
        )
    return parsed


def _parse(text: str) -> _MediaType | None:
    value, *parameters = text.split(";")
    main, slash, sub = value.strip().partition("/")
    if not (slash and main and sub) or (main == "*" != sub):
        return None
    # A parameter's value means the same in quotes and without them (RFC 9110, 5.6.6).
    kept = {parameter.strip().replace('"', "") for parameter in parameters}
    return _MediaType(main, sub, frozenset(kept - _GRANTED))
