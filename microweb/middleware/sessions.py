"""SessionMiddleware: what is remembered of a client, in a signed cookie that the client keeps.

Nothing is stored on this side. itsdangerous signs and verifies; what a session is, and when
its cookie is set, is decided here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable
from typing import Any

from itsdangerous import BadData, URLSafeTimedSerializer

from ..model.cookies import format_cookie
from ..model.headers import Headers
from ..model.request import Request
from ..model.response import Response
from ..model.session import Session
from ..model.vary import add_vary

LARGEST = 4096  # bytes that browsers keep of a cookie (RFC 6265, 6.1)
SHORTEST_KEY = 16  # bytes
_FEWEST_DIFFERENT = 5  # bytes of a key; a random one of that length has more

SecretKey = str | bytes


class SessionMiddleware:
    """Puts a mapping at `request.session` that lasts from one request of a client to the next.

    It holds what JSON can hold. Its cookie is signed and not secret: a client can read it,
    but not change it. Give `secret_key` at least 16 random bytes, the same in all processes;
    or several keys, the newest first, of which the first signs and all are accepted, so that
    a key can be changed while sessions go on.

    `max_age` is in seconds. A session in use is renewed when half of that has passed; an
    older one is empty. With None the browser forgets it when it closes, and it is accepted
    as long as its key is. Give `secure=True` on a site with https. `path`, `domain` and
    `samesite` are the cookie's, which no script in the browser can read (HttpOnly). A sibling
    site, such as a subdomain for users' pages, could plant a session of its own, but not where
    the cookie is called "__Host-session" and is secure (RFC 6265bis, 4.1.3.2).

    Since nothing is stored, a copy of the cookie is good until `max_age`, even if the session
    was emptied since: for what must end at once, keep a key in it and look that up.

    The cookie is set when the session has changed, deeply too, and deleted when it is empty
    now. A cookie that is forged, malformed or too old is an empty session. An unexpected
    error, whose 500 is made outside all layers, leaves the session as it was. In a streamed
    body and a WebSocket the headers have left, and a change raises RuntimeError.

    Raises ValueError for a weak key or an attribute that no cookie can have; and when the
    response is made, for a session larger than a cookie can be (4,096 bytes, signed), and
    TypeError for a value that is not JSON.
    """

    def __init__(
        self,
        secret_key: SecretKey | Iterable[SecretKey],
        *,
        cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        samesite: str | None = "lax",
    ) -> None:
        if max_age is not None and max_age < 1:
            raise ValueError(f"SessionMiddleware(max_age={max_age}): seconds, 1 or more, or None")
        self._cookie = cookie
        self._max_age = max_age
        self._attributes: dict[str, Any] = {
            "path": path,
            "domain": domain,
            "secure": secure,
            "httponly": True,
            "samesite": samesite,
        }
        format_cookie(cookie, "", **self._attributes)  # so that a slip is told here
        self._serializer = URLSafeTimedSerializer(
            _checked_keys(secret_key)[::-1],  # itsdangerous wants the newest last
            # The name is signed as well: one cookie's value is not accepted as another's.
            salt=f"microweb.session.{cookie}",
            # A lone surrogate, which JSON input can carry, has no other form than an escape.
            serializer_kwargs={"ensure_ascii": True},
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def __call__(self, request: Request) -> Generator[None, Response, None]:
        session = request.session = Session(lambda: self._load(request))
        response = yield
        if session.accessed:
            add_vary(response.headers, "Cookie")
            self._save(session, response)
        # A WebSocket's handler begins after its response, and no cache keeps a 101.
        session.seal(readable=response.status == 101)

    def _load(self, request: Request) -> tuple[dict[str, Any], bool]:
        """What the client's cookie holds, and whether it is time to renew it."""
        signed = request.cookies.get(self._cookie, "")
        if not signed or len(signed) > LARGEST:
            return {}, False
        try:
            values, when = self._serializer.loads(
                signed, max_age=self._max_age, return_timestamp=True
            )
        except BadData:
            return {}, False
        if not isinstance(values, dict):
            return {}, False
        age = time.time() - when.timestamp()
        return values, self._max_age is not None and age > self._max_age / 2

    def _save(self, session: Session, response: Response) -> None:
        changed = session.changed
        if session and (changed or session.due):
            value = self._serializer.dumps(dict(session))
            cookie = format_cookie(self._cookie, value, max_age=self._max_age, **self._attributes)
            if len(cookie) > LARGEST:
                raise ValueError(
                    f"request.session makes a cookie of {len(cookie):,} bytes, and browsers keep"
                    f" {LARGEST:,}; keep large things in a database, and their key in the session"
                )
            response.headers.add("set-cookie", cookie)
        elif changed:
            response.delete_cookie(self._cookie, **self._attributes)
        else:
            return
        _keep_private(response.headers)


def _keep_private(headers: Headers) -> None:
    """Set-Cookie alone keeps no shared cache from giving it to others (RFC 9111, 7.3).

    Nor does `no-cache`, as a file has it: asked with 304, the cache would send what it keeps.
    """
    present = headers.get("cache-control", "")
    said = {directive.strip(" \t").lower() for directive in present.split(",")}
    if not said & {"private", "no-store", "public"}:
        headers["cache-control"] = f"{present}, private" if present else "private"


def _checked_keys(secret_key: SecretKey | Iterable[SecretKey]) -> list[bytes]:
    given = [secret_key] if isinstance(secret_key, (str, bytes)) else list(secret_key or ())
    keys = [key.encode() if isinstance(key, str) else key for key in given]
    if not keys or any(
        len(key) < SHORTEST_KEY or len(set(key)) < _FEWEST_DIFFERENT for key in keys
    ):
        # Without the key itself: errors end up in logs.
        raise ValueError(
            f"SessionMiddleware: a secret key needs at least {SHORTEST_KEY} random bytes, or"
            " anybody can forge a session; make one with"
            " python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code"
        )
    return keys
