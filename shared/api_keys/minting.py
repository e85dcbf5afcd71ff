"""Minting, recognizing and finding API keys. A key is stored as its digest only."""

import hashlib
import hmac
import re
import secrets

from shared.tables import ApiKeys
from shared.tables.issued_keys import LIVE_PREFIX, TEST_PREFIX, IssuedKey

_API_KEY = re.compile(r"at_(live|test)_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes in base64url: the last of 43 characters has 4 bits. Secret scanners use the same pattern."""


def mint_api_key(*, test: bool) -> str:
    """Return a new key: `at_live_` or `at_test_`, then 32 random bytes in base64url."""
    return (TEST_PREFIX if test else LIVE_PREFIX) + secrets.token_urlsafe(32)


def is_api_key(text: str) -> bool:
    """Return whether the text has the form of an API key, issued or not."""
    return _API_KEY.fullmatch(text) is not None


def digest(secret: str) -> str:
    """Return the SHA-256 in hexadecimal. It suffices for secrets of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same_digest(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


async def find(keys: ApiKeys, secret: str) -> IssuedKey | None:
    """Return the key of this secret, valid or not, in one read. None: the service issued none."""
    if not is_api_key(secret):
        return None
    key_hash = digest(secret)
    key = await keys.get_by_hash(key_hash)
    return key if key is not None and same_digest(key.key_hash, key_hash) else None
