"""Order: what is to be recorded in a server's process, as its environment says it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from .format import Protocol

VARIABLE = "MICROWEB_TRACE"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be recorded in a server's process."""

    target: str  # module:attribute of the application that the server is to call
    protocol: Protocol
    home: str  # the path of the Unix socket to which events are sent
    observe: str = ""  # module:attribute of what has an `observe(callback)`, as a microweb App has
    secrets: bool = False  # whether to record them as they are
    layers: bool = False  # whether to look at the call stack at each function of yours

    def environment(self) -> dict[str, str]:
        """The environment that says all this."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> Order:
        """The order that the environment of this process says."""
        return cls(**json.loads(os.environ[VARIABLE]))
