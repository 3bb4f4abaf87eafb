"""PerProcess: what belongs to one process, and is made anew in a child after a fork.

Servers fork their workers, often after the application is imported. Threads do not
survive a fork; a lock may be copied while somebody holds it. Asking for the process id at
each request would tell, too, but costs more than all of the routing.
"""

from __future__ import annotations

import os
from weakref import WeakSet

_alive: WeakSet[PerProcess] = WeakSet()

# What the parents had is kept, and never used: if it were collected, a child would close the
# parent's loop, whose selector they share, and run to its end a life that goes on up there.
_of_the_parents: list[object] = []


class PerProcess:
    """Its `renew` makes the state of one process: at first, and again after each fork."""

    def __init__(self) -> None:
        self.renew()
        _alive.add(self)

    def renew(self) -> None:
        """Forget the parent's state. Runs in the child's only thread, before anything else."""
        raise NotImplementedError


def _renew_all() -> None:
    for thing in list(_alive):
        _of_the_parents.append(dict(vars(thing)))
        thing.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_renew_all)
