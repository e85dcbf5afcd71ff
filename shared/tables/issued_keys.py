"""The rows of API keys: a key's scopes, its end and its own limits."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import Field

from shared.core.clock import Instant, next_day, next_month
from shared.stores.port import Document
from shared.tables.model import RowModel

LIVE_PREFIX: Final = "at_live_"
TEST_PREFIX: Final = "at_test_"

ENDS: Final = "ends_"
"""The prefix of the extensions by which rotations end a key: `{"ends_<new key's id>": "2026-03-02T09:00:00.000Z"}`.

Each rotation has a field of its own and the earliest end counts, so a late write never prolongs a key's life."""


class Scope(StrEnum):
    """A right of an API key."""

    MEMO_WRITE = "memo:write"
    MEMO_READ = "memo:read"
    USAGE_READ = "usage:read"


class KeyLimit(StrEnum):
    """The limits that a key can have of its own, named as their fields in a key's row."""

    MEMOS_PER_DAY = "memos_per_day"
    CHARACTERS_PER_DAY = "characters_per_day"
    CHARACTERS_PER_MONTH = "characters_per_month"

    @property
    def is_monthly(self) -> bool:
        return self is KeyLimit.CHARACTERS_PER_MONTH

    @property
    def unit(self) -> str:
        return "memos" if self is KeyLimit.MEMOS_PER_DAY else "characters"

    def counter(self, uses: str, at: datetime) -> str:
        """Return the counter of a limit's use: `<owner>:uses:<key>:2026-03-02:memos`.

        It begins with `uses`, the key's own counter, so one range of counters contains all uses of an owner's keys.
        """
        window = f"{at:%Y-%m}" if self.is_monthly else f"{at:%Y-%m-%d}"
        return f"{uses}:{window}:{self.unit}"

    def resets_at(self, at: datetime) -> datetime:
        return next_month(at) if self.is_monthly else next_day(at)


class IssuedKey(RowModel):
    """The check document of a key: all that a check needs. `id` derives from `key_hash`.

    One fact, extended by `name`, `revoked_at`, the fields of `KeyLimit` and `ends_<new key's id>`. Stored as

        {"id": "5c1d…", "user_id": "019b…", "prefix": "at_live_", "key_hash": "5c1d…", "last_six": "Xk29fa",
         "name": "Default Key", "created_at": "2026-03-02T08:00:00.000Z", "expires_at": null, "revoked_at": null,
         "scopes": ["memo:read"], "memos_per_day": 10, "characters_per_day": null, "characters_per_month": null}

    and in its owner's key ring, `{"keys": [{…, "updated_at": "2026-03-02T08:00:00.000Z"}, …]}`, oldest first.
    `scopes` of None: all of them. A limit of None: the key has none of its own.
    """

    id: str
    user_id: str
    prefix: str
    key_hash: str = Field(repr=False)
    last_six: str = Field(repr=False)
    name: str
    created_at: Instant
    expires_at: Instant | None = None
    revoked_at: Instant | None = None
    scopes: tuple[Scope, ...] | None = None
    memos_per_day: int | None = None
    characters_per_day: int | None = None
    characters_per_month: int | None = None

    @classmethod
    def read(cls, document: Document) -> Self:
        return cls.model_validate(document | {"expires_at": end_of(document)})

    @property
    def is_test(self) -> bool:
        return self.prefix == TEST_PREFIX

    @property
    def limits(self) -> Mapping[KeyLimit, int]:
        """The key's own limits."""
        limits = {limit: getattr(self, limit) for limit in KeyLimit}
        return {limit: most for limit, most in limits.items() if most is not None}

    def is_active(self, at: datetime) -> bool:
        """Return whether the key is neither revoked nor past its end."""
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)

    def may(self, scope: Scope) -> bool:
        return self.scopes is None or scope in self.scopes


class ApiKey(IssuedKey):
    """An owner's API key with its history. `last_used_at` is to the minute; None: never used.

    `used` is the use of the key's own limits, today and this month. `rotated_to` is the id of the key that replaces
    this one.
    """

    updated_at: Instant
    rotated_to: str | None = None
    usage_count: int
    last_used_at: Instant | None
    used: dict[KeyLimit, int]


def key_id(key_hash: str) -> str:
    """Return an API key's id: half of its SHA-256, in hexadecimal. It reveals nothing of the key's 256 random bits."""
    return key_hash[:32]


def uses_counter(key: IssuedKey) -> str:
    """Return the name of the counter of the memos made with a key."""
    return f"{key.user_id}:uses:{key.id}"


def end_of(document: Document) -> str | None:
    """Return when a key ends: at its expiry, or earlier by a rotation. None: never."""
    return earliest(document["expires_at"], *(end for field, end in document.items() if field.startswith(ENDS)))


def earliest(*ends: str | None) -> str | None:
    """Return the first of some ends, each formatted by `iso`; None: never."""
    return min((end for end in ends if end is not None), default=None)
