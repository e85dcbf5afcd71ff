"""Cursors: the place where the next page of a list begins, authenticated for this list alone.

A cursor is base64url of a 16-byte MAC and the sort key, without padding: `6TbR…MDE5YWJj`.
"""

import base64
import binascii
import hmac
from typing import Final

from shared.core.derived import Use, derived_key
from shared.core.errors import ValidationFailed

_SEAL_BYTES: Final = 16
"""Bytes of the MAC. 128 bits of HMAC-SHA-256 cannot be forged by guessing; more would only lengthen the cursor."""


class Cursors:
    """Seals and opens cursors. `scope` is the list's owner and filters: a cursor opens in no other scope."""

    def __init__(self, secret: str) -> None:
        self._key = derived_key(secret, Use.CURSORS)

    def seal(self, scope: tuple[str | None, ...], after: str | None) -> str | None:
        """Return the cursor of the page after the key `after`. None: there is no further page."""
        if after is None:
            return None
        return base64.urlsafe_b64encode(self._mac(scope, after) + after.encode()).decode().rstrip("=")

    def open(self, scope: tuple[str | None, ...], cursor: str | None) -> str | None:
        """Return the key after which the page begins; None for the first. Raises ValidationFailed if it is forged."""
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
