"""The command: `python -m tests.benchmarks [NAME ...]`, with names of BENCHMARKS."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from . import bodies, crossings, endtoend, memory, overhead, recording, servers, start, streams

BENCHMARKS = {
    "overhead": overhead.run,
    "crossings": crossings.run,
    "endtoend": endtoend.run,
    "start": start.run,
    "streams": streams.run,
    "bodies": bodies.run,
    "memory": memory.run,
    "servers": servers.run,
    "recording": recording.run,
}


def main(names: list[str]) -> int:
    """Run the benchmarks of these names, or all; the exit status is 0 if all goals are met."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    met = True
    for name in names or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="microweb-benchmark-") as folder:
            met &= BENCHMARKS[name](Path(folder))
    return 0 if met else 1


sys.exit(main(sys.argv[1:]))
