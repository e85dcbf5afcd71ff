"""Hashing and checking of passwords."""

import asyncio
import secrets
from functools import cached_property
from typing import TYPE_CHECKING, Final

from shared.core.text import composed

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_MOST: Final = 128
"""UTF-16 code units of a new password in NFC."""


class Passwords:
    """Argon2id. The hasher's own defaults are RFC 9106's for constrained memory; tests bring a cheaper one.

    Its import is slow, and for the one function that handles passwords.
    """

    def __init__(self, hasher: "PasswordHasher | None" = None) -> None:
        self._given = hasher
        self._dummy: str | None = None

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # noqa: PLC0415

        return self._given or PasswordHasher()

    async def hash(self, password: str) -> str:
        return await asyncio.to_thread(self._hasher.hash, _compared(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it fits. None, for an unknown account, takes as long and fits nothing."""
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe(16))
        return await asyncio.to_thread(self._fits, password_hash, _compared(password))

    def _fits(self, password_hash: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415

        try:
            self._hasher.verify(password_hash or self._dummy or "", password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None


def _compared(password: str) -> str:
    """Return the form in which passwords are compared: NFC, as keyboards differ in how they compose what they type.

    A password too long to be anyone's is compared as it is, and fits nothing.
    """
    return composed(password, most=PASSWORD_MOST) or password
