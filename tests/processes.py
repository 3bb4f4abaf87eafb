"""What Linux tells of another process: the memory it takes, and the files it holds open."""

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
