"""Keys derived from SESSION_SECRET, one for each use: a key that leaks from one use is worthless in the others.

A changed secret ends sessions, cursors and links in mails, and begins new windows of attempts. Nothing that must
outlive the change of a secret may depend on a derived key.
"""

import hmac
from enum import StrEnum


class Use(StrEnum):
    SESSIONS = "sessions"
    CURSORS = "cursors"
    PSEUDONYMS = "pseudonyms"
    RECOVERY = "recovery"


def derived_key(secret: str, use: Use) -> bytes:
    """Return the key of one use: HMAC-SHA-256 of its name under the secret, 32 bytes."""
    return hmac.digest(secret.encode(), f"agent-talk/{use}".encode(), "sha256")


class Pseudonyms:
    """Stand-ins for personal data in logs and in the names of counters."""

    def __init__(self, secret: str) -> None:
        self._key = derived_key(secret, Use.PSEUDONYMS)
        self._last: tuple[str | None, str] = None, ""

    def of(self, text: str) -> str:
        """Return 32 hexadecimal digits, equal for equal texts. They reveal nothing without the secret.

        The last result is cached: successive requests of a container often come from one client.
        """
        last, pseudonym = self._last
        if text != last:
            pseudonym = hmac.digest(self._key, text.encode(), "sha256").hex()[:32]
            self._last = (text, pseudonym)
        return pseudonym
