"""Where the demo keeps what visitors leave, and the key that signs their sessions."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

# A name of its own: a browser sends the cookies of one port to all ports of the same host.
COOKIE = "microweb_demo"


def data_folder() -> Path:
    """One folder for every process of this user, so that both doors open on the same guestbook.

    MICROWEB_DEMO_DATA names another one. It is not below the common temporary folder, where
    somebody else could have made it first.
    """
    if given := os.environ.get("MICROWEB_DEMO_DATA"):
        return Path(given)
    shared = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(shared) / "microweb-demo"


def secret_key(folder: Path) -> str:
    """The key that signs sessions: made once, kept in `folder`, readable by its owner only.

    All processes must share it, or one door would not know the other's cookies. A site of
    several machines would be given the key instead of a folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "secret_key"
    if not path.exists():
        # Written beside its place and then linked: of two processes that begin at once, one
        # wins, and neither ever reads a key that is half written.
        draft = folder / f"secret_key.{secrets.token_hex(8)}"
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()
