"""Hash and check passwords, no more at once than there are processors.

A hash takes a processor for some 50 ms. Further hashes wait in a queue. One that would not end within its request's
time is refused at once: it would delay other requests, and its own would be answered 503 all the same.
"""

import asyncio
import math
import os
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from shared.core.errors import ServiceUnavailable
from shared.core.request import time_left_s
from shared.core.text import composed

if TYPE_CHECKING:
    from argon2 import PasswordHasher

PASSWORD_MOST: Final = 128
"""UTF-16 code units of a new password in NFC."""


FIRST_HASH_S: Final = 0.1
"""Seconds that a hash is assumed to take before one is measured. With Argon2's defaults one takes a third on Lambda."""

REST_S: Final = 2.0
"""Seconds of a request that a hash leaves for store calls. Less would hash passwords for requests that then fail."""

SMOOTHING: Final = 0.2
"""The weight of the newest measurement in the mean duration of a hash. With 1, one slow hash would close the queue."""

BCRYPT_MOST: Final = 72
"""Bytes of a password that bcrypt hashes. The predecessor's library ignored further bytes; ours refuses them."""

_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-5])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
"""Hashes of accounts that moved in. A cost of 15 takes some three seconds; a higher one would outlast the request. The
last of a salt's 22 characters has 2 bits: the library raises ValueError for another one."""

T = TypeVar("T")


class Passwords:
    """Hashes with Argon2id. The library's defaults are those of RFC 9106 for constrained memory; tests pass a cheaper
    hasher. Its import is slow, and only the function that handles passwords pays it. `at_once` is how many passwords
    are hashed at the same time; None: one for each processor."""

    def __init__(
        self,
        hasher: "PasswordHasher | None" = None,
        *,
        at_once: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given = hasher
        self._dummy: str | None = None
        self._at_once = at_once or os.cpu_count() or 1
        self._monotonic = monotonic
        self._hash_s = FIRST_HASH_S
        self._queued = 0

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._at_once, thread_name_prefix="passwords")

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher  # noqa: PLC0415

        return self._given or PasswordHasher()

    async def hash(self, password: str) -> str:
        """Return the hash of a password. Raises ServiceUnavailable if the queue is too long for the request's time."""
        return await self._in_turn(lambda: self._hasher.hash(_compared(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password fits. A hash of None, of an unknown account, takes as long and fits nothing.

        Raises ServiceUnavailable if the queue is too long for the request's time.
        """
        if self._dummy is None:
            self._dummy = await self.hash(secrets.token_urlsafe(16))
        return await self._in_turn(lambda: self._fits(password_hash, password))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Run `work` on one of the threads, after the work queued before it. Raises ServiceUnavailable."""
        wait_s = (self._queued // self._at_once + 1) * self._hash_s
        if wait_s > time_left_s() - REST_S:
            raise ServiceUnavailable(retry_after_s=max(1, math.ceil(self._queued / self._at_once * self._hash_s)))
        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._measured, work)
        finally:
            self._queued -= 1

    def _measured(self, work: Callable[[], T]) -> T:
        began = self._monotonic()
        try:
            return work()
        finally:
            self._hash_s += SMOOTHING * (self._monotonic() - began - self._hash_s)

    def _fits(self, password_hash: str | None, password: str) -> bool:
        if password_hash is not None and is_bcrypt(password_hash):
            return _fits_bcrypt(password_hash, password)
        fits = self._fits_argon2(password_hash or self._dummy or "", _compared(password))
        if fits is None:  # a hash of no known form costs nothing: take the time of an unknown account
            self._fits_argon2(self._dummy or "", _compared(password))
            return False
        return fits and password_hash is not None

    def _fits_argon2(self, password_hash: str, compared: str) -> bool | None:
        """Return whether the password fits; None: this is no hash of Argon2."""
        from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError  # noqa: PLC0415

        try:
            return self._hasher.verify(password_hash, compared)
        except VerifyMismatchError:
            return False
        except (InvalidHashError, VerificationError):
            return None


def is_bcrypt(password_hash: str) -> bool:
    """Return whether the predecessor made this hash. The next login replaces it."""
    return _BCRYPT.fullmatch(password_hash) is not None


def _fits_bcrypt(password_hash: str, password: str) -> bool:
    """Compare a password without composing it, as the predecessor did."""
    from bcrypt import checkpw  # noqa: PLC0415 few containers meet such a hash, and no start waits for the import

    return checkpw(password.encode()[:BCRYPT_MOST], password_hash.encode())


def _compared(password: str) -> str:
    """Return the form in which passwords are compared: NFC.

    Keyboards differ in how they compose letters. A password over PASSWORD_MOST is compared unchanged, and fits nothing.
    """
    return composed(password, most=PASSWORD_MOST) or password
