"""Cursors: where the next page of a list begins, sealed so that only this list accepts it."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from shared.core.errors import ValidationFailed

_SEAL_BYTES: Final = 16
"""128 bits of an HMAC-SHA-256 are out of a forger's reach."""


class Cursors:
    """`scope` says whose list it is and how it is filtered; a cursor of one scope opens in no other."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(f"cursors:{secret}".encode()).digest()

    def seal(self, scope: tuple[str | None, ...], after: str | None) -> str | None:
        """None: there are no more pages."""
        if after is None:
            return None
        return base64.urlsafe_b64encode(self._mac(scope, after) + after.encode()).decode().rstrip("=")

    def open(self, scope: tuple[str | None, ...], cursor: str | None) -> str | None:
        """Where to continue; None: at the beginning. Raises ValidationFailed."""
        if cursor is None:
            return None
        try:
            content = base64.b64decode(
                cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
            after = content[_SEAL_BYTES:].decode("ascii")
        except (binascii.Error, UnicodeError):
            after = ""
            content = b""
        if not hmac.compare_digest(content[:_SEAL_BYTES], self._mac(scope, after)):
            raise ValidationFailed("Invalid cursor", details={"field": "cursor"})
        return after

    def _mac(self, scope: tuple[str | None, ...], after: str) -> bytes:
        message = repr((scope, after)).encode()
        return hmac.digest(self._key, message, "sha256")[:_SEAL_BYTES]
