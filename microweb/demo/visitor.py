"""Who a visitor is: a guest, or somebody signed in, as the session remembers."""

from __future__ import annotations

import secrets
from hashlib import scrypt

from microweb import Request

# The demo's three accounts: (salt, scrypt of the password). A real site keeps such pairs in its
# database, and nowhere the password itself, though this one is printed on the page.
ACCOUNTS = {
    "Ada": (
        bytes.fromhex("01604fd9d5a08ad2ced869688a55a93e"),
        bytes.fromhex("a0c98d1514abfe25de5cf83a36350c7404c27cd604bc3348bd99f2bbde200153"),
    ),
    "Alan": (
        bytes.fromhex("2f6db4c2d746b433b80c8658e7084e47"),
        bytes.fromhex("e63bed1522e6337a543e0807ca221dc6d6e0609ca83e9540643ad110405762fa"),
    ),
    "Grace": (
        bytes.fromhex("a620ac9b4f24cd3cb289140d89f46ee8"),
        bytes.fromhex("ecef1fbf1fc6e22928b30084c4201e1d6bb60d085c64ae3a5c3575fc683651fa"),
    ),
}
NOBODY = (bytes(16), bytes(32))


def signed_in(request: Request) -> str | None:
    """The visitor's account, or None for a guest."""
    return request.session.get("account")


def owner_id(request: Request) -> str:
    """What tells this visitor's notes from those of others."""
    if account := signed_in(request):
        return f"account:{account}"
    return f"guest:{request.session.setdefault('guest', secrets.token_urlsafe(16))}"


def sign_in(request: Request, account: str, password: str) -> bool:
    """Sign the visitor in if the password is right."""
    # A hash is made for names that do not exist, too, or the time taken would tell them.
    salt, expected = ACCOUNTS.get(account, NOBODY)
    if not secrets.compare_digest(hashed(password, salt), expected):
        return False
    # A new session: what somebody may have planted in the old one (session fixation) is gone.
    request.session.clear()
    request.session["account"] = account
    return True


def sign_out(request: Request) -> None:
    """Forget the visitor."""
    request.session.clear()


def hashed(password: str, salt: bytes) -> bytes:
    """A hash that is slow and hungry on purpose, for whoever would try all passwords."""
    return scrypt(password.encode("utf-8", "replace"), salt=salt, n=2**14, r=8, p=1, dklen=32)
