"""Ids that sort by time: UUIDv7 as 32 hexadecimal digits."""

import hashlib
import os
import re
from datetime import UTC, datetime
from typing import Final

from shared.core.clock import MILLISECOND

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[0-9a-f]{32}")


class Ids:
    """Mints UUIDv7 (RFC 9562) as 32 hexadecimal digits: 48 bits of milliseconds, a counter, and 62 random bits.

    Ids of one minter ascend while its clock does, also the first 4,096 of a millisecond: the 12 bits after the version
    count up from 0 (method 1 of the RFC's section 6.2). Libraries neither accept a time nor return the bounds of a time
    range, which keys need.
    """

    def __init__(self) -> None:
        self._last_ms = -1
        self._count = 0

    def mint(self, at: datetime) -> str:
        ms = _ms(at)
        if ms > self._last_ms:
            self._last_ms, self._count = ms, 0
        elif ms == self._last_ms and self._count < 0xFFF:
            self._count += 1
        tail = int.from_bytes(os.urandom(8)) & (2**62 - 1)
        return f"{ms << 80 | 0x7 << 76 | self._count << 64 | 0b10 << 62 | tail:032x}"


def derived_id(at: datetime, name: str) -> str:
    """Return the id of the one event of this name at this time. Equal arguments return equal ids."""
    tail = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) & (2**62 - 1)
    return f"{_ms(at) << 80 | 0x7 << 76 | 0b10 << 62 | tail:032x}"


def is_id(text: str) -> bool:
    """Return whether this has the form of an id. Any other text names no row."""
    return _ID.fullmatch(text) is not None


def first_id(at: datetime) -> str:
    """Return a bound: below ids minted at or after this time, above all earlier ones."""
    return f"{_ms(at) << 80:032x}"


def minted_at(minted_id: str) -> datetime:
    """Return the time at which this id was minted, to the millisecond."""
    return _EPOCH + int(minted_id[:12], 16) * MILLISECOND


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // MILLISECOND
