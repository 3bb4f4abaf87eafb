"""256 MiB go through a worker, up and down, and it hardly grows: nothing is kept whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .benchmarks.memory import GOAL, TRANSFERS, growth
from .benchmarks.served import prepare
from .processes import begin_peak, peak
from .servers import DOORS
from .transfers import MIB

KINDS = ["gunicorn gthread", "uvicorn", "microweb wsgi", "microweb asgi"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a file of 256 MiB, which does not stay."""
    folder = tmp_path_factory.mktemp("memory")
    prepare(folder)
    yield folder
    (folder / "large.bin").unlink()


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_hardly_grows_for_256_mib(kind: str, transfer: str, folder: Path) -> None:
    assert growth(kind, f"micro:{DOORS[kind]}", transfer, folder) / MIB < GOAL
    assert os.listdir(folder / "temporary") == []


def test_a_peak_is_seen_when_it_is_over() -> None:
    before = begin_peak(os.getpid())
    taken = bytearray(b"x" * 64 * MIB)
    del taken
    assert peak(os.getpid()) - before > 32 * MIB
    after = begin_peak(os.getpid())
    assert peak(os.getpid()) - after < 32 * MIB
