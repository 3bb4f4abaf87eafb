"""Session: the mapping at `request.session`, which knows whether it was read and changed.

Where it comes from and how it is kept is the business of a layer (middleware/sessions.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from .lazy import lazy


class Session(MutableMapping[str, Any]):
    """What is remembered of a client: str keys, and values that JSON can hold.

    It is loaded at its first use. When the response's headers have left nothing can be
    remembered any more: setting or deleting a key raises RuntimeError then (a change deep
    inside a value goes unseen), and so does the very first look, which the headers had to
    tell of. TypeError for a key that is no str.
    """

    def __init__(self, load: Callable[[], tuple[dict[str, Any], bool]]) -> None:
        self._load = load
        self._writable = self._readable = True
        self.due = False  # whether its cookie should be renewed

    @lazy
    def _values(self) -> dict[str, Any]:
        if not self._readable:
            raise RuntimeError(
                "request.session is read for the first time after the response's headers, which"
                " had to say so (Vary: Cookie); read it in the handler, before it returns"
            )
        values, self.due = self._load()
        self._before = _as_json(values)
        return values

    @property
    def accessed(self) -> bool:
        """Whether anybody has looked."""
        return "_values" in self.__dict__

    @property
    def changed(self) -> bool:
        """Whether it holds something else than was loaded, at any depth.

        Raises TypeError for a value that is not JSON.
        """
        return self.accessed and _as_json(self._values) != self._before

    def seal(self, *, readable: bool) -> None:
        """The headers leave: from now on nothing can be remembered."""
        self._writable, self._readable = False, readable

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"request.session[{key!r}]: a key must be a str, as in JSON")
        self._changeable()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._changeable()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Session {self._values if self.accessed else 'not read yet'}>"

    def _changeable(self) -> dict[str, Any]:
        if not self._writable:
            raise RuntimeError(
                "request.session is changed after the response's headers, which carry its"
                " cookie; change it in the handler, before the body is streamed"
            )
        return self._values


def _as_json(values: dict[str, Any]) -> str:
    try:
        return json.dumps(values)
    except TypeError as error:
        raise TypeError(f"request.session holds what JSON cannot: {error}") from None
