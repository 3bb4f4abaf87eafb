"""Headers and MultiDict: names with one or more values, in the order in which they came."""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping
from typing import Generic, TypeVar

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
Pairs = Iterable[tuple[str, str]]
V = TypeVar("V")

# token (RFC 9110, 5.6.2); field-value in Latin-1, without control characters (5.5)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class MultiDict(Mapping[str, V], Generic[V]):
    """A read-only mapping whose names may repeat: the query of a URL, the fields of a form.

    `[]` and `get` give the first value of a name, `getlist` all of them, `items` one pair
    for each name, and `multi_items` every pair in its order.
    """

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs: list[tuple[str, V]] = list(pairs)

    def __getitem__(self, name: str) -> V:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def getlist(self, name: str) -> list[V]:
        """Every value of `name`, in order; an empty list if there is none."""
        return [value for key, value in self._pairs if key == name]

    def items(self) -> ItemsView[str, V]:
        """One (name, value) for each name, with the value that `[]` gives."""
        # Filled backwards, so that the first value of a name is the one that stays.
        firsts = dict(reversed(self._pairs))
        return {name: firsts[name] for name in self}.items()

    def multi_items(self) -> list[tuple[str, V]]:
        """Every (name, value), repeats included, in order."""
        return list(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"


class RequestHeaders(MultiDict[str]):
    """The headers that a client sent: read-only, found under their name in any case.

    `[]` and `get` join the values of a repeated header with `", "` (RFC 9110, 5.3), those
    of Cookie with `"; "` (RFC 9113, 8.2.3).
    """

    def __init__(self, pairs: Pairs = ()) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def __getitem__(self, name: str) -> str:
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return _joined(name, values)

    def getlist(self, name: str) -> list[str]:
        """Every value of the header `name`, in order; an empty list if there is none."""
        return super().getlist(name.lower())

    def __contains__(self, name: object) -> bool:
        # Mapping's own would join the values, to throw them away.
        if not self._pairs or not isinstance(name, str):
            return False
        return name.lower() in [key for key, _ in self._pairs]

    def items(self) -> ItemsView[str, str]:
        """One (name, value) for each name, with the value that `[]` gives."""
        values: dict[str, list[str]] = {}
        for name, value in self._pairs:
            values.setdefault(name, []).append(value)
        return {name: _joined(name, several) for name, several in values.items()}.items()


class Headers(RequestHeaders, MutableMapping[str, str]):
    """Headers to be sent: checked where they are set, kept in lower case (ASGI, HTTP).

    Raises ValueError for a name that is no token, for control characters or text beyond
    Latin-1 in a value, and for the hop-by-hop headers, which the server side owns
    (PEP 3333, "Other HTTP Features"); TypeError for a value that is not a str.
    """

    def __init__(self, headers: Mapping[str, str] | Pairs = ()) -> None:
        self._pairs = []
        if headers:
            if isinstance(headers, MultiDict):
                headers = headers.multi_items()  # items() would merge Set-Cookie
            for name, value in headers.items() if isinstance(headers, Mapping) else headers:
                self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Add a header beside those that already have its name, as Set-Cookie needs."""
        self._pairs.append(_checked(name, value))

    def __setitem__(self, name: str, value: str) -> None:
        """Set a header in the place of all that have its name."""
        pair = _checked(name, value)
        self._pairs = [kept for kept in self._pairs if kept[0] != pair[0]]
        self._pairs.append(pair)

    def __delitem__(self, name: str) -> None:
        """Remove every header with this name; KeyError if there is none."""
        kept = [pair for pair in self._pairs if pair[0] != name.lower()]
        if len(kept) == len(self._pairs):
            raise KeyError(name)
        self._pairs = kept

    def __add__(self, more: Headers) -> Headers:
        """Headers of their own: these, and `more` after them."""
        both = self.copy()
        both._pairs += more._pairs
        return both

    def copy(self) -> Headers:
        """An independent copy."""
        twin = Headers.__new__(Headers)  # what is checked already is not checked again
        twin._pairs = self._pairs.copy()
        return twin


def _joined(name: str, values: list[str]) -> str:
    return ("; " if name.lower() == "cookie" else ", ").join(values)


def _checked(name: str, value: str) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"header {name!r}: {value!r}: name and value must both be str")
    if not _NAME.fullmatch(name):
        raise ValueError(f"header name {name!r} is not a token (RFC 9110, 5.6.2)")
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"header {name!r}: {value!r} has control characters or text beyond Latin-1;"
            " percent-encode what does not fit"
        )
    name = name.lower()
    if name in HOP_BY_HOP:
        raise ValueError(
            f"header {name!r} is hop-by-hop: it is about the connection, which belongs to"
            " the server side (PEP 3333, 'Other HTTP Features'); leave it to the server"
        )
    # Blanks around a value are no part of it (RFC 9110, 5.5), and some servers refuse them.
    return name, value.strip(" \t")
