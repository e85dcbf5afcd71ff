"""Minting, recognizing and finding API keys. A key is stored as its digest only."""

import hashlib
import hmac
import re
import secrets

from shared.tables import ApiKeys
from shared.tables.issued_keys import LIVE_PREFIX, TEST_PREFIX, IssuedKey

_API_KEY = re.compile(r"at_(live|test)_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes in base64url: the last of 43 characters has 4 bits. Also the pattern for secret scanners."""


def mint_api_key(*, test: bool) -> str:
    """A prefix and 32 random bytes in base64url."""
    return (TEST_PREFIX if test else LIVE_PREFIX) + secrets.token_urlsafe(32)


def is_api_key(text: str) -> bool:
    """Whether this has the form of an API key; says nothing of whether it is one."""
    return _API_KEY.fullmatch(text) is not None


def digest(secret: str) -> str:
    """SHA-256 in hexadecimal: enough for secrets of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same_digest(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


async def find(keys: ApiKeys, secret: str) -> IssuedKey | None:
    """Return the key of this secret, good or not, in one read; None: the service issued none."""
    if not is_api_key(secret):
        return None
    key_hash = digest(secret)
    key = await keys.get_by_hash(key_hash)
    return key if key is not None and same_digest(key.key_hash, key_hash) else None
