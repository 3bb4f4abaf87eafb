"""A benchmark's site behind a real server, which logs nothing but its own start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..servers import Server, serving
from ..transfers import write_file

QUIET = {"uvicorn": ("--no-access-log",)}


def prepare(folder: Path) -> None:
    """Make the file that the sites serve, and the place for what they are sent."""
    write_file(folder / "large.bin")
    (folder / "temporary").mkdir()


@contextmanager
def site_served(
    kind: str, target: str, folder: Path, options: Sequence[str] = ()
) -> Iterator[Server]:
    """`target` ("micro:asgi") of the sites, in a folder that is prepared."""
    environment = {
        "BENCHMARK_FILE": str(folder / "large.bin"),
        "TMPDIR": str(folder / "temporary"),
    }
    site = f"tests.benchmarks.sites.{target}"
    with serving(kind, site, folder, [*QUIET.get(kind, ()), *options], environment) as server:
        yield server
