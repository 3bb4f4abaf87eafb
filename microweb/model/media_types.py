"""Media types: what a file is, by its name, and the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from os.path import splitext

from .response import OCTETS

# What the web is made of. Python's own table lacks some of these in some versions, and
# `mimetypes.guess_type` asks the machine's /etc/mime.types as well.
MEDIA_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".aac": "audio/aac",
    ".apng": "image/apng",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".css": "text/css",
    ".csv": "text/csv",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".gif": "image/gif",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/vnd.microsoft.icon",
    ".ics": "text/calendar",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".mp4": "video/mp4",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".rss": "application/rss+xml",
    ".svg": "image/svg+xml",
    ".tgz": "application/gzip",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".wav": "audio/wav",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xml": "application/xml",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
    ".zst": "application/zstd",
}


def content_type_of(name: str) -> str:
    """The Content-Type of a file called `name`; text is taken to be UTF-8.

    Only the last extension counts: a `page.html.gz` is sent as the gzip file that it is,
    without a Content-Encoding, and so is saved as it is. `application/octet-stream`, which
    browsers save and never run, where nothing is known.
    """
    extension = splitext(name)[1].lower()
    media_type = MEDIA_TYPES.get(extension) or _known_to_python().get(extension, OCTETS)
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


@cache
def _known_to_python() -> Mapping[str, str]:
    from mimetypes import MimeTypes

    # An instance of its own: the tables in Python's source, without the machine's files.
    return MimeTypes().types_map[True]
