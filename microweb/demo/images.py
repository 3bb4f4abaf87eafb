"""Images that visitors leave: told by their first bytes, kept under names of our own."""

from __future__ import annotations

import secrets
from pathlib import Path

from microweb import FileResponse, UploadFile

MAX_IMAGE_SIZE = 5 * 1024 * 1024  # bytes

# How each kind of image begins. Anything else that a browser would run or render (SVG,
# HTML, PDF) is not taken, whatever its name or its Content-Type claims.
KINDS = {
    ".png": ("image/png", (b"\x89PNG\r\n\x1a\n",)),
    ".jpg": ("image/jpeg", (b"\xff\xd8\xff",)),
    ".gif": ("image/gif", (b"GIF87a", b"GIF89a")),
    ".webp": ("image/webp", (b"RIFF",)),
}


def kind_of(upload: UploadFile) -> str | None:
    """The suffix for an uploaded image, or None if it is none of the four kinds."""
    upload.file.seek(0)
    head = upload.file.read(12)
    upload.file.seek(0)
    for suffix, (_, beginnings) in KINDS.items():
        if head.startswith(beginnings):
            # RIFF is a container, and WebP is only one of the things that come in it.
            return suffix if suffix != ".webp" or head[8:] == b"WEBP" else None
    return None


def problem(upload: UploadFile) -> str | None:
    """What is wrong with an uploaded image, as a sentence; None if nothing is."""
    if upload.size > MAX_IMAGE_SIZE:
        return f"This file is larger than {MAX_IMAGE_SIZE // 1024 // 1024} MB."
    if kind_of(upload) is None:
        return "This file is not a PNG, JPEG, GIF or WebP image."
    return None


def keep(upload: UploadFile, folder: Path) -> str:
    """Keep an image that has no problem; the name of its file, which owes the visitor nothing."""
    name = secrets.token_hex(16) + (kind_of(upload) or "")
    upload.save(folder / name)
    return name


def serve(path: Path, filename: str | None) -> FileResponse:
    """The image; with a `filename` it is a download."""
    content_type, _ = KINDS[path.suffix]
    return FileResponse(path, filename=filename, content_type=content_type)
