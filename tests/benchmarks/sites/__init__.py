"""The same few routes in each framework, and in none: what the benchmarks serve.

/chunks/{count}, /async/chunks/{count}   so many chunks of 1 KiB, of a plain or async generator
/file                                    the file that BENCHMARK_FILE names, as a download
/upload                                  takes a form's "file" and tells its size as JSON;
                                         with ?digest its SHA-256 too
/pid                                     the process that answers
"""

from __future__ import annotations

import hashlib
import os
from typing import IO

CHUNK = b"x" * 1023 + b"\n"
FILE = os.environ.get("BENCHMARK_FILE", "")
READ_SIZE = 256 * 1024


def described(file: IO[bytes], size: int, with_digest: bool) -> dict[str, object]:
    """What `/upload` tells of the file that it was sent."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest() if with_digest else None  # type: ignore[arg-type]
    return {"size": size, "digest": digest}
