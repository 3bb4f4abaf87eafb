"""What Linux tells of another process: its memory, its open files, its threads and its work."""

from __future__ import annotations

import os
import re
from pathlib import Path

KIB = 1024


def begin_peak(pid: int) -> int:
    """Forget the peak of a process's resident memory; what it has now, in bytes (proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _memory(pid, "VmRSS")


def peak(pid: int) -> int:
    """The most resident memory that a process has had since `begin_peak`, in bytes."""
    return _memory(pid, "VmHWM")


def resident(pid: int) -> int:
    """The resident memory of a process, in bytes."""
    return _memory(pid, "VmRSS")


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def worked(pid: int) -> float:
    """The seconds that a process has kept a processor busy, all threads and the kernel for it."""
    # After the name, which may have anything in it: utime and stime are fields 14 and 15.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> list[str]:
    """What the process's descriptors stand for: paths, sockets, pipes."""
    folder = Path(f"/proc/{pid}/fd")
    found = []
    for descriptor in folder.iterdir():
        try:
            found.append(os.readlink(descriptor))
        except FileNotFoundError:
            continue  # closed meanwhile
    return sorted(found)


def _memory(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * KIB
