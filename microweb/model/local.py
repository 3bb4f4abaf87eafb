"""is_local_path: whether a place that came from outside is one to which a client may be sent."""

from __future__ import annotations

import re

# One slash, and neither a second one nor a backslash, which browsers take for a slash, after
# it: "//evil.example" is another host. Control characters never: browsers leave tabs and line
# ends out, wherever they stand, before they look (WHATWG URL, 4.4).
_LOCAL = re.compile(r"/(?![/\\])[^\x00-\x1f\x7f]*")


def is_local_path(target: str | None) -> bool:
    """Whether a redirect to `target` stays on this site, as a browser reads it.

    For a target that a client has sent, as in `?next=/guestbook`: a path, with or without a
    query, is local; a URL of any scheme or host is not, and neither is what is relative.
    """
    return target is not None and _LOCAL.fullmatch(target) is not None
